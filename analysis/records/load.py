"""Reads `<results>/<cell_id>/record.json` into checked cells; what cannot be used is named, never dropped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.records.settings import Settings, settings_of

STATES = ("complete", "failed")
UNTRAINED_METHOD = "untrained"
WHAT_TO_RUN = "run `python -m benchmark -m method=...` first, or name another --results"


class ResultsError(Exception):
    """There is nothing to read; the message is one line and says what to run."""


class RecordError(Exception):
    """A file that cannot be used as a record or manifest."""


@dataclass(frozen=True)
class Problem:
    """A file that was skipped, and why."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True)
class Identity:
    """What a record and a manifest both say about a cell; `teacher` is None where the method asked none."""

    cell_id: str
    method: str
    dataset: str
    student: str
    teacher: str | None
    seed: int


@dataclass(frozen=True)
class FailedCell:
    """A cell that was tried and did not finish."""

    identity: Identity
    error: str


@dataclass(frozen=True)
class Cost:
    """One source's ledger for the whole cell; `usd` is NaN where the record holds no price."""

    questions: float = 0
    calls: float = 0
    prompt_tokens: float = 0
    completion_tokens: float = 0
    usd: float = 0


@dataclass(frozen=True)
class TestScore:
    """One entry of the record's `test` list; `value` and the two shares of reasoning lie in [0, 1].

    `questions_seen_in_pool` is None for the cell's own test set. Where several answers to each question were drawn, the
    last three tell of all of them together.
    """

    __test__ = False  # tells pytest that this is no test class

    dataset: str
    metric: str
    value: float
    num_examples: int
    completion_tokens_per_answer: float | None
    seconds_per_answer: float | None
    reasoning_accuracy: float | None = None
    right_answer_wrong_reasoning: float | None = None
    questions_seen_in_pool: float | None = None
    truncated_answers: float | None = None
    samples_per_question: int | None = None
    majority_at_k: float | None = None
    pass_at_k: float | None = None


@dataclass(frozen=True)
class TeacherReference:
    """The teacher's own result on one split of the cell's dataset.

    `num_examples` were answered of `num_asked`; a recorded teacher may not cover all.
    """

    split: str
    metric: str
    value: float
    num_examples: int
    num_asked: int


@dataclass(frozen=True)
class Cell:
    """A finished cell, reduced to what tables need. `charged` and `spent` are keyed by source (teacher, human, ...)."""

    identity: Identity
    data_seed: int
    budget_questions: int | None
    budget_calls: int | None
    budget_tokens: int | None
    budget_usd: float | None
    settings: Settings
    uses_gold: bool
    cost_estimated: bool
    charged: Mapping[str, Cost]
    spent: Mapping[str, Cost]
    tests: tuple[TestScore, ...]
    teacher_reference: TeacherReference | None


@dataclass(frozen=True)
class Records:
    """Everything found under one results folder, in the order of the cell ids.

    `unfinished` are cell folders without a record (running now, or cut off).
    """

    complete: tuple[Cell, ...] = ()
    failed: tuple[FailedCell, ...] = ()
    problems: tuple[Problem, ...] = ()
    unfinished: tuple[Path, ...] = ()

    @property
    def identities(self) -> list[Identity]:
        """All readable cells, complete and failed."""
        return [cell.identity for cell in self.complete] + [cell.identity for cell in self.failed]

    @property
    def cell_ids(self) -> list[str]:
        """Their ids."""
        return [identity.cell_id for identity in self.identities]


def load_records(results: Path) -> Records:
    """All records under `results`; damaged ones are in `problems`.

    Raises:
        ResultsError: `results` is not a folder.
    """
    complete: list[Cell] = []
    failed: list[FailedCell] = []
    problems: list[Problem] = []
    unfinished: list[Path] = []
    for folder in cell_folders(results):
        path = folder / "record.json"
        if not path.exists():
            unfinished.append(folder)
            continue
        try:
            cell = parse_record(read_json_object(path), folder.name)
        except RecordError as error:
            problems.append(Problem(path, str(error)))
            continue
        if isinstance(cell, Cell):
            complete.append(cell)
        else:
            failed.append(cell)
    return Records(tuple(complete), tuple(failed), tuple(problems), tuple(unfinished))


