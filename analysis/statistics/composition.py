"""Two choices that are each made or not, on the same seeds: do their gains add up?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.statistics.intervals import MeanInterval, mean_with_t_interval

BySeed = Mapping[int, float]
"""Seed -> result."""


@dataclass(frozen=True)
class Composition:
    """What A and B give alone and together, each with its paired t-interval over seeds."""

    gain_of_a: MeanInterval
    """A alone less neither."""
    gain_of_b: MeanInterval
    """B alone less neither."""
    gain_of_both: MeanInterval
    """Both less neither."""
    main_effect_of_a: MeanInterval
    """What A gives on average over B off and on."""
    main_effect_of_b: MeanInterval
    """What B gives on average over A off and on."""
    interaction: MeanInterval
    """The gain of both less the two single gains: above 0, they help each other; below 0, they overlap."""
    left_out: tuple[int, ...]
    """Seeds that lack one of the four cells."""


def composition(neither: BySeed, only_a: BySeed, only_b: BySeed, both: BySeed, confidence: float = 0.95) -> Composition:
    """Gains, main effects and interaction of A and B, over the seeds that have all four cells.

    Each is a sum of the four results with fixed weights, taken per seed; its interval is the t-interval over the seeds.
    A least-squares fit with an effect per seed has the same estimates. Its pooled residual has more degrees of freedom,
    which is right only if all these sums vary alike between seeds.

    The same weights on matrices of outcomes, given to `crossed_mean`, make an interval for new questions too.

    Raises:
        ValueError: no seed has all four cells, or as `mean_with_t_interval` does.
    """
    arms = (neither, only_a, only_b, both)
    seeds = sorted(set.intersection(*(set(arm) for arm in arms)))
    seen = sorted({seed for arm in arms for seed in arm})
    if not seeds:
        raise ValueError(
            f"none of the seeds {seen} has all four cells: neither, only A, only B, both; run one with all"
        )

    def weighed(*weights: float) -> MeanInterval:
        sums = [sum(weight * arm[seed] for weight, arm in zip(weights, arms, strict=True)) for seed in seeds]
        return mean_with_t_interval(sums, confidence)

    return Composition(
        gain_of_a=weighed(-1, 1, 0, 0),
        gain_of_b=weighed(-1, 0, 1, 0),
        gain_of_both=weighed(-1, 0, 0, 1),
        main_effect_of_a=weighed(-0.5, 0.5, -0.5, 0.5),
        main_effect_of_b=weighed(-0.5, -0.5, 0.5, 0.5),
        interaction=weighed(1, -1, -1, 1),
        left_out=tuple(seed for seed in seen if seed not in seeds),
    )
