"""What selections of several papers share: ranks in [0, 1], measures of disagreement, an order with seeded ties."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from scipy.stats import rankdata

from benchmark.contract import Context
from benchmark.types import Json, Pick, Question

Disagreement = Literal["entropy", "one_minus_max", "unique_share", "one_minus_margin"]
"""How far several answers to one question differ; see `disagreement`."""


def refuse_unknown(**choices: tuple[object, object]) -> None:
    """Raises ValueError for the first setting whose value is not in its `Literal`: name=(value, Literal)."""
    for name, (value, known) in choices.items():
        if value not in get_args(known):
            raise ValueError(f"{name}={value!r} must be one of {', '.join(get_args(known))}")


def rank01(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """[n] ranks of the values, scaled to [0, 1]; ties get their mean rank. One value alone has rank 0."""
    ranks: np.ndarray = (rankdata(values) - 1) / max(1, len(values) - 1)
    return ranks


def entropy(answers: Sequence[Hashable]) -> float:
    """The entropy of the answers' shares over that of all different ones: `-sum p ln p / ln K`, in [0, 1]."""
    shares = _shares(answers)
    return sum(share * math.log(1 / share) for share in shares) / math.log(len(answers)) if len(answers) > 1 else 0.0


def disagreement(answers: Sequence[Hashable], kind: Disagreement) -> float:
    """How far K answers to one question differ, in [0, 1], by a measure; None counts as an answer of its own.

    `entropy`: see there. `one_minus_max`: 1 minus the largest share (least confidence). `unique_share`: the number of
    different answers / K. `one_minus_margin`: 1 minus the distance of the two largest shares. Raises ValueError for an
    unknown kind.
    """
    shares = [*_shares(answers), 0.0]
    if kind == "entropy":
        return entropy(answers)
    if kind == "one_minus_max":
        return 1 - shares[0]
    if kind == "unique_share":
        return (len(shares) - 1) / len(answers)
    if kind == "one_minus_margin":
        return 1 - (shares[0] - shares[1])
    raise ValueError(f"there is no measure {kind!r} of disagreement; choose {', '.join(get_args(Disagreement))}")


def best_first(
    pool: Sequence[Question],
    scores: Sequence[float] | np.ndarray,
    context: Context,
    evidence: Sequence[Mapping[str, Json]] | None = None,
    then_by: Sequence[float] | np.ndarray | None = None,
) -> list[Pick]:
    """The pool as picks, highest score first; of equal scores the one with the higher `then_by`, then by the seed.

    The order of the pool never decides. A score that is no number (NaN) raises ValueError.
    """
    values = np.asarray(scores, dtype=float)
    if np.isnan(values).any():
        raise ValueError(f"{int(np.isnan(values).sum())} of {len(values)} scores of a selection are no numbers")
    draws: Any = [context.rng("ties", question.id).random() for question in pool]
    second = np.zeros(len(pool)) if then_by is None else np.asarray(then_by, dtype=float)
    order = np.lexsort((draws, -second, -values))
    return [Pick(pool[i], float(values[i]), {} if evidence is None else evidence[i]) for i in order]


def _shares(answers: Sequence[Hashable]) -> list[float]:
    """The shares of the different answers, largest first."""
    return [count / len(answers) for _, count in Counter(answers).most_common()]
