"""The simulated teacher in roles that read: what it judges, what it writes behind it, and its set rates of mistakes."""

from __future__ import annotations

import asyncio
import math
import random
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

import methods.elad.revision
import methods.honey.annotation
from benchmark.conformance.observed import observe
from benchmark.tasks.generated import GeneratedDataset
from benchmark.teachers.prompts import PromptLibrary, folder_of
from benchmark.teachers.simulated import SimulatedTeacher, Simulation
from benchmark.teachers.simulated_roles import NO_FAULT, Judgement
from benchmark.teachers.teacher import estimated_tokens
from benchmark.types import Example, PlannedRequest, Reply, Request
from tests.corridor.corridor_parts import miniature, run
from tests.teachers.test_simulated import chain_sums, trait_choices, within

SUMS, CHOICES = chain_sums(600), trait_choices(400)
SUM_ROWS = SUMS.load().pool
ELAD = PromptLibrary((folder_of(methods.elad.revision.__file__),))
HONEY = PromptLibrary((folder_of(methods.honey.annotation.__file__),))
PERFECT = SimulatedTeacher()


@lru_cache
def opened(teacher: SimulatedTeacher, dataset: GeneratedDataset = SUMS) -> Simulation:
    return teacher.open(dataset)


def say(teacher: SimulatedTeacher, request: Request, sample: int = 0) -> Reply:
    return opened(teacher).one(request, sample)


def asked(role: str, row: Example, **texts: str) -> Request:
    """A prompt in the words of ELAD, or plain labels where it has no such prompt."""
    if "accepted" in texts:
        return ELAD.render(role, row.without_gold(), SUMS, again=False, reason="", **texts)
    lines = "\n".join(f"{label.capitalize()}: {text}" for label, text in texts.items())
    return Request(role, f"Question: {row.question}\n{lines}\nGo on:", row.id)


def steps(row: Example) -> list[str]:
    return str(row.rationale).split(";")


def wrong(step: str) -> str:
    left, _, result = step.partition("=")
    return f"{left}={int(result) + 1}"


# --- verify ----------------------------------------------------------------------------------------------------------


def test_it_accepts_exactly_the_step_that_belongs_there() -> None:
    for row in SUM_ROWS[:60]:
        right = steps(row)
        for i, step in enumerate(right):
            accepted = ";".join(right[:i])
            assert say(PERFECT, asked("verify", row, accepted=accepted, line=step)).text == "Yes."
            for other in (wrong(step), "", "hm", *(each for each in right if each != step)):
                assert say(PERFECT, asked("verify", row, accepted=accepted, line=other)).text == "No."


def test_an_answer_is_right_only_behind_all_steps() -> None:
    for row in SUM_ROWS[:60]:
        whole, begun = str(row.rationale), ";".join(steps(row)[:-1])
        said, false = f"The answer is {row.answer}.", f"The answer is {int(row.answer) + 1}."
        verdicts = [
            say(PERFECT, asked("verify", row, accepted=accepted, line=line)).text
            for accepted, line in ((whole, said), (whole, false), (begun, said), ("", f"{whole} {said}"))
        ]
        assert verdicts == ["Yes.", "No.", "No.", "Yes."]


def test_a_whole_solution_may_stand_behind_its_own_label() -> None:
    for row in SUM_ROWS[:30]:
        for label in ("solution", "explanation"):
            good = asked("verify", row, **{label: str(row.rationale), "answer": row.answer})
            bad = asked("verify", row, **{label: str(row.rationale), "answer": "99"})
            assert [say(PERFECT, request).text for request in (good, bad)] == ["Yes.", "No."]


@pytest.mark.parametrize(("accept", "reject"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.2), (0.6, 0.1), (1.0, 1.0)])
def test_rates_of_wrong_verdicts_are_met(accept: float, reject: float) -> None:
    teacher = SimulatedTeacher(verify=Judgement(accept, reject))
    accepted = rejected = 0
    for row in SUM_ROWS:
        first = steps(row)[0]
        rejected += say(teacher, asked("verify", row, accepted="", line=first)).text == "No."
        accepted += say(teacher, asked("verify", row, accepted="", line=wrong(first))).text == "Yes."
    assert within(accepted, len(SUM_ROWS), accept)
    assert within(rejected, len(SUM_ROWS), reject)


