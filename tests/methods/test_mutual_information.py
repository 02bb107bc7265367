"""The mutual-information term over label and rationale of a question: whole distributions, per group, in any cut."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.axes.loss import CrossEntropy
from benchmark.cell.cell import Cell
from benchmark.student.batch import collate
from benchmark.student.student import Student
from benchmark.types import Span, TrainingExample
from methods.mutual_information import COUPLING, MutualInformation
from methods.step_by_step import StepByStepFormat
from tests.corridor.corridor_parts import DropsAndWeighs, fingerprint, miniature, run
from tests.rehearsals.tensor_parts import (
    EVERY_STEP,
    ONE_GROUP,
    UNCLIPPED,
    WHOLE_STEP,
    TrainedStep,
    assert_as_by_hand,
    close,
    gradient,
    killed_and_gone_on,
    nats,
    outcome,
    target_logits,
    watched,
)
from tests.student.student_parts import losses, shared_student

BETA = 0.8
POOLINGS: tuple[Any, ...] = ("mean", "released")


def cell_of(*overrides: str, loss: Any = None) -> Cell:
    return miniature(
        "method=step_by_step",
        "teacher.malformed_rate=0.3",  # so that some questions have one of the two tasks alone
        *overrides,
        "budget.questions=16",
        weighting=DropsAndWeighs(),
        loss=loss or MutualInformation(BETA),
    )


def by_hand(student: Student, step: TrainedStep, pooling: str) -> dict[str, torch.Tensor]:
    """Both tasks' means, and the coupling by loops over questions, tokens and the vocabulary."""
    hard: dict[str, list[torch.Tensor]] = {"label": [], "rationale": []}
    pooled: dict[str, dict[str, torch.Tensor]] = {}
    weights: dict[str, float] = {}
    for row in student.encoder.examples(step.examples):
        logits = target_logits(student.network, row)
        hard[row.example.task].append(torch.tensor(row.weights) * nats(logits, row))
        distributions = torch.stack([torch.softmax(position, -1) for position in logits])
        pool = torch.max if pooling == "released" else torch.mean
        pooled.setdefault(row.example.group, {})[row.example.task] = torch.stack([pool(p) for p in distributions.T])
        weights[row.example.group] = row.example.weight
    couplings = [torch.zeros(())] * sum(len(tasks) == 1 for tasks in pooled.values())
    for group, tasks in pooled.items():
        if len(tasks) == 2:
            q = tasks["rationale"]
            scores = q - q.exp().sum().log() if pooling == "released" else q.log()
            couplings.append(-weights[group] * (tasks["label"].detach() * scores).sum())
    found = {name: 0.5 * torch.cat(values).mean() for name, values in hard.items() if values}
    return {**found, COUPLING: BETA * torch.stack(couplings).mean()}


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("cut", [ONE_GROUP, "trainer.micro_batch_tokens=250", WHOLE_STEP])
def test_every_step_is_that_of_a_loop_in_any_cut(tmp_path: Path, cut: str, pooling: Any) -> None:
    ran, steps = watched(cell_of(cut, UNCLIPPED, loss=MutualInformation(BETA, pooling)), tmp_path)
    alone = 0
    for step in steps:
        student = step.student(ran)
        assert_as_by_hand(step, student, by_hand(student, step, pooling))
        groups = [example.group for example in step.examples]
        alone += sum(groups.count(group) == 1 for group in set(groups))
    assert alone > 0
    assert min(step.values[COUPLING] for step in steps) > 0.1


def two_tasks(label: str = "7", rationale: str = "4+3=7") -> list[TrainingExample]:
    texts = {"label": label, "rationale": rationale}
    return [TrainingExample("q", task, f"{task}: 4+3", (Span(text, name=task),)) for task, text in texts.items()]


def coupling_of(student: Student, examples: list[TrainingExample], pooling: Any = "mean") -> torch.Tensor:
    loss = MutualInformation(1.0, pooling)
    step = collate(student.encoder.examples(examples), loss.terms(StepByStepFormat().terms(), {}), 0, 10**9)
    return losses(student, step, loss)[COUPLING]


