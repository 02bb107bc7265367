"""Measures seconds per optimiser step and peak memory of white-box distillation, as a cell trains.

Teacher: the model in MODEL_DIR. Student: its first 10 layers. Trains on questions with their worked solutions: batch 8,
at most 256 tokens, Jensen-Shannon divergence with equal weights on the solution, AdamW over float32 weights, with a CSV
logger and checkpoints. It also measures how long the matrix products of a step take alone, and what share of the step
that is. With top_k=K, the teacher's K likeliest tokens are stored before the first step; divergences are then reported
over them and over the whole vocabulary.

usage: python speed/white_box_step.py MODEL_DIR JSONL [STEPS] [bfloat16|float32] [compile_layers] [top_k=K]
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
import timeit
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from pytorch_lightning.loggers import CSVLogger
from sft_step import BATCH_SIZE, MAX_LENGTH, METHOD, NoTallies, context_of_nothing, worked_solutions

from benchmark.cell.context import CellContext
from benchmark.records.journal import Journal
from benchmark.student.checkpoint import FitJournal
from benchmark.student.fit import fit, set_threads
from benchmark.student.frozen import Frozen
from benchmark.student.kept_signals import Workplace
from benchmark.student.load import load_student
from benchmark.student.memory import keep_freed_memory
from benchmark.student.over_positions import chunks_of
from benchmark.student.prepared import Prepared, StudentBatches
from benchmark.student.pruned import PrunedStudent
from benchmark.student.settings import Optimization, TrainerSettings
from benchmark.student.source import PretrainedStudent
from benchmark.student.student import Student
from benchmark.types import TrainingExample
from methods.comparison import Compared
from methods.teacher_signals import LiveSignal, TeacherSignal, TopKSignal
from methods.white_box import Divergence, ForwardKL, JensenShannon, WhiteBox

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
    kept = next((int(each.removeprefix("top_k=")) for each in sys.argv if each.startswith("top_k=")), None)
    signal = LiveSignal() if kept is None else TopKSignal(kept)
    method = replace(METHOD, loss=WhiteBox(JensenShannon(), signal=signal))
    with tempfile.TemporaryDirectory() as scratch:
        student, teacher = models(model_dir, settings, optimization)
        set_threads(settings, student.parameters)
        examples = worked_solutions(Path(data), BATCH_SIZE * steps)
        frozen, prepared = (
            {"teacher": Frozen(teacher, len(student.tokenizer), fingerprint=model_dir)},
            Prepared(place=Workplace(Path(scratch))),
        )
        finished: list[float] = []
        report = fit(
            student,
            examples,
            method,
            cast(Any, CellContext)(**{**context_of_nothing(student), "loss_settings": method.loss.settings}),
            optimization,
            settings,
            frozen=frozen,
            prepared=prepared,
            journal=FitJournal(
                Journal(Path(scratch), lambda told: None), "fit", 60 * settings.checkpoint_minutes, NoTallies()
            ),
            loggers=[CSVLogger(scratch)],
            advance=lambda _: finished.append(time.perf_counter()),
        )
        gaps = {} if kept is None else gaps_of(signal, student, frozen, prepared, examples[:BATCH_SIZE], settings)
    seconds = sorted(after - before for before, after in pairwise(finished[1:]))
    median = seconds[len(seconds) // 2]
    torch.set_default_dtype(getattr(torch, dtype))
    models_of_step = ((student, 3), (teacher, 1)) if kept is None else ((student, 3),)
    needed, operations = seconds_of_products(models_of_step, report.tokens // steps, report.response_tokens // steps)
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
        **gaps,
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


def gaps_of(
    signal: TeacherSignal,
    student: Student,
    frozen: dict[str, Frozen],
    prepared: Prepared,
    examples: list[TrainingExample],
    settings: TrainerSettings,
) -> dict[str, float]:
    """By divergence, its mean over target tokens with the stored signal, and with the whole distribution; in nats."""
    state = cast(Any, SimpleNamespace(prepared=prepared.value, frozen=frozen))
    batches = list(StudentBatches(student, frozen, settings.micro_batch_tokens, None).batches(examples))

    def mean(divergence: Divergence, of: TeacherSignal) -> float:
        compared, values = Compared.of((divergence,), 1.0, False, of), []
        with student.evaluation(), torch.no_grad():
            for batch in batches:
                signals = (batch.tokens, torch.zeros(len(batch.tokens)), *of.rows(batch, state))
                values.append(student.over_positions(compared, student.hidden(batch), *signals))
        return round(float(torch.cat(values).mean()), 5)

    named: dict[str, Divergence] = {"forward_kl": ForwardKL(), "jensen_shannon": JensenShannon()}
    return {
        f"{name}_{kind}": mean(divergence, of)
        for name, divergence in named.items()
        for kind, of in (("stored", signal), ("live", LiveSignal()))
    }


def seconds_of_products(
    models: Sequence[tuple[Student, int]], tokens: int, response_tokens: int
) -> tuple[float, float]:
    """(seconds that a step's matrix products take alone, their floating-point operations).

    Every kind of product is measured in the step's own shape, at its best of several tries. `models` says how many
    products a model makes of each: one forward, two more for the gradients of a student. Attention is not counted.
    """
    seconds = operations = 0.0
    for model, products in models:
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
