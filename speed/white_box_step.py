"""Measures seconds per optimiser step and peak memory of white-box distillation, as a cell trains.

Teacher: the model in MODEL_DIR. Student: its first 10 layers. Trains on questions with their worked solutions: batch 8,
at most 256 tokens, Jensen-Shannon divergence with equal weights on the solution, AdamW over float32 weights, with a CSV
logger and checkpoints. It also measures how fast this machine multiplies matrices, and says what share of that rate the
step reaches, counting only the products that the step needs.

usage: python speed/white_box_step.py MODEL_DIR JSONL [STEPS] [bfloat16|float32] [compile_layers]
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_lightning.loggers import CSVLogger
from sft_step import BATCH_SIZE, MAX_LENGTH, METHOD, NoTallies, context_of_nothing, worked_solutions

from benchmark.cell.context import CellContext
from benchmark.records.journal import Journal
from benchmark.student.checkpoint import FitJournal
from benchmark.student.fit import fit, set_threads
from benchmark.student.frozen import Frozen
from benchmark.student.load import load_student
from benchmark.student.memory import keep_freed_memory
from benchmark.student.pruned import PrunedStudent
from benchmark.student.settings import Optimization, TrainerSettings
from benchmark.student.source import PretrainedStudent
from benchmark.student.student import Student
from methods.white_box import JensenShannon, WhiteBox

LAYERS = 10
PRECISIONS = {"bfloat16": "bf16-mixed", "float32": "32-true"}


def main() -> None:
    """Prints one line of JSON with seconds per step, peak memory, and the share of the products' limit."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    model_dir, data = sys.argv[1:3]
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 8
    dtype = sys.argv[4] if len(sys.argv) > 4 else "bfloat16"
    keep_freed_memory()
    settings = TrainerSettings(accelerator="cpu", log_every_n_steps=1, compile_layers="compile_layers" in sys.argv)
    optimization = Optimization(steps, BATCH_SIZE, learning_rate=1e-5, precision=cast(Any, PRECISIONS[dtype]))
    method = replace(METHOD, loss=WhiteBox(JensenShannon()))
    with tempfile.TemporaryDirectory() as scratch:
        student, teacher = models(model_dir, settings, optimization)
        set_threads(settings, student.parameters)
        finished: list[float] = []
        report = fit(
            student,
            worked_solutions(Path(data), BATCH_SIZE * steps),
            method,
            cast(Any, CellContext)(**{**context_of_nothing(student), "loss_settings": method.loss.settings}),
            optimization,
            settings,
            frozen={"teacher": Frozen(teacher, len(student.tokenizer))},
            journal=FitJournal(
                Journal(Path(scratch), lambda told: None), "fit", 60 * settings.checkpoint_minutes, NoTallies()
            ),
            loggers=[CSVLogger(scratch)],
            advance=lambda _: finished.append(time.perf_counter()),
        )
    seconds = sorted(after - before for before, after in pairwise(finished[1:]))
    median = seconds[len(seconds) // 2]
    rate = products_per_second(getattr(torch, dtype), student)
    needed = products(student, teacher, report.tokens / steps, report.response_tokens / steps)
    row = {
        "steps": steps,
        "precision": dtype,
        "seconds_per_step_median_after_two": round(median, 3),
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "tokens_per_step": round(report.tokens / steps),
        "response_tokens_per_step": round(report.response_tokens / steps),
        "machine_gflops": round(rate / 1e9),
        "seconds_of_products": round(needed / rate, 3),
        "share_of_limit": round(needed / rate / median, 3),
    }
    print(json.dumps(row))


def models(model_dir: str, settings: TrainerSettings, optimization: Optimization) -> tuple[Student, Student]:
    """(student, teacher), where the student is the teacher's first layers."""
    sizes: dict[str, Any] = {"max_length": MAX_LENGTH, "max_new_tokens": 128, "overlong": "truncate"}
    pruned = PrunedStudent("student", model_dir, **sizes, layers=LAYERS, keep="first")
    student, teacher = (
        load_student(source, 1, settings, optimization.precision)
        for source in (pruned, PretrainedStudent("teacher", model_dir, **sizes))
    )
    teacher.network.requires_grad_(False)
    return student, teacher


def products(student: Student, teacher: Student, tokens: float, response_tokens: float) -> float:
    """Floating-point operations of the matrix products of a step: 2 per weight and position forward, 4 backward."""

    def weights(model: Student) -> tuple[int, int]:
        head = cast(Any, model.network).get_output_embeddings().weight.numel()
        return model.parameters - head, head  # the embedding is the head's table

    (body, head), (of_teacher, teacher_head) = weights(student), weights(teacher)
    return (6 * body + 2 * of_teacher) * tokens + (6 * head + 2 * teacher_head) * response_tokens


def products_per_second(dtype: torch.dtype, student: Student) -> float:
    """Floating-point operations per second in the step's own kinds of products, the best of several tries."""
    config, best = student.network.config, 0.0
    width = config.hidden_size
    for rows, columns in ((2048, config.intermediate_size), (341, config.vocab_size)):
        left, right = torch.randn(rows, width, dtype=dtype), torch.randn(width, columns, dtype=dtype)
        for _ in range(6):
            started = time.perf_counter()
            for _ in range(3):
                left @ right
            best = max(best, 3 * 2 * rows * width * columns / (time.perf_counter() - started))
    return best


if __name__ == "__main__":
    main()
