"""MiniLLM (Gu et al., ICLR 2024): the reverse KL of whole texts, by policy gradient on what student and teacher write.

Its gradient has two parts (section 2.2 of the paper). The single-step part is exact: the reverse KL of the next token's
distributions. The long-term part weighs each token's log-probability with the rewards of the tokens behind it; a
token's reward is by how many nats the teacher finds it likelier than the student that wrote it did.
docs/methods/white_box.md
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmark.axes.data_policy import OWN, Stateless, own_text, requests_for, with_replies
from benchmark.contract import DataPolicy, StepModel, StepState
from benchmark.types import Term, TrainingExample
from methods.comparison import ComparesWithTeacher

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch

ADVANTAGE, WRITTEN = "advantage", "written"
"""Names of `TrainingExample.extra`: each token's advantage, and its nats in the distribution that wrote it."""
POLICY, SINGLE_STEP = "policy_gradient", "single_step"
"""Names of the terms."""


@dataclass(frozen=True)
class Rollouts(Stateless):
    """Texts for every drawn prompt, each token drawn from a mixture of student and teacher, trained on several times.

    All `epochs` steps of a supply learn from the same texts and rewards, in another order each.
    """

    epochs: int = 4
    """Steps on one supply of texts, at least 1."""
    teacher_share: float = 0.2
    """The teacher's share of the mixture, in [0, 1): the paper's alpha. At 0 the student writes alone."""
    discount: float = 0.95
    """What a reward counts less for each token between, in [0, 1]; 1 as in the paper, 0.95 as in its code."""
    length_normalised: bool = True
    """Whether the sum of later rewards is divided by their number, so that short texts are not favoured."""
    whitened: bool = True
    """Whether advantages are shifted and scaled to mean 0 and variance 1 over a supply, as in the released code."""
    reward_clip: float = 50.0
    """The most nats of a token's reward in either direction, above 0."""
    max_new_tokens: int | None = None
    """The most tokens of a text; None takes the student's own cap."""

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs={self.epochs} must be at least 1")
        if not 0 <= self.teacher_share < 1:
            raise ValueError(f"teacher_share={self.teacher_share} must lie in [0, 1)")
        if not 0 <= self.discount <= 1:
            raise ValueError(f"discount={self.discount} must lie in [0, 1]")
        if not self.reward_clip > 0:
            raise ValueError(f"reward_clip={self.reward_clip} must be above 0")

    def supply(self, drawn: Sequence[TrainingExample], state: StepState) -> Iterable[Sequence[TrainingExample]]:
        """`epochs` steps with the same texts."""
        judged = self.judged(self.written(drawn, state), state)
        for epoch in range(self.epochs):
            order = state.rng("rollouts", state.step, epoch).permutation(len(judged))
            yield [judged[place] for place in order]

    def written(self, drawn: Sequence[TrainingExample], state: StepState) -> list[TrainingExample]:
        """One text per different prompt of a group, at temperature 1; task `OWN`, tokens kept as they are."""
        prompts = list({(one.group, one.prompt): one for one in drawn}.values())
        if self.teacher_share == 0:
            return own_text(prompts, state, 1.0, self.max_new_tokens)
        requests = requests_for(prompts, 1.0, self.max_new_tokens)
        replies = state.mixed_text(requests, "teacher", self.teacher_share, f"step{state.step}")
        return [replace(one, task=OWN) for one in with_replies(prompts, replies)]

    def judged(self, texts: Sequence[TrainingExample], state: StepState) -> list[TrainingExample]:
        """The texts with the advantage of each token, and the nats of the mixture that wrote it."""
        theirs = state.frozen["teacher"].target_log_probabilities(texts)
        ours = state.student.target_log_probabilities(texts)
        rows = [self.advantages(*of_text) for of_text in zip(theirs, ours, strict=True)]
        return [
            replace(one, extra={ADVANTAGE: tuple(advantages), WRITTEN: tuple(map(self._mixed, p, q))})
            for one, advantages, p, q in zip(
                texts, _whitened(rows) if self.whitened else rows, theirs, ours, strict=True
            )
        ]

    def advantages(self, of_teacher: Sequence[float], of_student: Sequence[float]) -> list[float]:
        """Per token of a text, in nats: the discounted sum of the later rewards, or their mean; 0 for the last."""
        later, found = 0.0, list[float]()
        for count, (teacher, student) in enumerate(zip(reversed(of_teacher), reversed(of_student), strict=True)):
            found.append(later / max(1, count) if self.length_normalised else later)
            reward = min(self.reward_clip, max(-self.reward_clip, teacher - student))
            later = reward + self.discount * later
        return found[::-1]

    def _mixed(self, of_teacher: float, of_student: float) -> float:
        """The natural log-probability of a token in the mixture."""
        if self.teacher_share == 0:
            return of_student
        import numpy as np

        theirs, ours = of_teacher + math.log(self.teacher_share), of_student + math.log(1 - self.teacher_share)
        return float(np.logaddexp(theirs, ours))


