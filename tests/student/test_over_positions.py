"""A loss applied chunk by chunk equals the plain way over all logits, however it is cut, and never holds them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import benchmark.student.over_positions as chunked
from benchmark.student.batch import MicroBatch, collate
from benchmark.student.frozen import Frozen
from benchmark.student.load import load_student
from benchmark.student.lora import Lora
from benchmark.student.module import StudentModule
from benchmark.student.source import PretrainedStudent
from benchmark.student.stream import FitState
from benchmark.student.student import Student
from benchmark.student.target_scores import EVERY_TOKEN
from tests.rehearsals.tensor_parts import close, gradient_of
from tests.student.student_parts import (
    CPU,
    T5,
    characters,
    fresh_student,
    gpt2,
    llama,
    method_of,
    optimization_of,
    sharpened,
    student_of,
    sums,
)

VOCABULARY = len(characters())
CHUNKS = {"one position": VOCABULARY, "three positions": 3 * VOCABULARY + 1, "half": 20 * VOCABULARY}
"""Names of cuts -> the most log-probabilities of a chunk; the batch has 40 positions or more."""


def with_adapters(folder: Path, modules: str | tuple[str, ...]) -> Student:
    pytest.importorskip("peft")
    llama(VOCABULARY).save_pretrained(folder)
    characters().save_pretrained(folder)
    source = PretrainedStudent("llama", str(folder), 64, 16, lora=Lora(4, 8, modules))
    student = load_student(source, 1, CPU, "32-true")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # fresh adapters add nothing
        for name, weight in student.network.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    return student


def with_padding_rows(kind: Callable[..., Any]) -> Student:
    """A network with more rows than the tokenizer has tokens, large enough to show in a softmax."""
    network = kind(VOCABULARY)
    network.resize_token_embeddings(VOCABULARY + 5, mean_resizing=False)
    with torch.no_grad():
        network.get_output_embeddings().weight[VOCABULARY:] = 1.0
    return student_of(network)


STUDENTS: dict[str, Callable[[Path], Student]] = {
    "decoder": lambda folder: student_of(llama(VOCABULARY)),
    "padded vocabulary": lambda folder: with_padding_rows(llama),
    "tied embeddings": lambda folder: student_of(gpt2(VOCABULARY)),
    "encoder-decoder": lambda folder: student_of(sharpened(T5.network(1)), T5.tokenizer()),
    "LoRA": lambda folder: with_adapters(folder, "all-linear"),
    "LoRA in the head": lambda folder: with_adapters(folder, ("q_proj", "lm_head")),
}


def teacher_of(student: Student, more_rows: int = 3) -> Frozen:
    """Another network of the student's kind, whose vocabulary has more rows, large enough to show in a softmax."""
    if student.network.config.is_encoder_decoder:
        network: Any = sharpened(T5.network(2), seed=2)
    else:
        network = llama(VOCABULARY, seed=2)
    network.resize_token_embeddings(VOCABULARY + more_rows, mean_resizing=False)
    with torch.no_grad():
        network.get_output_embeddings().weight[VOCABULARY:] = 3.0
    network.requires_grad_(False)
    return Frozen(student_of(network, student.tokenizer), VOCABULARY)


def module_of(student: Student, teacher: Frozen) -> StudentModule:
    """The student as losses see it in a fit."""
    state = FitState(1, student, lambda *key: None, {"teacher": teacher})  # type: ignore[arg-type,return-value]
    return StudentModule(student, method_of().loss, optimization_of(), state, 1)


def batch_of(student: Student) -> MicroBatch:
    [batch] = collate(student.encoder.examples(sums(20)), EVERY_TOKEN, student.padding_id, 10**9).micro_batches
    assert len(batch.tokens) >= 40
    return batch


