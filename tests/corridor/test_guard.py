"""Plug-ins that read gold answers or test questions by a way of their own fail their cell, with one line."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.axes.annotation import FewShotCot
from benchmark.errors import LeakError
from benchmark.run_cell import Outcome, run_cell
from benchmark.tasks import guard
from benchmark.tasks.dataset import TestSplit
from benchmark.tasks.guard import gold_closed, gold_opened
from benchmark.types import Example
from tests.cells import Silent
from tests.corridor import cheats
from tests.corridor.corridor_parts import Killed, miniature

HOW = "return Requirements(gold=True) from its requires() and read context.gold(question), so that tables can show it"
TEST = "which no part may and none can declare; for gold answers of the pool"


def recorded(folder: Path, **parts: Any) -> tuple[Outcome, dict[str, Any]]:
    """Runs a whole cell as the command line does, and reads its record."""
    outcome = run_cell(replace(miniature(**parts), results_dir=str(folder)), Silent())
    return outcome, json.loads((folder / outcome.cell_id / "record.json").read_text())


def refusal_of(folder: Path, axis: str, cheat: cheats.Cheat, **settings: Any) -> str:
    """The one line of a cell that failed because its part on that axis cheats."""
    outcome, record = recorded(folder, **{axis: cheats.PARTS[axis](cheat=cheat, **settings)})
    assert (outcome.status, record["status"]) == ("failed", "failed")
    assert "test" not in record
    assert outcome.message == record["error"]
    assert len(record["error"].splitlines()) == 1
    line: str = record["error"]
    return line.removeprefix("LeakError: ")


# --- the three cheats ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", ["selection", "annotation", "weighting", "curriculum"])
def test_the_cheat_that_reads_gold_through_the_context_fails(tmp_path: Path, axis: str) -> None:
    line = refusal_of(tmp_path, axis, cheats.gold_through_the_context)
    assert line == f"the {axis} part reached for context.gold_rows, which no part sees; {HOW}"


@pytest.mark.parametrize(
    ("cheat", "did"),
    [
        (cheats.gold_through_the_contexts_dataset, "reached for context.dataset, which no part sees"),
        (cheats.gold_through_loading, "loaded the rows of a dataset, gold answers included, without declaring it"),
        (cheats.gold_through_solving, "solved a question of chain_sum without declaring it"),
        (cheats.gold_through_the_generator, "solved a question without declaring it"),
        (cheats.gold_through_checking, "had the steps of a rationale about chain_sum checked without declaring it"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_cheat_that_reads_gold_through_a_dataset_fails(tmp_path: Path, cheat: cheats.Cheat, did: str) -> None:
    assert refusal_of(tmp_path, "selection", cheat) == f"the selection part {did}; {HOW}"


@pytest.mark.parametrize("declared", [False, True])
def test_the_cheat_that_unseals_a_test_split_fails_whatever_it_declared(tmp_path: Path, declared: bool) -> None:
    line = refusal_of(tmp_path, "selection", cheats.unsealed_test, declared=declared)
    assert line == f"the selection part broke the seal of a test split, {TEST} {HOW}"


# --- no part, and no way around --------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", cheats.PARTS)
def test_no_part_of_a_method_reaches_a_dataset(tmp_path: Path, axis: str) -> None:
    line = refusal_of(tmp_path, axis, cheats.gold_through_loading)
    assert line.startswith(f"the {axis} part loaded the rows of a dataset, gold answers included, without declaring it")


@pytest.mark.parametrize("axis", cheats.PARTS)
def test_a_part_that_catches_its_refusal_fails_all_the_same(tmp_path: Path, axis: str) -> None:
    line = refusal_of(tmp_path, axis, cheats.gold_without_a_word)
    assert line.startswith(f"the {axis} part loaded the rows of a dataset")


def test_undeclared_gold_whose_refusal_is_caught_fails_the_cell_too(tmp_path: Path) -> None:
    line = refusal_of(tmp_path, "weighting", cheats.gold_of_a_question_without_a_word)
    assert line == f"the weighting part read the gold answer of 'chain_sum/1+2' without declaring it; {HOW}"


def test_a_thread_of_a_part_is_closed_too(tmp_path: Path) -> None:
    assert refusal_of(tmp_path, "curriculum", cheats.gold_in_a_thread).startswith("the curriculum part loaded the rows")


def test_a_part_sees_no_test_question_by_counting(tmp_path: Path) -> None:
    line = refusal_of(tmp_path, "selection", cheats.counted_test, declared=True)
    assert line.startswith("the selection part looked at the questions of a test split, which no part may")


def test_a_question_whose_annotator_cheated_is_not_kept_for_the_next_attempt(tmp_path: Path) -> None:
    """Else the same command would go on from what the cheat wrote."""
    for _ in range(2):
        refusal_of(tmp_path, "annotation", cheats.gold_without_a_word)
    assert not list(tmp_path.glob(".journals/*/round-0/bought*"))


# --- what is still given ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [cheats.gold_through_loading, cheats.gold_through_solving])
def test_a_part_that_declares_gold_gets_it_and_the_record_says_so(tmp_path: Path, way: cheats.Cheat) -> None:
    _, record = recorded(tmp_path, selection=cheats.CheatingSelection(cheat=way, declared=True))
    assert (record["error"], record["uses_gold"]) == (None, True)


def test_the_declaration_of_one_part_opens_nothing_to_another(tmp_path: Path) -> None:
    _, record = recorded(
        tmp_path,
        selection=cheats.CheatingSelection(cheat=lambda context: None, declared=True),
        weighting=cheats.CheatingWeighting(cheat=cheats.gold_through_loading),
    )
    assert record["error"].startswith("LeakError: the weighting part loaded the rows of a dataset")


def test_a_simulated_teacher_solves_its_questions_while_gold_is_closed(tmp_path: Path) -> None:
    """The cell of a part that does not cheat: the teacher's replies are right, and nothing was declared."""
    _, record = recorded(tmp_path, annotation=FewShotCot())
    assert (record["error"], record["uses_gold"], record["status"]) == (None, False, "complete")


