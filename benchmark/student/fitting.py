"""Fits a request into the window: which tokens the model reads, how many it may write, and what had to be cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.student.encoding import Encoder
from benchmark.types import Request


@dataclass(frozen=True)
class FittedRequest:
    """A request as tokens that fit the window."""

    prompt: list[int]
    """The tokens to read: the prompt and, where one network reads both as one text, the begun reply behind it."""
    begun: list[int]
    """The begun reply where an encoder reads the prompt, so that the decoder reads it before it writes; else empty."""
    opponent: list[int] | None
    """The tokens to read of the second prompt of a contrast; None without one."""
    room: int
    """The most tokens that may be written; 0 if prompt and begun reply fill the window."""
    counts: Counter[str]
    """What the fit cost, as `Student.counters` names it: cut prompts, shortened replies, unknown tokens."""


def fit_requests(encoder: Encoder, requests: Sequence[Request], max_new_tokens: int) -> list[FittedRequest]:
    """Each request as tokens; `max_new_tokens` is the cap of a reply whose request sets none.

    A prompt loses its beginning only if the prompt alone leaves no room for the cap. A begun reply (`Request.prefix`)
    never costs a token of the prompt: it takes its place from the new tokens, which `shortened_replies` counts.
    """
    contrasts = [request.contrast for request in requests if request.contrast is not None]
    begun = [replace(request, contrast=None) for request in requests if request.contrast is not None]
    against = [replace(request, prompt=other.prompt) for request, other in zip(begun, contrasts, strict=True)]
    others = iter(_fit_plain(encoder, against, max_new_tokens))
    return [
        fitted if request.contrast is None else _joined(fitted, next(others))
        for request, fitted in zip(requests, _fit_plain(encoder, requests, max_new_tokens), strict=True)
    ]


def _fit_plain(encoder: Encoder, requests: Sequence[Request], max_new_tokens: int) -> list[FittedRequest]:
    unknown = encoder.tokenizer.unk_token_id
    fits = []
    for request, (prompt, prefix) in zip(requests, encoder.begun(requests), strict=True):
        wanted = request.max_new_tokens or max_new_tokens
        kept, cut = encoder.cut_prompt(prompt, room=wanted)
        beside_prompt = min(wanted, encoder.max_length - len(kept))
        room = max(0, min(wanted, encoder.max_length - len(kept) - len(prefix)))
        read = [*kept, *prefix]
        counts = Counter({"truncated_prompts": int(cut)})
        if room < beside_prompt:
            counts["shortened_replies"] = 1
        if unknown is not None:
            counts["unknown_prompt_tokens"] = read.count(unknown)
        apart = encoder.prompt_apart
        fits.append(FittedRequest(kept if apart else read, prefix if apart else [], None, room, counts))
    return fits


def _joined(own: FittedRequest, other: FittedRequest) -> FittedRequest:
    counts = Counter(own.counts)
    counts.update(other.counts)
    return FittedRequest(own.prompt, own.begun, other.prompt, min(own.room, other.room), counts)
