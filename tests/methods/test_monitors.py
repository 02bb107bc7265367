"""What loggers see of a white-box loss beside its terms: entropies and agreement, which no weight depends on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning.loggers import Logger

import methods.comparison
from benchmark.axes.loss import CrossEntropy
from benchmark.cell.cell import Cell
from benchmark.console.progress import Silent
from benchmark.corridor import CellRun
from benchmark.records.journal import Journal
from benchmark.records.record import CellFolder
from benchmark.student.monitors import StepMonitors
from methods.comparison import MONITORED, Compared, Glance, sums_of_terms
from methods.teacher_signals import LiveSignal, TopKSignal
from methods.white_box import Contrastive, ForwardKL, WhiteBox
from tests.corridor.corridor_parts import DropsAndWeighs, Ran, miniature
from tests.rehearsals.tensor_parts import (
    ONE_GROUP,
    UNCLIPPED,
    WHOLE_STEP,
    TrainedStep,
    WatchedOptimization,
    Watching,
    WorkedSolutions,
    live_teacher,
    network_in,
    target_logits,
    watched,
    with_loss,
)

NAMES = {f"monitor/{name}" for name in MONITORED}


class Kept(Logger):
    """Keeps the training rows."""

    name, version = "kept", "0"

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if "train/loss" in metrics:
            self.rows.append(dict(metrics))

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    @property
    def monitors(self) -> list[dict[str, float]]:
        """Per logged step what is no part of the loss."""
        return [{name: row[name] for name in row if name.startswith("monitor/")} for row in self.rows]


def cell_of(teacher: Path, *overrides: str, loss: Any = None) -> Cell:
    parts: dict[str, Any] = {"annotation": WorkedSolutions(), "weighting": DropsAndWeighs()}
    settings = (UNCLIPPED, "optimization.max_steps=3", "trainer.log_every_n_steps=1", *overrides)
    loss = loss or WhiteBox(distillation_weight=0.7, temperature=2.0)
    return miniature("method=step_by_step", *live_teacher(teacher), *settings, loss=loss, **parts)


def logged(cell: Cell, folder: Path) -> tuple[Ran, list[TrainedStep], Kept]:
    """The cell run with a logger, and its steps."""
    loss, log = Watching(cell.method.loss), Kept()
    optimization = WatchedOptimization(**asdict(cell.optimization), batches=loss.batches)
    place = CellFolder(folder, "cell")
    cell = replace(with_loss(cell, loss), optimization=optimization)
    made = CellRun(cell, place, Journal.open(folder, "cell", print), Silent(), [log])
    return Ran(made, made.run().as_json(), place.path), optimization.steps, log


# --- the numbers -----------------------------------------------------------------------------------------------------


def test_entropies_and_agreement_have_their_closed_forms() -> None:
    halves = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.0, 0.0, 0.0, 1.0]]).log()
    log_q = torch.tensor([[0.25] * 4, [0.1, 0.1, 0.1, 0.7]]).log()
    found = Glance(LiveSignal())(log_q, halves)
    of_student = -(0.3 * math.log(0.1) + 0.7 * math.log(0.7))
    assert found[0].tolist() == pytest.approx([math.log(4), 1.75 * math.log(2), 1.0])
    assert found[1].tolist() == pytest.approx([of_student, 0.0, 1.0])
    assert Glance(LiveSignal())(log_q, halves.flip(-1))[:, 2].tolist() == [0.0, 0.0]


def test_a_stored_signal_of_few_tokens_counts_the_others_as_one() -> None:
    kept, log_p, log_tail = torch.tensor([[3, 1]]), torch.tensor([[0.5, 0.25]]).log(), torch.tensor([0.25]).log()
    log_q = torch.tensor([[0.1, 0.1, 0.1, 0.6, 0.1]]).log()
    for tail in ("bucket", "drop", "renormalise"):
        glance = Glance(TopKSignal(k=2, tail=tail))
        assert glance(log_q, kept, log_p, log_tail)[0, 1:].tolist() == pytest.approx([1.5 * math.log(2), 1.0])
        assert float(glance(log_q.roll(1, -1), kept, log_p, log_tail)[0, 2]) == 0.0


def test_means_weigh_every_position_alike_and_nothing_has_no_mean() -> None:
    monitors = StepMonitors()
    monitors.add({"one": torch.tensor(6.0)}, 1)
    monitors.add({"one": torch.tensor(2.0)}, 3)
    assert monitors.means() == {"monitor/one": 2.0}
    monitors = StepMonitors()
    monitors.add({"one": torch.tensor(0.0)}, 0)
    assert monitors.means() == {}


def by_hand(ran: Ran, step: TrainedStep, folder: Path) -> dict[str, float]:
    """Means over all target tokens with weight, from whole sequences."""
    student, teacher, rows = step.student(ran), network_in(folder), list[Sequence[float]]()
    for row in student.encoder.examples(step.examples):
        ours, theirs = target_logits(student.network, row), target_logits(teacher, row)
        entropies = [torch.special.entr(each.softmax(-1)).sum(-1) for each in (ours, theirs)]
        same = (ours.argmax(-1) == theirs.argmax(-1)).float()
        rows += [
            numbers for numbers, weight in zip(torch.stack([*entropies, same], -1), row.weights, strict=True) if weight
        ]
    means = torch.tensor([[float(number) for number in row] for row in rows]).mean(0)
    return {f"monitor/{name}": float(mean) for name, mean in zip(MONITORED, means, strict=True)}


@pytest.mark.parametrize("cut", [ONE_GROUP, WHOLE_STEP])
def test_loggers_get_means_over_the_steps_target_tokens_in_any_cut(teacher: Path, tmp_path: Path, cut: str) -> None:
    ran, steps, log = logged(cell_of(teacher, cut), tmp_path)
    assert len(steps) == len(log.monitors) == 3
    for step, found in zip(steps, log.monitors, strict=True):
        assert len(step.batches) == (1 if cut == WHOLE_STEP else 4)
        with torch.no_grad():
            assert found == pytest.approx(by_hand(ran, step, teacher), rel=1e-4)


def test_positions_that_only_the_cross_entropy_covers_are_left_out() -> None:
    log_p = torch.log_softmax(torch.eye(3) * 4, -1)
    log_q = log_p.clone()
    log_q[1] = torch.full((3,), -math.log(3))

    class Given:
        """A model whose log-probabilities are known."""

        def __init__(self, rows: torch.Tensor) -> None:
            self.rows = rows

        def hidden(self, batch: Any) -> torch.Tensor:
            return self.rows

        def distributions(self, batch: Any) -> torch.Tensor:
            return self.rows

        def weighted_sums(self, function: Any, hidden: Any, factors: Any, *signals: Any) -> torch.Tensor:
            sums: torch.Tensor = (function(hidden, *signals) * factors).sum(0)
            return sums

    monitors, tokens = StepMonitors(), torch.zeros(3, dtype=torch.long)
    state: Any = SimpleNamespace(monitors=monitors, step=0, total_steps=1, frozen={"teacher": Given(log_p)})
    scale = {"a": torch.tensor([0.0, 1.0, 1.0]), "a/distillation": torch.tensor([0.5, 0.0, 0.5])}
    compared = Compared.of((None, ForwardKL()), 1.0, True)
    sums_of_terms(compared, SimpleNamespace(scale=scale, tokens=tokens), Given(log_q), state)  # type: ignore[arg-type]
    entropy = float(-(log_p[0].exp() * log_p[0]).sum())
    assert list(monitors.means().values()) == pytest.approx([entropy, entropy, 1.0])


# --- what they must not touch ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss", [WhiteBox(distillation_weight=0.7), Contrastive()], ids=lambda loss: type(loss).__name__
)
def test_gradients_are_the_same_bits_with_and_without_a_logger(teacher: Path, tmp_path: Path, loss: Any) -> None:
    ran, steps, log = logged(cell_of(teacher, loss=loss), tmp_path / "logged")
    plain, others = watched(cell_of(teacher, loss=loss), tmp_path / "plain")
    assert all(set(found) == NAMES for found in log.monitors)
    for step, other in zip(steps, others, strict=True):
        assert torch.equal(step.gradient, other.gradient)
        assert step.values == other.values
        assert float(step.gradient.abs().max()) > 0
    [with_logger], [without] = (each.result["rounds"] for each in (ran, plain))
    assert with_logger["computed"] == without["computed"]  # the teacher is asked no second time


def test_only_steps_that_are_logged_compute_them(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    show = methods.comparison._show

    def counted(*arguments: Any) -> None:
        calls.append(1)
        show(*arguments)

    monkeypatch.setattr(methods.comparison, "_show", counted)
    _, _, log = logged(cell_of(teacher, WHOLE_STEP, "trainer.log_every_n_steps=2"), tmp_path)
    assert (len(log.rows), len(calls)) == (2, 2)  # of 3 steps


@pytest.mark.parametrize("loss", [CrossEntropy(), WhiteBox(distillation_weight=0.0)], ids=["plain", "weight 0"])
def test_a_loss_that_asks_no_teacher_has_none(teacher: Path, tmp_path: Path, loss: Any) -> None:
    _, _, log = logged(cell_of(teacher, loss=loss), tmp_path)
    assert log.monitors == [{}, {}, {}]
