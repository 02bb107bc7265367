"""What the record says of selection and weighting is what its own tables say, once gold answers are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from benchmark.records.evidence import RankedQuestion
from benchmark.running.after_the_test import AfterTheTest, after_the_test
from benchmark.running.unread import unread_warning
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.types import Annotation, Example
from tests.corridor.corridor_parts import miniature

SHORT = ("dataset.pool_size=40", "dataset.validation_size=2", "dataset.test_size=4", "budget.questions=24",
         "optimization.max_steps=20", "optimization.batch_size=4", "student.max_new_tokens=8",
         "selection.samples=2", "trainer.save_student=false")  # fmt: skip


@pytest.fixture(scope="module")
def golds() -> dict[str, Example]:
    return {example.id: example for example in miniature(*SHORT[:3]).dataset.load().pool}


@pytest.mark.parametrize("weighting", ["keep_trusted", "trust_as_weight"])
def test_the_record_agrees_with_its_tables(
    weighting: str, golds: dict[str, Example], command: Callable[..., Any], results: Any
) -> None:
    parts = ("assistant=simulated", "teacher=simulated", f"weighting={weighting}")
    done = command("method=ta_in_the_loop", *parts, *SHORT)
    assert done.status == 0, done.err
    record = results.record()
    task = GeneratedAnswer()
    rows = results.table(record["cell_id"], "annotations")
    rows = rows[rows["answer"].notna()]
    right = [task.is_correct(golds[row.question_id], row.answer) for row in rows.itertuples()]
    kept = [is_right for is_right, weight in zip(right, rows["weight"], strict=True) if weight > 0]
    labels = record["label_precision"]
    assert (labels["bought"], labels["right_bought"]) == (len(right), sum(right))
    assert (labels["kept"], labels["right_kept"]) == (len(kept), sum(kept))
    assert labels["weighted"] == pytest.approx((rows["weight"] * right).sum() / rows["weight"].sum())
    assert 0 < labels["right_bought"] < labels["bought"]

    trust = [json.loads(each)["confidence"] for each in rows["weight_evidence"]]
    assert record["weight_calibration"]["n"] == len(trust)
    assert record["weight_calibration"]["auroc"] == pytest.approx(roc_auc_score(right, trust))

    picks = results.table(record["cell_id"], "picks")
    for log in record["rounds"]:
        of_round = [row for row in picks[picks["round"] == log["index"]].itertuples() if json.loads(row.evidence)]
        if not of_round:
            assert "score_error_correlation" not in log  # the warm-up ranks at random and asks nothing
            continue
        wrong = [
            sum(not task.is_correct(golds[row.question_id], answer) for answer in json.loads(row.evidence)["answers"])
            for row in of_round
        ]
        found = log["score_error_correlation"]
        assert found["n"] == len(of_round) > 0
        if len(set(wrong)) > 1:
            assert found["spearman"] == pytest.approx(spearmanr([row.score for row in of_round], wrong).statistic)
        else:
            assert found["spearman"] is None
    assert record["selection_calibration"]["n"] == sum(bool(json.loads(each)) for each in picks["evidence"])
    assert "warning: selection, round 2: the selection's score is meaningless: " in done.err


# --- on rows by hand -------------------------------------------------------------------------------------------------


def row(example: Example, answer: str | None, **fields: Any) -> Annotation:
    return Annotation(example.without_gold(), "rationale", "teacher", "r", answer, **fields)


def measured(
    rows: list[Annotation], picks: list[RankedQuestion] | None = None, *overrides: str, **parts: Any
) -> AfterTheTest:
    cell = miniature(*overrides)
    if parts:
        cell = replace(cell, dataset=replace(cast(Any, cell.dataset), **parts))
    return after_the_test(cell, miniature().dataset.load(), rows, picks or [], None)


POOL = miniature().dataset.load().pool[:3]


def test_only_answers_that_can_be_right_by_the_teachers_work_count() -> None:
    first, second, third = POOL
    rows = [
        row(first, first.answer, weight=0.0),
        row(second, None),
        replace(row(third, third.answer), source="human"),
        replace(row(third, "no"), kind="counterfactual"),
        row(third, "999"),
    ]
    found = measured(rows).labels
    assert found is not None
    assert (found.bought, found.kept, found.right_bought, found.right_kept) == (2, 1, 1, 0)
    assert measured(rows, None, "method=gold_answers").labels is None
    assert measured(rows).weights is None


def test_usual_answers_are_judged_bought_or_not_and_an_unreadable_one_is_wrong() -> None:
    picks = [
        RankedQuestion(0, 1, POOL[0].id, 2.0, {"confidence": 0.9, "usual": POOL[0].answer, "answers": []}, True),
        RankedQuestion(0, 2, POOL[1].id, 1.0, {"confidence": 0.4, "usual": None, "answers": [None, None]}, False),
        RankedQuestion(0, 3, POOL[2].id, None, {"confidence": 0.2}, False),
    ]
    found = measured([], picks)
    assert found.selection is not None
    assert (found.selection.n, found.selection.auroc) == (2, 1)
    assert {index: each.n for index, each in found.correlations.items()} == {0: 1}


def test_graded_answers_are_neither_right_nor_wrong() -> None:
    class Graded(GeneratedAnswer):
        metric = "closeness"

        def grade(self, example: Example, answer: str | None) -> float:
            return 0.5

    assert measured([row(POOL[0], "1")], task=Graded()) == AfterTheTest()


def test_an_untrained_student_and_a_method_without_a_teacher_have_none_of_it(
    command: Callable[..., Any], results: Any, tmp_path: Path
) -> None:
    for method in ("untrained", "gold_answers"):
        done = command(f"method={method}", *(each for each in SHORT if not each.startswith("selection")))
        assert done.status == 0, done.err
        assert "meaningless" not in done.err
    for record in results.records():
        assert not {"label_precision", "weight_calibration", "selection_calibration"} & set(record)
        assert not any("score_error_correlation" in log for log in record["rounds"])


# --- what a selection could not read ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("notes", "line"),
    [
        ({}, None),
        ({"answers": 0, "unread_answers": 0}, None),
        ({"answers": 10, "unread_answers": 1}, None),
        ({"early_answers": 9}, None),
        (
            {"answers": 9, "unread_answers": 1},
            "the selection's score is meaningless: 11% of the student's answers could not be read",
        ),
        (
            {"answers": 4, "unread_answers": 4, "early_answers": 2, "unread_early_answers": 1.0},
            "the selection's score is meaningless: 100% of the student's answers and 50% of the student's early "
            "answers could not be read",
        ),
    ],
)
def test_a_selection_that_could_not_read_the_student_is_named(notes: dict[str, float], line: str | None) -> None:
    assert unread_warning(notes) == line
