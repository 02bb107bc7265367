"""What every method must keep to, on every kind of dataset: all presets on disk are tested, with nothing to register.

A method meets a dataset, or the plan refuses the pair for something that the method requires. Where they meet, a
miniature cell (1) obeys its budgets, (2) keeps off gold, (3) keeps off test, (4) gives the same result twice,
(5) changes with its seed, (6) resumes. Whoever breaks one of these rules has a bug, not another method.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from filelock import FileLock

from benchmark.cell.cell import Cell
from benchmark.cell.identity import canonical
from benchmark.contract import Requirements
from benchmark.errors import ConfigError
from benchmark.planning.checks import check
from benchmark.planning.worst_case import annotation_context
from benchmark.student.frozen import NoAssistant
from benchmark.student.load import load_student
from benchmark.tasks.dataset import Splits
from benchmark.teachers.ledger import Budget
from tests.cells import composed_cell
from tests.corridor.corridor_parts import fingerprint
from tests.rehearsals.watched_cells import (
    GENERATED,
    PAIRS,
    QUESTIONS,
    RECORDED,
    SMALL,
    Observed,
    Traces,
    another_question,
    generated_datasets,
    nonsense_gold,
    nonsense_gold_in_every_other_row,
    observe,
    observe_after_death,
    presets,
)

REPOSITORY = Path(__file__).resolve().parents[2]


class Pair(NamedTuple):
    """A method and a dataset."""

    method: str
    dataset: str

    def __str__(self) -> str:
        return f"{self.method}-{self.dataset}"


class Reason(NamedTuple):
    """When a requirement is not met, and the words of the plan that say so."""

    unmet: Callable[[Requirements, Cell, Splits], bool]
    words: str


def lacks_assistant(cell: Cell) -> bool:
    return isinstance(cell.assistant, NoAssistant)


REASONS: Mapping[str, Reason] = {
    "gold": Reason(lambda needs, cell, splits: False, "every dataset has gold answers"),
    "gold_rationale": Reason(
        lambda needs, cell, splits: needs.gold_rationale and not any(row.rationale for row in splits.pool),
        "it needs human rationales, and the dataset has none",
    ),
    "choices": Reason(
        lambda needs, cell, splits: needs.choices and not all(row.choices for row in splits.pool),
        "it works for multiple-choice questions only",
    ),
    "teacher_roles": Reason(
        lambda needs, cell, splits: bool(needs.teacher_roles - set(cell.teacher.roles or needs.teacher_roles)),
        "it asks the teacher in the role",
    ),
    "student_roles": Reason(
        lambda needs, cell, splits: bool(needs.student_roles - cell.method.format.roles),
        "it asks the student in the role",
    ),
    "annotation_kinds": Reason(
        lambda needs, cell, splits: bool(needs.annotation_kinds - cell.method.annotation.kinds),
        "it needs annotations of kind",
    ),
    "teachers": Reason(lambda needs, cell, splits: needs.teachers > len(cell.teachers), "it asks"),
    "assistant": Reason(
        lambda needs, cell, splits: cell.uses_assistant and lacks_assistant(cell), "it needs an assistant"
    ),
    "assistant_roles": Reason(
        lambda needs, cell, splits: False, "a template that is missing is a mistake of the method"
    ),
    "teacher_probabilities": Reason(
        lambda needs, cell, splits: needs.teacher_probabilities, "it reads the teacher's probabilities"
    ),
    "distributions": Reason(lambda needs, cell, splits: bool(needs.distributions), "its loss compares"),
}
"""Per requirement the only reason for which the plan may refuse a method a dataset."""


@dataclass
class Cells:
    """The plain cells of all pairs, each composed, checked and run once, when a test first asks for it."""

    data: tuple[str, ...]
    """The overrides of the dataset that lies in files, and of its recorded teacher."""
    shared: Path
    """A folder of all of pytest's workers."""
    composed: dict[Pair, Cell] = field(default_factory=dict)
    refusals: dict[Pair, ConfigError | None] = field(default_factory=dict)
    finished: dict[Pair, Observed] = field(default_factory=dict)
    _elsewhere: dict[str, Traces] = field(default_factory=dict)

    def overrides(self, pair: Pair) -> tuple[str, ...]:
        """What makes the pair's plain cell."""
        data = self.data if pair.dataset == RECORDED else (f"dataset={pair.dataset}", *GENERATED)
        return (*data, f"method={pair.method}", *SMALL)

    def plain(self, pair: Pair) -> Cell:
        """The pair's cell, whether or not the plan accepts it."""
        if pair not in self.composed:
            self.composed[pair] = composed_cell(self.overrides(pair))
        return self.composed[pair]

    def refusal(self, pair: Pair) -> ConfigError | None:
        """Why the plan does not accept the pair's cell; None where it does."""
        if pair not in self.refusals:
            cell = self.plain(pair)  # a preset that does not compose is an error, not a refusal
            try:
                check(cell)
                self.refusals[pair] = None
            except ConfigError as refusal:
                self.refusals[pair] = refusal
        return self.refusals[pair]

    def claimed(self) -> list[Pair]:
        """All pairs that the plan accepts."""
        return [pair for pair in map(Pair._make, PAIRS) if self.refusal(pair) is None]

    def run(self, pair: Pair) -> Observed:
        """The pair's plain cell, run once for all tests that compare with it."""
        if pair not in self.finished:
            self.finished[pair] = observe(self.plain(pair))
        return self.finished[pair]

    def again(self, pair: Pair) -> Observed:
        """The pair's plain cell once more, after a cell of another method on another dataset."""
        others = [other for other in self.claimed() if other.method != pair.method and other.dataset != pair.dataset]
        observe(self.plain(others[0]))
        return observe(self.plain(pair))

    def in_a_new_process(self, pair: Pair, pairs: Sequence[Pair]) -> Traces:
        """The traces of the pair's plain cell; one process, with another hash seed, runs those of all these pairs."""
        if not self._elsewhere:
            self._elsewhere = self._from_a_new_process(pairs)
        return self._elsewhere[str(pair)]

    def _from_a_new_process(self, pairs: Sequence[Pair]) -> dict[str, Traces]:
        """The first of pytest's workers that asks starts the process; the others read what it found."""
        found = self.shared / "traces-of-a-new-process.json"
        with FileLock(f"{found}.lock"):
            if not found.exists():
                found.write_text(self._traces_as_json(pairs), encoding="utf-8")
        traces = json.loads(found.read_text(encoding="utf-8"))
        return {name: Traces(**values) for name, values in traces.items()}

    def _traces_as_json(self, pairs: Sequence[Pair]) -> str:
        wanted = {str(pair): self.overrides(pair) for pair in reversed(pairs)}
        path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-m", "tests.rehearsals.fresh_process"],
            input=json.dumps(wanted),
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "12345"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def cells(
    tmp_path_factory: pytest.TempPathFactory, write_svamp: Callable[..., tuple[str, ...]], sum_rows: Callable[..., Any]
) -> Cells:
    rows = [row | {"rationale": None} for row in sum_rows("train", 28)]
    spoken = [
        {"id": row["id"], "rationale": row["rationale"], "answer": row["answer"]}
        for row in (*sum_rows("train", 28), *sum_rows("test", 6, start=50))
    ]
    folder = tmp_path_factory.mktemp("data")
    data = write_svamp(folder, train=rows, test=sum_rows("test", 6, start=50), teacher=spoken)
    base = tmp_path_factory.getbasetemp()
    return Cells(data, base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base)


