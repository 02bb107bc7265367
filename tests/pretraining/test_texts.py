"""What the base of `tiny_warm` learns: right solutions, no question of any split, and every format equally."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchmark.axes.format import AnswerOnly, RationaleThenAnswer
from benchmark.contract import Format, Task
from benchmark.pretraining.texts import FORMATS, KNOWN_THINGS, Text, Worked, draw, draw_sum, draw_trait
from benchmark.tasks import trait_choice
from benchmark.tasks.generated import GeneratedDataset
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.types import Annotation, Question
from methods.step_by_step import StepByStepFormat
from tests.cells import composed_cell

DRAWS = 20_000
CONF = Path(__file__).resolve().parents[2] / "conf"
TRAITS_TASK = MultipleChoice(heading="\n", item="{choice}", separator=",")


def sums(count: int) -> Iterator[Worked]:
    generator = random.Random(1)
    return (draw_sum(generator) for _ in range(count))


def traits(count: int) -> Iterator[Worked]:
    generator = random.Random(1)
    return (draw_trait(generator) for _ in range(count))


def generated_datasets() -> dict[str, GeneratedDataset]:
    names = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml"))
    datasets = {name: composed_cell((f"dataset={name}",)).dataset for name in names if _is_generated(name)}
    assert {"chain_sum", "chain_sum_long", "pair_search", "trait_choice"} <= set(datasets)
    return datasets


def _is_generated(name: str) -> bool:
    return "GeneratedDataset" in (CONF / "dataset" / f"{name}.yaml").read_text(encoding="utf-8")


# --- no question of any split ----------------------------------------------------------------------------------------


def test_no_split_of_a_generated_dataset_holds_a_question_of_the_base() -> None:
    asked = {worked.question for worked in (*sums(DRAWS), *traits(DRAWS))}
    assert len(asked) > DRAWS / 4
    for name, dataset in generated_datasets().items():

        def held(questions: Sequence[Question], task: Task = dataset.task) -> list[bool]:
            return [task.show(question) in asked for question in questions]

        splits = dataset.load()
        rows = [row.without_gold() for row in (*splits.pool, *splits.validation)]
        assert not sum(held(rows)) + splits.test.count(held), f"{name} asks what the base was trained on"


def test_no_chain_of_three_or_more_terms_begins_as_a_chain_sum_does() -> None:
    """So no other seed or size of a split can hold one: `chain_sum` writes one digit first, and three terms or more."""
    of_the_task = re.compile(r"\d([+-]\d){2,}")
    assert not [worked.question for worked in sums(DRAWS) if of_the_task.fullmatch(worked.question)]


def test_no_question_about_traits_has_two_traits_and_five_things() -> None:
    """So no other seed or size of a split can hold one: a trait choice has two traits and five things."""
    for worked in traits(DRAWS):
        asked, things = parts_of(worked)
        assert set(asked) <= set(trait_choice.TRAITS)
        assert set(things) <= set(KNOWN_THINGS)
        assert len(asked) == 1 or (len(asked) == 2 and len(things) < 5)
    assert len(KNOWN_THINGS) < len(trait_choice.THINGS)


def parts_of(worked: Worked) -> tuple[list[str], list[str]]:
    """(the traits that are asked for, the things)."""
    asked, _, things = worked.question.partition("?\n")
    return asked.split(","), things.split(",")


# --- right solutions -------------------------------------------------------------------------------------------------


def test_the_solution_of_a_sum_is_right_at_every_step() -> None:
    for worked in sums(2_000):
        steps = [step.split("=") for step in worked.rationale.split(";")]
        assert all(eval(left) == int(right) for left, right in steps)  # Python's own arithmetic
        assert eval(re.sub(r"(?<!\d)0+(?=\d)", "", worked.question)) == int(worked.answer) == int(steps[-1][1])


def test_exactly_one_thing_has_what_is_asked_for_and_it_is_the_answer() -> None:
    for worked in traits(2_000):
        asked, things = parts_of(worked)
        having = [thing for thing in things if set(asked) <= set(trait_choice.TRAITS_OF[thing])]
        assert having == [worked.answer]
        assert len(set(things)) == len(things) >= 2
        assert worked.rationale == trait_choice.solve(Question("q", f"{','.join(asked)}?", tuple(things)))[0]


# --- every format equally --------------------------------------------------------------------------------------------


def test_every_format_is_equally_frequent() -> None:
    generator = random.Random(2)
    texts = [draw(generator) for _ in range(DRAWS)]
    kinds = Counter(map(kind_of, texts))
    assert set(kinds) == set(FORMATS)
    for name, count in kinds.items():
        assert count / DRAWS == pytest.approx(1 / len(FORMATS), abs=0.015), name  # five standard errors


def kind_of(text: Text) -> str:
    reasons = any(mark in text.reply for mark in "=:")
    if text.prompt.startswith("predict: "):
        return "label of step by step"
    if text.prompt.startswith("explain: "):
        return "rationale of step by step"
    if not reasons:
        return "answer"
    rationale_first = any(mark in text.reply.partition("#")[0] for mark in "=:")
    return "rationale, then answer" if rationale_first else "answer, then rationale"


@pytest.mark.parametrize(
    ("format", "names"),
    [
        (AnswerOnly(), ["answer"]),
        (RationaleThenAnswer(), ["rationale, then answer"]),
        (StepByStepFormat(), ["label of step by step", "rationale of step by step"]),
    ],
    ids=["answer_only", "rationale_then_answer", "step_by_step"],
)
@pytest.mark.parametrize("task", [GeneratedAnswer(), TRAITS_TASK], ids=["sum", "trait"])
def test_the_texts_are_what_the_formats_train_on(format: Format, names: list[str], task: Task) -> None:
    worked = next(sums(1) if isinstance(task, GeneratedAnswer) else traits(1))
    text, _, things = worked.question.partition("\n")
    question = Question("q", text, tuple(things.split(",")) if things else None)
    annotation = Annotation(question, "rationale", "teacher", worked.rationale, worked.answer)
    expected = [(example.prompt, example.target_text) for example in format.examples([annotation], task)]
    made = [tuple(part.format(**vars(worked)) for part in FORMATS[name]) for name in names]
    assert made == expected
