"""Models whose weights never change: the assistant, and teachers that run in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Self

from benchmark.contract import PositionFunction, Signal
from benchmark.errors import ModelError
from benchmark.records.contents import json_hash
from benchmark.student.chat_template import refuse_no_date
from benchmark.student.settings import Accelerator, Precision, TrainerSettings
from benchmark.student.source import PretrainedStudent, StudentSource, refuse_small
from benchmark.types import Json, Reply, Request, TrainingExample, Usage

if TYPE_CHECKING:
    import numpy as np
    import torch

    from benchmark.student.batch import MicroBatch
    from benchmark.student.over_positions import Distributions
    from benchmark.student.student import Student


@dataclass(frozen=True)
class NoAssistant:
    """No assistant: methods that need one are refused."""

    name: ClassVar[str] = "none"


@dataclass(frozen=True)
class NoDistributionTeacher:
    """No model of its own for distributions: a loss that compares with the teacher reads `teacher` itself."""

    name: ClassVar[str] = "none"


@dataclass(frozen=True)
class FrozenModelSource(PretrainedStudent):
    """A local model whose weights never change: a Hugging Face folder, or one on the hub.

    The `student/` folder of a finished cell works too: that student becomes a mentor or a fine-tuned teacher.
    """

    max_length: int | None  # type: ignore[assignment]  # `settled` puts a number, and only that is loaded
    """The window in tokens: prompt and response together; null is the model's own window."""

    def __post_init__(self) -> None:
        if self.max_length is None:
            refuse_small(self, "max_new_tokens")
            refuse_no_date(self.template_date)
        else:
            super().__post_init__()

    def settled(self) -> Self:
        """The same, with the model's own window for a `max_length` of null.

        Raises ModelError if the model has no window, or one without room for a prompt beside `max_new_tokens`.
        """
        if self.max_length is not None:
            return self
        window = self.window()
        if window is None:
            raise ModelError(
                f"{self.slot}.max_length=null is the model's own window, and the config.json of {self.path} states "
                "none; give a number"
            )
        if window <= self.max_new_tokens:
            raise ModelError(
                f"{self.slot}.max_new_tokens={self.max_new_tokens} leaves no room for a prompt in the window of "
                f"{self.path}, which has {window} tokens"
            )
        return replace(self, max_length=window)


@dataclass(frozen=True)
class PretrainedAssistant(FrozenModelSource):
    """A local model that judges, explains or shows its distributions."""

    slot: ClassVar[str] = "assistant"


@dataclass(frozen=True)
class PretrainedDistributionTeacher(FrozenModelSource):
    """A local model that the loss compares the student with, while `teacher` writes the texts."""

    slot: ClassVar[str] = "distribution_teacher"


