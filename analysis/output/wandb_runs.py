"""Finished cells as runs at Weights & Biases, as if they had been logged there while they ran."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd

from analysis.output.wandb_account import is_logged_in, require_wandb
from analysis.records.curve_rows import curve_rows
from analysis.records.load import WHAT_TO_RUN, ResultsError, load_records
from analysis.records.manifests import load_sweeps
from benchmark.records.schema import (
    EXAMPLE_COLUMNS,
    EXAMPLES_TABLE,
    STEP_AXIS,
    CompleteRecord,
    read_record,
    tracked_cell,
)

MODES = ("auto", "online", "offline")
PLACE = ".wandb"
"""The folder of offline runs in a results folder: no cell's name begins with a dot."""
SOURCE = "source.json"
"""The file beside an offline run that says what it was made from."""
EXAMPLES = 50
"""Test questions in the table of a run, as many as `logger=wandb` shows."""
Found = Literal["written", "there already", "uploaded", "logged while it ran"]


@dataclass(frozen=True)
class FinishedRun:
    """A finished cell that is about to become a run."""

    folder: Path
    """The cell's folder."""
    record: CompleteRecord
    """Its record."""
    group: str | None
    """The name of the manifest of the first sweep that wanted it."""
    project: str
    """The project at W&B."""

    @property
    def source(self) -> dict[str, str | None]:
        """What the run is made from: where it has not changed, the run has not."""
        files = [self.folder / name for name in ("record.json", "log/metrics.csv", "predictions.parquet")]
        hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}
        return {"project": self.project, "group": self.group, **hashes}

    @property
    def was_logged(self) -> bool:
        """Whether the cell ran with `logger=wandb`, and so has a run in its folder."""
        return any((self.folder / "wandb").glob("*run-*"))


def wandb_sync(results: Path, project: str, mode: str = "auto") -> list[str]:
    """Makes a W&B run of every finished cell that ran without `logger=wandb`; returns what to tell the user.

    The run's id is the cell's, so that a second call makes no second run: offline it leaves a run alone whose record is
    unchanged, online it writes the same run again.

    Args:
        results: The results folder.
        project: The project at W&B; its owner is W&B's own setting, `WANDB_ENTITY`.
        mode: `online` uploads; `offline` writes to `RESULTS/.wandb`, from where `wandb sync` uploads; `auto` is
            `online` where somebody is logged in, else `offline`.

    Raises:
        ResultsError: wandb is not installed, nobody is logged in for `online`, the mode is unknown, `results` holds no
            finished cell, or W&B refuses a run.
    """
    require_wandb("wandb")
    online = _is_online(mode)
    records = load_records(results)
    if not records.complete:
        raise ResultsError(f"{results} holds no finished cell: {WHAT_TO_RUN}")
    groups = _groups(results)
    counts: Counter[Found] = Counter()
    for cell in records.complete:
        folder = results / cell.names.cell_id
        record = cast(CompleteRecord, read_record(folder / "record.json"))
        run = FinishedRun(folder, record, groups.get(record.cell_id), project)
        counts[_made(run, results / PLACE, online)] += 1
    return [*_lines(counts, results, project, mode), *(f"skipped {problem}" for problem in records.problems)]


def _is_online(mode: str) -> bool:
    if mode not in MODES:
        raise ResultsError(f"mode {mode!r} must be one of {', '.join(MODES)}")
    if mode == "online" and not is_logged_in():
        raise ResultsError("mode online needs a login, and W&B knows none: run `wandb login`, or choose mode offline")
    return mode == "online" or (mode == "auto" and is_logged_in())


def _groups(results: Path) -> dict[str, str]:
    """Cell id -> name of the manifest of the first sweep that wanted it."""
    sweeps, _ = load_sweeps(results)
    return {cell_id: sweep.name for sweep in reversed(sweeps) for cell_id in sweep.cell_ids}


def _made(run: FinishedRun, place: Path, online: bool) -> Found:
    if run.was_logged:
        return "logged while it ran"
    if online:
        with tempfile.TemporaryDirectory() as folder:
            _log(run, Path(folder), "online")
        return "uploaded"
    final, source = place / run.record.cell_id, json.dumps(run.source)
    if (final / SOURCE).is_file() and (final / SOURCE).read_text(encoding="utf-8") == source:
        return "there already"
    partial = place / f".{run.record.cell_id}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _log(run, partial, "offline")
    for link in filter(Path.is_symlink, (partial / "wandb").iterdir()):  # to where the run is now, and will not be
        link.unlink()
    (partial / SOURCE).write_text(source, encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    return "written"


def _log(run: FinishedRun, folder: Path, mode: Literal["online", "offline"]) -> None:
    """Writes one whole run."""
    import wandb

    try:
        with _opened(run, folder, mode) as opened:
            opened.define_metric(STEP_AXIS)
            opened.define_metric("*", step_metric=STEP_AXIS, step_sync=True)
            for row in curve_rows(run.folder, run.record):
                opened.log({STEP_AXIS: int(row["step"]), **{name: row[name] for name in row if name != "step"}})
            if (table := _examples(run.folder / "predictions.parquet", wandb.Table)) is not None:
                opened.log({STEP_AXIS: run.record.train.optimiser_steps, EXAMPLES_TABLE: table})
    except wandb.Error as error:
        said = " ".join(str(error).split())
        raise ResultsError(f"W&B refuses the run of cell {run.record.cell_id}: {said}") from error


def _opened(run: FinishedRun, folder: Path, mode: Literal["online", "offline"]) -> Any:
    """A run of this cell, without a word on this machine, which may not be the one that ran it."""
    import wandb

    cell = tracked_cell(run.record, run.group)
    settings = wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    return wandb.init(
        project=run.project,
        id=cell.cell_id,
        name=cell.name,
        group=cell.group,
        tags=cell.tags,
        config=dict(cell.config),
        dir=folder,
        mode=mode,
        reinit="create_new",
        settings=settings,
    )


def _examples(path: Path, table: Callable[..., Any]) -> Any:
    """The first test questions with what the student wrote; None where the predictions are not there."""
    if not path.is_file():
        return None
    frame = pd.read_parquet(path).head(EXAMPLES)
    frame = frame[[name for name in EXAMPLE_COLUMNS if name in frame]]
    return table(columns=list(frame), data=frame.astype(object).where(frame.notna(), None).to_numpy().tolist())


def _lines(counts: Mapping[Found, int], results: Path, project: str, mode: str) -> list[str]:
    """What came of the cells, with the command that uploads what lies on the disk."""
    lines = []
    if counts["uploaded"]:
        lines.append(f"{_runs(counts['uploaded'])} uploaded to the project {project}")
    if counts["written"] or counts["there already"]:
        why = ", because nobody is logged in" if mode == "auto" else ""
        there = f", {counts['there already']} of them earlier" if counts["there already"] else ""
        total = counts["written"] + counts["there already"]
        lines.append(f"{_runs(total)} in {results / PLACE}, offline{why}{there}")
        lines.append(f"upload with: wandb sync {results / PLACE}/*/wandb/offline-run-*")
    if logged := counts["logged while it ran"]:
        have = "has a run of its own" if logged == 1 else "have runs of their own"
        lines.append(f"{logged} {'cell' if logged == 1 else 'cells'} ran with logger=wandb and {have}")
        lines.append(f"upload the offline ones with: wandb sync {results}/*/wandb/offline-run-*")
    return lines


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"
