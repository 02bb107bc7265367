"""SRD's stages: nested subsets, their shares and settings, the control arms, and what is refused.

Numbers in docstrings are those of the checklist in docs/methods/selective_reflection.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from benchmark.types import TrainingExample
from methods.selective_reflection import SelectiveReflection
from tests.methods.reflection_parts import Small, by_signs, graded, groups_of, played

# --- the subsets and their settings -----------------------------------------------------------------------------------


def test_subsets_are_nested_and_have_the_sizes_of_the_released_code() -> None:
    """5: for 11,435 groups, and the group sets of a small case."""
    assert by_signs(kept=4)._sizes(11_435) == [2858, 5716, 8574, 11_435]
    assert by_signs(kept=3)._sizes(11_435) == [2858, 5716, 8574]
    examples, context = graded(11)
    stages = played(by_signs(kept=4), examples, context)
    assert [groups_of(stage) for stage in stages] == [[f"q{i}" for i in range(size)] for size in (2, 4, 6, 11)]
    assert sum(stage.share for stage in stages) == pytest.approx(1)
    assert [stage.memory is None for stage in stages] == [False, True, True, True]
    assert all(stage.fresh_optimiser and stage.shuffle for stage in stages)


def test_stages_get_the_steps_of_equally_many_passes() -> None:
    """6: eight passes over three stages are 0.6 of twenty passes over all."""
    sizes = by_signs()._sizes(11_435)
    total = 8 * sum(sizes)
    assert total / (20 * 11_435) == pytest.approx(0.6, abs=0.005)
    examples, context = graded(12)
    shares = [stage.share for stage in played(by_signs(), examples, context)]
    assert shares == pytest.approx([3 / 18, 6 / 18, 9 / 18])


def settings_along(curriculum: SelectiveReflection) -> list[tuple[float, float]]:
    examples, context = graded(8)
    context.loss_settings = {"temperature": 9.0, "distillation_weight": 9.0, "other": 9.0}
    settings = [stage.settings for stage in played(curriculum, examples, context)]
    assert all(set(each) == {"temperature", "distillation_weight"} for each in settings)
    return [(each["temperature"], each["distillation_weight"]) for each in settings]


@pytest.mark.parametrize(
    ("option", "published"),
    [
        ("selective_reflection", [(1, 0.8), (1.5, 0.9), (2, 1.0)]),
        ("srd_openllama", [(1, 0.7), (1.33, 0.8), (1.67, 0.9)]),
        ("pocl", [(1, 0.7), (1.33, 0.8), (1.67, 0.9), (2, 1.0)]),
    ],
)
def test_an_option_has_the_published_schedule(
    option: str, published: list[tuple[float, float]], cell: Callable[..., Any]
) -> None:
    """9; the scripts round to two digits."""
    curriculum = cell((f"curriculum={option}", "curriculum.overlap=signs")).method.curriculum
    found = settings_along(curriculum)
    assert np.allclose(found, published, atol=0.006), found


@pytest.mark.parametrize("known", [(), ("temperature",), ("distillation_weight",), ("other",)])
def test_each_setting_is_set_where_the_loss_has_that_one(known: Sequence[str]) -> None:
    examples, context = graded(8)
    context.loss_settings = dict.fromkeys(known, 1.0)
    for stage in played(by_signs(), examples, context):
        assert set(stage.settings) == set(known) & {"temperature", "distillation_weight"}


def test_hard_first_feeds_the_same_questions_the_other_way_round() -> None:
    examples, context = graded(8)
    stages = played(by_signs(order="hard_first"), examples, context)
    assert [set(groups_of(stage)) for stage in stages] == [
        {"q4", "q5"},
        {"q2", "q3", "q4", "q5"},
        {f"q{i}" for i in range(6)},
    ]


@pytest.mark.parametrize("option", ["selective_reflection_flat", "random_three_quarters"])
def test_controls_without_stages_take_three_quarters_and_leave_the_loss_alone(
    option: str, cell: Callable[..., Any]
) -> None:
    curriculum = cell((f"curriculum={option}", "curriculum.overlap=signs")).method.curriculum
    examples, context = graded(40)
    context.loss_settings = {"temperature": 1.0, "distillation_weight": 0.5}
    [stage] = played(curriculum, examples, context)
    assert (len(stage.examples), stage.share, stage.settings) == (30, 1.0, {})
    easiest = {f"q{i}" for i in range(30)}
    assert (set(groups_of(stage)) == easiest) == (option == "selective_reflection_flat")
    assert bool(context.student.asked) == (option == "selective_reflection_flat")


def test_random_groups_follow_the_seed_and_not_the_order_of_the_examples() -> None:
    examples, _ = graded(40)
    curriculum = SelectiveReflection(order="random", nested=False)

    def chosen(rows: Sequence[TrainingExample], seed: int) -> set[str]:
        return set(groups_of(played(curriculum, rows, Small(seed=seed))[0]))

    assert chosen(examples, 1) == chosen(examples[::-1], 1)
    assert chosen(examples, 1) != chosen(examples, 2)
    seen: Counter[str] = Counter()
    for seed in range(200):
        seen.update(chosen(examples, seed))
    assert min(seen.values()) > 110  # each is kept 150 times of 200; a group that never came would show
    assert max(seen.values()) < 190


# --- what is refused -------------------------------------------------------------------------------------------------


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"3 groups cannot be cut into partitions=4; buy more .* at most 3"):
        played(by_signs(), *graded(3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kept": 5}, "kept=5 must be between 1 and partitions=4"),
        ({"kept": 0}, "kept=0"),
        ({"order": "easiest"}, "order='easiest' must be one of easy_first, hard_first, random"),
        ({"signals": "rouge"}, "signals='rouge' must be one of"),
        ({"overlap": "letters"}, "overlap='letters' must be one of words, signs"),
        ({"rrf_constant": -1}, "rrf_constant=-1"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"temperature_start": 0.0}, "temperature_start=0.0 and temperature_end=2.0 must be above 0"),
        ({"temperature_end": None}, "set both, or neither"),
        ({"distillation_weight_end": 1.5}, "must be between 0 and 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        by_signs(**settings)
