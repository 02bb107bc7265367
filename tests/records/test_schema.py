"""Records are read and written without a loss, older and newer ones too, and a wrong value is named."""

from __future__ import annotations

import ast
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmark.records import measured_after, record_parts, schema
from benchmark.records.schema import RecordError, RecordPart, RoundRecord, parse_manifest, parse_record, read_record
from benchmark.records.schema_errors import in_one_line
from tests.records.small_records import complete_record, failed_record

Json = dict[str, Any]

COUNTS = st.integers(0, 10**9)
AMOUNTS = COUNTS | st.floats(0, 1e9)
FRACTIONS = st.floats(0, 1) | st.sampled_from([0, 1])
WORDS = st.text(max_size=5)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
UNKNOWN = st.dictionaries(WORDS.map(lambda word: f"new {word}"), ANYTHING, max_size=2)


@st.composite
def objects(draw: st.DrawFn, needed: Json, optional: Json | None = None) -> Json:
    """An object with all needed fields, some optional ones and some that nobody knows yet."""
    known: Json = draw(st.fixed_dictionaries(needed, optional=optional or {}))
    return known | draw(UNKNOWN)


ENTRIES = objects(
    {name: AMOUNTS for name in ("calls", "prompt_tokens", "completion_tokens", "questions")}
    | {"usd": st.none() | AMOUNTS}
)
BOOKS = st.dictionaries(WORDS, ENTRIES, max_size=2)
ROUNDS = objects(
    {"charged": BOOKS, "spent": BOOKS},
    {
        "index": COUNTS,
        "annotated": COUNTS,
        "computed": BOOKS,
        "validation": st.dictionaries(WORDS, FRACTIONS, max_size=2),
        "notes": st.dictionaries(WORDS, AMOUNTS, max_size=2),
        "score_error_correlation": objects({"spearman": st.none() | st.floats(-1, 1), "n": COUNTS}),
    },
)
SCORES = objects(
    {"dataset": WORDS, "metric": WORDS, "value": FRACTIONS, "n": COUNTS},
    {
        "flexible_value": st.none() | FRACTIONS,
        "answers_by": WORDS,
        "majority_at": st.none() | st.fixed_dictionaries({"1": FRACTIONS, "4": FRACTIONS}),
        "pass_at": st.fixed_dictionaries({"1": FRACTIONS, "4": FRACTIONS}),
        "truncated_answers": COUNTS,
        "seconds_per_answer": st.none() | AMOUNTS,
        "latency_p50_seconds": st.none() | AMOUNTS,
        "latency_p95_seconds": st.none() | AMOUNTS,
        "questions_seen_in_pool": COUNTS,
        "faithfulness": objects(
            dict.fromkeys(("questions", "steps", "unread"), COUNTS)
            | dict.fromkeys(
                (
                    "early_answer_change_now",
                    "early_answer_change_finish",
                    "true_thinking_score",
                    "steps_below_0_03",
                ),
                st.none() | FRACTIONS,
            ),
            {"mistake_change": st.none() | FRACTIONS, "swapped": COUNTS, "answer_follows_swap": st.none() | FRACTIONS},
        ),
    },
).filter(lambda score: score.get("majority_at") is None or "pass_at" in score)
NAMES = {name: WORDS for name in ("cell_id", "method", "dataset", "student")} | {
    "teacher": st.none() | WORDS,
    "seed": st.integers(),
}
HEADER = NAMES | {
    "data_seed": st.integers(),
    "identity": st.dictionaries(WORDS, ANYTHING, max_size=2),
    "budget": objects(
        {name: st.none() | COUNTS for name in ("questions", "calls", "tokens")} | {"usd": st.none() | AMOUNTS}
    ),
}
LATER = {
    "config": st.dictionaries(WORDS, ANYTHING, max_size=2),
    "prerequisites": st.lists(objects({"slot": WORDS, "cell_id": WORDS, "charged": BOOKS}), max_size=1),
    "files": st.dictionaries(WORDS, objects({"bytes": COUNTS, "sha256": WORDS}), max_size=2),
}
BINS = objects(
    {"low": FRACTIONS, "high": FRACTIONS, "n": COUNTS}
    | dict.fromkeys(("mean_confidence", "share_right"), st.none() | FRACTIONS)
)
CALIBRATIONS = objects(
    {"n": COUNTS, "bins": st.lists(BINS, max_size=1)} | dict.fromkeys(("auroc", "ece"), st.none() | FRACTIONS)
)
COMPLETE = objects(
    HEADER
    | {
        "status": st.just("complete"),
        "uses_gold": st.booleans(),
        "rounds": st.lists(ROUNDS, max_size=1),
        "cost_estimated": st.booleans(),
        "test": st.lists(SCORES, min_size=1, max_size=2, unique_by=lambda score: (score["dataset"], score["metric"])),
        "teacher_reference": st.none()
        | objects({"split": WORDS, "metric": WORDS, "value": FRACTIONS, "n": COUNTS}, {"of": COUNTS}),
        "train": objects(
            {"optimiser_steps": COUNTS, "tokens": COUNTS, "seconds": AMOUNTS, "flops": AMOUNTS},
            {"peak_memory_bytes": COUNTS},
        ),
    },
    LATER
    | {
        "error": st.none(),
        "counters": st.dictionaries(WORDS, AMOUNTS, max_size=2),
        "policy": WORDS,
        "weight_calibration": CALIBRATIONS,
        "selection_calibration": CALIBRATIONS,
        "label_precision": objects(
            dict.fromkeys(("bought", "kept", "right_bought", "right_kept"), COUNTS)
            | {"weighted": st.none() | FRACTIONS}
        ),
        "seconds": AMOUNTS,
        "provenance": objects({}, {"engine_version": COUNTS, "command": st.lists(WORDS, max_size=2)}),
    },
)
FAILED = objects(HEADER | {"status": st.just("failed")}, LATER | {"error": st.none() | WORDS})
MANIFESTS = objects({"created": WORDS, "cells": st.lists(objects(NAMES), max_size=2)})


