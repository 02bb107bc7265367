"""Scripted parts that watch the corridor from inside, and a miniature cell to put them into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmark.axes.annotation import FewShotCot
from benchmark.axes.curriculum import Shuffled
from benchmark.axes.loss import CrossEntropy
from benchmark.axes.selection import RandomSelection
from benchmark.axes.weighting import UniformWeighting
from benchmark.cell.cell import Cell
from benchmark.conformance.observed import Killed as Killed
from benchmark.conformance.observed import fingerprint as fingerprint
from benchmark.contract import AskModels, Context, PlanContext, Requirements
from benchmark.contract import StepModel as Model
from benchmark.contract import StepState as State
from benchmark.corridor import CellRun
from benchmark.records.journal import Journal
from benchmark.records.record import CellFolder
from benchmark.types import (
    Annotation,
    Pick,
    PlannedRequest,
    Question,
    Request,
    Round,
    RoundLog,
    Stage,
    TrainingExample,
    Weight,
)
from tests.cells import SMALLEST_STUDENT, Silent, composed_cell
from tests.corridor.cheats import LOADED

MINIATURE = (
    "dataset.pool_size=40",
    "dataset.validation_size=6",
    "dataset.test_size=8",
    "budget.questions=12",
    "optimization.max_steps=6",
    "optimization.batch_size=4",
    *SMALLEST_STUDENT,
    "student.max_new_tokens=8",
    "trainer.accelerator=cpu",
    "trainer.save_student=false",
)


def miniature(*overrides: str, **parts: Any) -> Cell:
    """The embedded default made small, with parts of its method replaced."""
    cell = composed_cell((*MINIATURE, *overrides))
    return replace(cell, method=replace(cell.method, **parts))


@dataclass
class Ran:
    """A finished corridor."""

    cell_run: CellRun
    result: dict[str, Any]
    folder: Path

    @property
    def history(self) -> list[RoundLog]:
        return self.cell_run.state.history

    def table(self, name: str) -> list[dict[str, Any]]:
        import pyarrow.parquet

        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(self.folder / f"{name}.parquet").to_pylist()
        return rows


def run(cell: Cell, folder: Path) -> Ran:
    """Runs the corridor and nothing around it, so that errors reach the test."""
    place = CellFolder(folder, "cell")
    experiment = CellRun(cell, place, Journal.open(folder, "cell", print), Silent())
    result = experiment.run().as_json()
    return Ran(experiment, result, place.path)


UNSEEN: Mapping[str, Any] = {"identity": False}
"""Marks where a part writes what it saw; not a setting."""


@dataclass(frozen=True)
class Rounds:
    """Shares of the budget, one a round."""

    shares: tuple[float, ...] = (0.25, 0.25, 0.5)
    restart: bool = True

    def requires(self) -> Requirements:
        return Requirements()

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        done = len(history)
        return Round(done, self.shares[done], self.restart) if done < len(self.shares) else None


@dataclass(frozen=True)
class AsksTheStudent(RandomSelection):
    """Ranks by how much the student writes about a question; logs what it saw."""

    log: list[dict[str, Any]] = field(default_factory=list, compare=False, metadata=UNSEEN)

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        role = context.format.answer_path[0]
        replies = context.student.generate([context.format.request(q, role, context.task) for q in pool])
        texts = [reply.text for [reply] in replies]
        self.log.append(
            {
                "round": context.round.index,
                "history": len(context.history),
                "pool": [question.id for question in pool],
                "types": {type(question) for question in pool},
                "texts": texts,
                "weights": fingerprint(context.student),
            }
        )
        context.note(asked_student=len(texts))
        order = sorted(range(len(pool)), key=lambda i: (-len(texts[i]), pool[i].id))
        return [Pick(pool[i], float(len(texts[i])), {"wrote": texts[i]}) for i in order]


@dataclass(frozen=True)
class WatchedSelection(RandomSelection):
    """Random, and logs the pool and its order."""

    log: list[tuple[list[str], list[str]]] = field(default_factory=list, compare=False, metadata=UNSEEN)

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        picks = super().rank(pool, context)
        self.log.append(([question.id for question in pool], [pick.question.id for pick in picks]))
        return picks


VERDICTS = {0: (0.0, "divisible by three"), 1: (0.5, "one left over"), 2: (1.0, "")}


def remainder(question_id: str) -> int:
    """Of the number in the id and 3: what `DropsAndWeighs` goes by."""
    return int(question_id.rpartition("-")[2]) % 3


@dataclass(frozen=True)
class DropsAndWeighs(UniformWeighting):
    """By the remainder of the question's number and 3: 0 is dropped, 1 halved, 2 kept."""

    log: list[tuple[int, int]] = field(default_factory=list, compare=False, metadata=UNSEEN)

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        self.log.append((len(new), len(old)))
        context.note(weighed=len(new))
        verdicts = {}
        for row in new:
            if remainder(row.question.id) < 2:
                verdicts[row.id] = Weight(
                    *VERDICTS[remainder(row.question.id)], {"remainder": remainder(row.question.id)}
                )
        return verdicts


