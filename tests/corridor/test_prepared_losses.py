"""A loss that prepares once for its cell: each example's signal is made once, and is what a live teacher would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.axes.data_policy import FixedData
from benchmark.cell.cell import Cell
from benchmark.contract import DataPolicy, Loss, Preparation, PreparingLoss, Requirements, StepModel, StepState
from benchmark.student.batch import MicroBatch
from benchmark.types import Term, TrainingExample
from tests.corridor.corridor_parts import UNSEEN, Killed, Rounds, fingerprint, miniature, run
from tests.rehearsals.tensor_parts import (
    EVERY_STEP,
    WorkedSolutions,
    live_teacher,
    model_folder,
    outcome,
)

KEPT = 3
"""How many of the teacher's likeliest tokens a signal keeps."""


def best(log_probabilities: torch.Tensor) -> torch.Tensor:
    """[n, 2 * KEPT]: the likeliest tokens, then their log-probabilities."""
    values, tokens = log_probabilities.topk(KEPT)
    return torch.cat([tokens.float(), values], -1)


def against_best(log_probabilities: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
    """[n]: cross-entropy with the teacher's likeliest tokens, in nats."""
    tokens, theirs = signal.split(KEPT, -1)
    return -(theirs.exp() * log_probabilities.gather(1, tokens.long())).sum(-1)


@dataclass(frozen=True)
class AgainstLiveTeacher:
    """Asks the teacher in every step."""

    data_policy: DataPolicy = field(default_factory=FixedData)

    @property
    def settings(self) -> Mapping[str, float]:
        return {}

    def requires(self) -> Requirements:
        return Requirements(distributions=frozenset({"teacher"}))

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        return of_format

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        values = student.over_positions(against_best, student.hidden(batch), self.signal(batch, state))
        return {name: (scale * values).sum() for name, scale in batch.scale.items()}

    def signal(self, batch: MicroBatch, state: StepState) -> torch.Tensor:
        assert state.prepared is None
        teacher = state.frozen["teacher"]
        return teacher.over_positions(best, teacher.hidden(batch))


@dataclass(frozen=True)
class AgainstPreparedTeacher(AgainstLiveTeacher):
    """Asks the teacher once about every example."""

    asked: list[TrainingExample] = field(default_factory=list, metadata=UNSEEN)
    fits: list[int] = field(default_factory=list, metadata=UNSEEN)

    def prepare(self, examples: Sequence[TrainingExample], preparation: Preparation) -> Any:
        found = dict(preparation.earlier or {})
        self.fits.append(len(found))
        teacher = preparation.frozen["teacher"]
        for batch in preparation.batches([example for example in examples if example not in found]):
            self.asked.extend(batch.examples)
            signal = teacher.over_positions(best, teacher.hidden(batch))
            found.update(zip(batch.examples, batch.split(signal), strict=True))
        return found

    def signal(self, batch: MicroBatch, state: StepState) -> torch.Tensor:
        return torch.cat([state.prepared[example] for example in batch.examples])


@dataclass(frozen=True)
class Dies(AgainstPreparedTeacher):
    """Dies in the second fit of its cell, before the step `after`."""

    after: int = 0

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        if len(self.fits) == 2 and state.step == self.after:
            raise Killed
        return super().values(batch, student, state)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("teacher"), more_rows=2)


def cell_of(teacher: Path, loss: Loss, *overrides: str, **parts: Any) -> Cell:
    return miniature(
        *live_teacher(teacher),
        "trainer.micro_batch_tokens=150",
        *overrides,
        annotation=WorkedSolutions(),
        schedule=Rounds(),
        loss=loss,
        **parts,
    )


def test_over_all_rounds_the_teacher_is_asked_once_about_every_example(teacher: Path, tmp_path: Path) -> None:
    loss = AgainstPreparedTeacher()
    ran = run(cell_of(teacher, loss), tmp_path)
    assert loss.fits == [0, 3, 6]  # what the rounds before had made
    assert len(loss.asked) == len(set(loss.asked)) == 12
    assert ran.history[-1].computed["teacher/training"].calls == 12


def test_a_prepared_signal_trains_as_the_live_one(teacher: Path, tmp_path: Path) -> None:
    prepared = run(cell_of(teacher, AgainstPreparedTeacher()), tmp_path / "prepared").cell_run.student
    live = run(cell_of(teacher, AgainstLiveTeacher()), tmp_path / "live").cell_run.student
    untrained = run(cell_of(teacher, AgainstLiveTeacher(), "optimization.learning_rate=1e-9"), tmp_path / "untrained")
    pairs = zip(prepared.network.parameters(), live.network.parameters(), strict=True)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in pairs)
    assert fingerprint(prepared) != fingerprint(untrained.cell_run.student)


def test_after_an_interruption_it_is_prepared_anew_and_the_cell_ends_the_same(teacher: Path, tmp_path: Path) -> None:
    whole = outcome(run(cell_of(teacher, AgainstPreparedTeacher()), tmp_path / "whole"))
    with pytest.raises(Killed):  # in the second round, at its third step
        run(cell_of(teacher, Dies(after=2), EVERY_STEP), tmp_path / "killed")
    loss = AgainstPreparedTeacher()
    again = outcome(run(cell_of(teacher, loss, EVERY_STEP), tmp_path / "killed"))
    assert (again["weights"], again["predictions"]) == (whole["weights"], whole["predictions"])
    assert loss.fits == [0, 6]  # the second round again, for all of its examples, and the third
    assert len(loss.asked) == len(set(loss.asked)) == 12


def test_a_loss_with_prepare_is_a_preparing_loss_and_another_is_not() -> None:
    assert isinstance(AgainstPreparedTeacher(), PreparingLoss)
    assert not isinstance(AgainstLiveTeacher(), PreparingLoss)
