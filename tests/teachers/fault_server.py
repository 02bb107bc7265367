"""A scripted OpenAI-compatible server on loopback: it answers, fails as its script says, and counts tokens itself."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEXT = "Two and two make four. The answer is 4."


@dataclass(frozen=True)
class Step:
    """How one request is answered.

    `cut` closes the connection in the middle of the body, `hang` never answers, `broken` charges and gives an error in
    place of a reply.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    texts: Sequence[str] = (TEXT,)
    finish: str | None = "stop"
    refusal: str | None = None
    message: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a chat's message, in place of the text or beside it."""
    usage: bool = True
    broken: bool = False
    obeys_n: bool = True
    delay: float = 0.0
    cut: bool = False
    hang: bool = False

    def __post_init__(self) -> None:
        assert self.texts, "without a text the server would break, which looks like a connection that is cut"


def error(status: int, message: str = "no", code: str | None = None, **headers: str) -> Step:
    body = json.dumps({"error": {"message": message, "code": code, "type": "error"}}).encode()
    return Step(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def words(text: str) -> int:
    """How this server counts tokens: otherwise than the teacher estimates them."""
    return len(text.split())


@dataclass
class FaultServer:
    """`script` is used up step by step; after it every request is answered well, after `latency` seconds."""

    script: list[Step] = field(default_factory=list)
    models: Sequence[str] | None = ("small", "large")
    latency: float = 0.0
    texts: Sequence[str] = (TEXT,)
    message: Mapping[str, Any] = field(default_factory=dict)
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_step(self, path: str, body: dict[str, Any], key: str) -> Step:
        with self.lock:
            self.requests += 1
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self.bodies.append(body)
            self.paths.append(path)
            self.keys.append(key)
            return (
                self.script.pop(0) if self.script else Step(texts=self.texts, message=self.message, delay=self.latency)
            )

    def left(self) -> None:
        with self.lock:
            self.in_flight -= 1

    def answer(self, step: Step, body: Mapping[str, Any]) -> bytes:
        """The reply to a request, which is charged."""
        chat = "messages" in body
        prompt = words(" ".join(row["content"] for row in body["messages"]) if chat else body["prompt"])
        samples = body.get("n", 1) if step.obeys_n else 1
        texts = [step.texts[i % len(step.texts)] for i in range(samples)]
        completion = sum(words(text) for text in texts)
        with self.lock:
            self.prompt_tokens += prompt
            self.completion_tokens += completion
        choices = [self._choice(step, text, chat, bool(body.get("logprobs"))) for text in texts]
        payload: dict[str, Any] = {"model": body["model"], "choices": [] if step.broken else choices}
        if step.broken:
            payload["error"] = {"message": "the model broke off", "code": 502}
        if step.usage:
            payload["usage"] = {"prompt_tokens": prompt, "completion_tokens": completion}
        return json.dumps(payload).encode()

    @staticmethod
    def _choice(step: Step, text: str, chat: bool, logprobs: bool) -> dict[str, Any]:
        tokens = text.split()
        choice: dict[str, Any] = {"finish_reason": step.finish, "logprobs": None}
        if chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": step.refusal, **step.message}
        else:
            choice["text"] = text
        if logprobs and chat:
            choice["logprobs"] = {"content": [{"token": token, "logprob": -0.5} for token in tokens]}
        elif logprobs:
            choice["logprobs"] = {"token_logprobs": [-0.5 for _ in tokens]}
        return choice


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fault_server: FaultServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        models = self.fault_server.models
        if self.path != "/v1/models" or models is None:
            self._send(404, {}, b"{}")
            return
        self._send(200, {}, json.dumps({"object": "list", "data": [{"id": name} for name in models]}).encode())

    def do_POST(self) -> None:
        server = self.fault_server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.headers.append({name.lower(): value for name, value in self.headers.items()})
        step = server.next_step(self.path, body, self.headers.get("Authorization", ""))
        try:
            self._follow(step, body)
        finally:
            server.left()

    def _follow(self, step: Step, body: dict[str, Any]) -> None:
        server = self.fault_server
        if step.hang:
            server.over.wait(20)
            self.close_connection = True
            return
        time.sleep(step.delay)
        if step.cut:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices": [')
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self._send(step.status, step.headers, server.answer(step, body) if step.body is None else step.body)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client may have given up
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


@contextlib.contextmanager
def serving(**settings: Any) -> Iterator[FaultServer]:
    """A server while the block lasts."""
    server = FaultServer(**settings)
    handler = type("Handler", (_Handler,), {"fault_server": server})
    listener = _Listener(("127.0.0.1", 0), handler)
    server.url = f"http://127.0.0.1:{listener.server_address[1]}/v1"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        listener.shutdown()
        listener.server_close()
        thread.join()
