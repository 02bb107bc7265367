"""Growing rounds and two stages: their shares, their steps, and the batches that a budget makes of them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from benchmark.axes.schedule import GrowingRounds, TwoStages
from benchmark.cell.round_steps import NO_LOG, final_student_steps, planned_rounds, steps_of_round
from benchmark.contract import Schedule
from benchmark.teachers.ledger import Budget
from benchmark.types import Round, RoundLog


def rounds_of(schedule: Schedule) -> list[Round]:
    found = planned_rounds(schedule)
    assert found is not None
    return found


def bought(schedule: Schedule, questions: int) -> list[int]:
    """How many questions a budget allows by the end of each round."""
    shares = itertools.accumulate(round_.share for round_ in rounds_of(schedule))
    return [int(Budget(questions=questions).part("questions", share)) for share in shares]


@pytest.mark.parametrize("rounds", [1, 2, 5, 9])
@pytest.mark.parametrize("growth", [0.5, 1.0, 1.352, 3.0])
def test_shares_add_up_to_the_whole_and_grow(rounds: int, growth: float) -> None:
    found = [round_.share for round_ in rounds_of(GrowingRounds(rounds, growth))]
    assert len(found) == rounds
    assert sum(found) == pytest.approx(1)
    assert [later / earlier for earlier, later in itertools.pairwise(found)] == pytest.approx([growth] * (rounds - 1))


def test_the_batches_of_the_option_of_five_rounds() -> None:
    assert bought(GrowingRounds(5, 1.352), 1000) == [100, 235, 418, 666, 1000]
    assert bought(GrowingRounds(5, 1.0), 1000) == [200, 400, 600, 800, 1000]


@pytest.mark.parametrize("warmup", [True, False])
def test_only_the_first_round_draws_at_random(warmup: bool) -> None:
    assert [round_.warmup for round_ in rounds_of(GrowingRounds(3, 2.0, warmup))] == [warmup, False, False]


def steps_of(schedule: Schedule, most: int) -> list[RoundLog]:
    history: list[RoundLog] = []
    while (round_ := schedule.next_round(history)) is not None:
        steps = steps_of_round(schedule, history, round_, most)
        history.append(replace(NO_LOG, round=round_, optimiser_steps=steps))
    return history


@pytest.mark.parametrize("most", [400, 997])
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_rounds_that_go_on_share_the_steps_by_their_batches(rounds: int, most: int) -> None:
    history = steps_of(GrowingRounds(rounds, 1.352, restart=False), most)
    assert sum(log.optimiser_steps for log in history) == final_student_steps(history) == most
    for log in history[:-1]:
        assert log.optimiser_steps == pytest.approx(most * log.round.share, abs=1)


def test_rounds_that_restart_train_all_steps_or_fewer_where_they_only_choose() -> None:
    assert [log.optimiser_steps for log in steps_of(GrowingRounds(3), 400)] == [400, 400, 400]
    history = steps_of(GrowingRounds(3, early_steps_share=0.25), 400)
    assert [log.optimiser_steps for log in history] == [100, 100, 400]
    assert final_student_steps(history) == 400


@pytest.mark.parametrize(("restart", "steps"), [(False, [80, 320]), (True, [400, 400])])
def test_two_stages(restart: bool, steps: list[int]) -> None:
    schedule = TwoStages(0.2, restart)
    assert bought(schedule, 500) == [100, 500]
    history = steps_of(schedule, 400)
    assert [log.optimiser_steps for log in history] == steps
    assert final_student_steps(history) == 400
    assert [log.round.warmup for log in history] == [True, False]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rounds=0 must be at least 1"):
        GrowingRounds(0)
    with pytest.raises(ValueError, match=r"growth=0 above 0"):
        GrowingRounds(2, 0)
    with pytest.raises(ValueError, match=r"early_steps_share=0.5 has no meaning with restart=false"):
        GrowingRounds(2, restart=False, early_steps_share=0.5)
    with pytest.raises(ValueError, match=r"warmup=1.0 leaves nothing to one of the two stages"):
        TwoStages(1.0)
