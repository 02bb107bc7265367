"""A cell whose student several processes train: its numbers, its errors, and how it stops and goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.axes.loss import CrossEntropy
from benchmark.cell.cell import Cell
from benchmark.interruption import Interrupted, forget_signals
from benchmark.student.processes import _Talk
from tests.corridor.corridor_parts import Ran, miniature, run


def over(cell: Cell, devices: int = 2) -> Cell:
    return replace(cell, trainer=replace(cell.trainer, devices=devices))


def weights(ran: Ran) -> list[torch.Tensor]:
    return [weight.detach() for weight in ran.cell_run.student.network.parameters()]


def same(one: Ran, other: Ran) -> bool:
    pairs = zip(weights(one), weights(other), strict=True)
    return all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)


def test_two_processes_give_the_weights_the_books_and_the_validations_of_one(tmp_path: Path) -> None:
    cell = miniature("method=rationale_then_answer", "optimization.validation_every_n_steps=2")
    alone, together = run(cell, tmp_path / "alone"), run(over(cell), tmp_path / "together")
    assert same(alone, together)
    times = {"seconds"}
    for part in ("rounds", "counters", "train"):
        first, second = alone.result[part], together.result[part]
        if isinstance(first, Mapping):
            first, second = ({k: v for k, v in each.items() if k not in times} for each in (first, second))
        assert first == second
    assert together.result["seconds_by_phase"]["training"] > 0
    assert together.cell_run.student.network.device == alone.cell_run.student.network.device


@dataclass(frozen=True)
class Fatal(CrossEntropy):
    """Ends one of the processes in the middle of a step."""

    how: str = "raise"

    def values(self, batch: Any, student: Any, state: Any) -> Any:
        """As ever, up to the third step of the second process."""
        if os.environ.get("RANK") == "1" and state.step == 2:
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("this text is too odd")
        return super().values(batch, student, state)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [("raise", ValueError, "^this text is too odd$"), ("kill", RuntimeError, "one of the 2 processes .* died")],
)
def test_a_failing_process_is_an_error_of_the_cell(
    tmp_path: Path, how: str, kind: type[Exception], message: str
) -> None:
    cell = over(miniature("method=answer_only", loss=Fatal(how=how)))
    with pytest.raises(kind, match=message):
        run(cell, tmp_path)


@pytest.mark.slow
def test_a_loss_that_explodes_is_the_error_of_one_process(tmp_path: Path) -> None:
    cell = over(miniature("method=answer_only", "optimization.learning_rate=1e30"))
    with pytest.raises(FloatingPointError, match=r"at optimiser step \d+, terms"):
        run(cell, tmp_path)


@pytest.mark.slow
def test_a_cell_that_is_asked_to_stop_is_saved_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = over(miniature("method=answer_only", "optimization.max_steps=40"))
    undisturbed = run(cell, tmp_path / "undisturbed")
    answer, advanced = _Talk._answer, []

    def stopped(talk: Any, connection: Any, what: str, *values: Any) -> None:
        answer(talk, connection, what, *values)
        if what == "advance":
            advanced.append(values[0])
            if len(advanced) == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    forget_signals()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(_Talk, "_answer", stopped)
            with pytest.raises(Interrupted, match=r"^training is saved at step \d+ of 40$"):
                run(cell, tmp_path / "stopped")
    finally:
        forget_signals()
    assert len(advanced) < 40
    again = run(cell, tmp_path / "stopped")
    assert same(undisturbed, again)
    assert again.result["counters"] == undisturbed.result["counters"]
    assert again.result["train"]["optimiser_steps"] == 40
