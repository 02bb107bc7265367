"""The interfaces of language models for parts: as text, through the metered `ask`, and as tensors inside a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from benchmark.types import Json, Reply, Request, TrainingExample

if TYPE_CHECKING:
    import numpy as np
    import torch

    from benchmark.student.batch import MicroBatch

STUDENT, ASSISTANT = "student", "assistant"
"""Names of the local models that an annotator may ask besides teachers."""


class TextModel(Protocol):
    """A language model that reads and writes text: in evaluation mode, without gradient; its tokens are counted."""

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        """Per request, in order, a list of `samples` replies; equal requests give equal replies.

        Above temperature 0 they also depend on `key`: change it to get new replies to a request later in training.
        A reply that was written has its `log_probability`; a request with `continuations` is answered with
        `continuation_log_probabilities`. A begun reply (`prefix`) leaves less room for new tokens where the window is
        full, and never cuts the prompt.
        """
        ...

    def target_log_probabilities(self, examples: Sequence[TrainingExample]) -> list[tuple[float, ...]]:
        """Per example, one natural log-probability per target token given all text before it; EOS is last."""
        ...

    def embeddings(self, texts: Sequence[str]) -> np.ndarray:
        """[texts, width] float32: per text the mean of the model's last hidden states over the tokens of the text.

        Raises ValueError for a text without any token.
        """
        ...


class AskModels(Protocol):
    """The `ask` function of an annotator; every distinct request to a teacher is booked in the cell's ledger."""

    async def __call__(self, who: str, request: Request, samples: int = 1) -> list[Reply]:
        """Returns `samples` replies to one request by `who`: one of `Context.teachers`, `STUDENT` or `ASSISTANT`.

        Raises ValueError for an unknown `who`, and for a model or role that no part of the method declared.
        """
        ...


class PositionFunction(Protocol):
    """What a loss computes at each position from next-token distributions.

    It is called for one chunk of positions after the other, and a second time for the gradient: it must draw nothing,
    keep nothing, and treat every position alone.
    """

    def __call__(self, log_probabilities: torch.Tensor, /, *signals: Any) -> torch.Tensor:
        """[n] or [n, k] numbers, from [n, vocabulary] natural log-probabilities and n rows of every signal."""
        ...


class Signal(Protocol):
    """Something known at each of N positions that is made on demand, such as a teacher's whole distributions."""

    def __len__(self) -> int:
        """N."""
        ...

    def at(self, positions: slice) -> torch.Tensor:
        """Its rows for these positions; equal calls give equal rows."""
        ...


class StepModel(Protocol):
    """A model as tensors inside an optimiser step. N counts the target tokens of all examples in the micro-batch."""

    def hidden(self, batch: MicroBatch) -> torch.Tensor:
        """[N, width]: the last hidden state at each position that predicts a target token."""
        ...

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, vocabulary] logits in float32, over the tokens that the student shares with all frozen models."""
        ...

    def negative_log_likelihoods(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """[N] negative log-likelihoods of `tokens` in nats, float32, over the same vocabulary.

        Needs much less memory than `logits`.
        """
        ...

    def over_positions(
        self, function: PositionFunction, hidden: torch.Tensor, *signals: torch.Tensor | Signal
    ) -> torch.Tensor:
        """[N] or [N, k]: the function's values at all positions, made chunk by chunk; nobody holds all the logits.

        The function gets a chunk's natural log-probabilities, float32, over the same vocabulary as `logits`, and the
        chunk's rows of every signal: a tensor with N rows, or a `Signal`. The result equals
        `function(logits(hidden).log_softmax(-1), *signals)` in value and gradient, however the positions are cut.
        """
        ...

    def weighted_sums(
        self,
        function: PositionFunction,
        hidden: torch.Tensor,
        factors: torch.Tensor,
        *signals: torch.Tensor | Signal,
    ) -> torch.Tensor:
        """[k]: `(over_positions(function, hidden, *signals) * factors).sum(0)` with factors [N, k], in half the work.

        The factors are known before the forward pass, so that the gradient is taken chunk by chunk in it. Where they
        are `MicroBatch.scale`, the sums are the terms of the loss.
        """
        ...

    def output_embedding(self) -> torch.Tensor:
        """[vocabulary, width]: the matrix whose product with `hidden` is `logits`, for a kernel that wants both.

        Raises ValueError for an output layer that is more than one matrix: with a bias, or an adapter.
        """
        ...


class FrozenModel(TextModel, StepModel, Protocol):
    """A second model whose weights never change (teacher, assistant).

    As tensors it reads the student's target tokens, behind prompts that are rendered for it: with its own chat
    template, or for its encoder.
    """

    @property
    def vocabulary(self) -> int:
        """How many token ids its distributions cover: those that it shares with the student."""
        ...

    @property
    def identity(self) -> Mapping[str, Json]:
        """What decides its distributions: weights, precision, tokenizer, how prompts are made, vocabulary."""
        ...

    def token_ids(self, batch: MicroBatch) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Per example (ids of its prompt as this model reads it, ids of its target); computes nothing."""
        ...

    def distributions(self, batch: MicroBatch) -> Signal:
        """Its natural log-probabilities [N, vocabulary] at each position that predicts a target token, as a signal.

        Only the rows that are asked for are made; they are float32, over the shared vocabulary, without gradient.
        """
        ...
