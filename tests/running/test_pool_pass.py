"""Passes of local models over the pool: shown with a total, saved batch by batch, and gone on with after a death."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from benchmark.axes.selection import RandomSelection
from benchmark.console.progress import Advance
from benchmark.contract import Context
from benchmark.corridor import CellRun
from benchmark.interruption import Interrupted, forget_signals
from benchmark.records.journal import Journal
from benchmark.records.record import CellFolder
from benchmark.running.pool_pass import PoolModel, PoolPasses
from benchmark.student.student import Student
from benchmark.types import Pick, Question, Reply, Request, Round, TrainingExample, Usage
from tests.corridor.corridor_parts import AsksTheStudent, Rounds
from tests.methods.reflection_parts import by_signs
from tests.rehearsals.scripted import (
    Fate,
    Heard,
    Killed,
    Ran,
    Script,
    ScriptedModel,
    assert_same,
    live_through,
    miniature,
    run,
)
from tests.student.student_parts import example, shared_student, student_of

BATCH = 8


# --- cells that die --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MostUnlike(RandomSelection):
    """First what lies farthest from the mean of the pool."""

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        vectors = context.student.embeddings([question.text for question in pool])
        far = np.linalg.norm(vectors - vectors.mean(0), axis=1)
        return [Pick(pool[i], float(far[i])) for i in sorted(range(len(pool)), key=lambda i: (-far[i], i))]


def life(parts: dict[str, Any], folder: Path, fate: Fate, heard: list[Heard] | None = None) -> Ran:
    student = Script(fate=fate)
    cell = miniature(f"trainer.evaluation_batch_size={BATCH}", schedule=Rounds((0.5, 0.5)), **parts)
    try:
        return run(cell, folder, student)
    finally:
        if heard is not None:
            heard.extend(student.heard)


PARTS: dict[str, dict[str, Any]] = {
    "selection": {"selection": AsksTheStudent()},
    "curriculum": {"curriculum": by_signs(partitions=2, kept=2)},
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_a_death_in_every_batch_changes_nothing_and_repeats_no_batch(parts: dict[str, Any], tmp_path: Path) -> None:
    said: list[Heard] = []
    whole = life(parts, tmp_path / "whole", Fate(), said)
    again: list[Heard] = []
    killed, deaths = live_through(
        lambda folder, fate: life(parts, folder, fate, again), tmp_path / "killed", Fate(always=True)
    )
    assert_same(whole, killed)
    assert again == said
    assert len(said) < deaths
    of_new_student = [heard for heard in said if heard.weights == said[0].weights]
    sizes = [len(heard.requests) for heard in of_new_student]
    assert sizes == ([BATCH] * 5 if "selection" in parts else [6, BATCH, 4])  # both rounds' examples, of a new student


def batches_of_reflection(
    monkeypatch: pytest.MonkeyPatch, at: int, happens: Callable[[], None]
) -> list[tuple[str, int]]:
    """Writes down every batch of a curriculum's pass from now on; something happens as the batch `at` begins."""
    calls: list[tuple[str, int]] = []

    def count(verb: str, items: Sequence[Any]) -> None:
        calls.append((verb, len(items)))
        if len(calls) == at:
            happens()

    real_generate, real_score = ScriptedModel.generate, ScriptedModel.target_log_probabilities

    def generate(self: ScriptedModel, requests: Sequence[Request], *rest: Any, **more: Any) -> list[list[Reply]]:
        if all(request.role == "reflect" for request in requests):
            count("writes", requests)
        return real_generate(self, requests, *rest, **more)

    def score(self: ScriptedModel, examples: Sequence[TrainingExample]) -> list[tuple[float, ...]]:
        count("scores", examples)
        return real_score(self, examples)

    monkeypatch.setattr(ScriptedModel, "generate", generate)
    monkeypatch.setattr(ScriptedModel, "target_log_probabilities", score)
    return calls


FIRST_ROUND = [("writes", 6), ("scores", 6)]
SECOND_ROUND = [("writes", 8), ("writes", 4), ("scores", 8), ("scores", 4)]
"""The batches of a curriculum's passes over six and twelve examples."""


