"""Counts verdicts by construct, with an interval for the win rate."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmark.judging.asking import Judgement
from benchmark.judging.verdicts import Outcome, outcome

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""
WORTH: Mapping[str, float] = {"first": 1.0, "tie": 0.5, "position": 0.5, "second": 0.0}
"""What an outcome is worth to the first cell; a question without both verdicts is left out."""


@dataclass(frozen=True)
class Tally:
    """What came of one construct, or of all together."""

    counts: Counter[Outcome]
    """Outcome -> number of pairs (a question and a construct, in both orders)."""
    win_rate: float | None
    """The first cell's share of wins in [0, 1], ties and verdicts that follow the position counted half; None if
    nothing was read."""
    interval: tuple[float, float] | None
    """The 95 % Wilson interval of the win rate over questions; None if nothing was read."""
    questions: int
    """Number of questions behind the win rate."""
    agreement: float | None
    """The share of pairs, in [0, 1], in which both orders gave the same preference, among those that were asked and
    read; None if there are none."""


@dataclass(frozen=True)
class _Both:
    """A question and a construct in both orders."""

    example_id: str
    construct: str
    outcome: Outcome
    was_asked: bool
    agrees: bool


def tallies(judgements: Sequence[Judgement]) -> dict[str, Tally]:
    """Construct -> what came of it."""
    by_construct: dict[str, list[_Both]] = defaultdict(list)
    for each in _in_both_orders(judgements):
        by_construct[each.construct].append(each)
    return {construct: _tally(pairs) for construct, pairs in by_construct.items()}


def overall(judgements: Sequence[Judgement]) -> Tally:
    """What came of all constructs together. A question's worth is the mean over its constructs: it counts once."""
    return _tally(_in_both_orders(judgements))


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of Wilson (1927) for a share of `count` independent questions.

    Halves make it too wide rather than too narrow: a worth in [0, 1] with mean p has a variance of at most p(1-p).
    """
    centre = (share + Z_95**2 / (2 * count)) / (1 + Z_95**2 / count)
    half = Z_95 / (1 + Z_95**2 / count) * math.sqrt(share * (1 - share) / count + Z_95**2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _in_both_orders(judgements: Iterable[Judgement]) -> list[_Both]:
    pairs: dict[tuple[str, str], list[Judgement]] = defaultdict(list)
    for each in judgements:
        pairs[each.example_id, each.construct].append(each)
    return [
        _Both(
            *place,
            outcome(one.preferred, other.preferred),
            was_asked=one.prompt is not None,
            agrees=one.preferred == other.preferred,
        )
        for place, (one, other) in pairs.items()
    ]


def _tally(pairs: Sequence[_Both]) -> Tally:
    worths: dict[str, list[float]] = defaultdict(list)
    for each in pairs:
        if each.outcome != "unread":
            worths[each.example_id].append(WORTH[each.outcome])
    means = [sum(worth) / len(worth) for worth in worths.values()]
    rate = sum(means) / len(means) if means else None
    asked = [each.agrees for each in pairs if each.was_asked and each.outcome != "unread"]
    return Tally(
        counts=Counter(each.outcome for each in pairs),
        win_rate=rate,
        interval=None if rate is None else wilson(rate, len(means)),
        questions=len(means),
        agreement=sum(asked) / len(asked) if asked else None,
    )
