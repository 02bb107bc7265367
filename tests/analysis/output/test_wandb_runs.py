"""Finished cells become W&B runs: the same as if they had been logged, each once."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.output.wandb_runs import wandb_sync
from analysis.records.load import ResultsError
from tests.analysis.record_files import Record, make_record, write_manifest, write_record
from tests.offline_runs import OfflineRun, offline_runs

HEAD = "round,step,train/loss,validation/accuracy,test/accuracy\n"


def absent(name: str) -> None:
    """What `find_spec` answers for a package that is not installed."""


def written_cell(results: Path, seed: int = 1, rounds: int = 2) -> Record:
    """A cell of rounds of ten steps, with its curves and its predictions; the record as written."""
    entry = {"calls": 5, "prompt_tokens": 50, "completion_tokens": 20, "usd": None, "questions": 4}
    books = [{"teacher": {name: value and value * (i + 1) for name, value in entry.items()}} for i in range(rounds)]
    all_rounds = [
        {"index": i, "optimiser_steps": 10, "annotated": 4 * (i + 1), "charged": book, "spent": {}}
        | {"validation": {"accuracy": 0.25 * i}, "notes": {"flaws": i}}
        for i, book in enumerate(books)
    ]
    train = {"tokens": 1, "optimiser_steps": 10 * rounds, "seconds": 1, "flops": 1}
    record = make_record(seed=seed, rounds=all_rounds, train=train)
    folder = write_record(results, record).parent
    curves = "".join(f"{i},{10 * i},{2.5 - i},,\n{i},{10 * i + 10},,{0.25 * i},\n" for i in range(rounds))
    (folder / "log").mkdir()
    (folder / "log" / "metrics.csv").write_text(f"{HEAD}{curves},{10 * rounds},,,0.9\n", encoding="utf-8")
    answers = ["4", *[None] * 59]
    rows = {"example_id": [f"q-{i}" for i in range(60)], "text": ["so 4"] * 60, "answer": answers}
    pd.DataFrame({**rows, "correct": [answer == "4" for answer in answers]}).to_parquet(folder / "predictions.parquet")
    return record


def says(lines: list[str], *parts: str) -> None:
    for part in parts:
        assert any(part in line for line in lines), lines


# --- without the package ---------------------------------------------------------------------------------------------


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_cell(results)
    monkeypatch.setattr(importlib.util, "find_spec", absent)
    with pytest.raises(ResultsError, match=r"the package wandb, which is not installed: pip install '.*\[wandb\]'"):
        wandb_sync(results, "project", "offline")
    assert not (results / ".wandb").exists()


def test_a_folder_called_wandb_is_not_the_package(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = importlib.machinery.ModuleSpec("wandb", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: folder)
    with pytest.raises(ResultsError, match="the package wandb, which is not installed"):
        wandb_sync(results, "project", "offline")


# --- with it ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The package, without an account."""
    package = pytest.importorskip("wandb", reason="needs the extra wandb: pip install 'distillation-benchmark[wandb]'")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_RUN_ID", "WANDB_RUN_GROUP", "WANDB_TAGS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    yield package
    package.teardown()


def runs_in(folder: Path, wandb: Any) -> list[OfflineRun]:
    wandb.teardown()
    return offline_runs(folder)


def times(results: Path) -> dict[Path, int]:
    """When each offline run was written."""
    return {path: path.stat().st_mtime_ns for path in results.glob(".wandb/*/wandb/offline-run-*/run-*.wandb")}


def test_a_finished_cell_becomes_the_run_that_its_logger_would_have_made(results: Path, wandb: Any) -> None:
    record = written_cell(results)
    manifest = write_manifest(results, [record])
    write_manifest(results, [record], "2026-11-22T10:00:00")  # the same command again
    lines = wandb_sync(results, "a-project", "auto")
    says(lines, f"1 run in {results / '.wandb'}, offline, because nobody is logged in", "upload with: wandb sync ")
    [run] = runs_in(results, wandb)
    assert (run.run_id, run.group, run.project) == (record["cell_id"], manifest.stem, "a-project")
    assert run.tags == ("rationale_then_answer", "chain_sum", "tiny", "seed 1")
    assert (run.config["method"], run.config["settings"]["format"]) == (record["method"], record["config"]["format"])
    assert run.curve("train/loss") == [(0, 2.5), (10, 1.5)]
    assert run.curve("validation/accuracy") == [(10, 0), (20, 0.25)]  # once, though csv and record both know them
    assert run.curve("annotated") == [(10, 4), (20, 8)]
    assert run.curve("charged/teacher/calls") == [(10, 5), (20, 10)]
    assert run.curve("note/flaws") == [(10, 0), (20, 1)]
    assert run.curve("test/accuracy") == [(20, 0.9)]
    assert run.curve("round") == [(0, 0), (10, 0), (10, 0), (10, 1), (20, 1), (20, 1)]
    assert not run.curve("charged/teacher/usd")  # nobody knows the price
    table = run.table("test/examples")
    assert table["columns"] == ["example_id", "text", "answer", "correct"]
    assert len(table["data"]) == 50
    assert table["data"][:2] == [["q-0", "so 4", "4", True], ["q-1", "so 4", None, False]]


