"""The table of `mode=plan`: every cell that a command would run, with its state, cost and time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from benchmark.cell.cell import Cell
from benchmark.cell.names import Names
from benchmark.cell.precision import precision_lines
from benchmark.cell.round_steps import planned_steps
from benchmark.cell.sources import student_download
from benchmark.console.heartbeat import duration
from benchmark.console.markdown_table import markdown_table, number, usd
from benchmark.console.tracebacks import TRACEBACKS
from benchmark.errors import in_a_line
from benchmark.evaluation.leaks import pool_warning
from benchmark.planning.amounts import UNKNOWN, Estimate, ExpectedCost
from benchmark.planning.compatibility import compatibility_lines
from benchmark.planning.estimate import Timing, expected_seconds, timings
from benchmark.planning.expected_cost import REHEARSED_QUESTIONS, expected_cost
from benchmark.planning.student_work import StudentWork, student_work

Status = Literal["complete", "failed", "damaged", "missing"]
STATES: Mapping[Status, str] = {
    "complete": "complete",
    "failed": "failed before",
    "damaged": "damaged",
    "missing": "to run",
}
COLUMNS = (
    *("method", "dataset", "student", "seed", "varied", "state"),
    *("student steps", "all steps", "calls", "tokens", "USD", "time"),
)
TEXT_COLUMNS = frozenset({"method", "dataset", "student", "varied", "state"})
NO_VALUE = "-"
ESTIMATED, AT_MOST, NOT_KNOWN = "~", "≤", "?"
MARKS = {
    ESTIMATED: f"estimated: costs from a rehearsal of {REHEARSED_QUESTIONS} questions that sends nothing, times from "
    "finished cells, one cell after another",
    AT_MOST: f"at most: the largest worst case of {REHEARSED_QUESTIONS} questions, from the requests that the method "
    "plans",
    NOT_KNOWN: "not known: there is no finished cell of this student to take the time from, or prompts depend on "
    "replies, or the number of rounds on what happens in them",
}


@dataclass(frozen=True)
class Listed:
    """A cell that the table lists."""

    names: Names
    varied: str = ""
    """Further settings in which the listed cells differ."""
    cell: Cell | None = None
    """None if the cell is impossible."""
    status: Status = "missing"
    """What the results folder holds of the cell."""
    is_prerequisite: bool = False
    """Whether other cells start from it, so that it is run first."""


@dataclass(frozen=True)
class PlanRow:
    """One line of the table."""

    names: Names
    varied: str
    """Further settings in which the listed cells differ."""
    state: str
    """The cell's state, in words of `STATES`, or `impossible`; `first` for one that others start from."""
    max_steps: int | None = None
    """Optimiser steps of the final student; None if it is not trained or the cell will not run."""
    all_steps: int | None = None
    """Optimiser steps of all rounds together; None where their number is not known."""
    cost: ExpectedCost | None = None
    """What the cell will buy; None if it buys nothing."""
    seconds: Estimate | None = None
    """How long the cell will run; None if it will not run."""
    problem: str | None = None
    """Why nothing can be estimated; None if nothing went wrong."""


def plan_table(cells: Iterable[Listed], reasons: Sequence[str] = ()) -> str:
    """The table in Markdown, with totals of the cells to run.

    Below it stand the reasons why cells are impossible, what pools hold of test sets, the downloads of a run, what
    `precision: auto` became, and what the marks mean.
    """
    cells, known, works = list(cells), lru_cache(timings), _Works()
    rows = [_row(listed, known, works) for listed in cells]
    lines = [_shown(row) for row in (*rows, _total(rows))]
    hidden = set() if any(row.varied for row in rows) else {"varied"}
    if all(row.max_steps == row.all_steps for row in rows):
        hidden |= {"student steps", "all steps"}
    used = [i for i, name in enumerate(COLUMNS) if name not in hidden]
    table = markdown_table([COLUMNS[i] for i in used], [[line[i] for i in used] for line in lines], TEXT_COLUMNS)
    problems = dict.fromkeys(row.problem for row in rows if row.problem is not None)
    notes = [*reasons, *problems, *_waits(cells, works), *_leaks(cells), *_incompatible(cells)]
    notes += [*_downloads(cells), *_precisions(cells)]
    parts = [table, "\n".join(f"- {note}" for note in notes), _legend(lines)]
    return "\n\n".join(part for part in parts if part) + "\n"


class _Works:
    """What parts ask the student, rehearsed once for all seeds and students."""

    def __init__(self) -> None:
        self._known: dict[str, StudentWork] = {}

    def of(self, cell: Cell) -> StudentWork:
        """The work of the student in the cell."""
        decisive = (cell.method, cell.dataset, cell.budget, cell.teacher, cell.pool, cell.data_seed)
        key = repr(decisive)
        if key not in self._known:
            self._known[key] = student_work(cell)
        return self._known[key]


