"""What a language model looks like to the parts: as text, through the meter, and on tensors inside a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from benchmark.types import Reply, Request, TrainingExample

if TYPE_CHECKING:
    import torch

    from benchmark.student.batch import MicroBatch

STUDENT, ASSISTANT = "student", "assistant"
"""Whom an annotator may ask besides the teachers."""


class TextModel(Protocol):
    """A language model of this moment as text: evaluation mode, no gradient, batched by length, metered."""

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        """`samples` replies per request, in the order of the requests; equal requests give equal replies.

        Above temperature 0 they also depend on `key`, which tells apart one request at two moments of training.
        """
        ...

    def target_log_probabilities(self, examples: Sequence[TrainingExample]) -> list[tuple[float, ...]]:
        """Natural log-probability of every target token given the prompt and the target before it, EOS last."""
        ...


class AskModels(Protocol):
    """The metered way to the models: every distinct request to a teacher is booked on the ledger."""

    async def __call__(self, who: str, ask: Request, samples: int = 1) -> list[Reply]:
        """`samples` replies to one request by one of `Context.teachers`, `STUDENT` or `ASSISTANT`.

        Raises ValueError for nobody known, or for a teacher in a role that no part of the method declared.
        """
        ...


class StepModel(Protocol):
    """The student on tensors, inside an optimiser step."""

    def hidden(self, batch: MicroBatch) -> torch.Tensor:
        """[N, width]: the last hidden state at each position that predicts a response token."""
        ...

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, vocabulary] logits in float32, over the tokens that the student shares with all frozen models."""
        ...

    def negative_log_likelihoods(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """[N] nats of the tokens in float32, over the same vocabulary; much leaner than by way of all logits."""
        ...


class FrozenModel(TextModel, StepModel, Protocol):
    """A model beside the student whose weights never move: as text and, on the student's own tokens, on tensors."""
