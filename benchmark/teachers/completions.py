"""Reads the replies and token counts in the JSON of an OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.teachers.teacher import estimated_tokens
from benchmark.types import Json, Reply

CONTENT_FILTER = "content_filter"
TOO_FEW_CHOICES = "too few choices"
FINISHES = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence"), "stop"),
    **dict.fromkeys(("length", "max_tokens"), "length"),
}
"""A server's `finish_reason`, in small letters -> `Reply.finish`."""
REFUSED_PROMPT_CODES = frozenset(
    {CONTENT_FILTER, "content_policy_violation", "invalid_prompt", "ResponsibleAIPolicyViolation"}
)
"""Error codes of providers whose filter refuses a prompt; OpenAI uses `invalid_prompt`."""


@dataclass(frozen=True)
class Tokens:
    """The tokens that a server reports as charged."""

    prompt: int = 0
    completion: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.prompt + other.prompt, self.completion + other.completion)


class UnreadableReply(Exception):
    """A server's JSON holds no usable reply.

    `reason` says why in a few words; `tokens` is what the server charged (None: unknown); `said` holds the server's own
    words (None: none), which may contain the key.
    """

    def __init__(self, reason: str, tokens: Tokens | None = None, said: Json = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.tokens = tokens
        self.said = said


@dataclass(frozen=True)
class _Choice:
    text: str
    finish: str
    log_probabilities: tuple[float, ...] | None

    @property
    def weight(self) -> int:
        """Its tokens, as a weight: the number of its log-probabilities, or else estimated from the text."""
        return estimated_tokens(self.text) if self.log_probabilities is None else len(self.log_probabilities)


@dataclass(frozen=True)
class Answer:
    """The replies of one request.

    Their tokens add up to `tokens`; `estimated` is True if the server reported none.
    """

    replies: tuple[Reply, ...]
    tokens: Tokens
    estimated: bool


def usage_of(payload: Mapping[str, Json]) -> Tokens | None:
    """The tokens that the server charged for a request; None if it does not report them."""
    usage = payload.get("usage")
    if not isinstance(usage, Mapping):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
    if not isinstance(prompt, int) or not isinstance(completion, int) or min(prompt, completion) < 0:
        return None
    return Tokens(prompt, completion)


def read_answer(payload: Json, prompt_text: str, samples: int, cap: int) -> Answer:
    """The first `samples` replies in a server's JSON, of the chat or the completion form.

    All replies but the first share the prompt, which is charged once. If tokens must be estimated, a reply has at most
    `cap`. Raises UnreadableReply if the JSON has another form or fewer replies.
    """
    if not isinstance(payload, Mapping):
        raise UnreadableReply("malformed reply")
    charged = usage_of(payload)
    choices = payload.get("choices")
    if not choices and payload.get("error"):
        raise UnreadableReply("error in the reply", charged, words_of(payload["error"]))
    if not isinstance(choices, list):
        raise UnreadableReply("malformed reply", charged)
    if not choices:
        raise UnreadableReply("no choices", charged)
    if len(choices) < samples:
        raise UnreadableReply(TOO_FEW_CHOICES, charged)
    try:
        read = [_choice(choice) for choice in choices[:samples]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UnreadableReply("malformed reply", charged) from error
    completion = sum(min(cap, estimated_tokens(choice.text)) for choice in read)
    tokens = Tokens(estimated_tokens(prompt_text), completion) if charged is None else charged
    shares = _shares(tokens.completion, [choice.weight for choice in read])
    replies = tuple(
        Reply(
            text=choice.text,
            finish=choice.finish,
            prompt_tokens=tokens.prompt,
            completion_tokens=share,
            log_probability=None if choice.log_probabilities is None else sum(choice.log_probabilities),
            tokens_are_estimated=charged is None,
            shares_prompt=i > 0,
        )
        for i, (choice, share) in enumerate(zip(read, shares, strict=True))
    )
    return Answer(replies, tokens, charged is None)


def words_of(error: Json) -> Json:
    """The `message` of an error; the error itself if it has none."""
    return error.get("message", error) if isinstance(error, Mapping) else error


def refuses_prompt(error: Json) -> bool:
    """Whether an error says that a filter refused the prompt. Azure's code can be one level deeper."""
    found = [error, *(error.get(name) for name in ("innererror", "inner_error"))] if isinstance(error, Mapping) else []
    return any(isinstance(each, Mapping) and str(each.get("code")) in REFUSED_PROMPT_CODES for each in found)


def filtered(samples: int) -> Json:
    """The JSON to use if a server's filter refused the prompt: `samples` replies without text, and 0 tokens charged."""
    choices = [{"text": "", "finish_reason": CONTENT_FILTER}] * samples
    return {"choices": choices, "usage": {"prompt_tokens": 0, "completion_tokens": 0}}


def _choice(choice: Mapping[str, Any]) -> _Choice:
    """One reply. Its text is empty if it was filtered or refused, so that no student learns from it."""
    finish = choice.get("finish_reason") or "stop"
    if "message" in choice:
        message = choice["message"]
        text = message.get("content") or ""
        finish = CONTENT_FILTER if message.get("refusal") else finish
    else:
        text = choice["text"]
    if not isinstance(text, str) or not isinstance(finish, str):
        raise TypeError("text and finish_reason must be texts")
    finish = FINISHES.get(finish.lower(), finish)
    return _Choice("" if finish == CONTENT_FILTER else text, finish, _log_probabilities(choice.get("logprobs")))


def _log_probabilities(found: Mapping[str, Any] | None) -> tuple[float, ...] | None:
    """The natural log-probabilities of the reply's tokens; None if the server gives none."""
    if not found:
        return None
    if found.get("content"):
        return tuple(float(token["logprob"]) for token in found["content"])
    if found.get("token_logprobs"):
        return tuple(float(value) for value in found["token_logprobs"])
    return None


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """Whole numbers in proportion to the weights; they add up to `total` exactly."""
    every, shares, given, weighed = sum(weights) or 1, [], 0, 0
    for weight in weights:
        weighed += weight
        upto = total * weighed // every
        shares.append(upto - given)
        given = upto
    shares[-1] += total - given
    return shares