def same_json(written: Any, read: Any) -> bool:
    """Whether two values are one JSON text, the order of keys apart: 1, 1.0 and true are three values."""
    return json.dumps(written, sort_keys=True) == json.dumps(read, sort_keys=True)


@given(COMPLETE | FAILED)
def test_a_record_is_written_as_it_was_read(content: Json) -> None:
    assert same_json(parse_record(content).as_json(), content)


@given(MANIFESTS)
def test_a_manifest_is_written_as_it_was_read(content: Json) -> None:
    assert same_json(parse_manifest(content).as_json(), content)


def test_nothing_that_was_not_set_is_written() -> None:
    content = complete_record().as_json()
    assert not {"teacher_traffic", "counters", "provenance", "files", "seconds", "error"} & set(content)
    assert set(content["test"][0]) == {"dataset", "metric", "value", "n"}


def test_fields_are_written_in_the_order_of_the_schema() -> None:
    backwards = dict(reversed(complete_record(new=1).as_json().items()))
    assert [*parse_record(backwards).as_json()] == [*complete_record().as_json(), "new"]
    assert list(complete_record().as_json())[:3] == ["cell_id", "status", "method"]


def test_an_older_record_has_the_defaults_of_what_it_lacks() -> None:
    record = complete_record()
    assert (record.counters, record.seconds, record.provenance.git, record.teacher_traffic) == ({}, None, None, {})
    assert (record.test[0].samples_per_question, record.test[0].majority_at_k, record.charged) == (None, None, {})


