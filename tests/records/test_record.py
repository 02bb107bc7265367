"""What a finished cell leaves on disk, and that it appears there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.console.progress import show_nothing
from benchmark.records.catalog import cell_on_disk, refuse_unwritable
from benchmark.records.record import CellFolder
from tests.records.small_records import complete_record, failed_record

Run = Callable[..., Any]

METHODS = ("rationale_then_answer", "step_by_step_human_labels", "gold_answers", "untrained")
NAMES = {
    "cell_id", "status", "error", "config", "method", "dataset", "student", "teacher", "seed", "rounds", "test",
    "train", "counters", "provenance", "uses_gold", "budget", "policy", "identity", "teacher_reference",
}  # fmt: skip
LEDGER = {"calls", "prompt_tokens", "completion_tokens", "usd", "questions"}


class Said:
    """Keeps what a cell tells."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, state: str) -> None:
        """Keeps it."""
        self.lines.append(state)

    def bar(self, description: str, total: int | None) -> Any:
        """Shows nothing."""
        return contextlib.nullcontext(show_nothing)


@pytest.fixture(scope="module")
def finished(cell: Run, miniature: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of one finished cell per method, with its student."""
    from benchmark.run_cell import run_cell

    results = tmp_path_factory.mktemp("finished")
    folders = {}
    for method in METHODS:
        overrides = (*miniature, f"method={method}", f"results_dir={results}", "trainer.save_student=true")
        outcome = run_cell(cell(overrides), Said())
        assert outcome.status == "complete", outcome.message
        folders[method] = results / outcome.cell_id
    return folders


@pytest.fixture(params=METHODS)
def folder(request: pytest.FixtureRequest, finished: dict[str, Path]) -> Path:
    """A finished cell."""
    return finished[request.param]


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "record.json").read_text(encoding="utf-8"))


def test_the_names_that_tools_rely_on_are_there(folder: Path) -> None:
    record = record_of(folder)
    assert set(record) >= NAMES
    assert record["cell_id"] == folder.name
    assert (record["status"], record["error"], record["policy"]) == ("complete", None, "last")
    [test] = record["test"]
    assert test["dataset"] == record["dataset"] == "chain_sum"
    assert test["metric"] == "accuracy"
    assert test["n"] == 16
    assert set(record["train"]) >= {"tokens", "optimiser_steps", "seconds", "peak_memory_bytes", "flops"}
    assert record["provenance"]["packages"]["torch"]
    assert record["provenance"]["threads"] == 1
    for log in record["rounds"]:
        assert set(log) >= {"annotated", "charged", "spent", "validation"}
        assert all(set(entry) == LEDGER for entry in log["charged"].values())


def test_the_id_is_the_hash_of_the_recorded_identity(folder: Path) -> None:
    from benchmark.cell.identity import id_of

    assert id_of(record_of(folder)["identity"]) == folder.name


def test_no_number_is_nan(folder: Path) -> None:
    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    json.loads((folder / "record.json").read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_accuracy_follows_from_the_predictions(folder: Path) -> None:
    import pandas as pd

    record = record_of(folder)
    rows = pd.read_parquet(folder / "predictions.parquet")
    assert list(rows.columns) == [
        "example_id", "prompt", "text", "rationale", "answer", "gold", "correct", "flexible_answer",
        "flexible_correct", "truncated", "prompt_tokens", "completion_tokens", "grade", "reasoning_right",
        "option_scores", "outcome",
    ]  # fmt: skip
    assert len(rows) == record["test"][0]["n"]
    assert rows["example_id"].is_unique
    assert rows["prompt"].is_unique
    assert math.isclose(rows["correct"].mean(), record["test"][0]["value"])
    assert math.isclose(rows["flexible_correct"].mean(), record["test"][0]["flexible_value"])
    assert rows["flexible_correct"][rows["correct"]].all()
    assert rows["answer"].isna().sum() == record["counters"].get("unparsed_answers", 0)
    assert rows["truncated"].sum() == record["counters"].get("truncated_answers", 0)
    assert rows["outcome"].value_counts().to_dict() == {k: n for k, n in record["test"][0]["outcomes"].items() if n}
    assert (rows["correct"] == (rows["outcome"] == "right")).all()
    assert math.isclose(rows["completion_tokens"].mean(), record["test"][0]["completion_tokens_per_answer"])
    assert (rows["correct"] == (rows["answer"].notna() & (rows["answer"] == rows["gold"]))).all()


def test_annotations_keep_what_was_asked_and_said(finished: dict[str, Path]) -> None:
    import pandas as pd

    folder = finished["step_by_step_human_labels"]
    record, rows = record_of(folder), pd.read_parquet(folder / "annotations.parquet")
    assert rows["id"].is_unique
    assert rows["question_id"].nunique() == record["rounds"][0]["annotated"] == 20
    assert set(rows["kind"]) == {"rationale", "gold"}
    taught = rows[rows["kind"] == "rationale"]
    assert set(taught["source"]) == {"simulated"}
    for row in taught.itertuples():
        [exchange] = json.loads(row.exchanges)
        assert row.question in exchange["request"]["prompt"]
        assert exchange["request"]["question_id"] == row.question_id
        assert row.rationale is None or row.rationale in exchange["reply"]["text"]
        assert 0 <= json.loads(row.evidence)["confidence"] <= 1
    assert set(rows[rows["kind"] == "gold"]["exchanges"]) == {"[]"}
    assert (rows["weight"] == 1).all()
    charged = record["rounds"][0]["charged"]
    assert charged["teacher"]["calls"] == charged["teacher"]["questions"] == charged["human"]["questions"] == 20
    assert record["uses_gold"] is True


def test_an_untrained_student_paid_for_nothing(finished: dict[str, Path]) -> None:
    record = record_of(finished["untrained"])
    assert record["rounds"] == []
    assert record["teacher"] is None
    assert record["train"]["optimiser_steps"] == record["train"]["tokens"] == 0
    assert not (finished["untrained"] / "student").exists()


def test_a_trained_student_is_a_model_folder(finished: dict[str, Path], cell: Run, miniature: tuple[str, ...]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = finished["gold_answers"]
    assert AutoModelForCausalLM.from_pretrained(folder / "student").config.hidden_size == 64
    assert AutoTokenizer.from_pretrained(folder / "student")("1+2")["input_ids"]
    assert folder.name in (folder / "student" / "README.md").read_text()
    again = cell((*miniature, "student=smollm2_135m", f"student.path={folder / 'student'}", "student.max_length=192"))
    again.student.check()


def test_training_curves_are_written(finished: dict[str, Path]) -> None:
    header = (finished["gold_answers"] / "log" / "metrics.csv").read_text().splitlines()[0]
    assert {"step", "train/loss", "train/answer", "train/learning_rate"} <= set(header.split(","))


def test_seeds_share_purchases_and_differ_in_numbers(cell: Run, miniature: tuple[str, ...], results: Any) -> None:
    from benchmark.run_cell import run_cell

    for seed in (1, 2):
        overrides = (*miniature, f"results_dir={results.path}", f"seed={seed}", "budget.questions=40")
        run_cell(cell(overrides), Said())
    one, two = results.records()
    bought = [results.table(record["cell_id"], "annotations").sort_values("id") for record in (one, two)]
    assert list(bought[0]["rationale"]) == list(bought[1]["rationale"])
    assert one["rounds"][0]["charged"] == two["rounds"][0]["charged"]


# --- whole or not at all ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit], ids=lambda error: error.__name__)
def test_an_interrupted_cell_does_not_appear(
    stop: type[BaseException], cell: Run, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.run_cell import run_cell
    from benchmark.running.examination import Examination

    def interrupted(*_: Any) -> Any:
        raise stop

    wanted = cell((*miniature, f"results_dir={results.path}"))
    with monkeypatch.context() as patch:
        patch.setattr(Examination, "teacher_reference", interrupted)
        with pytest.raises(stop):
            run_cell(wanted, Said())
    assert not results.cells()
    assert run_cell(wanted, Said()).status == "complete"
    assert not (results.path / ".attempts").exists()


def test_the_record_is_written_last_and_the_folder_renamed_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    folder = CellFolder(tmp_path, "abc")
    folder.write_predictions("predictions", [])
    seen: list[list[str]] = []

    def look(_: int) -> None:
        seen.append(sorted(path.name for path in folder.path.iterdir()))
        assert not folder.final.exists()

    monkeypatch.setattr(os, "fsync", look)
    assert folder.finish(complete_record()) == tmp_path / "abc"
    assert seen == [["predictions.parquet", "record.json"]]
    assert not folder.path.exists()


def test_a_number_that_is_no_number_never_becomes_a_record(tmp_path: Path) -> None:
    folder = CellFolder(tmp_path, "abc")
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.finish(complete_record(value=math.nan))
    assert not folder.final.exists()


def test_what_stood_there_is_kept(tmp_path: Path) -> None:
    for number in range(3):
        CellFolder(tmp_path, "abc").finish(failed_record(error=str(number)))
    assert cell_on_disk(tmp_path, "abc").problem == "2"
    kept = [json.loads((tmp_path / ".attempts" / f"abc-{i}" / "record.json").read_text())["error"] for i in (1, 2)]
    assert kept == ["0", "1"]


def test_a_folder_alone_proves_nothing(tmp_path: Path) -> None:
    assert cell_on_disk(tmp_path, "abc").status == "missing"
    (tmp_path / "abc").mkdir()
    assert cell_on_disk(tmp_path, "abc").status == "missing"
    (tmp_path / "abc" / "record.json").write_text(json.dumps(complete_record().as_json()))
    assert cell_on_disk(tmp_path, "abc").status == "complete"
    (tmp_path / "abc" / "record.json").write_text('{"status": "complete"}')
    assert "is damaged (lacks cell_id)" in str(cell_on_disk(tmp_path, "abc").problem)
    (tmp_path / "abc" / "record.json").write_bytes(b"\xff\xfe")
    assert cell_on_disk(tmp_path, "abc").status == "damaged"


def test_a_finished_cell_is_kept_where_its_record_has_a_field_of_another_kind(tmp_path: Path) -> None:
    folder = CellFolder(tmp_path, "abc")
    (folder.path / "predictions.parquet").write_bytes(b"rows")
    place = folder.finish(complete_record(cell_id="abc"))
    record = json.loads((place / "record.json").read_text())
    record["train"]["optimiser_steps"] = "many"
    (place / "record.json").write_text(json.dumps(record))
    found = cell_on_disk(tmp_path, "abc")
    assert (found.status, found.record) == ("complete", None)
    assert "train.optimiser_steps" in str(found.problem)
    (place / "predictions.parquet").write_bytes(b"other")
    assert cell_on_disk(tmp_path, "abc").status == "damaged"


def test_a_results_folder_is_made_and_left_clean(tmp_path: Path) -> None:
    refuse_unwritable(tmp_path / "a" / "b")
    assert not list((tmp_path / "a" / "b").iterdir())
