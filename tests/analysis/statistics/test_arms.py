"""Labels that differ in one axis, and labels that cross two."""

from __future__ import annotations

from analysis.statistics.arms import crossings, one_change

LABELS = [
    "m",
    "m+selection=random",
    "m+selection=oracle",
    "m+loss=jsd",
    "m+loss=jsd+selection=random",
    "n",
    "n+loss=jsd",
]


def test_one_setting_more_or_another_value_is_one_change() -> None:
    assert {label: change.setting for label, change in one_change("m", LABELS).items()} == {
        "m+loss=jsd": "loss=jsd",
        "m+selection=oracle": "selection=oracle",
        "m+selection=random": "selection=random",
    }
    assert set(one_change("m+selection=random", LABELS)) == {"m+selection=oracle", "m+loss=jsd+selection=random"}
    assert one_change("m+loss=jsd+selection=random", LABELS) == {}


def test_two_axes_cross_where_all_four_labels_are_there() -> None:
    [found] = crossings(LABELS)
    assert (found.neither, found.only_first, found.only_second, found.both) == (
        "m", "m+loss=jsd", "m+selection=random", "m+loss=jsd+selection=random",
    )  # fmt: skip
    assert crossings(["m", "m+loss=jsd", "m+selection=random"]) == []
    assert crossings(["m", "m+loss=jsd", "m+loss=fkl"]) == []


def test_the_order_of_settings_in_a_label_does_not_matter() -> None:
    assert len(crossings(["m", "m+b=1", "m+a=1", "m+b=1+a=1"])) == 1


def test_a_crossing_may_start_from_a_value_and_is_there_once() -> None:
    labels = ["m+a=1", "m+a=2", "m+a=1+b=1", "m+a=2+b=1"]
    [found] = crossings(labels)
    assert (found.neither, found.only_first, found.only_second, found.both) == (
        "m+a=1", "m+a=1+b=1", "m+a=2", "m+a=2+b=1",
    )  # fmt: skip