def _waits(cells: Iterable[Listed], works: _Works) -> list[str]:
    """One line per method and dataset with parts that wait for the student, without repeats."""
    to_run = [each.cell for each in cells if each.cell is not None and each.status != "complete"]
    lines = [(cell, works.of(cell).line) for cell in to_run if cell.method.trains()]
    return list(dict.fromkeys(f"{c.method.name} on {c.dataset.name}: {line}" for c, line in lines if line is not None))


def _incompatible(cells: Iterable[Listed]) -> list[str]:
    """What does not fit between models and data, without repeats."""
    possible = [each.cell for each in cells if each.cell is not None and each.status != "complete"]
    return list(dict.fromkeys(line for cell in possible for line in compatibility_lines(cell)))


def _leaks(cells: Iterable[Listed]) -> list[str]:
    """One line per pool and test set that share questions, without repeats."""
    possible = [listed.cell for listed in cells if listed.cell is not None]
    pairs = [(cell.dataset, tested) for cell in possible for tested in (cell.dataset, *cell.extra_datasets)]
    return list(dict.fromkeys(line for own, tested in pairs if (line := pool_warning(own, tested)) is not None))


def _downloads(cells: Iterable[Listed]) -> list[str]:
    """One line per student that a run would download from the hub, without repeats."""
    downloads = [student_download(listed.cell) for listed in cells if listed.cell is not None]
    return list(dict.fromkeys(download for download in downloads if download is not None))


def _precisions(cells: Iterable[Listed]) -> list[str]:
    """What `precision: auto` became on this machine, without repeats."""
    return list(dict.fromkeys(line for each in cells if each.cell is not None for line in precision_lines(each.cell)))


def _row(listed: Listed, known: Callable[[Path], Sequence[Timing]], works: _Works) -> PlanRow:
    """The cell's line. Where a part raises while its cost is estimated, cost and time are not known, and it is said."""
    names, varied, cell = listed.names, listed.varied, listed.cell
    if cell is None:
        return PlanRow(names, varied, "impossible")
    if listed.status == "complete":
        return PlanRow(names, varied, STATES[listed.status])
    state = STATES[listed.status] + (" first" if listed.is_prerequisite else "")
    if cell.missing_prerequisites:  # its models are not there yet, and neither is its id
        cost_unknown = ExpectedCost(UNKNOWN, UNKNOWN, UNKNOWN) if cell.asks_teacher else None
        return PlanRow(names, varied, state, *_steps(cell), cost_unknown, UNKNOWN)
    try:
        timed = known(Path(cell.results_dir))
        cost, seconds, problem = expected_cost(cell), expected_seconds(cell, timed, works.of(cell)), None
    except MemoryError:
        raise
    except Exception as error:  # a part's own code, outside of the checks
        if TRACEBACKS.get():
            raise
        cost, seconds = ExpectedCost(UNKNOWN, UNKNOWN, UNKNOWN), UNKNOWN
        problem = f"{cell.method.name} on {cell.dataset.name}: its cost cannot be estimated: {in_a_line(error)}"
    return PlanRow(names, varied, state, *_steps(cell), cost, seconds, problem)


def _steps(cell: Cell) -> tuple[int | None, int | None]:
    """The steps of the final student and of all rounds; both None where nothing is trained."""
    if not cell.method.trains():
        return None, None
    planned = planned_steps(cell.method.schedule, cell.optimization.max_steps)
    return cell.optimization.max_steps, None if planned is None else planned.total


def _total(rows: Sequence[PlanRow]) -> PlanRow:
    to_run = [row for row in rows if row.seconds is not None]
    cost = sum((row.cost for row in to_run if row.cost is not None), ExpectedCost())
    seconds = sum((row.seconds for row in to_run if row.seconds is not None), Estimate())
    total = (f"total of {len(to_run)} to run", "", "", "")
    return PlanRow(total, "", "", cost=cost, seconds=seconds)


def _shown(row: PlanRow) -> list[str]:
    """The row in the order of `COLUMNS`."""
    cost = [NO_VALUE] * 3
    if row.cost is not None:
        cost = [_marked(row.cost.calls, number), _marked(row.cost.tokens, number), _marked(row.cost.usd, usd)]
    steps = [NO_VALUE] * 2
    if row.max_steps is not None:
        steps = [number(row.max_steps), NOT_KNOWN if row.all_steps is None else number(row.all_steps)]
    time = NO_VALUE if row.seconds is None else _marked(row.seconds, duration)
    return [*row.names, row.varied, row.state, *steps, *cost, time]


def _marked(estimate: Estimate, text: Callable[[float], str]) -> str:
    """The value with its mark in front; a zero has no mark, and an unknown part is shown as `?`."""
    if not estimate.value:
        return NOT_KNOWN if estimate.unknown else text(0.0)
    mark = AT_MOST if estimate.at_most else ESTIMATED
    return f"{mark}{text(estimate.value)}{f' + {NOT_KNOWN}' if estimate.unknown else ''}"


def _legend(lines: Sequence[Sequence[str]]) -> str:
    """The meaning of each mark that the table uses."""
    numbers = "".join(cell for line in lines for cell in line[COLUMNS.index("student steps") :])
    return "\n".join(f"{mark} {meaning}" for mark, meaning in MARKS.items() if mark in numbers)
