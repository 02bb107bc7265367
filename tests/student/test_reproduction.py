"""An exported folder reproduces its cell's predictions without our code, and its card is what a stranger needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from huggingface_hub import ModelCard

from benchmark.records.schema import Provenance
from tests.cases import cases
from tests.student import reproduce_predictions
from tests.student.student_parts import characters, llama

Run = Callable[..., Any]

SCRIPT = Path(reproduce_predictions.__file__)
ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BENCHMARK_DATA_DIR") or ROOT.parent / "shared" / "data")
MODEL = os.environ.get("BENCHMARK_MODEL_DIR")
SMALL = (
    "dataset.pool_size=300",
    "dataset.validation_size=8",
    "dataset.test_size=40",
    "dataset.generation_seed=1",
    "budget.questions=200",
    "trainer.evaluation_batch_size=16",
    "trainer.accelerator=cpu",
    "optimization=tiny",
    "optimization.max_steps=120",
    "optimization.precision=32-true",
)
TEMPLATE = "{% for m in messages %}[{{ m.content }}]{% endfor %}"


@dataclass(frozen=True)
class Made:
    """A finished cell."""

    folder: Path

    @property
    def record(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "record.json").read_text(encoding="utf-8")))

    @property
    def card(self) -> Any:
        return ModelCard.load(self.folder / "student" / "README.md")

    def predictions(self) -> Any:
        return pd.read_parquet(self.folder / "predictions.parquet")


@pytest.fixture
def make(command: Run, results: Any) -> Callable[..., Made]:
    def run(*overrides: str) -> Made:
        done = command(f"results_dir={results.path}", *overrides)
        assert done.status == 0, done.err
        [name] = results.cells()
        return Made(results.path / name)

    return run


def chat_model(folder: Path) -> Path:
    """A tiny decoder with a chat template, whose own settings for decoding are not those of an evaluation."""
    network, tokenizer = llama(len(characters())), characters()
    network.generation_config.update(do_sample=True, temperature=2.0, repetition_penalty=1.5, eos_token_id=[2, 5])
    network.save_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def students(kind: str, folder: Path) -> tuple[str, ...]:
    """The overrides of a student."""
    if kind != "lora":
        return (f"student={kind}", "student.max_new_tokens=24")
    pytest.importorskip("peft")
    lora = "student.lora={rank: 8, alpha: 16, target_modules: all-linear, base_dtype: float32}"
    sizes = ("student.max_length=64", "student.max_new_tokens=24")
    return ("student=smollm2_135m", f"student.path={chat_model(folder / 'model')}", lora, *sizes)


# --- predictions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", cases(["tiny", "tiny_t5", "lora"], default=("tiny",)))
def test_the_folder_reproduces_every_prediction_without_our_code(
    kind: str, make: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(*SMALL, *students(kind, tmp_path), "method=gold_answers")
    predictions = made.predictions()
    assert predictions["text"].nunique() > 3
    assert predictions["truncated"].mean() < 0.5  # most ended by themselves
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), str(made.folder)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "40 of 40 predictions are reproduced" in done.stdout

    prompt, answer = answer_by_the_card(made, monkeypatch)
    assert answer_to(made, prompt) == answer

    wrong_end = Made(shutil.copytree(made.folder, tmp_path / "wrong_end"))
    [digit] = characters()("1", add_special_tokens=False)["input_ids"]
    changed_json(wrong_end.folder / "student" / "generation_config.json", eos_token_id=digit)
    assert reproduce_predictions.main(wrong_end.folder) == 1
    if kind == "lora":
        no_template = Made(shutil.copytree(made.folder, tmp_path / "no_template"))
        (no_template.folder / "student" / "chat_template.jinja").unlink()
        assert reproduce_predictions.main(no_template.folder) == 1


def changed_json(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.model
@pytest.mark.skipif(not MODEL, reason="BENCHMARK_MODEL_DIR names no model folder")
@pytest.mark.skipif(not (DATA / "svamp").is_dir(), reason=f"no data in {DATA}")
def test_a_real_students_folder_reproduces_its_predictions(make: Run) -> None:
    few = ("optimization.max_steps=6", "optimization.batch_size=2", "evaluation.validation_size=4")
    exact = ("optimization.precision=32-true", "trainer.evaluation_batch_size=16", "trainer.accelerator=cpu")
    data = ("dataset=svamp", f"data_dir={DATA}", "dataset.test_size=50", "method=gold_answers")
    made = make(*data, "student=smollm2_135m", f"student.path={MODEL}", *few, *exact)
    done = subprocess.run([sys.executable, "-I", str(SCRIPT), str(made.folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "50 of 50" in done.stdout


# --- the card ---------------------------------------------------------------------------------------------------------

QUICK = (*SMALL[:-2], "optimization.max_steps=2", "student.max_new_tokens=8")


def rows(card: Any) -> dict[str, list[str]]:
    """The rows of the card's tables by their first column, where it occurs once; cells without the spaces."""
    lines = [line.strip("| ").split(" | ") for line in card.text.splitlines() if line.startswith("|")]
    found: dict[str, list[str]] = {}
    for first, *others in lines:
        found.setdefault(first, []).extend(others)
    return found


