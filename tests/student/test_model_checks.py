"""What a model's config and tokenizer say is refused before any work: the window, EOS, tokens, what cannot be read."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import GPT2Config, T5Config

from benchmark.cell.identity import cell_id, identity
from benchmark.errors import ModelError
from benchmark.student.frozen import PretrainedAssistant
from benchmark.student.source import PretrainedStudent
from benchmark.teachers.in_process import TransformersTeacher
from tests.corridor.corridor_parts import miniature
from tests.rehearsals.tensor_parts import TEACHER, model_folder

Run = Callable[..., Any]
WINDOW = TEACHER.max_length
SLOTS = ("student", "assistant", "teacher")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(whole, tmp_path / "model"))


def check(slot: str, folder: Path, max_length: int | None = 64, max_new_tokens: int = 16) -> None:
    """The check of a model in its slot."""
    if slot == "assistant":
        PretrainedAssistant("small", str(folder), max_length, max_new_tokens).check()
        return
    assert max_length is not None
    if slot == "teacher":
        TransformersTeacher("small", str(folder), max_length, max_new_tokens).open(miniature().dataset)
    else:
        PretrainedStudent("small", str(folder), max_length, max_new_tokens).check()


def complaint(slot: str, folder: Path, **settings: Any) -> str:
    with pytest.raises(ModelError) as raised:
        check(slot, folder, **settings)
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def edit(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def spoil(how: str, folder: Path) -> None:
    """Spoils the tokenizer, the config or the chat template of a folder."""
    tokenizer, config, settings = (folder / f"{name}.json" for name in ("tokenizer", "config", "tokenizer_config"))
    if how == "no EOS":
        content = json.loads(settings.read_text())
        settings.write_text(json.dumps({key: value for key, value in content.items() if key != "eos_token"}))
    elif how == "cut tokenizer":
        tokenizer.write_text(tokenizer.read_text()[:200])
    elif how == "tokenizer of another kind":
        edit(tokenizer, model={"type": "Unheard"})
    elif how == "no tokenizer at all":
        tokenizer.write_text("{}")
    elif how == "more tokens":
        more = copy.deepcopy(TEACHER.tokenizer())
        more.add_tokens(["<one>", "<two>"])
        more.save_pretrained(folder)
    elif how == "cut config":
        config.write_text(config.read_text()[:100])
    elif how == "config of bytes":
        config.write_bytes(b"\xff\xfe\x00")
    elif how == "config is a list":
        config.write_text("[]")
    elif how == "wrong value in the config":
        edit(config, num_attention_heads="many")
    elif how == "unheard model":
        edit(config, model_type="unheard")
    else:
        (folder / "chat_template.jinja").write_text(TEMPLATES[how])


TEMPLATES = {
    "template calls None": "{% set nothing = none %}{{ nothing() }}",
    "template calls what is not there": "{{ messages[0].nothing() }}",
    "template with a fault": "{% for m in messages %}{{ m.content }",
    "template divides by zero": "{{ 1 // 0 }}",
}
SPOILT = {
    "no EOS": "its tokenizer has no EOS token",
    "cut tokenizer": "transformers cannot load its tokenizer (",
    "tokenizer of another kind": "transformers cannot load its tokenizer (",
    "no tokenizer at all": "transformers cannot load its tokenizer (",
    "more tokens": "its tokenizer has 102 tokens, but the model embeds 100",
    "cut config": "config.json cannot be read (JSONDecodeError: ",
    "config of bytes": "config.json cannot be read (UnicodeDecodeError: ",
    "config is a list": "config.json holds no JSON object",
    "wrong value in the config": "transformers cannot read its config.json (",
    "unheard model": "transformers cannot read its config.json (",
    "template calls None": "cannot make a prompt of one turn by a user (TypeError: ",
    "template calls what is not there": "cannot make a prompt of one turn by a user (UndefinedError: ",
    "template with a fault": "cannot make a prompt of one turn by a user (TemplateSyntaxError: ",
    "template divides by zero": "cannot make a prompt of one turn by a user (ZeroDivisionError: ",
}


@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize(("how", "said"), SPOILT.items(), ids=SPOILT.keys())
def test_a_spoilt_folder_is_one_line(how: str, said: str, slot: str, folder: Path) -> None:
    check(slot, folder)
    spoil(how, folder)
    assert said in complaint(slot, folder)


def test_several_templates_without_a_default_are_one_line(folder: Path) -> None:
    tokenizer = copy.deepcopy(TEACHER.tokenizer())
    tokenizer.chat_template = {"tools": "{{ messages[0].content }}", "search": "{{ messages[0].content }}"}
    tokenizer.save_pretrained(folder)
    assert "cannot make a prompt of one turn by a user (ValueError: " in complaint("student", folder)


def test_padded_embeddings_leave_room_and_a_config_without_weights_is_believed(tmp_path: Path, folder: Path) -> None:
    padded = model_folder(tmp_path / "padded", more_rows=2)
    spoil("more tokens", padded)
    check("student", padded)
    spoil("more tokens", folder)
    (folder / "model.safetensors").unlink()
    assert "embeds 100" in complaint("student", folder)


# --- the window -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", SLOTS)
def test_a_max_length_beyond_the_window_is_refused(slot: str, folder: Path) -> None:
    check(slot, folder, max_length=WINDOW)
    said = complaint(slot, folder, max_length=WINDOW + 1)
    assert f"{slot}.max_length={WINDOW + 1}, but the window of {folder} has {WINDOW} tokens" in said


def test_the_window_is_read_as_the_family_calls_it(folder: Path) -> None:
    GPT2Config(vocab_size=100, n_positions=48).save_pretrained(folder)
    assert "has 48 tokens" in complaint("student", folder, max_length=64)
    check("student", folder, max_length=48)


def test_relative_positions_have_no_window(folder: Path) -> None:
    T5Config(vocab_size=100).save_pretrained(folder)
    edit(folder / "config.json", n_positions=16)  # published T5 folders say so, and T5 does not read it
    check("student", folder, max_length=5000)
    assert "assistant.max_length=null" in complaint("assistant", folder, max_length=None)
    assert "give a number" in complaint("assistant", folder, max_length=None)


def test_null_is_the_models_window(folder: Path) -> None:
    assistant = PretrainedAssistant("small", str(folder), None, 16)
    assistant.check()
    assert assistant.settled() == replace(assistant, max_length=WINDOW)
    edit(folder / "config.json", max_position_embeddings=32)
    assert assistant.settled().max_length == 32
    said = complaint("assistant", folder, max_length=None, max_new_tokens=32)
    assert "assistant.max_new_tokens=32 leaves no room for a prompt" in said


@pytest.mark.parametrize(("max_new_tokens", "template_date"), [(0, "2024-07-26"), (16, "today")])
def test_null_leaves_the_other_settings_checked(max_new_tokens: int, template_date: str) -> None:
    with pytest.raises(ValueError, match=r"max_new_tokens=0|is no date"):
        PretrainedAssistant("small", "x", None, max_new_tokens, template_date=template_date)


def test_the_identity_has_the_number(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.cell.cell import Cell

    monkeypatch.setattr(Cell, "uses_assistant", True)
    cell = miniature("assistant=pretrained", f"assistant.path={folder}")
    assert cell.config["assistant"]["max_length"] is None
    assert identity(cell)["assistant"]["max_length"] == WINDOW
    numbered = miniature("assistant=pretrained", f"assistant.path={folder}", f"assistant.max_length={WINDOW}")
    assert cell_id(cell) == cell_id(numbered)
    other = miniature("assistant=pretrained", f"assistant.path={folder}", "assistant.max_length=512")
    assert cell_id(cell) != cell_id(other)


@pytest.mark.parametrize("slot", ["student", "teacher"])
@pytest.mark.parametrize("fault", ["no EOS", "cut tokenizer", "beyond the window"])
def test_a_plan_refuses_it(
    fault: str, slot: str, folder: Path, command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    model = {"student": ("student=smollm2_135m", "optimization=tiny"), "teacher": ("teacher=transformers",)}[slot]
    given = [*model, f"{slot}.path={folder}", f"results_dir={results.path}", "mode=plan"]
    if fault == "beyond the window":
        given.append(f"{slot}.max_length=4096")
    else:
        spoil(fault, folder)
    done = command(*miniature, *given)
    assert done.status == 2
    assert str(folder) in done.complaint
    assert not results.path.exists()
