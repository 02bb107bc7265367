"""What judgements of answers were worth, once the right answers are known: precision, calibration, correlation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata, spearmanr

from benchmark.records.measured_after import Calibration, CalibrationBin, LabelPrecision, ScoreErrorCorrelation

BINS = 10


def label_precision(weights: Sequence[float], right: Sequence[bool]) -> LabelPrecision:
    """Of bought answers with these weights in [0, 1]: how many are right, before and after the weighting."""
    kept = [is_right for weight, is_right in zip(weights, right, strict=True) if weight > 0]
    whole = sum(weights)
    of_right = sum(weight for weight, is_right in zip(weights, right, strict=True) if is_right)
    return LabelPrecision(
        bought=len(weights),
        kept=len(kept),
        right_bought=sum(map(bool, right)),
        right_kept=sum(map(bool, kept)),
        weighted=min(1.0, of_right / whole) if whole else None,
    )


def calibration(confidences: Sequence[float], right: Sequence[bool]) -> Calibration:
    """How well confidences tell right answers from wrong ones; they are calibrated where a share of them is right.

    Confidences outside of [0, 1], such as log-probabilities, have an AUROC and neither ECE nor bins.
    """
    bins = _bins(confidences, right) if all(0 <= each <= 1 for each in confidences) else ()
    known = [each for each in bins if each.mean_confidence is not None and each.share_right is not None]
    distances = [each.n * abs((each.mean_confidence or 0) - (each.share_right or 0)) for each in known]
    return Calibration(
        n=len(right),
        auroc=auroc(confidences, right),
        ece=min(1.0, sum(distances) / len(right)) if known else None,
        bins=bins,
    )


def auroc(scores: Sequence[float], right: Sequence[bool]) -> float | None:
    """The probability that a right one has a higher score than a wrong one, ties counting half; None without both.

    From the ranks: the Mann-Whitney statistic over the number of pairs.
    """
    is_right = np.asarray(right, dtype=bool)
    positives, negatives = int(is_right.sum()), int((~is_right).sum())
    if not positives or not negatives:
        return None
    ranks = rankdata(np.asarray(scores, dtype=float))
    pairs_won = float(ranks[is_right].sum()) - positives * (positives + 1) / 2
    return pairs_won / (positives * negatives)


def score_error_correlation(scores: Sequence[float], wrong: Sequence[float]) -> ScoreErrorCorrelation:
    """Spearman's rank correlation of scores with shares of wrong answers, one each per question; ties share a rank."""
    varies = len(set(scores)) > 1 and len(set(wrong)) > 1
    return ScoreErrorCorrelation(spearman=float(spearmanr(scores, wrong).statistic) if varies else None, n=len(scores))


def _bins(confidences: Sequence[float], right: Sequence[bool]) -> tuple[CalibrationBin, ...]:
    """Ten bins of one width. A confidence of 0.3 lies in [0.3, 0.4), whatever its product with 10 is rounded to."""
    edges = [number / BINS for number in range(BINS + 1)]
    values, is_right = np.asarray(confidences, dtype=float), np.asarray(right, dtype=float)
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, BINS - 1)
    return tuple(
        CalibrationBin(
            low=edges[i],
            high=edges[i + 1],
            n=int((places == i).sum()),
            mean_confidence=_mean(values[places == i]),
            share_right=_mean(is_right[places == i]),
        )
        for i in range(BINS)
    )


def _mean(values: np.ndarray) -> float | None:
    return min(1.0, float(values.mean())) if len(values) else None
