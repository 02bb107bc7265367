"""How many optimiser steps each round trains, so that every cell's final student has `optimization.max_steps`.

A *chain* is a round that starts from the initial student together with the rounds that continue its training. The last
chain makes the final student: its rounds share `optimization.max_steps`. The rounds of an earlier chain share as many
steps, or fewer where their `Round.steps_share` say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.contract import Schedule
from benchmark.types import Round, RoundLog

MOST_ROUNDS = 1000
"""A schedule with more rounds counts as endless, and the number of its rounds as unknown."""
EXPECTED_GAIN = 0.05
"""What a round that is only planned gains in validation."""
NO_LOG = RoundLog(Round(0, 0.0), 0, {}, {}, {}, {"accuracy": 0.0}, {})
"""Stands for a round that nothing is known of."""


@dataclass(frozen=True)
class PlannedSteps:
    """The optimiser steps of a cell."""

    of_rounds: tuple[int, ...]
    """The steps of each round, in order."""
    final_student: int
    """The steps of the final student, which the last chain trains."""

    @property
    def total(self) -> int:
        """The steps of all rounds together."""
        return sum(self.of_rounds)


def planned_rounds(schedule: Schedule, history: Sequence[RoundLog] = ()) -> list[Round] | None:
    """The rounds after `history`; None if the schedule needs real rounds, or has no end.

    Every round to come is taken to end like the last finished one, with `EXPECTED_GAIN` more in validation, so that no
    rule for an early end holds. Before the first one, validation accuracy is 0.
    """
    last = history[-1] if history else NO_LOG
    logs, found = list(history), list[Round]()
    try:
        while (round_ := schedule.next_round(tuple(logs))) is not None:
            if len(found) == MOST_ROUNDS:
                return None
            found.append(round_)
            last = replace(last, round=round_, validation={k: v + EXPECTED_GAIN for k, v in last.validation.items()})
            logs.append(last)
    except Exception:  # it reads something of a round that only a real round has
        return None
    return found


def planned_steps(schedule: Schedule, max_steps: int) -> PlannedSteps | None:
    """The steps of all rounds, known before the first; None where `planned_rounds` does not know the rounds.

    Raises ValueError where the shares of the rounds are impossible.
    """
    rounds = planned_rounds(schedule)
    if rounds is None:
        return None
    steps: list[int] = []
    last: list[int] = []
    chains = _chains(rounds)
    for number, chain in enumerate(chains, 1):
        last = _steps(chain, (), max_steps, number == len(chains))
        steps += last
    return PlannedSteps(tuple(steps), sum(last))


def steps_of_round(schedule: Schedule, history: Sequence[RoundLog], round_: Round, max_steps: int) -> int:
    """The optimiser steps of a round that begins after `history`.

    Raises ValueError where the shares of its chain are impossible, or nothing is left for the round.
    """
    done = () if round_.restart else _last_chain(history)
    later = planned_rounds(schedule, (*history, replace(history[-1] if history else NO_LOG, round=round_)))
    chain, *others = _chains([round_, *(later or ())])
    return _steps(chain, done, max_steps, later is not None and not others)[0]


def final_student_steps(history: Sequence[RoundLog]) -> int:
    """The optimiser steps that the student of the last round has trained; 0 without a round."""
    return sum(log.optimiser_steps for log in _last_chain(history))


def refuse_short_training(history: Sequence[RoundLog], max_steps: int) -> None:
    """Raises ValueError if the schedule has ended and the final student has trained fewer steps than `max_steps`."""
    steps = final_student_steps(history)
    if history and steps != max_steps:
        raise ValueError(
            f"the schedule ended after {len(history)} rounds with a student of {steps} of "
            f"optimization.max_steps={max_steps} steps. A schedule that decides on the way when to end gives "
            "restart=True and no steps_share, so that each of its students trains all steps"
        )


def _chains(rounds: Sequence[Round]) -> list[list[Round]]:
    """The rounds cut before each one that restarts the student."""
    chains: list[list[Round]] = []
    for round_ in rounds:
        if round_.restart or not chains:
            chains.append([])
        chains[-1].append(round_)
    return chains


def _last_chain(history: Sequence[RoundLog]) -> Sequence[RoundLog]:
    first = max((i for i, log in enumerate(history) if log.round.restart), default=0)
    return history[first:]


def _steps(chain: Sequence[Round], done: Sequence[RoundLog], max_steps: int, final: bool) -> list[int]:
    """The steps of the rounds of a chain that are still to come.

    Rounds without a share get equal parts of what is left, which differ by one step at most, the later ones longer. In
    the final chain, the last round takes what rounding left over.

    Args:
        chain: the rounds to come; not empty.
        done: the finished rounds of the same chain.
        max_steps: the steps of a whole chain.
        final: whether the chain makes the final student, as far as that is known.
    """
    shares = [log.round.steps_share for log in done] + [round_.steps_share for round_ in chain]
    given = [share for share in shares if share is not None]
    _refuse_shares(chain, given, len(given) == len(shares), max_steps, final)
    left = max_steps - sum(log.optimiser_steps for log in done)
    steps = [0 if r.steps_share is None else math.floor(max_steps * r.steps_share + 1e-6) for r in chain]
    open_rounds = [i for i, round_ in enumerate(chain) if round_.steps_share is None]
    if open_rounds:
        part, longer = divmod(max(left - sum(steps), 0), len(open_rounds))
        for number, i in enumerate(open_rounds):
            steps[i] = part + (number >= len(open_rounds) - longer)
    elif final:
        steps[-1] = left - sum(steps[:-1])
    if min(steps) < 1 or sum(steps) > left:
        raise ValueError(
            f"{_named(chain)} would train {_listed(steps)} of the {left} steps that are left of "
            f"optimization.max_steps={max_steps}; each round needs at least 1: raise optimization.max_steps, change "
            "steps_share in the schedule, or restart the student (restart=True)"
        )
    return steps


def _refuse_shares(
    chain: Sequence[Round], given: Sequence[float], all_given: bool, max_steps: int, final: bool
) -> None:
    """Raises ValueError for shares outside (0, 1], for too large a sum, and for too small a one in the final chain."""
    for share in given:
        if not 0 < share <= 1:
            raise ValueError(f"steps_share={share} in the schedule is no share of optimization.max_steps in (0, 1]")
    total = math.fsum(given)
    if total > 1 + 1e-6:
        raise ValueError(
            f"the steps_share of {_named(chain)}, which train one student, add up to {total:.4g}; the most is 1, all "
            f"of optimization.max_steps={max_steps}"
        )
    if all_given and final and total < 1 - 1e-6:
        raise ValueError(
            f"the steps_share of {_named(chain)}, which train the final student, add up to {total:.4g}: it would train "
            f"{max_steps * total:.4g} of optimization.max_steps={max_steps} steps; make them add up to 1"
        )


def _named(chain: Sequence[Round]) -> str:
    first, last = chain[0].index + 1, chain[-1].index + 1  # as progress bars count them
    return f"round {first}" if first == last else f"rounds {first} to {last}"


def _listed(steps: Sequence[int]) -> str:
    return ", ".join(map(str, steps))