def test_each_role_has_its_own_rates() -> None:
    teacher = SimulatedTeacher(verify=Judgement(1.0, 1.0))
    row = SUM_ROWS[0]
    flawed = ";".join([wrong(steps(row)[0]), *steps(row)[1:]])
    assert say(teacher, asked("verify", row, accepted="", line=steps(row)[0])).text == "No."
    for role, texts in (
        ("fix", {"accepted": "", "rejected": wrong(steps(row)[0])}),
        ("finish", {"accepted": "", "rejected": wrong(steps(row)[0])}),
        ("critique", {"explanation": flawed}),
        ("revise", {"explanation": flawed, "critique": "Step 1 is wrong."}),
    ):
        assert say(teacher, asked(role, row, **texts)) == say(PERFECT, asked(role, row, **texts))


# --- fix and finish --------------------------------------------------------------------------------------------------


def test_it_goes_on_from_the_accepted_steps_word_for_word() -> None:
    for row in SUM_ROWS[:60]:
        right, clause = steps(row), f"The answer is {row.answer}."
        for count in range(len(right) + 1):
            accepted = ";".join(right[:count])
            fixed = say(PERFECT, asked("fix", row, accepted=accepted, rejected="hm")).text
            rest = say(PERFECT, asked("finish", row, accepted=accepted, rejected="hm")).text
            assert fixed == [*right, clause][count]
            assert rest == " ".join(filter(None, [";".join(right[count:]), clause]))
            if count:
                begun = replace(Request("finish", f"Q: {row.question}\nA:", row.id), prefix=accepted)
                assert accepted + say(PERFECT, begun).text == f"{row.rationale} {clause}"


def test_rates_of_misjudged_rejections_are_met() -> None:
    teacher = SimulatedTeacher(fix=Judgement(0.3, 0.4), finish=Judgement(0.2, 0.1))
    again, spoilt, finished_again, finished_wrong = 0, 0, 0, 0
    for row in SUM_ROWS:
        first, accepted = steps(row)[1], steps(row)[0]
        again += say(teacher, asked("fix", row, accepted=accepted, rejected=wrong(first))).text == wrong(first)
        spoilt += say(teacher, asked("fix", row, accepted=accepted, rejected=first)).text != first
        text = say(teacher, asked("finish", row, accepted=accepted, rejected=wrong(first))).text
        finished_again += text.startswith(wrong(first))
        finished_wrong += not say(teacher, asked("finish", row, accepted=accepted, rejected=first)).text.endswith(
            f"The answer is {row.answer}."
        )
    for count, rate in ((again, 0.3), (spoilt, 0.4), (finished_again, 0.2), (finished_wrong, 0.1)):
        assert within(count, len(SUM_ROWS), rate)


# --- justify, critique and revise, in the words of Honey -------------------------------------------------------------


def justification(row: Example, answer: str, place: str = "reply") -> Request:
    request = HONEY.render("justify", row.without_gold(), CHOICES, examples=methods.honey.annotation.exemplars(),
                           adjectives=["clear", "short"])  # fmt: skip
    begun = f" The answer is {answer}."
    return replace(request, prefix=begun) if place == "reply" else replace(request, prompt=request.prompt + begun)


def choose(teacher: SimulatedTeacher, request: Request) -> str:
    reply = opened(teacher, CHOICES).one(request, 0)
    assert reply.finish == "stop"
    return reply.text


@pytest.mark.parametrize("place", ["reply", "prompt"])
def test_it_argues_for_every_given_choice(place: str) -> None:
    for row in CHOICES.load().pool[:40]:
        both = row.question.removesuffix("?")
        for choice in row.choices or ():
            text = choose(PERFECT, justification(row, choice, place))
            assert [line for line in text.split(";") if line.endswith(f":{both}")] == [f"{choice}:{both}"]
            assert (text == row.rationale) == (choice == row.answer)


def test_rates_of_arguing_against_what_is_given_are_met() -> None:
    teacher = SimulatedTeacher(justify=Judgement(false_accept=0.6, false_reject=0.2))
    rows = CHOICES.load().pool
    against = sum(choose(teacher, justification(row, row.answer)) != row.rationale for row in rows)
    wrongly = [(row, next(each for each in row.choices or () if each != row.answer)) for row in rows]
    argued = sum(choose(teacher, justification(row, choice)) != row.rationale for row, choice in wrongly)
    assert within(against, len(rows), 0.2)
    assert within(argued, len(rows), 0.6)


