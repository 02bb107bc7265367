"""Miniature cells of a method: a tiny student, few questions and few steps, on every kind of dataset."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from benchmark.cell.cell import Cell
    from benchmark.contract import Annotator, Format
    from benchmark.student.source import TinyStudent

QUESTIONS = 12
"""The budget in questions: half of the pool, so that selections and schedules have something to decide."""
RECORDED = "svamp"
"""JSON lines with a recorded teacher, without human rationales: what a method that needs them must refuse."""
GENERATED = ("dataset.pool_size=24", "dataset.test_size=6", "assistant=simulated")
"""The assistant is no part of a cell whose method does not use it."""
SMALLEST_STUDENT = (
    "student.hidden_size=16",
    "student.intermediate_size=32",
    "student.layers=1",
    "student.attention_heads=2",
)
SMALL = (
    "dataset.validation_size=4",
    f"budget.questions={QUESTIONS}",
    "optimization.max_steps=8",
    "optimization.batch_size=4",
    "optimization.warmup_fraction=0",
    *SMALLEST_STUDENT,
    "student.max_new_tokens=12",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.save_student=false",
)


def presets(conf: Path) -> tuple[str, ...]:
    """Every method in a folder of configs."""
    return tuple(sorted(path.stem for path in (conf / "method").glob("*.yaml")))


def generated_datasets(conf: Path) -> tuple[str, ...]:
    """Every dataset in a folder of configs that a module generates."""
    files = sorted((conf / "dataset").glob("*.yaml"))
    return tuple(path.stem for path in files if "generator" in yaml.safe_load(path.read_text(encoding="utf-8")))


def composed_config(conf: Path, overrides: Sequence[str] = ()) -> DictConfig:
    """The config of the overrides with its `hydra` node; of two for one key the later one counts."""
    import hydra

    with _hydra(conf):
        return hydra.compose("config", list(overrides), return_hydra_config=True)


def read(conf: Path, config: DictConfig) -> Cell:
    """The cell of a composed config."""
    from benchmark.cell.composition import read_cell

    with _hydra(conf):
        return read_cell(config, config.hydra)


def composed_cell(conf: Path, overrides: Sequence[str] = ()) -> Cell:
    """The cell of the overrides."""
    return read(conf, composed_config(conf, overrides))


@contextmanager
def _hydra(conf: Path) -> Iterator[None]:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().clear()


# --- a teacher with distributions ------------------------------------------------------------------------------------


def teacher_source() -> TinyStudent:
    """A tiny decoder, twice as wide as the smallest student: nothing but their vocabularies has to agree."""
    from benchmark.student.source import TinyStudent

    return TinyStudent(
        name="teacher",
        hidden_size=32,
        intermediate_size=48,
        layers=1,
        attention_heads=2,
        initializer_range=0.2,  # a tiny student learns such a teacher within a few steps
        max_length=1024,
        max_new_tokens=8,
    )


@cache
def _teacher_folder() -> Path:
    """The folder of a tiny teacher with random weights; it goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="frozen_teacher_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source = teacher_source()
    source.network(5).save_pretrained(folder)
    source.tokenizer().save_pretrained(folder)
    return folder


def frozen_teacher() -> tuple[str, ...]:
    """The overrides of a tiny distribution teacher with random weights.

    It is no part of a cell whose loss reads no distributions.
    """
    slot, folder = "distribution_teacher", _teacher_folder()
    return (f"{slot}=pretrained", f"{slot}.path='{folder}'", f"{slot}.max_new_tokens=4", f"{slot}.max_length=1024")


def text_teacher(conf: Path, method: str) -> tuple[str, ...]:
    """The overrides of the same teacher as the one that writes, for a preset whose annotation reads probabilities."""
    if not any(part.requires().teacher_probabilities for part in _chosen(conf, method)):
        return ()
    return ("teacher=transformers", f"teacher.path='{_teacher_folder()}'")


def needs_choices(conf: Path, method: str) -> bool:
    """Whether a preset's annotation or format is for multiple-choice questions only."""
    return any(part.requires().choices for part in _chosen(conf, method))


def _chosen(conf: Path, method: str) -> Iterator[Annotator | Format]:
    """The annotation and the format that a preset chooses, where they are options of the same folder of configs."""
    from benchmark.config import build
    from benchmark.contract import Annotator, Format

    preset = conf / "method" / f"{method}.yaml"
    entries = yaml.safe_load(preset.read_text(encoding="utf-8")).get("defaults", []) if preset.exists() else []
    for group, protocol in (("annotation", Annotator), ("format", Format)):
        options = [entry[f"override /{group}"] for entry in entries if f"override /{group}" in entry]
        for file in (conf / group / f"{option}.yaml" for option in options):
            if file.exists():
                yield build(yaml.safe_load(file.read_text(encoding="utf-8")), group, protocol)


# --- a dataset in files, with a recorded teacher ---------------------------------------------------------------------


def write_recorded_dataset(folder: Path) -> tuple[str, ...]:
    """Writes a tiny dataset in SVAMP's layout and its recorded teacher; returns the overrides that use them."""
    pool, test = [_sum("train", number) for number in range(28)], [_sum("test", number) for number in range(50, 56)]
    spoken = [{key: row[key] for key in ("id", "rationale", "answer")} for row in (*pool, *test)]
    files = {"train": [row | {"rationale": None} for row in pool], "test": test, "teacher_palm540b": spoken}
    (folder / RECORDED).mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (folder / RECORDED / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return (f"dataset={RECORDED}", "teacher=palm540b", f"data_dir='{folder}'")


def _sum(split: str, number: int) -> dict[str, Any]:
    return {
        "id": f"{split}-{number}",
        "question": f"Ann has {number} apples and gets 2.\nHow many?",
        "choices": None,
        "answer": str(number + 2),
        "rationale": f"{number}+2={number + 2}",
    }
