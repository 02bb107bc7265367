"""A scripted judge compares two cells: who wins, what is counted, booked, kept and printed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmark.records.schema import CONSTRUCTS
from benchmark.records.schema import CONSTRUCTS as HANDED_ON
from benchmark.teachers.teacher import Price
from benchmark.types import Usage
from tests.judging import scripted_judge
from tests.judging.conftest import Judged

LONG = [f"The {number} traits that are asked for are all there, and no other animal has them." for number in range(4)]
SHORT = [f"It is number {number}." for number in range(4)]
ASKS = 2 * len(CONSTRUCTS) * len(LONG)


def shares(judged: Judged, says: str, first: Sequence[str] = LONG, second: Sequence[str] = SHORT) -> dict[str, str]:
    judged.explain(first, second)
    return judged.judge(says=says).row("all")


def test_a_judge_that_always_says_a_wins_nobody_anything(judged: Judged) -> None:
    row = shares(judged, "a")
    assert (row["first wins"], row["second wins"], row["ties"], row["unread"]) == ("0", "0", "0", "0")
    assert row["by position"] == str(5 * len(LONG))
    assert (row["win rate of first %"], row["orders agree %"]) == ("50.0", "0.0")


def test_a_judge_of_length_prefers_the_longer_one_in_both_places(judged: Judged) -> None:
    row = shares(judged, "longer")
    assert (row["first wins"], row["second wins"]) == (str(5 * len(LONG)), "0")
    assert (row["win rate of first %"], row["orders agree %"]) == ("100.0", "100.0")
    assert row["95 %"] == "51.0 to 100.0"  # Wilson's interval of 4 of 4


def test_the_longer_one_wins_as_the_second_cell_too(judged: Judged) -> None:
    row = shares(judged, "longer", SHORT, LONG)
    assert (row["first wins"], row["second wins"], row["win rate of first %"]) == ("0", str(5 * len(LONG)), "0.0")


def test_ties_are_told_apart_from_positions(judged: Judged) -> None:
    row = shares(judged, "tie")
    assert (row["ties"], row["by position"], row["orders agree %"]) == (str(5 * len(LONG)), "0", "100.0")


def test_a_tie_in_one_order_is_a_tie_without_agreement(judged: Judged) -> None:
    row = shares(judged, "a_or_tie")
    assert (row["ties"], row["by position"], row["orders agree %"]) == (str(5 * len(LONG)), "0", "0.0")


def test_every_construct_has_a_row_and_only_those_that_are_wanted(judged: Judged) -> None:
    judged.explain(LONG, SHORT)
    said = judged.judge()
    for construct in CONSTRUCTS:
        assert said.row(construct)["first wins"] == str(len(LONG))
    said = judged.judge("constructs=contrastiveness,plausibility")
    assert [line.split()[1] for line in said.table.splitlines()[2:5]] == ["plausibility", "contrastiveness", "all"]
    assert len(scripted_judge.ASKED) == 0  # the first command bought them
    assert len(judged.files()) == 2


# --- replies without a verdict ---------------------------------------------------------------------------------------


def test_a_reply_without_a_verdict_is_asked_once_more(judged: Judged) -> None:
    row = shares(judged, "mumbles_once")
    assert (row["first wins"], row["unread"]) == (str(5 * len(LONG)), "0")
    assert len(scripted_judge.ASKED) == 2 * ASKS
    for each in judged.rows():
        assert each["unread_reply"] == "Let me think."
        assert scripted_judge.INSISTS in each["prompt"]


def test_what_is_unread_twice_is_left_out_of_the_rate(judged: Judged) -> None:
    judged.explain(LONG, SHORT)
    said = judged.judge(says="mumbles")
    row = said.row("all")
    assert (row["unread"], row["win rate of first %"], row["95 %"], row["orders agree %"]) == ("20", "-", "-", "-")
    assert len(scripted_judge.ASKED) == 2 * ASKS
    assert f"without a verdict though asked twice, and left out: {ASKS}; one" in said.table
    assert "'Both are fine in their way.'" in said.table


# --- what is asked ---------------------------------------------------------------------------------------------------


def test_a_prompt_shows_question_choices_answers_and_explanations_and_no_method(judged: Judged) -> None:
    judged.explain(LONG, SHORT, ("ape", None))
    judged.judge("constructs=completeness", "questions=1")
    one, other = (each.prompt for each in scripted_judge.ASKED)
    assert scripted_judge.shown(one) == {"A": LONG[0], "B": SHORT[0]}
    assert scripted_judge.shown(other) == {"A": SHORT[0], "B": LONG[0]}
    for prompt in (one, other):
        assert "Answer: ape\n" in prompt
        assert "Answer: (none)\n" in prompt
        assert CONSTRUCTS["completeness"] in prompt
        assert re.search(r"^Question: \S+\?\n\w+(,\w+)+\n\n", prompt, re.MULTILINE)  # the question with its choices
        assert not any(word in prompt for word in ("answer_only", "rationale", "tiny", "cell", "method"))


def test_several_requests_are_in_flight_and_never_more_than_the_judge_takes(judged: Judged) -> None:
    judged.explain(LONG, SHORT)
    judged.judge()
    assert max(scripted_judge.IN_FLIGHT) == 4


def test_the_same_answer_and_explanation_are_a_tie_and_cost_nothing(judged: Judged) -> None:
    judged.explain([*LONG[:3], "Just so."], [*SHORT[:3], "Just so."], ("ape", "ape"))
    said = judged.judge("constructs=satisfaction")
    row = said.row("satisfaction")
    assert (row["first wins"], row["ties"], row["orders agree %"]) == ("3", "1", "100.0")
    assert row["win rate of first %"] == "87.5"
    assert len(scripted_judge.ASKED) == 6
    assert "in both, so ties, unasked: 1\n" in said.table
    assert [each["prompt"] for each in judged.rows()[-2:]] == [None, None]


def test_cells_that_say_the_same_throughout_need_no_judge(judged: Judged) -> None:
    judged.explain(LONG, LONG, ("ape", "ape"))
    assert judged.judge().row("all")["ties"] == "20"
    assert scripted_judge.ASKED == []


# --- books, files ----------------------------------------------------------------------------------------------------


def test_the_books_agree_with_what_the_judge_was_asked(judged: Judged) -> None:
    judged.explain(LONG, SHORT)
    said = judged.judge()
    assert len(scripted_judge.ASKED) == ASKS
    cost = Price(2.0, 10.0).priced(Usage(ASKS, sum(-(-len(each.prompt) // 4) for each in scripted_judge.ASKED), ASKS))
    amount = f"{ASKS} calls, {cost.prompt_tokens:,} prompt and {ASKS} completion tokens, {cost.usd:.2f} USD"
    assert f"teacher=scripted: {amount}; paid now: {amount}" in said.lines
    [announced] = [line for line in said.lines if "requests to teacher" in line]
    assert announced.startswith(f"{ASKS} requests to teacher=scripted, and at most {2 * ASKS} if")
    assert said.lines.index(announced) < len(said.lines) - 2


def test_a_second_command_asks_nothing_and_writes_nothing(judged: Judged) -> None:
    judged.explain(LONG, SHORT)
    first = judged.judge()
    [file] = judged.files()
    written = file.read_bytes()
    second = judged.judge()
    assert scripted_judge.ASKED == []
    assert f"{file} is there already, and stays as it is; nothing is asked" in second.lines
    assert (second.table, file.read_bytes()) == (first.table, written)
    file.unlink()
    third = judged.judge()
    assert scripted_judge.ASKED == []  # the store has them all
    assert any("paid now: 0 calls" in line for line in third.lines)
    assert (third.table, file.read_bytes()) == (first.table, written)


def test_another_model_or_other_explanations_make_another_file(judged: Judged) -> None:
    judged.explain(LONG, SHORT)
    judged.judge()
    judged.judge("teacher.model=other")
    judged.explain(LONG, [*SHORT[:3], "Otherwise."])
    judged.judge()
    judged.judge("questions=2")
    files = judged.files()
    assert len(files) == 4
    stem = f"{judged.first.name}-{judged.second.name}-scripted-"
    assert all(file.name.startswith(stem) for file in files)


def test_a_row_is_a_question_a_construct_and_an_order(judged: Judged) -> None:
    judged.explain(LONG, SHORT)
    judged.judge("constructs=plausibility", "questions=2")
    rows = judged.rows()
    assert [each["shown_as_a"] for each in rows] == ["first", "second"] * 2
    assert [each["verdict"] for each in rows] == ["A", "B"] * 2
    assert {each["preferred"] for each in rows} == {"first"}
    assert {(each["first"], each["second"]) for each in rows} == {(judged.first.name, judged.second.name)}
    assert {(each["judge"], each["model"]) for each in rows} == {("scripted", "scripted-model")}
    assert all(each["reply"] == each["verdict"] and each["unread_reply"] is None for each in rows)
    assert not list(judged.results.glob(".judgements/.*"))


def test_the_cells_stay_as_they_are(judged: Judged) -> None:
    judged.explain(LONG, SHORT)
    before = {path: path.stat().st_mtime_ns for cell in (judged.first, judged.second) for path in cell.rglob("*")}
    judged.judge()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {path.name for path in judged.first.iterdir()} == {
        path.name for path in before if path.parent == judged.first
    }


# --- what is said ----------------------------------------------------------------------------------------------------


def test_people_read_what_a_judge_is_worth(judged: Judged) -> None:
    judged.explain(["one two three"] * 2, ["one"] * 2)
    table = judged.judge("questions=2").table
    assert "mean length: 3.0 words (first), 1.0 words (second)" in table
    assert "Wilson interval over questions" in table
    assert "a judge is a language model and no human" in table
    assert f"first: rationale_then_answer, student tiny, seed 1 (cell {judged.first.name})" in table


def test_questions_that_are_not_common_are_named(judged: Judged) -> None:
    judged.explain(LONG, SHORT[:3])
    said = judged.judge("questions=5")
    assert "questions=5: both cells have explained 3 in common, and no more" in said.lines
    assert "questions explained in one of both cells alone, which are left out: 1" in said.lines
    assert len(scripted_judge.ASKED) == 2 * 5 * 3


def taught_by(cell: Path, model: str) -> None:
    """As if the cell's annotations came from this model."""
    place = cell / "record.json"
    record = json.loads(place.read_text(encoding="utf-8"))
    record["identity"]["teacher"]["model"] = model
    place.write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.parametrize(("model", "warns"), [("scripted-model", True), ("another", False)])
def test_a_judge_of_its_own_pupil_is_named(judged: Judged, model: str, warns: bool) -> None:
    judged.explain(LONG, SHORT)
    taught_by(judged.second, model)
    said = judged.judge("questions=1")
    line = f"teacher=scripted judges, and cell {judged.second.name} learnt from the same model, scripted-model"
    assert any(each.startswith(line) for each in said.lines) == warns
    assert (line in said.table) == warns


def test_the_analysis_may_read_the_same_statements() -> None:
    assert HANDED_ON is CONSTRUCTS
    assert list(CONSTRUCTS) == ["plausibility", "understandability", "completeness", "satisfaction", "contrastiveness"]
