"""A real server, `transformers serve`: a real model answers few-shot chains and critiques, a tiny one thinks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
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
    pytest.mark.skipif(not SERVER, reason="there is no transformers command"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving_model(Path(str(MODEL)), tmp_path_factory.mktemp("server") / "log.txt") as address:
        yield address


@contextlib.contextmanager
def serving_model(model: Path, log: Path) -> Iterator[str]:
    """The address of a server with this model, while the block lasts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(SERVER), "serve", str(model), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
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


@pytest.mark.skipif(not MODEL, reason="BENCHMARK_MODEL_DIR names no model folder")
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
    if annotation == "few_shot_cot":
        overrides += ("annotation.reading=flexible",)  # so small a model seldom closes as the exemplars do
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


# --- a model that thinks ----------------------------------------------------------------------------------------------

TRACES = ("dataset=pair_search", "method=rationale_then_answer", "references=false")
CHAT = "{{ messages[-1]['content'].split('Q: ')[-1].removesuffix('\nA:') + '\n' }}"
"""Asks the small model as it was trained: the last question of the prompt, and nothing else."""


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A tiny model that learnt to think in tags, from the simulated teacher's searches."""
    results = tmp_path_factory.mktemp("thinker")
    settings = ("teacher=simulated", "teacher.trace_rate=1", "teacher.thinking=keep", "student.max_new_tokens=170")
    trained = ("format.answer_marker=' The answer is '", "optimization.max_steps=500", "trainer.save_student=true")
    command = [sys.executable, "-m", "benchmark", *TRACES, *settings, *trained, "seed=1", f"results_dir={results}"]
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    return next(results.glob("*/student"))


@pytest.mark.parametrize("template", [CHAT, CHAT + "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}"])
def test_traces_of_a_real_server_are_kept_apart_and_booked(
    template: str, thinker: Path, tmp_path: Path, command: Callable[..., Any], results: Any
) -> None:
    """The model writes both tags, or, where the chat template opens the trace, the closing one alone."""
    model = shutil.copytree(thinker, tmp_path / "model")
    settings = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": template}))
    small = (f"budget.questions={QUESTIONS}", "optimization.max_steps=2", "dataset.test_size=4")
    with serving_model(model, tmp_path / "log.txt") as address:
        server = ("teacher=openai_compatible", f"teacher.base_url={address}", f"teacher.model={model}")
        for thinking in ("strip", "keep", "only"):
            more = ("teacher.max_tokens=170", f"teacher.thinking={thinking}", f"results_dir={results.path}")
            done = command(*TRACES, *small, *server, *more, "student.max_new_tokens=160")
            assert done.status == 0, done.err
    records = {record["identity"]["teacher"]["thinking"]: record for record in results.records()}
    for thinking, record in records.items():
        [counted], [replies] = record["teacher_traffic"].values(), record["teacher_replies"].values()
        charged = record["rounds"][-1]["charged"]["teacher"]
        assert (replies["with_trace"], replies["unclosed_traces"], charged["calls"]) == (QUESTIONS, 0, QUESTIONS)
        assert counted["requests"] == (QUESTIONS if thinking == "strip" else 0), "another policy buys nothing"
        if thinking == "strip":
            for tokens in ("prompt_tokens", "completion_tokens"):
                assert counted[tokens] == charged[tokens] > 0
    texts = {
        thinking: list(results.table(record["cell_id"], "annotations")["rationale"])
        for thinking, record in records.items()
    }
    assert len(texts["strip"]) == QUESTIONS
    for proof, whole, trace in zip(texts["strip"], texts["keep"], texts["only"], strict=True):
        assert whole == f"<think>\n{trace}\n</think>\n\n{proof}"
        assert " yes;" in trace
        assert "yes" not in proof