def test_a_second_call_makes_no_second_run_and_a_changed_record_replaces_its_run(results: Path, wandb: Any) -> None:
    one, other = written_cell(results, seed=1), written_cell(results, seed=2)
    wandb_sync(results, "project", "offline")
    before = times(results)
    assert len(before) == 2
    says(wandb_sync(results, "project", "offline"), "2 runs in ", ", offline, 2 of them earlier")
    assert times(results) == before

    one["test"][0]["value"] = 0.5
    (results / one["cell_id"] / "record.json").write_text(json.dumps(one), encoding="utf-8")
    says(wandb_sync(results, "project", "offline"), ", offline, 1 of them earlier")
    scores = {run.run_id: run.curve("test/accuracy")[-1] for run in runs_in(results, wandb)}
    assert scores == {one["cell_id"]: (20, 0.5), other["cell_id"]: (20, 0.9)}


def test_a_run_that_was_cut_off_is_written_again(results: Path, wandb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written_cell(results)
    with monkeypatch.context() as broken:
        broken.setattr(wandb, "Table", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            wandb_sync(results, "project", "offline")
    assert not list((results / ".wandb").glob("[!.]*"))
    says(wandb_sync(results, "project", "offline"), "1 run in ")
    [run] = runs_in(results, wandb)
    assert run.table("test/examples")["data"]


def test_a_cell_that_was_logged_while_it_ran_keeps_its_own_run(results: Path, wandb: Any) -> None:
    record = written_cell(results)
    (results / record["cell_id"] / "wandb" / "offline-run-1-id").mkdir(parents=True)
    lines = wandb_sync(results, "project", "offline")
    says(lines, "1 cell ran with logger=wandb", f"wandb sync {results}/*/wandb/offline-run-*")
    assert not (results / ".wandb").exists()


def test_without_curves_and_predictions_the_record_alone_makes_a_run(results: Path, wandb: Any) -> None:
    record = written_cell(results)
    shutil.rmtree(results / record["cell_id"] / "log")
    (results / record["cell_id"] / "predictions.parquet").unlink()
    wandb_sync(results, "project", "offline")
    [run] = runs_in(results, wandb)
    assert run.curve("validation/accuracy") == [(10, 0), (20, 0.25)]
    assert run.curve("test/accuracy") == [(20, 0.9)]
    assert not run.curve("train/loss")


def test_what_cannot_be_synced_is_said(results: Path, wandb: Any) -> None:
    with pytest.raises(ResultsError, match="holds no finished cell: run `python -m benchmark"):
        wandb_sync(results, "project", "offline")
    written_cell(results)
    with pytest.raises(ResultsError, match="mode 'dry' must be one of auto, online, offline"):
        wandb_sync(results, "project", "dry")
    with pytest.raises(ResultsError, match="mode online needs a login, and W&B knows none: run `wandb login`"):
        wandb_sync(results, "project", "online")
    (results / "damaged").mkdir()
    (results / "damaged" / "record.json").write_text("{", encoding="utf-8")
    says(wandb_sync(results, "project", "offline"), f"skipped {results / 'damaged' / 'record.json'}: cannot be read")


def test_a_run_says_nothing_of_the_machine_that_made_it(results: Path, wandb: Any) -> None:
    record = written_cell(results)
    wandb_sync(results, "project", "offline")
    wandb.teardown()
    [path] = results.glob(".wandb/*/wandb/offline-run-*/run-*.wandb")
    assert sys.executable.encode() not in path.read_bytes()
    assert not list((results / ".wandb" / record["cell_id"]).rglob("requirements.txt"))
