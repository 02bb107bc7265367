"""McNemar's test: do two students answer different numbers of the same questions right?

It takes questions as independent, so that it compares one cell with one cell. Answers of several seeds to one question
are not independent: pooled over seeds, the test finds differences that are not there. Test each seed
(`mcnemar_by_seed`), or use `crossed.py`, which holds for new seeds too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scipy import stats

Answers = Mapping[str, bool]
"""Question -> whether its answer is right."""


@dataclass(frozen=True)
class McNemar:
    """The test of one pair of cells. It looks only at questions that one alone gets right."""

    num_questions: int
    """Questions that both answered."""
    ours_alone: int
    """Questions that only we get right."""
    theirs_alone: int
    """Questions that only they get right."""
    p_exact: float
    """The exact conditional test, two-sided: never too small, and for few such questions far too large."""
    p_mid: float
    """The mid-p test: the exact p less half the probability of what was seen; nearer to the level in the mean."""


def mcnemar(ours: Answers, theirs: Answers) -> McNemar:
    """The exact and the mid-p test on one seed's answers to the same questions.

    Without a difference, each of the n questions that one alone gets right is ours with probability 1/2. The mid-p is
    that of Fagerland, Lydersen and Laake (*BMC Medical Research Methodology* 13:91, 2013). Both p are 1 if there is no
    such question.

    Raises:
        ValueError: the questions differ, there are none, or an answer is neither right nor wrong.
    """
    _refuse_unfit(ours, theirs)
    ours_alone = sum(bool(ours[question]) and not theirs[question] for question in ours)
    theirs_alone = sum(bool(theirs[question]) and not ours[question] for question in ours)
    p_exact, p_mid = _p_values(ours_alone, theirs_alone)
    return McNemar(len(ours), ours_alone, theirs_alone, p_exact, p_mid)


def mcnemar_by_seed(ours: Mapping[int, Answers], theirs: Mapping[int, Answers]) -> dict[int, McNemar]:
    """Seed -> the test of its two cells, for the seeds that both have.

    The p values of the seeds share their questions: neither a product nor a mean of them is a p. Raises ValueError as
    `mcnemar` does.
    """
    return {seed: mcnemar(ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())}


def _p_values(ours_alone: int, theirs_alone: int) -> tuple[float, float]:
    fewer, total = min(ours_alone, theirs_alone), ours_alone + theirs_alone
    if total == 0:
        return 1.0, 1.0
    observed = float(stats.binom.pmf(fewer, total, 0.5))
    if ours_alone == theirs_alone:  # one outcome is as extreme as what was seen, not two
        return 1.0, 1 - observed / 2
    p_exact = min(1.0, 2 * float(stats.binom.cdf(fewer, total, 0.5)))
    return p_exact, p_exact - observed


def _refuse_unfit(ours: Answers, theirs: Answers) -> None:
    if ours.keys() != theirs.keys() or not ours:
        raise ValueError(
            f"McNemar's test needs the same questions: {len(ours.keys() - theirs.keys())} are ours alone, "
            f"{len(theirs.keys() - ours.keys())} theirs alone, {len(ours.keys() & theirs.keys())} shared"
        )
    graded = [value for answers in (ours, theirs) for value in answers.values() if value not in (0, 1)]
    if graded:
        raise ValueError(
            f"McNemar's test needs answers that are right (1) or wrong (0); {len(graded)} are neither, such as "
            f"{graded[0]}: compare grades by a bootstrap"
        )
