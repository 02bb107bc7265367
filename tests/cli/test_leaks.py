"""Test questions that stand in the pool or in what was bought: plan, run, record and table say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.output.tables import build_table
from analysis.records.load import load_records
from benchmark.evaluation import leaks
from benchmark.tasks.dataset import TestSplit

Run = Callable[..., Any]
Rows = Callable[..., list[dict[str, Any]]]
NOTHING = {"exact": 0, "near": 0, "any": 0, "short": 0, "covered": 0.0}


@pytest.fixture
def planted(write_svamp: Run, sum_rows: Rows, tmp_path: Path, cell: Run) -> tuple[str, ...]:
    """Two questions of the pool stand in the test file: one without its marks, one with two words more at its end."""
    clean = write_svamp(tmp_path / "clean")
    first, second, *_ = cell(clean).dataset.load().pool
    test = sum_rows("test", 8, start=50)
    test[0]["question"] = first.question.upper().replace("?", "").replace(".", ",")
    words = second.question.rstrip("?")
    test[1]["question"] = f"{words} in all?"  # four runs of eight words, of which two are in the pool
    test[2]["question"] = f"So {words} apples are that, as Ann knows?"  # nine runs, two of them in the pool
    return tuple(write_svamp(tmp_path / "data", test=test))


def test_the_plan_says_it_with_the_seal_on(
    planted: tuple[str, ...], command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: TestSplit) -> Any:
        raise AssertionError("the plan opened a test split")

    monkeypatch.setattr(TestSplit, "open", refuse)
    monkeypatch.setattr(TestSplit, "unseal", refuse)
    done = command("-m", "mode=plan", "method=gold_answers", "seed=1,2", *planted)
    assert done.status == 0, done.err
    lines = [line for line in done.out.splitlines() if "word for word" in line]
    assert lines == [
        "- svamp: the pool of svamp holds 1 of 8 test questions word for word, and 70 % or more of the wording of 1 "
        "(docs/datasets.md, Leaks)"
    ]


def test_a_run_warns_once_and_record_and_table_hold_the_counts(
    planted: tuple[str, ...], command: Run, results: Any
) -> None:
    done = command("method=answer_only", *planted)
    assert done.status == 0, done.err
    assert done.err.count("warning: svamp: the pool of svamp holds 1 of 8 test questions word for word") == 1
    assert done.err.count("warning") == 1
    [score] = results.record()["test"]
    assert score["pool_overlap"].pop("covered") == score["learnt_overlap"].pop("covered") > 0
    assert score["pool_overlap"] == {"exact": 1, "near": 1, "any": 3, "short": 0}
    assert score["learnt_overlap"] == score["pool_overlap"]
    notes = build_table(load_records(results.path)).notes
    assert (
        "svamp: student tiny, teacher palm540b: the pool of svamp and what was bought hold up to 1 of 8 test questions "
        "word for word, and 70 % or more of the wording of up to 1; the pool alone 1 and 1."
    ) in notes


def test_a_teacher_that_quotes_test_questions_is_counted(
    write_svamp: Run, sum_rows: Rows, command: Run, results: Any, tmp_path: Path
) -> None:
    test = sum_rows("test", 8, start=50)
    said = [
        {
            "id": row["id"],
            "rationale": f"As in: {test[3]['question']} 53+2=55. Now {row['rationale']}",
            "answer": row["answer"],
        }
        for row in [*sum_rows("train", 24), *test]
    ]
    overrides = write_svamp(tmp_path / "data", teacher=said)
    done = command("method=rationale_then_answer", "student.max_length=512", *overrides)
    assert done.status == 0, done.err
    assert done.err.count("warning") == 1
    assert (
        "warning: svamp: the pool of svamp and what was bought hold 1 of 8 test questions word for word, and 70 % or "
        "more of the wording of 1"
    ) in done.err
    [score] = results.record()["test"]
    assert score["pool_overlap"] == NOTHING
    assert score["learnt_overlap"] == {"exact": 1, "near": 1, "any": 1, "short": 0, "covered": 1 / 8}
    assert any("up to 1; the pool alone 0 and 0." in note for note in build_table(load_records(results.path)).notes)


def test_clean_data_says_nothing(write_svamp: Run, command: Run, results: Any, tmp_path: Path) -> None:
    overrides = write_svamp(tmp_path / "data")
    assert "word for word" not in command("mode=plan", *overrides).out
    done = command("method=answer_only", *overrides)
    assert (done.status, "warning" in done.err) == (0, False)
    assert results.record()["test"][0]["learnt_overlap"] == NOTHING
    assert not any("word for word" in note for note in build_table(load_records(results.path)).notes)


def test_a_pair_of_datasets_is_counted_once_in_a_process_and_anew_for_other_rows(
    planted: tuple[str, ...], cell: Run, write_svamp: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    count = TestSplit.overlap

    def counting(self: TestSplit, *texts: Any) -> Any:
        counted.append(len(self))
        return count(self, *texts)

    monkeypatch.setattr(leaks, "_pool_overlaps", {})
    monkeypatch.setattr(TestSplit, "overlap", counting)
    svamp, again = (cell((*planted, f"seed={seed}")).dataset for seed in (1, 2))
    assert leaks.pool_overlap(svamp, svamp).exact == leaks.pool_overlap(again, again).exact == 1
    assert counted == [8]
    write_svamp(tmp_path / "other")
    other = cell((*planted, f"data_dir={tmp_path / 'other'}")).dataset
    assert leaks.pool_overlap(other, other).exact == 0
    assert leaks.pool_overlap(other, svamp).exact == 1
    assert counted == [8, 8, 8]