def cell_folders(results: Path) -> list[Path]:
    """The folders of cells in a fixed order; a name that starts with a dot is no cell.

    Raises:
        ResultsError: `results` is not a folder.
    """
    if not results.is_dir():
        raise ResultsError(f"{results} is not a folder: {WHAT_TO_RUN}")
    return sorted(path for path in results.iterdir() if path.is_dir() and not path.name.startswith("."))


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        RecordError: the file cannot be read, is not JSON, or holds something else than an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"cannot be read as JSON ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise RecordError(f"holds a {type(content).__name__}, not an object")
    return content


def parse_record(record: Mapping[str, Any], folder_name: str) -> Cell | FailedCell:
    """The checked cell of one record.

    Raises:
        RecordError: a needed name is missing or has a wrong type, or the record lies in another cell's folder.
    """
    identity = parse_identity(record)
    if identity.cell_id != folder_name:
        raise RecordError(f"has cell_id {identity.cell_id!r} but lies in the folder {folder_name!r}: a copy?")
    status = take(record, "status", str)
    if status not in STATES:
        raise RecordError(f"status is {status!r}, expected one of {', '.join(STATES)}")
    if status == "failed":
        error = take(record, "error", str, type(None))
        return FailedCell(identity, " ".join((error or "").split()) or "no error text in the record")
    return _parse_complete(record, identity)


def parse_identity(source: Mapping[str, Any]) -> Identity:
    """The identity in a record or a manifest entry.

    Raises:
        RecordError: a name is missing or has a wrong type.
    """
    names = {name: take(source, name, str) for name in ("cell_id", "method", "dataset", "student")}
    return Identity(**names, teacher=take(source, "teacher", str, type(None)), seed=take(source, "seed", int))


