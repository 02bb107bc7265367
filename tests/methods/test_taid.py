"""TAID's adaptive share: the published recursion by hand, in training, over micro-batches, rounds and deaths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.cell.cell import Cell
from benchmark.contract import Schedule
from methods.taid import AdaptivelyInterpolated
from methods.white_box import Interpolated, WhiteBox
from tests.corridor.corridor_parts import Rounds, miniature, run
from tests.rehearsals.tensor_parts import (
    EVERY_STEP,
    ONE_GROUP,
    UNCLIPPED,
    WHOLE_STEP,
    WorkedSolutions,
    assert_as_by_hand,
    killed_and_gone_on,
    live_teacher,
    network_in,
    outcome,
    target_logits,
    watched,
)

STEPS = 5
VISIBLE = AdaptivelyInterpolated(first_share=0.3, last_share=0.95, most_per_step=0.8, momentum=0.5)
"""Rises so fast that the straight line is left behind."""


def cell_of(teacher: Path, *overrides: str, divergence: Any = VISIBLE, schedule: Schedule | None = None) -> Cell:
    return miniature(
        "method=rationale_then_answer",
        *live_teacher(teacher),
        f"optimization.max_steps={STEPS}",
        *overrides,
        annotation=WorkedSolutions(),
        schedule=schedule or Rounds(shares=(1.0,)),
        loss=WhiteBox(divergence),
    )


def published(losses: Sequence[float], first: float, last: float, alpha: float, beta: float) -> list[float]:
    """The share at each step, as the paper's algorithm says it; all losses belong to one fit."""
    shares, m = [first], 0.0
    for n in range(len(losses) - 1):
        t = shares[-1]
        if n > 0:
            delta = (losses[n - 1] - losses[n]) / (losses[n - 1] + 1e-15)
            m = beta * m + (1 - beta) * delta
            dt = alpha / (1 + math.exp(-m)) * (1 - t)
            t = min(last, max(first + (last - first) * n / len(losses), t + dt))
        shares.append(t)
    return shares


def played(divergence: AdaptivelyInterpolated, losses: Sequence[float]) -> list[float]:
    memory, shares = None, []
    for n, loss in enumerate(losses):
        shares.append(divergence.progress(memory))
        memory = divergence.remembered(memory, loss, n / len(losses))
    return shares


LOSSES = [2.0, 1.0, 1.5, 0.2, 0.2, 3.0, 0.5, 0.4, 0.3, 0.3]


@pytest.mark.parametrize(("first", "last", "alpha", "beta"), [(0.2, 1.0, 5e-4, 0.99), (0.4, 0.9, 0.3, 0.5)])
def test_the_share_follows_the_published_recursion(first: float, last: float, alpha: float, beta: float) -> None:
    shares = played(AdaptivelyInterpolated(first, last, alpha, beta), LOSSES)
    assert shares == pytest.approx(published(LOSSES, first, last, alpha, beta), abs=1e-12)
    assert shares == sorted(shares)
    assert max(shares) <= last


def test_three_steps_with_numbers() -> None:
    """Falls of 1/2 and -1/2 at half momentum: means of 1/4 and -1/8."""
    shares = played(AdaptivelyInterpolated(0.0, 1.0, 0.1, 0.5), [2.0, 1.0, 1.5] + [1.5] * 997)
    second = 0.1 / (1 + math.exp(-0.25))
    third = second + 0.1 / (1 + math.exp(0.125)) * (1 - second)
    assert shares[:4] == pytest.approx([0, 0, second, third])


def test_without_its_adaptive_part_it_is_the_straight_line_one_step_late() -> None:
    line = Interpolated(0.2, 1.0)
    shares = played(AdaptivelyInterpolated(0.2, 1.0, most_per_step=0.0), LOSSES)
    straight = [line.first_share + (line.last_share - line.first_share) * n / len(LOSSES) for n in range(len(LOSSES))]
    assert shares == pytest.approx([0.2, *straight[:-1]])


def test_a_loss_of_zero_and_a_huge_rise_give_numbers() -> None:
    for losses in ([0.0, 0.0, 0.0], [1e-12, 1e9, 1e-12], [0.0, 1e9, 1.0]):
        assert all(0.2 <= share <= 1 for share in played(AdaptivelyInterpolated(), losses))


@pytest.mark.parametrize("wrong", [{"first_share": -0.1}, {"momentum": 1.5}, {"first_share": 0.9, "last_share": 0.5}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]|is below first_share=0.9"):
        AdaptivelyInterpolated(**wrong)


@pytest.mark.parametrize("cut", [ONE_GROUP, WHOLE_STEP])
def test_every_step_is_compared_with_the_target_at_its_share(teacher: Path, cut: str, tmp_path: Path) -> None:
    """Values, gradients and the share, the same however a step is cut into micro-batches."""
    ran, steps = watched(cell_of(teacher, cut, UNCLIPPED), tmp_path)
    losses = [sum(step.values.values()) for step in steps]
    shares = published(losses, 0.3, 0.95, 0.8, 0.5)
    assert any(share > 0.31 + 0.65 * n / STEPS for n, share in enumerate(shares))  # above the straight line
    other = network_in(teacher)
    for step, share in zip(steps, shares, strict=True):
        student, found = step.student(ran), []
        for row in student.encoder.examples(step.examples):
            s, z = target_logits(student.network, row), target_logits(other, row)
            log_q, log_p = s.log_softmax(-1), z.log_softmax(-1)
            log_r = ((1 - share) * log_q + share * log_p).log_softmax(-1).detach()
            found.append((log_r.exp() * (log_r - log_q)).sum(-1))
        assert_as_by_hand(step, student, {"rationale_and_answer/distillation": torch.cat(found).mean()})
    memory = ran.cell_run.remembered.of_loss.value
    assert memory["loss"] == pytest.approx(losses[-1], rel=1e-6)


def test_a_cell_killed_after_every_step_ends_as_if_it_had_not(teacher: Path, tmp_path: Path) -> None:
    expected = outcome(run(cell_of(teacher), tmp_path / "whole"))
    assert expected["loss"]["share"] > 0.3
    again = killed_and_gone_on(lambda: cell_of(teacher, EVERY_STEP), tmp_path / "killed", (0, *[1] * (STEPS - 1)))
    assert outcome(again) == expected


@pytest.mark.parametrize("restart", [True, False])
def test_the_share_begins_anew_with_a_new_student_and_goes_on_with_the_old_one(
    teacher: Path, restart: bool, tmp_path: Path
) -> None:
    """Killed between the rounds and in the second one, too."""
    steps = f"optimization.max_steps={3 if restart else 6}"

    def make(*overrides: str) -> Cell:
        return cell_of(teacher, steps, *overrides, schedule=Rounds((0.5, 0.5), restart))

    ran, trained = watched(make(), tmp_path / "watched")
    assert len(trained) == 6
    losses = [sum(step.values.values()) for step in trained]
    memory: Any = None
    for n, loss in enumerate(losses):
        memory = None if restart and n == 3 else memory
        memory = VISIBLE.remembered(memory, loss, n % 3 / 3)
    found = ran.cell_run.remembered.of_loss.value
    assert found == pytest.approx(memory, rel=1e-5)
    again = killed_and_gone_on(lambda: make(EVERY_STEP), tmp_path / "killed", (2, 1, 1))
    assert outcome(again)["loss"] == outcome(run(make(), tmp_path / "whole"))["loss"]
