"""A cell that dies anywhere and is run again ends as if it had never stopped, and pays for nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.axes.data_policy import FixedData
from benchmark.axes.loss import CrossEntropy
from benchmark.cell.cell import Cell
from benchmark.records.record_parts import TestScore
from benchmark.student.module import StudentModule
from benchmark.types import PlannedRequest, Reply, Request, Usage
from tests.cases import cases
from tests.corridor.corridor_parts import (
    AsksTheRulesAgain,
    AsksTheStudent,
    DropsAndWeighs,
    Killed,
    Ran,
    Rounds,
    TwoStages,
    fingerprint,
    miniature,
    run,
)


@dataclass(frozen=True)
class CountingTeacher:
    """The cell's own teacher; notes every question, and dies at the call that it is told."""

    real: Any
    asked: list[str] = field(default_factory=list)
    dies_at: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def open(self, dataset: Any) -> Any:
        opened, teacher = self.real.open(dataset), self

        class Opened:
            def covers(self, question_id: str) -> bool:
                return bool(opened.covers(question_id))

            def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
                most: Usage = opened.most(request, held_tokens)
                return most

            async def reply(self, request: Request, samples: int) -> list[Reply]:
                if len(teacher.asked) in teacher.dies_at:
                    teacher.dies_at.clear()
                    raise Killed
                if "-pool-" in request.question_id:
                    teacher.asked.append(request.question_id)
                replies: list[Reply] = await opened.reply(request, samples)
                return replies

        return Opened()


def busy_cell(checkpoint_minutes: float = 0) -> Cell:
    """Three rounds, the last two on one student; selection by the student, two stages, dropped annotations."""

    class TwoKeptRounds(Rounds):
        def next_round(self, history: Sequence[Any]) -> Any:
            round_ = super().next_round(history)
            return round_ and replace(round_, restart=round_.index < 2)

    cell = miniature(
        f"trainer.checkpoint_minutes={checkpoint_minutes}",
        "optimization.validation_every_n_steps=4",
        "budget.questions=24",
        "optimization.max_steps=9",
        "optimization.batch_size=2",
        schedule=TwoKeptRounds(),
        selection=AsksTheStudent(),
        weighting=DropsAndWeighs(),
        curriculum=TwoStages(fresh=True),
    )
    return replace(cell, teacher=CountingTeacher(cell.teacher))


TABLES = ("predictions", "annotations", "picks", "stages")


def outcome(ran: Ran) -> dict[str, Any]:
    """All that a record would hold of a run, times left out."""
    result = json.loads(json.dumps(ran.result))
    result["train"].pop("seconds")
    result.pop("seconds_by_phase")
    for time in TestScore.TIMES:
        result["test"][0].pop(time)
    tables = {name: (ran.folder / f"{name}.parquet").read_bytes() for name in TABLES}
    return {**result, **tables, "weights": fingerprint(ran.cell_run.student)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    cell = busy_cell()
    done = outcome(run(cell, tmp_path_factory.mktemp("whole")))
    assert len(cell.teacher.asked) == 24  # type: ignore[union-attr]
    return done


def die_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int, after: bool = False) -> None:
    """The method of that name raises at its call with that number, before or after its work."""
    real, calls = getattr(owner, name), [0]

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == number and not after:
            raise Killed
        value = real(*args, **kwargs)
        if calls[0] == number:
            raise Killed
        return value

    monkeypatch.setattr(owner, name, counted)


def died_and_went_on(cell: Cell, folder: Path, kill: Callable[[], None], undo: Callable[[], None]) -> Ran:
    kill()
    with pytest.raises(Killed):
        run(cell, folder)
    undo()
    return run(cell, folder)


@pytest.mark.parametrize("call", cases([0, 1, 3, 5, 6, 8, 11, 12, 15, 19, 22, 23], default=(0, 5, 6, 15, 23)))
def test_killed_at_any_question_nothing_is_paid_twice(call: int, tmp_path: Path, whole: dict[str, Any]) -> None:
    cell = busy_cell()
    teacher: Any = cell.teacher
    ran = died_and_went_on(cell, tmp_path, lambda: teacher.dies_at.append(call), lambda: None)
    assert outcome(ran) == whole
    assert len(teacher.asked) == len(set(teacher.asked)) == 24


def test_what_an_earlier_round_asked_is_not_paid_for_again(tmp_path: Path) -> None:
    def cell_of() -> Cell:
        cell = miniature("trainer.checkpoint_minutes=0", schedule=Rounds(), annotation=AsksTheRulesAgain())
        return replace(cell, teacher=CountingTeacher(cell.teacher))

    whole, cell = outcome(run(cell_of(), tmp_path / "whole")), cell_of()
    assert whole["rounds"][-1]["charged"]["teacher"]["calls"] == 13  # twelve questions, and the rules once
    teacher: Any = cell.teacher
    assert outcome(died_and_went_on(cell, tmp_path, lambda: teacher.dies_at.append(9), lambda: None)) == whole
    assert len(teacher.asked) == 13