def killed() -> None:
    raise Killed


def test_a_death_among_the_targets_of_a_curriculum_repeats_one_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = life(PARTS["curriculum"], tmp_path / "whole", Fate())
    calls = batches_of_reflection(monkeypatch, 6, killed)
    with pytest.raises(Killed):
        life(PARTS["curriculum"], tmp_path / "killed", Fate())
    assert_same(whole, life(PARTS["curriculum"], tmp_path / "killed", Fate()))
    assert calls == [*FIRST_ROUND, *SECOND_ROUND, ("scores", 4)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("at", [3, 4, 5])
def test_a_curriculum_that_is_asked_to_stop_ends_behind_its_batch_and_repeats_none(
    number: signal.Signals, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pass is a part of the fit, which holds signals back until its next step: that may be hours away."""
    whole = life(PARTS["curriculum"], tmp_path / "whole", Fate())
    calls = batches_of_reflection(monkeypatch, at, lambda: os.kill(os.getpid(), number))
    forget_signals()
    try:
        with pytest.raises(Interrupted, match=r"curriculum: student (writes|scores), round 2: \d+ of 12 are saved"):
            life(PARTS["curriculum"], tmp_path / "stopped", Fate())
    finally:
        forget_signals()
    assert calls == [*FIRST_ROUND, *SECOND_ROUND][:at]
    assert_same(whole, life(PARTS["curriculum"], tmp_path / "stopped", Fate()))
    assert calls == [*FIRST_ROUND, *SECOND_ROUND]


def test_a_death_among_embeddings_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"selection": MostUnlike()}
    whole = life(parts, tmp_path / "whole", Fate())
    calls: list[int] = []
    real = Student.embeddings

    def dying(self: Student, texts: Sequence[str]) -> np.ndarray:
        calls.append(len(texts))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, texts)

    monkeypatch.setattr(Student, "embeddings", dying)
    with pytest.raises(KeyboardInterrupt):
        life(parts, tmp_path / "killed", Fate())
    assert_same(whole, life(parts, tmp_path / "killed", Fate()))
    assert calls == [8] * 4 + [8, 8] + [8, 8, 8, 8, 2]  # 40 questions with the fourth batch twice, then 34


def test_nothing_is_left_of_the_passes_of_a_finished_round(tmp_path: Path) -> None:
    ran = life(PARTS["selection"], tmp_path, Fate())
    assert list(ran.cell_run.journal.folder.rglob("passes")) == []
    assert (ran.cell_run.journal.folder / "round-1").is_dir()


def test_the_pass_of_a_curriculum_is_shown_with_its_total_beside_the_steps(tmp_path: Path) -> None:
    bars = TalkingBars()
    cell = miniature(f"trainer.evaluation_batch_size={BATCH}", **PARTS["curriculum"])
    CellRun(cell, CellFolder(tmp_path, "cell"), Journal.open(tmp_path, "cell", print), bars).run()
    shown = [bar for bar in bars.shown if bar[0].startswith(("curriculum", "training"))]
    assert [(description, total) for description, total, _ in shown] == [
        ("training", 6),
        ("curriculum: student writes", 12),
        ("curriculum: student scores", 12),
    ]
    assert [units for _, _, units in shown[1:]] == [[(8, False), (4, False)]] * 2


# --- one pass --------------------------------------------------------------------------------------------------------


@dataclass
class Bars:
    """A display that writes down what is shown."""

    shown: list[tuple[str, int | None, list[tuple[int, bool]]]] = field(default_factory=list)

    def say(self, state: str) -> None:
        raise AssertionError(state)

    @contextmanager
    def bar(self, description: str, total: int | None) -> Iterator[Advance]:
        units: list[tuple[int, bool]] = []
        self.shown.append((description, total, units))
        yield lambda count, *, earlier=False: units.append((count, earlier))


@dataclass
class TalkingBars(Bars):
    """The same for a whole cell, which also says things."""

    def say(self, state: str) -> None:
        pass


@dataclass
class State:
    """As much of a cell's state as a pass looks at."""

    models: Any
    phase: str = "selection"


@dataclass
class Models:
    student: Student
    assistant: Student | None = None


def watched(student: Student, folder: Path, bars: Bars, phase: str = "selection", round_index: int = 0) -> PoolModel:
    journal = Journal.open(folder, "cell", print)
    passes = PoolPasses(journal, cast(Any, bars), cast(Any, State(Models(student), phase)))
    return cast(PoolModel, passes.student(Round(round_index, 1.0)))


def requests(count: int = 20) -> list[Request]:
    return [Request("why", f"{i}+1=" + "?" * (i % 3), f"q{i}", 5, 0.7) for i in range(count)]


def test_a_pass_gives_what_the_model_gives_and_counts_the_same(tmp_path: Path) -> None:
    plain, student, bars = student_of(shared_student().network), student_of(shared_student().network), Bars()
    model = watched(student, tmp_path, bars, round_index=1)
    assert model.generate(requests(), 2, "key") == plain.generate(requests(), 2, "key")
    examples = [example(f"g{i}", f"{i}+1=", str(i + 1)) for i in range(20)]
    for ours, theirs in zip(
        model.target_log_probabilities(examples), plain.target_log_probabilities(examples), strict=True
    ):
        assert ours == pytest.approx(theirs, abs=1e-5)
    texts = [f"{i}+{i}" for i in range(20)]
    np.testing.assert_allclose(model.embeddings(texts), plain.embeddings(texts), rtol=1e-4, atol=1e-6)
    assert (student.usage, student.counters) == (plain.usage, plain.counters)
    assert bars.shown == [
        ("selecting: student writes, round 2", 40, [(8, False)] * 5),
        ("selecting: student scores, round 2", 20, [(8, False), (8, False), (4, False)]),
        ("selecting: student embeds, round 2", 20, [(8, False), (8, False), (4, False)]),
    ]


def test_a_pass_goes_on_behind_the_last_whole_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = student_of(shared_student().network)
    expected = whole.generate(requests())
    first, bars = student_of(shared_student().network), Bars()
    real = Student.generate
    calls: list[int] = []

    def dying(self: Student, asked: Sequence[Request], *rest: Any, **more: Any) -> Any:
        calls.append(len(asked))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, asked, *rest, **more)

    monkeypatch.setattr(Student, "generate", dying)
    with pytest.raises(KeyboardInterrupt):
        watched(first, tmp_path, bars).generate(requests())
    second = student_of(shared_student().network)
    assert watched(second, tmp_path, bars).generate(requests()) == expected
    assert calls == [8, 8, 8, 4]
    assert bars.shown[-1] == ("selecting: student writes", 20, [(8, True), (8, False), (4, False)])
    assert (second.usage, second.counters) == (whole.usage, whole.counters)


def test_a_pass_of_other_weights_is_not_taken_for_this_one(tmp_path: Path) -> None:
    student, bars = student_of(shared_student().network), Bars()
    before = watched(student, tmp_path, bars).generate(requests())
    weight = next(iter(student.network.parameters()))
    with torch.no_grad():
        weight.mul_(1.5)
    try:
        after = watched(student, tmp_path, bars).generate(requests())
        assert after != before
        assert after == student.generate(requests())
    finally:
        with torch.no_grad():
            weight.div_(1.5)
    assert all(not earlier for _, _, units in bars.shown for _, earlier in units)


def test_what_an_annotator_asks_directly_is_neither_shown_nor_saved(tmp_path: Path) -> None:
    bars = Bars()
    model = watched(student_of(shared_student().network), tmp_path, bars, phase="annotation")
    assert model.generate(requests(3)) == model.model.generate(requests(3))
    assert bars.shown == []
    assert list(tmp_path.rglob("passes")) == []


def test_an_empty_pass_asks_nothing(tmp_path: Path) -> None:
    student = student_of(shared_student().network)
    model = watched(student, tmp_path, Bars())
    assert model.generate([]) == model.target_log_probabilities([]) == []
    assert student.usage == Usage()
