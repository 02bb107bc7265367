"""From stages to optimiser steps: order, coverage, shares, settings, and data policies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from benchmark.student.batch import Step
from benchmark.student.encoding import Encoder
from benchmark.student.stream import FitState, StepStream
from benchmark.types import Stage, TrainingExample
from tests.student.student_parts import (
    SettableLoss,
    Stages,
    Supplies,
    context_of,
    example,
    method_of,
    optimization_of,
    shared_student,
    sums,
)


def stream_of(
    examples: Sequence[TrainingExample],
    curriculum: Any = None,
    loss: Any = None,
    seed: int = 1,
    round_index: int = 0,
    micro_batch_tokens: int = 10**9,
    **optimization: Any,
) -> StepStream:
    student = shared_student()
    method = method_of(curriculum, loss)
    context = context_of(student, method, seed, round_index)
    chosen = optimization_of(**optimization)
    state = FitState(chosen.max_steps, student, context.for_axis("loss").rng)
    return StepStream(method, examples, chosen, micro_batch_tokens, context.for_axis("curriculum"), state)


def groups_of(step: Step) -> list[str]:
    """The groups of a step, each once."""
    return list(dict.fromkeys(one.group for batch in step.micro_batches for one in batch.examples))


def order_of(steps: StepStream) -> list[frozenset[str]]:
    return [frozenset(groups_of(step)) for step in steps]


# --- order and coverage ----------------------------------------------------------------------------------------------


def test_every_pass_covers_all_groups_once_in_batches_of_the_right_number() -> None:
    steps = order_of(stream_of(sums(12), max_steps=9, batch_size=4))
    assert [len(step) for step in steps] == [4] * 9
    for start in range(0, 9, 3):
        assert frozenset.union(*steps[start : start + 3]) == {f"q{i}" for i in range(12)}
    assert len(set(map(frozenset, (steps[:3], steps[3:6], steps[6:])))) == 3  # other batches in every pass


def test_what_does_not_fill_a_batch_waits_and_other_groups_wait_in_other_passes() -> None:
    steps = order_of(stream_of(sums(10), max_steps=80, batch_size=4))
    missing = [frozenset(f"q{i}" for i in range(10)) - steps[i] - steps[i + 1] for i in range(0, 80, 2)]
    assert {len(waiting) for waiting in missing} == {2}
    counts = Counter(group for step in steps for group in step)
    assert set(counts) == {f"q{i}" for i in range(10)}
    assert min(counts.values()) > 20  # of 40 passes; 32 are expected


def test_a_batch_counts_groups_and_holds_all_their_examples() -> None:
    pair = (("a", "answer"), ("b", "answer"))
    rows = [example(f"q{i}", f"{i}", text, task=task) for i in range(6) for text, task in pair]
    for step in stream_of(rows, max_steps=6, batch_size=3):
        assert len(groups_of(step)) == 3
        assert sum(len(batch.examples) for batch in step.micro_batches) == 6


def test_examples_that_no_term_is_about_are_refused() -> None:
    rows = [example("q0", "0", "a"), example("q1", "1", "b", task="forgotten")]
    with pytest.raises(ValueError, match="no term of the loss is about task 'forgotten'"):
        list(stream_of(rows, max_steps=2))


def test_a_data_policy_that_supplies_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="supplied nothing"):
        list(stream_of(sums(4), loss=SettableLoss(data_policy=Supplies(lambda drawn, state: [])), max_steps=2))


def test_a_batch_larger_than_the_data_is_all_of_the_data() -> None:
    assert order_of(stream_of(sums(3), max_steps=2, batch_size=16)) == [frozenset({"q0", "q1", "q2"})] * 2


def test_same_seed_same_order_and_other_seed_or_round_another() -> None:
    one = order_of(stream_of(sums(16), max_steps=16))
    assert order_of(stream_of(sums(16), max_steps=16)) == one
    assert order_of(stream_of(sums(16), max_steps=16, seed=2)) != one
    assert order_of(stream_of(sums(16), max_steps=16, round_index=1)) != one


def test_order_does_not_depend_on_the_micro_batch_size() -> None:
    one, other = (order_of(stream_of(sums(16), micro_batch_tokens=tokens)) for tokens in (1, 10**9))
    assert one == other


def test_a_stage_without_shuffling_keeps_the_order_of_its_examples() -> None:
    steps = order_of(stream_of(sums(8), Stages([Stage(sums(8), shuffle=False)]), max_steps=4))
    assert steps == [frozenset(f"q{i}" for i in range(a, a + 4)) for a in (0, 4, 0, 4)]


def test_a_stage_without_shuffling_leaves_no_group_out_for_good() -> None:
    steps = order_of(stream_of(sums(10), Stages([Stage(sums(10), shuffle=False)]), max_steps=10, batch_size=4))
    assert frozenset.union(*steps) == {f"q{i}" for i in range(10)}


def test_examples_are_tokenised_once_in_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[TrainingExample] = []
    original = Encoder.examples

    def counted(self: Encoder, examples: Sequence[TrainingExample]) -> Any:
        seen.extend(examples)
        return original(self, examples)

    monkeypatch.setattr(Encoder, "examples", counted)
    assert len(list(stream_of(sums(8), max_steps=20))) == 20
    assert sorted(row.group for row in seen) == sorted(row.group for row in sums(8))


# --- stages ----------------------------------------------------------------------------------------------------------


def test_stages_get_their_shares_their_examples_and_their_settings() -> None:
    rows = sums(12)
    stages = Stages(
        [
            Stage(rows[:4], share=0.25, settings={"temperature": 4.0}),
            Stage(rows[4:8], share=0.5, settings={"weight": 0.5}),
            Stage(rows[8:], share=0.25),
        ]
    )
    steps = list(stream_of(rows, stages, SettableLoss(), max_steps=12))
    assert [groups_of(step)[0] in {"q0", "q1", "q2", "q3"} for step in steps] == [True] * 3 + [False] * 9
    assert {g for step in steps[3:9] for g in groups_of(step)} == {f"q{i}" for i in range(4, 8)}
    assert {g for step in steps[9:] for g in groups_of(step)} == {f"q{i}" for i in range(8, 12)}
    plain = {"temperature": 1.0, "weight": 1.0}
    expected = [{**plain, "temperature": 4.0}] * 3 + [{**plain, "weight": 0.5}] * 6 + [plain] * 3
    assert [dict(step.settings) for step in steps] == expected
    # The setting reaches the terms: half the weight, half the scale.
    sums_of_scales = [sum(float(b.scale["answer"].sum()) for b in step.micro_batches) for step in steps]
    assert sums_of_scales == pytest.approx([1.0] * 3 + [0.5] * 6 + [1.0] * 3)


def test_shares_that_do_not_divide_the_steps_lose_none() -> None:
    stages = Stages([Stage(sums(4), share=1 / 3), Stage(sums(8), share=1 / 3), Stage(sums(12), share=1 / 3)])
    assert len(list(stream_of(sums(12), stages, max_steps=10))) == 10
    ten = Stages([Stage(sums(4), share=0.1) for _ in range(10)])
    assert len(list(stream_of(sums(4), ten, max_steps=37))) == 37


def test_progress_runs_over_the_fit_or_over_the_stage_after_a_fresh_start() -> None:
    kept = [Stage(sums(4), share=0.5), Stage(sums(4), share=0.5)]
    assert [step.progress for step in stream_of(sums(4), Stages(kept))] == [(i + 0.5) / 8 for i in range(8)]
    fresh = [kept[0], replace(kept[1], fresh_optimiser=True)]
    steps = list(stream_of(sums(4), Stages(fresh)))
    assert [step.progress for step in steps] == [(i + 0.5) / 8 for i in range(4)] + [(i + 0.5) / 4 for i in range(4)]
    assert [step.fresh_optimiser for step in steps] == [False] * 4 + [True] + [False] * 3


def test_the_next_stage_is_asked_for_only_when_the_one_before_is_trained() -> None:
    asked_at: list[int] = []

    class Watching(Stages):
        def next_stage(self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Any) -> Stage | None:
            asked_at.append(steps.state.step)
            assert context.axis == "curriculum"
            return super().next_stage(done, examples, context)

    stages = Watching([Stage(sums(4), share=0.5, memory={"n": 1}), Stage(sums(4), share=0.5)])
    steps = stream_of(sums(4), stages)
    for trained, _ in enumerate(steps):
        assert steps.state.step == trained
    assert asked_at[:2] == [0, 4]


def test_an_unknown_setting_is_refused_by_name() -> None:
    stages = Stages([Stage(sums(4), settings={"temprature": 2.0, "weight": 1.0})])
    with pytest.raises(ValueError, match="stage 0 sets temprature, which this loss does not know"):
        list(stream_of(sums(4), stages, SettableLoss()))


def test_a_stage_without_examples_is_refused_in_words() -> None:
    stages = Stages([Stage(sums(4), share=0.5), Stage([], share=0.5)])
    with pytest.raises(ValueError, match=r"stage 1.*no examples"):
        list(stream_of(sums(4), stages))


# --- data policies ---------------------------------------------------------------------------------------------------


def test_a_policy_may_make_several_steps_of_one_draw() -> None:
    policy = Supplies(lambda drawn, state: [drawn[:2], drawn[2:], drawn])
    steps = order_of(stream_of(sums(8), loss=SettableLoss(data_policy=policy), max_steps=7))
    assert [len(step) for step in steps] == [2, 2, 4, 2, 2, 4, 2]
    assert steps[0] | steps[1] == steps[2]
    assert steps[2] | steps[5] == {f"q{i}" for i in range(8)}  # two draws are one pass over the data


def test_a_policy_may_supply_examples_of_its_own_and_knows_the_step_and_the_settings() -> None:
    seen: list[tuple[int, int, float]] = []

    def make(drawn: Sequence[TrainingExample], state: Any) -> Iterator[list[TrainingExample]]:
        for part in range(2):
            seen.append((state.step, state.total_steps, state.settings["temperature"]))
            own = state.rng("own", state.step).integers(100)
            yield [replace(row, group=f"own{own}-{part}-{row.group}") for row in drawn[:1]]

    stages = Stages([Stage(sums(4), settings={"temperature": 3.0})])
    streams = [stream_of(sums(4), stages, SettableLoss(data_policy=Supplies(make)), max_steps=5) for _ in range(2)]
    one, two = map(order_of, streams)
    assert one == two
    assert all(len(step) == 1 and next(iter(step)).startswith("own") for step in one)
    made_in_pairs = [0, 0, 2, 2, 4, 4]  # all steps of one supply are made before the first of them is taken
    assert seen[:6] == [(step, 5, 3.0) for step in made_in_pairs]
