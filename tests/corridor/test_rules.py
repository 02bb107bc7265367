"""No leak, nothing undeclared: what a part must not do ends its cell, and the record says why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark import corridor
from benchmark.cell.cell import Cell
from benchmark.errors import LeakError
from benchmark.evaluation.accuracy import Evaluation, evaluate
from benchmark.run_cell import Outcome, run_cell
from benchmark.running import examination
from benchmark.tasks.dataset import TestSplit
from benchmark.types import Example
from tests.cells import Silent
from tests.corridor.corridor_parts import (
    AnotherRole,
    GoldCurriculum,
    GoldSelection,
    GoldWeighting,
    PeekingCurriculum,
    PeekingSelection,
    PeekingWeighting,
    Rounds,
    SecretCalls,
    StrangePicks,
    Watched,
    miniature,
    run,
)


def recorded(cell: Cell, folder: Path) -> tuple[Outcome, dict[str, Any]]:
    """Runs the cell as the command line does, and reads its record."""
    outcome = run_cell(replace(cell, results_dir=str(folder)), Silent())
    return outcome, json.loads((folder / outcome.cell_id / "record.json").read_text())


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens to the test split, to the student and to its evaluation, in order."""
    happened: list[str] = []

    def tell(owner: Any, name: str, word: str) -> None:
        real = getattr(owner, name)

        def told(*args: Any, **kwargs: Any) -> Any:
            happened.append(word)
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, told)

    tell(TestSplit, "unseal", "unseal")
    tell(TestSplit, "open", "open")
    tell(corridor, "fit", "fit")
    tell(examination, "evaluate", "evaluate")
    return happened


def test_the_test_split_is_opened_once_and_only_at_the_end(tmp_path: Path, events: list[str]) -> None:
    """Without a teacher, whose own copy of the questions would be opened too."""
    with suppress(LeakError):  # an earlier opening makes that at the end raise; the events say where it was
        run(miniature("method=gold_answers", schedule=Rounds()), tmp_path)
    assert events == ["fit", "evaluate"] * 3 + ["unseal", "open", "evaluate"]


def test_every_round_is_judged_on_the_validation_split_and_only_the_end_on_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the questions themselves, so that no other way to them than the sealed door goes unseen."""
    judged: list[list[str]] = []

    def told(student: Any, examples: Sequence[Example], *rest: Any) -> Evaluation:
        judged.append([example.id for example in examples])
        return evaluate(student, examples, *rest)

    monkeypatch.setattr(examination, "evaluate", told)
    cell = miniature(schedule=Rounds())
    run(cell, tmp_path)
    splits = cell.dataset.load()
    splits.test.unseal()
    validation, test = ([example.id for example in rows] for rows in (splits.validation, splits.test.open()))
    assert judged == [validation, validation, validation, test]


def test_a_teachers_copy_of_the_questions_is_never_the_cells(tmp_path: Path) -> None:
    """With a teacher, the cell's own split is sealed for as long as anything can still be decided."""
    states: list[bool] = []

    class Spying(Watched):
        def next_stage(self, *args: Any) -> Any:
            states.append(splits.test._sealed)
            return super().next_stage(*args)

    cell = miniature(schedule=Rounds(), curriculum=Spying())
    splits = cell.dataset.load()

    class SameSplits:
        def __getattr__(self, name: str) -> Any:
            return getattr(cell.dataset, name)

        def load(self) -> Any:
            return splits

    spied = replace(cell, dataset=SameSplits(), teacher=_OpensOn(cell.teacher, cell.dataset))
    with suppress(LeakError):  # as above
        run(spied, tmp_path)
    assert states == [True] * 3
    assert splits.test._sealed is False


class _OpensOn:
    """A teacher that always reads its own copy of the dataset."""

    def __init__(self, teacher: Any, dataset: Any) -> None:
        self._teacher, self._dataset = teacher, dataset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._teacher, name)

    def open(self, dataset: Any) -> Any:
        return self._teacher.open(self._dataset)


@pytest.mark.parametrize(
    "parts",
    [{"selection": PeekingSelection()}, {"weighting": PeekingWeighting()}, {"curriculum": PeekingCurriculum()}],
    ids=lambda parts: next(iter(parts)),
)
def test_reaching_for_the_test_split_fails_the_cell(tmp_path: Path, parts: dict[str, Any]) -> None:
    cell = miniature(**parts)
    outcome, record = recorded(cell, tmp_path)
    assert outcome.status == record["status"] == "failed"
    assert record["error"].startswith(f"LeakError: the {next(iter(parts))} part opened a test split, which no part may")
    assert "test" not in record
    assert not list(tmp_path.glob(f"{outcome.cell_id}/predictions*"))