@dataclass(frozen=True)
class Watched(Shuffled):
    """One shuffled stage; logs the examples and the student that it starts from."""

    log: list[dict[str, Any]] = field(default_factory=list, compare=False, metadata=UNSEEN)

    def next_stage(self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Context) -> Stage | None:
        self.log.append({"done": len(done), "examples": list(examples), "weights": fingerprint(context.student)})
        return super().next_stage(done, examples, context)


@dataclass(frozen=True)
class TwoStages(Watched):
    """A third of the steps on the first half of the groups, the rest on the second half."""

    fresh: bool = False

    def next_stage(self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Context) -> Stage | None:
        memory = done[-1].memory if done else None
        self.log.append({"done": len(done), "memory": memory, "weights": fingerprint(context.student)})
        groups = sorted({example.group for example in examples})
        context.note(stages=1)
        if len(done) == 2:
            return None
        half = set(groups[: len(groups) // 2])
        chosen = [example for example in examples if (example.group in half) == (not done)]
        share = 1 / 3 if not done else 2 / 3
        return Stage(chosen, share, fresh_optimiser=self.fresh and bool(done), memory=f"after {len(done)}")


@dataclass(frozen=True)
class WatchedLoss(CrossEntropy):
    """Cross-entropy that logs every micro-batch with the weights that it meets."""

    log: list[dict[str, Any]] = field(default_factory=list, compare=False, metadata=UNSEEN)

    def values(self, batch: Any, student: Model, state: State) -> Mapping[str, Any]:
        groups = {example.group for example in batch.examples}
        self.log.append({"step": state.step, "groups": groups, "weights": fingerprint(student)})
        return super().values(batch, student, state)


# --- parts that do what they must not ------------------------------------------------------------------------------


def _peek() -> None:
    LOADED.test.open()


@dataclass(frozen=True)
class PeekingSelection(RandomSelection):
    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        _peek()
        return super().rank(pool, context)


@dataclass(frozen=True)
class PeekingWeighting(UniformWeighting):
    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        _peek()
        return {}


@dataclass(frozen=True)
class PeekingCurriculum(Shuffled):
    def next_stage(self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Context) -> Stage | None:
        _peek()
        return super().next_stage(done, examples, context)


@dataclass(frozen=True)
class GoldSelection(RandomSelection):
    """Ranks by the gold answer, having said so or not."""

    declared: bool = False

    def requires(self) -> Requirements:
        return Requirements(gold=self.declared)

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        return [Pick(q) for q in sorted(pool, key=lambda question: int(context.gold(question).answer))]


@dataclass(frozen=True)
class GoldWeighting(UniformWeighting):
    """Drops what is wrong, having said or not that it looks at gold answers."""

    declared: bool = False

    def requires(self) -> Requirements:
        return Requirements(gold=self.declared)

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        return {
            row.id: Weight(0.0, "wrong")
            for row in new
            if not context.task.is_correct(context.gold(row.question), row.answer)
        }


@dataclass(frozen=True)
class GoldCurriculum(Shuffled):
    """Looks at gold answers before it teaches."""

    declared: bool = False

    def requires(self) -> Requirements:
        return Requirements(gold=self.declared)

    def next_stage(self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Context) -> Stage | None:
        for row in LOADED.pool:
            context.gold(row.without_gold())
        return super().next_stage(done, examples, context)


@dataclass(frozen=True)
class StrangePicks(RandomSelection):
    """Picks the same question again: at once, in the second round, or one that never was."""

    what: str
    log: list[Question] = field(default_factory=list, compare=False, metadata=UNSEEN)

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        self.log.extend(pool[:1])
        strangers = {"twice": pool[0], "bought before": self.log[0], "made up": Question("no such id", "1+1+1")}
        if self.what == "bought before" and context.round.index == 0:
            return [Pick(question) for question in pool]
        return [*map(Pick, pool), Pick(strangers[self.what])]


@dataclass(frozen=True)
class SecretCalls(FewShotCot):
    """Asks the teacher without having said so."""

    def requires(self) -> Requirements:
        return Requirements()


@dataclass(frozen=True)
class AnotherRole(FewShotCot):
    """Has declared `few_shot_cot` and asks in another role."""

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        async def disguised(who: str, request: Request, samples: int = 1) -> Any:
            return await ask(who, replace(request, role="never_declared"), samples)

        return await super().annotate(pick, context, disguised)


@dataclass(frozen=True)
class AsksTheRulesAgain(FewShotCot):
    """Beside the question it asks one and the same thing every time."""

    log: list[Request] = field(default_factory=list, compare=False, metadata=UNSEEN)

    def most_requests(self, question: Question, context: PlanContext) -> Sequence[PlannedRequest]:
        rules = context.prompt("few_shot_cot", question, temperature=0.5)
        return [PlannedRequest(context.teachers[0], rules), *super().most_requests(question, context)]

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        if not self.log:
            self.log.append(context.prompt("few_shot_cot", pick.question, temperature=0.5))
        await ask(context.teachers[0], self.log[0])
        return await super().annotate(pick, context, ask)
