"""Whole cells with a teacher that thinks, or whose replies cannot be used: what a user reads, pays and finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("openai")

from tests.teachers.fault_server import FaultServer, Step, serving

Run = Callable[..., Any]
TRACE, TEXT = "Is it 5? No, 4.", "Two and two make four. The answer is 4."
QUESTIONS = 20


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serving(message={"content": TEXT, "reasoning_content": TRACE}) as running:
        yield running


@pytest.fixture
def ask(command: Run, server: FaultServer, miniature: tuple[str, ...], results: Any) -> Run:
    """Runs a miniature cell with the server as its teacher."""

    def run(*more: str) -> Any:
        teacher = ("teacher=openai_compatible", "teacher.model=small", f"teacher.base_url={server.url}")
        return command(*teacher, "teacher.max_retries=0", *miniature, f"results_dir={results.path}", *more)

    return run


def rationales(results: Any) -> dict[str, set[str]]:
    """`teacher.thinking` -> the rationales of the cells with it."""
    return {
        record["identity"]["teacher"]["thinking"]: set(results.table(record["cell_id"], "annotations")["rationale"])
        for record in results.records()
    }


def test_a_policy_is_part_of_the_cell_and_buys_nothing_again(ask: Run, server: FaultServer, results: Any) -> None:
    for thinking in ("strip", "keep", "only"):
        done = ask(f"teacher.thinking={thinking}")
        assert done.status == 0, done.err
    assert server.requests == QUESTIONS
    assert rationales(results) == {
        "strip": {"Two and two make four."},
        "keep": {f"<think>\n{TRACE}\n</think>\n\nTwo and two make four."},
        "only": {TRACE},
    }
    for record in results.records():
        charged = record["rounds"][-1]["charged"]["teacher"]
        assert charged["completion_tokens"] == server.completion_tokens
        assert record["teacher_replies"]["openai_compatible"] == {
            **{"replies": QUESTIONS, "with_trace": QUESTIONS, "unclosed_traces": 0},
            **{"empty": 0, "unreadable": 0, "cut": 0, "refused": 0, "example": ""},
        }
        exchanges = results.table(record["cell_id"], "annotations")["exchanges"]
        assert all(TRACE in exchange for exchange in exchanges), "the trace is kept with its exchange"


@pytest.mark.parametrize("thinking", ["keep", "strip", "answer_only"])
def test_a_student_learns_traces_or_is_freed_of_them(
    thinking: str, ask: Run, results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.axes.format import RationaleThenAnswer

    learnt, examples = set(), RationaleThenAnswer.examples

    def watched(*args: Any) -> Any:
        made = examples(*args)
        learnt.update(example.target_text for example in made)
        return made

    monkeypatch.setattr(RationaleThenAnswer, "examples", watched)
    done = ask("teacher.thinking=keep", f"format.thinking={thinking}", "student.max_length=256")
    assert done.status == 0, done.err
    rationale = "Two and two make four."
    traced = f"<think>\n{TRACE}\n</think>\n\n{rationale}"
    assert learnt == {f"{ {'keep': traced, 'strip': rationale, 'answer_only': ''}[thinking] }#4"}


def test_a_policy_that_there_is_not_is_refused(ask: Run, server: FaultServer) -> None:
    done = ask("teacher.thinking=stripe")
    assert (done.status, server.requests) == (2, 0)
    assert "teacher.thinking" in done.complaint
    assert "strip" in done.complaint


# --- nothing to learn from --------------------------------------------------------------------------------------------


def test_a_trace_without_a_rationale_after_it_names_the_setting(ask: Run, server: FaultServer) -> None:
    server.message = {"content": "The answer is 4.", "reasoning_content": TRACE}
    done = ask()
    assert done.status == 1
    assert "20 have no rationale" in done.err
    assert "20 replies have a trace: teacher.thinking=only or keep makes it the rationale" in done.err
    assert ask("teacher.thinking=only").status == 0
    assert server.requests == QUESTIONS, "what was paid for is not paid for again"


def test_empty_replies_are_counted_and_quoted_and_bought_anew(ask: Run, server: FaultServer, results: Any) -> None:
    server.message = {"content": None}
    prepared = ask("mode=annotate")
    assert prepared.status == 0, prepared.err
    assert "20 replies are kept by no store, and a run asks for them again: empty 20; one of them: {" in prepared.out
    assert '"content": null' in prepared.out
    done = ask()
    assert (done.status, server.requests) == (1, 2 * QUESTIONS)
    assert "20 of 20 annotations state no answer that the task can read, for example" in done.err
    assert '"content": null' in done.err
    server.message = {}
    assert ask().status == 0
    assert server.requests == 3 * QUESTIONS
    [last] = [round_["spent"]["teacher"]["calls"] for round_ in results.record()["rounds"]]
    assert last == 2 * QUESTIONS, "what the cell paid for nothing is spent, and not charged"
    assert results.record()["rounds"][-1]["charged"]["teacher"]["calls"] == QUESTIONS


def test_a_few_empty_and_unreadable_replies_are_in_the_record(ask: Run, server: FaultServer, results: Any) -> None:
    odd = Step(message={"content": None}), Step(body=b'{"choices": [{"message": {"content": "\\ud83d"}}]}')
    server.script = [Step(), *odd, Step(finish="length")]
    done = ask()
    assert done.status == 0, done.err
    counts = results.record()["teacher_replies"]["openai_compatible"]
    assert (counts["replies"], counts["empty"], counts["unreadable"], counts["cut"]) == (QUESTIONS, 1, 1, 1)
    assert "null" in counts["example"] or "ud83d" in counts["example"]
    assert server.requests == QUESTIONS


def test_unread_replies_are_counted_quoted_and_may_be_read_flexibly(ask: Run, server: FaultServer) -> None:
    server.message = {"content": "Two and two make four. It is said to be 4 apples."}
    for done in (ask(), ask("mode=annotate")):
        said = done.err + done.out
        assert "20 of 20 annotations state no answer that the task can read, for example 'Two and two make" in said
        assert "(20 of them would be read by annotation.reading=flexible)" in said
    assert server.requests == QUESTIONS


def test_a_shape_that_nobody_knows_ends_the_purchase_of_a_cell(ask: Run, server: FaultServer) -> None:
    server.script = [Step(body=b'{"output": "4"}')] * 100
    done = ask()
    assert (done.status, server.requests) == (2, 3)
    assert (
        '3 replies in a row have an unknown form, so nothing more is asked; the last one: {"output": "4"}' in done.err
    )
    prepared = ask("mode=annotate")
    assert server.requests == 6
    assert "unknown form" in prepared.out
