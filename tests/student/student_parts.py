"""What the tests of the student share: tiny networks, hand-made examples, and a slow second opinion on the loss."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, cast

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from benchmark.axes.curriculum import Shuffled
from benchmark.axes.format import AnswerOnly
from benchmark.axes.loss import CrossEntropy
from benchmark.cell.context import CellContext
from benchmark.contract import Method, Requirements
from benchmark.student.attention import attend_end_to_end
from benchmark.student.batch import Step
from benchmark.student.encoding import EncodedExample
from benchmark.student.scratch import TinyEncoderDecoder
from benchmark.student.settings import Optimization, TrainerSettings
from benchmark.student.source import TinyStudent
from benchmark.student.student import Student
from benchmark.types import Round, Span, Stage, Term, TrainingExample

TINY = TinyStudent(
    name="tiny",
    hidden_size=16,
    intermediate_size=32,
    layers=2,
    attention_heads=2,
    initializer_range=0.02,
    max_length=64,
    max_new_tokens=16,
)
T5 = TinyEncoderDecoder("t5", 32, 64, 2, 2, max_length=64, max_new_tokens=16)
CPU = TrainerSettings(accelerator="cpu", evaluation_batch_size=8)
PLAIN = {"all": Term(frozenset({"*"}))}


# --- networks and students -------------------------------------------------------------------------------------------


def sharpened(network: PreTrainedModel, seed: int = 0, scale: float = 0.5) -> PreTrainedModel:
    """Weights so large that every position and token visibly matters; fresh ones give nearly uniform predictions."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim >= 2:
                weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
    return network.eval()


def llama(vocabulary: int, window: int = 64, seed: int = 0) -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=window,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return sharpened(LlamaForCausalLM(config), seed)


def gpt2(vocabulary: int, window: int = 64, seed: int = 0) -> PreTrainedModel:
    config = GPT2Config(
        vocab_size=vocabulary,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=window,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
    )
    return sharpened(GPT2LMHeadModel(config), seed)


NETWORKS = {"llama": llama, "gpt2": gpt2}


def characters(pad_is_eos: bool = False) -> PreTrainedTokenizerBase:
    """A copy of the tiny student's tokenizer, so that a test may change it."""
    tokenizer = copy.deepcopy(TINY.tokenizer())
    if pad_is_eos:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def student_of(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None = None,
    max_length: int = 64,
    max_new_tokens: int = 16,
    batch_size: int = 8,
    seed: int = 1,
) -> Student:
    attend_end_to_end(network)
    return Student(
        network=network,
        tokenizer=tokenizer or characters(),
        max_length=max_length,
        max_new_tokens=max_new_tokens,
        seed=seed,
        batch_size=batch_size,
    )


def shared_student(kind: str = "llama") -> Student:
    """A sharpened student on characters for tests that leave its weights alone; gradients of others are gone."""
    student = _shared(kind)
    student.network.zero_grad(set_to_none=True)
    return student


@lru_cache(maxsize=4)
def _shared(kind: str) -> Student:
    tokenizer = characters()
    return student_of(NETWORKS[kind](len(tokenizer)), tokenizer)


def fresh_student(seed: int = 1, source: TinyStudent = TINY, batch_size: int = 8) -> Student:
    """An untrained tiny student, as a cell would start from it."""
    return student_of(
        source.network(seed), source.tokenizer(), source.max_length, source.max_new_tokens, batch_size, seed
    )


# --- examples --------------------------------------------------------------------------------------------------------


def example(group: str, prompt: str, *target: Span | str, task: str = "answer", weight: float = 1.0) -> TrainingExample:
    spans = tuple(part if isinstance(part, Span) else Span(part) for part in target)
    return TrainingExample(group=group, task=task, prompt=prompt, target=spans, weight=weight)


def tokens(
    group: str,
    prompt: Sequence[int],
    target: Sequence[int],
    task: str = "answer",
    weights: Sequence[float] | None = None,
    spans: Sequence[str] | None = None,
    weight: float = 1.0,
) -> EncodedExample:
    """An encoded example made by hand; `weights` are those of its spans, without that of the example."""
    weights = weights or [1.0] * len(target)
    return EncodedExample(
        example=TrainingExample(group, task, f"prompt of {group}", (Span("?"),), weight),
        prompt=tuple(prompt),
        target=tuple(target),
        weights=tuple(weight * of_span for of_span in weights),
        spans=tuple(spans or ["target"] * len(target)),
        truncated=False,
    )


def sums(count: int = 16) -> list[TrainingExample]:
    """Different one-line additions with answers of one and two characters."""
    return [example(f"q{i}", f"{i}+{(3 * i) % 7}=", str(i + (3 * i) % 7)) for i in range(count)]


# --- the loss, ours and a slow one -----------------------------------------------------------------------------------


