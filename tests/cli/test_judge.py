"""`python -m benchmark judge` from explanations to the table, against a server with books of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from tests.judging.conftest import finished
from tests.teachers.fault_server import FaultServer, Step, error, serving

Run = Callable[..., Any]
QUESTIONS = 3
ASKS = 2 * 5 * QUESTIONS


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serving(texts=("B",)) as running:
        yield running


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two finished cells whose students have explained test questions. Tests copy them."""
    folder = tmp_path_factory.mktemp("explained")
    settings = ("dataset=trait_choice", f"evaluation.explanation_questions={QUESTIONS}")
    first = finished(folder, *settings, "method=rationale_then_answer")
    return first, finished(folder, *settings, "method=multitask")


@pytest.fixture
def judge(command: Run, explained: tuple[Path, Path], results: Any, server: FaultServer) -> Callable[..., Any]:
    """The command for these two cells, with the server as the judge."""
    for cell in explained:
        shutil.copytree(cell, results.path / cell.name)
    cells = [str(results.path / cell.name) for cell in explained]
    live = ("teacher=openai_compatible", "teacher.model=small", f"teacher.base_url={server.url}")

    def run(*settings: str) -> Any:
        return command("judge", *cells, *live, "teacher.max_retries=0", *settings)

    return run


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_server_judges_and_is_asked_once(judge: Run, server: FaultServer, results: Any, api: str) -> None:
    price = "teacher.price.usd_per_million_prompt_tokens=100"
    if api == "completions":  # a base model goes on behind its verdict
        server.texts = (" B\n\nTwo students answered another question.\nVerdict: A",)
    done = judge(f"teacher.api={api}", price)
    assert done.status == 0, done.err
    [last] = [line for line in done.out.splitlines() if line.startswith("| all ")]
    assert [cell.strip() for cell in last.strip("|").split("|")][1:6] == ["0", "0", str(ASKS // 2), "0", "0"]
    assert server.requests == ASKS
    assert (server.most_in_flight > 1, server.most_in_flight <= 32) == (True, True)
    sent = server.bodies[0]
    shown = sent["messages"][0]["content"] if api == "chat" else sent["prompt"]
    assert shown.startswith("Two students answered")
    assert shown.endswith("\nVerdict:")
    books = f"{ASKS} calls, {server.prompt_tokens:,} prompt and {server.completion_tokens:,} completion tokens"
    assert f"{books}, {server.prompt_tokens * 1e-4:.2f} USD; paid now: {books}" in done.err
    assert f"{ASKS} requests to teacher=openai_compatible, and at most {2 * ASKS} if" in done.err
    assert "judging explanations" in done.err

    [file] = (results.path / ".judgements").iterdir()
    again = judge(f"teacher.api={api}", price)
    assert (again.status, again.out, server.requests) == (0, done.out, ASKS)
    assert f"{file} is there already" in again.err.replace("\n", "")


def test_a_judge_that_falls_silent_is_taken_up_again(judge: Run, server: FaultServer, results: Any) -> None:
    server.script = [Step(texts=("B",))] * 10 + [error(500)]
    done = judge("teacher.concurrency=1")
    assert done.status == 1
    assert "error: " in done.err
    assert "replies so far are kept, and the same command goes on from there" in done.err
    assert "10 calls" in done.err
    assert not any((results.path / ".judgements").iterdir())
    assert judge("teacher.concurrency=1").status == 0
    assert server.requests == ASKS + 1


def test_analysis_passes_judgements_by(judge: Run, results: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from analysis.commands.app import main

    assert main(["table", "--results", str(results.path)]) == 0
    before = capsys.readouterr().out
    assert judge("constructs=satisfaction").status == 0
    assert main(["table", "--results", str(results.path)]) == 0
    assert capsys.readouterr().out == before


def test_wrong_input_is_one_line(judge: Run, server: FaultServer) -> None:
    for setting, said in (
        ("constructs=plausable", "constructs=plausable: there is no such construct; did you mean 'plausibility'?"),
        ("teacher.mode=large", "teacher.mode: there is no such setting; did you mean 'model'?"),
        ("teacher=openai_compatibel", "teacher=openai_compatibel: there is no such option; did you mean 'openai_"),
    ):
        done = judge(setting)
        assert (done.status, said in done.complaint) == (2, True), done.err
    assert server.requests == 0
