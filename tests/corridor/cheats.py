"""Plug-ins that cheat: each reads gold answers or test questions by another way than the contract's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from benchmark.axes.annotation import FewShotCot
from benchmark.axes.curriculum import Shuffled
from benchmark.axes.format import RationaleThenAnswer
from benchmark.axes.loss import CrossEntropy
from benchmark.axes.schedule import OneShot
from benchmark.axes.selection import RandomSelection
from benchmark.axes.weighting import UniformWeighting
from benchmark.contract import AskModels, Context, DataRng, Requirements, Task
from benchmark.tasks import chain_sum
from benchmark.tasks.dataset import Exemplar
from benchmark.tasks.generated import GeneratedDataset
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.types import Annotation, Pick, Question, Round, RoundLog, Stage, TrainingExample, Weight

COPY = GeneratedDataset(
    name="chain_sum",
    generator="benchmark.tasks.chain_sum",
    task=GeneratedAnswer(),
    exemplars=(Exemplar("4+3-5", "4+3=7;7-5=2.", "2"),),
    pool_size=40,
    validation_size=6,
    test_size=8,
)
"""A dataset that a plug-in makes for itself, or that its YAML hands to it by interpolation."""
QUESTION = Question("chain_sum/1+2", "1+2")
LOADED = COPY.load()
"""Its splits, loaded before any cell ran."""


def gold_through_the_context(context: Any) -> None:
    """Reads the rows that the engine keeps."""
    sorted(context.gold_rows.values(), key=lambda row: row.answer)


def gold_through_the_contexts_dataset(context: Any) -> None:
    """Reads the pool of the dataset that the engine keeps."""
    sorted(context.dataset.load().pool, key=lambda row: row.answer)


def gold_through_loading(context: Any) -> None:
    """Loads a copy of the dataset."""
    sorted(COPY.load().pool, key=lambda row: row.answer)


def gold_through_solving(context: Any) -> None:
    """Has a copy of the dataset solve the question."""
    COPY.solve(QUESTION)


def gold_through_the_generator(context: Any) -> None:
    """Solves the question without any dataset."""
    chain_sum.solve(QUESTION)


def gold_through_checking(context: Any) -> None:
    """Tries rationales until one is right."""
    COPY.check_steps(QUESTION, "1+2=3")


def gold_in_a_thread(context: Any) -> None:
    """Loads a copy of the dataset in a thread of its own."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(COPY.load).result()


def gold_without_a_word(context: Any) -> None:
    """Loads a copy of the dataset, and catches the refusal."""
    try:
        COPY.load()
    except Exception:
        return


def gold_of_a_question_without_a_word(context: Any) -> None:
    """Asks for gold at the right door without having declared it, and catches the refusal."""
    try:
        context.gold(QUESTION)
    except Exception:
        return


def unsealed_test(context: Any) -> None:
    """Breaks the seal of a test split that was loaded before."""
    LOADED.test.unseal()


def counted_test(context: Any) -> None:
    """Sees the questions of a test split whose seal is whole."""
    LOADED.test.count(lambda questions: [True for _ in questions])


Cheat = Callable[[Any], None]
UNSEEN: Mapping[str, Any] = {"identity": False}
"""Marks what is no setting of a part."""


@dataclass(frozen=True)
class CheatingSchedule(OneShot):
    cheat: Cheat = field(default=gold_through_loading, metadata=UNSEEN)

    def next_round(self, history: Sequence[RoundLog]) -> Round | None:
        if history:
            self.cheat(None)
        return super().next_round(history)


@dataclass(frozen=True)
class CheatingSelection(RandomSelection):
    cheat: Cheat = field(default=gold_through_loading, metadata=UNSEEN)
    declared: bool = False

    def requires(self) -> Requirements:
        return Requirements(gold=self.declared)

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        self.cheat(context)
        return super().rank(pool, context)


@dataclass(frozen=True)
class CheatingAnnotator(FewShotCot):
    cheat: Cheat = field(default=gold_through_loading, metadata=UNSEEN)

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        rows = await super().annotate(pick, context, ask)  # after the teacher has solved the question
        self.cheat(context)
        return rows


@dataclass(frozen=True)
class CheatingWeighting(UniformWeighting):
    cheat: Cheat = field(default=gold_through_loading, metadata=UNSEEN)

    def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
        self.cheat(context)
        return super().weigh(new, old, context)


@dataclass(frozen=True)
class CheatingCurriculum(Shuffled):
    cheat: Cheat = field(default=gold_through_loading, metadata=UNSEEN)

    def next_stage(self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Context) -> Stage | None:
        self.cheat(context)
        return super().next_stage(done, examples, context)


@dataclass(frozen=True)
class CheatingFormat(RationaleThenAnswer):
    cheat: Cheat = field(default=gold_through_loading, metadata=UNSEEN)

    def examples(
        self, annotations: Sequence[Annotation], task: Task, data_rng: DataRng | None = None
    ) -> Sequence[TrainingExample]:
        self.cheat(None)
        return super().examples(annotations, task, data_rng)


@dataclass(frozen=True)
class CheatingLoss(CrossEntropy):
    cheat: Cheat = field(default=gold_through_loading, metadata=UNSEEN)

    def values(self, batch: Any, student: Any, state: Any) -> Mapping[str, Any]:
        self.cheat(None)
        return super().values(batch, student, state)


PARTS: Mapping[str, Any] = {
    "schedule": CheatingSchedule,
    "selection": CheatingSelection,
    "annotation": CheatingAnnotator,
    "weighting": CheatingWeighting,
    "curriculum": CheatingCurriculum,
    "format": CheatingFormat,
    "loss": CheatingLoss,
}
"""Axis -> a part that cheats there."""
