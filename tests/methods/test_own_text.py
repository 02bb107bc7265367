"""On-policy steps: when the student writes, with which weights, what is learnt from it, and that two paths agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.axes.data_policy import OWN, TEACHER_TEXT, OwnText, TeacherText
from benchmark.cell.cell import Cell
from benchmark.student.encoding import EncodedExample
from benchmark.student.student import Student
from benchmark.types import Request
from methods.divergences import forward_kl, skew_forward_kl, skew_reverse_kl
from methods.white_box import Contrastive, JensenShannon, WhiteBox
from tests.corridor.corridor_parts import miniature
from tests.rehearsals.tensor_parts import (
    ONE_GROUP,
    UNCLIPPED,
    TrainedStep,
    WorkedSolutions,
    assert_as_by_hand,
    live_teacher,
    network_in,
    target_logits,
    watched,
)

STEPS = 8


def cell_of(teacher: Path, loss: Any, *overrides: str) -> Cell:
    return miniature(
        "method=rationale_then_answer",
        *live_teacher(teacher),
        f"optimization.max_steps={STEPS}",
        *overrides,
        annotation=WorkedSolutions(),
        loss=loss,
    )


def tasks(step: TrainedStep) -> set[str]:
    return {example.task for example in step.examples}


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.5, 1, 7), (1.0, 8, 8)])
def test_the_student_writes_in_its_share_of_the_steps_and_in_no_other(
    teacher: Path, tmp_path: Path, share: float, low: int, high: int
) -> None:
    """21: GKD's coin; one `generate` of the whole batch per step on own text."""
    ran, steps = watched(cell_of(teacher, WhiteBox(JensenShannon(), OwnText(share))), tmp_path)
    own = [step for step in steps if tasks(step) == {OWN}]
    assert low <= len(own) <= high
    assert all(tasks(step) in ({OWN}, {"rationale_and_answer"}) for step in steps)
    written = sum(len(step.examples) for step in own)
    computed = ran.result["rounds"][0]["computed"]
    assert computed.get("student/training", {"calls": 0})["calls"] == written


def test_over_many_steps_the_share_is_the_set_one() -> None:
    """21: within three standard errors over 2,000 draws."""
    from benchmark.random_streams import stream

    draws = [stream("seed", 1, "own_text", step).random() < 0.5 for step in range(2000)]
    assert abs(sum(draws) / 2000 - 0.5) < 3 * (0.25 / 2000) ** 0.5


def test_text_comes_from_the_weights_at_its_step_and_ends_where_the_student_ended(
    teacher: Path, tmp_path: Path
) -> None:
    """22, and what is trained on at step t was written by the weights at t, not by earlier ones."""
    ran, steps = watched(cell_of(teacher, WhiteBox(data_policy=OwnText())), tmp_path)
    stale = 0
    for number, step in enumerate(steps):
        for example in step.examples:
            request = Request(OWN, example.prompt, example.group, None, 1.0)
            [[now]] = step.student(ran).generate([request], key=f"step{number}")
            assert now.token_ids == example.token_ids
            [[before]] = steps[0].student(ran).generate([request], key=f"step{number}")
            stale += before.token_ids != example.token_ids
    assert stale > STEPS  # the weights at the first step would have written something else


def test_a_cross_entropy_never_covers_own_text(teacher: Path, tmp_path: Path) -> None:
    _, steps = watched(cell_of(teacher, WhiteBox(data_policy=OwnText(0.5), distillation_weight=0.3)), tmp_path)
    for step in steps:
        hard = "rationale_and_answer" in step.values
        assert hard == (tasks(step) != {OWN})


