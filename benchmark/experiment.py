"""Runs one cell: the corridor from questions to a recorded test score."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.cell import Cell
from benchmark.context import CellContext
from benchmark.evaluation.accuracy import Evaluation, evaluate
from benchmark.evaluation.reference import teacher_accuracy
from benchmark.plan import covered_pool
from benchmark.progress import Display
from benchmark.runs.record import CellFolder
from benchmark.student.fit import FitReport, fit, set_threads
from benchmark.student.load import initial_network, load_student
from benchmark.student.student import Student
from benchmark.tasks.dataset import Splits
from benchmark.teachers.ledger import Ledger, as_numbers
from benchmark.teachers.prompts import PromptLibrary, beside
from benchmark.teachers.purchase import Meter, buy, reweighted
from benchmark.types import Annotation, Example, Pick, Question, Round, RoundLog, TrainingExample


@dataclass
class Experiment:
    """One cell on its way through the corridor. What it holds between rounds is what the record will show."""

    cell: Cell
    folder: CellFolder
    display: Display
    loggers: Sequence[Any] = ()
    student: Student = field(init=False)
    prompts: PromptLibrary = field(init=False)
    meter: Meter = field(init=False)
    pool: tuple[Example, ...] = field(init=False)
    history: list[RoundLog] = field(default_factory=list)
    bought: set[str] = field(default_factory=set)
    annotations: list[Annotation] = field(default_factory=list)
    fits: list[FitReport] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)

    def run(self) -> dict[str, Any]:
        """The corridor; returns what the record says of rounds, training, test and costs."""
        cell, method = self.cell, self.cell.method
        splits = cell.dataset.load()
        self.student = load_student(cell.student, cell.seed, cell.trainer, cell.optimization.precision)
        set_threads(cell.trainer, self.student.parameters)
        self.prompts = beside([method.annotation])
        teacher = cell.teacher.open(cell.dataset) if cell.asks_teacher else None
        self.meter = Meter(teacher, cell.teacher.price, Ledger(), roles=method.requires().teacher_roles)
        self.pool = covered_pool(cell, splits)
        while (round_ := method.schedule.next_round(tuple(self.history))) is not None:
            self._round(round_, splits)
        splits.test.unseal()  # nothing is decided from here on
        test = self._evaluate("test", splits.test.open())
        self.folder.write_predictions("predictions", test.predictions)
        self.folder.write_annotations(self.annotations)
        return self._result(test, splits)

    def _round(self, round_: Round, splits: Splits) -> None:
        method = self.cell.method
        context = self._context(round_, splits)
        new = self._buy(context)
        weights = method.weighting.weigh(new, self.annotations, context.for_axis("weighting"))
        self.annotations = reweighted([*self.annotations, *new], dict(weights))
        kept = [row for row in self.annotations if row.weight > 0]
        examples = method.format.examples(kept, self.cell.dataset.task)
        self._fit(examples, context)
        self._count_unused(kept, examples)
        validation = self._evaluate("validation", splits.validation[: self.cell.evaluation.validation_size])
        for logger in self.loggers:
            logger.log_metrics({"validation/accuracy": validation.accuracy}, step=self.fits[-1].optimiser_steps)
        self.history.append(
            RoundLog(
                round=round_,
                annotated=len(self.bought),
                charged=dict(self.meter.ledger.charged),
                spent=dict(self.meter.ledger.spent),
                validation={"accuracy": validation.accuracy},
                notes=dict(context.notes),
            )
        )

    def _buy(self, context: CellContext) -> tuple[Annotation, ...]:
        cell, method = self.cell, self.cell.method
        pool = [row.without_gold() for row in self.pool if row.id not in self.bought]
        picks = method.selection.rank(pool, context.for_axis("selection"))
        _refuse_strangers(picks, pool)
        share = sum(log.round.share for log in self.history) + context.round.share
        if share > 1 + 1e-9:
            raise ValueError(
                f"the schedule's rounds share {share:.3f} of the budget; together they may share all of it"
            )
        total = min(len(picks), round((cell.budget.questions or len(picks)) * share) - len(self.bought))
        with self.display.bar(_in_round("annotating", context.round), total) as advance:
            new = buy(
                picks,
                method.annotation,
                context.for_axis("annotation"),
                self.meter,
                cell.budget,
                share,
                len(self.bought),
                advance,
            )
        self.bought.update(new.question_ids)
        return new.annotations

    def _fit(self, examples: Sequence[TrainingExample], context: CellContext) -> None:
        cell = self.cell
        if context.round.restart and self.fits:
            self.student.network = initial_network(cell.student, cell.seed, cell.trainer)
        with self.display.bar(_in_round("training", context.round), cell.optimization.max_steps) as advance:
            self.fits.append(
                fit(
                    self.student, examples, cell.method, context, cell.optimization, cell.trainer, self.loggers, advance
                )
            )
        self.counters["truncated_training_examples"] += self.fits[-1].truncated_examples

    def _evaluate(self, split: str, examples: Sequence[Example]) -> Evaluation:
        cell = self.cell
        with self.display.bar(f"evaluating on {split}", len(examples) * len(cell.method.format.answer_path)) as advance:
            evaluation = evaluate(
                self.student, examples, cell.method.format, cell.dataset.task, cell.evaluation.max_new_tokens, advance
            )
        if split == "test":
            self.counters["unparsed_answers"] += evaluation.unparsed_answers
            self.counters["truncated_answers"] += evaluation.truncated_answers
        return evaluation

    def _context(self, round_: Round, splits: Splits) -> CellContext:
        method = self.cell.method
        parts = {axis: getattr(method, axis) for axis in ("selection", "annotation", "weighting", "curriculum")}
        return CellContext(
            dataset=self.cell.dataset,
            format=method.format,
            student=self.student,
            teacher_name=self.cell.teacher.name,
            prompts=self.prompts,
            seed=self.cell.seed,
            data_seed=self.cell.data_seed,
            round=round_,
            history=tuple(self.history),
            gold_rows={row.id: row for row in splits.pool},
            gold_axes=frozenset(axis for axis, part in parts.items() if part.requires().gold),
        )

    def _count_unused(self, kept: Sequence[Annotation], examples: Sequence[TrainingExample]) -> None:
        used = {annotation for example in examples for annotation in example.annotations}
        self.counters["dropped_annotations"] = len(self.annotations) - len(kept)
        self.counters["unused_annotations"] = len({row.id for row in kept} - used)
        self.counters["unparsed_annotations"] = sum(row.answer is None for row in self.annotations)

    def _result(self, test: Evaluation, splits: Splits) -> dict[str, Any]:
        cell = self.cell
        return {
            "uses_gold": cell.method.requires().gold,
            "rounds": [_round_row(log) for log in self.history],
            "cost_estimated": cell.asks_teacher and cell.teacher.token_counts_are_estimated,
            "test": [
                {
                    "dataset": cell.dataset.name,
                    "metric": "accuracy",
                    "value": test.accuracy,
                    "n": len(test.predictions),
                    "completion_tokens_per_answer": test.completion_tokens_per_answer,
                    "seconds_per_answer": test.seconds / len(test.predictions),
                }
            ],
            "teacher_reference": self._teacher_reference(splits),
            "train": _train_row(self.fits),
            "counters": dict(sorted({**self.counters, **self.student.counters}.items())),
        }

    def _teacher_reference(self, splits: Splits) -> dict[str, Any] | None:
        if self.meter.teacher is None:
            return None
        measured = teacher_accuracy(self.meter.teacher, self.cell.dataset, self.prompts, splits.test.open())
        return None if measured is None else {"split": "test", **measured}


def _refuse_strangers(picks: Sequence[Pick], pool: Sequence[Question]) -> None:
    """Raises ValueError for picks that are not from the pool or come twice: they would be paid twice."""
    seen, known = set(), {question.id for question in pool}
    for pick in picks:
        if pick.question.id not in known or pick.question.id in seen:
            raise ValueError(
                f"the selection picked {pick.question.id!r}, which is not in the pool or was picked already"
            )
        seen.add(pick.question.id)


def _in_round(activity: str, round_: Round) -> str:
    return f"{activity}, round {round_.index + 1}" if round_.index else activity


def _round_row(log: RoundLog) -> dict[str, Any]:
    return {
        "index": log.round.index,
        "annotated": log.annotated,
        "charged": as_numbers(log.charged),
        "spent": as_numbers(log.spent),
        "validation": dict(log.validation),
        "notes": dict(log.notes),
    }


def _train_row(fits: Sequence[FitReport]) -> dict[str, float]:
    names = [f.name for f in dataclasses.fields(FitReport) if f.name != "truncated_examples"]
    return {name: sum(getattr(report, name) for report in fits) for name in names}
