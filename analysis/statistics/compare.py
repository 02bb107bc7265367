"""Every method of a block against one of them, seed by seed: at the end, at equal questions, and at equal tokens."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from analysis.records.outcomes import OutcomeFiles
from analysis.statistics.curves import Curves, curve_points, methods_of
from analysis.statistics.effect_sizes import hedges_g_z
from analysis.statistics.grouping import natural_order
from analysis.statistics.intervals import MeanInterval, mean_with_t_interval
from analysis.statistics.paired import mean_gap
from analysis.statistics.scores import ScoreInterval, score_difference, seed_differences
from analysis.statistics.wilcoxon import holm, signed_rank


class NoBaselineError(Exception):
    """The baseline is not among the methods; the message says which there are."""


@dataclass(frozen=True)
class Comparison:
    """One method against the baseline. Differences are shares, in [-1, 1]; None without shared seeds or costs."""

    method: str
    """The method."""
    final: ScoreInterval | None
    """The difference in the test result."""
    p: float | None
    """Of Wilcoxon's signed-rank test of the test results over shared seeds, corrected by Holm for all methods that are
    compared with the baseline; None without shared seeds."""
    effect_size: float | None
    """Hedges' g of the differences of shared seeds; None with fewer than three, or where they do not vary."""
    at_equal_questions: MeanInterval | None
    """How far its validation curve lies above the baseline's on average, over questions."""
    at_equal_tokens: MeanInterval | None
    """The same over the logarithm of the tokens charged to the teacher."""
    questions: float
    """How many questions the method had bought in the end, on average over seeds."""
    baseline_questions: float
    """How many the baseline had bought."""

    @property
    def fewest_pairs(self) -> int:
        """The least number of seeds behind one of the differences that are known; 0 where none is."""
        curves = [each.num_values for each in (self.at_equal_questions, self.at_equal_tokens) if each is not None]
        return min([*curves, *([] if self.final is None else [self.final.num_seeds])], default=0)


def blocks_with(blocks: Sequence[Curves], baseline: str) -> list[Curves]:
    """The blocks in which the baseline was run. Raises NoBaselineError if it was run in none."""
    found = [block for block in blocks if baseline in methods_of(block)]
    if not found:
        methods = sorted({method for block in blocks for method in methods_of(block)}, key=natural_order)
        near = difflib.get_close_matches(baseline, methods, 1, 0.0)
        raise NoBaselineError(
            f"--baseline {baseline!r} is no method here; did you mean {near[0]!r}? There are: {', '.join(methods)}"
        )
    return found


def comparisons(curves: Curves, baseline: str, files: OutcomeFiles | None = None) -> list[Comparison]:
    """One comparison per other method of a block in which the baseline was run.

    `files` reads predictions for intervals over questions, and holds the problems with them afterwards.
    """
    files = OutcomeFiles() if files is None else files
    theirs = curves.groups[baseline]
    by_method = {str(method): rows for method, rows in curves.frame.groupby("method", sort=False)}
    others = [method for method in methods_of(curves) if method != baseline]
    differences = {method: seed_differences(curves.groups[method], theirs) for method in others}
    paired = [method for method in others if differences[method]]
    p_values = dict(zip(paired, holm([signed_rank(differences[method]).p for method in paired]), strict=True))
    return [
        replace(
            _comparison(method, by_method[method], by_method[baseline]),
            final=score_difference(curves.groups[method], theirs, files),
            p=p_values.get(method),
            effect_size=_effect_size(differences[method]),
        )
        for method in others
    ]


def _effect_size(differences: Sequence[float]) -> float | None:
    found = hedges_g_z(differences) if len(differences) > 2 else math.nan
    return found if math.isfinite(found) else None


def _comparison(method: str, ours: pd.DataFrame, theirs: pd.DataFrame) -> Comparison:
    """What the curves say; the test results are added to it."""
    return Comparison(
        method,
        None,
        None,
        None,
        _over(curve_points(ours, "questions"), curve_points(theirs, "questions")),
        _over(_over_logarithm(ours, "tokens"), _over_logarithm(theirs, "tokens")),
        _bought(ours),
        _bought(theirs),
    )


def _bought(frame: pd.DataFrame) -> float:
    return float(frame.groupby("seed")["questions"].max().mean())


def _over_logarithm(frame: pd.DataFrame, cost: str) -> dict[int, Sequence[tuple[float, float]]]:
    return {seed: _logarithmic(curve) for seed, curve in curve_points(frame, cost).items()}


def _logarithmic(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The curve over the logarithm of its cost; points that cost nothing are left out."""
    return [(math.log(cost), value) for cost, value in curve if cost > 0]


def _over(
    ours: Mapping[int, Sequence[tuple[float, float]]], theirs: Mapping[int, Sequence[tuple[float, float]]]
) -> MeanInterval | None:
    """The mean gap between the curves of shared seeds; None where one has fewer than two points."""
    gaps = {
        seed: gap
        for seed in ours.keys() & theirs.keys()
        if min(len(ours[seed]), len(theirs[seed])) > 1 and (gap := mean_gap(ours[seed], theirs[seed])) is not None
    }
    known = [gaps[seed] for seed in sorted(gaps)]
    return mean_with_t_interval(known) if known else None
