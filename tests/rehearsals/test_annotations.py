"""Every annotation on disk through the corridor with a scripted teacher: what is asked, booked, kept and trained on."""

from __future__ import annotations

import asyncio
import itertools
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.app import CONF
from benchmark.cell.cell import Cell
from benchmark.cell.context import CellContext
from benchmark.conformance import miniature as contract
from benchmark.conformance.miniature import QUESTIONS
from benchmark.contract import AskModels
from benchmark.errors import ConfigError, LeakError
from benchmark.planning.checks import check
from benchmark.teachers.prompts import prompt_library_for
from benchmark.types import Pick, Reply, Request, Round
from tests.cells import composed_cell
from tests.corridor.corridor_parts import Ran
from tests.rehearsals.peer_review import Committee
from tests.rehearsals.scripted import Fate, ScriptedTeacher, assert_same, calls_of, live_through, miniature, run

OPTIONS = sorted(path.stem for path in (CONF / "annotation").glob("*.yaml"))
TRAITS = ("dataset=trait_choice", "dataset.pool_size=16", "dataset.validation_size=2", "dataset.test_size=2")
SMALL = ("budget.questions=4",)
WITHOUT_TEACHER = ("human_labels", "human_rationales")
OF_PROBABILITIES = ("contrastive_decoding", "contrastive_decoding_and_counterfactual")
"""They need a model in this process; its tests buy them."""
OF_THE_STUDENTS_TEXTS = ("stepwise_revision", "patch_and_continue", "single_call_revision", "rejection_sampling")
"""What they buy depends on what the student wrote; the tests of their methods buy them."""
CALLS = {
    "few_shot_cot": 1,
    "few_shot_cot_and_human_labels": 1,
    "rationalise": 1,
    "self_consistent_cot": 8,
    "critique_revision": 3,
    "counterfactual": 5,
    "critique_revision_and_counterfactual": 7,
}
"""What a question costs where every reply can be read."""


def test_every_annotation_is_bought_here_or_somewhere_else() -> None:
    assert {*CALLS, *WITHOUT_TEACHER, *OF_PROBABILITIES, *OF_THE_STUDENTS_TEXTS} == set(OPTIONS)


def says(request: Request, sample: int) -> str:
    """A reply of one's own to every request, with an answer that can be read where one is asked for."""
    words = f"{request.role} {zlib.crc32((request.prompt + request.prefix).encode())} {sample}"
    if request.role != "few_shot_cot":
        return f"{words}\nA second line."
    choices = request.prompt.rpartition("Q: ")[2].split("\n")[1].split(",")
    return f"{words} The answer is {choices[min(sample, 1)]}."


def cell_of(option: str, teacher: ScriptedTeacher, *overrides: str) -> Cell:
    return miniature(*TRAITS, *SMALL, f"annotation={option}", *overrides, teacher=teacher)


def life(option: str, *overrides: str) -> Callable[[Path, Fate], Ran]:
    return lambda folder, fate: run(cell_of(option, ScriptedTeacher("teacher", says, fate=fate), *overrides), folder)


@pytest.fixture(scope="module", params=[option for option in OPTIONS if option in CALLS])
def bought(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, ScriptedTeacher, Ran]:
    teacher = ScriptedTeacher("teacher", says)
    cell = cell_of(request.param, teacher)
    check(cell)
    return request.param, teacher, run(cell, tmp_path_factory.mktemp(request.param))


def test_the_ledger_is_what_the_teacher_counted(bought: tuple[str, ScriptedTeacher, Ran]) -> None:
    option, teacher, ran = bought
    charged = ran.result["rounds"][-1]["charged"]["teacher"]
    assert charged["calls"] == teacher.books.answered.calls == 4 * CALLS[option]
    assert charged["prompt_tokens"] == teacher.books.answered.prompt_tokens
    assert charged["completion_tokens"] == teacher.books.answered.completion_tokens
    assert charged["usd"] == pytest.approx(teacher.books.answered.usd)


def test_no_reply_is_dropped_and_every_annotation_is_one_of_its_kind(bought: tuple[str, ScriptedTeacher, Ran]) -> None:
    option, teacher, ran = bought
    annotations = ran.cell_run.state.annotations
    assert len({row.id for row in annotations}) == len(annotations)
    assert {row.kind for row in annotations} == ran.cell_run.cell.method.annotation.kinds
    kept = {(exchange.request, exchange.reply.text) for row in annotations for exchange in row.exchanges}
    assert len(kept) == 4 * CALLS[option]
    assert {request for request, _ in kept} == set(teacher.books.asked)


def test_the_student_learns_from_rationales(bought: tuple[str, ScriptedTeacher, Ran]) -> None:
    option, _, ran = bought
    method, annotations = ran.cell_run.cell.method, ran.cell_run.state.annotations
    examples = method.format.examples(annotations, ran.cell_run.cell.dataset.task)
    taught = {row.id: row for row in annotations if row.kind == "rationale"}
    assert len(examples) == 4
    gold = {row.id: row.answer for row in ran.cell_run.splits.pool}
    for example in examples:
        row = taught[example.annotations[0]]
        assert example.target_text == f"{row.rationale}#{row.answer}"
        assert "second line" not in example.target_text or option == "rationalise"
        if method.annotation.requires().gold and option != "few_shot_cot_and_human_labels":
            assert row.answer == gold[row.question.id]
        if option.startswith("critique_revision"):
            assert row.rationale is not None
            assert row.rationale.startswith("revise ")
    assert ran.result["uses_gold"] == method.requires().gold


