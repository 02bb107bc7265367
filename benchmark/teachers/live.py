"""Asks a live teacher: limits on concurrency and rate, retries, and a one-line error where no retry would help."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmark.errors import ConfigError, TeacherError
from benchmark.teachers.completions import (
    TOO_FEW_CHOICES,
    Answer,
    Tokens,
    UnreadableReply,
    filtered,
    read_answer,
    refuses_prompt,
)
from benchmark.teachers.pacing import Clock, RateLimit, back_off_seconds, retry_after_seconds
from benchmark.teachers.replies import until_stop
from benchmark.teachers.teacher import (
    TOKENS_PER_HELD_TOKEN,
    Unanswered,
    estimated_tokens,
    refuse_without_probabilities,
)
from benchmark.types import Json, PlannedRequest, Reply, Request, Usage

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

    from benchmark.teachers.openai_compatible import OpenAICompatibleTeacher

NO_KEY = "none-needed"
"""The key sent to servers that need none; without it, the package `openai` would send the user's OPENAI_API_KEY."""
PATHS = {"chat": "/chat/completions", "completions": "/completions"}
RETRIED_STATUS = {408: "time-out", 409: "conflict", 429: "rate limit"}
UNKNOWN_MODEL_STATUS = (400, 404, 422)
"""HTTP statuses that servers return for a model that they do not have, and for other wrong requests."""
TEMPLATE_TOKENS = {"chat": 256, "completions": 8}
"""The most tokens that a server is assumed to add to a prompt: turn markers, the template's system prompt, BOS."""
LONGEST_QUOTE, LONGEST_LIST = 300, 20
OVERFLOW_WORDS = ("context length", "context window", "context size", "context_length", "maximum context", "too long")