# --- the guard itself ------------------------------------------------------------------------------------------------


def test_gold_is_open_where_no_cell_runs() -> None:
    assert cheats.COPY.load().pool
    assert cheats.COPY.solve(cheats.QUESTION) == ("1+2=3", "3")


def test_gold_opened_ends_with_its_block_and_reaches_no_other_thread() -> None:
    with suppress(LeakError), gold_closed("selection", declares_gold=False):
        with gold_opened():
            assert cheats.COPY.solve(cheats.QUESTION)[1] == "3"
            with ThreadPoolExecutor(1) as threads, pytest.raises(LeakError):
                threads.submit(cheats.COPY.solve, cheats.QUESTION).result()
        with pytest.raises(LeakError):
            cheats.COPY.solve(cheats.QUESTION)


def test_what_a_teacher_opens_is_not_open_to_a_part_that_runs_meanwhile() -> None:
    """Two tasks of one loop take turns: the teacher's stays open, the part's stays closed."""
    seen: list[Any] = []

    async def teacher(turn: asyncio.Event, done: asyncio.Event) -> None:
        with gold_opened():
            turn.set()
            await done.wait()
            seen.append(cheats.COPY.solve(cheats.QUESTION)[1])

    async def part(turn: asyncio.Event, done: asyncio.Event) -> None:
        await turn.wait()
        with pytest.raises(LeakError):
            cheats.COPY.solve(cheats.QUESTION)
        done.set()

    async def both() -> None:
        events = asyncio.Event(), asyncio.Event()
        await asyncio.gather(teacher(*events), part(*events))

    with pytest.raises(LeakError, match="the annotation part solved"), gold_closed("annotation", declares_gold=False):
        asyncio.run(both())
    assert seen == ["3"]


def test_a_refusal_is_raised_in_place_of_what_the_part_made_of_it() -> None:
    def disguised() -> None:
        try:
            cheats.COPY.load()
        except LeakError:
            raise ZeroDivisionError from None

    with pytest.raises(LeakError, match="loaded the rows"), gold_closed("format", declares_gold=False):
        disguised()


def test_a_death_stays_a_death() -> None:
    def dying() -> None:
        cheats.gold_without_a_word(None)
        raise Killed

    with pytest.raises(Killed), gold_closed("format", declares_gold=False):
        dying()
    assert guard._closed == []


def test_a_seal_is_broken_once() -> None:
    split = TestSplit([Example("t", "1+1", "2")])
    split.unseal()
    with pytest.raises(LeakError, match="broken twice"):
        split.unseal()
    assert len(split.open()) == 1
