"""Reads the replies and token counts in the JSON of an OpenAI-compatible server."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.tasks.thinking import split_thinking
from benchmark.teachers.messages import text_and_trace
from benchmark.teachers.replies import CONTENT_FILTER, UNREADABLE, is_encodable
from benchmark.teachers.teacher import estimated_tokens
from benchmark.types import Finish, Json, Reply

TOO_FEW_CHOICES = "too few choices"
FINISHES: dict[str, Finish] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence"), "stop"),
    **dict.fromkeys(("length", "max_tokens"), "length"),
    **dict.fromkeys(
        (CONTENT_FILTER, "safety", "recitation", "prohibited_content", "blocklist", "refusal"), CONTENT_FILTER
    ),
}
"""A server's `finish_reason`, in small letters -> `Reply.finish`."""
REFUSED_PROMPT_CODES = frozenset(
    {
        *(CONTENT_FILTER, "content_policy_violation", "invalid_prompt", "responsibleaipolicyviolation"),
        *("data_inspection_failed", "datainspectionfailed", "moderation_blocked", "sensitive_words_detected", "1301"),
    }
)
"""Codes and types, in small letters, of errors of providers whose filter refuses a prompt."""
LASTING_CODES = ("model_not_found", "invalid_api_key", "invalid_request_error", "insufficient_quota")
"""Codes of errors that sending again does not cure."""


@dataclass(frozen=True)
class Tokens:
    """The tokens that a server reports as charged."""

    prompt: int = 0
    completion: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.prompt + other.prompt, self.completion + other.completion)


class NoReply(Exception):
    """A server's JSON holds an error, or fewer replies than were asked for.

    `reason` says which in a few words; `tokens` is what the server charged (None: unknown); `error` is the server's
    error (None: none), whose words may contain the key.
    """

    def __init__(self, reason: str, tokens: Tokens | None = None, error: Json = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.tokens = tokens
        self.error = error


@dataclass(frozen=True)
class _Choice:
    """One reply, as the server gave it."""

    text: str
    finish: Finish
    trace: str | None = None
    log_probabilities: tuple[float, ...] | None = None
    said: str = ""
    """The JSON without a usable text, or an unknown `finish_reason`; empty otherwise. It may contain the key."""

    @property
    def weight(self) -> int:
        """Its tokens, as a weight: the number of its log-probabilities, or else estimated from what was written."""
        if self.log_probabilities is not None:
            return len(self.log_probabilities)
        trace = "" if self.trace in (None, self.text) else str(self.trace)
        return estimated_tokens(trace + self.text)


@dataclass(frozen=True)
class Answer:
    """The replies of one request.

    Their tokens add up to `tokens`; `estimated` is True if the server reported none.
    """

    replies: tuple[Reply, ...]
    tokens: Tokens
    estimated: bool

    @property
    def is_unreadable(self) -> bool:
        """Whether none of its replies has a known form."""
        return all(reply.finish == UNREADABLE for reply in self.replies)


def usage_of(payload: Mapping[str, Json]) -> Tokens | None:
    """The tokens that the server charged for a request; None if it does not report them."""
    usage = payload.get("usage")
    if not isinstance(usage, Mapping):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
    if not isinstance(prompt, int) or not isinstance(completion, int) or min(prompt, completion) < 0:
        return None
    total = usage.get("total_tokens")
    thought = total - prompt if isinstance(total, int) else 0  # some servers count a trace in the total alone
    return Tokens(prompt, max(completion, thought))


def read_answer(payload: Json, prompt_text: str, samples: int, cap: int) -> Answer:
    """The first `samples` replies in a server's JSON, of the chat or the completion form.

    A reply of another form has no text, `finish` is `unreadable`, and `said` holds its JSON. All replies but the first
    share the prompt, which is charged once. If tokens must be estimated, a reply has at most `cap`. Raises NoReply for
    an error in the JSON, and for fewer replies than `samples`.
    """
    charged = usage_of(payload) if isinstance(payload, Mapping) else None
    choices = payload.get("choices") if isinstance(payload, Mapping) else None
    if isinstance(payload, Mapping) and not choices and payload.get("error"):
        raise NoReply("error in the reply", charged, payload["error"])
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, Mapping) and choice.get("error"):
            raise NoReply("error in the reply", charged, choice["error"])
    if not isinstance(choices, list) or not choices:
        read = [_Choice("", UNREADABLE, said=_as_text(payload))] * samples
    elif len(choices) < samples:
        raise NoReply(TOO_FEW_CHOICES, charged)
    else:
        read = [_choice(choice) for choice in choices[:samples]]
    completion = sum(min(cap, choice.weight) for choice in read)
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
            trace=choice.trace,
            said=choice.said,
        )
        for i, (choice, share) in enumerate(zip(read, shares, strict=True))
    )
    return Answer(replies, tokens, charged is None)