def test_the_teachers_text_is_learnt_as_a_target(teacher: Path, tmp_path: Path) -> None:
    """SeqKD: the frozen model writes, and cross-entropy and divergence both read its tokens."""
    loss = WhiteBox(data_policy=TeacherText(temperature=0.0), distillation_weight=0.5)
    ran, steps = watched(cell_of(teacher, loss), tmp_path)
    frozen = ran.cell_run.models.frozen["teacher"].model
    for example in steps[0].examples:
        request = Request(OWN, example.prompt, example.group, None, 0.0)
        assert frozen.generate([request])[0][0].token_ids == example.token_ids
    assert set(steps[0].values) == {"rationale_and_answer", "rationale_and_answer/distillation"}


def test_contrastive_pairs_by_hand(teacher: Path, tmp_path: Path) -> None:
    """Per text a mean over sequences of means over tokens, of another divergence for either writer."""
    ran, steps = watched(cell_of(teacher, Contrastive(own_weight=0.6), UNCLIPPED, ONE_GROUP), tmp_path)
    other = network_in(teacher)
    for step in steps[:3]:
        assert tasks(step) == {OWN, TEACHER_TEXT}
        student = step.student(ran)
        means: dict[str, list[torch.Tensor]] = {OWN: [], TEACHER_TEXT: []}
        for row in student.encoder.examples(step.examples):
            log_q, log_p = (target_logits(model, row).log_softmax(-1) for model in (student.network, other))
            kind = row.example.task
            value = skew_reverse_kl(log_q, log_p, 0.1) if kind == OWN else skew_forward_kl(log_q, log_p, 0.1)
            means[kind].append(value.mean())
        found = {
            "teacher_text/distillation": 1.4 * torch.stack(means[TEACHER_TEXT]).mean(),
            "own_text/distillation": 0.6 * torch.stack(means[OWN]).mean(),
        }
        values = {name: float(value.detach()) for name, value in found.items()}
        assert step.values == pytest.approx(values, rel=1e-4)
    with pytest.raises(ValueError, match=r"own_weight=2.5 must lie in \[0, 2\]"):
        Contrastive(own_weight=2.5)


def sequence_means(student: Student, folder: Path, rows: list[EncodedExample]) -> torch.Tensor:
    other = network_in(folder)
    pairs = [(target_logits(student.network, row), target_logits(other, row)) for row in rows]
    return torch.stack([forward_kl(q.log_softmax(-1), p.log_softmax(-1)).mean() for q, p in pairs])


def test_a_mean_per_sequence(teacher: Path, tmp_path: Path) -> None:
    """Long texts count no more than short ones."""
    ran, steps = watched(cell_of(teacher, WhiteBox(per="sequence"), UNCLIPPED), tmp_path)
    for step in steps[:3]:
        student = step.student(ran)
        mean = sequence_means(student, teacher, student.encoder.examples(step.examples)).mean()
        assert_as_by_hand(step, student, {"rationale_and_answer/distillation": mean})


@pytest.mark.slow
def test_two_hundred_steps_of_the_fused_and_the_plain_path_are_one_trajectory(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights stay within float tolerance of each other, and the distance does not grow like a drift."""
    import benchmark.student.student as module

    cell = cell_of(teacher, WhiteBox(JensenShannon()), "optimization.max_steps=200", "optimization.learning_rate=1e-3")
    _, fused = watched(cell, tmp_path / "fused")

    def plain(summand: Any, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        log_q = torch.log_softmax(hidden @ weight.T, -1)
        parts = [s if isinstance(s, torch.Tensor) else s.at(slice(0, len(hidden))) for s in summand.signals]
        return (summand.function(log_q, *parts) * summand.factors).sum(0)

    monkeypatch.setattr(module, "weighted_sums", plain)
    _, by_logits = watched(cell, tmp_path / "plain")
    gaps = []
    for one, other in zip(fused, by_logits, strict=True):
        pairs = [(one.weights[name].double(), other.weights[name].double()) for name in one.weights]
        gaps.append(max(float((a - b).abs().max()) for a, b in pairs))
    assert gaps[0] == 0
    assert max(gaps) < 1e-3
