"""Signed weights per token: those of a format's spans, and numbers that a data policy puts beside its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.axes.loss import CrossEntropy
from benchmark.cell.cell import Cell
from benchmark.student.batch import MicroBatch, collate
from benchmark.student.encoding import EncodedExample
from benchmark.student.student import Student
from benchmark.types import Annotation, Question, Span, Term, TrainingExample
from methods.minillm import MiniLLM
from tests.corridor.corridor_parts import miniature, run
from tests.rehearsals.signed_weights import KeyStepsFormat, WithMistakes, key_spans
from tests.rehearsals.tensor_parts import (
    EVERY_STEP,
    ONE_GROUP,
    UNCLIPPED,
    WHOLE_STEP,
    assert_as_by_hand,
    close,
    gradient,
    killed_and_gone_on,
    model_folder,
    nats,
    outcome,
    target_logits,
    watched,
)
from tests.student.student_parts import losses, shared_student

WRONG = -0.025


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("models") / "teacher")


# --- closed forms ----------------------------------------------------------------------------------------------------

KEY = {"key": Term(frozenset({"right", "wrong"}))}


def pair(wrong_weight: float, of_right: float = 1.0) -> list[TrainingExample]:
    """A right and a wrong chain with one key sign each; all other tokens and EOS are context."""
    chains = (("right", "7", of_right), ("wrong", "9", wrong_weight))
    return [
        TrainingExample("q", task, "4+3", (Span("=", 0.0), Span(sign, weight, "key"), Span(";", 0.0), Span("", 0.0)))
        for task, sign, weight in chains
    ]


def token_gradients(student: Student, row: EncodedExample) -> list[torch.Tensor]:
    """The gradient of each target token's -log p, one by one."""
    return [gradient(student.network, value) for value in nats(target_logits(student.network, row), row)]


def engine_gradient(student: Student, examples: Sequence[TrainingExample]) -> torch.Tensor:
    """Of one step with the plain loss, as the engine builds it."""
    step = collate(student.encoder.examples(examples), KEY, student.padding_id, 10**9)
    return gradient(student.network, losses(student, step, CrossEntropy())["key"])


def test_a_token_of_negative_weight_gives_exactly_its_share_of_the_gradient() -> None:
    student = shared_student()
    right, wrong = (token_gradients(student, row)[1] for row in student.encoder.examples(pair(WRONG)))
    assert close(engine_gradient(student, pair(WRONG)), (right + WRONG * wrong) / 2)
    # Alone it is the whole mean: exactly -0.025 of the gradient that a weight of 1 gives.
    assert close(engine_gradient(student, pair(WRONG)[1:]), WRONG * wrong)
    assert float(wrong.norm()) > 0.1


def test_a_token_of_weight_zero_is_context_and_not_in_the_denominator() -> None:
    student = shared_student()
    [right, wrong] = student.encoder.examples(pair(0.0))
    assert right.weights == (0.0, 1.0, 0.0, 0.0)  # the last is EOS, which belongs to the last span, empty as it is
    assert wrong.weights == (0.0,) * 4
    of_right = token_gradients(student, right)[1]
    assert close(engine_gradient(student, pair(0.0)), of_right)  # divided by 1, not by 2 or 8
    before = replace(pair(0.0)[0], target=(Span("!", 0.0), *pair(0.0)[0].target[1:]))
    assert not close(engine_gradient(student, [before]), of_right)  # but what stands before is still read


def test_opposite_weights_on_one_token_cancel() -> None:
    student = shared_student()
    same = [replace(one, target=pair(0.0)[0].target) for one in pair(0.0)]
    cancelling = [same[0], replace(same[1], weight=-1.0)]
    assert float(engine_gradient(student, cancelling).abs().max()) < 1e-6


# --- EDIT ------------------------------------------------------------------------------------------------------------


