"""Rejection sampling: what is kept of the student's own explanations, and a cell from end to end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from benchmark.axes.format import RationaleThenAnswer
from benchmark.contract.language_models import STUDENT
from benchmark.types import Annotation, Pick, Reply, Request
from methods.rejection_sampling import RejectionSampling
from tests.cell.test_context import POOL, context

QUESTION = POOL[0]
FORM = RationaleThenAnswer()


@dataclass
class Writes:
    """A student that writes these texts."""

    texts: Sequence[str]
    asked: list[tuple[str, Request, int]] = field(default_factory=list)

    async def __call__(self, who: str, request: Request, samples: int = 1) -> list[Reply]:
        self.asked.append((who, request, samples))
        return [Reply(text) for text in self.texts]


def text(rationale: str, answer: str) -> str:
    return f"{rationale}{FORM.answer_marker}{answer}"


def annotated(texts: Sequence[str]) -> tuple[list[Annotation], dict[str, float], Writes]:
    here = context("annotation", frozenset({"annotation"}), format=FORM)
    student, annotator = Writes(texts), RejectionSampling(samples=len(texts), temperature=0.7, max_new_tokens=20)
    rows = list(asyncio.run(annotator.annotate(Pick(QUESTION.without_gold(), evidence={"rank": 1}), here, student)))
    return rows, dict(here.notes), student


def test_the_first_right_sample_is_what_the_student_learns_from() -> None:
    right = QUESTION.answer
    rows, notes, _ = annotated([text("a", "99"), "no answer", text("b", right), text("c", right)])
    assert [(row.kind, row.rationale, row.answer, row.sample) for row in rows[2:]] == [
        ("rationale", "b", right, 2),
        ("sample", "c", right, 3),
    ]
    assert [row.kind for row in rows[:2]] == ["sample", "sample"]
    assert [row.evidence["right"] for row in rows] == [False, False, True, True]
    assert all(row.source == STUDENT and row.evidence["rank"] == 1 for row in rows)
    assert notes == {"own_samples": 4, "own_right": 2, "without_right_sample": 0}


def test_a_question_that_is_never_answered_right_teaches_nothing() -> None:
    rows, notes, _ = annotated([text("a", "99"), ""])
    assert [row.kind for row in rows] == ["sample", "sample"]
    assert notes == {"own_samples": 2, "own_right": 0, "without_right_sample": 1}


def test_the_student_is_asked_once_in_the_words_of_its_format() -> None:
    _, _, student = annotated(["a", "b"])
    [(who, request, samples)] = student.asked
    assert (who, samples, request.temperature, request.max_new_tokens) == (STUDENT, 2, 0.7, 20)
    plain = FORM.request(QUESTION.without_gold(), "rationale_and_answer", context("annotation").task)
    assert replace(request, temperature=plain.temperature, max_new_tokens=plain.max_new_tokens) == plain


@pytest.mark.parametrize("settings", [{"samples": 0}, {"samples": 2, "temperature": 0.0}])
def test_samples_that_cannot_differ_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"samples=.* at temperature="):
        RejectionSampling(**settings)


def test_a_cell_trains_on_right_texts_of_the_student_alone(
    command: Callable[..., Any], miniature: tuple[str, ...], results: Any
) -> None:
    others = [each for each in miniature if not each.startswith("student")]
    done = command(*others, "student=tiny_warm", "annotation=rejection_sampling")
    assert done.status == 0, done.err
    [cell_id] = results.cells()
    bought = results.table(cell_id, "annotations")
    learnt = bought[bought["kind"] == "rationale"]
    assert len(bought) == 20 * 4
    record = results.record()
    assert record["uses_gold"]
    [only] = record["rounds"]
    right = sum(json.loads(each)["right"] for each in bought["evidence"])
    assert (only["notes"]["own_samples"], only["notes"]["own_right"]) == (80, right)
    assert 0 < len(learnt) <= right
