"""`mode=annotate` against a server with books of its own: what it buys, a run finds; what needs a student, waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from benchmark.evaluation.reference import ask_each
from benchmark.teachers.openai_compatible import OpenAICompatibleTeacher
from benchmark.teachers.simulated import SimulatedTeacher
from benchmark.teachers.traffic import traffic_of, traffic_since
from benchmark.types import Reply, Request
from tests.teachers.fault_server import TEXT, FaultServer, Step, error, serving, words

Run = Callable[..., Any]
KEY = "sk-very-secret-9876543210"
VARIABLE = "BENCHMARK_TEST_TEACHER_KEY"
POOL, TEST = 20, 16
WHOLE_POOL = (f"dataset.pool_size={POOL}", f"budget.questions={POOL}")
"""Every seed buys the same questions, in another order."""


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serving() as running:
        yield running


@pytest.fixture
def live(miniature: tuple[str, ...], results: Any) -> Callable[[FaultServer], tuple[str, ...]]:
    """The overrides of a miniature cell with the server as its teacher."""

    def overrides(server: FaultServer) -> tuple[str, ...]:
        return (
            *("teacher=openai_compatible", "teacher.model=small", f"teacher.base_url={server.url}"),
            "evaluation.paid_teacher_accuracy=true",
            *("teacher.max_retries=0", "teacher.price.usd_per_million_prompt_tokens=100"),
            *miniature,
            *WHOLE_POOL,
            f"results_dir={results.path}",
        )

    return overrides


def rows(done: Any) -> list[dict[str, str]]:
    """The rows of the printed table, the totals last."""
    lines = [line.strip("| ").split("|") for line in done.out.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    return [dict(zip(cells[0], line, strict=True)) for line in cells[2:]]


def counts(row: dict[str, str]) -> tuple[int, int, int]:
    return int(row["questions"]), int(row["bought"]), int(row["held"])


def notes(done: Any) -> list[str]:
    return [line.removeprefix("- ") for line in done.out.splitlines() if line.startswith("- ")]


# --- one cell, from the store to the record ---------------------------------------------------------------------------


def test_what_is_prepared_a_run_finds(command: Run, server: FaultServer, live: Run, results: Any) -> None:
    prepared = command(*live(server), "mode=annotate")
    assert prepared.status == 0, prepared.err
    assert not results.cells()
    row, total = rows(prepared)
    assert row["state"] == "prepared"
    assert counts(row) == counts(total) == (POOL, POOL + TEST, 0)
    assert server.requests == POOL + TEST
    assert int(row["tokens"].replace(",", "")) == server.prompt_tokens + server.completion_tokens
    assert float(row["USD"]) == pytest.approx(server.prompt_tokens * 1e-4, abs=0.005)
    assert "questions/s" in prepared.err
    assert "tokens/s" in prepared.err
    assert "USD spent" in prepared.err

    assert counts(rows(command(*live(server), "mode=annotate"))[0]) == (POOL, 0, POOL + TEST)
    for seed in (1, 2):
        assert command(*live(server), f"seed={seed}").status == 0
    assert server.requests == POOL + TEST
    of_pool = [words(body["messages"][0]["content"]) for body in server.bodies[:POOL]]
    for record in results.records():
        [round_] = record["rounds"]
        charged = round_["charged"]["teacher"]
        assert (charged["calls"], charged["prompt_tokens"]) == (POOL, sum(of_pool))
        assert charged["completion_tokens"] == POOL * words(TEXT)
        assert round_["spent"] == {}
        assert record["teacher_reference"]["n"] == TEST
        assert record["teacher_traffic"]["openai_compatible"]["requests"] == 0


def test_a_run_alone_agrees_with_the_servers_books(command: Run, server: FaultServer, live: Run, results: Any) -> None:
    server.script = [error(500), Step(broken=True)]
    done = command(*live(server), "teacher.max_retries=3", "teacher.longest_wait_seconds=1")
    assert done.status == 0, done.err
    record = results.record()
    traffic = record["teacher_traffic"]["openai_compatible"]
    assert traffic["requests"] == server.requests == POOL + TEST + 2
    assert traffic["retries"] == {"server error": 1, "error in the reply": 1}
    assert (traffic["prompt_tokens"], traffic["completion_tokens"]) == (server.prompt_tokens, server.completion_tokens)
    assert traffic["failures"] == {}
    spent, charged = (record["rounds"][-1][book]["teacher"] for book in ("spent", "charged"))
    assert spent["calls"] == charged["calls"] == POOL
    prompts = [body["messages"][0]["content"] for body in server.bodies]
    assert spent["prompt_tokens"] == server.prompt_tokens - sum(map(words, prompts[-TEST:]))
    assert spent["completion_tokens"] == server.completion_tokens - TEST * words(TEXT)
    assert charged["prompt_tokens"] == sum(map(words, set(prompts[:-TEST])))
    assert charged["completion_tokens"] == POOL * words(TEXT) == spent["completion_tokens"] - words(TEXT)


def test_a_cell_fed_from_the_store_tells_of_estimated_tokens(
    command: Run, server: FaultServer, live: Run, results: Any
) -> None:
    for usage in (True, False):  # another top_p asks for other replies
        server.script, requests = [Step(usage=usage)] * (POOL + TEST), server.requests
        settings = (*live(server), f"teacher.top_p={0.5 if usage else 1}")
        assert command(*settings, "mode=annotate").status == 0
        assert server.requests == requests + POOL + TEST
        assert command(*settings).status == 0
        assert server.requests == requests + POOL + TEST
    told = {record["config"]["teacher"]["top_p"]: record["cost_estimated"] for record in results.records()}
    assert told == {0.5: False, 1.0: True}


def test_no_student_is_read(command: Run, server: FaultServer, live: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmark.running.cell_models
    from benchmark.student.source import PretrainedStudent

    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("the student was read")

    monkeypatch.setattr(benchmark.running.cell_models, "load_student", read)
    for name in ("check", "fingerprint", "tokenizer", "network"):
        monkeypatch.setattr(PretrainedStudent, name, read)
    absent = ("student=smollm2_135m", "student.path=/nowhere", "student.max_new_tokens=16")
    done = command(*live(server), *absent, "mode=annotate")
    assert done.status == 0, done.err
    assert counts(rows(done)[0]) == (POOL, POOL + TEST, 0)


def test_a_teacher_that_costs_nothing_leaves_nothing_to_prepare(
    command: Run, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    done = command(*miniature, "mode=annotate")
    assert done.status == 0
    assert rows(done)[0]["state"] == "nothing to prepare"
    assert "teacher=simulated cost nothing" in notes(done)[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", ["annotate", "run"])
def test_the_teacher_itself_is_measured_as_many_at_once_as_it_allows(mode: str, command: Run, live: Run) -> None:
    with serving(latency=0.05) as server:
        few = ("dataset.pool_size=4", "budget.questions=4", "teacher.concurrency=4")
        assert command(*live(server), *few, f"mode={mode}").status == 0
        assert server.requests == 4 + TEST
        assert server.most_in_flight == 4


def test_what_no_store_keeps_is_told(command: Run, server: FaultServer, live: Run) -> None:
    server.script = [Step(finish="length")]
    first, second = (command(*live(server), "mode=annotate") for _ in range(2))
    assert notes(first)[0].startswith(
        "1 replies are kept by no store, and a run asks for them again: cut at the length cap 1"
    )
    assert counts(rows(second)[0]) == (POOL, 1, POOL + TEST - 1)
    assert not notes(second)


# --- sweeps -----------------------------------------------------------------------------------------------------------


def test_cells_that_share_requests_cost_one_purchase(
    command: Run, server: FaultServer, live: Run, results: Any
) -> None:
    sweep = ("-m", *live(server), "method=answer_only,rationale_then_answer,gold_answers", "seed=1,2")
    done = command(*sweep, "mode=annotate")
    assert done.status == 0, done.err
    *cells, total = rows(done)
    assert [row["state"] for row in cells].count("prepared") == 4
    assert [row["state"] for row in cells].count("nothing to prepare") == 2
    assert counts(total) == (4 * POOL, POOL + TEST, 3 * (POOL + TEST))
    assert notes(done) == ["nothing to prepare: asks no teacher (2 cells)"]
    assert command(*sweep).status == 0
    assert server.requests == POOL + TEST
    assert len(results.cells()) == 6 + 2  # and the untrained student
    traffic = [record.get("teacher_traffic") for record in results.records() if record["teacher"]]
    assert len(traffic) == 4
    assert {each["openai_compatible"]["requests"] for each in traffic} == {0}


def test_random_selection_follows_the_seed(command: Run, server: FaultServer, live: Run) -> None:
    done = command("-m", *live(server), "dataset.pool_size=200", "seed=1,2", "mode=annotate")
    first, second, _ = rows(done)
    assert counts(first) == (POOL, POOL + TEST, 0)
    assert counts(second)[1] > POOL / 2


def test_an_impossible_cell_stops_the_sweep_before_anything_is_bought(
    command: Run, server: FaultServer, live: Run
) -> None:
    done = command("-m", *live(server), "budget.questions=10,999", "mode=annotate")
    assert done.status == 2
    assert "budget.questions=999" in done.complaint
    assert server.requests == 0


# --- what waits for a student -----------------------------------------------------------------------------------------

PARTS = """
    from dataclasses import dataclass
    from benchmark.axes.annotation import FewShotCot
    from benchmark.axes.selection import RandomSelection
    from benchmark.contract import ASSISTANT, STUDENT, Requirements
    from benchmark.types import Request, Pick, PlannedRequest, Round


    @dataclass(frozen=True)
    class Halves:
        def requires(self):
            return Requirements()

        def next_round(self, history):
            return Round(len(history), 0.5) if len(history) < 2 else None


    @dataclass(frozen=True)
    class ByStudent(RandomSelection):
        def rank(self, pool, context):
            role = context.format.answer_path[0]
            context.student.generate([context.format.request(question, role, context.task) for question in pool])
            return [Pick(question) for question in pool]


    @dataclass(frozen=True)
    class Corrected(FewShotCot):
        who: str = STUDENT

        def requires(self):
            return Requirements(
                teacher_roles=frozenset({"few_shot_cot"}),
                student_roles=frozenset({"answer_given"} if self.who == STUDENT else ()),
                assistant=self.who == ASSISTANT,
            )

        def most_requests(self, question, context):
            [request] = super().most_requests(question, context)
            again = context.prompt("few_shot_cot", question, temperature=0.5)
            return [request, PlannedRequest(request.who, again)]

        async def annotate(self, pick, context, ask):
            first = await super().annotate(pick, context, ask)
            await ask(self.who, Request("answer_given", pick.question.text, pick.question.id))
            again = context.prompt("few_shot_cot", pick.question, temperature=0.5)
            await ask(context.teachers[0], again)
            return first
