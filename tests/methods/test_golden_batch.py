"""One hand-written question in every mode of Honey's formats: texts, tokens, and what padding must not change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmark.student.batch import collate
from benchmark.student.student import Student
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.types import Annotation, Question, Span, Term, TrainingExample
from tests.methods.test_counterfactual import KINDS, drawn, option, student
from tests.student.student_parts import gradient, losses

TASK: Any = MultipleChoice()
QUESTION = Question("q", "Where is fish sold?", ("market", "moon", "tree", "desk", "sock"))
SHOWN = "Where is fish sold?\nAnswer choices:\n(a) market\n(b) moon\n(c) tree\n(d) desk\n(e) sock"
"""The right choice is (a), so that a first choice that is not checked would be the right one."""
ROWS = [
    Annotation(QUESTION, "unrevised", "teacher", "Stalls sell it.", "market"),
    Annotation(QUESTION, "rationale", "teacher", "Stalls sell it, socks do not.", "market"),
    *(
        Annotation(QUESTION, "counterfactual", "teacher", f"A {choice} has fish.", choice, sample=place)
        for place, choice in enumerate(QUESTION.choices or ())
        if choice != "market"
    ),
]
Pairs = Mapping[str, Sequence[tuple[str, str]]]

PREDICT = (f"[predict] {SHOWN}", "The answer is market")
EXPLAIN = (f"[explain] {SHOWN}", "Stalls sell it, socks do not.")
MULTITASK = {"label": [PREDICT], "rationale": [EXPLAIN]}
FACTUAL = (f"[factual] {SHOWN}", "[factual] Answer: Stalls sell it, socks do not. So the answer is market.")
UNREVISED = (f"[factual] {SHOWN}", "[factual] Answer: Stalls sell it. So the answer is market.")
WRONG = [
    (f"[counterfactual] {SHOWN} Rationale: A {choice} has fish.", f"[counterfactual] So the answer is {choice}.")
    for choice in ("moon", "tree", "desk", "sock")
]
IN_REPLY = (f"[counterfactual] {SHOWN}", "[counterfactual] A moon has fish. So the answer is moon.")
OF_SCOTT = {
    "factual": [(f"[factual] {SHOWN}", "[factual] Stalls sell it, socks do not. So the answer is market")],
    "counterfactual": [(f"[counterfactual] {SHOWN}", "[counterfactual] A moon has fish. So the answer is moon")],
}
TAGGED = {**MULTITASK, "label": [(PREDICT[0], "[answer] The answer is market")]}
FIRST: dict[str, Any] = {"distractor": "first"}


def honey(multitask: Mapping[str, Any], counterfactual: Mapping[str, Any]) -> Any:
    """All four tasks, with settings of both parts."""
    form = option("multitask_counterfactual")
    return replace(
        form,
        multitask=replace(form.multitask, **multitask),
        counterfactual=replace(form.counterfactual, **counterfactual),
    )


CASES = {
    "MT": (option("multitask"), MULTITASK),
    "MT with the later tag": (option("multitask", answer_lead="[answer] The answer is "), TAGGED),
    "CF": (option("counterfactual", **FIRST), {"factual": [FACTUAL], "counterfactual": WRONG[:1]}),
    "CF of all wrong choices": (
        option("counterfactual", distractor="all"),
        {"factual": [FACTUAL], "counterfactual": WRONG},
    ),
    "CF:Unrevised": (
        option("counterfactual", factual_kind="unrevised", combine="sum", **FIRST),
        {"factual": [UNREVISED], "counterfactual": WRONG[:1]},
    ),
    "CF in the reply": (
        option("counterfactual", rationale_in="reply", learns="answer", **FIRST),
        {"factual": [FACTUAL], "counterfactual": [IN_REPLY]},
    ),
    "SCOTT": (option("scott", **FIRST), OF_SCOTT),
    "MT+CF:Revised": (honey({}, FIRST), {**MULTITASK, "factual": [FACTUAL], "counterfactual": WRONG[:1]}),
    "MT+CF:Revised as released": (
        honey({"answer_lead": "[answer] The answer is "}, {**FIRST, "factual_kind": "unrevised"}),
        {**TAGGED, "factual": [UNREVISED], "counterfactual": WRONG[:1]},
    ),
}


def pairs(examples: Sequence[TrainingExample]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for example in examples:
        found.setdefault(example.task, []).append((example.prompt, example.target_text))
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_texts_of_a_question_letter_by_letter(name: str) -> None:
    form, expected = CASES[name]
    assert pairs(form.examples(ROWS, TASK, drawn)) == expected


@pytest.mark.parametrize("distractor", ["random", "first", "all"])
@pytest.mark.parametrize("name", ["counterfactual", "scott"])
def test_no_explained_wrong_choice_is_the_right_one(name: str, distractor: str) -> None:
    wrong = pairs(option(name, distractor=distractor).examples(ROWS, TASK, drawn))["counterfactual"]
    assert len(wrong) == (4 if distractor == "all" else 1)
    assert not any(target.endswith(("market", "market.")) for _, target in wrong)


def texts(model: Student, example: TrainingExample, form: Any) -> tuple[str, str, str]:
    """(what is read, what is written, which part of that is learnt), decoded from the tensors of a step."""
    [row] = model.encoder.examples([example])
    [batch] = collate([row], form.terms(), model.padding_id, 10**6).micro_batches
    learnt = torch.stack(list(batch.scale.values())).sum(0) > 0
    decoded = (row.prompt, batch.tokens.tolist(), batch.tokens[learnt].tolist())
    prompt, target, part = (model.tokenizer.decode(list(ids)) for ids in decoded)
    return prompt, target, part


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_the_tokens_of_a_question_are_its_texts(name: str, kind: str) -> None:
    """An encoder reads the prompt alone; a decoder reads it in front of the target, and learns the target only."""
    (form, _), model = CASES[name], student(kind)
    eos, bos = model.tokenizer.eos_token, model.tokenizer.bos_token
    for example in form.examples(ROWS, TASK, drawn):
        prompt, target, part = texts(model, example, form)
        assert prompt.removeprefix(bos).removesuffix(eos).removesuffix("\n") == example.prompt
        assert target == example.target_text + eos
        answer_alone = example.task == "counterfactual" and getattr(form, "learns", "reply") == "answer"
        assert part == (example.target[1].text if answer_alone else example.target_text) + eos


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_row_beside_it_changes_no_task(kind: str) -> None:
    """Each task's loss and gradient on the question alone, and padded to the length of text that no term covers."""
    (form, expected), model = CASES["MT+CF:Revised"], student(kind)
    examples = form.examples(ROWS, TASK, drawn)
    long = TrainingExample("other", "covered by no term", "z" * 240, (Span("y" * 120),))
    terms: Mapping[str, Term] = form.terms()
    assert set(terms) == set(expected)
    for task, term in terms.items():
        rows = [example for example in examples if example.task == task]
        alone = losses(model, collate(model.encoder.examples(rows), {task: term}, model.padding_id, 10**6))[task]
        before = gradient(model.network, alone)
        for padding_id in (model.padding_id, 7):
            step = collate(model.encoder.examples([*rows, long]), {task: term}, padding_id, 10**6)
            assert len(step.micro_batches) == 1
            beside = losses(model, step)[task]
            assert float(beside.detach()) == pytest.approx(float(alone.detach()), rel=1e-5)
            assert torch.allclose(gradient(model.network, beside), before, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("role", ["answer", "explain", "rationale_and_answer", "answer_given", "counterfactual"])
def test_each_role_is_asked_as_its_task_was_learnt(role: str) -> None:
    tasks = {"answer": "label", "explain": "rationale", "counterfactual": "counterfactual"}
    form, expected = CASES["MT+CF:Revised as released"]
    given = {"answer_given": "Stalls sell it.", "counterfactual": "A moon has fish."}.get(role, "")
    request = form.request(QUESTION, role, TASK, given)
    [(prompt, target)] = expected[tasks.get(role, "factual")]
    assert request.prompt == prompt
    assert target.startswith(request.prefix)
    assert role in form.roles
