"""How far explanations decide answers: closed forms on scripted students, calls counted, and a run of a cell."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from benchmark.axes.format import RationaleThenAnswer
from benchmark.contract import TextModel
from benchmark.errors import ConfigError
from benchmark.evaluation.faithfulness import faithfulness, other_choice, perturbed, with_names_swapped
from benchmark.planning.checks import check_without_trace
from benchmark.records.schema import Faithfulness
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.types import Prediction, Question, Reply, Request
from tests.corridor.corridor_parts import miniature

FORM, TASK = RationaleThenAnswer(), GeneratedAnswer()
TEXTS = ("1+1=2;2+3=5;5+9=14#14", "7+9=16;16-9=7;7-5=2#2", "4+4=8;8+3=11;11+8=19#19")
"""No result before the last one becomes the last one where it moves by 1 to 3."""
NUMBERS = re.compile("[0-9]+")


@dataclass
class Scripted:
    """Answers what the script says after the beginning of an explanation, and finds that answer certain."""

    now: Callable[[str], str]
    """The beginning -> the answer that is forced out of it."""
    finish: Callable[[Request], str]
    """The request -> the rest of the explanation and the answer."""
    believes: Callable[[str, str], float] | None = None
    """(beginning, answer) -> probability."""
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        return [[self._reply(request)] for request in requests]

    def _reply(self, request: Request) -> Reply:
        begun = request.prefix.removesuffix("#")
        if request.continuations:
            self.asked["scored", request.prefix] += 1
            [answer] = request.continuations
            likely = self.believes(begun, answer) if self.believes else float(self.now(begun) == answer)
            return Reply("", continuation_log_probabilities=(math.log(max(likely, 1e-30)),))
        self.asked[request.role, request.prefix] += 1
        return Reply(self.now(begun) if request.role == "answer_given" else self.finish(request))


def predictions(texts: Sequence[str]) -> list[Prediction]:
    return [
        Prediction(f"q{i}", "", text, FORM.read(text)[0], TASK.parse(question(i), FORM.read(text)[1]), "", True, None,
                   True, False, 1, 1)
        for i, text in enumerate(texts)
    ]  # fmt: skip


def question(number: int) -> Question:
    return Question(f"q{number}", "?")


def measured(model: Scripted, texts: Sequence[str] = TEXTS, **settings: Any) -> Faithfulness:
    questions = [question(i) for i in range(len(texts))]
    return faithfulness(cast(TextModel, model), FORM, TASK, questions, predictions(texts), **settings)


def rest(request: Request) -> str:
    """The rest of what the student wrote in the test."""
    return TEXTS[int(request.question_id[1:])].removeprefix(request.prefix)


def last_number(begun: str) -> str:
    return (NUMBERS.findall(begun) or ["0"])[-1]


def test_a_student_that_ignores_its_explanation_has_nothing_decided_by_it() -> None:
    """It knows the answer from the question, which scripted students see in the id alone."""
    model = Scripted(lambda begun: "9", lambda request: f"{request.prefix[-1:] or 'x'}#9")
    found = measured(model, ("1+1=2;2+3=5#9", "8+8=1#9"))
    assert (found.early_answer_change_now, found.early_answer_change_finish) == (0, 0)
    assert (found.true_thinking_score, found.steps_below_0_03) == (0, 1)
    assert (found.questions, found.steps, found.unread) == (2, 3, 0)


def test_a_student_that_reads_off_its_last_number_is_decided_by_its_explanation() -> None:
    found = measured(Scripted(last_number, rest))
    assert found.early_answer_change_now == 1  # no intermediate result is the last one
    assert found.early_answer_change_finish == 0  # it finishes as it did in the test
    # Only behind the last step the answer is read off, and another one as soon as that step is perturbed.
    assert found.true_thinking_score == pytest.approx(1 / 3)
    assert found.steps_below_0_03 == pytest.approx(2 / 3)


def test_the_true_thinking_score_is_the_formula() -> None:
    """P is 0.8 where all is intact, 0.5 where the last step is, 0.2 where earlier ones are, 0.1 where nothing is."""
    text = "1+1=2;2+3=5#5"
    whole = TASK.steps(FORM.read(text)[0])

    def believes(begun: str, answer: str) -> float:
        steps = TASK.steps(begun)
        earlier, last = steps[:-1] == whole[: len(steps) - 1], steps[-1] == whole[len(steps) - 1]
        return {(True, True): 0.8, (False, True): 0.5, (True, False): 0.2, (False, False): 0.1}[earlier, last]

    found = measured(Scripted(lambda begun: "5", rest, believes), (text,))
    first, second = 0.8 - 0.2, ((0.8 - 0.2) + (0.5 - 0.1)) / 2
    assert found.true_thinking_score == pytest.approx((first + second) / 2)
    assert found.steps_below_0_03 == 0


def test_a_step_without_a_number_is_dropped() -> None:
    model = Scripted(lambda begun: "1", lambda request: "#1")
    measured(model, ("first we think; then we add 1#1",))
    scored = {prefix for kind, prefix in model.asked if kind == "scored"}
    moved = perturbed("q0", 1, "; then we add 1")
    assert moved is not None
    whole = "first we think; then we add 1"
    texts = {"first we think", "", whole, f"first we think{moved}", "then we add 1", moved.removeprefix("; ")}
    assert scored == {f"{text}#" for text in texts}


@pytest.mark.parametrize("steps", [1, 2, 7, 14])
def test_work_grows_with_the_number_of_steps_and_nothing_is_asked_twice(steps: int) -> None:
    text = ";".join(f"{i}+1={i + 1}" for i in range(steps)) + f"#{steps}"
    model = Scripted(lambda begun: str(steps), lambda request: f"#{steps}")
    measured(model, (text,))
    assert set(model.asked.values()) == {1}
    by_kind = Counter(kind for kind, _ in model.asked)
    # Each step once stopped before, and once with a mistake in it.
    assert by_kind == {"answer_given": steps, "rationale_and_answer": 2 * steps, "scored": 4 * steps - 2}


def test_what_cannot_be_read_is_left_out_or_counted() -> None:
    texts = ("1+1=2", "1+1=2#two", "#5", "1+1=2#2")  # no answer, none that can be read, no step, and a whole one
    found = measured(Scripted(lambda begun: "I see", lambda request: "#2"), texts)
    assert (found.questions, found.steps, found.unread) == (1, 1, 1)
    assert (found.early_answer_change_now, found.early_answer_change_finish) == (1, 0)
    nothing = measured(Scripted(lambda begun: "1", lambda request: "#1"), texts[:3])
    assert (nothing.questions, nothing.steps) == (0, 0)
    assert {nothing.early_answer_change_now, nothing.true_thinking_score, nothing.steps_below_0_03} == {None}


def test_the_bar_moves_with_the_questions_and_the_cap_reaches_the_student() -> None:
    caps: set[int | None] = set()
    done: list[int] = []

    def finish(request: Request) -> str:
        caps.add(request.max_new_tokens)
        return "#9"

    measured(Scripted(lambda begun: "9", finish), TEXTS[:1] * 70, max_new_tokens=17, advance=done.append)
    assert done == [32, 32, 6]
    assert caps == {17}


def test_the_answer_is_scored_as_the_student_spells_it() -> None:
    heard: set[str] = set()

    def believes(begun: str, answer: str) -> float:
        heard.add(answer)
        return 0.5

    measured(Scripted(lambda begun: "9", lambda request: "#9", believes), ("5+4=9# $9.0",))
    assert heard == {" $9.0"}


# --- a student that reads its explanation, and one that does not -----------------------------------------------------

COLOURS = MultipleChoice()
CHOICES = ("red", "light blue", "green", "black")
EXPLAINED = ("The sky is light blue. 7 of 9 say so. So light blue it is.#light blue", "Grass is green. It grows.#green")
MEASURES = (
    "early_answer_change_now",
    "early_answer_change_finish",
    "true_thinking_score",
    "mistake_change",
    "answer_follows_swap",
)


def first_colour(text: str) -> str:
    """The colour that a text names first; the first choice if it names none."""
    named = [(found.start(), choice) for choice in CHOICES if (found := re.search(rf"\b{choice}\b", text))]
    return min(named)[1] if named else CHOICES[0]


class Indifferent(Scripted):
    """Gives the answer that it gave in the test, whatever explanation it is given."""

    def _reply(self, request: Request) -> Reply:
        own = FORM.read(EXPLAINED[int(request.question_id[1:])])[1]
        if request.continuations:
            return Reply("", continuation_log_probabilities=(0.0 if request.continuations == (own,) else -70.0,))
        return Reply(own if request.role == "answer_given" else f"#{own}")


def of_colours(model: Scripted) -> Faithfulness:
    questions = [Question(f"q{i}", "Which colour?", CHOICES) for i in range(len(EXPLAINED))]
    answers = [COLOURS.parse(each, FORM.read(text)[1]) for each, text in zip(questions, EXPLAINED, strict=True)]
    asked = [replace(each, answer=answer) for each, answer in zip(predictions(EXPLAINED), answers, strict=True)]
    return faithfulness(cast(TextModel, model), FORM, COLOURS, questions, asked)


def test_every_measure_tells_a_student_that_reads_its_explanation_from_one_that_does_not() -> None:
    reads = of_colours(Scripted(first_colour, lambda request: f"#{first_colour(request.prefix)}"))
    ignores = of_colours(Indifferent(first_colour, lambda request: ""))
    assert (reads.questions, ignores.questions, reads.swapped, ignores.swapped) == (2, 2, 2, 2)
    for name in MEASURES:
        assert getattr(ignores, name) == 0, name
        assert getattr(reads, name) > 0.15, name
    assert ignores.steps_below_0_03 == 1
    # The first step alone names the colour first: it decides, and the others are decoration.
    assert reads.answer_follows_swap == 1
    assert reads.mistake_change == pytest.approx((1 / 3 + 1) / 2)
    assert reads.early_answer_change_now == pytest.approx((1 / 3 + 1 / 2) / 2)


@pytest.mark.parametrize(
    ("text", "one", "other", "swapped"),
    [
        ("An ape, not a fan: Ape.", "ape", "fan", "An fan, not a ape: fan."),
        ("no apes here", "ape", "fan", None),
        ("the fan alone", "ape", "fan", None),
        ("light blue and blue", "light blue", "blue", "blue and light blue"),
    ],
)
def test_names_change_places_as_whole_words(text: str, one: str, other: str, swapped: str | None) -> None:
    assert with_names_swapped(text, one, other) == swapped


def test_the_other_choice_is_drawn_once_per_question_and_is_never_the_answer() -> None:
    questions = [Question(f"q{i}", "?", CHOICES) for i in range(80)]
    drawn = [other_choice(question, "green") for question in questions]
    assert drawn == [other_choice(question, "green") for question in questions]
    assert set(drawn) == set(CHOICES) - {"green"}
    assert other_choice(Question("q", "?"), "green") is None
    assert other_choice(questions[0], "purple") is None


def test_a_mistake_moves_numbers_and_else_swaps_the_answer() -> None:
    seen: set[str] = set()

    def finish(request: Request) -> str:
        seen.add(request.prefix)
        return f"#{first_colour(request.prefix)}"

    of_colours(Scripted(first_colour, finish))
    other = other_choice(Question("q0", "", CHOICES), "light blue")
    moved = perturbed("q0", 1, " 7 of 9 say so.")
    assert {
        f"The sky is {other}.",
        f"The sky is light blue.{moved}",
        f"The sky is light blue. 7 of 9 say so. So {other} it is.",
    } <= seen


# --- perturbed steps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_each_number_moves_by_one_to_three_and_stays_at_or_above_zero(seed: int) -> None:
    step = "; 0+12=12, 7 of 345"
    moved = perturbed(f"q{seed}", seed, step)
    assert moved is not None
    assert moved == perturbed(f"q{seed}", seed, step)
    distances = [int(b) - int(a) for a, b in zip(NUMBERS.findall(step), NUMBERS.findall(moved), strict=True)]
    assert all(1 <= abs(distance) <= 3 for distance in distances)
    assert distances[0] > 0
    assert NUMBERS.sub("_", moved) == NUMBERS.sub("_", step)


def test_all_moves_occur_and_differ_by_question_and_step() -> None:
    moves = Counter(int(perturbed(f"q{i}", j, "x=50")[2:]) - 50 for i in range(60) for j in range(10))  # type: ignore[index]
    assert set(moves) == {-3, -2, -1, 1, 2, 3}
    assert min(moves.values()) > 60  # of 100 expected


def test_numbers_with_points_and_commas_move_as_one() -> None:
    for i in range(30):
        found = re.fullmatch(r"([0-9]+)\.25 and 1,(20[0-9]|19[0-9])", str(perturbed(f"q{i}", 0, "9.25 and 1,200")))
        assert found is not None
        assert 1 <= abs(int(found[1]) - 9) <= 3
        assert 1 <= abs(int(found[2]) - 200) <= 3
    assert perturbed("q", 0, "no number") is None


# --- in a cell -------------------------------------------------------------------------------------------------------

SHORT = ("dataset.pool_size=40", "dataset.validation_size=2", "dataset.test_size=6", "budget.questions=40",
         "optimization.max_steps=40", "optimization.batch_size=8", "trainer.save_student=false")  # fmt: skip


def test_a_run_measures_after_the_test_and_changes_nothing_else(command: Callable[..., Any], results: Any) -> None:
    for wanted in (0, 4):
        done = command("student=tiny_warm", *SHORT, f"evaluation.faithfulness_questions={wanted}")
        assert done.status == 0, done.err
    plain, measured = sorted(results.records(), key=lambda record: "faithfulness" in record["test"][0])
    assert "faithfulness" not in plain["test"][0]
    found = Faithfulness.model_validate(measured["test"][0]["faithfulness"])
    assert 1 <= found.questions <= 4
    assert found.early_answer_change_now is not None
    assert found.true_thinking_score is not None
    assert found.true_thinking_score > 0
    for same in ("value", "outcomes", "completion_tokens_per_answer"):
        assert plain["test"][0][same] == measured["test"][0][same]
    assert plain["rounds"][0]["computed"] == measured["rounds"][0]["computed"]
    own = {name: count for name, count in measured["counters"].items() if not name.endswith("/faithfulness")}
    assert own == plain["counters"]
    texts = [results.table(record["cell_id"])["text"] for record in (plain, measured)]
    assert list(texts[0]) == list(texts[1])


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (
            ("method=answer_only",),
            "asks the student in the role answer_given, rationale_and_answer, which format AnswerOnly does not have; "
            "choose format=rationale_then_answer, or give evaluation.faithfulness_questions=0",
        ),
        (
            ("method=multitask_counterfactual", "dataset=trait_choice"),
            "measures explanations that lead to an answer, and in format MultitaskCounterfactual the answer is asked",
        ),
        (
            ("dataset=trait_choice", "evaluation.option_likelihood=total"),
            "evaluation.option_likelihood=total reads none",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_in_the_plan(overrides: Sequence[str], reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)):
        check_without_trace(miniature(*overrides, "evaluation.faithfulness_questions=4"))
    check_without_trace(miniature("evaluation.faithfulness_questions=4"))


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="faithfulness_questions=-1 must be at least 1, or 0"):
        miniature("evaluation.faithfulness_questions=-1")
