"""What broke a connection is said in words: real sockets, certificates and proxies on loopback."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("openai")

from benchmark.errors import ConfigError, TeacherError
from benchmark.teachers.connection_faults import PROXY_VARIABLES
from benchmark.teachers.openai_compatible import OpenAICompatibleTeacher
from benchmark.teachers.pacing import Clock
from benchmark.types import Reply, Request
from tests.teachers.fault_server import serving

ASK = Request("few_shot_cot", "Q: What is two and two?\nA:", "q1")
SECRET = "very-secret"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXY_VARIABLES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def ask(url: str, retries: int = 1) -> tuple[list[Reply], OpenAICompatibleTeacher]:
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    teacher = OpenAICompatibleTeacher("live", url, "small", max_retries=retries)
    return asyncio.run(teacher.open_with(Clock(sleep=sleep)).reply(ASK, 1)), teacher


def complaint(url: str, kind: type[Exception]) -> str:
    with pytest.raises(kind) as raised:
        ask(url)
    assert SECRET not in str(raised.value)
    return str(raised.value)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def listening() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Starts a server that treats each connection as the function says; returns its port."""
    sockets = []

    def start(treat: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        treat(connection)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for each in sockets:
        each.close()


def test_nothing_listens() -> None:
    port = free_port()
    said = complaint(f"http://127.0.0.1:{port}/v1", TeacherError)
    assert f"asked 2 times: no connection (nothing listens at 127.0.0.1:{port}; is the server running?)" in said


def test_an_unknown_host() -> None:
    said = complaint("http://no-such-host.invalid/v1", TeacherError)
    assert "unknown host (a host named no-such-host.invalid is not known to the name service (DNS))" in said


def test_a_scheme_that_the_server_does_not_speak() -> None:
    with serving() as server:
        said = complaint(server.url.replace("http://", "https://"), ConfigError)
        assert "does not speak https; servers of one's own mostly have teacher.base_url=http://" in said
        assert server.requests == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command to make a certificate")
def test_a_certificate_of_an_unknown_issuer(
    tmp_path: Path, listening: Callable[[Callable[[socket.socket], None]], int]
) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([*made, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    port = listening(lambda connection: context.wrap_socket(connection, server_side=True).close())
    said = complaint(f"https://localhost:{port}/v1", ConfigError)
    assert "its certificate is not trusted (self" in said
    assert "SSL_CERT_FILE=FILE" in said


def test_a_connection_that_is_closed_at_once(
    listening: Callable[[Callable[[socket.socket], None]], int],
) -> None:
    said = complaint(f"http://127.0.0.1:{listening(lambda connection: None)}/v1", TeacherError)
    assert "asked 2 times: connection cut" in said


# --- proxies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_proxy_is_named_by_its_variable(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://me:{SECRET}@127.0.0.1:{free_port()}")
    said = complaint(f"{scheme}://model.example/v1", TeacherError)
    assert f"no connection (nothing listens at the proxy in {scheme.upper()}_PROXY)" in said


def test_a_proxy_that_refuses_is_named(
    listening: Callable[[Callable[[socket.socket], None]], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{SECRET}@127.0.0.1:{listening(refuse)}")
    said = complaint("https://model.example/v1", ConfigError)
    assert "the proxy in HTTPS_PROXY refuses (407 Proxy Authentication Required)" in said


@pytest.mark.skipif(importlib.util.find_spec("socksio") is not None, reason="the package for SOCKS is there")
@pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY", "http_proxy"])
def test_a_socks_proxy_without_its_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, f"socks5://me:{SECRET}@127.0.0.1:1080")
    said = complaint("http://model.example/v1", ConfigError)
    assert f"{name} names a SOCKS proxy, which needs a package: pip install 'httpx[socks]'" in said


def test_an_address_that_is_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"ftp://me:{SECRET}@127.0.0.1:1080")
    said = complaint("http://model.example/v1", ConfigError)
    assert "HTTP_PROXY does not hold the address of a proxy, such as http://HOST:PORT" in said


# --- certificates of the environment ----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, "this is no certificate"])
def test_a_dead_file_of_certificates(content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "certificates.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with serving() as server:
        said = complaint(server.url, ConfigError)
        assert "SSL_CERT_FILE names certificates that cannot be read" in said
        assert server.requests == 0
