"""What agreement of two recorded teachers is worth on CommonsenseQA: the numbers of the data's README, by our judge."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from benchmark.axes.annotation import FewShotCot
from benchmark.axes.format import RationaleThenAnswer
from benchmark.contract import Context
from benchmark.teachers.assistants import RecordedAssistant
from benchmark.teachers.prompts import PromptLibrary
from benchmark.teachers.recorded import RecordedTeacher
from benchmark.types import Annotation, Pick, Question, Reply, Request
from methods.judges import Agreement, Solution

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BENCHMARK_DATA_DIR") or ROOT.parent / "shared" / "data")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not (DATA / "cqa" / "train.jsonl").is_file(), reason=f"no data in {DATA}"),
]


@dataclass
class Room:
    """As much of a context as the annotator and the judge use."""

    dataset: Any
    assistant: Any
    teachers: tuple[str, ...] = ("llama3chatqa8b",)
    format: Any = field(default_factory=RationaleThenAnswer)
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def task(self) -> Any:
        return self.dataset.task

    def prompt(self, role: str, question: Question, temperature: float = 0.0, **texts: Any) -> Request:
        return PromptLibrary().render(role, question, self.dataset, **texts)

    def note(self, **counts: float) -> None:
        self.notes.update(cast(Any, counts))


def test_two_teachers_agree_on_two_questions_in_three_and_are_right_there(cell: Any) -> None:
    """They agree on 6,125 of 9,741 questions, and 86.6 % of these answers are right; alone, Llama 3 has 62.8 %."""
    made = cell(("dataset=commonsense_qa", f"data_dir={DATA}", "dataset.validation_size=1", "teacher=llama3chatqa8b"))
    pool = [*made.dataset.load().pool, *made.dataset.load().validation]
    llama = RecordedTeacher("llama3chatqa8b", recording="teacher_llama3chatqa8b.jsonl", data_dir=str(DATA))
    palm = RecordedAssistant("palm540b", recording="teacher_palm540b.jsonl", data_dir=str(DATA))
    opened = llama.open(made.dataset)
    room = Room(made.dataset, palm.assist(made.dataset))

    async def ask(who: str, request: Request, samples: int = 1) -> list[Reply]:
        return await opened.reply(request, samples)

    async def annotate() -> list[Annotation]:
        context, annotator = cast(Context, room), FewShotCot()
        return [row for e in pool for row in await annotator.annotate(Pick(e.without_gold()), context, ask)]

    rows = asyncio.run(annotate())
    trust = Agreement().confidences([Solution.of(row) for row in rows], cast(Context, room))
    right = [made.dataset.task.is_correct(example, row.answer) for example, row in zip(pool, rows, strict=True)]
    agreed = [is_right for is_right, confidence in zip(right, trust, strict=True) if confidence == 1.0]
    assert len(rows) == 9741
    assert set(trust) == {0.0, 1.0}
    assert 100 * sum(right) / len(right) == pytest.approx(62.8, abs=0.05)
    assert len(agreed) == 6125
    assert 100 * sum(agreed) / len(agreed) == pytest.approx(86.6, abs=0.05)
