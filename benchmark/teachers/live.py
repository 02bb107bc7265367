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
    NoReply,
    Tokens,
    filtered,
    is_lasting,
    json_of,
    read_answer,
    refuses_prompt,
    words_of,
)
from benchmark.teachers.connection_faults import connection_fault, unusable_environment
from benchmark.teachers.pacing import Clock, RateLimit, back_off_seconds, retry_after_seconds
from benchmark.teachers.parameters import renamed
from benchmark.teachers.refusals import PATHS, UNKNOWN_MODEL_STATUS, Refusals, is_overflow, is_page
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
RETRIED_STATUS = {408: "time-out", 409: "conflict", 429: "rate limit"}
NEVER_STATUS = (501, 505)
"""Errors of a server that come again: it does not know how to answer such a request."""
UNKNOWN_IN_A_ROW = 3
"""After so many answers of an unknown form, one after the other, nothing more is paid for."""
TEMPLATE_TOKENS = {"chat": 256, "completions": 8}
"""The most tokens that a server is assumed to add to a prompt: turn markers, the template's system prompt, BOS."""


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
    held: AsyncGenerator[None, None]
    """Closes the client when the loop ends."""
    room: asyncio.Semaphore
    """Places for requests in flight."""
    closed_places: int = 0
    """Places that open when the first readable answer has come."""

    def open_up(self) -> None:
        """Opens all places."""
        for _ in range(self.closed_places):
            self.room.release()
        self.closed_places = 0


