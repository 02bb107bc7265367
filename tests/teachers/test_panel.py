"""Several teachers in one cell: their order, their names, and who is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from benchmark.cell.identity import cell_id
from benchmark.errors import ConfigError
from benchmark.planning.checks import check
from benchmark.teachers.panel import Panel
from benchmark.teachers.simulated import SimulatedTeacher
from tests.corridor.corridor_parts import miniature, run

GOOD, BAD = SimulatedTeacher("good"), SimulatedTeacher("bad", wrong_answer_rate=1.0)


def panel(**members: SimulatedTeacher) -> Any:
    return replace(miniature(), teacher=Panel("panel", members))


def test_the_first_is_asked_and_the_order_is_part_of_the_identity(tmp_path: Any) -> None:
    one, other = panel(good=GOOD, bad=BAD), panel(bad=BAD, good=GOOD)
    assert cell_id(one) != cell_id(other)
    right, wrong = run(one, tmp_path / "1"), run(other, tmp_path / "2")
    assert {row["source"] for row in right.table("annotations")} == {"good"}
    assert {row["source"] for row in wrong.table("annotations")} == {"bad"}
    assert right.result["teacher_reference"]["value"] == 1.0
    assert wrong.result["teacher_reference"]["value"] == 0.0


@pytest.mark.parametrize("name", ["student", "assistant", "human"])
def test_a_name_that_means_somebody_else_is_refused(name: str) -> None:
    """By that name a teacher would be asked as the student, unpaid, or its questions booked on people."""
    for cell in (panel(good=GOOD, **{name: BAD}), replace(miniature(), teacher=SimulatedTeacher(name))):
        with pytest.raises(ConfigError, match=f"a teacher cannot be called '{name}'"):
            check(cell)


def test_an_empty_panel_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one teacher"):
        Panel("panel", {})


def test_a_teacher_is_not_measured_in_a_role_that_it_cannot_play(tmp_path: Any) -> None:
    asked: list[str] = []

    @dataclass(frozen=True)
    class Other(SimulatedTeacher):
        @property
        def roles(self) -> Any:
            return ("verify",)

        def open(self, dataset: Any) -> Any:
            opened = super().open(dataset)

            class Opened:
                covers = staticmethod(opened.covers)

                async def reply(self, ask: Any, samples: int) -> Any:
                    asked.append(ask.role)
                    return await opened.reply(ask, samples)

            return Opened()

    cell = replace(miniature("method=gold_answers", "pool=covered"), teacher=Other("other"))
    assert run(cell, tmp_path).result["teacher_reference"] is None
    assert not asked


def test_a_prefix_is_text_and_no_special_token(compose: Callable[..., Any]) -> None:
    from benchmark.student.encoding import Encoder
    from benchmark.types import Request

    tokenizer = miniature().student.tokenizer()
    encoder = Encoder(tokenizer, 99)
    [ids] = encoder.requests([Request("answer", "1+1", "q", prefix="2<eos>")])
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids[-6:]) == "2<eos>"
    assert ids[:-6] == encoder.prompts(["1+1"])[0]


def test_examples_that_are_cut_where_they_are_scored_are_counted() -> None:
    from benchmark.student.load import load_student
    from benchmark.types import Span, TrainingExample

    cell = miniature("student.max_length=24")
    student = load_student(cell.student, 1, cell.trainer, "32-true")
    fits, long = (TrainingExample("q", "answer", "1+1", (Span(text),)) for text in ("2", "2" * 40))
    scores = student.target_log_probabilities([fits, long, long])
    assert student.counters["truncated_scored_examples"] == 2
    assert len(scores[0]) == 2  # EOS included
