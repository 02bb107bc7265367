"""TA-in-the-loop with its signals off, and with a filter that leaves nearly nothing: T9 and T11 of its page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from benchmark.axes.selection import RandomSelection
from benchmark.axes.weighting import KeepRandom
from benchmark.contract import Context
from benchmark.random_streams import stream
from benchmark.types import Annotation, Question, Round
from methods.judges import Solution
from methods.ta_in_the_loop import KeepTrusted, StudentDoubt
from tests.corridor.corridor_parts import miniature, run

ALL_OFF = ("selection=random", "weighting=uniform", "schedule=one_shot")
"""The preset without its three signals and without its warm-up."""


class Room:
    """As much of a context as a random selection and a filter use."""

    def __init__(self, round_: Round) -> None:
        self.round = round_

    def rng(self, *key: str | int) -> Any:
        return stream("seed", 1, *key)


class Indifferent:
    """A judge that is equally sure of everything."""

    def requires(self) -> Any:
        return StudentDoubt().requires()

    def confidences(self, solutions: Sequence[Solution], context: Context) -> list[float]:
        return [0.5] * len(solutions)


def bought_and_weights(overrides: tuple[str, ...], folder: Path) -> tuple[list[str], set[float]]:
    rows = run(miniature(*overrides), folder).table("annotations")
    return [row["question_id"] for row in rows], {row["weight"] for row in rows}


def test_with_all_signals_off_it_is_the_random_baseline(tmp_path: Path) -> None:
    """T11 of the page."""
    off, weights = bought_and_weights(("method=ta_in_the_loop", *ALL_OFF), tmp_path / "off")
    baseline, _ = bought_and_weights(("method=rationale_then_answer",), tmp_path / "baseline")
    other, _ = bought_and_weights(("method=ta_in_the_loop", *ALL_OFF, "seed=2"), tmp_path / "other")
    assert off == baseline != other
    assert weights == {1.0}


def test_a_warm_up_round_chooses_as_random_does() -> None:
    pool = [Question(f"q-{i}", f"{i}+1") for i in range(40)]
    context = cast(Context, Room(Round(0, 0.2, warmup=True)))
    assert StudentDoubt().rank(pool, context) == RandomSelection().rank(pool, context)


def test_what_a_heavy_filter_drops_is_paid_and_not_replaced(tmp_path: Path) -> None:
    """T9 of the page: of fifty questions five are learnt, and no other is bought for the rest."""
    settings = ("dataset.pool_size=80", "budget.questions=50")
    cell = miniature("method=ta_in_the_loop", "assistant=simulated", *settings, weighting=KeepTrusted(share=0.1))
    ran = run(cell, tmp_path)
    rows = ran.table("annotations")
    assert [log.charged["teacher"].calls for log in ran.history] == [10, 50]
    assert max(Counter(row["question_id"] for row in rows).values()) == 1
    kept = Counter((row["round"], row["weight"]) for row in rows)
    assert kept == {(0, 1.0): 1, (0, 0.0): 9, (1, 1.0): 4, (1, 0.0): 36}


@pytest.mark.parametrize("weighting", [KeepTrusted(Indifferent()), KeepRandom()], ids=["trusted", "random"])
def test_whom_equal_confidences_keep_does_not_follow_the_order_of_annotations(weighting: Any) -> None:
    rows = [Annotation(Question(f"q-{i}", f"{i}+1"), "rationale", "teacher", "because", "2") for i in range(60)]
    context = cast(Context, Room(Round(1, 0.8)))

    def kept(of: Sequence[Annotation]) -> set[str]:
        return {row_id for row_id, weight in weighting.weigh(of, [], context).items() if weight.value}

    assert kept(rows) == kept(rows[::-1])
    assert len(kept(rows)) == 42
    assert kept(rows) != {row.id for row in rows[:42]}
    assert kept(rows) != {row.id for row in sorted(rows, key=lambda row: row.id)[:42]}
