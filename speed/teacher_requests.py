"""Measures requests per second to a live teacher, as a share of the ideal rate, with a slow local server.

The server runs in its own process and answers every request after a fixed latency. The ideal rate is concurrency /
latency, which a client without any cost of its own would reach. `client` measures the client alone. `purchase` measures
what a cell does: it admits questions, asks through the store, which keeps every reply, and books the costs.

usage: python speed/teacher_requests.py [REQUESTS] [CONCURRENCY] [LATENCY_SECONDS]
"""

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

from benchmark.buying.meter import Meter, Supplier
from benchmark.buying.purchase import buy_in_rank_order
from benchmark.contract import Requirements
from benchmark.teachers.ledger import Budget, Ledger
from benchmark.teachers.live import LiveTeacher
from benchmark.teachers.openai_compatible import OpenAICompatibleTeacher
from benchmark.teachers.pacing import Clock
from benchmark.teachers.store import TeacherStore
from benchmark.teachers.stored_teacher import StoredTeacher
from benchmark.types import Annotation, Pick, PlannedRequest, Question, Request

REPLY = json.dumps(
    {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "model",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "So. " * 100}},
        ],
        "usage": {"prompt_tokens": 900, "completion_tokens": 200, "total_tokens": 1100},
    }
).encode()
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(REPLY)}\r\n\r\n".encode()
PROMPT = "Q: How many apples are left, and why?\nA: Because of what was eaten. The answer is 3.\n\n" * 40


def serve(latency: float, port: Connection) -> None:
    """Sends the server's port number through `port`, then answers requests until the process ends."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
                await asyncio.sleep(latency)
                writer.write(HEAD + REPLY)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def forever() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


def prompts(count: int) -> list[Request]:
    """`count` different requests of about the same length."""
    return [Request("few_shot_cot", f"{PROMPT}{number}", str(number)) for number in range(count)]


def seconds_of_client(live: LiveTeacher, requests: int) -> float:
    """Seconds from the first request to the last reply, with connections that are already open."""

    async def everything() -> float:
        await asyncio.gather(*(live.reply(request, 1) for request in prompts(live.teacher.concurrency)))
        started = time.perf_counter()
        replies = await asyncio.gather(*(live.reply(request, 1) for request in prompts(requests)))
        assert sum(reply.completion_tokens for [reply] in replies) == 200 * requests
        return time.perf_counter() - started

    return asyncio.run(everything())


@dataclass(frozen=True)
class AskOnce:
    """An annotator that sends one request per question."""

    kinds = frozenset({"rationale"})

    def requires(self) -> Requirements:
        """Nothing."""
        return Requirements()

    def most_requests(self, question: Question, context: Any) -> Sequence[PlannedRequest]:
        """The one request."""
        return [PlannedRequest("live", Request("few_shot_cot", question.text, question.id))]

    async def annotate(self, pick: Pick, context: Any, ask: Any) -> Sequence[Annotation]:
        """One annotation with the teacher's reply as its rationale."""
        [reply] = await ask("live", self.most_requests(pick.question, context)[0].request)
        return [Annotation(pick.question, "rationale", "live", reply.text, None)]


class Notes:
    """The part of a context that a purchase needs."""

    notes: ClassVar[dict[str, float]] = {}

    def apart(self) -> "Notes":
        """Itself."""
        return self

    def note(self, **counts: float) -> None:
        """Does nothing."""


def seconds_of_purchase(live: LiveTeacher, requests: int) -> float:
    """Seconds to buy that many questions under a budget in tokens, with a new store."""
    with tempfile.TemporaryDirectory() as folder:
        store = TeacherStore(Path(folder) / "store.sqlite", print)
        teacher = StoredTeacher(live, "live", "live", store, buyer="me")
        at_once = live.teacher.concurrency + live.teacher.capabilities.waiting_requests
        meter = Meter({"live": Supplier.behind_store(teacher, live.teacher.price, at_once)}, Ledger())
        picks = [Pick(Question(request.question_id, request.prompt)) for request in prompts(requests)]
        started = time.perf_counter()
        bought = buy_in_rank_order(
            picks, AskOnce(), Notes(), meter, Budget(tokens=10**9), share_so_far=1.0, already_bought=0
        )
        seconds = time.perf_counter() - started
        store.close()
    assert len(bought) == requests
    return seconds


def main() -> None:
    """Prints one line of JSON for `client` and one for `purchase`."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 1600
    concurrency = int(sys.argv[2]) if len(sys.argv) > 2 else 32
    latency = float(sys.argv[3]) if len(sys.argv) > 3 else 0.2
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(latency, theirs), daemon=True)
    server.start()
    teacher = OpenAICompatibleTeacher("live", f"http://127.0.0.1:{ours.recv()}/v1", "model", concurrency=concurrency)
    ways: dict[str, Callable[[LiveTeacher, int], float]] = {
        "client": seconds_of_client,
        "purchase": seconds_of_purchase,
    }
    for name, seconds_of in ways.items():
        spent = time.process_time()
        seconds = seconds_of(replace(teacher).open_with(Clock()), requests)
        spent = time.process_time() - spent
        ideal = concurrency / latency
        found = {
            "measured": name,
            "requests": requests,
            "concurrency": concurrency,
            "latency_seconds": latency,
            "seconds": round(seconds, 3),
            "requests_per_second": round(requests / seconds, 1),
            "ideal_requests_per_second": ideal,
            "share_of_ideal": round(requests / seconds / ideal, 3),
            "client_milliseconds_per_request": round(1000 * spent / requests, 2),
        }
        print(json.dumps(found))
    server.terminate()


if __name__ == "__main__":
    main()