def _whitened(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """All numbers shifted to mean 0 and scaled to variance 1; only shifted where they are all alike."""
    numbers = [number for row in rows for number in row]
    mean = math.fsum(numbers) / len(numbers)
    variance = math.fsum((number - mean) ** 2 for number in numbers) / len(numbers)
    return [[(number - mean) / math.sqrt(variance + 1e-8) for number in row] for row in rows]


@dataclass(frozen=True)
class MiniLLM(ComparesWithTeacher):
    """`mean(-min(ratio A, clipped ratio A)) + single_step_weight * mean(KL(student, teacher))` over all own tokens.

    `A` is the token's advantage. The ratio is its probability now over that in the distribution that wrote it, which
    makes it the importance weight for the teacher's share, too. Before the weights move, the gradient is that of the
    paper's equations. Targets of the format have its cross-entropies, where another data policy supplies them.
    """

    data_policy: DataPolicy = field(default_factory=Rollouts)
    """Supplies texts with advantages."""
    ratio_clip: float | None = 0.2
    """How far from 1 a ratio still has a gradient (PPO); None for no clipping."""
    single_step_weight: float = 1.0
    """The weight of the single-step part, at least 0: 1 is the gradient of the reverse KL, 0 leaves it out."""

    def __post_init__(self) -> None:
        if self.ratio_clip is not None and not self.ratio_clip > 0:
            raise ValueError(f"ratio_clip={self.ratio_clip} must be above 0, or null for no clipping")
        if self.single_step_weight < 0:
            raise ValueError(f"single_step_weight={self.single_step_weight} must be at least 0")

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        """The format's terms, for which rollouts supply nothing, and the two parts over own tokens."""
        own = frozenset({OWN})
        single = {SINGLE_STEP: Term(own, self.single_step_weight)} if self.single_step_weight else {}
        return {**of_format, POLICY: Term(own), **single}

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        """Term -> scalar: the sum over positions of its factor times its value.

        Raises ValueError for own text without advantages.
        """
        import torch

        if not batch.scale:
            return {}
        _refuse_no_advantages(batch)
        factors = torch.stack(list(batch.scale.values()), -1)
        signals = [batch.tokens, batch.extra(ADVANTAGE), batch.extra(WRITTEN)]
        theirs = [state.frozen["teacher"].distributions(batch)] if SINGLE_STEP in batch.scale else []
        function = _TokenValues(tuple(batch.scale), self.ratio_clip)
        sums = student.weighted_sums(function, student.hidden(batch), factors, *signals, *theirs)
        return dict(zip(batch.scale, sums.unbind(), strict=True))


def _refuse_no_advantages(batch: MicroBatch) -> None:
    for example in batch.examples:
        if example.task == OWN and ADVANTAGE not in example.extra:
            raise ValueError("loss=minillm got own text without advantages; choose loss/data_policy=rollouts")


@dataclass(frozen=True)
class _TokenValues:
    """What the loss computes at each position: one number per term."""

    terms: tuple[str, ...]
    ratio_clip: float | None

    def __call__(
        self,
        log_q: torch.Tensor,
        tokens: torch.Tensor,
        advantage: torch.Tensor,
        written: torch.Tensor,
        log_p: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[n, terms]."""
        import torch

        from methods.divergences import floored, reverse_kl

        nats = log_q.gather(1, tokens[:, None])[:, 0]
        found = {}
        if POLICY in self.terms:
            ratio = (nats - written).exp()
            gain = advantage * ratio
            if self.ratio_clip is not None:
                gain = torch.minimum(gain, advantage * ratio.clamp(1 - self.ratio_clip, 1 + self.ratio_clip))
            found[POLICY] = -gain
        if log_p is not None:
            found[SINGLE_STEP] = reverse_kl(log_q, floored(log_p))
        return torch.stack([found.get(name, -nats) for name in self.terms], -1)
