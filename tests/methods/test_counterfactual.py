"""Factual and counterfactual tasks, of Honey and of SCOTT: their texts letter by letter, and what is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from benchmark.config import build
from benchmark.contract import Format
from benchmark.random_streams import stream
from benchmark.student.batch import collate
from benchmark.student.scratch import TinyEncoderDecoder
from benchmark.student.student import Student
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.types import Annotation, Question, TrainingExample
from methods.counterfactual import CounterfactualFormat
from methods.honey.format import Multitask, MultitaskCounterfactual
from tests.student.student_parts import characters, gradient, llama, losses, sharpened, slow_losses, student_of

CONF = Path(__file__).resolve().parents[2] / "conf"
TASK: Any = MultipleChoice(heading="\n", item="{choice}", separator=",")
TRAITS = Question("q0", "big,hot?", ("ewe", "ape", "fan"))
SHOWN = "big,hot?\newe,ape,fan"
RIGHT = Annotation(TRAITS, "rationale", "teacher", "ewe:big,hot", "ewe")
FIRST = Annotation(TRAITS, "unrevised", "teacher", "ewe:hot", "ewe")
WRONG = [
    Annotation(TRAITS, "counterfactual", "teacher", f"{choice}:big,hot", choice, sample=number)
    for number, choice in enumerate(TRAITS.choices or ())
    if choice != "ewe"
]
ROWS = [RIGHT, FIRST, *WRONG]
SUMS: Any = MultipleChoice()


def option(name: str, **changes: Any) -> Any:
    """An option of conf/format with some settings changed."""
    node = yaml.safe_load((CONF / "format" / f"{name}.yaml").read_text(encoding="utf-8"))
    return build({**node, **changes}, "format", Format)


def drawn(*key: str | int, seed: int = 0) -> np.random.Generator:
    return stream(seed, "format", *key)


def pairs(form: Any, rows: Sequence[Annotation] = ROWS) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for each in form.examples(rows, TASK, drawn):
        found.setdefault(each.task, []).append((each.prompt, each.target_text))
    return found


# --- texts -----------------------------------------------------------------------------------------------------------

FACTUAL = (f"[factual] {SHOWN}", "[factual] Answer: ewe:big,hot So the answer is ewe.")
LABEL = (f"[predict] {SHOWN}", "The answer is ewe")
RATIONALE = (f"[explain] {SHOWN}", "ewe:big,hot")
APE = (f"[counterfactual] {SHOWN} Rationale: ape:big,hot", "[counterfactual] So the answer is ape.")
FAN = (f"[counterfactual] {SHOWN} Rationale: fan:big,hot", "[counterfactual] So the answer is fan.")


def test_the_four_texts_of_honey() -> None:
    form = option("multitask_counterfactual")
    found = pairs(form)
    assert found.pop("counterfactual") in ([APE], [FAN])
    assert found == {"label": [LABEL], "rationale": [RATIONALE], "factual": [FACTUAL]}
    assert pairs(option("multitask")) == {"label": [LABEL], "rationale": [RATIONALE]}
    assert pairs(option("counterfactual", distractor="first")) == {"factual": [FACTUAL], "counterfactual": [APE]}
    assert pairs(option("counterfactual", distractor="all"))["counterfactual"] == [APE, FAN]


def test_the_switches_of_the_released_code() -> None:
    tagged = option("multitask", answer_lead="[answer] The answer is ")
    assert pairs(tagged)["label"] == [(LABEL[0], "[answer] The answer is ewe")]
    released = option("counterfactual", distractor="first", factual_kind="unrevised", combine="sum")
    assert pairs(released)["factual"] == [(FACTUAL[0], "[factual] Answer: ewe:hot So the answer is ewe.")]
    assert released.requires().annotation_kinds == {"unrevised", "counterfactual"}


def test_the_two_texts_of_scott() -> None:
    found = pairs(option("scott", distractor="first"))
    assert found == {
        "factual": [(f"[factual] {SHOWN}", "[factual] ewe:big,hot So the answer is ewe")],
        "counterfactual": [(f"[counterfactual] {SHOWN}", "[counterfactual] ape:big,hot So the answer is ape")],
    }


@pytest.mark.parametrize("name", ["counterfactual", "scott"])
def test_what_is_asked_in_scoring_is_what_was_trained(name: str) -> None:
    form = option(name, distractor="first")
    factual, counterfactual = form.examples(ROWS, TASK, drawn)
    for role, example, given in (
        ("rationale_and_answer", factual, ""),
        ("rationale_and_answer", factual, "ewe:b"),
        ("answer_given", factual, "ewe:big,hot"),
        ("counterfactual", counterfactual, "ape:big,hot"),
    ):
        request = form.request(TRAITS, role, TASK, given)
        assert request.prompt == example.prompt
        assert example.target_text.startswith(request.prefix)
    end = form.answer_end
    assert factual.target_text == form.request(TRAITS, "answer_given", TASK, "ewe:big,hot").prefix + "ewe" + end
    assert form.read(factual.target_text) == ("ewe:big,hot", "ewe")
    assert form.read_explanation(factual.target_text) == "ewe:big,hot"
    assert form.before_answer(factual.target_text) + "ewe" + end == factual.target_text


def test_replies_that_are_not_whole() -> None:
    form = CounterfactualFormat()
    assert form.read("[factual] Answer: ewe:big") == ("ewe:big", "")
    assert form.read("[factual] Answer: a So the answer is b. So the answer is c. ") == ("a So the answer is b.", "c")
    assert form.read("no tag So the answer is ape") == ("no tag", "ape")
    assert form.read("") == ("", "")
    assert form.before_answer("") == " So the answer is "
    label = Multitask()
    assert label.read("The answer is ape") == ("", "ape")
    assert label.read("ape") == ("", "ape")
    assert label.request(TRAITS, "answer", TASK).prefix == "The answer is "
    assert label.before_answer("The answer is ") is None
    both = MultitaskCounterfactual()
    assert both.read("The answer is ape") == ("", "ape")
    assert both.read(FACTUAL[1]) == ("ewe:big,hot", "ewe")


# --- which explanations ----------------------------------------------------------------------------------------------


def many(count: int = 60, gold: int = 0) -> list[Annotation]:
    """Questions with five choices whose right one is at a place, each with explanations of all choices."""
    found = []
    for i in range(count):
        choices = tuple(f"{i}{letter}" for letter in "abcde")
        question = Question(f"q{i}", f"{i}?", choices)
        for j, choice in enumerate(choices):
            kind = "rationale" if j == gold else "counterfactual"
            found.append(Annotation(question, kind, "teacher", f"because {choice}", choice, sample=j))
    return found


def chosen(form: CounterfactualFormat, rows: Sequence[Annotation], seed: int = 0) -> list[str]:
    examples = form.examples(rows, SUMS, lambda *key: drawn(*key, seed=seed))
    wrong = [example for example in examples if example.task == "counterfactual"]
    return [form.read("[factual] Answer: x" + example.target_text.partition("]")[2])[1] for example in wrong]


@pytest.mark.parametrize("gold", [0, 4])
def test_a_random_choice_is_never_the_right_one_and_any_other(gold: int) -> None:
    rows = many(gold=gold)
    found = chosen(CounterfactualFormat(), rows)
    letters = {answer[-1] for answer in found}
    assert len(found) == 60
    assert letters == set("abcde") - {"abcde"[gold]}
    assert found == chosen(CounterfactualFormat(), list(reversed(rows)))[::-1]
    assert found != chosen(CounterfactualFormat(), rows, seed=1)


def test_the_first_choice_is_the_first_wrong_one() -> None:
    assert {answer[-1] for answer in chosen(CounterfactualFormat(distractor="first"), many(gold=0))} == {"b"}
    assert {answer[-1] for answer in chosen(CounterfactualFormat(distractor="first"), many(gold=1))} == {"a"}


def test_a_choice_without_an_explanation_moves_no_other_draw() -> None:
    """One question lost its drawn explanation: it takes another choice, and all other questions keep theirs."""
    rows = many()
    before = chosen(CounterfactualFormat(), rows)
    lost = next(row for row in rows if row.answer == before[7])
    after = chosen(CounterfactualFormat(), [row for row in rows if row is not lost])
    assert [i for i in range(60) if before[i] != after[i]] == [7]


def test_what_is_not_whole_is_left_out() -> None:
    blank = Annotation(TRAITS, "counterfactual", "teacher", None, "fan", sample=2)
    nothing = Annotation(TRAITS, "rationale", "teacher", "", "ewe")
    form = CounterfactualFormat(distractor="all")
    assert pairs(form, [nothing, WRONG[0], blank]) == {"counterfactual": [APE]}


# --- losses ----------------------------------------------------------------------------------------------------------


@lru_cache
def student(kind: str) -> Student:
    if kind == "decoder":
        return student_of(llama(len(characters()), window=400), characters(), max_length=400)
    source = TinyEncoderDecoder("t5", 16, 32, 1, 2, max_length=400, max_new_tokens=16)
    return student_of(sharpened(source.network(3), 3, 0.3), characters(), max_length=400)


KINDS = ("decoder", "encoder-decoder")


def step_of(
    kind: str, form: Any, examples: Sequence[TrainingExample] | None = None, micro_batch_tokens: int = 10**6
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """(the terms' values, the gradient of their sum) of one optimiser step over all examples."""
    model = student(kind)
    model.network.zero_grad(set_to_none=True)
    rows = model.encoder.examples(form.examples([*ROWS, *many(4)], TASK, drawn) if examples is None else examples)
    values = losses(model, collate(rows, form.terms(), model.padding_id, micro_batch_tokens))
    return {name: value.detach() for name, value in values.items()}, gradient(
        model.network, torch.stack(list(values.values())).sum()
    )


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool(torch.allclose(one, other, rtol=1e-4, atol=1e-6 * (1 + float(other.abs().max()))))


def whole(alpha: float = 0.5, beta: float = 0.5, gamma: float = 0.5) -> MultitaskCounterfactual:
    return MultitaskCounterfactual(gamma, Multitask(alpha), CounterfactualFormat(beta))


@pytest.mark.parametrize("kind", KINDS)
def test_all_four_are_gamma_of_two_and_the_rest_of_the_others(kind: str) -> None:
    tasks, of_tasks = step_of(kind, Multitask(0.3))
    reasoning, of_reasoning = step_of(kind, CounterfactualFormat(0.8))
    for gamma in (0.0, 0.3, 1.0):
        values, found = step_of(kind, whole(0.3, 0.8, gamma))
        assert close(found, gamma * of_tasks + (1 - gamma) * of_reasoning)
        loss = gamma * sum(map(float, tasks.values())) + (1 - gamma) * sum(map(float, reasoning.values()))
        assert sum(map(float, values.values())) == pytest.approx(loss, rel=1e-5)
        assert set(values) == {"label", "rationale", "factual", "counterfactual"}
    assert not close(of_tasks, of_reasoning)


@pytest.mark.parametrize("kind", KINDS)
def test_at_its_ends_each_weight_leaves_one_task(kind: str) -> None:
    examples = whole().examples([*ROWS, *many(4)], TASK, drawn)
    for form, task in (
        (whole(alpha=1, gamma=1), "label"),
        (whole(alpha=0, gamma=1), "rationale"),
        (whole(beta=1, gamma=0), "factual"),
        (whole(beta=0, gamma=0), "counterfactual"),
    ):
        _, found = step_of(kind, form, examples)
        _, alone = step_of(kind, form, [example for example in examples if example.task == task])
        assert close(found, alone), task
        assert float(found.norm()) > 0.01, task


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_sum_is_twice_the_weighted_one(kind: str) -> None:
    values, found = step_of(kind, CounterfactualFormat(combine="sum"))
    halves, half = step_of(kind, CounterfactualFormat())
    assert close(found, 2 * half)
    assert {name: float(value) for name, value in values.items()} == pytest.approx(
        {name: 2 * float(value) for name, value in halves.items()}, rel=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("micro_batch_tokens", [1, 400, 10**6])
def test_two_tokens_weigh_as_much_as_sixty(kind: str, micro_batch_tokens: int) -> None:
    """Labels of a letter and EOS, rationales of 60 tokens: 0.5 mean(label) + 0.5 mean(rationale), in any cut."""
    rows = [
        Annotation(Question(f"q{i}", f"{i}+{i}?", ("a", "b")), "rationale", "teacher", chr(97 + i) * 59, "ab"[i % 2])
        for i in range(4)
    ]
    form, model = Multitask(answer_lead=""), student(kind)
    examples = form.examples(rows, TASK)
    encoded = model.encoder.examples(examples)
    assert {(row.example.task, len(row.target)) for row in encoded} == {("label", 2), ("rationale", 60)}
    values, found = step_of(kind, form, examples, micro_batch_tokens)
    parts = {}
    for task in ("label", "rationale"):
        alone = [example for example in examples if example.task == task]
        parts[task] = step_of(kind, Multitask(float(task == "label"), answer_lead=""), alone)
    assert close(found, 0.5 * parts["label"][1] + 0.5 * parts["rationale"][1])
    for task, (of_task, _) in parts.items():
        assert float(values[task]) == pytest.approx(0.5 * float(of_task[task]), rel=1e-5)
    if kind == "decoder":
        by_hand = slow_losses(model.network, encoded, form.terms())
        assert {name: float(value) for name, value in values.items()} == pytest.approx(
            {name: float(value.detach()) for name, value in by_hand.items()}, rel=1e-5
        )


@pytest.mark.parametrize("kind", KINDS)
def test_every_term_that_is_logged_is_differentiated(kind: str) -> None:
    model, form = student(kind), whole()
    rows = model.encoder.examples(form.examples([*ROWS, *many(4)], TASK, drawn))
    values = losses(model, collate(rows, form.terms(), model.padding_id, 10**6))
    single = {name: gradient(model.network, value) for name, value in losses_anew(model, form).items()}
    assert set(single) == set(values)
    assert all(float(found.norm()) > 0.01 for found in single.values())
    assert close(torch.stack(list(single.values())).sum(0), step_of(kind, form)[1])


def losses_anew(model: Student, form: Any) -> dict[str, torch.Tensor]:
    """Each term from a forward pass of its own."""
    rows = model.encoder.examples(form.examples([*ROWS, *many(4)], TASK, drawn))
    return {
        name: losses(model, collate(rows, {name: term}, model.padding_id, 10**6))[name]
        for name, term in form.terms().items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_of_scotts_reply_the_answer_alone_is_learnt(kind: str) -> None:
    """The given explanation moves the loss as context only: its tokens are no targets, and EOS is one."""
    model, form = student(kind), option("scott", distractor="first", beta=0.0)
    examples = [each for each in form.examples(ROWS, TASK, drawn) if each.task == "counterfactual"]
    [row] = model.encoder.examples(examples)
    batch = collate([row], form.terms(), model.padding_id, 10**6).micro_batches[0]
    scale = batch.scale["counterfactual"]
    learnt = batch.tokens[scale != 0].tolist()
    assert model.tokenizer.decode(learnt[:-1]).strip() == "ape"
    assert learnt[-1] == model.tokenizer.eos_token_id
    assert float(scale.sum()) == pytest.approx(1.0)
    values, _ = step_of(kind, form, examples)
    other = [replace(WRONG[0], rationale="ape:hot,big")]
    moved, _ = step_of(kind, form, form.examples(other, TASK, drawn))
    assert float(moved["counterfactual"]) != pytest.approx(float(values["counterfactual"]), rel=1e-4)


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CounterfactualFormat(beta=1.5), "beta=1.5 is not between 0"),
        (lambda: CounterfactualFormat(beta=0.3, combine="sum"), "combine=sum reads no beta, but beta=0.3"),
        (lambda: CounterfactualFormat(counterfactual_prefix="[factual] "), "are both '\\[factual\\] '"),
        (lambda: CounterfactualFormat(answer_marker=" "), "answer_marker is blank"),
        (lambda: Multitask(alpha=-0.1), "alpha=-0.1 is not between 0"),
        (lambda: Multitask(rationale_prefix="[predict] "), "are both '\\[predict\\] '"),
        (lambda: MultitaskCounterfactual(gamma=2), "gamma=2 is not between 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
