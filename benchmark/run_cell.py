"""From a checked cell to its record on disk: finished cells are left alone, failures are recorded, nothing raises."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from benchmark.cell.cell import Cell
from benchmark.cell.identity import id_of, identity
from benchmark.console.progress import Display
from benchmark.errors import ConfigError
from benchmark.interruption import Interrupted, stoppable
from benchmark.records.catalog import cell_on_disk
from benchmark.records.journal import Journal
from benchmark.records.loggers import Tracker, cell_loggers
from benchmark.records.manifest import sweep_of
from benchmark.records.prerequisites import prerequisites
from benchmark.records.record import CellFolder
from benchmark.records.schema import BudgetLimits, CompleteRecord, RecordHeader
from benchmark.records.tracking import final_metrics, tracked_cell
from benchmark.running.isolation import isolated


@dataclass(frozen=True)
class Outcome:
    """What became of a cell, in plain values that every launcher can carry between processes."""

    cell_id: str
    """Empty where the cell was not run."""
    description: str
    """The cell in a few words."""
    status: Literal["complete", "already complete", "failed", "refused", "not run"]
    """`refused`: the cell cannot run as it is configured; `not run`: planned, or annotated ahead."""
    message: str
    """The score of a complete cell, or why it failed."""


def run_cell(cell: Cell, display: Display) -> Outcome:
    """Runs a cell unless its record is complete; returns how it went and raises only for an interruption."""
    who = identity(cell)
    identifier, results = id_of(who), Path(cell.results_dir)
    (results / ".locks").mkdir(parents=True, exist_ok=True)
    with FileLock(results / ".locks" / f"{identifier}.lock"):
        found = cell_on_disk(results, identifier)
        if found.status == "complete":
            known = summary(found.record) if isinstance(found.record, CompleteRecord) else str(found.problem)
            return Outcome(identifier, cell.describe(), "already complete", known)
        if found.status == "damaged":
            display.say(str(found.problem))
        with isolated(), stoppable():
            return _run_and_record(cell, who, results, display)


def _run_and_record(cell: Cell, who: dict[str, Any], results: Path, display: Display) -> Outcome:
    from benchmark.student.memory import forget_peak, keep_freed_memory

    identifier = id_of(who)
    folder = CellFolder(results, identifier)
    journal = Journal.open(results, identifier, display.say)
    header = _header(cell, who)
    started = time.perf_counter()
    display.say("goes on where an earlier attempt stopped" if journal.has_work else "started")
    keep_freed_memory()
    forget_peak()
    try:
        record = _complete(cell, header, folder, journal, display, started)
        place = folder.finish(record)
        journal.forget()
        message = f"{summary(record)} -> {place}"
        display.say(f"complete: {message}")
        return Outcome(identifier, cell.describe(), "complete", message)
    except (KeyboardInterrupt, Interrupted):
        folder.discard()
        raise
    except Exception as error:
        return _record_failure(cell, header, folder, display, error)


def _record_failure(
    cell: Cell, header: RecordHeader, folder: CellFolder, display: Display, error: Exception
) -> Outcome:
    """Writes why the cell failed, if there is still a place for it."""
    message = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    try:
        (folder.path / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        folder.finish(header.failed(message))
    except OSError as trouble:
        message = f"{folder.why_unwritable(trouble)}; the cell has no record, and the same command runs it again"
    display.say(f"failed: {message}")
    status: Literal["failed", "refused"] = "refused" if isinstance(error, ConfigError) else "failed"
    return Outcome(header.cell_id, cell.describe(), status, str(error) if status == "refused" else message)


def _complete(
    cell: Cell, header: RecordHeader, folder: CellFolder, journal: Journal, display: Display, started: float
) -> CompleteRecord:
    """Runs the corridor and returns the whole record."""
    import torch

    from benchmark.corridor import CellRun
    from benchmark.records.provenance import provenance
    from benchmark.running.model_card import card_of
    from benchmark.student.export import export
    from benchmark.student.memory import peak_bytes

    tracked = tracked_cell(header, sweep_of(folder.results, header.cell_id))
    with cell_loggers(cell.logger, folder.path, journal.path("curves"), tracked) as loggers:
        trackers = [logger for logger in loggers if isinstance(logger, Tracker)]
        for address in filter(None, (tracker.address() for tracker in trackers)):
            display.say(f"can be watched at {address}")
        run = CellRun(cell, folder, journal, display, loggers)
        result = run.run()
        for logger in loggers:
            logger.log_metrics(final_metrics(result), step=result.train.optimiser_steps)
        for tracker in trackers:
            tracker.show_examples(folder.path, result.train.optimiser_steps)
    origin = provenance(str(run.student.network.device), torch.get_num_threads())
    record = header.completed(result).model_copy(update={"provenance": origin})
    if cell.trainer.save_student and cell.method.trains():
        with display.bar("saving the student", None):
            export(run.student, folder.path / "student", card_of(run, record))
    return record.model_copy(
        update={
            "train": record.train.model_copy(update={"peak_memory_bytes": peak_bytes()}),
            "policy": "last",
            "seconds": time.perf_counter() - started,
        }
    )


def _header(cell: Cell, who: dict[str, Any]) -> RecordHeader:
    return RecordHeader(
        cell_id=id_of(who),
        status="running",
        method=cell.method.name,
        dataset=cell.dataset.name,
        student=cell.student.name,
        teacher=cell.teacher.name if cell.asks_teacher else None,
        seed=cell.seed,
        data_seed=cell.data_seed,
        budget=BudgetLimits(**vars(cell.budget)),
        config=dict(cell.config),
        identity=who,
        prerequisites=prerequisites(cell.model_paths),
    )


def summary(record: CompleteRecord) -> str:
    """The score of a complete record in a few words."""
    test = record.test[0]
    time_taken = "" if record.seconds is None else f" in {record.seconds:.0f} s"
    return f"{test.metric} {test.value:.1%} of {test.n}{time_taken}"
