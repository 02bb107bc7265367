"""Weights & Biases, offline: a run of its own for every cell, with all rounds, closed when the cell is done."""

from __future__ import annotations

import contextlib
import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.output.wandb_runs import wandb_sync
from benchmark.errors import ConfigError
from benchmark.records.curves import METRICS
from benchmark.records.loggers import WandbLog, cell_loggers
from benchmark.records.tracking import LONGEST_TAG, TrackedCell, tracked_cell
from benchmark.running.isolation import isolated
from tests.cells import Silent
from tests.offline_runs import OfflineRun, offline_runs
from tests.records.small_records import complete_record

wandb = pytest.importorskip("wandb", reason="needs the extra wandb: pip install 'distillation-benchmark[wandb]'")

Run = Callable[..., Any]
A_CELL = TrackedCell("a-cell", "a cell", "a sweep", ("tag",), {"seed": 1})
THREE_ROUNDS = (
    "logger=wandb", "references=false", "dataset.pool_size=40", "dataset.validation_size=4", "dataset.test_size=4",
    "evaluation.validation_size=4", "budget.questions=12", "optimization.max_steps=4", "student.max_new_tokens=16",
    "trainer.log_every_n_steps=2", "trainer.save_student=false",
)  # fmt: skip
"""Of cells with rounds, each of which trains the initial student anew for four steps."""
ELAD = ("method=elad", "selection.explanations=2", "schedule.least_gain=0", "schedule.rounds.rounds=3", *THREE_ROUNDS)


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Whatever this machine knows of W&B is kept out, and a run that a test leaves open does not reach the next."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_RUN_ID", "WANDB_RUN_GROUP", "WANDB_TAGS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    yield
    wandb.teardown()


def runs_of(folder: Path) -> list[OfflineRun]:
    """The offline runs below a folder, as W&B would upload them."""
    wandb.teardown()  # a process of its own writes them, a while after a run is finished
    return offline_runs(folder)


def manifest_names(results: Any) -> list[str]:
    return sorted(path.stem for path in (results.path / ".manifests").glob("*.json"))


