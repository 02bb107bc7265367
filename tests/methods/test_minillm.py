"""MiniLLM: its gradient is that of the reverse KL of whole texts, by enumeration, by sampling and in real training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from benchmark.axes.data_policy import OWN, OwnText
from benchmark.cell.cell import Cell
from benchmark.student.batch import MicroBatch, collate
from benchmark.student.encoding import EncodedExample
from benchmark.student.mixing import Partner
from benchmark.student.source import PretrainedStudent
from benchmark.types import Request, Span, TrainingExample
from methods.minillm import ADVANTAGE, POLICY, SINGLE_STEP, WRITTEN, MiniLLM, Rollouts
from tests.corridor.corridor_parts import miniature, run
from tests.methods.counted_texts import END, PREFIXES, TEXTS, TOKENS, Table, Text
from tests.rehearsals.tensor_parts import (
    EVERY_STEP,
    ONE_GROUP,
    UNCLIPPED,
    TrainedStep,
    WorkedSolutions,
    assert_as_by_hand,
    killed_and_gone_on,
    live_teacher,
    nats,
    network_in,
    outcome,
    target_logits,
    watched,
)

PLAIN = Rollouts(epochs=1, teacher_share=0.0, discount=1.0, length_normalised=False, whitened=False)
"""The settings with which the gradient is exact: every later reward counts as it is."""


def example(text: Text) -> TrainingExample:
    return TrainingExample(str(text), OWN, "?", (Span("?", name=OWN),), token_ids=text)


def step_of(examples: Sequence[TrainingExample], loss: MiniLLM) -> MicroBatch:
    rows = [
        EncodedExample(
            one,
            (0,),
            cast(Text, one.token_ids),
            (1.0,) * len(one.token_ids or ()),
            (OWN,) * len(one.token_ids or ()),
            False,
        )
        for one in examples
    ]
    [batch] = collate(rows, loss.terms({}, {}), 0, 10**9).micro_batches
    return batch


def state_of(student: Table, teacher: Table) -> Any:
    return SimpleNamespace(student=student, frozen={"teacher": teacher}, step=0, total_steps=10)


def parts(
    texts: Sequence[Text], policy: Rollouts, loss: MiniLLM, writer: Table, student: Table, teacher: Table
) -> dict[str, torch.Tensor]:
    """The terms of one step with these texts, judged by the weights of `writer`."""
    judged = policy.judged([example(text) for text in texts], state_of(writer, teacher))
    return dict(loss.values(step_of(judged, loss), cast(Any, student), state_of(student, teacher)))


def summed_gradient(text: Text, policy: Rollouts, loss: MiniLLM, student: Table, teacher: Table) -> torch.Tensor:
    """The gradient of a step with this text alone, summed over its tokens: a step is a mean over them."""
    terms = parts([text], policy, loss, student, student, teacher)
    [found] = torch.autograd.grad(torch.stack(list(terms.values())).sum(), student.logits)
    return len(text) * found


def exact_gradient(student: Table, teacher: Table) -> torch.Tensor:
    """Of the reverse KL of whole texts: every text is counted."""
    kl = torch.zeros((), dtype=torch.float64)
    for text in TEXTS:
        log_q = torch.stack(student.nats(text)).sum()
        kl = kl + log_q.exp() * (log_q - torch.stack(teacher.nats(text)).sum().detach())
    [found] = torch.autograd.grad(kl, student.logits)
    return found


def probability(text: Text, student: Table, teacher: Table, share: float = 0.0) -> float:
    """With which a mixture writes the text, token by token."""
    tokens = zip(student.nats(text), teacher.nats(text), strict=True)
    return math.prod(float((1 - share) * q.detach().exp() + share * p.detach().exp()) for q, p in tokens)


def test_the_expected_gradient_is_that_of_the_reverse_kl_of_texts() -> None:
    """The two parts together, at the weights that wrote; clipping changes nothing there."""
    student, teacher = Table(1), Table(2)
    assert sum(probability(text, student, teacher) for text in TEXTS) == pytest.approx(1)
    expected = exact_gradient(student, teacher)
    for clip in (None, 0.2):
        found = sum(
            probability(text, student, teacher) * summed_gradient(text, PLAIN, MiniLLM(PLAIN, clip), student, teacher)
            for text in TEXTS
        )
        assert torch.allclose(cast(torch.Tensor, found), expected, atol=1e-6)
    alone = MiniLLM(PLAIN, None, single_step_weight=0.0)
    without = sum(probability(t, student, teacher) * summed_gradient(t, PLAIN, alone, student, teacher) for t in TEXTS)
    assert not torch.allclose(cast(torch.Tensor, without), expected, atol=0.05)


def test_over_many_samples_the_mean_lies_within_its_confidence_bound() -> None:
    student, teacher, samples = Table(3), Table(4), 20_000
    chances = np.array([probability(text, student, teacher) for text in TEXTS])
    counts = np.random.default_rng(0).multinomial(samples, chances / chances.sum())
    loss = MiniLLM(PLAIN)
    each = torch.stack([summed_gradient(text, PLAIN, loss, student, teacher) for text in TEXTS])
    weights = torch.from_numpy(counts / samples)[:, None, None]
    mean = (weights * each).sum(0)
    standard_error = ((weights * (each - mean) ** 2).sum(0) / samples).sqrt()
    off = (mean - exact_gradient(student, teacher)).abs()
    assert (off < 4 * standard_error + 1e-6).all()
    assert float(standard_error.max()) < 0.05


def test_a_student_that_is_the_teacher_has_no_gradient_on_average_and_no_reward() -> None:
    student = Table(5)
    twin = Table(5)
    for text in TEXTS:
        terms = parts([text], PLAIN, MiniLLM(PLAIN), student, student, twin)
        assert float(terms[SINGLE_STEP].detach()) == pytest.approx(0, abs=1e-9)
        assert summed_gradient(text, PLAIN, MiniLLM(PLAIN), student, twin).abs().max() < 1e-6


# --- text of both models ---------------------------------------------------------------------------------------------


def test_importance_weights_average_1_under_the_mixture() -> None:
    student, teacher = Table(6), Table(7)
    policy = replace(PLAIN, teacher_share=0.3)
    for n, prefix in enumerate(PREFIXES):
        endings = [text for text in TEXTS if text[: len(prefix)] == prefix]
        nexts = {text[len(prefix)]: text for text in endings}
        weights = {}
        for token, text in nexts.items():
            [judged] = policy.judged([example(text)], state_of(student, teacher))
            weights[token] = math.exp(student.known[n, token] - judged.extra[WRITTEN][len(prefix)])
        mixture = 0.7 * student.known[n].exp() + 0.3 * teacher.known[n].exp()
        assert sum(float(mixture[token]) * weight for token, weight in weights.items()) == pytest.approx(1, abs=1e-6)


def test_under_the_mixture_the_expected_gradient_is_the_papers() -> None:
    """Each token has the weight of its own step; the texts before and behind it are those of the mixture."""
    student, teacher, share = Table(8), Table(9), 0.3
    policy = replace(PLAIN, teacher_share=share)
    found = sum(
        probability(text, student, teacher, share)
        * summed_gradient(text, policy, MiniLLM(policy, None), student, teacher)
        for text in TEXTS
    )
    q, p = student.known.exp(), teacher.known.exp()
    mixture, reward = (1 - share) * q + share * p, (teacher.known - student.known)

    def later(prefix: Text) -> float:
        """The expected sum of rewards behind a beginning, which the mixture writes."""
        if prefix not in PREFIXES:
            return 0.0
        n = PREFIXES.index(prefix)
        return sum(float(mixture[n, y]) * (float(reward[n, y]) + later((*prefix, y))) for y in range(TOKENS))

    expected = torch.zeros_like(student.logits)
    for n, prefix in enumerate(PREFIXES):
        begun = math.prod(float(mixture[PREFIXES.index(prefix[:k]), y]) for k, y in enumerate(prefix))
        values = torch.tensor([later((*prefix, y)) for y in range(TOKENS)], dtype=torch.float64)
        long_term = -q[n] * (values - (q[n] * values).sum())
        gap = student.known[n] - teacher.known[n]
        expected[n] = begun * (long_term + q[n] * (gap - (q[n] * gap).sum()))
    assert torch.allclose(cast(torch.Tensor, found), expected.detach(), atol=1e-6)


# --- advantages and terms by hand ------------------------------------------------------------------------------------


def test_an_advantage_is_the_mean_of_the_later_rewards() -> None:
    of_teacher, of_student = (-1.0, -2.0, -0.5, -4.0), (-2.0, -1.0, -1.0, -1.0)  # rewards 1, -1, 0.5, -3
    plain = {"epochs": 1, "teacher_share": 0.0, "whitened": False}

    def found(**settings: Any) -> list[float]:
        return Rollouts(**{**plain, **settings}).advantages(of_teacher, of_student)

    assert found(discount=1.0, length_normalised=False) == pytest.approx([-3.5, -2.5, -3, 0])
    assert found(discount=1.0) == pytest.approx([-3.5 / 3, -2.5 / 2, -3, 0])
    assert found(discount=0.5, length_normalised=False) == pytest.approx([-1 + 0.25 - 0.75, 0.5 - 1.5, -3, 0])
    assert found(discount=0.5) == pytest.approx([-1.5 / 3, -1 / 2, -3, 0])
    assert found(discount=1.0, reward_clip=0.75) == pytest.approx([-1 / 3, -0.25 / 2, -0.75, 0])
    assert found(discount=0.0, length_normalised=False) == pytest.approx([-1, 0.5, -3, 0])
    assert Rollouts().advantages((-1.0,), (-3.0,)) == [0.0]


def test_whitened_advantages_have_mean_0_and_variance_1_over_all_texts() -> None:
    student, teacher = Table(10), Table(11)
    texts = [example(text) for text in TEXTS]
    raw = replace(PLAIN, whitened=False).judged(texts, state_of(student, teacher))
    white = replace(PLAIN, whitened=True).judged(texts, state_of(student, teacher))
    before, after = (np.array([a for one in rows for a in one.extra[ADVANTAGE]]) for rows in (raw, white))
    assert after == pytest.approx((before - before.mean()) / before.std(), abs=1e-6)
    same = replace(PLAIN, whitened=True).judged([example((END,))], state_of(student, teacher))
    assert same[0].extra[ADVANTAGE] == (0.0,)


@pytest.mark.parametrize(
    ("advantage", "ratio", "learns"),
    [(2.0, 1.1, True), (2.0, 1.3, False), (2.0, 0.7, True), (-2.0, 1.3, True), (-2.0, 0.9, True), (-2.0, 0.7, False)],
)
def test_a_ratio_far_from_1_has_no_gradient_where_it_would_go_further(
    advantage: float, ratio: float, learns: bool
) -> None:
    student, teacher = Table(12), Table(13)
    [value] = student.nats((END,))
    written = float(value.detach()) - math.log(ratio)
    one = replace(example((END,)), extra={ADVANTAGE: (advantage,), WRITTEN: (written,)})
    loss = MiniLLM(PLAIN, 0.2)
    found = loss.values(step_of([one], loss), cast(Any, student), state_of(student, teacher))[POLICY]
    bounded = min(1.2, max(0.8, ratio))
    assert float(found.detach()) == pytest.approx(-min(advantage * ratio, advantage * bounded), rel=1e-5)
    [gradient] = torch.autograd.grad(found, student.logits)
    [of_nats] = torch.autograd.grad(value, student.logits)
    assert torch.allclose(gradient, -advantage * ratio * of_nats if learns else torch.zeros_like(gradient), atol=1e-6)


def test_the_logged_terms_are_what_is_differentiated() -> None:
    """The difference of each value along a direction is its gradient's share of it, weights moved or not."""
    writer, teacher, student = Table(14), Table(15), Table(16)
    policy = Rollouts(epochs=1)
    loss = MiniLLM(policy, 0.5, single_step_weight=0.7)
    direction = torch.randn(student.logits.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    terms = parts(TEXTS, policy, loss, writer, student, teacher)
    assert set(terms) == {POLICY, SINGLE_STEP}
    for name, value in terms.items():
        [gradient] = torch.autograd.grad(value, student.logits, retain_graph=True)
        ends = []
        for sign in (1, -1):
            moved = Table(16)
            moved.logits = (student.logits + sign * 1e-5 * direction).detach()
            ends.append(float(parts(TEXTS, policy, loss, writer, moved, teacher)[name]))
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(float((gradient * direction).sum()), rel=1e-4, abs=1e-7)
        assert float(gradient.abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("part", "wrong", "said"),
    [
        (Rollouts, {"epochs": 0}, "epochs=0 must be at least 1"),
        (Rollouts, {"teacher_share": 1.0}, r"teacher_share=1.0 must lie in \[0, 1\)"),
        (Rollouts, {"discount": 1.5}, "discount=1.5"),
        (Rollouts, {"reward_clip": 0.0}, "reward_clip=0.0"),
        (MiniLLM, {"ratio_clip": 0.0}, "ratio_clip=0.0"),
        (MiniLLM, {"single_step_weight": -1.0}, "single_step_weight=-1.0"),
    ],
)
def test_impossible_settings_are_refused(part: Any, wrong: Mapping[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        part(**wrong)


# --- in training -----------------------------------------------------------------------------------------------------


def cell_of(teacher: Path, *overrides: str, policy: Any = None, steps: int = 4) -> Cell:
    loss = MiniLLM(policy or Rollouts(epochs=2, teacher_share=0.3))
    return miniature(
        "method=rationale_then_answer",
        *live_teacher(teacher),
        f"optimization.max_steps={steps}",
        *overrides,
        annotation=WorkedSolutions(),
        loss=loss,
    )


def by_hand(step: TrainedStep, student: Any, writer: Any, teacher: Path, policy: Rollouts) -> dict[str, torch.Tensor]:
    """Both terms of a step, with the weights before it and those that wrote its texts."""
    other = network_in(teacher)
    rows = [row for batch in step.batches for row in student.encoder.examples(batch.examples)]
    theirs = [-nats(target_logits(other, row), row).detach() for row in rows]
    old = [-nats(target_logits(writer.network, row), row).detach() for row in rows]
    lengths = [len(row.target) for row in rows]
    raw = []
    for p, q in zip(theirs, old, strict=True):
        r = (p - q).clamp(-policy.reward_clip, policy.reward_clip)
        for t in range(len(r)):
            behind = [policy.discount**k * r[t + 1 + k] for k in range(len(r) - t - 1)]
            raw.append(torch.stack(behind).sum() / len(behind) if behind else torch.zeros(()))
    advantages = torch.stack(raw)
    advantages = (advantages - advantages.mean()) / (advantages.var(correction=0) + 1e-8).sqrt()
    policies, singles = [], []
    for row, p, q, a in zip(rows, theirs, old, advantages.split(lengths), strict=True):
        log_q = target_logits(student.network, row).log_softmax(-1)
        log_p = target_logits(other, row).log_softmax(-1)
        ratio = torch.exp(-nats(target_logits(student.network, row), row)) / (0.3 * p.exp() + 0.7 * q.exp())
        policies.append(-torch.minimum(a * ratio, a * ratio.clamp(0.8, 1.2)))
        singles.append((log_q.exp() * (log_q - log_p)).sum(-1))
    return {POLICY: torch.cat(policies).mean(), SINGLE_STEP: torch.cat(singles).mean()}


def test_value_and_gradient_of_every_step(teacher: Path, tmp_path: Path) -> None:
    """Two steps on each supply: both learn from what was written and judged before the first."""
    policy = Rollouts(epochs=2, teacher_share=0.3)
    ran, steps = watched(cell_of(teacher, ONE_GROUP, UNCLIPPED, policy=policy), tmp_path)
    texts = [sorted(str(one.token_ids) for one in step.examples) for step in steps]
    assert texts[0] == texts[1] != texts[2] == texts[3]
    for number, step in enumerate(steps):
        writer = steps[number // 2 * 2].student(ran)
        student = step.student(ran)
        assert_as_by_hand(step, student, by_hand(step, student, writer, teacher, policy))


def test_the_teacher_writes_along_and_both_are_booked(teacher: Path, tmp_path: Path) -> None:
    ran, steps = watched(cell_of(teacher, policy=Rollouts(epochs=1, teacher_share=0.5), steps=2), tmp_path)
    frozen = ran.cell_run.models.frozen["teacher"]
    other = 0
    for number, step in enumerate(steps):
        student = step.student(ran)
        for one in step.examples:
            request = Request(OWN, one.prompt, one.group, None, 1.0)
            mixed = student.mixed_text([request], Partner(frozen.model, 0.5, frozen.vocabulary), f"step{number}")
            assert mixed[0].token_ids == one.token_ids
            [[alone]] = student.generate([request], key=f"step{number}")
            other += alone.token_ids != one.token_ids
    assert other
    computed = ran.result["rounds"][0]["computed"]
    # Per text: written once and scored once by either model, and read once more by the teacher at the step.
    assert computed["student/training"]["calls"] == 2 * 8
    assert computed["teacher/training"]["calls"] == 3 * 8


def test_a_student_that_is_the_teacher_moves_nowhere(teacher: Path, tmp_path: Path) -> None:
    same = PretrainedStudent("same", str(teacher), max_length=192, max_new_tokens=8)
    _, steps = watched(replace(cell_of(teacher, UNCLIPPED, steps=1, policy=replace(PLAIN)), student=same), tmp_path)
    assert float(steps[0].gradient.abs().max()) < 1e-4


def test_own_text_without_advantages_is_refused(teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="own text without advantages; choose loss/data_policy=rollouts"):
        run(cell_of(teacher, policy=OwnText(), steps=1), tmp_path)


def test_a_cell_killed_inside_a_supply_ends_as_if_it_had_not(teacher: Path, tmp_path: Path) -> None:
    """Three epochs do not divide the four steps: the last supply is cut short."""
    policy = Rollouts(epochs=3)
    whole = outcome(run(cell_of(teacher, policy=policy), tmp_path / "whole"))
    again = killed_and_gone_on(lambda: cell_of(teacher, EVERY_STEP, policy=policy), tmp_path / "killed", (1, 2, 3))
    assert outcome(again) == whole