def test_only_the_signs_in_which_two_chains_differ_are_key() -> None:
    right, wrong = key_spans("4+3=7;7-5=2", "4+3=9;7-5=2", 1.0, WRONG)
    assert [(span.text, span.weight) for span in right] == [("4+3=", 0), ("7", 1.0), (";7-5=2", 0)]
    assert [(span.text, span.weight) for span in wrong] == [("4+3=", 0), ("9", WRONG), (";7-5=2", 0)]
    longer, shorter = key_spans("12", "1", 1.0, WRONG)
    assert [(span.text, span.weight) for span in longer] == [("1", 0), ("2", 1.0)]
    assert [(span.text, span.weight) for span in shorter] == [("1", 0)]


def test_chains_without_a_partner_are_left_out_and_pairs_stay_together() -> None:
    task: Any = miniature().dataset.task
    question = Question("q", "4+3")
    chain = Annotation(question, "rationale", "teacher", "4+3=7", "7")
    mistake = replace(chain, kind="mistake", rationale="4+3=8")
    form = KeyStepsFormat()
    assert form.examples([chain], task) == []
    assert form.examples([chain, replace(mistake, sample=1)], task) == []
    right, wrong = form.examples([mistake, chain], task)
    assert (right.task, wrong.task, right.group, wrong.group) == ("right", "wrong", "q", "q")
    assert (right.target_text, wrong.target_text) == ("4+3=7", "4+3=8")


def edit_cell(*overrides: str) -> Cell:
    return miniature(*overrides, annotation=WithMistakes(), format=KeyStepsFormat())


@pytest.mark.parametrize("cut", [ONE_GROUP, WHOLE_STEP])
def test_every_step_is_a_mean_over_key_signs_alone(tmp_path: Path, cut: str) -> None:
    ran, steps = watched(edit_cell(cut, UNCLIPPED), tmp_path)
    for step in steps:
        student = step.student(ran)
        parts = []
        for row in student.encoder.examples(step.examples):
            values = nats(target_logits(student.network, row), row)
            text = row.example.target_text
            for place, value in enumerate(values[:-1]):
                if _span_at(row.example, place).name == "key":
                    parts.append(value * (1.0 if row.example.task == "right" else WRONG))
            assert _span_at(row.example, len(text)).name == "end"
        assert 8 <= len(parts) < 24  # four pairs, and hardly more than one sign of each chain
        assert_as_by_hand(step, student, {"key": torch.stack(parts).mean()})


def _span_at(example: TrainingExample, place: int) -> Span:
    """The span of a character, the last one behind the text's end; a token is a character here."""
    for span in example.target:
        place -= len(span.text)
        if place < 0:
            return span
    return example.target[-1]


def test_edit_runs_twice_the_same_and_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    whole = outcome(run(edit_cell(), tmp_path / "whole"))
    assert outcome(run(edit_cell(), tmp_path / "twin")) == whole
    again = killed_and_gone_on(lambda: edit_cell(EVERY_STEP), tmp_path / "killed", (0, 2, 3))
    assert outcome(again) == whole


# --- numbers of a data policy ----------------------------------------------------------------------------------------


def test_numbers_follow_their_tokens_through_sorting_cutting_and_truncation() -> None:
    student = replace(shared_student(), max_length=12)
    texts = {"a": (5, 6, 7), "b": (8, 9), "c": tuple(range(4, 24))}
    examples = [
        TrainingExample(
            group, "own_text", "1", (Span("?"),), token_ids=ids, extra={"advantage": tuple(map(float, ids))}
        )
        for group, ids in texts.items()
    ]
    step = collate(student.encoder.examples(examples), MiniLLM().terms({}, {}), student.padding_id, 12)
    batches: list[MicroBatch] = list(step.micro_batches)
    assert len(batches) == 2
    for batch in batches:
        assert batch.extra("advantage").tolist() == batch.tokens.tolist()
        assert batch.extra("unheard of").tolist() == [0.0] * len(batch.tokens)
