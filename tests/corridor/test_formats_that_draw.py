"""A format may draw: equally for all seeds of a cell, by the question and not by the order of calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.axes.format import AnswerOnly
from benchmark.contract import DataRng, Task
from benchmark.types import Annotation, TrainingExample
from tests.corridor.corridor_parts import UNSEEN, Rounds, miniature, run


@dataclass(frozen=True)
class Draws(AnswerOnly):
    """Draws a number for every question, and keeps what it drew, call by call."""

    seen: list[dict[str, float]] = field(default_factory=list, metadata=UNSEEN)

    def examples(
        self, annotations: Sequence[Annotation], task: Task, data_rng: DataRng | None = None
    ) -> Sequence[TrainingExample]:
        assert data_rng is not None
        self.seen.append({row.question.id: float(data_rng(row.question.id).random()) for row in annotations})
        return super().examples(annotations, task, data_rng)


def drawn(folder: Path, *overrides: str) -> list[dict[str, float]]:
    form = Draws()
    run(miniature("budget.questions=40", *overrides, format=form, schedule=Rounds()), folder)
    return form.seen


def test_what_a_format_draws_is_equal_for_all_seeds_and_rounds(tmp_path: Path) -> None:
    one, other, elsewhere = (
        drawn(tmp_path / overrides, overrides) for overrides in ("seed=1", "seed=2", "data_seed=7")
    )
    assert list(one[0]) != list(other[0])  # another order of purchase
    assert one[-1] == other[-1]
    assert len(set(one[-1].values())) == len(one[-1]) == 40
    for earlier in one[:-1]:
        assert earlier.items() <= one[-1].items()
    assert not set(elsewhere[-1].values()) & set(one[-1].values())