def test_a_critique_names_the_first_flaw_and_a_revision_begins_there() -> None:
    for row in SUM_ROWS[:60]:
        right = steps(row)
        for i in range(len(right)):
            flawed = ";".join([*right[:i], wrong(right[i]), *right[i + 1 :]])
            said = say(PERFECT, asked("critique", row, explanation=flawed)).text
            assert said == f"Step {i + 1} is wrong."
            assert say(PERFECT, asked("revise", row, explanation=flawed, critique=said)).text == row.rationale
        short = say(PERFECT, asked("critique", row, explanation=";".join(right[:-1]))).text
        assert short == f"Step {len(right)} is missing."
        long = say(PERFECT, asked("critique", row, explanation=f"{row.rationale};1+1=2")).text
        assert long == f"Step {len(right) + 1} is one too many."
        assert say(PERFECT, asked("critique", row, explanation=str(row.rationale))).text == NO_FAULT


def test_rates_of_critiques_and_revisions_are_met() -> None:
    teacher = SimulatedTeacher(critique=Judgement(0.3, 0.2), revise=Judgement(0.4, 0.1))
    missed = faulted = left = spoilt = 0
    for row in SUM_ROWS:
        right, flawed = str(row.rationale), ";".join([wrong(steps(row)[0]), *steps(row)[1:]])
        missed += say(teacher, asked("critique", row, explanation=flawed)).text == NO_FAULT
        faulted += say(teacher, asked("critique", row, explanation=right)).text != NO_FAULT
        left += say(teacher, asked("revise", row, explanation=flawed, critique="Step 1 is wrong.")).text == flawed
        spoilt += say(teacher, asked("revise", row, explanation=right, critique=NO_FAULT)).text != right
    for count, rate in ((missed, 0.3), (faulted, 0.2), (left, 0.4), (spoilt, 0.1)):
        assert within(count, len(SUM_ROWS), rate)


def test_a_critique_in_other_words_leaves_the_judgement_to_the_reviser() -> None:
    for row in SUM_ROWS[:30]:
        flawed = ";".join([*steps(row)[:-1], wrong(steps(row)[-1])])
        assert say(PERFECT, asked("revise", row, explanation=flawed, critique="Fine!")).text == row.rationale


def test_honey_runs_with_it_and_every_call_is_counted(tmp_path: Path) -> None:
    cell = miniature("dataset=trait_choice", "annotation=critique_revision_and_counterfactual")
    seen = observe(cell)
    questions, wrong_choices = 12, 4
    charged = seen.result["rounds"][-1]["charged"]["teacher"]
    assert charged["calls"] == len(set(seen.watch.replies)) == questions * (3 + wrong_choices)
    assert seen.result["uses_gold"] is True  # the method reads gold, whoever the teacher is
    rows = run(cell, tmp_path).table("annotations")
    revised = [row for row in rows if row["kind"] == "rationale"]
    assert all(row["answer"] in row["rationale"] for row in revised)


# --- correct: a single-call revision ---------------------------------------------------------------------------------


def correction(teacher: SimulatedTeacher, row: Example, explanation: str, answer: str | None = None) -> str:
    request = ELAD.render(
        "correct", row.without_gold(), SUMS, again=False, explanation=explanation, answer=answer or row.answer
    )
    return say(teacher, request).text


def test_a_correction_names_the_first_flaw_and_writes_all_from_there_on() -> None:
    for row in SUM_ROWS[:60]:
        right, end = steps(row), f" The answer is {row.answer}."
        for i in range(len(right)):
            flawed = [*right[:i], wrong(right[i]), *map(wrong, right[i + 1 :])]
            expected = f"Step {i + 1} is wrong.\n{';'.join(right[i:])}{end}"
            assert correction(PERFECT, row, ";".join(flawed), "99") == expected
            assert correction(PERFECT, row, ";".join(flawed)) == expected
        behind = len(right) + 1
        assert correction(PERFECT, row, str(row.rationale), "99") == f"Step {behind} is wrong.\n{end}"
        assert correction(PERFECT, row, f"{row.rationale};1+1=2") == f"Step {behind} is wrong.\n{end}"
        short = correction(PERFECT, row, ";".join(right[:-1]))
        assert short == f"Step {len(right)} is wrong.\n{right[-1]}{end}"
        assert correction(PERFECT, row, str(row.rationale)) == NO_FAULT


def test_corrections_are_wrong_at_the_rates_of_critiques() -> None:
    teacher = SimulatedTeacher(critique=Judgement(0.3, 0.2))
    missed = faulted = 0
    for row in SUM_ROWS:
        missed += correction(teacher, row, ";".join([wrong(steps(row)[0]), *steps(row)[1:]])) == NO_FAULT
        reply = correction(teacher, row, str(row.rationale))
        faulted += reply != NO_FAULT
        assert reply == NO_FAULT or reply.endswith(f"The answer is {row.answer}.")  # what it writes is right
    assert within(missed, len(SUM_ROWS), 0.3)
    assert within(faulted, len(SUM_ROWS), 0.2)


