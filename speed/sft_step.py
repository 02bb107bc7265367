"""Measures seconds per optimiser step and peak memory of supervised fine-tuning, as a cell trains.

Trains on questions with their worked solutions: batch 8, at most 256 tokens, loss on the solution only, AdamW over
float32 weights under bfloat16 autocast, with a CSV logger and checkpoints.

usage: python speed/sft_step.py MODEL_DIR JSONL [STEPS] [compile_layers]
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from pytorch_lightning.loggers import CSVLogger

from benchmark.axes.curriculum import Shuffled
from benchmark.axes.format import RationaleThenAnswer
from benchmark.axes.loss import CrossEntropy
from benchmark.cell.context import CellContext
from benchmark.contract import Method
from benchmark.records.journal import Journal
from benchmark.student.checkpoint import FitJournal
from benchmark.student.fit import fit, set_threads
from benchmark.student.load import load_student
from benchmark.student.memory import keep_freed_memory
from benchmark.student.settings import Optimization, TrainerSettings
from benchmark.student.source import PretrainedStudent
from benchmark.types import Json, Round, Span, TrainingExample

BATCH_SIZE, MAX_LENGTH = 8, 256


class NoTallies:
    """Nothing is counted outside this fit."""

    def tallies(self) -> Json:
        """Empty: nothing is counted."""
        return {}

    def restore(self, tallies: Json) -> None:
        """Does nothing."""


def main() -> None:
    """Prints one line of JSON with seconds per step, peak memory and tokens per step."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    model_dir, data = sys.argv[1:3]
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 12
    keep_freed_memory()
    settings = TrainerSettings(
        accelerator="cpu", log_every_n_steps=1, compile_layers=sys.argv[4:] == ["compile_layers"]
    )
    optimization = Optimization(steps, BATCH_SIZE, learning_rate=1e-5, precision="bf16-mixed")
    source = PretrainedStudent("benchmark", model_dir, max_length=MAX_LENGTH, max_new_tokens=128, overlong="truncate")
    student = load_student(source, 1, settings, optimization.precision)
    set_threads(settings, student.parameters)
    finished: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        journal = Journal(Path(scratch), lambda told: None)
        every_seconds = 60 * settings.checkpoint_minutes
        report = fit(
            student,
            worked_solutions(Path(data), BATCH_SIZE * steps),
            METHOD,
            cast(Any, CellContext)(**context_of_nothing(student)),
            optimization,
            settings,
            journal=FitJournal(journal, "fit", every_seconds, NoTallies()),
            loggers=[CSVLogger(scratch)],
            advance=lambda _: finished.append(time.perf_counter()),
        )
    seconds = sorted(after - before for before, after in pairwise(finished[1:]))
    row = {
        "steps": steps,
        "seconds_per_step_median_after_two": round(seconds[len(seconds) // 2], 3),
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "tokens_per_step": round(report.tokens / steps),
    }
    print(json.dumps(row))


METHOD = Method(
    "sft_step",
    schedule=cast(Any, None),
    selection=cast(Any, None),
    annotation=cast(Any, None),
    weighting=cast(Any, None),
    curriculum=Shuffled(),
    format=RationaleThenAnswer("\n#### "),
    loss=CrossEntropy(),
)


def worked_solutions(path: Path, count: int) -> list[TrainingExample]:
    """The first `count` rows of a dataset's file as training examples."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line, _ in zip(file, range(count), strict=False)]
    return [
        TrainingExample(
            row["id"], "rationale_and_answer", row["question"], (Span(f"{row['rationale']}\n#### {row['answer']}"),)
        )
        for row in rows
    ]


def context_of_nothing(student: Any) -> dict[str, Any]:
    """The arguments of a context for parts that use only random numbers from it."""
    return dict(
        dataset=SimpleNamespace(task=None),
        format=METHOD.format,
        student=student,
        local_assistant=None,
        teachers=(),
        loss_settings=METHOD.loss.settings,
        prompts=None,
        seed=1,
        data_seed=1,
        round=Round(0, 1.0),
        history=(),
        gold_rows={},
        gold_axes=frozenset(),
    )


if __name__ == "__main__":
    main()