def _pairs() -> list[Any]:
    """All pairs. By default a method meets the recorded dataset and one generated one, the next method the next one."""
    methods, generated = presets(), generated_datasets()
    default = {Pair(method, generated[i % len(generated)]) for i, method in enumerate(methods)}
    every = [Pair(*pair) for pair in PAIRS]
    usual = [pair in default or pair.dataset == RECORDED for pair in every]
    return [
        pytest.param(pair, marks=() if is_usual else pytest.mark.slow)
        for pair, is_usual in zip(every, usual, strict=True)
    ]


@pytest.fixture(scope="module", params=_pairs(), ids=str)
def pair(request: pytest.FixtureRequest, cells: Cells) -> Pair:
    """A pair that the plan accepts; scoped so that all tests of a pair stand together and share its cells."""
    named: Pair = request.param
    if cells.refusal(named) is not None:
        pytest.skip(f"refused: {cells.refusal(named)}")
    return named


@pytest.fixture(scope="module")
def tried(request: pytest.FixtureRequest, cells: Cells) -> list[Pair]:
    """The claimed pairs that this run of pytest tries."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    asked = {call.params["pair"] for call in calls if call is not None and isinstance(call.params.get("pair"), Pair)}
    return [pair for pair in cells.claimed() if pair in asked]


# --- which pairs there are -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [Pair(*pair) for pair in PAIRS], ids=str)
def test_a_method_claims_a_dataset_or_is_refused_for_what_it_requires(named: Pair, cells: Cells) -> None:
    cell, refusal = cells.plain(named), cells.refusal(named)
    needs, splits = cell.method.requires(), cell.dataset.load()
    unmet = [reason.words for reason in REASONS.values() if cell.method.trains() and reason.unmet(needs, cell, splits)]
    if refusal is None:
        assert not unmet, f"{named} is accepted, although {unmet}"
        return
    said, _, told = str(refusal).partition(": ")
    assert said == f"{cell.method.name} on {cell.dataset.name}"
    assert unmet, f"{named} is refused for nothing that the method requires: {refusal}"
    for reason in told.split("; it "):
        assert f"it {reason.removeprefix('it ')}".startswith(tuple(unmet)), reason


def test_every_requirement_is_known_here() -> None:
    """A new one needs its line in REASONS."""
    assert {requirement.name for requirement in fields(Requirements)} == set(REASONS)


@pytest.mark.parametrize("method", presets())
def test_every_method_claims_at_least_one_dataset(method: str, cells: Cells) -> None:
    assert method in {claimed.method for claimed in cells.claimed()}


@pytest.mark.parametrize("method", presets())
def test_every_method_is_tried_by_default(method: str, cells: Cells) -> None:
    """Another preset could shift the methods onto datasets that they do not claim."""
    default = [param.values[0] for param in _pairs() if not param.marks]
    assert method in {pair.method for pair in default if cells.refusal(pair) is None}


def test_every_kind_of_dataset_is_tried_by_default(cells: Cells) -> None:
    default = [param.values[0] for param in _pairs() if not param.marks]
    assert {pair.dataset for pair in default if cells.refusal(pair) is None} == {*generated_datasets(), RECORDED}


def test_every_kind_of_dataset_is_claimed(cells: Cells) -> None:
    assert {claimed.dataset for claimed in cells.claimed()} == {*generated_datasets(), RECORDED}


# --- 1. obeys budgets ------------------------------------------------------------------------------------------------


def asks_the_teacher(seen: Observed) -> bool:
    return bool(seen.cell.method.requires().teacher_roles)


def charged_calls(seen: Observed) -> float:
    return sum(entry["calls"] for entry in seen.charged.values())


def test_a_budget_of_questions_holds(pair: Pair, cells: Cells) -> None:
    seen = cells.run(pair)
    if not seen.cell.method.trains():
        assert seen.result["rounds"] == []
        assert seen.traces.annotations == []
        return
    annotated = seen.result["rounds"][-1]["annotated"]
    assert 0 < annotated <= QUESTIONS
    assert len(seen.bought()) <= annotated
    assert len({request.question_id for request, _ in seen.watch.replies}) <= annotated
    questions = [entry["questions"] for entry in seen.charged.values()]  # of teachers and of people, often the same
    assert max(questions) <= annotated <= sum(questions)


def test_a_budget_of_calls_holds_and_every_reply_is_charged(pair: Pair, cells: Cells) -> None:
    cell = cells.plain(pair)
    splits = cell.dataset.load()
    context = annotation_context(cell, splits)
    planned = [cell.method.annotation.most_requests(row.without_gold(), context) for row in splits.pool]
    budget = 8 * max(sum(request.samples for request in requests) for requests in planned) + 3
    of_questions, of_calls = cells.run(pair), observe(replace(cell, budget=Budget(questions=None, calls=budget)))
    for seen in (of_questions, of_calls):
        assert charged_calls(seen) == len(set(seen.watch.replies))
        assert bool(seen.watch.replies) == asks_the_teacher(seen)
    assert charged_calls(of_calls) <= budget


# --- 2. keeps off gold -----------------------------------------------------------------------------------------------


def test_only_a_method_that_declares_gold_feels_the_pools_gold(pair: Pair, cells: Cells) -> None:
    seen = cells.run(pair)
    declared = seen.result["uses_gold"]
    assert declared == seen.cell.method.requires().gold
    if declared:
        half = observe(cells.plain(pair), pool=nonsense_gold_in_every_other_row)
        assert "weights" in half.traces.unlike(seen.traces), "it declares gold answers and does not use them"
    else:
        nonsense = observe(cells.plain(pair), pool=nonsense_gold)
        assert not nonsense.traces.unlike(seen.traces), "it reads gold answers without declaring it"


# --- 3. keeps off test -----------------------------------------------------------------------------------------------


def test_the_gold_of_the_test_split_moves_nothing(pair: Pair, cells: Cells) -> None:
    seen, nonsense = cells.run(pair), observe(cells.plain(pair), test=nonsense_gold)
    assert not nonsense.traces.unlike(seen.traces)


def test_the_questions_of_the_test_split_move_no_annotation_and_no_weight(pair: Pair, cells: Cells) -> None:
    seen, others = cells.run(pair), observe(cells.plain(pair), test=another_question)
    assert others.traces.unlike(seen.traces) <= {"predictions"}


def test_the_test_split_is_sealed_until_nothing_is_left_to_decide(pair: Pair, cells: Cells) -> None:
    seen = cells.run(pair)
    assert seen.watch.state_at_opening == [(seen.traces.weights, len(seen.traces.annotations))]


# --- 4. gives the same result twice ----------------------------------------------------------------------------------


def test_a_cell_gives_the_same_result_after_another_cell(pair: Pair, cells: Cells) -> None:
    seen, again = cells.run(pair), cells.again(pair)
    assert not again.traces.unlike(seen.traces)
    assert again.watch.replies == seen.watch.replies


def test_a_cell_gives_the_same_result_in_a_new_process(pair: Pair, cells: Cells, tried: Sequence[Pair]) -> None:
    assert not cells.in_a_new_process(pair, tried).unlike(cells.run(pair).traces)


# --- 5. changes with its seed ----------------------------------------------------------------------------------------


def initial_weights(cell: Cell) -> str:
    return fingerprint(load_student(cell.student, cell.seed, cell.trainer, cell.optimization.precision))


def test_another_seed_gives_another_student(pair: Pair, cells: Cells) -> None:
    plain = cells.plain(pair)
    seen, other = cells.run(pair), observe(replace(plain, seed=plain.seed + 1))
    assert {"weights", "log_probabilities"} <= other.traces.unlike(seen.traces)
    for observed in (seen, other):
        untouched = observed.traces.weights == initial_weights(observed.cell)
        assert untouched != observed.cell.method.trains()


def test_the_data_seed_moves_only_what_is_bought_at_random(pair: Pair, cells: Cells) -> None:
    """A teacher that draws from it gives other replies; then, and only then, may anything else change."""
    plain, moved = cells.plain(pair), composed_cell((*cells.overrides(pair), "data_seed=123"))
    seen, other = cells.run(pair), observe(moved)
    if asks_the_teacher(seen) and canonical(plain.teacher) != canonical(moved.teacher):
        assert "annotations" in other.traces.unlike(seen.traces)
    elif not seen.watch.random_purchases:
        assert not other.traces.unlike(seen.traces)


# --- 6. resumes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_step", [1, 5])
def test_a_cell_that_died_goes_on_and_ends_the_same(pair: Pair, at_step: int, cells: Cells) -> None:
    seen, resumed = cells.run(pair), observe_after_death(cells.plain(pair), at_step)
    assert not resumed.traces.unlike(seen.traces)
    assert resumed.watch.replies == seen.watch.replies, "the teacher was asked again for what was paid for"
    for name in ("rounds", "counters"):
        assert resumed.result[name] == seen.result[name]