# --- what holds in all these roles -----------------------------------------------------------------------------------

NOISY = SimulatedTeacher(
    verify=Judgement(0.5, 0.5), fix=Judgement(0.5, 0.5), finish=Judgement(0.5, 0.5), justify=Judgement(0.5, 0.5),
    critique=Judgement(0.5, 0.5), revise=Judgement(0.5, 0.5),
)  # fmt: skip


def every_request(row: Example) -> list[Request]:
    flawed = ";".join([wrong(steps(row)[0]), *steps(row)[1:]])
    return [
        asked("verify", row, accepted="", line=flawed),
        asked("fix", row, accepted="", rejected=flawed),
        asked("finish", row, accepted=steps(row)[0], rejected=steps(row)[1]),
        Request("justify", f"Q: {row.question}\nThe answer is {int(row.answer) + 3}.\nWhy:", row.id),
        asked("critique", row, explanation=flawed),
        asked("revise", row, explanation=f"The answer is {row.answer}. {flawed}", critique="Step 1 is wrong."),
        asked("correct", row, explanation=flawed, answer=row.answer),
    ]


def test_equal_requests_get_equal_replies_in_any_order_and_other_samples_others() -> None:
    requests = [request for row in SUM_ROWS[:40] for request in every_request(row)]
    forward = [say(NOISY, request) for request in requests]
    assert forward == [say(NOISY, request) for request in reversed(requests)][::-1]
    others = [say(NOISY, request, sample=1) for request in requests]
    reseeded = [say(replace(NOISY, seed=1), request) for request in requests]
    for changed in (others, reseeded):
        assert 0.2 < sum(a.text != b.text for a, b in zip(forward, changed, strict=True)) / len(requests) < 0.8


def test_the_words_around_the_given_texts_change_nothing() -> None:
    for request in (request for row in SUM_ROWS[:40] for request in every_request(row)):
        worded = replace(request, prompt=f"Q: 1+1+1\nAccepted: no\n\n{request.prompt}\nThink hard.")
        if request.role != "justify":
            assert say(NOISY, worded).text == say(NOISY, request).text


def test_no_reply_costs_more_than_the_plan_says() -> None:
    chance = random.Random(1)
    door = NOISY.open(SUMS)
    for row in SUM_ROWS[:60]:
        for request in every_request(row):
            garbage = ";".join("9+9=18" for _ in range(chance.randrange(60)))
            grown = replace(request, prompt=request.prompt.replace(steps(row)[-1], garbage))
            capped = replace(grown, max_new_tokens=chance.choice([None, 1, 7, 40]))
            most = door.most(PlannedRequest("simulated", capped))
            [reply] = asyncio.run(door.reply(capped, 1))
            assert reply.completion_tokens == estimated_tokens(reply.text) <= most.completion_tokens
            assert capped.max_new_tokens is None or reply.completion_tokens <= capped.max_new_tokens


@pytest.mark.parametrize(
    ("role", "prompt"),
    [
        ("verify", "Question: {q}\nAccepted: \nIs it right?"),
        ("fix", "Question: {q}\nSo far: \nWrite the next line."),
        ("finish", "Question: {q}\nGo on."),
        ("justify", "Question: {q}\nWhy?"),
        ("justify", "Question: {q}\nThe answer is blue."),
        ("critique", "Question: {q}\nWhat is wrong?"),
        ("correct", "Question: {q}\nWhat is wrong?"),
        ("revise", "Question: {q}\nCritique: Step 1 is wrong."),
        ("verify", "Question: 1+1+1\nNext: 1+1=2"),
    ],
)
def test_a_prompt_without_what_the_role_needs_is_not_answered(role: str, prompt: str) -> None:
    row = SUM_ROWS[0]
    reply = say(PERFECT, Request(role, prompt.format(q=row.question), row.id))
    assert (reply.text, reply.finish) == ("", "not_asked")
    assert reply.prompt_tokens > 0


@pytest.mark.parametrize("rates", [(-0.1, 0.0), (0.0, 1.5), (math.nan, 0.0)])
def test_impossible_rates_are_refused(rates: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=re.escape("is not a rate between 0 and 1")):
        Judgement(*rates)


def test_some_replies_are_empty_in_these_roles_too() -> None:
    teacher = SimulatedTeacher(empty_rate=0.25)
    empty = sum(not say(teacher, asked("verify", row, accepted="", line="1")).text for row in SUM_ROWS)
    assert within(empty, len(SUM_ROWS), 0.25)
