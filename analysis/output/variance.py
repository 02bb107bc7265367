"""An analysis of variance as markdown: means, effects, pairs, and how far its assumptions hold."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.output.render import markdown_table
from analysis.records.load import UNTRAINED_METHOD, Records
from analysis.statistics.anova import (
    METHOD,
    STUDENT,
    Effect,
    TukeyPair,
    assumptions,
    cell_means,
    tukey,
    two_way,
    whole_grid,
    without_outliers,
)
from analysis.statistics.grouping import blocks_of, named_groups
from analysis.statistics.intervals import MeanInterval

COLUMNS = ("dataset", "teacher", STUDENT, METHOD, "seed", "value", "cell_id")


def runs_of(records: Records) -> dict[str, pd.DataFrame]:
    """Title (dataset and teacher) -> one row per trained run and its cell's own test set, with the columns `COLUMNS`.

    Methods have names that are unique within a student. Values are shares, in [0, 1].
    """
    found: dict[str, list[tuple[object, ...]]] = {}
    for key, scores in blocks_of(records.complete).items():
        if key.test_dataset != key.dataset:
            continue
        rows = [
            (key.dataset, key.teacher, key.student, name, who.seed, score.test.value, who.cell_id)
            for name, group in named_groups(scores)
            if group.method != UNTRAINED_METHOD  # its runs are one student, measured again
            for score in group.scores
            for who in [score.cell.names]
        ]
        found.setdefault(f"{key.dataset}, {key.metric}: teacher {key.teacher or 'none'}", []).extend(rows)
    return {title: pd.DataFrame(rows, columns=list(COLUMNS)) for title, rows in found.items()}


def variance_report(runs: dict[str, pd.DataFrame], drop_outliers: bool) -> str:
    """Markdown for all titles. Raises ValueError that names what cannot be analysed, and why."""
    return "\n\n".join(_report(title, frame, drop_outliers) for title, frame in runs.items()) + "\n"


def _report(title: str, runs: pd.DataFrame, drop_outliers: bool) -> str:
    frame, others = whole_grid(runs)
    if frame.empty:
        raise ValueError(f"{title}: no method has two runs, so that nothing says how far runs vary")
    kept = without_outliers(frame)
    used = kept if drop_outliers else frame
    try:
        effects, pairs, assumed = two_way(used), tukey(used), assumptions(used)
    except ValueError as error:
        raise ValueError(f"{title}: {error}") from error
    left_out = f"{len(frame) - len(kept)} of {len(frame)} runs lie beyond 1.5 interquartile ranges of their cell"
    how = "They are left out." if drop_outliers else "They count; --drop-outliers leaves them out."
    return "\n\n".join(
        [
            f"**{title}**",
            _means(frame, kept),
            _effects(effects),
            _pairs(pairs),
            "\n".join(
                [
                    f"- {left_out}. {how}",
                    f"- Levene p = {_p(assumed.levene_p)} (equal variances), Shapiro p = {_p(assumed.shapiro_p)} "
                    "(normal residuals): a small p speaks against an analysis of variance.",
                    *([f"- Left out, without two runs for every student: {', '.join(others)}."] if others else []),
                    "- Runs count as independent. Methods that share seeds, data and test questions are compared more "
                    "sharply by `python -m analysis compare`.",
                ]
            ),
        ]
    )


def _means(frame: pd.DataFrame, kept: pd.DataFrame) -> str:
    everything, inside = cell_means(frame), cell_means(kept)
    rows = [
        [method, student, _mean(everything[student, method]), _mean(inside[student, method])]
        for student, method in everything
    ]
    return markdown_table(("method", "student", "all runs", "without outliers"), rows)


def _effects(effects: Sequence[Effect]) -> str:
    rows = [[each.name, f"F({each.degrees},{each.residual_degrees}) = {each.f:.2f}", _p(each.p)] for each in effects]
    return markdown_table(("effect", "type II", "p"), rows)


def _pairs(pairs: Sequence[TukeyPair]) -> str:
    rows = [
        [each.student, f"{each.second} - {each.first}", _points(each.difference), _interval(each), _p(each.p)]
        for each in pairs
    ]
    return markdown_table(("student", "difference (Tukey)", "points", "95 %", "p"), rows)


def _mean(interval: MeanInterval) -> str:
    width = "" if interval.half_width is None else f" ± {100 * interval.half_width:.1f}"
    return f"{100 * interval.mean:.1f}{width} ({interval.num_values})"


def _interval(pair: TukeyPair) -> str:
    return f"{_points(pair.low)} to {_points(pair.high)}"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}"
