"""Requests to a live teacher: the share of the ideal rate that the client reaches against a slow local server.

The server, in a process of its own, answers every request after a fixed latency. Ideal is what so many requests in
flight would reach if the client cost nothing: concurrency / latency.

usage: python benchmarks/teacher_requests.py [REQUESTS] [CONCURRENCY] [LATENCY_SECONDS]
"""

import asyncio
import json
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection

from benchmark.teachers.openai_compatible import OpenAICompatibleTeacher
from benchmark.teachers.pacing import Clock
from benchmark.types import Ask

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
    """Answers until the process ends; tells its port first."""

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


def seconds_for(requests: int, teacher: OpenAICompatibleTeacher) -> float:
    """The time from the first request to the last reply, connections made before."""
    live = teacher.open_with(Clock())
    asks = [Ask("few_shot_cot", PROMPT, str(number)) for number in range(requests)]

    async def everything() -> float:
        await asyncio.gather(*(live.reply(ask, 1) for ask in asks[: teacher.concurrency]))
        started = time.perf_counter()
        replies = await asyncio.gather(*(live.reply(ask, 1) for ask in asks))
        assert sum(reply.completion_tokens for [reply] in replies) == 200 * requests
        return time.perf_counter() - started

    return asyncio.run(everything())


def main() -> None:
    """Prints one JSON object."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 1600
    concurrency = int(sys.argv[2]) if len(sys.argv) > 2 else 32
    latency = float(sys.argv[3]) if len(sys.argv) > 3 else 0.2
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(latency, theirs), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    teacher = OpenAICompatibleTeacher("live", url, "model", concurrency=concurrency)
    spent = time.process_time()
    seconds = seconds_for(requests, teacher)
    spent = time.process_time() - spent
    server.terminate()
    ideal = concurrency / latency
    print(
        json.dumps(
            {
                "requests": requests,
                "concurrency": concurrency,
                "latency_seconds": latency,
                "seconds": round(seconds, 3),
                "requests_per_second": round(requests / seconds, 1),
                "ideal_requests_per_second": ideal,
                "share_of_ideal": round(requests / seconds / ideal, 3),
                "client_milliseconds_per_request": round(1000 * spent / requests, 2),
                "retries": sum(teacher.traffic.retries.values()),
            }
        )
    )


if __name__ == "__main__":
    main()
