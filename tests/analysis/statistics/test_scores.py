"""Scores and differences with intervals over seeds and questions, from predictions on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.output.tables import build_table
from analysis.records.load import load_records
from analysis.records.outcomes import OutcomeFiles
from analysis.statistics.crossed import crossed_mean
from analysis.statistics.grouping import Group, blocks_of, group_scores
from analysis.statistics.scores import best_beyond_doubt, group_score, score_difference, seed_differences
from tests.analysis.record_files import make_record, write_record

QUESTIONS = 80
SEEDS = (1, 2, 3)


def answers(seed: int, level: float, num_seeds: int = len(SEEDS)) -> np.ndarray:
    """Outcomes[seed, question] with hard and easy questions, which all methods share."""
    generator, shared = np.random.default_rng(seed), np.random.default_rng(0)
    easy = shared.normal(0, 1.5, QUESTIONS)
    return (generator.random((num_seeds, QUESTIONS)) < 1 / (1 + np.exp(-(level + easy)))).astype(float)


def write_answers(results: Path, method: str, outcomes: np.ndarray) -> None:
    for seed, row in zip(SEEDS, outcomes, strict=False):
        folder = write_record(results, make_record(method, seed=seed, value=float(row.mean()))).parent
        questions = [f"q{number}" for number in range(len(row))]
        frame = pd.DataFrame({"example_id": questions, "correct": row.astype(bool), "grade": [None] * len(row)})
        frame.to_parquet(folder / "predictions.parquet")


def groups_of(results: Path) -> Mapping[str, Group]:
    [scores] = blocks_of(load_records(results).complete).values()
    return {group.method: group for group in group_scores(scores)}


def test_a_score_is_that_of_the_crossed_model_and_wider_than_seeds_alone(results: Path) -> None:
    outcomes = answers(1, 0.5)
    write_answers(results, "elad", outcomes)
    found = group_score(groups_of(results)["elad"], OutcomeFiles())
    wanted = crossed_mean(outcomes)
    assert (found.mean, found.low, found.high) == pytest.approx((wanted.mean, wanted.low, wanted.high))
    assert found.over == "seeds and questions"
    for path in results.glob("*/predictions.parquet"):
        path.unlink()
    alone = group_score(groups_of(results)["elad"], OutcomeFiles())
    assert alone.over == "seeds"
    assert alone.mean == pytest.approx(found.mean)


def test_one_seed_has_an_interval_over_questions(results: Path) -> None:
    write_answers(results, "elad", answers(1, 0.5, num_seeds=1))
    found = group_score(groups_of(results)["elad"], OutcomeFiles())
    assert found.over == "questions"
    assert found.half_width is not None
    assert found.half_width > 0.05


def test_a_difference_pairs_seeds_and_questions(results: Path) -> None:
    ours, theirs = answers(1, 1.0), answers(2, 0.0)
    write_answers(results, "elad", ours)
    write_answers(results, "srd", theirs)
    groups = groups_of(results)
    found = score_difference(groups["elad"], groups["srd"], OutcomeFiles())
    wanted = crossed_mean(ours - theirs)
    assert found is not None
    assert (found.mean, found.low) == pytest.approx((wanted.mean, wanted.low))
    assert seed_differences(groups["elad"], groups["srd"]) == pytest.approx(list((ours - theirs).mean(axis=1)))


def test_a_file_that_is_broken_or_of_another_run_is_not_used(results: Path) -> None:
    write_answers(results, "elad", answers(1, 0.5))
    groups = groups_of(results)
    first, second = (score.cell.folder / "predictions.parquet" for score in groups["elad"].scores[:2])
    pd.read_parquet(second).assign(correct=True).to_parquet(second)  # its mean is no longer the record's score
    files = OutcomeFiles()
    assert group_score(groups["elad"], files).over == "seeds"
    assert files.problems == []
    first.write_bytes(b"PAR1")
    files = OutcomeFiles()
    assert group_score(groups["elad"], files).over == "seeds"
    assert [problem.path for problem in files.problems] == [first]


def test_only_a_method_that_is_better_than_each_other_one_is_best(results: Path) -> None:
    write_answers(results, "elad", answers(1, 2.5))
    write_answers(results, "srd", answers(2, 0.0))
    write_answers(results, "ta", answers(3, -1.0))
    groups = groups_of(results)
    assert best_beyond_doubt(groups, OutcomeFiles()) == "elad"
    assert best_beyond_doubt({"elad": groups["elad"]}, OutcomeFiles()) is None
    write_answers(results, "near", answers(4, 2.4))
    assert best_beyond_doubt(groups_of(results), OutcomeFiles()) is None


def test_equal_methods_are_rarely_called_best(tmp_path: Path) -> None:
    """Five equal methods: one is called best in at most one of twenty tables, by chance alone."""
    called = 0
    for trial in range(12):
        results = tmp_path / str(trial)
        for number in range(5):
            write_answers(results, f"m{number}", answers(100 * trial + number, 0.3))
        called += best_beyond_doubt(groups_of(results), OutcomeFiles()) is not None
    assert called <= 2


def test_the_table_marks_the_best_and_says_what_its_intervals_mean(results: Path) -> None:
    write_answers(results, "elad", answers(1, 2.5))
    write_answers(results, "srd", answers(2, 0.0))
    write_record(results, make_record("no predictions", value=0.1))
    table = build_table(load_records(results))
    rows = {row.name: row for row in table.blocks[0].rows}
    assert {name: row.is_best for name, row in rows.items() if row.role == "method"} == {
        "elad": False,  # one cell of a third method shares one seed, and no interval tells them apart
        "srd": False,
        "no predictions": False,
    }
    assert rows["elad"].interval_over == "seeds and questions"
    assert any("new seeds and new test questions" in note for note in table.notes)