def logged_rows(folder: Path) -> list[dict[str, float]]:
    """The rows of `metrics.csv`, whose step has W&B's name."""
    with (folder / METRICS).open(newline="", encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    return [{"trainer/global_step": row.pop("step"), **row} for row in rows]


def numbers(run: OfflineRun) -> list[dict[str, float]]:
    """What a run holds of its cell, row by row, without the table and what W&B adds itself."""
    rows = [row for row in run.history if "test/examples/path" not in row]
    return [{name: value for name, value in row.items() if not name.startswith("_")} for row in rows]


def assert_complete(run: OfflineRun, record: dict[str, Any]) -> None:
    """The run has every number of every round of the record, and its step never goes back."""
    steps = [row["trainer/global_step"] for row in run.history]
    assert steps == sorted(steps)
    assert run.curve("train/loss")[0][0] == 0
    at = 0
    for number, round_ in enumerate(record["rounds"]):
        at += round_["optimiser_steps"]
        assert [row["round"] for row in run.history if at - 4 < row["trainer/global_step"] < at] == [number]
        assert run.curve("validation/accuracy")[number] == (at, round_["validation"]["accuracy"])
        assert run.curve("annotated")[number] == (at, round_["annotated"])
        for book in ("charged", "spent"):
            for source, entry in round_[book].items():
                for name, amount in entry.items():
                    assert run.curve(f"{book}/{source}/{name}")[number] == (at, amount)
        for name, value in round_["notes"].items():
            assert dict(run.curve(f"note/{name}"))[at] == value
    assert run.curve("test/accuracy") == [(at, record["test"][0]["value"])]


# --- a sweep ---------------------------------------------------------------------------------------------------------


def test_a_sweep_of_two_cells_leaves_two_runs_with_all_metrics_of_all_rounds(command: Run, results: Any) -> None:
    done = command("-m", "schedule=three_rounds_restarted", *THREE_ROUNDS, "seed=1,2")
    assert done.status == 0, done.err
    records, runs = results.records(), runs_of(results.path)
    assert [run.run_id for run in runs] == [record["cell_id"] for record in records]
    [sweep] = manifest_names(results)
    for run, record in zip(runs, records, strict=True):
        assert len(record["rounds"]) == 3
        assert record["rounds"][0]["charged"]["teacher"]["calls"] > 0
        assert_complete(run, record)
        assert numbers(run) == logged_rows(results.path / record["cell_id"])
        assert (run.group, run.project, run.exit_code) == (sweep, "distillation-benchmark", 0)
        assert run.tags[1:] == ("chain_sum", "tiny", f"seed {record['seed']}")
        assert (run.config["method"], run.config["seed"]) == (record["method"], record["seed"])
        assert run.config["settings"]["selection"] == record["config"]["selection"]
        shown, kept = run.table("test/examples"), results.table(record["cell_id"])
        assert [row[shown["columns"].index("text")] for row in shown["data"]] == list(kept["text"])
    assert not list((results.path / ".writing").iterdir())  # what W&B writes late follows the cell to its place

    for folder in results.path.glob("*/wandb"):
        shutil.rmtree(folder)
    wandb_sync(results.path, "distillation-benchmark", "offline")
    for run, synced in zip(runs, runs_of(results.path), strict=True):  # from the records alone
        assert (synced.run_id, synced.group, synced.name, synced.tags) == (run.run_id, run.group, run.name, run.tags)
        assert synced.config == run.config
        assert numbers(synced) == numbers(run)


def test_a_cell_that_is_run_later_stays_in_the_group_of_its_first_sweep(
    command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    sweep = ("-m", "method=gold_answers", *miniature, "logger=wandb", "references=false", "logger.examples=3")
    assert command(*sweep, "seed=1").status == 0
    [first] = results.cells()
    shutil.rmtree(results.path / first)  # it is missing, and so the next command runs it
    assert command(*sweep, "seed=1,2").status == 0
    older, newer = manifest_names(results)
    assert {run.run_id: run.group for run in runs_of(results.path)} == {
        record["cell_id"]: older if record["seed"] == 1 else newer for record in results.records()
    }
    assert [len(run.table("test/examples")["data"]) for run in runs_of(results.path)] == [3, 3]


def test_a_lone_cell_belongs_to_no_group(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    done = command("method=gold_answers", *miniature, "logger=wandb", "logger.examples=0")
    assert (done.status, "wandb" in done.err) == (0, False)
    [run] = runs_of(results.path)
    assert run.group == ""
    assert not run.curve("test/examples/path")


def test_no_key_of_the_environment_is_written(
    command: Run, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {"OPENAI_API_KEY": "sk-of-the-teacher", "HF_TOKEN": "hf_of_the_hub", "WANDB_API_KEY": "b" * 40}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    assert command("method=gold_answers", *miniature, "logger=wandb").status == 0
    assert runs_of(results.path)
    files = [path for path in results.path.rglob("*") if path.is_file()]
    assert len([path for path in files if "wandb" in path.parts]) > 3
    for path in files:
        for name, value in secrets.items():
            assert value.encode() not in path.read_bytes(), f"{path} holds {name}"


@pytest.mark.slow
def test_with_joblib_every_cell_has_its_run(run_cli: Run, results: Any) -> None:
    done = run_cli("-m", *ELAD, "seed=1,2,3", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stderr
    records, runs = results.records(), offline_runs(results.path)
    assert [run.run_id for run in runs] == [record["cell_id"] for record in records]
    assert len(runs) == 3
    assert {run.group for run in runs} == set(manifest_names(results))
    for run, record in zip(runs, records, strict=True):
        assert_complete(run, record)


# --- a cell that was stopped -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [2, 8])
def test_a_cell_that_was_killed_goes_on_in_one_run_with_the_whole_curve(step: int, tmp_path: Path) -> None:
    from benchmark.student.module import StudentModule
    from tests.corridor.corridor_parts import Killed
    from tests.corridor.test_evidence import curves, logged
    from tests.corridor.test_resume import die_at

    cell = curves(restart=True)  # two rounds of six steps
    stuck = pytest.MonkeyPatch()
    die_at(stuck, StudentModule, "training_step", step, after=True)
    with pytest.raises(Killed):
        logged(cell, tmp_path / "killed", kind=WandbLog())
    stuck.undo()
    for folder in ("killed", "whole"):
        logged(cell, tmp_path / folder, kind=WandbLog())
    (killed,), (whole,) = (runs_of(tmp_path / folder / ".writing") for folder in ("killed", "whole"))
    assert killed.run_id == whole.run_id
    assert len(killed.curve("train/loss")) == 12
    assert numbers(killed) == numbers(whole)


@pytest.mark.parametrize("fails", [False, True])
def test_a_cell_closes_its_run(fails: bool, tmp_path: Path) -> None:
    opened = cell_loggers(WandbLog(), tmp_path, tmp_path / "attempts", A_CELL)
    with contextlib.suppress(ZeroDivisionError), opened as loggers:
        [_, logger] = loggers
        run = logger.experiment
        run.log({"before": 1})
        if fails:
            raise ZeroDivisionError
    with pytest.raises(wandb.UsageError, match="finished"):
        run.log({"after": 1})
    [written] = runs_of(tmp_path)
    assert [row["before"] for row in written.history] == [1]
    assert written.exit_code == int(fails)


def test_an_attempt_that_logs_nothing_keeps_what_was_logged_before(tmp_path: Path) -> None:
    for number in range(2):
        (folder := tmp_path / str(number)).mkdir()
        opened = cell_loggers(WandbLog(), folder, tmp_path / "attempts", A_CELL)
        with contextlib.suppress(ZeroDivisionError), opened as loggers:
            for logger in loggers if number == 0 else ():
                logger.log_metrics({"round": 0, "train/loss": 2.5}, step=7)
            raise ZeroDivisionError
    assert [run.curve("train/loss") for run in runs_of(tmp_path)] == [[(7, 2.5)], [(7, 2.5)]]


def test_two_cells_of_one_process_have_a_run_each(cell: Run, miniature: tuple[str, ...], results: Any) -> None:
    from benchmark.run_cell import run_cell

    for seed in (1, 2):
        overrides = (*miniature, "logger=wandb", f"results_dir={results.path}", f"seed={seed}", "method=gold_answers")
        outcome = run_cell(cell(overrides), Silent())
        assert outcome.status == "complete", outcome.message
    for record in results.records():
        [run] = runs_of(results.path / record["cell_id"])
        assert run.config["seed"] == record["seed"]
        assert run.curve("train/loss")
        # The score comes last, after training: what is missing here was written elsewhere or was never written out.
        assert len(run.curve("test/accuracy")) == 1


def test_a_run_that_a_part_leaves_open_ends_with_its_cell(tmp_path: Path) -> None:
    """A loss or a library that calls `wandb.init` and forgets it would swallow what the next one logs."""
    with isolated():
        wandb.init(mode="disabled", dir=tmp_path)
        assert wandb.run is not None
    assert wandb.run is None


def test_a_run_of_the_caller_stays_open(tmp_path: Path) -> None:
    mine = wandb.init(mode="disabled", dir=tmp_path)
    with isolated():
        pass
    assert wandb.run is mine
    mine.finish()


def test_only_an_online_run_has_an_address() -> None:
    from benchmark.records.wandb_logger import WandbCellLogger

    online = SimpleNamespace(offline=False, url="https://wandb.ai/team/project/runs/a-cell")
    assert WandbCellLogger(online, (), 0).address() == online.url
    assert WandbCellLogger(SimpleNamespace(offline=True, url="never asked for"), (), 0).address() is None


# --- settings --------------------------------------------------------------------------------------------------------


def test_online_without_a_login_is_refused_before_any_work(
    command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    refused = command("method=gold_answers", *miniature, "logger=wandb", "logger.mode=online")
    assert refused.status == 2
    assert "logger.mode=online needs a login, and W&B knows none: run `wandb login`" in refused.complaint
    assert not results.cells()


def test_online_with_a_key_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    WandbLog(mode="online").check()


def test_a_negative_number_of_examples_is_refused(cell: Run) -> None:
    with pytest.raises(ConfigError, match=r"examples=-1 must be a number of test questions, or 0"):
        cell(("logger=wandb", "logger.examples=-1"))


def test_a_tag_is_cut_where_wandb_would_refuse_it() -> None:
    header = complete_record(method="m" * 80)
    tags = tracked_cell(header, None).tags
    assert tags == ("m" * 63 + "…", "chain_sum", "tiny", "seed 1")
    assert tracked_cell(header, None).config["method"] == "m" * 80
    wandb.Settings(run_tags=tags)
    with pytest.raises(ValueError, match="between 1 and 64"):
        wandb.Settings(run_tags=("m" * (LONGEST_TAG + 1),))
