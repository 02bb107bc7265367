"""A distribution teacher is tested once for all cells of a results folder, and every record says the same of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.cell.identity import reference_id
from benchmark.running.examination import Examination
from benchmark.running.kept_reference import FOLDER, MeasuredReference, kept_or_measured
from methods.white_box import WhiteBox
from tests.corridor.corridor_parts import Ran, run
from tests.rehearsals.tensor_parts import model_folder
from tests.running.test_distribution_teacher import cell_of

REFERENCE = MeasuredReference(
    {
        "split": "test",
        "metric": "accuracy",
        "value": 0.5,
        "flexible_value": 0.5,
        "n": 6,
        "of": 6,
        "distributions_of": "white_box",
    },
    {"truncated_prompts": 2},
)
CUTTING = (
    "method=gold_answers",
    "format=answer_only",
    "distribution_teacher.max_length=16",
    "distribution_teacher.overlong=truncate",
)
"""The teacher cannot read the whole of a prompt, so that its test has something to count."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("models") / "white_box")


@pytest.fixture
def tests_of_teachers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the teachers that were tested, one for each time."""
    tested, measured = Examination._tested, list[str]()

    def counting(self: Examination, name: str) -> MeasuredReference:
        measured.append(name)
        return tested(self, name)

    monkeypatch.setattr(Examination, "_tested", counting)
    return measured


def about_the_teacher(ran: Ran) -> Any:
    counters = {name: count for name, count in ran.result["counters"].items() if name.startswith("teacher_")}
    return ran.result["teacher_reference"], counters


def test_cells_with_other_students_and_losses_share_one_test(
    folder: Path, tmp_path: Path, tests_of_teachers: list[str]
) -> None:
    cells = [
        cell_of(folder, *CUTTING),
        cell_of(folder, *CUTTING, "seed=2", "student.hidden_size=16", loss=WhiteBox(distillation_weight=1.0)),
    ]
    first, second = (run(cell, tmp_path) for cell in cells)
    assert tests_of_teachers == ["white_box"]
    assert about_the_teacher(first) == about_the_teacher(second)
    alone = run(cells[1], tmp_path / "alone")
    assert tests_of_teachers == ["white_box"] * 2
    assert about_the_teacher(alone) == about_the_teacher(second)
    assert any(about_the_teacher(alone)[1].values()), "nothing was cut, so that nothing of it could be lost"


@pytest.mark.parametrize(
    "override",
    [
        "dataset.test_size=5",
        "dataset.generation_seed=9",
        "evaluation.max_new_tokens=4",
        "distribution_teacher.max_new_tokens=7",
        "optimization.precision=bf16-mixed",
        "format=answer_only",
    ],
)
def test_what_decides_the_score_asks_for_a_test_of_its_own(folder: Path, override: str) -> None:
    assert reference_id(cell_of(folder)) != reference_id(cell_of(folder, override))


def test_other_weights_ask_for_a_test_of_their_own(folder: Path, tmp_path: Path) -> None:
    other = model_folder(tmp_path / "white_box", seed=1)
    assert reference_id(cell_of(folder)) != reference_id(cell_of(other))


@pytest.mark.parametrize("override", ["seed=2", "data_seed=3", "optimization.max_steps=7", "student.hidden_size=16"])
def test_what_is_the_students_asks_for_none(folder: Path, override: str) -> None:
    assert reference_id(cell_of(folder)) == reference_id(cell_of(folder, override))


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"reference": {}}', '{"reference": {}, "counts": {}}'])
def test_a_damaged_file_is_measured_and_written_anew(tmp_path: Path, damage: str) -> None:
    assert kept_or_measured(tmp_path, "id", lambda: REFERENCE) == (REFERENCE, False)
    assert kept_or_measured(tmp_path, "id", lambda: pytest.fail("it is kept")) == (REFERENCE, True)
    (tmp_path / FOLDER / "id.json").write_text(damage)
    assert kept_or_measured(tmp_path, "id", lambda: REFERENCE) == (REFERENCE, False)
    assert kept_or_measured(tmp_path, "id", lambda: pytest.fail("it is kept")) == (REFERENCE, True)


def test_a_test_that_ends_with_an_error_keeps_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        kept_or_measured(tmp_path, "id", lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    assert kept_or_measured(tmp_path, "id", lambda: REFERENCE) == (REFERENCE, False)
