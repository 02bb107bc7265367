"""What dominates what, by hand."""

from __future__ import annotations

from analysis.statistics.frontier import Point, dominated_by


def test_a_method_is_dominated_by_the_best_that_costs_no_more() -> None:
    points = [
        Point("cheap", 10, 0.5),
        Point("worse_and_dearer", 20, 0.4),  # than cheap alone
        Point("dear", 30, 0.8),
        Point("late", 40, 0.6),  # than cheap and dear: dear is better
        Point("equal_to_dear_but_dearer", 31, 0.8),
        Point("equal_cost_worse", 30, 0.7),
    ]
    assert dominated_by(points) == {
        "cheap": None,
        "worse_and_dearer": "cheap",
        "dear": None,
        "late": "dear",
        "equal_to_dear_but_dearer": "dear",
        "equal_cost_worse": "dear",
    }


def test_equal_points_both_lie_on_the_frontier_and_the_first_name_dominates() -> None:
    points = [Point("b", 10, 0.5), Point("a", 10, 0.5), Point("c", 11, 0.5)]
    assert dominated_by(points) == {"b": None, "a": None, "c": "a"}


def test_a_lower_cost_decides_between_equal_values() -> None:
    assert dominated_by([Point("dear", 9, 0.5), Point("cheap", 5, 0.5), Point("bad", 10, 0.1)])["bad"] == "cheap"


def test_nothing_is_dominated_alone() -> None:
    assert dominated_by([]) == {}
    assert dominated_by([Point("a", 0, 0.0)]) == {"a": None}