@dataclass(frozen=True)
class Frozen:
    """A model with fixed weights as losses use it: on text, and on the student's targets behind its own prompts."""

    model: Student
    vocabulary: int
    """How many token ids model and student share; logits beyond them belong to padding of one of the two."""
    fingerprint: str = ""
    """A hash of its weights and tokenizer, or `path@commit`; empty if nothing of it is kept on the disk."""

    @property
    def identity(self) -> Mapping[str, Json]:
        """What decides its distributions; tokenizer and chat template as hashes. Raises ValueError for no fingerprint.

        The prompts of examples are no part of it: the tokens that they become are hashed with each example.
        """
        if not self.fingerprint:
            raise ValueError("a frozen model without a fingerprint cannot have its numbers kept on the disk")
        tokenizer, template = self.model.tokenizer, self.model.tokenizer.chat_template
        return {
            "teacher": self.fingerprint,
            "precision": str(self.model.autocast or self.model.network.dtype).removeprefix("torch."),
            "tokenizer": json_hash(sorted(tokenizer.get_vocab().items())),
            "chat_template": json_hash(template) if template else None,
            "prompt_apart": self.model.encoder.prompt_apart,
            "vocabulary": self.vocabulary,
        }

    def token_ids(self, batch: MicroBatch) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Per example (ids of its prompt as this model reads it, ids of its target); computes nothing."""
        from benchmark.student.rendering import rendered_for

        own = rendered_for(batch, self.model.encoder, self.model.padding_id).batch
        prompts = zip(own.input_ids.tolist(), own.prompt_lengths.tolist(), strict=True)
        targets = (part.tolist() for part in own.split(own.tokens))
        return [(tuple(row[:length]), tuple(target)) for (row, length), target in zip(prompts, targets, strict=True)]

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        """`samples` replies per request, in the order of the requests."""
        return self.model.generate(requests, samples, key)

    def target_log_probabilities(self, examples: Sequence[TrainingExample]) -> list[tuple[float, ...]]:
        """Natural log-probability of every target token given the prompt and the target before it, EOS last."""
        return self.model.target_log_probabilities(examples)

    def embeddings(self, texts: Sequence[str]) -> np.ndarray:
        """[texts, width] float32: per text the mean of the last hidden states over its tokens."""
        return self.model.embeddings(texts)

    def hidden(self, batch: MicroBatch) -> torch.Tensor:
        """[N, width]: the last hidden state at each position that predicts a response token.

        The model reads the student's target tokens behind its own prompts, as `target_log_probabilities` does. Without
        gradient, in the model's own precision.
        """
        import torch

        own = self._rendered(batch)
        self.model.usage += Usage(calls=len(own.examples), prompt_tokens=int(own.attention_mask.sum()))
        with self.model.evaluation(compiled=True), torch.no_grad():
            return self.model.hidden(own)

    def _rendered(self, batch: MicroBatch) -> MicroBatch:
        """The batch with this model's own prompts; prompts that its window cuts are counted."""
        from benchmark.student.rendering import rendered_for

        own = rendered_for(batch, self.model.encoder, self.model.padding_id)
        if own.cut_prompts:
            self.model.counters["truncated_training_prompts"] += own.cut_prompts
        return own.batch

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, vocabulary]: logits in float32, without gradient; the matrix product has the model's own precision."""
        import torch

        with self.model.evaluation(), torch.no_grad():
            return self.model.logits(hidden)[:, : self.vocabulary]

    def negative_log_likelihoods(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """[N]: the tokens' negative log-likelihoods in nats, float32, without gradient, over the shared vocabulary."""
        import torch

        with self.model.evaluation(), torch.no_grad():
            return self.model.negative_log_likelihoods(hidden, tokens, self.vocabulary)

    def over_positions(
        self, function: PositionFunction, hidden: torch.Tensor, *signals: torch.Tensor | Signal
    ) -> torch.Tensor:
        """[N] or [N, k]: the function's values at all positions, chunk by chunk, without gradient."""
        import torch

        with self.model.evaluation(), torch.no_grad():
            return self.model.over_positions(function, hidden, *signals, vocabulary=self.vocabulary)

    def weighted_sums(
        self,
        function: PositionFunction,
        hidden: torch.Tensor,
        factors: torch.Tensor,
        *signals: torch.Tensor | Signal,
    ) -> torch.Tensor:
        """[k]: per column the sum of the function's values times `factors` [N, k], without gradient."""
        return (self.over_positions(function, hidden, *signals) * factors).sum(0)

    def output_embedding(self) -> torch.Tensor:
        """[vocabulary, width]: the output embedding of the shared tokens, without gradient."""
        return self.model.output_embedding()[: self.vocabulary].detach()

    def distributions(self, batch: MicroBatch) -> Distributions:
        """[N, vocabulary] natural log-probabilities at each position that predicts a response token, made on demand."""
        from benchmark.student.over_positions import Distributions

        return Distributions(self.hidden(batch), self._chunk_logits)

    def _chunk_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[n, vocabulary] in the precision of the product; without a pass over all modules, since chunks are many."""
        import torch

        with ExitStack() as around:
            around.enter_context(torch.no_grad())
            if self.model.autocast is not None:
                around.enter_context(torch.autocast(hidden.device.type, dtype=self.model.autocast))
            return self.model.projected(hidden)[:, : self.vocabulary]


def refuse_other_vocabulary(student: StudentSource, model: PretrainedStudent) -> None:
    """Raises ModelError if any token has different ids in the two models: their distributions cannot be compared."""
    ours, theirs = student.tokenizer().get_vocab(), model.tokenizer().get_vocab()
    different = sum(ours.get(token) != number for token, number in theirs.items()) + len(ours.keys() - theirs.keys())
    if different:
        raise ModelError(
            f"{model.slot}={model.name} and student={student.name} do not share a vocabulary ({len(theirs)} and "
            f"{len(ours)} tokens, {different} of them different), so their distributions cannot be compared; choose "
            "models of one family"
        )


@lru_cache(maxsize=3)
def load_frozen(
    source: PretrainedStudent,
    fingerprint: str,
    seed: int,
    accelerator: Accelerator,
    batch_size: int | None,
    precision: Precision,
) -> Student:
    """Loads a model with fixed weights once per process; with a new `fingerprint` it reads a changed folder again."""
    from benchmark.student.load import load_student

    settings = TrainerSettings(accelerator=accelerator, evaluation_batch_size=batch_size)
    model = load_student(source, seed, settings, precision)
    model.network.requires_grad_(False)
    model.network.train(False)
    return model