def answer_by_the_card(made: Made, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """(the prompt, what the card's own Python answers to it)."""
    code = made.card.text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(made.folder / "student")
    names: dict[str, Any] = {}
    exec(compile(code, "card", "exec"), names)
    return names["prompt"], names["answer"]


def test_a_card_without_a_teacher(make: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(*QUICK, "method=gold_answers")
    card, table = made.card, rows(made.card)
    assert card.data.to_dict() == {
        "license": "apache-2.0",
        "library_name": "transformers",
        "tags": ["distillation", "reasoning"],
    }
    assert table["cell"] == [f"`{made.record['cell_id']}`"]
    assert table["dataset"] == ["chain_sum", "Apache-2.0"]
    assert table["initial student"] == ["tiny", "Apache-2.0"]
    assert table["annotations by"] == ["people (the dataset's own answers or rationales)"]
    assert table["annotated questions"] == ["200"]
    origin = Provenance.model_validate(made.record["provenance"])
    assert table["computed on"] == [origin.computed_on]
    assert origin.git is not None
    assert table["code"] == [origin.git.text]
    assert "teacher" not in table
    prompt, _ = answer_by_the_card(made, monkeypatch)
    assert prompt == "4+3-5"  # the first exemplar
    assert "`'<bos>4+3-5\\n'`" in card.text


def test_a_card_of_a_recorded_teacher(make: Run, write_svamp: Run, tmp_path: Path) -> None:
    data = write_svamp(tmp_path / "data")
    made = make(*(each for each in data if "save_student" not in each), "method=answer_only", "teacher=palm540b")
    card, table = made.card, rows(made.card)
    assert (card.data.license, card.data.datasets) == ("other", ["ChilleD/SVAMP"])
    assert table["dataset"] == ["svamp (ChilleD/SVAMP)", "MIT; the split of the folder Apache-2.0"]
    assert table["teacher"] == ["palm540b", "Apache-2.0"]
    assert table["annotations by"] == ["palm540b"]


def test_a_card_of_a_panel_names_those_that_were_asked(make: Run, plugin: Run) -> None:
    member = "{{_target_: benchmark.teachers.simulated.SimulatedTeacher, name: {name}, licence: '{licence}'}}"
    members = ", ".join(
        f"{name}: {member.format(name=name, licence=licence)}" for name, licence in (("ann", "MIT"), ("bob", "CC0-1.0"))
    )
    panel = f"_target_: benchmark.teachers.panel.Panel\nname: both\nmembers: {{{members}}}\n"
    made = make(plugin({}, {"teacher/both": panel}), *QUICK, "method=answer_only", "teacher=both")
    assert rows(made.card)["teacher"] == ["ann", "MIT"]  # few-shot annotation asks the first alone
    assert made.card.data.license == "other"


def test_what_is_left_out_is_said_to_be_unknown(make: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = students("lora", tmp_path)
    made = make(
        *SMALL[:-2], "optimization.max_steps=2", *model, "~student.licence", "~dataset.licence", "method=gold_answers"
    )
    card, table = made.card, rows(made.card)
    assert card.data.license == "other"
    assert card.data.base_model is None
    assert table["dataset"][1] == "unknown: see the page of the dataset"
    assert table["initial student"] == ["smollm2_135m (a local folder)", "unknown: see the page of the initial student"]
    assert str(tmp_path) not in card.content
    assert "low-rank adapters, which are merged" in " ".join(card.text.split())
    prompt, answer = answer_by_the_card(made, monkeypatch)
    assert f"`'[{prompt}]'`" in card.text
    first = made.predictions().iloc[0]
    assert answer_to(made, first["prompt"]) == first["text"]
    assert answer_to(made, prompt) == answer


def answer_to(made: Made, prompt: str) -> str:
    tokenizer = reproduce_predictions.transformers.AutoTokenizer.from_pretrained(made.folder / "student")
    config = reproduce_predictions.transformers.AutoConfig.from_pretrained(made.folder / "student")
    architecture = getattr(reproduce_predictions.transformers, config.architectures[0])
    network = architecture.from_pretrained(made.folder / "student")
    ids = reproduce_predictions.prompt_ids(tokenizer, prompt, config.is_encoder_decoder)
    return reproduce_predictions.answers(network, tokenizer, [ids], made.record["config"])[0]
