"""What the shared annotators make of replies: second tries, majorities, rationales for a given answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.axes.annotation import FewShotCot, HumanLabels, Rationalise, SelfConsistentCot, Together
from benchmark.axes.format import AnswerOnly, RationaleThenAnswer
from benchmark.buying.meter import TEACHER, Meter, QuestionMeter, Supplier
from benchmark.contract import Annotator
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.teacher import Price
from benchmark.types import Annotation, Pick, Reply, Request
from tests.cell.test_context import DATASET, POOL, context

DECLARED = frozenset({"annotation"})
UNREADABLE = "I cannot tell."


@dataclass
class Scripted:
    """Sample i of every request is text i."""

    texts: tuple[str, ...]
    finishes: dict[int, str] = field(default_factory=dict)
    asked: list[tuple[Request, int]] = field(default_factory=list)

    def covers(self, question_id: str) -> bool:
        return True

    async def reply(self, request: Request, samples: int) -> list[Reply]:
        self.asked.append((request, samples))
        return [Reply(self.texts[i], self.finishes.get(i, "stop"), 1, 1) for i in range(samples)]


def annotated(annotator: Annotator, teacher: Scripted) -> tuple[list[Annotation], int, dict[str, float]]:
    """(annotations, calls in the ledger, notes)"""
    ledger, here = Ledger(), context("annotation", DECLARED)
    meter = Meter({"scripted": Supplier(teacher, Price())}, ledger, annotator.requires().teacher_roles)
    pick = Pick(POOL[0].without_gold(), evidence={"why": "random"})
    question = QuestionMeter(meter)
    rows = list(asyncio.run(annotator.annotate(pick, here, question)))
    meter.commit(question.asked)
    return rows, ledger.charged[TEACHER].calls if TEACHER in ledger.charged else 0, dict(here.notes)


def answer(text: object) -> str:
    return f"So. The answer is {text}."


# --- second tries ----------------------------------------------------------------------------------------------------


def test_an_unreadable_sample_is_asked_for_again_as_the_next_one() -> None:
    rows, calls, notes = annotated(FewShotCot(3, 0.7), Scripted((answer(1), UNREADABLE, answer("two"), answer(4), "")))
    assert [(row.sample, row.answer) for row in rows] == [(0, "1"), (1, "4"), (2, None)]
    assert [[exchange.reply.text for exchange in row.exchanges] for row in rows] == [
        [answer(1)],
        [UNREADABLE, answer(4)],
        [answer("two"), ""],
    ]
    assert [row.evidence.get("asked_again") for row in rows] == [None, True, True]
    assert (calls, notes) == (5, {"asked_again": 2})


def test_at_temperature_0_nothing_is_asked_again() -> None:
    rows, calls, notes = annotated(FewShotCot(), Scripted((UNREADABLE,)))
    assert [row.answer for row in rows] == [None]
    assert rows[0].evidence == {"why": "random", "confidence": None, "finish": "stop"}
    [planned] = FewShotCot().most_requests(POOL[0].without_gold(), context("annotation"))
    assert (calls, notes, planned.samples) == (1, {}, 1)


@pytest.mark.parametrize("finish", ["content_filter", "not_asked"])
def test_what_would_only_be_refused_again_is_not_asked_again(finish: str) -> None:
    rows, calls, _ = annotated(FewShotCot(2, 0.7), Scripted(("", answer(3)), {0: finish}))
    assert ([row.answer for row in rows], calls) == ([None, "3"], 2)


@given(st.lists(st.sampled_from([UNREADABLE, answer(1), answer(2)]), min_size=8, max_size=8))
def test_no_reply_is_lost_and_the_plan_is_never_exceeded(texts: list[str]) -> None:
    """As many calls as replies in the annotations, as many as the ledger says, at most as many as planned."""
    question = POOL[0].without_gold()
    for annotator in (FewShotCot(4, 0.7), SelfConsistentCot(4, 0.7), FewShotCot(4)):
        teacher = Scripted(tuple(texts))
        rows, calls, notes = annotated(annotator, teacher)
        assert len(rows) == 4 == len({row.id for row in rows})
        assert {(row.sample) for row in rows} == {0, 1, 2, 3}
        replies = sum(len(row.exchanges) for row in rows)
        planned = annotator.most_requests(question, context("annotation"))
        most = sum(request.samples for request in planned)
        assert calls == replies == 4 + notes.get("asked_again", 0) <= most
        assert most == (4 if annotator == FewShotCot(4) else 8)
        assert {request.request for request in planned} == {asked for asked, _ in teacher.asked}


# --- how strictly an answer is read ----------------------------------------------------------------------------------


def test_a_flexible_reading_decides_where_the_strict_one_finds_nothing() -> None:
    texts = (answer("2 sides"), "It must be 3", answer(4), UNREADABLE, answer("not clear"))
    rows, calls, notes = annotated(FewShotCot(5, reading="flexible"), Scripted(texts))
    assert [(row.rationale, row.answer) for row in rows] == [
        ("So.", "2"),
        ("It must be 3", "3"),
        ("So.", "4"),
        (UNREADABLE, None),
        ("So.", None),
    ]
    assert [row.evidence.get("read_flexibly") for row in rows] == [True, True, None, None, None]
    assert (calls, notes) == (5, {"read_flexibly": 2})
    strict, _, notes = annotated(FewShotCot(5), Scripted(texts))
    assert [row.answer for row in strict] == [None, None, "4", None, None]
    assert [row.rationale for row in strict] == [row.rationale for row in rows]
    assert notes == {}
    assert not any("read_flexibly" in row.evidence for row in strict)


def test_what_is_read_flexibly_is_not_asked_again() -> None:
    texts = (answer("2 sides"), UNREADABLE, answer("3 sides"))
    rows, calls, notes = annotated(FewShotCot(2, 0.7, "flexible"), Scripted(texts))
    assert [(row.answer, row.evidence.get("asked_again")) for row in rows] == [("2", None), ("3", True)]
    assert (calls, notes) == (3, {"asked_again": 1, "read_flexibly": 2})


def test_a_flexible_answer_has_a_vote() -> None:
    texts = (answer(1), answer("2 sides"), answer(2))
    rows, _, notes = annotated(SelfConsistentCot(3, 0.7, "flexible"), Scripted(texts))
    assert [(row.kind, row.answer) for row in rows] == [("sample", "1"), ("rationale", "2"), ("sample", "2")]
    assert rows[1].evidence["votes"] == 2
    assert notes == {"read_flexibly": 1}


@pytest.mark.parametrize("annotator", [FewShotCot, SelfConsistentCot])
def test_another_reading_is_refused(annotator: type[FewShotCot] | type[SelfConsistentCot]) -> None:
    with pytest.raises(ValueError, match="reading='lax' must be strict or flexible"):
        annotator(reading="lax")  # type: ignore[arg-type]


@pytest.mark.parametrize("annotator", [FewShotCot(2), FewShotCot(2, reading="flexible"), Rationalise(2)])
def test_a_restated_question_is_no_part_of_an_annotation(annotator: Annotator) -> None:
    """A teacher that returns its texts uncut: what it restates is left out, what it invents ends it."""
    [planned] = annotator.most_requests(POOL[0].without_gold(), context("annotation", DECLARED))
    asked = planned.request.prompt.rpartition("\n\n")[2]
    texts = (f"Sure!\n{asked} {answer(2)}\n\nQ: 1+1\nA: {answer(3)}", f"{answer(2)}\n\n{asked} {answer(4)}")
    for row in annotated(annotator, Scripted(texts))[0]:
        if isinstance(annotator, FewShotCot):
            assert (row.rationale, row.answer) == ("So.", "2")
        else:
            assert row.rationale == answer(2)


# --- majorities ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "chosen", "votes"),
    [
        ((1, 2, 2), 1, [1, 2, 2]),
        ((1, 2, 3), 0, [1, 1, 1]),  # a tie: the first
        ((3, 1, 1, 3), 0, [2, 2, 2, 2]),
        ((UNREADABLE, 5, UNREADABLE), 1, [0, 1, 0]),
        ((UNREADABLE, UNREADABLE), 0, [0, 0]),
    ],
)
def test_the_first_chain_of_the_majority_is_taught(answers: tuple[Any, ...], chosen: int, votes: list[int]) -> None:
    texts = tuple(each if each == UNREADABLE else f"Way {i}. {answer(each)}" for i, each in enumerate(answers))
    rows, _, _ = annotated(SelfConsistentCot(len(answers), 0.7), Scripted(texts + (UNREADABLE,) * len(texts)))
    assert [row.kind == "rationale" for row in rows] == [i == chosen for i in range(len(answers))]
    assert {row.kind for row in rows} <= SelfConsistentCot.kinds
    assert [row.evidence["votes"] for row in rows] == votes
    assert [row.evidence["agreement"] for row in rows] == [each / len(answers) for each in votes]
    assert all(row.evidence["why"] == "random" for row in rows)
    taught = RationaleThenAnswer().examples(rows, DATASET.task)
    assert [example.annotations for example in taught] == ([] if votes[chosen] == 0 else [(rows[chosen].id,)])
    assert len(AnswerOnly().examples(rows, DATASET.task)) == len(taught)


@pytest.mark.parametrize("settings", [{"samples": 1}, {"temperature": 0.0}, {"temperature": -1.0}])
def test_samples_that_make_no_majority_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a majority needs"):
        SelfConsistentCot(**settings)


# --- a given answer --------------------------------------------------------------------------------------------------


def test_rationalise_shows_the_gold_answer_and_keeps_the_justification() -> None:
    teacher = Scripted(("Because.\n\nQ: 1+1\nWhy: no", "\n"))
    rows, calls, _ = annotated(Rationalise(2, 0.5), teacher)
    [(request, _)] = teacher.asked
    assert request.prompt == (
        "Each question below comes with its right answer. Write the reasoning that leads to it.\n\n"
        "Q: 4+3-5\nThe answer is 2.\nWhy: 4+3=7;7-5=2.\n\n"
        f"Q: {POOL[0].question}\nThe answer is {POOL[0].answer}.\nWhy:"
    )
    assert (request.role, request.temperature, request.prefix, calls) == ("rationalise", 0.5, "", 2)
    assert [(row.rationale, row.answer, row.sample) for row in rows] == [
        ("Because.", POOL[0].answer, 0),
        (None, POOL[0].answer, 1),
    ]
    assert rows[0].evidence == {"why": "random", "gold_given": True, "finish": "stop"}
    assert Rationalise().requires().gold
    [planned] = Rationalise(2, 0.5).most_requests(POOL[0].without_gold(), context("annotation", DECLARED))
    assert (planned.request, planned.samples, planned.who) == (request, 2, "scripted")


@pytest.mark.parametrize("settings", [{"samples": 0}, {"temperature": -0.5}])
@pytest.mark.parametrize("annotator", [FewShotCot, Rationalise])
def test_impossible_settings_are_refused(annotator: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least"):
        annotator(**settings)


def test_two_annotators_of_one_kind_keep_ids_of_their_own() -> None:
    rows, calls, _ = annotated(
        Together((FewShotCot(2), Rationalise(), HumanLabels())), Scripted((answer(1), answer(2)))
    )
    assert [(row.kind, row.source, row.sample) for row in rows] == [
        ("rationale", "scripted", 0),
        ("rationale", "scripted", 1),
        ("rationale", "scripted", 2),
        ("gold", "human", 0),
    ]
    assert calls == 3


def test_plain_formats_teach_no_answer_that_an_annotation_only_argues_for() -> None:
    question = POOL[0].without_gold()
    rows = [Annotation(question, kind, "t", "why", "7") for kind in ("rationale", "gold", "counterfactual", "sample")]
    for form in (AnswerOnly(), RationaleThenAnswer()):
        taught = form.examples(rows, DATASET.task)
        assert [example.annotations for example in taught] == [(rows[0].id,), (rows[1].id,)]
