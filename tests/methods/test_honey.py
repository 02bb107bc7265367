"""Critique-revision and counterfactual data: prompts to the letter, what is drawn, what is kept, what it costs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.axes.annotation import Together
from benchmark.axes.format import AnswerOnly
from benchmark.buying.meter import TEACHER, Meter, QuestionMeter, Supplier
from benchmark.cell.context import CellContext, PartContext
from benchmark.contract import Annotator
from benchmark.errors import TeacherError
from benchmark.student.student import Student
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.prompts import prompt_library_for
from benchmark.teachers.teacher import Price
from benchmark.types import Annotation, Example, Pick, Reply, Request, Round
from methods.honey.annotation import REVISION_EXEMPLARS, Counterfactual, CritiqueRevision, exemplars, phrases

CHOICES = ("kettle", "attic", "river", "desk", "tent")
ITEMS = [Example(f"q{i}", f"Where does item {i} belong?", CHOICES[i % 5], CHOICES) for i in range(40)]
ITEM = ITEMS[2]


@dataclass(frozen=True)
class Data:
    """As much of a dataset as prompts need."""

    name: str = "items"
    task: MultipleChoice = field(default_factory=MultipleChoice)
    exemplars: tuple[Any, ...] = ()


def context(annotator: Annotator, **changes: Any) -> PartContext:
    whole = CellContext(
        dataset=cast(Any, Data()),
        format=AnswerOnly(),
        student=cast(Student, None),
        local_assistant=None,
        teachers=("scripted",),
        loss_settings={},
        prompts=prompt_library_for([annotator]),
        seed=1,
        data_seed=0,
        round=Round(0, 1.0),
        history=(),
        gold_rows={row.id: row for row in ITEMS},
        gold_axes=frozenset({"annotation"}),
    )
    return replace(whole, **changes).for_axis("annotation")


@dataclass
class Echo:
    """Answers every request with a tag, and a second line that belongs to nobody."""

    asked: list[Request] = field(default_factory=list)

    def covers(self, question_id: str) -> bool:
        return True

    async def reply(self, request: Request, samples: int) -> list[Reply]:
        self.asked.append(request)
        begun = request.prefix or request.prompt.rpartition("\n")[2]
        words = {"justify": f"EXPL<{begun}>", "critique": "CRIT", "revise": f"REV<{begun}>"}
        return [Reply(f"{words[request.role]}{len(self.asked)}\nsecond line", "stop", 1, 1)] * samples

    def of(self, role: str) -> list[Request]:
        return [request for request in self.asked if request.role == role]


def annotated(
    annotator: Annotator, examples: Sequence[Example] = (ITEM,), **changes: Any
) -> tuple[list[Annotation], Echo, int]:
    """(annotations, teacher, calls in the ledger)"""
    teacher, ledger, here = Echo(), Ledger(), context(annotator, **changes)
    meter = Meter({"scripted": Supplier(teacher, Price())}, ledger, annotator.requires().teacher_roles)

    async def all_of_them() -> list[Annotation]:
        picks = [Pick(example.without_gold(), evidence={"why": "random"}) for example in examples]
        found = []
        for pick in picks:
            question = QuestionMeter(meter)
            found += await annotator.annotate(pick, here, question)
            meter.commit(question.asked)
        return found

    return asyncio.run(all_of_them()), teacher, ledger.charged[TEACHER].calls


# --- prompts ---------------------------------------------------------------------------------------------------------

QUESTION = "Question: Where does item 2 belong?\nChoices: (a) kettle (b) attic (c) river (d) desk (e) tent\n"
FIRST_EXEMPLAR = (
    "Question: Farid wants to keep his soup hot until lunch at work. What should he carry it in?\n"
    "Choices: (a) paper bag (b) vacuum flask (c) wicker basket (d) envelope (e) colander\n"
)


def blocks(request: Request) -> list[str]:
    """The exemplars of a prompt, then its question."""
    return request.prompt.split("\n\n")


def shown_exemplars(request: Request) -> list[str]:
    """The questions of the exemplars, in order."""
    return [re.findall(r"^Question: (.*)$", block, re.M)[0] for block in blocks(request)[:-1]]


def test_an_explanation_is_asked_for_word_for_word() -> None:
    [row, _], teacher, _ = annotated(CritiqueRevision())
    [request] = teacher.of("justify")
    first, second = row.evidence["adjectives"]
    speaker = f"Assistant ({first} and {second}):"
    assert blocks(request)[0] == (
        f"{FIRST_EXEMPLAR}{speaker} The answer is vacuum flask. A vacuum flask holds liquid and slows the loss of "
        "heat. Soup poured into it in the morning is still hot at noon."
    )
    assert blocks(request)[-1] == QUESTION + speaker
    assert request.prefix == " The answer is river."
    assert (request.max_new_tokens, request.cap_is_final, request.temperature) == (160, True, 0.0)


def test_a_critique_is_asked_for_word_for_word() -> None:
    [_, row], teacher, _ = annotated(CritiqueRevision())
    [request] = teacher.of("critique")
    [turn] = row.evidence["rounds"]
    wording = phrases()["requests"][turn["request_pair"]]["critique"]
    assert blocks(request)[-1] == (
        f"{QUESTION}Answer: The answer is river. EXPL< The answer is river.>1\n{wording}\nCritique:"
    )
    example = next(each for each in exemplars() if each["question"] == shown_exemplars(request)[0])
    assert blocks(request)[0].endswith(
        f"Answer: The answer is {example['answer']}. {example['justification']}\n"
        f"{phrases()['exemplar_request']['critique']}\nCritique: {example['critique']}"
    )
    assert (request.prefix, request.max_new_tokens, request.cap_is_final) == ("", 300, True)


def test_a_revision_is_asked_for_word_for_word() -> None:
    [_, row], teacher, _ = annotated(CritiqueRevision())
    [request] = teacher.of("revise")
    [turn] = row.evidence["rounds"]
    wording = phrases()["requests"][turn["request_pair"]]["revision"]
    assert blocks(request)[-1] == (
        f"{QUESTION}Answer: The answer is river. EXPL< The answer is river.>1\nCritique: CRIT2\n{wording}\nRevision:"
    )
    example = next(each for each in exemplars() if each["question"] == shown_exemplars(request)[0])
    assert blocks(request)[0].endswith(
        f"Answer: The answer is {example['answer']}. {example['justification']}\nCritique: {example['critique']}\n"
        f"{phrases()['exemplar_request']['revision']}\n"
        f"Revision: The answer is {example['answer']}. {example['revision']}"
    )
    assert (request.prefix, request.max_new_tokens, request.cap_is_final) == (" The answer is river.", 300, True)


def test_a_revision_begins_with_gold_unless_switched_off() -> None:
    free, given_ = (annotated(CritiqueRevision(prefill_revision=switch))[1].of("revise")[0] for switch in (False, True))
    assert (free.prefix, given_.prefix) == ("", " The answer is river.")
    begun = re.compile(r"^Revision: The answer is [^.]+\. ", re.MULTILINE)
    assert (len(begun.findall(free.prompt)), len(begun.findall(given_.prompt))) == (0, REVISION_EXEMPLARS)
    assert begun.sub("Revision: ", given_.prompt) == free.prompt


@pytest.mark.parametrize("annotator", [CritiqueRevision(), Counterfactual()])
def test_a_chat_is_shown_the_begun_reply_at_the_end_of_its_prompt(annotator: Any) -> None:
    _, begun, _ = annotated(annotator)
    _, shown, _ = annotated(replace(annotator, begin_in="prompt"))
    for request, chat in zip(begun.asked, shown.asked, strict=True):
        assert chat.prefix == ""
        if request.role == "justify":
            assert chat.prompt == request.prompt + request.prefix
    assert any(request.prefix for request in begun.asked)


def test_context_stands_before_the_question() -> None:
    held = replace(ITEM, context="It rains.")
    _, teacher, _ = annotated(Counterfactual("wrong"), [held])
    assert all("\nQuestion: It rains. Where does item 2 belong?\n" in request.prompt for request in teacher.asked)


# --- what is drawn ---------------------------------------------------------------------------------------------------


def test_seven_six_and_four_exemplars_stand_in_prompts_and_none_twice() -> None:
    _, teacher, _ = annotated(CritiqueRevision(rounds=2), ITEMS)
    known = [example["question"] for example in exemplars()]
    for role, count in (("justify", 7), ("critique", 6), ("revise", 4)):
        drawn = [shown_exemplars(request) for request in teacher.of(role)]
        assert all(len(shown) == count == len(set(shown)) for shown in drawn)
        assert {question for shown in drawn for question in shown} == set(known)
        if role == "justify":
            assert all(shown == known for shown in drawn)
        else:
            assert len({tuple(shown) for shown in drawn}) > 20  # others for each item and round, in any order


def test_one_pair_of_adjectives_serves_all_exemplars_and_all_explanations_of_an_item() -> None:
    both = Together((CritiqueRevision(), Counterfactual("wrong")))
    rows, teacher, _ = annotated(both, ITEMS)
    pairs = {}
    for example in ITEMS:
        requests = [request for request in teacher.of("justify") if request.question_id == example.id]
        speakers = [
            name for request in requests for name in re.findall(r"^Assistant \((.+) and (.+)\):", request.prompt, re.M)
        ]
        assert len(requests) == 5
        assert len(speakers) == 5 * 8
        assert len(set(speakers)) == 1
        pairs[example.id] = speakers[0]
        first, second = speakers[0]
        assert first != second
        assert {tuple(row.evidence["adjectives"]) for row in rows if row.question.id == example.id} == {speakers[0]}
    assert {word for pair in pairs.values() for word in pair} <= set(phrases()["adjectives"])
    assert len(set(pairs.values())) > 20


def test_a_critique_and_its_revision_are_asked_for_by_one_pair_of_requests() -> None:
    rows, teacher, _ = annotated(CritiqueRevision(rounds=2), ITEMS)
    asked = {"critique": [], "revision": []}  # type: dict[str, list[str]]
    for request in teacher.asked:
        if request.role != "justify":
            asked["critique" if request.role == "critique" else "revision"].append(blocks(request)[-1].split("\n")[-2])
    recorded = [turn["request_pair"] for row in rows if row.kind == "rationale" for turn in row.evidence["rounds"]]
    pairs = phrases()["requests"]
    for half, requests in asked.items():
        assert requests == [pairs[number][half] for number in recorded]
    assert set(recorded) == set(range(10))


def prompts(annotator: Annotator, **changes: Any) -> list[Request]:
    return annotated(annotator, ITEMS, **changes)[1].asked


@pytest.mark.parametrize("annotator", [CritiqueRevision(rounds=2), Counterfactual()])
def test_all_seeds_share_what_is_bought_and_another_data_seed_draws_anew(annotator: Annotator) -> None:
    plain = prompts(annotator)
    for seed in range(2, 7):
        assert prompts(annotator, seed=seed, round=Round(seed, 1.0)) == plain
    other = prompts(annotator, data_seed=1)
    assert len(set(other) & set(plain)) < len(plain) / 10


@given(st.permutations(range(5)))
def test_an_item_is_asked_about_in_the_same_way_whatever_came_before(order: list[int]) -> None:
    alone = {example.id: annotated(Counterfactual(), [example])[1].asked for example in ITEMS[:5]}
    for request in annotated(Counterfactual(), [ITEMS[i] for i in order])[1].asked:
        assert request in alone[request.question_id]


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_the_unrevised_text_and_the_critique_are_kept_beside_the_revised_one() -> None:
    [unrevised, revised], teacher, _ = annotated(CritiqueRevision())
    assert (unrevised.kind, revised.kind) == ("unrevised", "rationale")
    assert unrevised.rationale == "EXPL< The answer is river.>1"
    assert revised.rationale == "REV< The answer is river.>3"
    assert {row.answer for row in (unrevised, revised)} == {"river"}
    [turn] = revised.evidence["rounds"]
    assert turn["critique"] == "CRIT2"
    assert [exchange.request for exchange in revised.exchanges] == teacher.asked
    assert unrevised.exchanges == revised.exchanges[:1]
    for row in (unrevised, revised):
        assert (row.evidence["why"], row.evidence["gold_given"], row.weight) == ("random", True, 1.0)


def test_second_lines_go_nowhere_unless_wanted() -> None:
    for annotator in (CritiqueRevision(rounds=2), Counterfactual()):
        rows, teacher, _ = annotated(annotator)
        assert not any("second line" in request.prompt for request in teacher.asked)
        assert not any("second line" in str(row.rationale) + str(row.evidence) for row in rows)
        whole, told, _ = annotated(replace(annotator, first_line_only=False))
        assert all(str(row.rationale).endswith("\nsecond line") for row in whole)
        assert all("second line" in request.prompt for request in told.asked if request.role != "justify")


def test_an_empty_reply_stays_without_a_rationale() -> None:
    class Silent(Echo):
        async def reply(self, request: Request, samples: int) -> list[Reply]:
            return [Reply("\n \n", "stop", 1, 0)] * samples

    for annotator in (CritiqueRevision(), Counterfactual()):
        meter = QuestionMeter(Meter({"scripted": Supplier(Silent(), Price())}, Ledger()))
        rows = asyncio.run(annotator.annotate(Pick(ITEM.without_gold()), context(annotator), meter))
        assert {row.rationale for row in rows} == {None}


def test_choices_beside_one_that_fails_are_waited_for() -> None:
    done: list[str] = []

    async def ask(who: str, request: Request, samples: int = 1) -> list[Reply]:
        if ITEM.choices and ITEM.choices[1] in request.prefix:
            raise TeacherError("no answer")
        await asyncio.sleep(0.01)
        done.append(request.prefix)
        return [Reply("Because.")]

    with pytest.raises(TeacherError):
        asyncio.run(Counterfactual().annotate(Pick(ITEM.without_gold()), context(Counterfactual()), ask))
    assert len(done) == 4


def test_a_second_round_goes_on_from_the_first_revision() -> None:
    [unrevised, revised], teacher, _ = annotated(CritiqueRevision(rounds=2))
    assert [request.role for request in teacher.asked] == ["justify", "critique", "revise", "critique", "revise"]
    later = teacher.asked[3:]
    assert all("Answer: The answer is river. REV< The answer is river.>3\n" in request.prompt for request in later)
    assert "Critique: CRIT4\n" in later[1].prompt
    assert unrevised.rationale == "EXPL< The answer is river.>1"
    assert revised.rationale == "REV< The answer is river.>5"
    assert [turn["critique"] for turn in revised.evidence["rounds"]] == ["CRIT2", "CRIT4"]


def test_every_choice_is_argued_for_and_the_gold_one_is_the_rationale() -> None:
    rows, teacher, _ = annotated(Counterfactual())
    assert [request.prefix for request in teacher.asked] == [f" The answer is {choice}." for choice in CHOICES]
    assert {(request.max_new_tokens, request.cap_is_final) for request in teacher.asked} == {(512, True)}
    assert [row.answer for row in rows] == list(CHOICES)
    assert [row.kind for row in rows] == ["rationale" if row.answer == "river" else "counterfactual" for row in rows]
    assert [row.sample for row in rows] == [0, 1, 2, 3, 4]
    for i, row in enumerate(rows):
        assert row.rationale == f"EXPL< The answer is {CHOICES[i]}.>{i + 1}"


def test_the_wrong_choices_alone() -> None:
    rows, teacher, calls = annotated(Counterfactual("wrong"))
    assert [row.answer for row in rows] == ["kettle", "attic", "desk", "tent"]
    assert {row.kind for row in rows} == {"counterfactual"} == set(Counterfactual("wrong").kinds)
    assert calls == 4 == len(teacher.asked)


def test_a_choice_that_stands_there_twice_is_asked_about_once() -> None:
    twice = replace(ITEM, choices=("kettle", "river", "kettle", "river", "tent"))
    for choices, count in (("all", 3), ("wrong", 2)):
        annotator = Counterfactual(cast(Any, choices))
        here = {"gold_rows": {twice.id: twice}}
        rows, _, calls = annotated(annotator, [twice], **here)
        assert len({row.id for row in rows}) == len(rows) == count == calls
        assert len(annotator.most_requests(twice.without_gold(), context(annotator, **here))) == count


# --- what it costs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotator", "calls"),
    [
        (CritiqueRevision(), {"justify": 1, "critique": 1, "revise": 1}),
        (CritiqueRevision(rounds=3), {"justify": 1, "critique": 3, "revise": 3}),
        (Counterfactual(), {"justify": 5}),
        (Counterfactual("wrong"), {"justify": 4}),
    ],
)
def test_calls_are_those_of_the_paper_and_of_the_plan(annotator: Any, calls: dict[str, int]) -> None:
    _, teacher, charged = annotated(annotator, ITEMS)
    assert {role: len(teacher.of(role)) for role in calls} == {role: n * len(ITEMS) for role, n in calls.items()}
    assert charged == len(teacher.asked) == len(ITEMS) * sum(calls.values())
    assert {request.role for request in teacher.asked} == annotator.requires().teacher_roles
    planned = annotator.most_requests(ITEM.without_gold(), context(annotator))
    assert sum(request.samples for request in planned) == sum(calls.values())


def test_the_plan_is_the_requests_without_what_the_teacher_says() -> None:
    """Each planned prompt is the real one with earlier replies cut out, and says whose replies those are."""
    annotator = CritiqueRevision(rounds=2)
    [_, revised], _, _ = annotated(annotator)
    planned = annotator.most_requests(ITEM.without_gold(), context(annotator))
    said = {}
    for request, exchange in zip(planned, revised.exchanges, strict=True):
        prompt = exchange.request.prompt
        for held in request.holds:
            assert said[held] in prompt
            prompt = prompt.replace(said[held], "")
        assert replace(exchange.request, prompt=prompt) == request.request
        said[request.request] = exchange.reply.text.partition("\n")[0]
    assert [len(request.holds) for request in planned] == [0, 1, 2, 1, 2]


@pytest.mark.parametrize(
    ("annotator", "settings", "word"),
    [
        (CritiqueRevision, {"rounds": 0}, "rounds=0"),
        (CritiqueRevision, {"temperature": -1.0}, "temperature=-1"),
        (CritiqueRevision, {"critique_tokens": 0}, "critique_tokens=0"),
        (Counterfactual, {"max_new_tokens": 0}, "max_new_tokens=0"),
    ],
)
def test_impossible_settings_are_refused(annotator: Any, settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        annotator(**settings)


# --- the data beside the templates -----------------------------------------------------------------------------------


def test_exemplars_are_whole_and_of_one_line() -> None:
    assert len(exemplars()) == 7
    for example in exemplars():
        assert set(example) == {"question", "choices", "answer", "justification", "critique", "revision"}
        assert len(set(example["choices"])) == 5
        assert example["answer"] in example["choices"]
        texts = [value for key, value in example.items() if key != "choices"]
        assert all(text and "\n" not in text for text in (*texts, *example["choices"]))
    for field_ in ("question", "justification", "critique", "revision"):
        assert len({example[field_] for example in exemplars()}) == 7


def test_requests_are_ten_pairs_over_eight_qualities() -> None:
    qualities = ("correct", "helpful", "clear", "concise", "comprehensive", "informative", "understandable")
    pairs = phrases()["requests"]
    assert len(pairs) == 10 == len({pair["critique"] for pair in pairs}) == len({pair["revision"] for pair in pairs})
    assert all(set(pair) == {"critique", "revision"} for pair in pairs)
    for quality in (*qualities, "differentiating"):
        assert any(quality in pair["critique"] for pair in pairs)
    assert len(phrases()["adjectives"]) == 18 == len(set(phrases()["adjectives"]))