@pytest.mark.parametrize("option", ["self_consistent_cot", "critique_revision_and_counterfactual"])
def test_a_death_in_any_call_costs_no_call_twice_in_the_books(option: str, tmp_path: Path) -> None:
    whole, calls = calls_of(life(option), tmp_path / "whole")
    for number in (1, calls // 2, calls):
        again, deaths = live_through(life(option), tmp_path / str(number), Fate(number))
        assert deaths == 1
        assert_same(again, whole)


# --- gold ------------------------------------------------------------------------------------------------------------


def prompts_of(cell: Cell, gold: Mapping[str, str], declared: bool, **seeds: int) -> list[Request]:
    """What the annotation of a cell asks about its pool, with those gold answers."""
    rows = {row.id: replace(row, answer=gold[row.id], rationale="by heart") for row in cell.dataset.load().pool}
    asked: list[Request] = []
    of_cell = CellContext(
        dataset=cell.dataset,
        format=cell.method.format,
        student=None,  # type: ignore[arg-type]
        local_assistant=None,
        teachers=("teacher",),
        loss_settings={},
        prompts=prompt_library_for(cell.method.parts),
        seed=seeds.get("seed", 1),
        data_seed=seeds.get("data_seed", 0),
        round=Round(0, 1.0),
        history=(),
        gold_rows=rows,
        gold_axes=frozenset({"annotation"} if declared else ()),
    )
    context = of_cell.for_axis("annotation")

    async def hear(who: str, request: Request, samples: int = 1) -> list[Reply]:
        asked.append(request)
        return [Reply("Hm. The answer is ape.")] * samples

    async def all_of_them(ask: AskModels) -> None:
        for row in rows.values():
            await cell.method.annotation.annotate(Pick(row.without_gold()), context, ask)

    asyncio.run(all_of_them(hear))
    return asked


@pytest.mark.parametrize("option", OPTIONS)
def test_gold_reaches_a_prompt_only_where_it_is_declared(option: str) -> None:
    cell = cell_of(option, ScriptedTeacher("teacher", says))
    pool = cell.dataset.load().pool
    right = {row.id: row.answer for row in pool}
    wrong = {row.id: next(choice for choice in row.choices or () if choice != row.answer) for row in pool}
    if not cell.method.annotation.requires().gold:
        assert prompts_of(cell, right, declared=False) == prompts_of(cell, wrong, declared=False)
        return
    with pytest.raises(LeakError, match="annotation"):
        prompts_of(cell, right, declared=False)
    told, lied = (prompts_of(cell, gold, declared=True) for gold in (right, wrong))
    unseen = (*WITHOUT_TEACHER, "few_shot_cot_and_human_labels", "counterfactual", "rejection_sampling")
    assert (told != lied) == (option not in unseen)  # rejection sampling checks replies with it
    if option == "counterfactual":  # all choices are argued for, whichever is right
        assert told == lied


@pytest.mark.parametrize("option", OPTIONS)
def test_all_seeds_are_asked_for_the_same_prompts(option: str) -> None:
    cell = cell_of(option, ScriptedTeacher("teacher", says))
    gold = {row.id: row.answer for row in cell.dataset.load().pool}
    plain, *others = (prompts_of(cell, gold, True, seed=seed) for seed in range(1, 7))
    assert all(other == plain for other in others)
    draws = "critique" in option or option in ("counterfactual", *OF_PROBABILITIES)
    assert (prompts_of(cell, gold, True, data_seed=1) != plain) == draws


# --- who is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["critique_revision", "counterfactual", "critique_revision_and_counterfactual"])
def test_questions_without_choices_are_refused(option: str) -> None:
    cell = miniature(*SMALL, f"annotation={option}", teacher=ScriptedTeacher("teacher", says))
    with pytest.raises(ConfigError, match="it works for multiple-choice questions only"):
        check(cell)


def test_the_simulated_teacher_plays_the_roles_that_judge_and_argue_and_no_others() -> None:
    for option in ("rationalise", "self_consistent_cot", "critique_revision", "counterfactual"):
        check(miniature(*TRAITS, *SMALL, f"annotation={option}"))
    with pytest.raises(ConfigError, match="in the role feedback, review; teacher=simulated cannot answer"):
        check(miniature(*TRAITS, *SMALL, annotation=Committee()))


# --- a dataset of the data folder ------------------------------------------------------------------------------------


def test_critique_revision_runs_on_commonsense_qa(tmp_path: Path) -> None:
    things = ("pond", "attic", "oven", "harbour", "tent", "cellar")
    sets = list(itertools.combinations(things, 5))
    for split, count in (("train", 24), ("validation", 2)):
        path = tmp_path / "cqa" / f"{split}.jsonl"
        path.parent.mkdir(exist_ok=True)
        rows = [
            {
                "id": f"x-pool-{split}-{i}" if split == "train" else f"{split}-{i}",
                "question": f"Where is {split} number {i}?",
                "choices": list(sets[i % 6]),
                "answer": sets[i % 6][i % 5],
                "rationale": None,
            }
            for i in range(count)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    teacher = ScriptedTeacher("teacher", says)
    data = ("dataset=commonsense_qa", f"data_dir={tmp_path}", "student.max_length=512")
    cell = replace(composed_cell((*data, *contract.SMALL, "annotation=critique_revision")), teacher=teacher)
    check(cell)
    ran = run(cell, tmp_path / "results")
    assert teacher.books.answered.calls == 3 * QUESTIONS
    kinds = sorted(row["kind"] for row in ran.table("annotations"))
    assert kinds == ["rationale"] * QUESTIONS + ["unrevised"] * QUESTIONS
