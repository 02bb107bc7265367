"""A real server: `transformers serve` with a real model answers few-shot chains and critique-revision."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pandas as pd
import pytest

MODEL = os.environ.get("BENCHMARK_MODEL_DIR")
SERVER = os.environ.get("BENCHMARK_SERVER_COMMAND") or shutil.which("transformers")
"""`transformers` of an environment that has `transformers[serving]`."""
QUESTIONS = 4
START_SECONDS = 180.0

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not MODEL, reason="BENCHMARK_MODEL_DIR names no model folder"),
    pytest.mark.skipif(not SERVER, reason="there is no transformers command"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(SERVER), "serve", str(MODEL), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            with urlopen(address, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.5)
    pytest.skip(f"the server did not start: {log.read_text()[-500:]}")


@pytest.mark.parametrize(("annotation", "calls"), [("few_shot_cot", 1), ("critique_revision", 3)])
def test_a_real_server_is_asked_once_and_billed_by_its_own_count(
    annotation: str, calls: int, url: str, command: Callable[..., Any], results: Any, miniature: tuple[str, ...]
) -> None:
    overrides = (
        *miniature,
        "dataset=trait_choice",
        f"annotation={annotation}",
        *("teacher=openai_compatible", f"teacher.base_url={url}", f"teacher.model={MODEL}", "teacher.api=completions"),
        *("teacher.max_tokens=40", f"budget.questions={QUESTIONS}", f"results_dir={results.path}"),
    )
    if annotation == "critique_revision":
        caps = ("explanation_tokens", "critique_tokens", "revision_tokens")
        overrides += tuple(f"annotation.{cap}=40" for cap in caps)
    done = command(*overrides)
    assert done.status == 0, done.err
    record = results.record()
    charged, [counted] = record["rounds"][-1]["charged"]["teacher"], record["teacher_traffic"].values()
    assert counted["requests"] == charged["calls"] == calls * QUESTIONS
    assert (counted["retries"], counted["failures"], counted["estimated_requests"]) == ({}, {}, 0)
    for tokens in ("prompt_tokens", "completion_tokens"):
        assert counted[tokens] == charged[tokens] > 0
    annotations = pd.read_parquet(next(results.path.glob("*/annotations.parquet")))
    assert annotations["question_id"].nunique() == QUESTIONS
    assert (annotations["rationale"].str.len() > 0).any()
