"""Schedules on the command line: steps in plan, records and table, and shares that are refused in the plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from analysis.output.columns import headings, shown_rows
from analysis.output.tables import build_table
from analysis.records.load import load_records

Run = Callable[..., Any]
SCHEDULES = "schedule=one_shot,three_rounds_restarted,three_rounds_continued"


def rows_of(output: str) -> list[dict[str, str]]:
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in output.splitlines() if "|" in line]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_one_sweep_compares_schedules_at_equal_steps(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    small = (*miniature, SCHEDULES, "optimization.max_steps=7", "references=false")
    planned = rows_of(command("-m", "mode=plan", *small).out)
    assert [(row["student steps"], row["all steps"]) for row in planned[:-1]] == [("7", "7"), ("7", "21"), ("7", "7")]
    assert command("-m", *small).status == 0
    trained = {
        record["config"]["schedule"].get("restart"): (
            record["train"]["final_student_steps"],
            record["train"]["optimiser_steps"],
            [round_["optimiser_steps"] for round_ in record["rounds"]],
        )
        for record in results.records()
    }
    assert trained == {None: (7, 7, [7]), True: (7, 21, [7, 7, 7]), False: (7, 7, [2, 2, 3])}
    table = build_table(load_records(results.path))
    [block] = table.blocks
    places = [headings(block).index(name) for name in ("student steps", "all steps")]
    shown = [[row[place] for place in places] for row in shown_rows(block, table.short_ids)]
    assert sorted(row for row in shown if row != ["-", "-"]) == [["7", "21"], ["7", "7"], ["7", "7"]]


def test_columns_of_steps_stand_only_where_students_were_thrown_away(command: Run, miniature: tuple[str, ...]) -> None:
    continued = command("-m", "mode=plan", *miniature, "schedule=one_shot,three_rounds_continued")
    assert continued.status == 0
    assert "steps" not in continued.out


def test_impossible_shares_are_refused_in_the_plan(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    short = ("schedule=three_rounds_restarted", "schedule.steps_shares=[0.25,0.25,0.5]")
    for mode in (("-m", "mode=plan", "references=false"), ()):
        done = command(*mode, *miniature, *short)
        said = done.out + done.err
        assert "the steps_share of round 3, which train the final student, add up to 0.5" in said
        assert "optimization.max_steps=4 steps; make them add up to 1" in said
    assert not list(results.path.glob("[!.]*/record.json"))
    many = command(*miniature, "schedule=three_rounds_continued", "optimization.max_steps=2")
    assert "rounds 1 to 3 would train 0, 1, 1 of the 2 steps that are left" in many.err
