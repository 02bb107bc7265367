"""The corridor round by round: budget, restarts, what each part sees, and what the record says of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmark.evaluation.reference import teacher_accuracy
from benchmark.student.load import load_student
from benchmark.teachers.prompts import PromptLibrary
from benchmark.types import Question
from tests.corridor.corridor_parts import (
    VERDICTS,
    AsksTheRulesAgain,
    AsksTheStudent,
    DropsAndWeighs,
    Ran,
    Rounds,
    TwoStages,
    Watched,
    WatchedLoss,
    WatchedSelection,
    fingerprint,
    miniature,
    remainder,
    run,
)


@pytest.fixture(scope="module", params=[True, False], ids=["restart", "go on"])
def three_rounds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    cell = miniature(
        schedule=Rounds(restart=request.param),
        selection=AsksTheStudent(),
        weighting=DropsAndWeighs(),
        curriculum=Watched(),
    )
    return run(cell, tmp_path_factory.mktemp("rounds"))


def parts_of(ran: Ran) -> Any:
    return ran.cell_run.cell.method


def test_each_round_buys_its_share_and_no_question_twice(three_rounds: Ran) -> None:
    assert [log.annotated for log in three_rounds.history] == [3, 6, 12]
    assert [log.round.index for log in three_rounds.history] == [0, 1, 2]
    assert [log.charged["teacher"].questions for log in three_rounds.history] == [3, 6, 12]
    assert [log.charged["teacher"].calls for log in three_rounds.history] == [3, 6, 12]
    asked = [row["question_id"] for row in three_rounds.table("annotations")]
    assert len(asked) == len(set(asked)) == 12
    assert [row["annotated"] for row in three_rounds.result["rounds"]] == [3, 6, 12]
    assert three_rounds.result["rounds"][-1]["charged"]["teacher"]["calls"] == 12


def test_selection_sees_what_is_left_without_gold_and_the_student_of_the_moment(three_rounds: Ran) -> None:
    log = parts_of(three_rounds).selection.log
    bought = [row["question_id"] for row in three_rounds.table("annotations")]
    assert [len(seen["pool"]) for seen in log] == [40, 37, 34]
    assert [(seen["round"], seen["history"]) for seen in log] == [(0, 0), (1, 1), (2, 2)]
    for seen, already in zip(log, (0, 3, 6), strict=True):
        assert seen["types"] == {Question}
        assert not set(seen["pool"]) & set(bought[:already])
    assert len({seen["weights"] for seen in log}) == 3  # a student that has learned in between
    assert log[0]["texts"] != log[1]["texts"][:40]


def test_the_best_ranked_are_bought_first_with_their_evidence(three_rounds: Ran) -> None:
    import json

    rows = three_rounds.table("annotations")
    first = parts_of(three_rounds).selection.log[0]
    wrote = dict(zip(first["pool"], first["texts"], strict=True))
    expected = sorted(wrote, key=lambda key: (-len(wrote[key]), key))[:3]
    assert [row["question_id"] for row in rows[:3]] == expected
    assert [json.loads(row["evidence"])["wrote"] for row in rows[:3]] == [wrote[key] for key in expected]


def test_restart_begins_at_the_initial_student_and_going_on_where_the_last_round_ended(three_rounds: Ran) -> None:
    cell = three_rounds.cell_run.cell
    initial = fingerprint(load_student(cell.student, cell.seed, cell.trainer, "32-true"))
    begins = [seen["weights"] for seen in parts_of(three_rounds).curriculum.log if seen["done"] == 0]
    # Whatever happens next, selection meets the student as the round before left it.
    ends = [seen["weights"] for seen in parts_of(three_rounds).selection.log[1:]]
    assert parts_of(three_rounds).selection.log[0]["weights"] == begins[0] == initial
    assert len({initial, *ends, fingerprint(three_rounds.cell_run.student)}) == 4
    assert begins[1:] == ([initial, initial] if three_rounds.history[0].round.restart else ends)


def test_weights_reach_the_training_examples_and_what_is_dropped_is_still_paid(three_rounds: Ran) -> None:
    rows = three_rounds.table("annotations")
    for row in rows:
        assert (row["weight"], row["reason"]) == VERDICTS[remainder(row["question_id"])]
    last = parts_of(three_rounds).curriculum.log[-1]
    trained = {example.group: example.weight for example in last["examples"]}
    readable = {row["question_id"] for row in rows if row["answer"] is not None and row["rationale"]}
    assert trained == {key: VERDICTS[remainder(key)][0] for key in readable if remainder(key) > 0}
    dropped = sum(row["weight"] == 0 for row in rows)
    assert 0 < dropped < 12
    assert three_rounds.result["counters"]["dropped_annotations"] == dropped
    assert three_rounds.history[-1].charged["teacher"].questions == 12
    assert parts_of(three_rounds).weighting.log == [(3, 0), (3, 3), (6, 6)]


def test_notes_of_all_parts_are_summed_by_round(three_rounds: Ran) -> None:
    assert [dict(log.notes) for log in three_rounds.history] == [
        {"asked_student": 40, "weighed": 3},
        {"asked_student": 37, "weighed": 3},
        {"asked_student": 34, "weighed": 6},
    ]
    assert three_rounds.result["rounds"][2]["notes"] == {"asked_student": 34, "weighed": 6}


def test_the_final_student_has_all_steps_and_every_round_is_validated(three_rounds: Ran) -> None:
    steps = [6, 6, 6] if three_rounds.history[0].round.restart else [2, 2, 2]
    assert [report.optimiser_steps for report in three_rounds.cell_run.state.fits] == steps
    assert [log.optimiser_steps for log in three_rounds.history] == steps
    assert [row["optimiser_steps"] for row in three_rounds.result["rounds"]] == steps
    assert [row["restart"] for row in three_rounds.result["rounds"]] == [three_rounds.history[0].round.restart] * 3
    assert three_rounds.result["train"]["optimiser_steps"] == sum(steps)
    assert three_rounds.result["train"]["final_student_steps"] == 6
    assert three_rounds.result["train"]["tokens"] == sum(report.tokens for report in three_rounds.cell_run.state.fits)
    for log in three_rounds.history:
        assert 0 <= log.validation["accuracy"] <= 1


def test_the_record_agrees_with_the_predictions(three_rounds: Ran) -> None:
    rows = three_rounds.table("predictions")
    [test] = three_rounds.result["test"]
    assert test["n"] == len(rows) == 8
    assert test["value"] == pytest.approx(sum(row["correct"] for row in rows) / 8)
    assert test["completion_tokens_per_answer"] == pytest.approx(sum(r["completion_tokens"] for r in rows) / 8)
    counters = Counter(three_rounds.result["counters"])
    assert counters["unparsed_answers"] == sum(row["answer"] is None for row in rows)
    assert counters["truncated_answers"] == test["truncated_answers"] == sum(row["truncated"] for row in rows)
    told = {name: count for name, count in test["outcomes"].items() if count}
    assert list(test["outcomes"]) == ["right", "truncated", "unread", "wrong"]
    assert told == Counter(row["outcome"] for row in rows)
    assert test["outcomes"]["right"] == sum(row["correct"] for row in rows)
    splits = three_rounds.cell_run.cell.dataset.load()
    splits.test.unseal()
    assert [row["example_id"] for row in rows] == [example.id for example in splits.test.open()]


@pytest.mark.parametrize("fresh", [False, True])
def test_a_curriculum_of_two_stages_splits_the_steps_and_meets_the_student_in_between(
    tmp_path: Path, fresh: bool
) -> None:
    curriculum, loss = TwoStages(fresh=fresh), WatchedLoss()
    ran = run(miniature("optimization.warmup_fraction=0", curriculum=curriculum, loss=loss), tmp_path)
    assert [(seen["done"], seen["memory"]) for seen in curriculum.log] == [(0, None), (1, "after 0")]
    steps = sorted({seen["step"] for seen in loss.log})
    assert steps == list(range(6))
    first = set().union(*(seen["groups"] for seen in loss.log if seen["step"] < 2))
    second = set().union(*(seen["groups"] for seen in loss.log if seen["step"] >= 2))
    assert first
    assert second
    assert not first & second
    # The student that the second stage was planned with is the one that its first step trains, not an older one.
    of_step = {seen["step"]: seen["weights"] for seen in reversed(loss.log)}
    assert curriculum.log[0]["weights"] == of_step[0]
    assert curriculum.log[1]["weights"] == of_step[2]
    assert len({*of_step.values(), fingerprint(ran.cell_run.student)}) == 7
    assert ran.history[0].notes["stages"] == 2


def test_unused_and_unparsed_annotations_are_counted(tmp_path: Path) -> None:
    overrides = ("teacher.malformed_rate=0.5", "teacher.empty_rate=0.2", "budget.questions=30")
    ran = run(miniature(*overrides, weighting=DropsAndWeighs()), tmp_path)
    rows = ran.table("annotations")
    counters = Counter(ran.result["counters"])
    lacking = [row for row in rows if row["weight"] > 0 and (row["answer"] is None or not row["rationale"])]
    assert len(lacking) > 5
    assert counters["unused_annotations"] == len(lacking)
    assert counters["unparsed_annotations"] == sum(row["answer"] is None for row in rows)
    assert counters["dropped_annotations"] == sum(row["weight"] == 0 for row in rows)


def test_the_teachers_reference_is_its_accuracy_on_the_test_split(tmp_path: Path) -> None:
    cell = miniature("teacher.wrong_step_rate=0.5", "dataset.test_size=60")
    ran = run(cell, tmp_path)
    splits = cell.dataset.load()
    splits.test.unseal()
    again = teacher_accuracy(cell.teacher.open(cell.dataset), cell.dataset, PromptLibrary(), splits.test.open())
    assert ran.result["teacher_reference"] == {"split": "test", **(again or {})}
    assert 0.2 < ran.result["teacher_reference"]["value"] < 0.8
    assert ran.cell_run.meter.ledger.total().calls == 12  # the reference is charged to nobody


def test_human_labels_are_booked_apart_and_ask_no_teacher(tmp_path: Path) -> None:
    ran = run(miniature("method=gold_answers"), tmp_path)
    assert set(ran.history[0].charged) == {"human"}
    assert ran.history[0].charged["human"].questions == 12
    assert ran.cell_run.meter.ledger.total().calls == 0
    assert ran.result["uses_gold"] is True
    assert ran.result["teacher_reference"] is None


def test_a_budget_in_calls_holds_over_rounds(tmp_path: Path) -> None:
    cell = miniature("budget.questions=null", "budget.calls=11", "annotation.samples=2", schedule=Rounds())
    ran = run(cell, tmp_path)
    calls = [log.charged["teacher"].calls for log in ran.history]
    assert calls == [2, 6, 10]  # shares of 3, 6 (half of 11, rounded to even) and 11, two calls a question
    assert calls[-1] <= 11


def test_a_request_that_is_repeated_in_a_later_round_is_not_charged_again(tmp_path: Path) -> None:
    ran = run(miniature(schedule=Rounds(), annotation=AsksTheRulesAgain()), tmp_path)
    assert ran.cell_run.meter.ledger.total().calls == 12 + 1


def test_the_untrained_student_has_no_round_and_pays_nothing(tmp_path: Path) -> None:
    ran = run(miniature("method=untrained"), tmp_path)
    assert ran.history == []
    assert ran.result["rounds"] == []
    assert ran.cell_run.meter.ledger.charged == {}
    cell = ran.cell_run.cell
    assert fingerprint(ran.cell_run.student) == fingerprint(load_student(cell.student, 1, cell.trainer, "32-true"))
    assert ran.result["test"][0]["n"] == 8


# --- seeds ---------------------------------------------------------------------------------------------------------

SEEDED = ("optimization.max_steps=20", "student.max_new_tokens=16")


def texts(ran: Ran) -> list[tuple[str, str, str | None]]:
    return [(row["example_id"], row["text"], row["answer"]) for row in ran.table("predictions")]


def test_one_seed_twice_is_identical_and_another_is_not(tmp_path: Path) -> None:
    runs = [run(miniature(*SEEDED, f"seed={seed}"), tmp_path / str(i)) for i, seed in enumerate((1, 1, 2))]
    assert texts(runs[0]) == texts(runs[1])
    assert fingerprint(runs[0].cell_run.student) == fingerprint(runs[1].cell_run.student)
    assert texts(runs[0]) != texts(runs[2])
    bought = [{row["question_id"]: row["rationale"] for row in ran.table("annotations")} for ran in runs]
    assert bought[0] == bought[1]
    assert set(bought[0]) != set(bought[2])  # random selection follows the seed ...
    shared = set(bought[0]) & set(bought[2])
    assert shared
    assert all(bought[0][key] == bought[2][key] for key in shared)  # ... and what is bought follows data_seed
    assert [row[0] for row in texts(runs[0])] == [row[0] for row in texts(runs[2])]  # the test split does not move


def test_methods_at_one_seed_see_the_same_pool_splits_order_and_initial_student(tmp_path: Path) -> None:
    seen = []
    for method in ("answer_only", "rationale_then_answer", "step_by_step", "gold_answers", "step_by_step_human_labels"):
        selection, curriculum = WatchedSelection(), Watched()
        cell = miniature(f"method={method}", selection=selection, curriculum=curriculum)
        ran = run(cell, tmp_path / method)
        annotated = list(dict.fromkeys(row["question_id"] for row in ran.table("annotations")))
        tested = [row["example_id"] for row in ran.table("predictions")]
        seen.append((selection.log, curriculum.log[0]["weights"], annotated, tested))
    assert all(other == seen[0] for other in seen)