class LiveTeacher:
    """An `OpenAICompatibleTeacher` that is ready to answer. It keeps no replies: a repeated request is sent again."""

    def __init__(self, teacher: OpenAICompatibleTeacher, clock: Clock) -> None:
        self.teacher = teacher
        self.traffic = teacher.traffic
        self._clock = clock
        self._requests = RateLimit(teacher.requests_per_minute, clock)
        self._tokens = RateLimit(teacher.tokens_per_minute, clock)
        self._connection: _Connection | None = None
        self.refusals = Refusals(teacher)
        self._is_readable = False
        self._unknown_in_a_row = 0
        self._ended: ConfigError | TeacherError | None = None
        """Why nothing more is sent; None as long as requests go out."""

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
            raise self.refusals.begun_reply(request.role)
        self._refuse_what_does_not_fit(request)
        connection = await self._connected()
        sizes = [samples] if self.teacher.n_per_request else [1] * samples
        answers = await _all_or_none([self._answer(connection, request, size) for size in sizes])
        replies = [reply for answer in answers for reply in answer]
        # A chat was sent no texts that end it: it is kept whole, and cut where it is read.
        return replies if self.teacher.api == "chat" else [until_stop(reply, request) for reply in replies]

    def _refuse_what_does_not_fit(self, request: Request) -> None:
        """Raises ConfigError if prompt and reply may not fit into `context_window`."""
        window, prompt = self.teacher.context_window, estimated_tokens(self._prompt(request))
        if window is not None and prompt + self._cap(request) > window:
            detail = f"about {prompt} tokens of prompt, teacher.context_window={window}"
            raise self.refusals.overflow(request, self._cap(request), detail)

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
                except (ConfigError, TeacherError) as error:
                    self._end(error)
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
            raise self._end(fault.final) from _unanswered(wasted)
        if attempt == teacher.max_retries:
            detail = f"{_times(attempt + 1)}: {fault.reason}{fault.detail}"
            raise self._end(self.refusals.silence(fault.reason, detail)) from _unanswered(wasted)
        asked, longest = fault.wait or 0.0, teacher.longest_wait_seconds
        if asked > longest:
            detail = f"and asks to wait {asked:.0f} s, longer than teacher.longest_wait_seconds={longest:g}"
            raise self._end(self.refusals.silence(fault.reason, detail)) from _unanswered(wasted)
        self.traffic.retries[fault.reason] += 1
        # Added to the server's wait: otherwise all waiting requests would come back at the same moment.
        return asked + back_off_seconds(attempt, self._clock)

    async def _attempt(self, connection: _Connection, request: Request, samples: int) -> Answer:
        body, prompt = self._body(request, samples), self._prompt(request)
        most = estimated_tokens(prompt) + samples * self._cap(request)
        await self._requests.take(1)
        await self._tokens.take(most)
        if self._ended is not None:
            raise type(self._ended)(str(self._ended))
        self.traffic.requests += 1
        try:
            payload = await self._sent(connection, request, body, samples)
            answer = read_answer(payload, prompt, samples, self._cap(request))
        except NoReply as problem:
            raise self._without_reply(problem, samples) from None
        answer = replace(answer, replies=tuple(map(self._with_quote, answer.replies)))
        self._refuse_unknown_shapes(connection, answer)
        self.traffic.book(answer.tokens)
        self.traffic.estimated_requests += answer.estimated
        self._tokens.correct(most, answer.tokens.prompt + answer.tokens.completion)
        return answer

    def _without_reply(self, problem: NoReply, samples: int) -> _Fault:
        """Final if the server ignores `n`, or gives the code of an error that no retry cures."""
        if problem.reason == TOO_FEW_CHOICES:
            return _Fault(problem.reason, tokens=problem.tokens, final=self.refusals.too_few(samples))
        detail = f" (HTTP 200: {self.refusals.quoted(words_of(problem.error))})"
        lasting = is_lasting(problem.error, RETRIED_STATUS)
        final = self.refusals.refusal(problem.reason, f"it refuses the request{detail}") if lasting else None
        return _Fault(problem.reason, tokens=problem.tokens, detail=detail, final=final)

    def _end(self, error: ConfigError | TeacherError) -> ConfigError | TeacherError:
        """The error. If no request was answered yet, none of those that wait is sent: it would end as this one did."""
        if not self._is_readable:
            self._ended = error
        return error

    def _with_quote(self, reply: Reply) -> Reply:
        return replace(reply, said=self.refusals.quoted(reply.said)) if reply.said else reply

    def _refuse_unknown_shapes(self, connection: _Connection, answer: Answer) -> None:
        """Raises _Fault after `UNKNOWN_IN_A_ROW` answers of an unknown form, one after the other.

        The first request goes alone, so that no more than so many are paid for where no reply can be read.
        """
        if not answer.is_unreadable:
            self._unknown_in_a_row = 0
            connection.open_up()
            self._is_readable = True
            return
        self._unknown_in_a_row += 1
        if self._unknown_in_a_row >= UNKNOWN_IN_A_ROW:
            final = self.refusals.of_shape(self._unknown_in_a_row, answer.replies[0].said)
            self._is_readable = False
            raise _Fault("unknown form", tokens=answer.tokens, final=final)

    async def _sent(self, connection: _Connection, request: Request, body: Json, samples: int) -> Json:
        """The server's JSON, or its text if it is no JSON.

        No exception of the package `openai` leaves this method: it would hold the key.
        """
        import openai

        try:
            async with asyncio.timeout(self.teacher.timeout_seconds):
                sent = await connection.client.post(PATHS[self.teacher.api], body=body, cast_to=object)
        except (TimeoutError, openai.APITimeoutError):
            raise _Fault("time-out", detail=f" after {self.teacher.timeout_seconds:g} s") from None
        except openai.APIConnectionError as error:
            raise self._of_connection(error) from None
        except openai.APIStatusError as error:
            return await self._after_status(connection, request, body, error, samples)
        except ValueError as error:  # not JSON, or not even text
            sent = getattr(error, "doc", "") or ascii(getattr(error, "object", b""))
        if isinstance(sent, str) and is_page(sent):
            raise self.refusals.of_page(sent)
        return json_of(sent) if isinstance(sent, str) else sent

    def _of_connection(self, error: Exception) -> Exception:
        """A _Fault if a retry may help, else the final error."""
        fault = connection_fault(error, str(self.teacher.base_url))
        if not fault.cures_itself:
            return self.refusals.refusal(fault.reason, fault.detail)
        detail = f" ({fault.detail})" if fault.detail else ""
        return _Fault(fault.reason, tokens=Tokens() if fault.nothing_sent else None, detail=detail)

    # --- what a status means ------------------------------------------------------------------------------------------

    async def _after_status(
        self, connection: _Connection, request: Request, body: Json, error: APIStatusError, samples: int
    ) -> Json:
        """A reply without text for a prompt that a filter refused.

        Otherwise raises _Fault if a retry may help, and the final error if not.
        """
        status, said = error.status_code, _error_of(error)
        quoted = self.refusals.quoted(words_of(said))
        if status == 429 and error.code == "insufficient_quota":
            raise self.refusals.silence("no credit", f"there is no credit left: {quoted}") from None
        if status in RETRIED_STATUS or (status >= 500 and status not in NEVER_STATUS):
            wait = retry_after_seconds(error.response.headers.get("retry-after"), self._clock)
            reason = RETRIED_STATUS.get(status, "server error")
            raise _Fault(reason, wait, Tokens(), f" (HTTP {status}: {quoted})") from None
        if status in (400, 403, 422, 451) and refuses_prompt(error.body):
            return filtered(samples)
        if is_overflow(status, quoted):
            raise self.refusals.overflow(request, self._cap(request), quoted) from None
        known = await self._models(connection) if status in UNKNOWN_MODEL_STATUS else []
        raise self.refusals.of_status(status, said, known, body) from None

    async def _models(self, connection: _Connection) -> list[str]:
        """Names of the models that the server lists; empty if it gives no list."""
        import openai

        try:
            async with asyncio.timeout(self.teacher.timeout_seconds):
                listed: Any = await connection.client.get("/models", cast_to=object)
            return sorted(str(row["id"]) for row in listed["data"])
        except (openai.APIError, TimeoutError, ValueError, TypeError, KeyError):
            return []

    # --- what is sent -------------------------------------------------------------------------------------------------

    def _body(self, request: Request, samples: int) -> dict[str, Json]:
        teacher = self.teacher
        body: dict[str, Json] = {
            "model": teacher.model,
            "temperature": request.temperature,
            "max_tokens": self._cap(request),
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
        return renamed(body, teacher.names)

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
            client, places = self._client(), self.teacher.concurrency
            first = places if self._is_readable else 1
            found = _Connection(loop, client, _held_open(client), asyncio.Semaphore(first), places - first)
            self._connection = found
            await anext(found.held)
        return found

    def _client(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI

        key = os.environ.get(self.teacher.api_key_variable or "") or NO_KEY
        try:  # retries and time-outs are handled here, so that they are counted
            client = AsyncOpenAI(api_key=key, base_url=self.teacher.base_url, max_retries=0, timeout=None)
        except (OSError, ImportError, ValueError) as error:
            raise self.refusals.refusal("environment", unusable_environment(error)) from None
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


def _error_of(error: APIStatusError) -> Json:
    """What the server said of a request that it refused: its error, or else the whole body."""
    return error.body if error.body else error.response.text


def _times(count: int) -> str:
    return "once asked" if count == 1 else f"asked {count} times"
