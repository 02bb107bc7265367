"""Measures seconds per optimiser step and peak memory of white-box distillation, as a cell trains.

Teacher: the model in MODEL_DIR. Student: its first 10 layers. Trains on questions with their worked solutions: batch 8,
at most 256 tokens, Jensen-Shannon divergence with equal weights on the solution, AdamW over float32 weights, with a CSV
logger and checkpoints. It also measures how long the matrix products of a step take alone, and what share of the step
that is.

usage: python speed/white_box_step.py MODEL_DIR JSONL [STEPS] [bfloat16|float32] [compile_layers]
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
import timeit
from collections import Counter
from dataclasses import replace
from functools import lru_cache, partial
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
from benchmark.student.over_positions import chunks_of
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
    torch.set_default_dtype(getattr(torch, dtype))
    needed, operations = seconds_of_products(student, teacher, report.tokens // steps, report.response_tokens // steps)
    row = {
        "steps": steps,
        "precision": dtype,
        "seconds_per_step_median_after_two": round(median, 3),
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "tokens_per_step": round(report.tokens / steps),
        "response_tokens_per_step": round(report.response_tokens / steps),
        "machine_gflops": round(operations / needed / 1e9),
        "seconds_of_products": round(needed, 3),
        "share_of_limit": round(needed / median, 3),
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


def seconds_of_products(student: Student, teacher: Student, tokens: int, response_tokens: int) -> tuple[float, float]:
    """(seconds that a step's matrix products take alone, their floating-point operations).

    Every kind of product is measured in the step's own shape, at its best of several tries: one product forward, two
    more for the gradients of a student. Attention's products are not counted.
    """
    seconds = operations = 0.0
    for model, products in ((student, 3), (teacher, 1)):
        network = cast(Any, model.network)
        head = network.get_output_embeddings()
        layers = Counter(
            tuple(each.weight.shape)
            for each in network.modules()
            if isinstance(each, torch.nn.Linear) and each is not head
        )
        chunk = chunks_of(response_tokens, len(head.weight))[0].stop
        kinds = [(tokens, *shape, count) for shape, count in layers.items()]
        for rows, outputs, inputs, count in [*kinds, (chunk, *head.weight.shape, response_tokens / chunk)]:
            seconds += count * sum(best_seconds(rows, outputs, inputs)[:products])
            operations += count * products * 2 * rows * outputs * inputs
    return seconds, operations


@lru_cache
def best_seconds(rows: int, outputs: int, inputs: int) -> tuple[float, ...]:
    """Of a layer's product, and of the products for the gradients of its input and of its weight."""
    states, weight, gradient = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(rows, outputs)
    return tuple(
        min(timeit.repeat(partial(torch.mm, *pair), number=3, repeat=6)) / 3
        for pair in ((states, weight.T), (gradient, weight), (gradient.T, states))
    )


if __name__ == "__main__":
    main()