WRONG = {
    "budget.calls is '1.5', expected a whole number or null": {"budget": {"questions": 1, "calls": 1.5}},
    "lacks train.tokens": {"train": {"optimiser_steps": 1, "seconds": 1.0, "flops": 1.0}},
    "seed is 'True', expected a whole number": {"seed": True},
    "seed is '1.0', expected a whole number": {"seed": 1.0},
    "uses_gold is '1', expected true or false": {"uses_gold": 1},
    "teacher is '3', expected text or null": {"teacher": 3},
    "seconds is 'nan', expected a finite number or null": {"seconds": math.nan},
    "seconds is 'True', expected a finite number or null": {"seconds": True},
    "train.seconds is 'inf', expected a finite number": {
        "train": {"optimiser_steps": 1, "tokens": 1, "seconds": math.inf, "flops": 1}
    },
    "test[0].value is 'nan', expected a fraction in [0, 1]": {
        "test": [{"dataset": "a", "metric": "b", "value": math.nan, "n": 1}]
    },
    "test[0].value is 'True', expected a fraction in [0, 1]": {
        "test": [{"dataset": "a", "metric": "b", "value": True, "n": 1}]
    },
    "test[0].outcomes has 9 answers in all, expected n, which is 10": {
        "test": [
            {"dataset": "a", "metric": "accuracy", "value": 0.4, "n": 10}
            | {"outcomes": {"right": 4, "truncated": 3, "unread": 2, "wrong": 0}}
        ]
    },
    "lacks test[0].outcomes.wrong": {
        "test": [
            {"dataset": "a", "metric": "accuracy", "value": 0.4, "n": 9}
            | {"outcomes": {"right": 4, "truncated": 3, "unread": 2}}
        ]
    },
    "test is '{}', expected a list": {"test": {}},
    "rounds[0].charged.human is '[]', expected an object": {"rounds": [{"charged": {"human": []}, "spent": {}}]},
    "teacher_reference is '[]', expected an object or null": {"teacher_reference": []},
    "status is 'running', expected one of complete, failed": {"status": "running"},
}


def test_a_record_of_before_other_budgets_were_known_is_read() -> None:
    record = parse_record(complete_record().as_json() | {"budget": {"questions": 1}})
    assert (record.budget.questions, record.budget.tokens) == (1, None)
    assert record.as_json()["budget"] == {"questions": 1}


@pytest.mark.parametrize("complaint", WRONG)
def test_a_wrong_value_is_named(complaint: str) -> None:
    with pytest.raises(RecordError) as error:
        parse_record(complete_record().as_json() | WRONG[complaint])
    assert str(error.value) == complaint


@pytest.mark.parametrize("book", ["charged", "spent"])
@pytest.mark.parametrize("amount", ["calls", "prompt_tokens", "completion_tokens", "usd", "questions"])
def test_a_total_that_falls_is_refused(book: str, amount: str) -> None:
    entry = dict.fromkeys(("calls", "prompt_tokens", "completion_tokens", "usd", "questions"), 2)
    rounds = [{"charged": {}, "spent": {}, book: {"teacher": entry | {amount: n}}} for n in (2, 1)]
    with pytest.raises(RecordError, match=rf"rounds\[1\].{book}.teacher is less than the round before"):
        parse_record(complete_record().as_json() | {"rounds": rounds})
    rounds[1][book] = {}
    with pytest.raises(RecordError, match="running totals"):
        parse_record(complete_record().as_json() | {"rounds": rounds})


def test_an_unknown_price_does_not_fall() -> None:
    entry = dict.fromkeys(("calls", "prompt_tokens", "completion_tokens", "questions"), 2)
    rounds = [{"charged": {"teacher": entry | {"usd": usd}}, "spent": {}} for usd in (2.0, None, 1.0)]
    parse_record(complete_record().as_json() | {"rounds": rounds})


def test_a_file_that_is_no_record_says_why(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    for content, reason in ((b"{", "cannot be read as JSON"), (b"[]", "holds a list"), (b"{}", "lacks cell_id")):
        path.write_bytes(content)
        with pytest.raises(RecordError, match=reason):
            read_record(path)
    path.write_text(json.dumps(failed_record(error="why").as_json()))
    assert read_record(path).error == "why"


def test_a_round_that_no_record_can_hold_is_named() -> None:
    with pytest.raises(ValidationError) as error:
        RoundRecord(charged={}, spent={}, notes={"kept": math.nan})
    assert in_one_line(error.value) == "RoundRecord: notes.kept is 'nan', expected a finite number"


def test_every_field_says_what_it_holds() -> None:
    for module in (measured_after, record_parts, schema):
        for part in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
            if isinstance(part, ast.ClassDef) and issubclass(getattr(module, part.name), RecordPart):
                for field, text in zip(part.body, part.body[1:], strict=False):
                    if isinstance(field, ast.AnnAssign) and "status: Literal[" not in ast.unparse(field):
                        assert isinstance(text, ast.Expr), f"{part.name}.{ast.unparse(field.target)}"
                        assert isinstance(text.value, ast.Constant)


def test_the_schema_needs_nothing_heavy() -> None:
    code = (
        "import sys, benchmark.records.schema\n"
        "heavy = {'torch', 'transformers', 'hydra', 'omegaconf', 'numpy', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