"""
OPTIONS = {
    "schedule/halves": "_target_: plug_prepare.Halves\n",
    "selection/by_student": "_target_: plug_prepare.ByStudent\n",
    "annotation/corrected": "_target_: plug_prepare.Corrected\nsamples: 1\ntemperature: 0.0\nwho: student\n",
}


@pytest.fixture
def parts(plugin: Run) -> str:
    return str(plugin({"plug_prepare.py": PARTS}, OPTIONS))


def test_later_rounds_wait(command: Run, server: FaultServer, live: Run, parts: str) -> None:
    overrides = (parts, *live(server), "schedule=halves", "selection=random")
    done = command(*overrides, "mode=annotate")
    assert done.status == 0, done.err
    assert rows(done)[0]["state"] == "prepared in part"
    assert counts(rows(done)[0]) == (POOL // 2, POOL // 2 + TEST, 0)
    assert notes(done) == ["waits for a student: 50% of the budget is for rounds after the first"]
    assert command(*overrides).status == 0
    assert server.requests == POOL + TEST


def test_a_selection_that_asks_the_student_waits(command: Run, server: FaultServer, live: Run, parts: str) -> None:
    overrides = (parts, *live(server), "budget.questions=8", "selection=by_student")
    done = command(*overrides, "mode=annotate")
    assert done.status == 0, done.err
    assert counts(rows(done)[0]) == (0, TEST, 0)
    assert notes(done) == ["waits for a student: the selection asks the student"]
    assert command(*overrides).status == 0
    assert server.requests == 8 + TEST


def test_an_annotation_is_prepared_up_to_where_it_asks_the_student(
    command: Run, server: FaultServer, live: Run, parts: str, results: Any
) -> None:
    overrides = (parts, *live(server), "annotation=corrected")
    done = command(*overrides, "mode=annotate")
    assert done.status == 0, done.err
    assert counts(rows(done)[0]) == (0, POOL + TEST, 0)
    assert notes(done)[0].startswith("waits for a student: the annotation asks the student")
    assert command(*overrides).status == 0
    assert server.requests == 2 * POOL + TEST
    assert results.record()["rounds"][0]["charged"]["teacher"]["calls"] == 2 * POOL


def test_where_questions_cost_more_later_no_more_is_begun_than_a_run_could_finish(
    command: Run, server: FaultServer, live: Run, parts: str
) -> None:
    overrides = (parts, *live(server), "annotation=corrected", "+budget.calls=10", "teacher.concurrency=1")
    begun = server.requests
    assert command(*overrides, "mode=annotate").status == 0
    assert server.requests - begun - TEST <= 5
    assert command(*overrides).status == 0
    assert server.requests == 10 + TEST


def test_the_assistant_is_no_student(command: Run, server: FaultServer, live: Run, parts: str, tmp_path: Path) -> None:
    from benchmark.student.source import TinyStudent

    small = TinyStudent("assistant", 16, 32, 1, 2, initializer_range=0.3, max_length=192, max_new_tokens=8)
    small.network(1).save_pretrained(tmp_path / "assistant")
    small.tokenizer().save_pretrained(tmp_path / "assistant")
    helped = ("assistant=pretrained", f"assistant.path={tmp_path / 'assistant'}", "assistant.max_length=192")
    overrides = (parts, *live(server), "annotation=corrected", "annotation.who=assistant", *helped)
    done = command(*overrides, "mode=annotate")
    assert done.status == 0, done.err
    assert rows(done)[0]["state"] == "prepared"
    assert counts(rows(done)[0]) == (POOL, 2 * POOL + TEST, 0)
    assert command(*overrides).status == 0
    assert server.requests == 2 * POOL + TEST


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sweeping", [(), ("-m",)], ids=["one cell", "sweep"])
def test_a_failure_loses_nothing(sweeping: Sequence[str], command: Run, server: FaultServer, live: Run) -> None:
    server.script = [*[Step()] * 7, *[error(503, "out to lunch")] * 30]
    done = command(*sweeping, *live(server), "teacher.concurrency=1", "mode=annotate")
    assert done.status == 1
    assert "Traceback" not in done.err
    assert rows(done)[0]["state"] == "failed"
    assert counts(rows(done)[0]) == (7, 7, 0)
    assert server.url in notes(done)[0]
    assert "failed (server error" in notes(done)[1]
    assert [line for line in done.err.splitlines() if line.startswith("error: ")] == [done.err.splitlines()[-1]]
    server.script = []
    before = server.requests
    again = command(*sweeping, *live(server), "mode=annotate")
    assert again.status == 0
    assert counts(rows(again)[0]) == (POOL, POOL + TEST - 7, 7)
    assert server.requests - before == POOL + TEST - 7


def test_a_server_that_is_down_is_one_line(command: Run, live: Run) -> None:
    with serving() as server:
        pass
    done = command(*live(server), "mode=annotate")
    assert done.status == 1
    assert "Traceback" not in done.out + done.err
    [line] = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert server.url in line


def test_a_missing_variable_is_one_line_before_any_work(
    command: Run, server: FaultServer, live: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    for sweeping in ((), ("-m",)):
        done = command(*sweeping, *live(server), f"teacher.api_key_variable={VARIABLE}", "mode=annotate")
        assert done.status == 2
        assert VARIABLE in done.complaint
    assert server.requests == 0


def test_one_teacher_that_is_down_does_not_stop_the_others(command: Run, server: FaultServer, live: Run) -> None:
    with serving() as gone:
        pass
    two = f"teacher.base_url={gone.url},{server.url}"
    done = command("-m", *(each for each in live(server) if "base_url" not in each), two, "mode=annotate")
    assert done.status == 1
    assert [row["state"] for row in rows(done)[:-1]] == ["failed", "prepared"]
    assert done.err.splitlines()[-1] == "error: 1 of 2 cells could not be prepared; the same command goes on"


def test_a_key_is_nowhere_whatever_happens(
    command: Run, live: Run, results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server repeats the key in every fault; a cell fails, is prepared, and is run."""
    monkeypatch.setenv(VARIABLE, KEY)
    with serving() as server:
        overrides = (*live(server), f"teacher.api_key_variable={VARIABLE}", "teacher.concurrency=1")
        said = []
        for fault in (error(500, f"no {KEY}"), error(401, f"no {KEY}"), error(400, f"no {KEY}")):
            for mode in ("annotate", "run"):
                server.script = [*[Step()] * 3, fault]
                done = command(*overrides, f"mode={mode}")
                assert done.status in (1, 2), done.err
                said.append(done)
        journals = list((results.path / ".journals").rglob("*"))
        assert journals
        assert not [path for path in journals if path.is_file() and KEY.encode() in path.read_bytes()]
        said += [command(*overrides, mode) for mode in ("mode=annotate", "mode=run", "mode=plan")]
        said.append(command(*overrides, "--cfg", "job"))
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert [done.status for done in said[-4:]] == [0] * 4
    assert not [done for done in said if KEY in done.out + done.err]
    files = [path for path in results.path.parent.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"record.json", "error.txt", "teacher_store.sqlite"} <= names
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


