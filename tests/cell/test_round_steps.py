"""The final student trains exactly `max_steps` under every schedule; impossible shares are refused with the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.axes.schedule import EqualRounds, NoTraining, OneShot
from benchmark.cell.round_steps import (
    NO_LOG,
    PlannedSteps,
    planned_rounds,
    planned_steps,
    refuse_short_training,
    steps_of_round,
)
from benchmark.contract import Requirements, Schedule
from benchmark.types import Round, RoundLog


@dataclass(frozen=True)
class Written:
    """Rounds as they are written down: (restart, share of the steps)."""

    rounds: tuple[tuple[bool, float | None], ...]

    def requires(self) -> Requirements:
        return Requirements()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        if len(history) == len(self.rounds):
            return None
        restart, share = self.rounds[len(history)]
        return Round(len(history), 1 / len(self.rounds), restart, steps_share=share)


def steps_on_the_way(schedule: Schedule, max_steps: int) -> list[int]:
    """The steps that each round gets when it begins, as the corridor asks for them."""
    history: list[RoundLog] = []
    while (round_ := schedule.next_round(history)) is not None:
        steps = steps_of_round(schedule, history, round_, max_steps)
        history.append(replace(NO_LOG, round=round_, optimiser_steps=steps))
    refuse_short_training(history, max_steps)
    return [log.optimiser_steps for log in history]


CASES = [
    (OneShot(), (400,), 400),
    (NoTraining(), (), 0),
    (EqualRounds(3), (400, 400, 400), 400),
    (EqualRounds(3, restart=False), (133, 133, 134), 400),
    (EqualRounds(3, restart=False, steps_shares=(0.1, 0.1, 0.8)), (40, 40, 320), 400),
    (EqualRounds(3, steps_shares=(0.1, 0.25, 1.0)), (40, 100, 400), 400),
    (Written(((True, None), (False, None), (True, None))), (200, 200, 400), 400),
    (Written(((True, None), (True, None), (False, None))), (400, 200, 200), 400),
    (Written(((True, 0.1), (False, 0.2), (True, None), (False, 0.3))), (40, 80, 280, 120), 400),
    (Written(((False, 0.5), (False, None), (False, None))), (200, 100, 100), 400),
    (Written(((True, 1 / 3), (False, 1 / 3), (False, 1 / 3))), (133, 133, 134), 400),
]


@pytest.mark.parametrize(("schedule", "steps", "final"), CASES)
def test_rounds_share_the_steps_of_one_student(schedule: Schedule, steps: tuple[int, ...], final: int) -> None:
    assert planned_steps(schedule, 400) == PlannedSteps(steps, final)
    assert steps_on_the_way(schedule, 400) == list(steps)


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(9, 2000))
def test_the_final_student_has_all_steps_and_parts_differ_by_one(restarts: list[bool], max_steps: int) -> None:
    schedule = Written(tuple((restart, None) for restart in restarts))
    planned = planned_steps(schedule, max_steps)
    assert planned is not None
    assert planned.final_student == max_steps
    assert steps_on_the_way(schedule, max_steps) == list(planned.of_rounds)
    begins = [i for i, restart in enumerate(restarts) if restart or i == 0]
    for first, end in zip(begins, [*begins[1:], len(restarts)], strict=True):
        parts = planned.of_rounds[first:end]
        assert sum(parts) == max_steps
        assert max(parts) - min(parts) <= 1


IMPOSSIBLE = [
    (
        EqualRounds(3, steps_shares=(1.0, 1.0, 0.5)),
        r"round 3, .* add up to 0\.5: it would train 200 of .*max_steps=400",
    ),
    (EqualRounds(2, restart=False, steps_shares=(0.5, 0.4)), r"rounds 1 to 2, .* add up to 0\.9: it would train 360"),
    (EqualRounds(2, restart=False, steps_shares=(0.5, 0.6)), r"rounds 1 to 2, .* add up to 1\.1; the most is 1"),
    (EqualRounds(2, steps_shares=(0.0, 1.0)), r"steps_share=0\.0 .* in \(0, 1\]"),
    (EqualRounds(2, steps_shares=(1.5, 1.0)), r"steps_share=1\.5 .* in \(0, 1\]"),
    (EqualRounds(3, restart=False, steps_shares=(0.001, 0.4, 0.599)), "would train 0, 160, 240 of the 400 steps"),
    (Written(((True, 0.6), (False, 0.4), (False, None))), "would train 240, 160, 0 of the 400 steps"),
]


@pytest.mark.parametrize(("schedule", "message"), IMPOSSIBLE)
def test_impossible_shares_are_refused_with_their_values(schedule: Schedule, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        planned_steps(schedule, 400)


def test_a_share_for_each_round() -> None:
    with pytest.raises(ValueError, match=r"steps_shares=\[0\.5\] must have one share for each of 3 rounds"):
        EqualRounds(3, steps_shares=(0.5,))
    with pytest.raises(ValueError, match="rounds=0 must be at least 1"):
        EqualRounds(0)


@dataclass(frozen=True)
class UntilGood(Written):
    """Ends after the first round of which validation says 1.0."""

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        good = history and history[-1].validation["accuracy"] == 1.0
        return None if good else super().next_round(history)


def test_a_schedule_that_ends_earlier_than_foreseen_fails_unless_it_restarts() -> None:
    good = replace(NO_LOG, validation={"accuracy": 1.0})
    for restart, steps in ((True, 400), (False, 200)):
        schedule = UntilGood(((True, None), (restart, None)))
        first = Round(0, 0.5)
        assert steps_of_round(schedule, (), first, 400) == steps
        log = replace(good, round=first, optimiser_steps=steps)
        assert schedule.next_round([log]) is None
        if restart:
            refuse_short_training([log], 400)
        else:
            with pytest.raises(ValueError, match=r"ended after 1 rounds with a student of 200 of .*max_steps=400"):
                refuse_short_training([log], 400)


def test_a_schedule_that_needs_real_rounds_or_never_ends_is_not_known() -> None:
    @dataclass(frozen=True)
    class ByNotes(OneShot):
        def next_round(self, history: Sequence[RoundLog]) -> Round | None:
            return None if history and history[-1].notes["gain"] else Round(len(history), 0.5)

    @dataclass(frozen=True)
    class Endless(OneShot):
        def next_round(self, history: Sequence[RoundLog]) -> Round | None:
            return Round(len(history), 0.0)

    for schedule in (ByNotes(), Endless()):
        assert planned_rounds(schedule) is None
        assert planned_steps(schedule, 400) is None
        assert steps_of_round(schedule, (), Round(0, 0.5), 400) == 400
