"""The errors of a live teacher, each in one line that says what the server refused and what to set."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.errors import ConfigError, TeacherError
from benchmark.teachers.completions import TOO_FEW_CHOICES, words_of
from benchmark.teachers.parameters import hint_about
from benchmark.types import Json, Request

if TYPE_CHECKING:
    from benchmark.teachers.openai_compatible import OpenAICompatibleTeacher

PATHS = {"chat": "/chat/completions", "completions": "/completions"}
UNKNOWN_MODEL_STATUS = (400, 404, 422)
"""HTTP statuses that servers return for a model that they do not have, and for other wrong requests."""
PARAMETER_STATUS = (400, 422)
"""HTTP statuses of servers that refuse a parameter."""
LONGEST_QUOTE, LONGEST_LIST = 300, 20
OVERFLOW_WORDS = (
    *("context length", "context window", "context size", "context limit", "context_length", "maximum context"),
    *("maximum number of tokens allowed", "too many tokens", "too long"),
)


class Refusals:
    """Makes the errors of one teacher, and counts each in its traffic."""

    def __init__(self, teacher: OpenAICompatibleTeacher) -> None:
        self.teacher = teacher

    def refusal(self, reason: str, detail: str) -> ConfigError:
        """The server refuses, and would refuse again."""
        self.teacher.traffic.failures[reason] += 1
        return ConfigError(f"teacher={self.teacher.name} at {self.teacher.base_url}: {detail}")

    def silence(self, reason: str, detail: str) -> TeacherError:
        """The server does not answer now."""
        self.teacher.traffic.failures[reason] += 1
        return TeacherError(
            f"teacher={self.teacher.name} at {self.teacher.base_url} gave no answer, {detail}; replies bought so far "
            "are kept, and the same command resumes"
        )

    def of_status(self, status: int, error: Json, known_models: Sequence[str], body: Json) -> ConfigError:
        """For an HTTP status; `error` is what the server said, `body` the request, `known_models` the server's list."""
        said = self.quoted(words_of(error))
        if is_page(said):
            return self.of_page(said)
        if status in (401, 403):
            return self._of_key(status, said)
        detail = f"(HTTP {status}: {said})"
        hint = hint_about(error, said, body, self.teacher.names) if status in PARAMETER_STATUS else ""
        listed = {name.removeprefix("models/") for name in known_models} | set(known_models)
        of_model = status == 404 or "model" in said.lower()
        if listed and not hint and of_model and self.teacher.model not in listed:
            return self.refusal("not found", f"{self._what_there_is(known_models)} {detail}")
        if status == 404:
            return self.refusal("not found", self._unknown_path(detail))
        return self.refusal(f"HTTP {status}", f"it refuses the request {detail}{hint}")

    def of_page(self, page: str) -> ConfigError:
        """For a page of HTML where JSON should be."""
        return self.refusal(
            "a web page",
            f"it answers with a page of HTML and not with JSON ({self.quoted(page)[:80]}...), so it is the address of "
            f"no model; most addresses end in /v1, and {PATHS[self.teacher.api]} is added to them",
        )

    def of_shape(self, in_a_row: int, said: str) -> ConfigError:
        """For replies that have no known form, one after the other."""
        return self.refusal(
            "unknown form",
            f"{in_a_row} replies in a row have an unknown form, so nothing more is asked; the last one: {said}",
        )

    def begun_reply(self, role: str) -> ConfigError:
        """For a request that begins the reply, to a chat."""
        return self.refusal(
            "begun reply",
            f"a chat cannot continue a reply that is begun, which the prompt {role} asks for; choose "
            "teacher.api=completions",
        )

    def overflow(self, request: Request, cap: int, detail: str) -> ConfigError:
        """For a request that does not fit into the model's window."""
        return self.refusal(
            "context overflow",
            f"the {request.role} prompt of question {request.question_id!r} and {cap} new tokens do not fit into "
            f"the window of {self.teacher.model} ({detail}); lower teacher.max_tokens, serve the model with a longer "
            "window, or choose another one",
        )

    def too_few(self, samples: int) -> ConfigError:
        """For a server that ignores `n`."""
        detail = f"fewer than the {samples} samples asked for came back; give teacher.n_per_request=false"
        return self.refusal(TOO_FEW_CHOICES, detail)

    def quoted(self, words: Json) -> str:
        """The server's own words in one line, without the key; what is no text as JSON."""
        text = words if isinstance(words, str) else json.dumps(words) if words else ""
        line = " ".join(text.split()) or "no reason given"
        key = os.environ.get(self.teacher.api_key_variable or "")
        line = (line.replace(key, "[key]") if key else line).encode("utf-8", "backslashreplace").decode()
        return line if len(line) <= LONGEST_QUOTE else line[:LONGEST_QUOTE] + "..."

    def _of_key(self, status: int, said: str) -> ConfigError:
        variable, detail = self.teacher.api_key_variable, f"(HTTP {status}: {said})"
        if variable is None:
            return self.refusal(
                "key", f"it asks for a key {detail}; give teacher.api_key_variable=NAME of the variable that holds it"
            )
        return self.refusal("key", f"it refuses the key in the environment variable {variable} {detail}")

    def _what_there_is(self, known: Sequence[str]) -> str:
        """The message for a model that the server does not list."""
        more = f" and {len(known) - LONGEST_LIST} more" if len(known) > LONGEST_LIST else ""
        return f"it has no model {self.teacher.model!r}; it has {', '.join(known[:LONGEST_LIST])}{more}"

    def _unknown_path(self, detail: str) -> str:
        """The message for a 404 if the server lists the model, or gives no list."""
        other = next(api for api in PATHS if api != self.teacher.api)
        return (
            f"it does not know {PATHS[self.teacher.api]} or the model {self.teacher.model!r} {detail}; most addresses "
            f"end in /v1, and some servers know only teacher.api={other}"
        )


def is_overflow(status: int, said: str) -> bool:
    """Whether a server refuses a request because it does not fit into the model's window."""
    return status in (400, 413) and any(word in said.lower() for word in OVERFLOW_WORDS)


def is_page(text: str) -> bool:
    """Whether a text is a page of HTML and not an answer."""
    return text.lstrip("\ufeff \t\r\n").startswith("<")
