"""What the parts of a method will ask the student between its fits, found out by a rehearsal with an invented student.

Selections that score a pool, annotators that ask the student, weightings and curricula that reflect take time, and they
wait until a student is there. Data policies are left out: what they generate is part of a fit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from benchmark.cell.cell import Cell
from benchmark.cell.context import CellContext, context_of
from benchmark.cell.round_steps import NO_LOG
from benchmark.cell.sources import covered_pool
from benchmark.contract import ASSISTANT, STUDENT, TextModel
from benchmark.planning.expected_cost import REHEARSED_QUESTIONS, RoundCost, expected_rounds, rehearsal_for, spread
from benchmark.random_streams import stream
from benchmark.tasks.dataset import Splits
from benchmark.teachers.prompts import prompt_library_for
from benchmark.types import Annotation, Pick, Reply, Request, RoundLog, Stage, TrainingExample

if TYPE_CHECKING:
    import numpy as np


RANKED_QUESTIONS = 400
"""The most questions of the pool that a rehearsed selection ranks."""
MOST_STAGES = 100
"""A curriculum with more stages counts as endless, and its work as unknown."""
REHEARSED_KINDS = 3
"""Later rounds ask the student as the last of these does."""


@dataclass(frozen=True)
class StudentWork:
    """What the parts of a cell ask its student outside of training and testing."""

    written: float = 0.0
    """Replies that it writes, in all rounds."""
    scored: float = 0.0
    """Texts that it reads and does not write, in all rounds: it says their probability, or embeds them."""
    unknown: frozenset[str] = frozenset()
    """The axes whose work is not known, because the rehearsal failed; `assistant` where that is at work too."""
    waits: tuple[tuple[str, int], ...] = ()
    """(axis, index of the first round) of the parts that wait for the student, in the order of a round."""

    @property
    def line(self) -> str | None:
        """Which parts wait for the student, for people; None if none does."""
        if not self.waits:
            return None
        parts = [f"{axis} (from round {first + 1} on)" if first else axis for axis, first in self.waits]
        *before, last = parts
        return f"{', '.join(before)} and {last} wait for the student" if before else f"{last} waits for the student"


@dataclass
class InventedModel:
    """Takes the place of the student or the assistant: gives every request the same reply, and counts."""

    text: str = ""
    """Every reply."""
    written: float = 0.0
    """Replies so far."""
    scored: float = 0.0
    """Texts so far that were read and not written: scored, or embedded."""

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        """`samples` equal replies per request; every token, and every continuation, has the log-probability -1."""
        return [[self._reply(request, samples)] * samples for request in requests]

    def _reply(self, request: Request, samples: int) -> Reply:
        if request.continuations:
            self.scored += len(request.continuations)
            return Reply("", continuation_log_probabilities=(-1.0,) * len(request.continuations))
        self.written += samples
        return Reply(self.text, log_probability=-float(len(self.text) + 1))

    def target_log_probabilities(self, examples: Sequence[TrainingExample]) -> list[tuple[float, ...]]:
        """-1 for every character of a target, and for EOS."""
        self.scored += len(examples)
        return [(-1.0,) * (len(example.target_text) + 1) for example in examples]

    def embeddings(self, texts: Sequence[str]) -> np.ndarray:
        """[texts, 8] float32: another point for every text, the same in every rehearsal."""
        import numpy as np

        self.scored += len(texts)
        points = [stream("plan", "embedding", text).standard_normal(8) for text in texts]
        return np.array(points, dtype=np.float32).reshape(len(texts), 8)

    @property
    def asked(self) -> float:
        """Replies and scored texts together."""
        return self.written + self.scored


def student_work(cell: Cell) -> StudentWork:
    """The work of the student for the parts of the cell. Raises nothing but MemoryError."""
    if not cell.method.trains():
        return StudentWork()
    try:
        rounds, splits = expected_rounds(cell), cell.dataset.load()
    except MemoryError:
        raise
    except Exception:  # a part's own code; the estimate of the cost says so
        return StudentWork(unknown=frozenset({"annotation"}))
    done = _Work()
    history: list[RoundLog] = []
    bought, pool_size = 0, len(covered_pool(cell, splits)) if rounds else 0
    rehearsed: dict[tuple[bool, int], _RoundWork] = {}
    for each in rounds:
        kind = (each.round.warmup, min(each.round.index, REHEARSED_KINDS - 1))
        if kind not in rehearsed:
            rehearsed[kind] = _rehearsed(cell, splits, each, history)
        left = pool_size - bought
        bought += each.questions
        done.add(each.round.index, rehearsed[kind], {"selection": left, "curriculum": bought}, each.questions)
        history.append(replace(NO_LOG, round=each.round, annotated=bought))
    if cell.method.annotation.requires().student_roles and "annotation" in done.unknown:
        done.waits.setdefault("annotation", 0)
    order = [axis for axis in ("selection", "annotation", "weighting", "curriculum") if axis in done.waits]
    waits = tuple((axis, done.waits[axis]) for axis in order)
    return StudentWork(done.written, done.scored, frozenset(done.unknown), waits)


@dataclass
class _RoundWork:
    """Per axis, what the student did for one question in a rehearsed round."""

    written: dict[str, float] = field(default_factory=dict)
    """Axis -> replies."""
    scored: dict[str, float] = field(default_factory=dict)
    """Axis -> scored texts."""
    unknown: set[str] = field(default_factory=set)
    """What failed."""


@dataclass
class _Work:
    """The sums over all rounds."""

    written: float = 0.0
    scored: float = 0.0
    unknown: set[str] = field(default_factory=set)
    waits: dict[str, int] = field(default_factory=dict)
    """Axis -> the first round in which it asks the student."""

    def add(self, index: int, of_round: _RoundWork, sizes: dict[str, int], bought: int) -> None:
        for axis in dict.fromkeys((*of_round.written, *of_round.scored)):
            questions = sizes.get(axis, bought)
            self.written += questions * of_round.written.get(axis, 0)
            self.scored += questions * of_round.scored.get(axis, 0)
            self.waits.setdefault(axis, index)
        self.unknown |= of_round.unknown


def _rehearsed(cell: Cell, splits: Splits, each: RoundCost, history: Sequence[RoundLog]) -> _RoundWork:
    """One round from selection to curriculum, with invented models; every part that fails is unknown."""
    found, student, assistant = _RoundWork(), InventedModel(_as_written(cell)), InventedModel(_as_written(cell))
    helper = cast("TextModel", assistant) if cell.uses_assistant else None
    prompts = prompt_library_for(cell.method.parts)
    context = context_of(cell, splits, prompts, each.round, cast("TextModel", student), helper, history)

    @contextmanager
    def counted(axis: str, questions: int) -> Iterator[None]:
        """Books what the student does inside the block, per question; an error makes the axis unknown."""
        before = (student.written, student.scored)
        try:
            yield
        except MemoryError:
            raise
        except Exception:  # a part may fail in any way on invented replies
            found.unknown.add(axis)
        for sums, now, then in zip(
            (found.written, found.scored), (student.written, student.scored), before, strict=True
        ):
            if now > then:
                sums[axis] = (now - then) / max(questions, 1)
        if assistant.asked:
            found.unknown.add(ASSISTANT)

    pool = spread([row.without_gold() for row in covered_pool(cell, splits)], RANKED_QUESTIONS)
    picks: Sequence[Pick] = [Pick(question) for question in pool]
    with counted("selection", len(pool)):
        picks = cell.method.selection.rank(pool, context.for_axis("selection"))
    rows: list[Annotation] = []
    taken = picks[:REHEARSED_QUESTIONS]
    with counted("annotation", len(taken)):
        rows = asyncio.run(_annotations(cell, taken, context, student, assistant))
    with counted("weighting", len(taken)):
        cell.method.weighting.weigh(rows, [], context.for_axis("weighting"))
    with counted("curriculum", len(taken)):
        draws = context.for_axis("format").data_rng
        _stages(cell, cell.method.format.examples(rows, cell.dataset.task, draws), context)
    return found


async def _annotations(
    cell: Cell, picks: Sequence[Pick], context: CellContext, student: InventedModel, assistant: InventedModel
) -> list[Annotation]:
    teachers = rehearsal_for(cell, [pick.question for pick in picks])

    async def ask(who: str, request: Request, samples: int = 1) -> list[Reply]:
        local = {STUDENT: student, ASSISTANT: assistant}.get(who)
        return await teachers(who, request, samples) if local is None else local.generate([request], samples)[0]

    of_axis, rows = context.for_axis("annotation"), list[Annotation]()
    for pick in picks:
        rows += await cell.method.annotation.annotate(pick, of_axis, ask)
    return rows


def _stages(cell: Cell, examples: Sequence[TrainingExample], context: CellContext) -> None:
    """Runs the curriculum through all its stages. Raises ValueError if they have no end."""
    done: list[Stage] = []
    of_axis = context.for_axis("curriculum")
    while (stage := cell.method.curriculum.next_stage(done, examples, of_axis)) is not None:
        done.append(stage)
        if len(done) > MOST_STAGES:
            raise ValueError(f"the curriculum has more than {MOST_STAGES} stages")


def _draws(*key: str | int) -> np.random.Generator:
    """Draws for a target of which only the length is wanted."""
    return stream("plan", *key)


def _as_written(cell: Cell) -> str:
    """What the student learns to write about an exemplar; empty where there is none that the format can use."""
    try:
        exemplar = cell.dataset.exemplars[0]
        row = Annotation(exemplar.as_question(), "rationale", "teacher", exemplar.rationale, exemplar.answer)
        return cell.method.format.examples([row], cell.dataset.task, _draws)[-1].target_text
    except MemoryError:
        raise
    except Exception:  # a format may need annotations of other kinds
        return ""
