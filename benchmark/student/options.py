"""Log-probabilities of a question's options as the end of a reply; tokens that the options share are read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmark.student.architecture import Branches, architecture_of
from benchmark.student.encoding import Encoder
from benchmark.types import Span, TrainingExample

PADDED_TOKENS = 1024
"""The most tokens that one batch reads, padding included; on a CPU larger batches are slower, not faster."""
PROJECTED_TOKENS = 512
"""How many positions are projected to the vocabulary at once; for 50,000 tokens their logits take 100 MB."""


@dataclass(frozen=True)
class OptionRequest:
    """A question's prompt, the beginning of a reply, and the options that may end the reply."""

    question_id: str
    """The question's id, for error messages."""
    prompt: str
    """The text of the prompt."""
    begun: str
    """The text of the reply before the option; may be empty."""
    options: tuple[str, ...]
    """The texts of the options."""


@dataclass(frozen=True)
class EncodedOptions:
    """An `OptionRequest` as tokens."""

    branches: Branches
    truncated: bool
    """Whether the prompt or the begun reply was cut to fit the window."""

    @property
    def tokens(self) -> int:
        """How many tokens are read; tokens that the options share count once."""
        return len(self.branches.stem) + sum(len(ending) - 1 for ending in self.branches.endings)


def encode(encoder: Encoder, requests: Sequence[OptionRequest]) -> list[EncodedOptions]:
    """Turns every reply (begun text, option, EOS) into tokens as one text, as in training.

    The first tokens that are equal in all replies of a question, and that begin before the option, become the begun
    reply. All later tokens become the endings. If the longest reply does not fit the window, the prompt loses its
    beginning first, then the begun reply. Raises ValueError for an option that does not fit the window alone.
    """
    prompts = encoder.prompts([request.prompt for request in requests])
    targets = iter(encoder.targets([reply for request in requests for reply in _replies(request)]))
    return [
        _encoded(encoder, request, prompt, [next(targets) for _ in request.options])
        for request, prompt in zip(requests, prompts, strict=True)
    ]


def _replies(request: OptionRequest) -> list[TrainingExample]:
    return [
        TrainingExample(request.question_id, "option", request.prompt, (Span(request.begun), Span(option)))
        for option in request.options
    ]


def _encoded(
    encoder: Encoder, request: OptionRequest, prompt: list[int], targets: Sequence[tuple[list[int], list[int]]]
) -> EncodedOptions:
    shared = _shared(targets)
    longest = max(len(ids) for ids, _ in targets)
    prompt, cut = encoder.cut_prompt(prompt, room=min(longest, encoder.max_length - 1))
    room = encoder.max_length - len(prompt) - (longest - shared)
    if room < 0:
        raise ValueError(
            f"an option of question {request.question_id!r} has {longest - shared} tokens, and the student's window of "
            f"{encoder.max_length} must hold the prompt's last token too; raise student.max_length"
        )
    begun = targets[0][0][max(0, shared - room) : shared]
    endings = tuple(tuple(ids[shared:]) for ids, _ in targets)
    return EncodedOptions(Branches(tuple(prompt), tuple(begun), endings), truncated=cut or shared > room)


def _shared(targets: Sequence[tuple[list[int], list[int]]]) -> int:
    """How many first tokens are the same in all replies and begin before the option; EOS counts as the option's."""
    border = min(owners.index(1) for _, owners in targets)
    columns = zip(*(ids[:border] for ids, _ in targets), strict=True)
    return next((i for i, column in enumerate(columns) if len(set(column)) > 1), border)


@torch.inference_mode()
def log_probabilities(
    network: Any,
    negative_log_likelihoods: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    encoded: Sequence[EncodedOptions],
    padding_id: int,
    batch_size: int,
    advance: Callable[[int], None] = lambda questions: None,
) -> list[tuple[tuple[float, ...], ...]]:
    """The natural log-probability of each token of each ending, per question and option, EOS last.

    `negative_log_likelihoods` gets hidden states [N, width] and tokens [N], and returns [N] nats. `batch_size` is the
    most questions in a batch. `advance` is called after each batch with the number of questions that it finished.
    """
    architecture = architecture_of(network)
    found: list[tuple[tuple[float, ...], ...]] = [()] * len(encoded)
    for batch in _batches(encoded, batch_size):
        texts = [encoded[i].branches for i in batch]
        tokens = torch.tensor([token for text in texts for ending in text.endings for token in ending])
        hidden = architecture.before_endings(network, texts, padding_id)
        values = iter(_of_tokens(negative_log_likelihoods, hidden, tokens.to(hidden.device)))
        for i, text in zip(batch, texts, strict=True):
            found[i] = tuple(tuple(next(values) for _ in ending) for ending in text.endings)
        advance(len(batch))
    return found


def _of_tokens(
    negative_log_likelihoods: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    hidden: torch.Tensor,
    tokens: torch.Tensor,
) -> list[float]:
    values: list[float] = []
    parts = (torch.split(tensor, PROJECTED_TOKENS) for tensor in (hidden, tokens))
    for some, chosen in zip(*parts, strict=True):
        values += (-negative_log_likelihoods(some, chosen)).tolist()
    return values


def _batches(encoded: Sequence[EncodedOptions], batch_size: int) -> Iterator[list[int]]:
    """Batches of question indices, sorted by length, with at most `batch_size` questions and `PADDED_TOKENS` tokens."""
    batch: list[int] = []
    for i in sorted(range(len(encoded)), key=lambda i: (len(encoded[i].branches.stem), i)):
        joined = [*batch, i]
        if batch and (len(joined) > batch_size or _padded_tokens([encoded[j] for j in joined]) > PADDED_TOKENS):
            yield batch
            joined = [i]
        batch = joined
    if batch:
        yield batch


def _padded_tokens(encoded: Sequence[EncodedOptions]) -> int:
    texts = [each.branches for each in encoded]
    endings = [len(ending) for text in texts for ending in text.endings]
    return len(texts) * max(len(text.stem) for text in texts) + len(endings) * max(endings)
