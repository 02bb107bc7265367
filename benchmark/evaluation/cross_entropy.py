"""How likely a student finds the reference targets of questions: what training on the gold answers would lower."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmark.contract import DataRng, Format, ScorableFormat, Task
from benchmark.student.student import Student
from benchmark.types import Annotation, Example, Span, TrainingExample

KINDS = ("gold", "rationale")
"""The kinds of annotation that formats take their targets from."""


def reference_targets(
    examples: Sequence[Example], form: Format, task: Task, data_rng: DataRng
) -> list[TrainingExample]:
    """What the format would train on if people had annotated the questions: rationale and answer, each target once.

    Where the format can make nothing of a question, as without a rationale, the target is the answer alone, behind what
    the format writes before it (`ScorableFormat.before_answer`).
    """
    found = []
    for example in examples:
        question = example.without_gold()
        rows = [Annotation(question, kind, "human", example.rationale, example.answer) for kind in KINDS]
        made = {(one.task, one.prompt, one.target): one for one in form.examples(rows, task, data_rng)}
        found += list(made.values()) or [_answer_alone(example, form, task)]
    return found


def _answer_alone(example: Example, form: Format, task: Task) -> TrainingExample:
    role = form.answer_path[-1]
    before = form.before_answer("") if isinstance(form, ScorableFormat) else None
    prompt = form.request(example.without_gold(), role, task).prompt
    return TrainingExample(example.id, role, prompt, (Span(f"{before or ''}{example.answer}"),))


def cross_entropy(student: Student, targets: Sequence[TrainingExample]) -> float:
    """Nats per target token, EOS included: a mean over all tokens that carry loss, each counted once.

    Tokens of spans with weight 0 are context. Other weights do not matter. Raises ValueError where no token counts.
    """
    nats = [
        -nat
        for row, of_row in zip(
            student.encoder.examples(targets), student.target_log_probabilities(targets), strict=True
        )
        for weight, nat in zip(row.weights, of_row, strict=True)
        if weight != 0
    ]
    if not nats:
        raise ValueError("no token of the reference targets carries loss, so that they have no cross-entropy")
    return math.fsum(nats) / len(nats)
