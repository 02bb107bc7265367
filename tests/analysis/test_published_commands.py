"""The commands that stand beside papers make cells at the papers' scale: none would be called another one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.records.load import load_records
from analysis.records.published import numbers_of, papers
from analysis.statistics.reproduction import is_comparable, matches_of
from benchmark.app import CONF
from benchmark.components import canonical
from tests.analysis.record_files import Record, make_record, write_record
from tests.cells import composed_cell

GIVEN = {"URL": "http://localhost:1", "NAME": "meta-llama/Llama-2-13b-chat-hf", "DATA": "nowhere", "TEACHER": "nowhere"}
SAY_TOO_LITTLE = {"mutual_information", "wasd", "akl"}
"""Papers whose student, training questions or steps are not known, so that no run has their scale for certain."""
COMMANDS = [(name, command) for name, paper in papers().items() for command in paper.reproduce.commands]
TEST_QUESTIONS = {"commonsense_qa": 1221, "svamp": 200, "dolly": 500}
"""Of the data that the commands ask for."""


def choices(overrides: list[str]) -> Iterator[tuple[str, ...]]:
    """All combinations of overrides, of which one may name several values; of two for one key the last counts."""
    last = dict(override.split("=", 1) for override in overrides)
    values = [value.split(",") if "[" not in value and key != "seed" else [value] for key, value in last.items()]
    for chosen in product(*values):
        yield tuple(f"{key}={value}" for key, value in zip(last, chosen, strict=True))


def grid(command: str) -> Iterator[tuple[str, ...]]:
    """The overrides of every cell of a command, with one seed."""
    python, m, benchmark, *words = shlex.split(command)
    assert (python, m, benchmark) == ("python", "-m", "benchmark")
    given = [f"{key}={GIVEN.get(value, value)}" for key, value in (word.split("=", 1) for word in words)]
    experiment = dict(word.split("=", 1) for word in words)["experiment"]
    sweeper = yaml.safe_load((CONF / "experiment" / f"{experiment}.yaml").read_text(encoding="utf-8"))["hydra"][
        "sweeper"
    ]
    params = [f"{key}={value}" for key, value in sweeper["params"].items()] + ["seed=1"]
    arms = sweeper.get("arms") or {"": []}
    cells = [cell for arm in arms.values() for cell in choices([*params, *arm, *given])]
    yield from dict.fromkeys(tuple(sorted(cell)) for cell in cells)


def records_of(overrides: tuple[str, ...]) -> list[Record]:
    """What three seeds of the cell would leave behind, as far as a comparison looks at it."""
    cell = composed_cell(tuple(each for each in overrides if not each.startswith("evaluation.extra=")))
    parts: dict[str, Any] = {"optimization": canonical(cell.optimization)}
    if cell.asks_teacher:
        parts["teacher"] = canonical(cell.teacher)
    if cell.own_distribution_teacher is not None:
        parts["distribution_teacher"] = canonical(cell.own_distribution_teacher)
    records = []
    for seed in (1, 2, 3):
        record = make_record(
            cell.method.name,
            0.5,
            seed,
            dataset=cell.dataset.name,
            student=cell.student.name,
            budget={"questions": cell.budget.questions, "calls": None, "tokens": None, "usd": None},
            config=parts,
            train={"tokens": 1, "optimiser_steps": cell.optimization.max_steps, "seconds": 1.0, "flops": 1},
        )
        record["teacher"] = cell.teacher.name if cell.asks_teacher else None
        metric = getattr(cell.dataset.task, "metric", "accuracy")
        record["test"][0] |= {"metric": metric, "n": TEST_QUESTIONS[cell.dataset.name]}
        records.append(record)
    return records


def commands() -> Iterator[Any]:
    """Every command; all but the shortest make too many cells for every day."""
    for number, (name, command) in enumerate(COMMANDS):
        marks = [] if name == "mutual_information" else [pytest.mark.slow]
        yield pytest.param(name, command, marks=marks, id=f"{name}-{number}")


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_a_command_makes_cells_at_the_papers_scale(name: str, command: str, results: Path) -> None:
    pytest.importorskip("rouge_score")
    paper = papers()[name]
    numbers = [number for number in numbers_of(name, paper) if is_comparable(number)]
    cells = list(grid(command)) if numbers else list(grid(command))[:2]
    for overrides in cells:
        for record in records_of(overrides):
            write_record(results, record)
    compared = matches_of(paper, numbers, load_records(results), {})
    if not numbers:
        assert name == "selective_reflection", "a command for a paper without a number to compare"
    elif name in SAY_TOO_LITTLE:
        found = {difference for each in compared for difference in each.differences}
        assert {difference.partition(" (")[2] for difference in found} == {"not known)"}, found
        assert {each.verdict for each in compared} == {"other scale", "not run"}
    else:
        verdicts = {each.verdict for each in compared}
        assert verdicts & {"reproduced", "differs"}, [each.differences for each in compared]


def test_every_command_starts_an_experiment_of_its_paper() -> None:
    for name, command in COMMANDS:
        words = dict(word.split("=", 1) for word in shlex.split(command)[3:])
        assert words["experiment"] in papers()[name].reproduce.experiments