def compared(log_probabilities: torch.Tensor, tokens: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """[n, 2]: negative log-likelihood of the token, and KL(teacher || student) at temperature 2, in nats."""
    nats = -log_probabilities.gather(1, tokens[:, None])[:, 0]
    ours, theirs = (torch.log_softmax(each / 2, -1) for each in (log_probabilities, teacher))
    return torch.stack([nats, (theirs.exp() * (theirs - ours)).sum(-1)], -1)


def by_chunks(student: Any, teacher: Frozen, batch: MicroBatch) -> torch.Tensor:
    values: torch.Tensor = student.over_positions(
        compared, student.hidden(batch), batch.tokens, teacher.distributions(batch)
    )
    return values


def by_logits(student: Any, teacher: Frozen, batch: MicroBatch) -> torch.Tensor:
    """The plain path."""
    theirs = teacher.logits(teacher.hidden(batch)).log_softmax(-1)
    return compared(student.logits(student.hidden(batch)).log_softmax(-1), batch.tokens, theirs)


def with_gradient(student: Student, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(values, gradient of a sum in which every position has another factor)."""
    student.network.zero_grad()
    factors = torch.linspace(0.1, 2, values.numel()).reshape(values.shape)
    (factors * values).sum().backward()  # type: ignore[no-untyped-call]
    return values.detach(), gradient_of(student.network)


# --- the same numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", CHUNKS)
@pytest.mark.parametrize("kind", STUDENTS)
def test_values_and_gradients_are_those_of_the_plain_way_in_any_cut(
    kind: str, cut: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = STUDENTS[kind](tmp_path)
    teacher, batch = teacher_of(student), batch_of(student)
    module = module_of(student, teacher)
    if kind == "tied embeddings":
        assert student.network.get_output_embeddings().weight is student.network.get_input_embeddings().weight
    expected, of_plain = with_gradient(student, by_logits(module, teacher, batch))
    monkeypatch.setattr(chunked, "NUMBERS_AT_ONCE", CHUNKS[cut])
    found, of_chunks = with_gradient(student, by_chunks(module, teacher, batch))
    assert found.shape == (len(batch.tokens), 2)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert close(of_chunks, of_plain)
    assert of_plain.abs().max() > 1e-3
    if "LoRA" in kind:
        assert {name for name, w in student.network.named_parameters() if w.requires_grad and w.grad is None} == set()


def test_bfloat16_autocast_changes_nothing_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast keeps its casts of weights; a chunk that is made again must find the same ones."""
    student = student_of(gpt2(VOCABULARY))
    teacher, batch = teacher_of(student), batch_of(student)
    found = []
    for size in (10**9, VOCABULARY * 3):
        monkeypatch.setattr(chunked, "NUMBERS_AT_ONCE", size)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found.append(with_gradient(student, by_chunks(student, teacher, batch)))
    (whole, of_whole), (parts, of_parts) = found
    assert whole.dtype == torch.float32
    assert torch.equal(whole, parts)
    assert float((of_parts - of_whole).norm() / of_whole.norm()) < 0.02


def test_a_frozen_model_gives_its_distributions_row_by_row_without_the_padding_of_its_vocabulary() -> None:
    student = fresh_student()
    teacher, batch = teacher_of(student), batch_of(student)
    whole = teacher.logits(teacher.hidden(batch)).log_softmax(-1)
    signal = teacher.distributions(batch)
    assert len(signal) == len(batch.tokens)
    assert torch.allclose(signal.at(slice(5, 12)), whole[5:12], atol=1e-6)
    assert signal.at(slice(0, 40)).shape == (40, VOCABULARY)
    best = teacher.over_positions(lambda rows: rows.max(-1).values, teacher.hidden(batch))
    assert torch.allclose(best, whole.max(-1).values, atol=1e-6)
    assert not best.requires_grad


def test_values_of_a_batch_split_into_those_of_its_examples() -> None:
    student = fresh_student()
    batch = batch_of(student)
    parts = batch.split(batch.tokens)
    assert [len(part) for part in parts] == [len(example.target_text) + 1 for example in batch.examples]
    assert torch.equal(torch.cat(parts), batch.tokens)


# --- memory ----------------------------------------------------------------------------------------------------------


class Sizes(TorchDispatchMode):
    """Remembers the largest number of rows of any tensor whose last dimension is the vocabulary."""

    def __init__(self, vocabulary: int, ignored: Sequence[int] = ()) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.ignored = set(ignored)
        self.most_rows = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(each, torch.Tensor) and each.ndim and each.shape[-1] == self.vocabulary:
                rows = each.numel() // self.vocabulary
                self.most_rows = max(self.most_rows, 0 if rows in self.ignored else rows)
        return result


@pytest.mark.parametrize("way", [by_chunks, by_logits])
def test_no_tensor_has_more_positions_of_logits_than_a_chunk_and_none_is_kept_for_the_gradient(
    way: Callable[..., torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    student = student_of(llama(VOCABULARY))
    teacher, batch = teacher_of(student, more_rows=0), batch_of(student)
    width = int(student.network.config.hidden_size)
    monkeypatch.setattr(chunked, "NUMBERS_AT_ONCE", 7 * VOCABULARY)
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim == 2 and tensor.shape[-1] == VOCABULARY and len(tensor) != width:  # not the head's weights
            kept.append(len(tensor))
        return tensor

    with Sizes(VOCABULARY, ignored=(width,)) as sizes:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            values = way(student, teacher, batch)
        kept_before = sum(kept)
        values.sum().backward()  # type: ignore[no-untyped-call]
    if way is by_chunks:
        assert (sizes.most_rows, kept_before) == (7, 0)
    else:  # what the test would see
        assert sizes.most_rows >= len(batch.tokens) > 7
        assert kept_before >= len(batch.tokens)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_signal_of_another_length_and_a_result_of_another_shape_are_refused() -> None:
    student = fresh_student()
    batch = batch_of(student)
    count, hidden = len(batch.tokens), student.hidden(batch)
    with pytest.raises(ValueError, match=rf"signal 2 has 3 positions, .* have {count}"):
        student.over_positions(compared, hidden, batch.tokens, torch.zeros(3))
    with pytest.raises(ValueError, match=rf"one row per position, \[{count}\] or \[{count}, k\], and returned \[\]"):
        student.over_positions(lambda rows: rows.sum(), hidden)
