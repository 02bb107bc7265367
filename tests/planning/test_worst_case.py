"""Worst cases: no reply costs more than its teacher said, and what holds earlier replies has room for them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.buying.meter import Supplier, worst_case
from benchmark.teachers.completions import read_answer
from benchmark.teachers.ledger import Budget
from benchmark.teachers.teacher import Price, estimated_tokens
from benchmark.types import PlannedRequest, Reply, Request, Usage
from tests.corridor.corridor_parts import miniature


def booked(opened: Any, request: Request, samples: int) -> Usage:
    """What the replies to a request are really charged."""
    replies = asyncio.run(opened.reply(request, samples))
    return sum((Price().of(reply) for reply in replies), start=Usage())


# --- teachers --------------------------------------------------------------------------------------------------------


def test_a_simulated_teacher_knows_what_it_will_say() -> None:
    cell = miniature()
    opened = cell.teachers["simulated"].open(cell.dataset)
    for row in cell.dataset.load().pool[:10]:
        shown = cell.dataset.task.show(row.without_gold())
        for prompt in (f"Q: {shown}\nA:", "Q: something else\nA:"):
            request = Request("few_shot_cot", prompt, row.id)
            assert opened.most(PlannedRequest("simulated", request, 3)) == booked(opened, request, 3)


def test_a_recording_knows_what_it_will_say(tmp_path: Path) -> None:
    from benchmark.teachers.recorded import RecordedTeacher

    cell = miniature()
    row = cell.dataset.load().pool[0]
    lines = [f'{{"id": "{row.id}", "sample": {n}, "rationale": "{"é" * n}", "answer": "7"}}' for n in range(3)]
    file = tmp_path / "lines.jsonl"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    opened = RecordedTeacher("recorded", str(file)).open(cell.dataset)
    request = Request("few_shot_cot", f"Q: {cell.dataset.task.show(row.without_gold())}\nA:", row.id)
    assert opened.most(PlannedRequest("recorded", request, 3)) == booked(opened, request, 3)
    other = replace(request, prompt="Q: something else\nA:")
    assert opened.most(PlannedRequest("recorded", other, 2)).tokens >= booked(opened, other, 2).tokens


def test_a_model_in_this_process_counts_its_prompt_and_adds_its_cap(tmp_path: Path) -> None:
    from benchmark.teachers.in_process import TransformersTeacher
    from tests.rehearsals.tensor_parts import model_folder

    teacher = TransformersTeacher("t", str(model_folder(tmp_path / "model")), 512, 8, accelerator="cpu", batch_size=5)
    assert teacher.concurrency == 5
    opened = teacher.open(miniature().dataset)
    for request, cap in (
        (Request("any", "Q: 1+1 A:", "q", temperature=0.7, prefix="So"), 8),
        (Request("any", "Q", "q", 3), 3),
    ):
        most, real = opened.most(PlannedRequest("t", request, 4)), booked(opened, request, 4)
        assert (most.calls, most.prompt_tokens, most.completion_tokens) == (4, real.prompt_tokens, 4 * cap)
        assert real.completion_tokens <= most.completion_tokens
        held = opened.most(PlannedRequest("t", request, 4), held_tokens=10)
        assert held == most + Usage(prompt_tokens=4 * 2 * 10)


@pytest.mark.parametrize(("api", "allowance"), [("chat", 256), ("completions", 8)])
def test_a_server_counts_no_more_tokens_than_there_are_bytes_and_its_template_adds(api: Any, allowance: int) -> None:
    pytest.importorskip("openai")
    from benchmark.teachers.openai_compatible import OpenAICompatibleTeacher

    teacher = OpenAICompatibleTeacher("live", "http://host/v1", "small", api=api, max_tokens=100, concurrency=7)
    assert teacher.concurrency == 7
    opened = teacher.open(miniature().dataset)
    request = Request("any", "häh?", "q", prefix="ja")
    assert opened.most(PlannedRequest("live", request, 3)) == Usage(3, 3 * (5 + 2 + allowance), 300)
    assert opened.most(PlannedRequest("live", replace(request, max_new_tokens=9), 3), 50) == Usage(
        3, 3 * (7 + allowance + 2 * 50), 27
    )


def test_what_a_server_does_not_count_is_not_estimated_beyond_the_cap() -> None:
    payload = {"choices": [{"text": "x" * 400}, {"text": "x" * 8}]}
    answer = read_answer(payload, "prompt", 2, cap=20)
    assert answer.estimated
    assert sum(reply.completion_tokens for reply in answer.replies) == 20 + 2


# --- several requests ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plain:
    """A token a letter, and `cap` more for a reply."""

    cap: int

    def covers(self, question_id: str) -> bool:
        return True

    def most(self, request: PlannedRequest, held_tokens: int = 0) -> Usage:
        reply = request.request.max_new_tokens or self.cap
        prompt = len(request.request.prompt) + held_tokens
        return Usage(request.samples, request.samples * prompt, request.samples * reply)

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        raise AssertionError("nobody is asked")


def test_a_held_reply_has_the_cap_of_its_request_or_of_whoever_is_planned_to_give_it() -> None:
    suppliers = {"short": Supplier(Plain(10), Price(1.0, 2.0)), "long": Supplier(Plain(100), Price(10.0, 20.0))}
    written, capped, local = Request("write", "1234", "q"), Request("write", "12", "q", 7), Request("explain", "", "q")
    review = Request("review", "123456", "q")
    first, second = PlannedRequest("long", written, 2), PlannedRequest("long", capped)
    for holds, held in (((), 0), ((written,), 100), ((capped,), 7), ((local,), 33), ((written, written, local), 233)):
        planned = [first, second, PlannedRequest("short", review, 3, holds)]
        most = worst_case(planned, suppliers, longest_local_reply=33)
        assert (most.calls, most.prompt_tokens) == (6, 2 * 4 + 2 + 3 * (6 + held))
        assert most.completion_tokens == 2 * 100 + 7 + 3 * 10
        usd = ((2 * 4 + 2) * 10 + 207 * 20 + 3 * (6 + held) * 1 + 30 * 2) / 1e6
        assert usd < most.usd < usd * (1 + 1e-9)  # a trace more, for sums in another order


def test_who_is_no_teacher_cannot_be_planned_for() -> None:
    with pytest.raises(ValueError, match="plans to ask 'student'"):
        worst_case([PlannedRequest("student", Request("any", "", "q"))], {}, 0)


# --- limits ----------------------------------------------------------------------------------------------------------


@given(
    limits=st.fixed_dictionaries(
        {},
        optional={
            "questions": st.integers(1, 99),
            "calls": st.integers(1, 99),
            "tokens": st.integers(1, 10**12),
            "usd": st.floats(0.01, 1e6),
        },
    ).filter(bool),
    share=st.floats(0.01, 1 + 1e-9),
)
def test_a_part_of_a_budget_is_never_more_than_the_budget(limits: dict[str, Any], share: float) -> None:
    budget = Budget(**limits)
    assert budget.limits == limits
    for name, limit in limits.items():
        part = budget.part(name, share)
        assert part <= limit
        assert part == pytest.approx(limit * min(share, 1.0), abs=0 if name == "usd" else 0.51, rel=1e-9)


def test_each_limit_is_held_by_its_own_unit() -> None:
    budget = Budget(questions=1, calls=2, tokens=30, usd=0.5)
    assert budget.exceeded(Usage(2, 10, 20, 0.5, 1)) == []
    assert budget.exceeded(Usage(2, 10, 21, 0.5, 1)) == ["tokens"]
    assert budget.exceeded(Usage(3, 11, 20, 0.6, 2)) == ["questions", "calls", "tokens", "usd"]
    assert budget.exceeded(Usage(1, 5, 10, 0.25, 0), share=0.5) == []
    assert budget.exceeded(Usage(1, 5, 11, 0.25, 0), share=0.5) == ["tokens"]
    assert estimated_tokens("") == 0
