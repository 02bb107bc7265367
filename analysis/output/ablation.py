"""Ablations, one axis changed at a time, and compositions of two axes, as text and as rows of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.output.notes import title_of
from analysis.output.render import markdown_table
from analysis.records.load import UNTRAINED_METHOD, Records, ResultsError
from analysis.records.outcomes import OutcomeFiles
from analysis.statistics.arms import Change, Crossing, crossings, one_change
from analysis.statistics.composition import Composition, composition
from analysis.statistics.grouping import BlockKey, Group, blocks_of, named_groups, natural_order
from analysis.statistics.intervals import MeanInterval
from analysis.statistics.scores import ScoreInterval, group_score, score_difference, seed_differences
from analysis.statistics.wilcoxon import holm, signed_rank
from benchmark.records.schema import NOTHING

ABLATION_COLUMNS = (
    *("axis", "setting", "result %", "difference, points", "p (Holm)", "questions", "tokens", "steps", "seeds"),
)
ABLATION_NOTES = (
    "Each row changes one axis of {base}, on the same seeds; ± is a 95 % interval for new seeds and questions where "
    "predictions are there, and * marks one that leaves out 0. p: Wilcoxon over seeds, with Holm for a block's rows.",
    "questions, tokens and steps are what the row was charged, and trained, as a multiple of {base}: a difference at "
    "another cost is not one of the setting alone.",
)
COMPOSITION_COLUMNS = ("what", "points", "questions", "tokens", "steps")
COMPOSITION_NOTES = (
    "Gains and effects on the same seeds, ± a 95 % paired t-interval over seeds; * marks one that leaves out 0. "
    "Interaction: what both give beyond the sum of what each gives alone; below 0 they overlap.",
    "questions, tokens and steps: multiples of the arm without both.",
)


@dataclass(frozen=True)
class Cost:
    """What a group of cells was charged and trained, mean per cell."""

    questions: float
    """Questions charged to teachers."""
    tokens: float
    """Tokens of prompts and replies charged to teachers."""
    steps: float
    """Optimiser steps of all rounds."""


@dataclass(frozen=True)
class Ablated:
    """One method with one axis changed."""

    change: Change
    """The setting that differs from the base."""
    result: ScoreInterval
    """Its own result."""
    difference: ScoreInterval
    """Its result less the base's, on shared seeds."""
    p: float
    """Of Wilcoxon's test over shared seeds, corrected by Holm for the block."""
    cost: Cost
    """Its cost."""


@dataclass(frozen=True)
class Ablation:
    """All ablations of one base in one block."""

    key: BlockKey
    """The block."""
    base: ScoreInterval
    """The base's result."""
    base_cost: Cost
    """The base's cost."""
    rows: tuple[Ablated, ...]
    """One per changed axis and value."""


@dataclass(frozen=True)
class Composed:
    """Two changes, made alone and together, in one block."""

    key: BlockKey
    """The block."""
    crossing: Crossing
    """The four methods."""
    effects: Composition
    """Gains, effects and interaction, as shares."""
    costs: tuple[Cost, ...]
    """The cost of neither, the first alone, the second alone, and both."""


def ablations(records: Records, base: str, files: OutcomeFiles) -> list[Ablation]:
    """The ablations of a method in every block. Raises ResultsError if there is none."""
    found = []
    labels: set[str] = set()
    for key, groups in _groups(records):
        labels |= set(groups)
        changes = {label: change for label, change in one_change(base, groups).items() if base in groups}
        differences = {label: score_difference(groups[label], groups[base], files) for label in changes}
        paired = {label: each for label, each in differences.items() if each is not None}
        if not paired:
            continue
        p_values = holm([signed_rank(seed_differences(groups[label], groups[base])).p for label in paired])
        rows = tuple(
            Ablated(changes[label], group_score(groups[label], files), each, p, _cost(groups[label]))
            for (label, each), p in zip(paired.items(), p_values, strict=True)
        )
        found.append(Ablation(key, group_score(groups[base], files), _cost(groups[base]), rows))
    if not found:
        known = ", ".join(sorted(labels, key=natural_order)) or "none"
        raise ResultsError(f"no method differs from --base {base!r} in one axis on shared seeds; there are: {known}")
    return found


def compositions(records: Records) -> list[Composed]:
    """All fours of methods that cross two axes on shared seeds. Raises ResultsError if there is none."""
    found = []
    for key, groups in _groups(records):
        for crossing in crossings(groups):
            arms = (crossing.neither, crossing.only_first, crossing.only_second, crossing.both)
            neither, first, second, both = ({s.cell.names.seed: s.test.value for s in groups[a].scores} for a in arms)
            if neither.keys() & first.keys() & second.keys() & both.keys():
                effects = composition(neither, first, second, both)
                found.append(Composed(key, crossing, effects, tuple(_cost(groups[arm]) for arm in arms)))
    if not found:
        raise ResultsError(
            "no four methods cross two axes on shared seeds: run a multirun such as "
            "`method=elad selection=random,uncertainty loss=cross_entropy,mutual_information seed=1,2,3`"
        )
    return found


def _groups(records: Records) -> Iterator[tuple[BlockKey, dict[str, Group]]]:
    """Every block with its trained methods by name; the name is the label where no two methods share it."""
    for key, scores in blocks_of(records.complete).items():
        if key.test_dataset == key.dataset:
            yield key, {name: g for name, g in named_groups(scores) if g.method != UNTRAINED_METHOD}


