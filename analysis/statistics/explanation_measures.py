"""What can be measured of a cell's explanations without people: texts, faithfulness, and simulatability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.records.explained import is_missing
from analysis.records.load import FinishedCell
from analysis.statistics.simulatability import Explained, simulatability


@dataclass(frozen=True)
class Measure:
    """A measure of explanations."""

    name: str
    """Its name, as in `explanations.parquet` or the record."""
    title: str
    """Its column in a table."""
    is_share: bool
    """Whether it is a share, which tables show in percent."""
    better: str
    """`higher`, `lower`, or `neither` where it only describes."""


TEXT_MEASURES = (
    Measure("correct", "right answers %", True, "higher"),
    Measure("words", "words", False, "neither"),
    Measure("sentences", "sentences", False, "neither"),
    Measure("wrong_choices_named", "wrong choices named", False, "neither"),
    Measure("names_own_answer", "names own answer %", True, "higher"),
    Measure("rouge_l", "ROUGE-L %", True, "higher"),
    Measure("truncated", "cut %", True, "lower"),
)
"""Means over the explained questions; questions for which a measure is not defined are left out of it."""
FAITHFULNESS_MEASURES = (
    Measure("early_answer_change_now", "early answer, now %", True, "higher"),
    Measure("early_answer_change_finish", "early answer, finished %", True, "higher"),
    Measure("true_thinking_score", "true thinking %", True, "higher"),
    Measure("steps_below_0_03", "idle steps %", True, "lower"),
    Measure("mistake_change", "added mistakes %", True, "higher"),
    Measure("answer_follows_swap", "follows swap %", True, "higher"),
)
"""From the record's test; higher means that the explanation decides the answer more."""
SIMULATABILITY_MEASURES = (
    Measure("simulatability", "LAS, points", True, "higher"),
    Measure("simulated_from_both", "guessed with it %", True, "higher"),
    Measure("simulated_from_question", "guessed without it %", True, "neither"),
    Measure("leaking", "leaking %", True, "neither"),
)
"""See `simulatability`."""
MEASURES = (*TEXT_MEASURES, *FAITHFULNESS_MEASURES, *SIMULATABILITY_MEASURES)


def measured(cell: FinishedCell, rows: pd.DataFrame, simulate: bool) -> dict[str, float]:
    """Name of a measure -> its value for one cell; measures that the cell does not have are left out.

    Args:
        cell: the cell, whose record holds its faithfulness.
        rows: its explanations.
        simulate: also trains simulators, which needs scikit-learn and takes seconds.
    """
    found = {measure.name: _mean(rows, measure.name) for measure in TEXT_MEASURES if measure.name in rows.columns}
    faithfulness = cell.tests[0].faithfulness
    found |= {measure.name: getattr(faithfulness, measure.name, None) for measure in FAITHFULNESS_MEASURES}
    if simulate:
        found |= _simulated(rows)
    return {name: float(value) for name, value in found.items() if value is not None}


def explained_with_choices(rows: pd.DataFrame) -> list[Explained]:
    """The rows that a simulator can guess: a question with choices, and one of them as the student's answer."""
    found = []
    for row in rows.to_dict("records"):
        if is_missing(row["choices"]) or is_missing(row["answer"]) or row["answer"] not in list(row["choices"]):
            continue
        asked = row["question"] if is_missing(row["context"]) else f"{row['context']}\n{row['question']}"
        choices = tuple(str(choice) for choice in row["choices"])
        found.append(Explained(str(asked), choices, str(row["answer"]), str(row["explanation"])))
    return found


def _simulated(rows: pd.DataFrame) -> Mapping[str, float | None]:
    result = simulatability(explained_with_choices(rows))
    if result is None:
        return {}
    return {
        "simulatability": result.score,
        "simulated_from_both": result.from_both,
        "simulated_from_question": result.from_question,
        "leaking": result.leaking,
    }


def _mean(rows: pd.DataFrame, name: str) -> float | None:
    values = [float(value) for value in rows[name] if not is_missing(value) and value is not pd.NA]
    return sum(values) / len(values) if values else None
