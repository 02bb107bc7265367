"""What a model is asked in the middle of an explanation, and how its answers become distributions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from benchmark.axes.format import RationaleThenAnswer
from benchmark.evaluation.early_answers import (
    Beginning,
    Way,
    answer_log_probabilities,
    beginnings,
    early_answers,
    early_distributions,
    without_each_step,
)
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.types import Question, Reply, Request

TASK, FORM = GeneratedAnswer(), RationaleThenAnswer()
OPEN, CLOSED = Question("open", "1+2+3"), Question("closed", "1+2+3", ("5", "6", "7"))


@dataclass
class Model:
    """Says what a function says, scores continuations by their number, and writes down what it is asked."""

    says: Callable[[Request, int], str] = lambda request, sample: "#6"
    asked: list[Request] = field(default_factory=list)
    calls: list[tuple[int, str]] = field(default_factory=list)
    """Per call its number of samples and its key."""

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        assert requests, "a call without requests"
        self.asked += requests
        self.calls.append((samples, key))
        return [[self._reply(request, sample) for sample in range(samples)] for request in requests]

    def _reply(self, request: Request, sample: int) -> Reply:
        if request.continuations:
            return Reply("", continuation_log_probabilities=tuple(-float(text) for text in request.continuations))
        return Reply(self.says(request, sample))


# --- parts of an explanation -----------------------------------------------------------------------------------------

EXPLANATIONS = ["1+2=3;3+3=6", "1+2=3.\nThen 3+3=6. So it is 6.", "1+2=3; ;\n3+3=6", "one step", "a;b;c;d;"]


@pytest.mark.parametrize("text", EXPLANATIONS)
def test_each_beginning_goes_one_step_further_and_is_text_of_the_explanation(text: str) -> None:
    parts, steps = beginnings(TASK, text), TASK.steps(text)
    assert len(parts) == len(steps)
    assert parts[0] == ""
    assert all(text.startswith(part) for part in parts)
    assert [longer.removeprefix(part) for part, longer in zip(parts, [*parts[1:], text], strict=True)] == steps


@pytest.mark.parametrize("text", EXPLANATIONS)
def test_each_step_is_left_out_once_and_no_separator_stands_alone(text: str) -> None:
    parts, steps = without_each_step(TASK, text), TASK.steps(text)
    assert len(parts) == len(steps)
    assert all(not part or part[0] not in "; \n" for part in parts)
    for i, part in enumerate(parts):
        assert part.endswith("".join(steps[i + 1 :]).lstrip("; \n"))
        assert part.startswith("".join(steps[:i]))
    assert without_each_step(TASK, "1+2=3;3+3=6;6+1=7") == ["3+3=6;6+1=7", "1+2=3;6+1=7", "1+2=3;3+3=6"]


def test_no_explanation_has_no_parts() -> None:
    assert beginnings(TASK, "") == without_each_step(TASK, "") == []


# --- greedy answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("way", "says"), [("finish", ";3+3=6#6"), ("now", "6")])
def test_the_answer_is_read_from_the_beginning_and_what_follows(way: Way, says: str) -> None:
    model = Model(lambda request, sample: says)
    part = Beginning(OPEN, "1+2=3")
    assert early_answers(model, FORM, TASK, [part], way) == {part: "6"}
    [request] = model.asked
    assert (request.prefix, request.temperature) == ("1+2=3#" if way == "now" else "1+2=3", 0.0)
    assert request.role == ("answer_given" if way == "now" else "rationale_and_answer")


def test_an_answer_whose_marker_stands_in_the_beginning_is_read() -> None:
    """The prefix belongs to the text that is read; without it, a forced answer would have no marker."""
    part = Beginning(OPEN, "1+2=3#6")
    assert early_answers(Model(lambda request, sample: ""), FORM, TASK, [part], "finish") == {part: "6"}


def test_equal_parts_are_asked_once_and_parts_of_other_questions_apart() -> None:
    model = Model()
    other = Question("other", OPEN.text)
    asked = [Beginning(OPEN, ""), Beginning(OPEN, "1+2=3"), Beginning(OPEN, ""), Beginning(other, "")]
    found = early_answers(model, FORM, TASK, asked, "finish")
    assert [(request.question_id, request.prefix) for request in model.asked] == [
        ("open", ""), ("open", "1+2=3"), ("other", ""),
    ]  # fmt: skip
    assert len(model.calls) == 1
    assert list(found) == [*dict.fromkeys(asked)]


def test_no_answer_is_none() -> None:
    asked = [Beginning(OPEN, "a"), Beginning(OPEN, "b")]
    model = Model(lambda request, sample: "#many" if request.prefix == "a" else "no marker 6")
    assert set(early_answers(model, FORM, TASK, asked, "finish").values()) == {None}


# --- distributions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["finish", "now"])
def test_shares_of_sampled_answers_add_up_to_1(way: Way) -> None:
    begin = "" if way == "now" else "#"
    model = Model(lambda request, sample: begin + ("6", "7", "6", "hm", "6")[sample])
    part = Beginning(OPEN, "1+2=3")
    [shares] = early_distributions(model, FORM, TASK, [part, part], way, samples=5, temperature=0.4).values()
    assert shares == pytest.approx({"6": 0.6, "7": 0.2, None: 0.2})
    assert [(request.temperature, request.continuations) for request in model.asked] == [(0.4, ())]
    assert [samples for samples, _ in model.calls] == [5]


def test_options_that_are_answered_at_once_are_scored_and_not_sampled() -> None:
    model = Model()
    parts = [Beginning(CLOSED, ""), Beginning(CLOSED, "1+2=3"), Beginning(CLOSED, "")]
    found = early_distributions(model, FORM, TASK, parts, "now")
    assert [request.continuations for request in model.asked] == [CLOSED.choices] * 2
    assert {request.prefix for request in model.asked} == {"#", "1+2=3#"}
    total = sum(math.exp(-number) for number in (5, 6, 7))
    for shares in found.values():
        assert sum(shares.values()) == pytest.approx(1)
        assert shares == pytest.approx({str(number): math.exp(-number) / total for number in (5, 6, 7)})


def test_options_that_may_be_reasoned_about_are_sampled() -> None:
    model = Model()
    [shares] = early_distributions(model, FORM, TASK, [Beginning(CLOSED, "")], "finish", samples=3).values()
    assert shares == pytest.approx({"6": 1.0})
    assert all(not request.continuations for request in model.asked)


def test_open_and_closed_questions_can_be_asked_together() -> None:
    model = Model(lambda request, sample: "6")
    asked = [Beginning(CLOSED, "x"), Beginning(OPEN, "x")]
    found = early_distributions(model, FORM, TASK, asked, "now", samples=2)
    assert set(found) == set(asked)
    assert found[asked[1]] == pytest.approx({"6": 1.0})
    assert set(found[asked[0]]) == {"5", "6", "7"}


def test_nothing_asked_is_nothing_found() -> None:
    """Also where a model must not be called without requests."""
    assert answer_log_probabilities(Model(), FORM, TASK, []) == []


def test_the_probability_of_one_answer_is_asked_where_the_answer_stands() -> None:
    model = Model()
    pairs = [(Beginning(OPEN, "1+2=3"), "6"), (Beginning(OPEN, ""), "7")]
    assert answer_log_probabilities(model, FORM, TASK, pairs) == [-6.0, -7.0]
    assert [(request.prefix, request.continuations) for request in model.asked] == [("1+2=3#", ("6",)), ("#", ("7",))]