# --- pieces -----------------------------------------------------------------------------------------------------------


def test_traffic_is_counted_per_cell() -> None:
    teacher = OpenAICompatibleTeacher("live", "http://host/v1", "small")
    free = SimulatedTeacher()
    teacher.traffic.requests, teacher.traffic.retries["time-out"] = 3, 2
    before = traffic_of({"live": teacher, "simulated": free})
    teacher.traffic.requests += 4
    teacher.traffic.retries.update({"time-out": 1, "rate limit": 5})
    since = traffic_since(before, {"live": teacher, "simulated": free})
    assert set(since) == {"live"}
    assert since["live"]["requests"] == 4
    assert since["live"]["retries"] == {"time-out": 1, "rate limit": 5}
    assert since["live"]["failures"] == {}
    assert json.loads(json.dumps(since)) == since


def test_a_teacher_without_a_server_has_no_traffic(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    assert command(*miniature).status == 0
    assert "teacher_traffic" not in results.record()


def test_after_an_error_what_is_under_way_comes_back() -> None:
    import asyncio

    begun, ended = [], []

    async def reply(request: Request) -> list[Reply]:
        begun.append(request.question_id)
        if request.question_id == "1":
            raise ValueError("no luck")
        await asyncio.sleep(0.01)
        ended.append(request.question_id)
        return [Reply("yes")]

    with pytest.raises(ValueError, match="no luck"):
        asyncio.run(ask_each([Request("role", "", str(number)) for number in range(9)], reply, 3))
    assert begun == ["0", "1", "2"]
    assert ended == ["0", "2"]


def test_replies_come_in_the_order_of_the_requests() -> None:
    import asyncio

    async def reply(request: Request) -> list[Reply]:
        await asyncio.sleep(0.001 * (9 - int(request.question_id)))
        return [Reply(request.question_id)]

    requests = [Request("role", "", str(number)) for number in range(9)]
    assert [each.text for each in asyncio.run(ask_each(requests, reply, 4))] == [
        request.question_id for request in requests
    ]


# --- a death ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_kill_loses_at_most_what_is_in_flight(live: Run, repository: Path, tmp_path: Path) -> None:
    concurrency = 4
    with serving() as server:
        arguments = [*live(server), f"teacher.concurrency={concurrency}", "mode=annotate"]
        answered = (POOL // 3, POOL // 2, TEST // 2)  # by every process, before the server falls silent
        for replies in answered:
            server.script = [*[Step()] * replies, *[Step(hang=True)] * concurrency]
            before, process = server.requests, _start(repository, tmp_path, arguments)
            while server.requests <= before + replies and process.poll() is None:
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        server.script = []
        assert _start(repository, tmp_path, arguments).wait(120) == 0
        assert POOL + TEST < server.requests <= POOL + TEST + len(answered) * concurrency
        before = server.requests
        assert _start(repository, tmp_path, arguments).wait(120) == 0
        assert _start(repository, tmp_path, [*arguments, "mode=run"]).wait(120) == 0
        assert server.requests == before


@pytest.mark.slow
def test_two_that_prepare_at_once_buy_no_question_twice(live: Run, repository: Path, tmp_path: Path) -> None:
    with serving(latency=0.05) as server:
        arguments = [*live(server), "teacher.concurrency=4", "mode=annotate"]
        processes = [_start(repository, tmp_path, arguments) for _ in range(3)]
        assert [process.wait(240) for process in processes] == [0, 0, 0]
        assert server.requests == POOL + TEST
        assert server.most_in_flight > 1


def _start(repository: Path, folder: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    paths = [os.environ.get("PYTHONPATH", ""), str(repository)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmark", *arguments],
        env=environment,
        cwd=folder,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