@pytest.mark.parametrize(
    "parts",
    [
        {"selection": GoldSelection()},
        {"weighting": GoldWeighting()},
        {"curriculum": GoldCurriculum()},
    ],
    ids=lambda parts: next(iter(parts)),
)
def test_undeclared_gold_fails_the_cell(tmp_path: Path, parts: dict[str, Any]) -> None:
    [axis] = parts
    outcome, record = recorded(miniature(**parts), tmp_path)
    assert outcome.status == record["status"] == "failed"
    assert record["error"].startswith(f"LeakError: the {axis} part read the gold answer")


def test_gold_that_one_part_declared_is_not_given_to_another(tmp_path: Path) -> None:
    """The labels of `gold_answers` come from people, by declaration; that gives its selection no right to them."""
    _, record = recorded(miniature("method=gold_answers", selection=GoldSelection()), tmp_path)
    assert record["status"] == "failed"
    assert record["error"].startswith("LeakError: the selection part read the gold answer")


@pytest.mark.parametrize(
    "parts",
    [
        {"selection": GoldSelection(declared=True)},
        {"weighting": GoldWeighting(declared=True)},
        pytest.param(
            {"curriculum": GoldCurriculum(declared=True)},
        ),
    ],
    ids=lambda parts: next(iter(parts)),
)
def test_declared_gold_is_given_and_shown(tmp_path: Path, parts: dict[str, Any]) -> None:
    _, record = recorded(miniature(**parts), tmp_path)
    assert record["error"] is None
    assert record["uses_gold"] is True


def test_a_cell_that_needs_no_gold_says_so(tmp_path: Path) -> None:
    outcome, record = recorded(miniature(), tmp_path)
    assert (outcome.status, record["status"], record["uses_gold"]) == ("complete", "complete", False)


def test_gold_weighting_drops_exactly_what_is_wrong(tmp_path: Path) -> None:
    ran = run(miniature("teacher.wrong_step_rate=0.4", weighting=GoldWeighting(declared=True)), tmp_path)
    pool = {row.id: row for row in ran.cell_run.cell.dataset.load().pool}
    rows = ran.table("annotations")
    assert 0 < sum(row["weight"] == 0 for row in rows) < 12
    for row in rows:
        assert (row["weight"] == 0) == (row["answer"] != pool[row["question_id"]].answer)


def test_a_teacher_call_that_was_not_declared_fails(tmp_path: Path) -> None:
    cell = miniature(annotation=SecretCalls())
    with pytest.raises(ValueError, match="without declaring it"):
        run(cell, tmp_path / "plain")
    outcome, record = recorded(cell, tmp_path)
    assert outcome.status != "complete"
    assert record["status"] == "failed"
    assert "few_shot_cot" in record["error"]


def test_a_role_that_was_not_declared_fails(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="never_declared"):
        run(miniature(annotation=AnotherRole()), tmp_path)


@pytest.mark.parametrize("picks", ["twice", "bought before", "made up"])
def test_picks_that_would_be_paid_twice_or_are_no_questions_of_the_pool_fail(tmp_path: Path, picks: str) -> None:
    with pytest.raises(ValueError, match="not in the pool or was picked already"):
        run(miniature(schedule=Rounds(), selection=StrangePicks(picks)), tmp_path)


def test_rounds_that_share_more_than_the_budget_fail(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"add up to 1\.25\d* of the budget"):
        run(miniature(schedule=Rounds((0.5, 0.75))), tmp_path)


def test_nothing_to_train_on_is_a_failed_cell_with_its_reason(tmp_path: Path) -> None:
    outcome, record = recorded(miniature("teacher.empty_rate=1.0"), tmp_path)
    assert outcome.status == "failed"
    assert "no training examples" in record["error"]


def test_a_failed_cell_is_tried_again_and_its_attempt_is_kept(tmp_path: Path) -> None:
    first, _ = recorded(miniature("teacher.empty_rate=1.0"), tmp_path)
    again, _ = recorded(miniature("teacher.empty_rate=1.0"), tmp_path)
    assert (first.cell_id, first.status, again.status) == (again.cell_id, "failed", "failed")
    assert len(list((tmp_path / ".attempts").iterdir())) == 1
    done, _ = recorded(miniature(), tmp_path)
    skipped, _ = recorded(miniature(), tmp_path)
    assert (done.status, skipped.status) == ("complete", "already complete")
