"""Trains the base of a tiny warm student: a fixed seed, one thread and float32, so that the code fixes the weights."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch

from benchmark.pretraining.texts import draw
from benchmark.random_streams import stream_seed
from benchmark.student.batch import Step, collate
from benchmark.student.load import load_student
from benchmark.student.settings import Optimization, TrainerSettings
from benchmark.student.source import TinyStudent
from benchmark.student.student import Student
from benchmark.student.warm import WIDE
from benchmark.types import Span, Term, TrainingExample

SEED = 0
SETTINGS = Optimization(
    max_steps=8000,
    batch_size=24,
    learning_rate=6.0e-3,
    warmup_fraction=0.05,
    decay="cosine",
    weight_decay=0.1,
    beta1=0.9,
    beta2=0.99,
)
"""How the base is trained; its batch size counts texts."""
BARE_WEIGHT = 4.0
"""The weight of the tokens of a bare answer: it has few, and is harder to learn than a rationale."""
MEAN_PER_TOKEN = {"text": Term(frozenset({"text"}))}


def pretrained(
    shape: TinyStudent = WIDE,
    settings: Optimization = SETTINGS,
    report: Callable[[int, float], None] = lambda *_: None,
) -> Student:
    """The base after `settings.max_steps` steps. `report` is called after each with its number and its loss."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of additions, and so the last bits, depend on it
    try:
        return _trained(shape, settings, report)
    finally:
        torch.set_num_threads(threads)


def _trained(shape: TinyStudent, settings: Optimization, report: Callable[[int, float], None]) -> Student:
    student = load_student(shape, SEED, TrainerSettings(accelerator="cpu"), "32-true")
    optimiser = settings.optimiser(student.network)
    generator = random.Random(stream_seed("pretraining", SEED))
    for step in range(settings.max_steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate_at(step / settings.max_steps)
        loss = _loss(student, _batch(student, settings.batch_size, generator))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(student.network.parameters(), settings.gradient_clip or float("inf"))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        report(step + 1, float(loss.detach()))
    return student


def _batch(student: Student, size: int, generator: random.Random) -> Step:
    """A batch of new texts: a text is not seen twice but by chance."""
    texts = [draw(generator) for _ in range(size)]
    examples = [
        TrainingExample(str(i), "text", text.prompt, (Span(text.reply, BARE_WEIGHT if text.bare else 1.0),))
        for i, text in enumerate(texts)
    ]
    encoded = student.encoder.examples(examples)
    return collate(encoded, MEAN_PER_TOKEN, student.padding_id, micro_batch_tokens=1_000_000)


def _loss(student: Student, step: Step) -> torch.Tensor:
    """The weighted mean negative log-likelihood of the replies' tokens, in nats."""
    [batch] = step.micro_batches
    values = student.negative_log_likelihoods(student.hidden(batch), batch.tokens)
    return (batch.scale["text"] * values).sum()