class _Fault(Exception):
    """An attempt without a reply.

    `reason` says why, `wait` is how many seconds the server asks to wait, `tokens` what it charged (None: unknown). The
    request is sent again unless `final` holds the error to raise at once.
    """

    def __init__(
        self,
        reason: str,
        wait: float | None = None,
        tokens: Tokens | None = None,
        detail: str = "",
        final: ConfigError | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.wait, self.tokens, self.detail, self.final = reason, wait, tokens, detail, final


@dataclass
class _Connection:
    """The objects that belong to one event loop."""

    loop: asyncio.AbstractEventLoop
    client: AsyncOpenAI
    room: asyncio.Semaphore
    held: AsyncGenerator[None, None]


class LiveTeacher:
    """An `OpenAICompatibleTeacher` that is ready to answer. It keeps no replies: a repeated request is sent again."""

    def __init__(self, teacher: OpenAICompatibleTeacher, clock: Clock) -> None:
        self.teacher = teacher
        self.traffic = teacher.traffic
        self._clock = clock
        self._requests = RateLimit(teacher.requests_per_minute, clock)
        self._tokens = RateLimit(teacher.tokens_per_minute, clock)
        self._connection: _Connection | None = None

    def covers(self, question_id: str) -> bool:
        """True: a live model can be asked about anything."""
        return True

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        """Prompt tokens: one per byte, plus `TEMPLATE_TOKENS`. Completion tokens: up to the cap."""
        prompt = len(self._prompt(request.request).encode()) + TEMPLATE_TOKENS[self.teacher.api]
        prompt += TOKENS_PER_HELD_TOKEN * held_tokens
        return Usage(request.samples, request.samples * prompt, request.samples * self._cap(request.request))

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        """Returns `samples` replies, asked for in one request or in one each; the server ignores the sample numbers.

        The replies' tokens add up to all that the server charged: a shared prompt counts once, and failed attempts
        count as wasted tokens of the first reply. Raises ConfigError if the server refuses the request, and
        TeacherError if it does not answer; the error's cause is `Unanswered` if the server charged for it.
        """
        refuse_without_probabilities(self.teacher.name, request)
        if request.prefix and self.teacher.api == "chat":
            raise self._refusal(
                "begun reply",
                f"a chat cannot continue a reply that is begun, which the prompt {request.role} asks for; choose "
                "teacher.api=completions",
            )
        self._refuse_what_does_not_fit(request)
        connection = await self._connected()
        sizes = [samples] if self.teacher.n_per_request else [1] * samples
        answers = await _all_or_none([self._answer(connection, request, size) for size in sizes])
        return [until_stop(reply, request) for answer in answers for reply in answer]

    def _refuse_what_does_not_fit(self, request: Request) -> None:
        """Raises ConfigError if prompt and reply may not fit into `context_window`."""
        window, prompt = self.teacher.context_window, estimated_tokens(self._prompt(request))
        if window is not None and prompt + self._cap(request) > window:
            raise self._overflow(request, f"about {prompt} tokens of prompt, teacher.context_window={window}")

    # --- one request and its retries ----------------------------------------------------------------------------------

    async def _answer(self, connection: _Connection, request: Request, samples: int) -> list[Reply]:
        """Keeps its place among `concurrency` while it waits for a retry, to send less to an overloaded server."""
        wasted = Tokens()
        async with connection.room:
            for attempt in range(self.teacher.max_retries + 1):
                try:
                    answer = await self._attempt(connection, request, samples)
                    break
                except _Fault as fault:
                    wasted += self._book_fault(fault)
                    wait = self._wait_after(fault, attempt, wasted)
                    await self._clock.sleep(wait)
                except ConfigError as error:
                    raise error from _unanswered(wasted)
        first, *others = answer.replies
        return [_with_waste(first, wasted), *others]

    def _book_fault(self, fault: _Fault) -> Tokens:
        if fault.tokens is None:
            self.traffic.uncounted_requests += 1
            return Tokens()
        self.traffic.book(fault.tokens)
        return fault.tokens

    def _wait_after(self, fault: _Fault, attempt: int, wasted: Tokens) -> float:
        """Seconds until the next attempt. Raises the final error if there is no further attempt."""
        teacher = self.teacher
        if fault.final is not None:
            raise fault.final from _unanswered(wasted)
        if attempt == teacher.max_retries:
            detail = f"{_times(attempt + 1)}: {fault.reason}{fault.detail}"
            raise self._silence(fault.reason, detail) from _unanswered(wasted)
        asked, longest = fault.wait or 0.0, teacher.longest_wait_seconds
        if asked > longest:
            detail = f"and asks to wait {asked:.0f} s, longer than teacher.longest_wait_seconds={longest:g}"
            raise self._silence(fault.reason, detail) from _unanswered(wasted)
        self.traffic.retries[fault.reason] += 1
        # Added to the server's wait: otherwise all waiting requests would come back at the same moment.
        return asked + back_off_seconds(attempt, self._clock)

    async def _attempt(self, connection: _Connection, request: Request, samples: int) -> Answer:
        body, prompt = self._body(request, samples), self._prompt(request)
        most = estimated_tokens(prompt) + samples * self._cap(request)
        await self._requests.take(1)
        await self._tokens.take(most)
        self.traffic.requests += 1
        try:
            payload = await self._sent(connection, request, body, samples)
            answer = read_answer(payload, prompt, samples, self._cap(request))
        except UnreadableReply as problem:
            detail = f" (HTTP 200: {self._quoted(problem.said)})" if problem.said else ""
            final = self._too_few(samples) if problem.reason == TOO_FEW_CHOICES else None
            raise _Fault(problem.reason, tokens=problem.tokens, detail=detail, final=final) from None
        self.traffic.book(answer.tokens)
        self.traffic.estimated_requests += answer.estimated
        self._tokens.correct(most, answer.tokens.prompt + answer.tokens.completion)
        return answer

    async def _sent(self, connection: _Connection, request: Request, body: Json, samples: int) -> Json:
        """The server's JSON. No exception of the package `openai` leaves this method: it would hold the key."""
        import openai

        try:
            async with asyncio.timeout(self.teacher.timeout_seconds):
                return await connection.client.post(PATHS[self.teacher.api], body=body, cast_to=object)
        except (TimeoutError, openai.APITimeoutError):
            raise _Fault("time-out", detail=f" after {self.teacher.timeout_seconds:g} s") from None
        except openai.APIConnectionError as error:
            if type(error.__cause__).__name__.startswith("Connect"):  # of httpx: nothing was sent
                raise _Fault("no connection", tokens=Tokens()) from None
            raise _Fault("connection cut") from None
        except openai.APIStatusError as error:
            return await self._after_status(connection, request, error, samples)
        except ValueError:  # not JSON, or not even text
            raise UnreadableReply("malformed reply") from None

    # --- what a status means ------------------------------------------------------------------------------------------

    async def _after_status(
        self, connection: _Connection, request: Request, error: APIStatusError, samples: int
    ) -> Json:
        """A reply without text for a prompt that a filter refused.

        Otherwise raises _Fault if a retry may help, and the final error if not.
        """
        status, said = error.status_code, self._said(error)
        if status == 429 and error.code == "insufficient_quota":
            raise self._silence("no credit", f"there is no credit left: {said}") from None
        if status in RETRIED_STATUS or status >= 500:
            wait = retry_after_seconds(error.response.headers.get("retry-after"), self._clock)
            reason = RETRIED_STATUS.get(status, "server error")
            raise _Fault(reason, wait, Tokens(), f" (HTTP {status}: {said})") from None
        if status == 400 and refuses_prompt(error.body):
            return filtered(samples)
        raise await self._final(connection, request, status, said) from None

    async def _final(self, connection: _Connection, request: Request, status: int, said: str) -> ConfigError:
        variable = self.teacher.api_key_variable
        if status in (401, 403) and variable is None:
            return self._refusal(
                "key",
                f"it asks for a key (HTTP {status}); give teacher.api_key_variable=NAME of the variable that holds it",
            )
        if status in (401, 403):
            return self._refusal("key", f"it refuses the key in the environment variable {variable} (HTTP {status})")
        if status in (400, 413) and any(word in said.lower() for word in OVERFLOW_WORDS):
            return self._overflow(request, said)
        detail = f"(HTTP {status}: {said})"
        known = await self._models(connection) if status in UNKNOWN_MODEL_STATUS else []
        if known and self.teacher.model not in known:
            return self._refusal("not found", f"{self._what_there_is(known)} {detail}")
        if status == 404:
            return self._refusal("not found", self._unknown_path(detail))
        return self._refusal(f"HTTP {status}", f"it refuses the request {detail}")

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

    async def _models(self, connection: _Connection) -> list[str]:
        """Names of the models that the server lists; empty if it gives no list."""
        import openai

        try:
            async with asyncio.timeout(self.teacher.timeout_seconds):
                listed: Any = await connection.client.get("/models", cast_to=object)
            return sorted(str(row["id"]) for row in listed["data"])
        except (openai.APIError, TimeoutError, ValueError, TypeError, KeyError):
            return []

    def _said(self, error: APIStatusError) -> str:
        """The server's words about a request that it refused."""
        return self._quoted(error.body.get("message") if isinstance(error.body, dict) else error.response.text)

    def _quoted(self, words: Json) -> str:
        """The server's own words in one line, without the key."""
        line = " ".join(str(words or "no reason given").split())
        key = os.environ.get(self.teacher.api_key_variable or "")
        return (line.replace(key, "[key]") if key else line)[:LONGEST_QUOTE]

    def _overflow(self, request: Request, detail: str) -> ConfigError:
        return self._refusal(
            "context overflow",
            f"the {request.role} prompt of question {request.question_id!r} and {self._cap(request)} new tokens "
            "do not fit into "
            f"the window of {self.teacher.model} ({detail}); lower teacher.max_tokens, serve the model with a longer "
            "window, or choose another one",
        )

    def _too_few(self, samples: int) -> ConfigError:
        detail = f"fewer than the {samples} samples asked for came back; give teacher.n_per_request=false"
        return self._refusal(TOO_FEW_CHOICES, detail)

    def _refusal(self, reason: str, detail: str) -> ConfigError:
        self.traffic.failures[reason] += 1
        return ConfigError(f"teacher={self.teacher.name} at {self.teacher.base_url}: {detail}")

    def _silence(self, reason: str, detail: str) -> TeacherError:
        self.traffic.failures[reason] += 1
        return TeacherError(
            f"teacher={self.teacher.name} at {self.teacher.base_url} gave no answer, {detail}; replies bought so far "
            "are kept, and the same command resumes"
        )

    # --- what is sent -------------------------------------------------------------------------------------------------

    def _body(self, request: Request, samples: int) -> dict[str, Json]:
        teacher = self.teacher
        body: dict[str, Json] = {
            "model": teacher.model,
            "temperature": request.temperature,
            teacher.token_cap_name: self._cap(request),
        }
        if teacher.api == "chat":
            system = [] if teacher.system_prompt is None else [{"role": "system", "content": teacher.system_prompt}]
            body["messages"] = [*system, {"role": "user", "content": request.prompt}]
        else:
            body["prompt"] = request.prompt + request.prefix
        if teacher.top_p is not None:
            body["top_p"] = teacher.top_p
        if stop := self._stop(request):
            body["stop"] = stop
        if teacher.logprobs:
            body["logprobs"] = True if teacher.api == "chat" else 1
        if samples > 1:
            body["n"] = samples
        return body

    def _stop(self, request: Request) -> list[str]:
        """The texts that end a reply. Only raw completion gets the texts of the request: a chat ends by itself."""
        return list(dict.fromkeys((*self.teacher.stop, *(request.stop if self.teacher.api == "completions" else ()))))

    def _cap(self, request: Request) -> int:
        return request.max_new_tokens or self.teacher.max_tokens

    def _prompt(self, request: Request) -> str:
        return (self.teacher.system_prompt or "") + request.prompt + request.prefix

    # --- the connection -----------------------------------------------------------------------------------------------

    async def _connected(self) -> _Connection:
        """The connection of the running event loop, as every purchase runs its own loop."""
        loop, found = asyncio.get_running_loop(), self._connection
        if found is None or found.loop is not loop:
            client = self._client()
            found = _Connection(loop, client, asyncio.Semaphore(self.teacher.concurrency), _held_open(client))
            self._connection = found
            await anext(found.held)
        return found

    def _client(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI

        key = os.environ.get(self.teacher.api_key_variable or "") or NO_KEY
        # Retries and time-outs are handled here, so that they are counted.
        client = AsyncOpenAI(api_key=key, base_url=self.teacher.base_url, max_retries=0, timeout=None)
        if self.teacher.api_key_variable is None:  # the package also reads these from the environment
            client.organization = client.project = None
            client._custom_headers = {}
        return client


async def _held_open(client: AsyncOpenAI) -> AsyncGenerator[None, None]:
    """Closes the client when its event loop ends: a loop closes its asynchronous generators first."""
    try:
        yield
    finally:
        await client.close()


async def _all_or_none(requests: Sequence[Coroutine[Any, Any, list[Reply]]]) -> list[list[Reply]]:
    """All results in order. After the first failure the other requests are cancelled, to cost nothing more."""
    tasks = [asyncio.create_task(request) for request in requests]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _with_waste(reply: Reply, wasted: Tokens) -> Reply:
    return replace(reply, wasted_prompt_tokens=wasted.prompt, wasted_completion_tokens=wasted.completion)


def _unanswered(charged: Tokens) -> Unanswered | None:
    return None if charged == Tokens() else Unanswered(charged.prompt, charged.completion)


def _times(count: int) -> str:
    return "once asked" if count == 1 else f"asked {count} times"