def words_of(error: Json) -> Json:
    """The `message` of an error; the error itself if it has none."""
    return error.get("message") or error if isinstance(error, Mapping) else error


def is_lasting(error: Json, passing: Collection[int]) -> bool:
    """Whether an error that came with HTTP 200 would come again: its code is a status of 4xx that is not `passing`."""
    code = str(error.get("code")) if isinstance(error, Mapping) else ""
    return code in LASTING_CODES or (re.fullmatch("4[0-9]{2}", code) is not None and int(code) not in passing)


def json_of(text: str) -> Json:
    """The JSON that a server sent as plain text; the text if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def refuses_prompt(error: Json) -> bool:
    """Whether an error says that a filter refused the prompt. Azure's code can be one level deeper."""
    if not isinstance(error, Mapping):
        return False
    parts = [part for part in (error, error.get("innererror"), error.get("inner_error")) if isinstance(part, Mapping)]
    codes = {str(part.get(name)).lower() for part in parts for name in ("code", "type")}
    metadata = error.get("metadata")
    flagged = isinstance(metadata, Mapping) and "flagged_input" in metadata  # OpenRouter, with HTTP 403
    return flagged or bool(codes & REFUSED_PROMPT_CODES)


def filtered(samples: int) -> Json:
    """The JSON to use if a server's filter refused the prompt: `samples` replies without text, and 0 tokens charged."""
    choices = [{"text": "", "finish_reason": CONTENT_FILTER}] * samples
    return {"choices": choices, "usage": {"prompt_tokens": 0, "completion_tokens": 0}}


def _choice(choice: Json) -> _Choice:
    """One reply. Its text is empty if it was filtered or refused, so that no student learns from it."""
    try:
        reason = choice.get("finish_reason") or "stop"
        finish = FINISHES.get(reason.lower().partition(":")[0].strip(), "other")
        text, trace, refused = text_and_trace(choice["message"]) if "message" in choice else (choice["text"], "", False)
        log_probabilities = _log_probabilities(choice.get("logprobs"))
        if not is_encodable(text) or not is_encodable(trace):
            raise ValueError("a lone surrogate, which no file can hold")
    except (KeyError, TypeError, AttributeError, ValueError):
        return _Choice("", UNREADABLE, said=_as_text(choice))
    if refused or finish == CONTENT_FILTER:
        return _Choice("", CONTENT_FILTER, said=_as_text(choice))
    if not text.strip() and finish == "stop":  # a server that takes a whole reply for reasoning leaves nothing else
        thought = split_thinking(trace)
        text, trace = thought.reply, thought.trace or thought.reply
    thought = split_thinking(text)
    said = "" if thought.reply.strip() or thought.trace or trace else _as_text(choice)
    said = said or (f"finish_reason: {reason}" if finish == "other" else "")
    return _Choice(text, finish, trace or None, log_probabilities, said)


def _as_text(value: Json) -> str:
    """JSON in ASCII, which can be printed and kept whatever the server sent."""
    return (value or "an empty body") if isinstance(value, str) and value.isascii() else json.dumps(value)


def _log_probabilities(found: Mapping[str, Any] | None) -> tuple[float, ...] | None:
    """The natural log-probabilities of the reply's tokens; None if the server gives none that can be read."""
    try:
        content = (found or {}).get("content") or ()
        values = (found or {}).get("token_logprobs") or [token["logprob"] for token in content]
        return tuple(map(float, values)) or None
    except (AttributeError, KeyError, TypeError, ValueError):
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
