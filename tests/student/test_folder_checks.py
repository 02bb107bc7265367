"""A model's folder is looked at before any work: files that are not whole, code from outside, absent layers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import ConfigError
from benchmark.student.lora import Lora
from benchmark.student.source import PretrainedStudent
from tests.rehearsals.tensor_parts import model_folder

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 5000000\n"
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(whole, tmp_path / "model"))


def student(folder: Path, **settings: Any) -> PretrainedStudent:
    return PretrainedStudent("small", str(folder), 64, 16, **settings)


def complaint(source: PretrainedStudent) -> str:
    with pytest.raises(ConfigError) as raised:
        source.check()
    assert str(source.path) in str(raised.value)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def edit(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def test_a_whole_folder_is_fine(folder: Path) -> None:
    student(folder).check()


# --- files that are not whole -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"])
def test_a_git_lfs_pointer_is_named(name: str, folder: Path) -> None:
    (folder / name).write_text(POINTER)
    assert f"{name} is a Git LFS pointer of {len(POINTER)} bytes" in complaint(student(folder))


@pytest.mark.parametrize("kept", [[], ["model-00001-of-00003.safetensors"]])
def test_missing_parts_are_named(kept: list[str], folder: Path) -> None:
    weights = folder / "model.safetensors"
    for name in kept:
        shutil.copy(weights, folder / name)
    weights.unlink()
    parts = {f"layer{i}": f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    said = complaint(student(folder))
    assert all((part in said) == (part not in kept) for part in parts.values())


@pytest.mark.parametrize("share", [0.9, 0.5, 0.01])
def test_a_cut_download_is_named(share: float, folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: int(share * len(content))])
    assert "model.safetensors" in complaint(student(folder))


@pytest.mark.parametrize("content", [b"", b"<html>Sign in</html>", b"\x08\x00\x00\x00\x00\x00\x00\x00not json"])
def test_what_is_no_file_of_weights_is_named(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert "is no file of safetensors; download it again" in complaint(student(folder))


# --- code from outside ------------------------------------------------------------------------------------------------


@pytest.fixture
def foreign(folder: Path) -> Path:
    """A folder whose model and tokenizer are known by its own code alone, which would leave a mark."""
    code = f"from pathlib import Path\nPath({str(folder / 'MARK')!r}).write_text('it ran')\n"
    (folder / "modeling_own.py").write_text(code)
    auto = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}
    edit(folder / "config.json", model_type="own_model", auto_map=auto)
    return folder


def test_a_model_that_needs_code_of_its_own_is_refused_by_name(foreign: Path) -> None:
    said = complaint(student(foreign))
    assert "its model (model_type='own_model') is known by code in the folder alone (auto_map in config.json)" in said
    assert "never run" in said


def test_a_tokenizer_that_needs_code_of_its_own_is_refused_by_name(folder: Path) -> None:
    auto = {"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]}
    edit(folder / "tokenizer_config.json", tokenizer_class="OwnTokenizer", auto_map=auto)
    assert "its tokenizer (tokenizer_class='OwnTokenizer') is known by code" in complaint(student(folder))


def test_code_beside_a_model_that_transformers_knows_is_not_run(folder: Path) -> None:
    (folder / "modeling_own.py").write_text(f"open({str(folder / 'MARK')!r}, 'w')\n")
    edit(folder / "config.json", auto_map={"AutoModelForCausalLM": "modeling_own.OwnModel"})
    source = student(folder)
    source.check()
    assert source.network(1).config.model_type == "llama"
    assert source.tokenizer().eos_token_id is not None
    assert not (folder / "MARK").exists()


@pytest.mark.parametrize("mode", ["plan", "run", "annotate"])
@pytest.mark.parametrize("slot", ["student", "teacher"])
def test_no_mode_runs_it_or_asks(
    mode: str, slot: str, foreign: Path, command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    if mode == "annotate" and slot == "student":
        pytest.skip("annotating ahead reads no student")
    chosen = {"student": ("student=smollm2_135m", "optimization=tiny"), "teacher": ("teacher=transformers",)}[slot]
    done = command(*chosen, f"{slot}.path={foreign}", *miniature, f"mode={mode}", f"results_dir={results.path}")
    assert done.status != 0
    assert "known by code in the folder alone" in done.err + done.out
    assert "Traceback" not in done.err + done.out
    assert not (foreign / "MARK").exists()


# --- adapters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modules", "names"),
    [
        (("q_proj", "v_proj"), ("q_proj", "v_proj")),
        ("q_proj", ("q_proj",)),
        ("all-linear", ()),
        (r".*\.self_attn\.(q|v)_proj", ()),
        (("layers.0.self_attn.q_proj",), ("layers.0.self_attn.q_proj",)),
    ],
)
def test_layers_are_named_as_peft_takes_them(modules: Any, names: tuple[str, ...], folder: Path) -> None:
    pytest.importorskip("peft")
    source = student(folder, lora=Lora(2, 4, modules))
    assert source.lora is not None
    assert source.lora.names == names
    source.check()
    adapted = [name for name, _ in source.network(1).named_parameters() if "lora_A" in name]
    assert adapted
    if names:
        assert all(any(name in path for name in names) for path in adapted)


@pytest.mark.parametrize(
    ("modules", "hint"),
    [
        (("q_proj", "v_prj"), "'v_prj'; did you mean 'v_proj'?"),
        ("query", "'query'"),
        (("layers.9.mlp.up_proj",), "'layers.9"),
    ],
)
def test_layers_that_are_absent_are_named(modules: Any, hint: str, folder: Path) -> None:
    pytest.importorskip("peft")
    said = complaint(student(folder, lora=Lora(2, 4, modules)))
    assert f"no layer of the model is called {hint}" in said
    assert "student.lora.target_modules" in said


def test_a_list_of_layers_comes_through_the_command_line(
    folder: Path, command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    pytest.importorskip("peft")
    adapters = ("student.lora.rank=2", "student.lora.alpha=4", "student.lora.base_dtype=float32")
    model = ("student=llama2_7b_lora", "optimization=tiny", f"student.path={folder}", *adapters)
    for modules, status in (("[q_proj,v_proj]", 0), ("q_proj", 0), ("[q_proj,nothing]", 2)):
        done = command(
            *model, f"student.lora.target_modules={modules}", *miniature, "mode=plan", f"results_dir={results.path}"
        )
        assert done.status == status, done.err
    assert "no layer of the model is called 'nothing'" in done.complaint


def test_a_folder_without_weights_names_no_layers(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    pytest.importorskip("peft")
    replace(student(folder), lora=Lora(2, 4, ("anything",))).check()