def test_the_gradient_reaches_the_rationale_alone() -> None:
    """The released code's shape: the label side is a target. Its gradient is that of the rationale for a fixed one."""
    student = shared_student()
    label, rationale = student.encoder.examples(two_tasks())
    target = target_logits(student.network, label).softmax(-1).mean(0).detach()
    learner = target_logits(student.network, rationale).softmax(-1).mean(0)
    fixed = -(target * learner.log()).sum()
    found = coupling_of(student, two_tasks())
    assert torch.allclose(found, fixed, rtol=1e-5)
    assert close(gradient(student.network, found), gradient(student.network, fixed))
    both = -(target_logits(student.network, label).softmax(-1).mean(0) * learner.log()).sum()
    assert not close(gradient(student.network, both), gradient(student.network, fixed))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_vocabulary_of_equally_likely_tokens_gives_the_known_value(pooling: Any) -> None:
    """Uniform distributions pool to 1/V everywhere, for both tasks: -V * 1/V * log(1/V) = log V, in either form."""

    class Uniform:
        def hidden(self, batch: Any) -> Any:
            return batch

        def logits(self, batch: Any) -> torch.Tensor:
            return torch.zeros(len(batch.tokens), 50)

    student: Any = Uniform()
    loss = MutualInformation(1.0, pooling)
    rows = shared_student().encoder.examples(two_tasks("1", "1"))
    step = collate(rows, loss.terms(StepByStepFormat().terms(), {}), 0, 10**9)
    assert float(losses(student, step, loss)[COUPLING]) == pytest.approx(math.log(50), rel=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("which", [0, 1])
def test_one_task_alone_couples_with_nothing(which: int, pooling: Any) -> None:
    student = shared_student()
    value = coupling_of(student, two_tasks()[which : which + 1], pooling)
    assert float(value.detach()) == 0


def test_without_weight_it_is_step_by_step_bit_for_bit(tmp_path: Path) -> None:
    one = run(cell_of(loss=MutualInformation(0.0)), tmp_path / "no coupling")
    other = run(cell_of(loss=CrossEntropy()), tmp_path / "cross-entropy")
    coupled = run(cell_of(), tmp_path / "coupled")
    marks = [fingerprint(ran.cell_run.student) for ran in (one, other, coupled)]
    assert marks[0] == marks[1] != marks[2]


def test_two_runs_are_equal_and_so_is_one_that_was_killed(tmp_path: Path) -> None:
    whole = outcome(run(cell_of(), tmp_path / "whole"))
    assert outcome(run(cell_of(), tmp_path / "twin")) == whole
    for deaths in ((0, 1, 2), (5,)):
        again = killed_and_gone_on(lambda: cell_of(EVERY_STEP), tmp_path / str(deaths), deaths)
        assert outcome(again) == whole, deaths


def test_a_token_that_the_rationale_never_finds_likely_gives_a_number() -> None:
    """Float32 knows no number for exp(-200): the coupling is then large, and neither it nor a gradient is infinite."""
    loss = MutualInformation(1.0)
    rows = shared_student().encoder.examples(two_tasks("1", "1"))
    batch = collate(rows, loss.terms(StepByStepFormat().terms(), {}), 0, 10**9).micro_batches[0]
    logits = torch.zeros(len(batch.tokens), 50)
    is_label = torch.tensor([example.task == "label" for example in batch.examples])[batch.example_of]
    logits[is_label, 3] = 200.0
    logits[~is_label, 7] = 200.0
    logits.requires_grad_()
    value = loss.coupling(logits, batch, 1).sum()
    [gradient] = torch.autograd.grad(value, logits)
    assert 50 < float(value.detach()) < 100
    assert torch.isfinite(gradient).all()


def test_the_mean_form_is_least_where_both_tasks_agree() -> None:
    """A cross-entropy is at least the target's entropy, and equals it for equal distributions."""
    loss = MutualInformation(1.0)
    rows = shared_student().encoder.examples(two_tasks("1", "1"))
    batch = collate(rows, loss.terms(StepByStepFormat().terms(), {}), 0, 10**9).micro_batches[0]
    logits = torch.randn(1, 20, generator=torch.Generator().manual_seed(0)).repeat(len(batch.tokens), 1)
    entropy = -(logits[0].softmax(-1) * logits[0].log_softmax(-1)).sum()
    assert float(loss.coupling(logits, batch, 1)) == pytest.approx(float(entropy), rel=1e-5)
    is_label = torch.tensor([example.task == "label" for example in batch.examples])[batch.example_of]
    other = torch.where(is_label[:, None], logits, 2 * logits)
    assert float(loss.coupling(other, batch, 1)) > float(entropy) + 0.01