@pytest.mark.parametrize("step", cases([1, 2, 3, 4, 6, 7, 9, 12, 13, 16, 18], default=(1, 4, 9, 16)))
@pytest.mark.parametrize("minutes", [0, 1000], ids=["a checkpoint a step", "no checkpoint"])
def test_killed_at_any_step_training_ends_in_the_same_weights(
    step: int, minutes: float, tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, stuck = busy_cell(minutes), pytest.MonkeyPatch()
    ran = died_and_went_on(
        cell, tmp_path, lambda: die_at(stuck, StudentModule, "training_step", step, after=True), stuck.undo
    )
    assert outcome(ran) == whole
    assert len(cell.teacher.asked) == 24  # type: ignore[union-attr]


def test_killed_at_every_other_step_one_attempt_after_the_other(tmp_path: Path, whole: dict[str, Any]) -> None:
    cell, deaths = busy_cell(), 0
    while True:
        stuck = pytest.MonkeyPatch()
        die_at(stuck, StudentModule, "training_step", 2)
        try:
            ran = run(cell, tmp_path)
            break
        except Killed:
            deaths += 1
        finally:
            stuck.undo()
    assert deaths >= 15  # of eighteen steps, each attempt got one further
    assert outcome(ran) == whole


@pytest.mark.parametrize(
    ("owner", "name", "calls"),
    [
        ("benchmark.records.journal.Journal", "write", 18),
        ("benchmark.records.journal.Journal", "replace", 40),
        ("benchmark.running.examination.Examination", "_measure", 6),
    ],
)
def test_killed_at_any_write_or_evaluation(
    owner: str, name: str, calls: int, tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One death after the other, at every second of these moments, each attempt going on from the one before."""
    module, _, cls = owner.rpartition(".")
    target = getattr(__import__(module, fromlist=[cls]), cls)
    cell, deaths = busy_cell(), 0
    for number in range(1, calls, 2):
        stuck = pytest.MonkeyPatch()
        die_at(stuck, target, name, number, after=number % 4 == 1)
        try:
            run(cell, tmp_path)
        except Killed:
            deaths += 1
        finally:
            stuck.undo()
    assert deaths > 2
    assert outcome(run(cell, tmp_path)) == whole
    assert len(cell.teacher.asked) == 24  # type: ignore[union-attr]


DAMAGED = ("picks.json", "bought.jsonl", "fit/pointer.json", "fit/stages.jsonl", "fit/step-3.ckpt")


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("how", cases(["empty", "cut", "one byte"], default=("one byte",)))
def test_a_damaged_file_is_named_and_its_work_done_again(
    name: str, how: str, tmp_path: Path, whole: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    cell, stuck = busy_cell(), pytest.MonkeyPatch()
    path = tmp_path / ".journals" / "cell" / "round-0" / name

    def damage() -> None:
        stuck.undo()
        content = path.read_bytes()
        middle = len(content) // 2
        broken = {"empty": b"", "cut": content[:-9], "one byte": content[:middle] + b"\x00" + content[middle + 1 :]}
        path.write_bytes(broken[how])

    ran = died_and_went_on(cell, tmp_path, lambda: die_at(stuck, StudentModule, "training_step", 4), damage)
    assert outcome(ran) == whole
    if how != "empty" or not name.endswith("jsonl"):  # an empty file of lines is one that holds nothing yet
        assert f"round-0/{name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.json", "fit.json", "end.json"])
def test_damaged_weights_are_trained_again_from_purchases_that_stay(
    name: str, tmp_path: Path, whole: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    cell = busy_cell()
    teacher: Any = cell.teacher

    def damage() -> None:
        path = tmp_path / ".journals" / "cell" / "round-1" / name
        content = path.read_bytes()
        path.write_bytes(content[:-5] + (b"\x00" * 5 if name == "weights.safetensors" else b""))

    ran = died_and_went_on(cell, tmp_path, lambda: teacher.dies_at.append(18), damage)
    assert outcome(ran) == whole
    assert len(teacher.asked) == 24
    if name != "fit.json":  # nobody reads it once the round has ended
        assert f"round-1/{name}" in capsys.readouterr().out


def test_the_stream_goes_on_where_a_policy_supplied_several_steps(tmp_path: Path) -> None:
    """A checkpoint never falls inside of one supply, whose steps belong together."""

    class InThrees(FixedData):
        def supply(self, drawn: Sequence[Any], state: Any) -> Any:
            return [drawn[:2], drawn[2:], drawn]

    def cell_of() -> Cell:
        return miniature("trainer.checkpoint_minutes=0", loss=CrossEntropy(data_policy=InThrees()))

    uninterrupted = outcome(run(cell_of(), tmp_path / "whole"))
    for step in (2, 3, 4, 5, 6):
        stuck = pytest.MonkeyPatch()
        folder = tmp_path / str(step)
        ran = died_and_went_on(
            cell_of(),
            folder,
            lambda stuck=stuck, step=step: die_at(stuck, StudentModule, "training_step", step, after=True),  # type: ignore[misc]
            stuck.undo,
        )
        assert outcome(ran) == uninterrupted