def take(source: Mapping[str, Any], name: str, *kinds: type, where: str = "") -> Any:
    """`source[name]`, checked to be of one of the kinds; a truth value is never taken for a number.

    Raises:
        RecordError: the name is missing or its value is of another kind.
    """
    if name not in source:
        raise RecordError(f"lacks {where}{name}")
    value = source[name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise RecordError(f"{where}{name} is {str(value)[:60]!r}, expected {expected}")
    return value


def _parse_complete(record: Mapping[str, Any], identity: Identity) -> Cell:
    budget, data_seed = take(record, "budget", dict), take(record, "data_seed", int)
    rounds = take(record, "rounds", list)
    reference = take(record, "teacher_reference", dict, type(None))
    return Cell(
        identity=identity,
        data_seed=data_seed,
        budget_questions=take(budget, "questions", int, type(None), where="budget."),
        budget_calls=take(budget, "calls", int, type(None), where="budget."),
        budget_tokens=take(budget, "tokens", int, type(None), where="budget."),
        budget_usd=take(budget, "usd", float, int, type(None), where="budget."),
        settings=settings_of(take(record, "identity", dict)),
        uses_gold=take(record, "uses_gold", bool),
        cost_estimated=take(record, "cost_estimated", bool),
        charged=_final_ledger(rounds, "charged"),
        spent=_final_ledger(rounds, "spent"),
        tests=_parse_tests(take(record, "test", list)),
        teacher_reference=None if reference is None else _parse_reference(reference),
    )


def _final_ledger(rounds: list[Any], name: str) -> dict[str, Cost]:
    """The last round's ledger: rounds hold running totals.

    A total that falls is refused, because then the rounds hold something else.
    """
    totals: dict[str, Cost] = {}
    for index, entry in enumerate(rounds):
        where = f"rounds[{index}].{name}"
        ledger = take(_as_object(entry, f"rounds[{index}]"), name, dict, where=f"rounds[{index}].")
        before, totals = totals, {source: _parse_cost(ledger[source], f"{where}.{source}") for source in ledger}
        for source, cost in before.items():
            if _falls(cost, totals.get(source, Cost())):
                raise RecordError(f"{where}.{source} is less than the round before; rounds must hold running totals")
    return totals


def _falls(before: Cost, after: Cost) -> bool:
    return any(old > new + 1e-9 for old, new in zip(asdict(before).values(), asdict(after).values(), strict=True))


def _parse_cost(entry: Any, where: str) -> Cost:
    cost, where = _as_object(entry, where), f"{where}."
    counts = {name: take(cost, name, int, float, where=where) for name in ("questions", "calls")}
    tokens = {name: take(cost, name, int, float, where=where) for name in ("prompt_tokens", "completion_tokens")}
    usd = take(cost, "usd", int, float, type(None), where=where)
    return Cost(**counts, **tokens, usd=math.nan if usd is None else usd)


def _parse_tests(entries: list[Any]) -> tuple[TestScore, ...]:
    tests = tuple(_parse_test(_as_object(entry, f"test[{i}]"), f"test[{i}].") for i, entry in enumerate(entries))
    if not tests:
        raise RecordError("test is empty although the status is complete")
    if len({(test.dataset, test.metric) for test in tests}) < len(tests):
        raise RecordError("test names one dataset and metric twice")
    return tests


def _parse_test(entry: Mapping[str, Any], where: str) -> TestScore:
    samples = _largest_size(entry, where)
    return TestScore(
        dataset=take(entry, "dataset", str, where=where),
        metric=take(entry, "metric", str, where=where),
        value=_take_fraction(entry, where),
        num_examples=take(entry, "n", int, where=where),
        completion_tokens_per_answer=_take_optional(entry, "completion_tokens_per_answer", where),
        seconds_per_answer=_take_optional(entry, "seconds_per_answer", where),
        reasoning_accuracy=_take_optional(entry, "reasoning_accuracy", where),
        right_answer_wrong_reasoning=_take_optional(entry, "right_answer_wrong_reasoning", where),
        questions_seen_in_pool=_take_optional(entry, "questions_seen_in_pool", where),
        truncated_answers=_take_optional(entry, "truncated_answers", where),
        samples_per_question=samples,
        majority_at_k=None if samples is None else _take_at(entry, "majority_at", samples, where),
        pass_at_k=None if samples is None else _take_at(entry, "pass_at", samples, where),
    )


def _largest_size(entry: Mapping[str, Any], where: str) -> int | None:
    """How many answers to each question were drawn; None for records of cells that drew none."""
    by_size = take(entry, "majority_at", dict, type(None), where=where) if "majority_at" in entry else None
    if by_size is None:
        return None
    if not by_size or not all(size.isdecimal() for size in by_size):
        raise RecordError(f"{where}majority_at has the sizes {', '.join(by_size) or 'none'}, expected whole numbers")
    return max(map(int, by_size))


def _take_at(entry: Mapping[str, Any], name: str, size: int, where: str) -> float:
    by_size = take(entry, name, dict, where=where)
    return _take_fraction({"value": take(by_size, str(size), int, float, where=f"{where}{name}.")}, f"{where}{name}.")


def _parse_reference(entry: Mapping[str, Any]) -> TeacherReference:
    where = "teacher_reference."
    split, metric = take(entry, "split", str, where=where), take(entry, "metric", str, where=where)
    num_examples = take(entry, "n", int, where=where)
    num_asked = take(entry, "of", int, where=where) if "of" in entry else num_examples
    return TeacherReference(split, metric, _take_fraction(entry, where), num_examples, num_asked)


def _take_fraction(entry: Mapping[str, Any], where: str) -> float:
    value = float(take(entry, "value", int, float, where=where))
    if not 0 <= value <= 1:  # also refuses NaN
        raise RecordError(f"{where}value is {value}, expected a fraction in [0, 1]")
    return value


def _take_optional(entry: Mapping[str, Any], name: str, where: str) -> float | None:
    """A finite number, or None where it was not measured (multiple choice by scoring writes no tokens)."""
    value = take(entry, name, int, float, type(None), where=where) if name in entry else None
    if value is not None and not math.isfinite(value):
        raise RecordError(f"{where}{name} is {value}, expected a finite number or null")
    return None if value is None else float(value)


def _as_object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise RecordError(f"{where} is {str(value)[:60]!r}, expected an object")
    return value