def losses(student: Student, step: Step, loss: Any = None) -> dict[str, torch.Tensor]:
    """Each term of the engine's loss over the whole step."""
    total: dict[str, torch.Tensor] = {}
    for batch in step.micro_batches:
        for name, value in (loss or CrossEntropy()).values(batch, student, cast(Any, None)).items():
            total[name] = total.get(name, torch.zeros(())) + value
    return total


def gradient(network: PreTrainedModel, value: torch.Tensor) -> torch.Tensor:
    """All of the network's gradients of `value` in one row."""
    weights = list(network.parameters())
    found = torch.autograd.grad(value, weights, allow_unused=True)
    return torch.cat(
        [torch.zeros_like(w).ravel() if g is None else g.ravel() for w, g in zip(weights, found, strict=True)]
    )


def slow_nats(network: PreTrainedModel, encoded: EncodedExample) -> list[torch.Tensor]:
    """-log p of every target token, one unpadded sequence at a time, from the whole model's logits."""
    ids = torch.tensor([[*encoded.prompt, *encoded.target]])
    log_probabilities = torch.log_softmax(network(input_ids=ids).logits[0].float(), dim=-1)
    first = len(encoded.prompt)
    return [-log_probabilities[first + j - 1, token] for j, token in enumerate(encoded.target)]


def slow_losses(
    network: PreTrainedModel, examples: Sequence[EncodedExample], terms: Mapping[str, Term]
) -> dict[str, torch.Tensor]:
    """The definition, token by token: every term one mean over all its tokens or sequences; empty terms are absent."""
    found: dict[str, torch.Tensor] = {}
    nats = [slow_nats(network, row) for row in examples]
    for name, term in terms.items():
        token_values: list[torch.Tensor] = []
        sequence_values: list[torch.Tensor] = []
        for row, of_row in zip(examples, nats, strict=True):
            if not any(_matches(pattern, row.example.task) for pattern in term.tasks):
                continue
            mine = [
                weight * nat
                for weight, span, nat in zip(row.weights, row.spans, of_row, strict=True)
                if weight != 0 and term.span in (None, span)
            ]
            token_values += mine
            if mine:
                sequence_values.append(torch.stack(mine).sum() / len(mine))
        values = token_values if term.per == "token" else sequence_values
        if values:
            found[name] = term.coefficient * torch.stack(values).sum() / len(values)
    return found


def _matches(pattern: str, task: str) -> bool:
    return task == pattern or (pattern.endswith("*") and task.startswith(pattern[:-1]))


# --- a method around it ----------------------------------------------------------------------------------------------


@dataclass
class Stages:
    """A curriculum that plays the given stages."""

    stages: Sequence[Stage]

    def requires(self) -> Requirements:
        return Requirements()

    def next_stage(self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Any) -> Stage | None:
        return self.stages[len(done)] if len(done) < len(self.stages) else None


@dataclass
class Supplies:
    """A data policy made of a function of (drawn, state)."""

    make: Any

    def supply(self, drawn: Sequence[TrainingExample], state: Any) -> Iterable[Sequence[TrainingExample]]:
        return cast(Iterable[Sequence[TrainingExample]], self.make(drawn, state))

    def validated(self, metrics: Mapping[str, float]) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


@dataclass
class SettableLoss:
    """Cross-entropy that knows the settings `temperature` and `weight`; `weight` multiplies every term."""

    data_policy: Any = field(default_factory=lambda: CrossEntropy().data_policy)
    settings: Mapping[str, float] = field(default_factory=lambda: {"temperature": 1.0, "weight": 1.0})

    def terms(self, of_format: Mapping[str, Term], settings: Mapping[str, float]) -> Mapping[str, Term]:
        weight = settings["weight"]
        return {name: replace(term, coefficient=term.coefficient * weight) for name, term in of_format.items()}

    def values(self, batch: Any, student: Any, state: Any) -> Mapping[str, torch.Tensor]:
        return CrossEntropy().values(batch, student, state)


def method_of(curriculum: Any = None, loss: Any = None, form: Any = None) -> Method:
    unused = cast(Any, None)
    return Method(
        "test",
        schedule=unused,
        selection=unused,
        annotation=unused,
        weighting=unused,
        curriculum=curriculum or Shuffled(),
        format=form or AnswerOnly(),
        loss=loss or CrossEntropy(),
    )


def context_of(student: Student, method: Method, seed: int = 1, round_index: int = 0) -> CellContext:
    return CellContext(
        dataset=cast(Any, SimpleNamespace(task=None)),
        format=method.format,
        student=student,
        local_assistant=None,
        teachers=("teacher",),
        loss_settings=method.loss.settings,
        prompts=cast(Any, None),
        seed=seed,
        data_seed=1,
        round=Round(round_index, 1.0),
        history=(),
        gold_rows={},
        gold_axes=frozenset(),
    )


def optimization_of(**changes: Any) -> Optimization:
    plain: dict[str, Any] = {"max_steps": 8, "batch_size": 4, "learning_rate": 3e-3}
    return Optimization(**{**plain, **changes})
