"""Several results folders as data frames."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from analysis.records.frames import NAMES
from analysis.records.load import ResultsError, load_records
from analysis.records.results import load_results
from tests.analysis.record_files import make_record, write_record, write_small_sweep


def test_folders_are_read_together_and_a_copy_of_a_cell_counts_once(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    record = make_record("elad")
    for folder in (one, other):
        write_record(folder, record | {"seconds": len(folder.name)})
    write_record(other, make_record("elad", seed=2))
    found = load_results(one, str(other))
    assert sorted(found.cells["seed"]) == [1, 2]
    assert found.cells.loc[found.cells["seed"] == 1, "folder"].item() == str(one / record["cell_id"])


def test_a_folder_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    write_record(tmp_path, make_record("elad"))
    assert len(load_records(tmp_path, tmp_path).complete) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record["test"][0].update(value=0.8), "different test scores .value: 0.9 against 0.8."),
        (lambda record: record["rounds"][0].update(annotated=7), "different rounds .annotated: 1000 against 7."),
        (lambda record: record["rounds"].clear(), "different rounds .1 against 0."),
    ],
)
def test_one_cell_with_two_results_is_refused_with_both_places(tmp_path: Path, change, said: str) -> None:
    record = make_record("elad")
    first = write_record(tmp_path / "one", record)
    copy = json.loads(json.dumps(record))
    change(copy)
    second = write_record(tmp_path / "other", copy)
    with pytest.raises(ResultsError, match=said) as refused:
        load_records(tmp_path / "one", tmp_path / "other")
    assert str(first.parent) in str(refused.value)
    assert str(second.parent) in str(refused.value)


def test_the_last_bits_of_another_processor_are_no_other_result(tmp_path: Path) -> None:
    write_record(tmp_path / "one", make_record("elad", value=0.9))
    write_record(tmp_path / "other", make_record("elad", value=0.9 + 1e-9))
    assert len(load_records(tmp_path / "one", tmp_path / "other").complete) == 1


@pytest.mark.parametrize("order", [("one", "other"), ("other", "one")])
def test_a_cell_that_failed_elsewhere_is_finished(tmp_path: Path, order: tuple[str, str]) -> None:
    record = make_record("elad")
    write_record(tmp_path / "one", record)
    write_record(tmp_path / "other", record | {"status": "failed", "error": "no memory"})
    found = load_records(*(tmp_path / name for name in order))
    assert (len(found.complete), found.failed) == (1, ())


def test_frames_hold_what_records_say(results: Path) -> None:
    write_small_sweep(results)
    found = load_results(results)
    for frame in (found.cells, found.tests, found.rounds, found.ledger, found.predictions()):
        assert tuple(frame.columns[: len(NAMES)]) == NAMES
    cells = found.cells.set_index(["method", "seed"])
    assert cells.loc[("elad", 2), "value"] == 0.91
    assert cells.loc[("elad", 2), "teacher_questions"] == 1000
    assert cells.loc[("elad", 2), "learning_rate"] == 0.003
    assert cells.loc[("gold_answers", 1), ["teacher_questions", "human_questions"]].tolist() == [0, 1000]
    assert found.rounds.loc[found.rounds["method"] == "elad", "validation_accuracy"].tolist() == [0.90, 0.91, 0.93]
    charged = found.ledger[(found.ledger["book"] == "charged") & (found.ledger["source"] == "teacher")]
    assert charged.groupby("method")["prompt_tokens"].sum().to_dict() == {"answer_only": 240_000, "elad": 240_000}


def test_tables_of_cells_carry_their_names_and_a_broken_one_is_named(results: Path) -> None:
    for seed in (1, 2):
        folder = write_record(results, make_record("elad", seed=seed)).parent
        pd.DataFrame({"example_id": ["a", "b"], "correct": [True, seed == 1]}).to_parquet(
            folder / "predictions.parquet"
        )
    broken = write_record(results, make_record("elad", seed=3)).parent / "predictions.parquet"
    broken.write_bytes(b"PAR1 and then nothing")
    found = load_results(results)
    frame = found.predictions(["example_id", "correct"])
    assert frame.groupby("seed")["correct"].mean().to_dict() == {1: 1.0, 2: 0.5}
    assert list(frame.columns) == [*NAMES, "example_id", "correct"]
    [problem] = found.problems
    assert problem.path == broken
    assert "restore it" in str(problem)
    assert len(found.cells) == 3
    assert found.picks().empty