def _cost(group: Group) -> Cost:
    cells = [score.cell for score in group.scores]
    charged = [cell.charged.get("teacher", NOTHING) for cell in cells]
    return Cost(
        sum(entry.questions for entry in charged) / len(cells),
        sum(entry.prompt_tokens + entry.completion_tokens for entry in charged) / len(cells),
        sum(cell.train.optimiser_steps for cell in cells) / len(cells),
    )


# --- text ------------------------------------------------------------------------------------------------------------


def ablation_table(found: Sequence[Ablation], base: str) -> str:
    """Markdown: one table per block, then notes."""
    parts = []
    for each in found:
        first = ["", base, _percent(each.base), "", "", "1.0", "1.0", "1.0", str(each.base.num_seeds)]
        rows = [first, *(_ablated_row(row, each.base_cost) for row in each.rows)]
        parts.append(f"### {title_of(each.key)}\n\n{markdown_table(ABLATION_COLUMNS, rows)}")
    notes = [note.format(base=base) for note in ABLATION_NOTES]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def _ablated_row(row: Ablated, base: Cost) -> list[str]:
    value = row.change.setting.partition("=")[2]
    shown = [row.change.axis, value, _percent(row.result), _points(row.difference), f"{row.p:.3f}"]
    return [*shown, *_multiples(row.cost, base), str(row.difference.num_seeds)]


def composition_table(found: Sequence[Composed]) -> str:
    """Markdown: one table per block and crossing, then notes."""
    parts = [_composed(each) for each in found]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in COMPOSITION_NOTES)]) + "\n"


def _composed(each: Composed) -> str:
    first, second = each.crossing.first.setting, each.crossing.second.setting
    neither, only_first, only_second, both = each.costs
    effects = each.effects
    rows = [
        [f"gain of {first} alone", _points(effects.gain_of_a), *_multiples(only_first, neither)],
        [f"gain of {second} alone", _points(effects.gain_of_b), *_multiples(only_second, neither)],
        ["gain of both", _points(effects.gain_of_both), *_multiples(both, neither)],
        [f"main effect of {first}", _points(effects.main_effect_of_a), "", "", ""],
        [f"main effect of {second}", _points(effects.main_effect_of_b), "", "", ""],
        ["interaction", _points(effects.interaction), "", "", ""],
    ]
    seeds = effects.interaction.num_values
    without = f"{title_of(each.key)}: beside {each.crossing.neither}, {seeds} shared seeds"
    left_out = f" (left out: seeds {', '.join(map(str, effects.left_out))})" if effects.left_out else ""
    return f"### {without}{left_out}\n\n{markdown_table(COMPOSITION_COLUMNS, rows)}"


def _multiples(cost: Cost, base: Cost) -> list[str]:
    pairs = ((cost.questions, base.questions), (cost.tokens, base.tokens), (cost.steps, base.steps))
    return [f"{ours / theirs:.2f}" if theirs else "-" for ours, theirs in pairs]


def _percent(result: ScoreInterval) -> str:
    width = "" if result.half_width is None else f" ± {100 * result.half_width:.1f}"
    return f"{100 * result.mean:.1f}{width}"


def _points(interval: ScoreInterval | MeanInterval) -> str:
    if interval.half_width is None:
        return f"{100 * interval.mean:+.1f}"
    sure = "*" if abs(interval.mean) > interval.half_width else ""
    return f"{100 * interval.mean:+.1f} ± {100 * interval.half_width:.1f}{sure}"


# --- rows of numbers -------------------------------------------------------------------------------------------------


def ablation_frame(found: Sequence[Ablation], base: str) -> pd.DataFrame:
    """One row per block and ablation; shares in [0, 1], costs as multiples of the base's."""
    rows = [
        {
            "dataset": each.key.dataset, "student": each.key.student, "teacher": each.key.teacher, "base": base,
            "axis": row.change.axis, "setting": row.change.setting, "mean": row.result.mean,
            "difference": row.difference.mean, "low": row.difference.low, "high": row.difference.high,
            "over": row.difference.over, "p_holm": row.p, "seeds": row.difference.num_seeds,
            **_multiples_by_name(row.cost, each.base_cost),
        }
        for each in found
        for row in each.rows
    ]  # fmt: skip
    return pd.DataFrame(rows)


def composition_frame(found: Sequence[Composed]) -> pd.DataFrame:
    """One row per block, crossing and quantity; shares in [0, 1]."""
    rows = [
        {
            "dataset": each.key.dataset, "student": each.key.student, "teacher": each.key.teacher,
            "neither": each.crossing.neither, "first": each.crossing.first.setting,
            "second": each.crossing.second.setting, "quantity": quantity, "mean": interval.mean,
            "low": interval.low, "high": interval.high, "seeds": interval.num_values,
        }
        for each in found
        for quantity in QUANTITIES
        for interval in [getattr(each.effects, quantity)]
    ]  # fmt: skip
    return pd.DataFrame(rows)


QUANTITIES = ("gain_of_a", "gain_of_b", "gain_of_both", "main_effect_of_a", "main_effect_of_b", "interaction")


def _multiples_by_name(cost: Cost, base: Cost) -> dict[str, float | None]:
    return {
        f"{name}_multiple": getattr(cost, name) / getattr(base, name) if getattr(base, name) else None
        for name in ("questions", "tokens", "steps")
    }
