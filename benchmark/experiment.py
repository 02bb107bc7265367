"""Runs one cell: the corridor from questions to a recorded test score."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from benchmark.cell import Cell
from benchmark.context import CellContext
from benchmark.contract import Task
from benchmark.evaluation.accuracy import Evaluation, evaluate
from benchmark.evaluation.extra import ExtraTest, count_seen
from benchmark.evaluation.likelihood import choose, written_roles
from benchmark.evaluation.reasoning import with_reasoning
from benchmark.evaluation.reference import ROLE, teacher_accuracy
from benchmark.evaluation.sampling import SampledAnswers, draw
from benchmark.models import load_models
from benchmark.plan import covered_pool
from benchmark.progress import Display
from benchmark.result import result
from benchmark.runs.journal import Journal, as_json, from_json
from benchmark.runs.record import CellFolder
from benchmark.state import CellState, round_folder
from benchmark.student.checkpoint import FitJournal
from benchmark.student.fit import fit, set_threads
from benchmark.student.load import initial_network
from benchmark.student.stream import Validation
from benchmark.tasks.dataset import Dataset, Splits
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.meter import Answered, Meter
from benchmark.teachers.prompts import beside
from benchmark.teachers.purchase import Bought, buy, reweighted
from benchmark.types import Annotation, Example, Json, Pick, Question, Round, RoundLog, TrainingExample

AXES_WITH_CONTEXT = ("selection", "annotation", "weighting", "curriculum")


class Experiment:
    """One cell on its way through the corridor. After a death, the journal says where it goes on."""

    def __init__(
        self, cell: Cell, folder: CellFolder, journal: Journal, display: Display, loggers: Sequence[Any] = ()
    ) -> None:
        self.cell = cell
        self.folder = folder
        self.journal = journal
        self.display = display
        self.loggers = loggers
        self.splits = cell.dataset.load()
        self.pool = covered_pool(cell, self.splits)
        self.prompts = beside(cell.method.parts)
        self.models = load_models(cell, _buyer(journal), display.say)
        self.student = self.models.student
        set_threads(cell.trainer, self.student.parameters)
        self.state = CellState(self.models, Ledger())
        roles = cell.method.requires().teacher_roles
        local = self.models.asked_by(cell.method.annotation)
        self.meter = Meter(self.models.suppliers, self.state.ledger, roles, local, cell.longest_local_reply)
        self.policy = cell.method.loss.data_policy
        self.fresh_policy: Json = as_json(self.policy.state_dict())

    def run(self) -> dict[str, Any]:
        """The corridor; returns what the record says of rounds, training, test and costs."""
        try:
            return self._run()
        finally:
            self.models.close()

    def _run(self) -> dict[str, Any]:
        self.state.go_on(self.journal, self.policy)
        for log in self.state.history:
            self._read_bought(round_folder(log.round.index))  # what an earlier round asked is not paid for again
        while (round_ := self.cell.method.schedule.next_round(tuple(self.state.history))) is not None:
            self._round(round_)
        test = self._test(self.cell.dataset, self.splits, "test")
        samples = self._sample(self.splits.test.open()) if self.cell.evaluation.samples else None
        self.state.counters["unparsed_answers"] += test.unparsed_answers
        self.state.counters["truncated_answers"] += test.truncated_answers
        self.state.counters["left_out_rows"] = self.splits.left_out
        self.folder.write_predictions("predictions", test.predictions)
        if samples is not None:
            self.folder.write_samples(samples.rows)
        self.folder.write_annotations(self.state.annotations)
        extra = [self._extra_test(dataset) for dataset in self.cell.extra_datasets]
        return result(self.cell, self.state, test, samples, extra, self._teacher_reference())

    def _test(self, dataset: Dataset, splits: Splits, shown: str) -> Evaluation:
        """The student on a test split; whoever opens one has nothing left to decide."""
        splits.test.unseal()
        examples = splits.test.open()
        return with_reasoning(self._evaluate(shown, examples, dataset.task), examples, dataset)

    def _extra_test(self, dataset: Dataset) -> ExtraTest:
        """A further test set; what was cut and could not be read there is counted apart."""
        before, splits = Counter(self.student.counters), dataset.load()
        evaluation = self._test(dataset, splits, dataset.name)
        cut = self.student.counters - before
        self.student.counters.subtract(cut)
        counts = {
            **cut,
            "unparsed_answers": evaluation.unparsed_answers,
            "truncated_answers": evaluation.truncated_answers,
        }
        self.state.counters.update({f"{what}/{dataset.name}": count for what, count in counts.items()})
        self.folder.write_predictions(f"predictions-{dataset.name}", evaluation.predictions)
        learnt = [*(row.without_gold() for row in self.splits.pool), *(row.question for row in self.state.annotations)]
        asked = [row.without_gold() for row in splits.test.open()]
        return ExtraTest(dataset.name, evaluation, count_seen(asked, learnt))

    def _round(self, round_: Round) -> None:
        state, method = self.state, self.cell.method
        state.notes.clear()
        context = self._context(round_)
        new = self._buy(context)
        state.enter("weighting")
        weights = method.weighting.weigh(new, state.annotations, context.for_axis("weighting"))
        state.annotations = reweighted([*state.annotations, *new], dict(weights))
        kept = [row for row in state.annotations if row.weight > 0]
        examples = method.format.examples(kept, self.cell.dataset.task)
        self._fit(examples, context)
        self._count_unused(kept, examples)
        evaluation = self._evaluate("validation", self._validation_examples(), self.cell.dataset.task)
        self._log({f"validation/{evaluation.metric}": evaluation.value}, state.fits[-1].optimiser_steps)
        state.book_work()
        log = RoundLog(
            round=round_,
            annotated=len(state.bought),
            charged=dict(state.ledger.charged),
            spent=dict(state.ledger.spent),
            computed=dict(state.ledger.computed),
            validation={evaluation.metric: evaluation.value},
            notes=dict(state.notes),
        )
        state.finish_round(self.journal, log, self.policy)

    def _buy(self, context: CellContext) -> list[Annotation]:
        cell, state, folder = self.cell, self.state, round_folder(context.round.index)
        share = sum(log.round.share for log in state.history) + context.round.share
        if share > 1 + 1e-9:
            raise ValueError(
                f"the schedule's rounds share {share:.3f} of the budget; together they may share all of it"
            )
        picks = self._ranked(context, f"{folder}/picks.json")
        state.enter("annotation")
        before = self._bought_before(folder)
        done = len(state.bought) + len(before)
        total = min(len(picks), round((cell.budget.questions or len(picks)) * share) - len(state.bought))
        with self.display.bar(_in_round("annotating", context.round), total) as advance:
            advance(len(before))

            def keep(bought: Bought, answered: Sequence[Answered]) -> Bought:
                row = as_json({"bought": bought, "answered": answered, "tallies": state.tallies()})
                self.journal.append(f"{folder}/bought.jsonl", row)
                advance(1)
                kept: Bought = from_json(Bought, row["bought"])
                return kept

            annotator, of_axis = cell.method.annotation, context.for_axis("annotation")
            rest, say = picks[len(before) :], self.display.say
            new = buy(rest, annotator, of_axis, self.meter, cell.budget, share, done, keep, say)
        state.bought += [bought.question_id for bought in (*before, *new)]
        return [row for bought in (*before, *new) for row in bought.annotations]

    def _ranked(self, context: CellContext, name: str) -> list[Pick]:
        """The selection's picks, from the journal where an earlier attempt ranked them already."""
        found = self.journal.read(name)
        if found is None:
            self.state.enter("selection")
            bought = set(self.state.bought)
            pool = [row.without_gold() for row in self.pool if row.id not in bought]
            picks = self.cell.method.selection.rank(pool, context.for_axis("selection"))
            _refuse_strangers(picks, pool)
            found = {"picks": as_json(picks), "tallies": self.state.tallies()}
            self.journal.write(name, found)
        else:
            self.state.restore(found["tallies"])
        picks_as_read: list[Pick] = from_json(list[Pick], found["picks"])
        return picks_as_read

    def _bought_before(self, folder: str) -> list[Bought]:
        """What an earlier attempt at this round has paid for; everything is counted as it was then."""
        rows = self._read_bought(folder)
        if rows:
            self.state.restore(rows[-1]["tallies"])
        return [from_json(Bought, row["bought"]) for row in rows]

    def _read_bought(self, folder: str) -> list[Json]:
        rows = self.journal.lines(f"{folder}/bought.jsonl")
        for row in rows:
            self.meter.remember(from_json(list[Answered], row["answered"]))
        return rows

    def _fit(self, examples: Sequence[TrainingExample], context: CellContext) -> None:
        cell, state, folder = self.cell, self.state, round_folder(context.round.index)
        state.enter("training")
        if state.fitted(self.journal, folder, self.policy):
            return
        if context.round.restart or not state.fits:
            if state.fits:
                self.student.network = initial_network(cell.student, cell.seed, cell.trainer)
            self.policy.load_state_dict(self.fresh_policy)
        every_seconds = 60 * cell.trainer.checkpoint_minutes
        with self.display.bar(_in_round("training", context.round), cell.optimization.max_steps) as advance:
            report = fit(
                self.student,
                examples,
                cell.method,
                context,
                cell.optimization,
                cell.trainer,
                frozen=self.models.frozen,
                validation=Validation(cell.optimization.validation_every_n_steps, self._validated_at),
                journal=FitJournal(self.journal, f"{folder}/fit", every_seconds, state),
                loggers=self.loggers,
                advance=advance,
            )
        state.counters["truncated_training_examples"] += report.truncated_examples
        state.finish_fit(self.journal, folder, report, self.policy)

    def _validated_at(self, step: int) -> dict[str, float]:
        """Validation inside a fit, while its bar stands."""
        evaluation = self._measure(self._validation_examples(), self.cell.dataset.task, lambda _: None)
        self._log({f"validation/{evaluation.metric}": evaluation.value}, step)
        return {evaluation.metric: evaluation.value}

    def _validation_examples(self) -> Sequence[Example]:
        return self.splits.validation[: self.cell.evaluation.validation_size]

    def _evaluate(self, shown: str, examples: Sequence[Example], task: Task) -> Evaluation:
        form, by_likelihood = self.cell.method.format, self.cell.evaluation.option_likelihood is not None
        turns = len(written_roles(form)) + 1 if by_likelihood else len(form.answer_path)
        with self.display.bar(f"evaluating on {shown}", len(examples) * turns) as advance:
            return self._measure(examples, task, advance)

    def _measure(self, examples: Sequence[Example], task: Task, advance: Callable[[int], None]) -> Evaluation:
        form, settings = self.cell.method.format, self.cell.evaluation
        self.state.book_work()
        if settings.option_likelihood is None:
            evaluation = evaluate(self.student, examples, form, task, settings.max_new_tokens, advance)
        else:
            by, longest = settings.option_likelihood, settings.max_new_tokens
            evaluation = choose(self.student, examples, form, task, by, longest, advance)
        self.models.work()  # to be measured costs the method nothing
        return evaluation

    def _sample(self, examples: Sequence[Example]) -> SampledAnswers:
        form, task, settings = self.cell.method.format, self.cell.dataset.task, self.cell.evaluation
        self.state.book_work()
        with self.display.bar("sampling on test", len(examples) * len(form.answer_path) * settings.samples) as advance:
            samples = draw(
                self.student,
                examples,
                form,
                task,
                settings.samples,
                settings.temperature,
                settings.max_new_tokens,
                advance,
            )
        self.models.work()
        return samples

    def _context(self, round_: Round) -> CellContext:
        method, models = self.cell.method, self.models
        return CellContext(
            dataset=self.cell.dataset,
            format=method.format,
            student=self.student,
            local_assistant=models.assistant if method.requires().assistant else None,
            teachers=tuple(self.cell.teachers),
            loss_settings=method.loss.settings,
            prompts=self.prompts,
            seed=self.cell.seed,
            data_seed=self.cell.data_seed,
            round=round_,
            history=tuple(self.state.history),
            gold_rows={row.id: row for row in self.splits.pool},
            gold_axes=frozenset(axis for axis in AXES_WITH_CONTEXT if getattr(method, axis).requires().gold),
            notes=self.state.notes,
        )

    def _count_unused(self, kept: Sequence[Annotation], examples: Sequence[TrainingExample]) -> None:
        used = {annotation for example in examples for annotation in example.annotations}
        annotations, counters = self.state.annotations, self.state.counters
        counters["dropped_annotations"] = len(annotations) - len(kept)
        counters["unused_annotations"] = len({row.id for row in kept} - used)
        counters["unparsed_annotations"] = sum(row.answer is None for row in annotations)

    def _log(self, metrics: dict[str, float], step: int) -> None:
        for logger in self.loggers:
            logger.log_metrics(metrics, step=step)

    def _teacher_reference(self) -> dict[str, Any] | None:
        """The accuracy of the first teacher, asked and read as in few-shot annotation, where it can play that role."""
        name, first = next(iter(self.cell.teachers.items()))
        if name not in self.models.suppliers or (first.roles is not None and ROLE not in first.roles):
            return None
        opened = self.models.suppliers[name].teacher
        measured = teacher_accuracy(opened, self.cell.dataset, self.prompts, self.splits.test.open())
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


def _buyer(journal: Journal) -> str:
    """The mark of what this cell buys, the same for all attempts at it: after a death it shows what was paid for."""
    found = journal.read("buyer.json")
    if found is None:
        found = uuid.uuid4().hex
        journal.write("buyer.json", found)
    return str(found)


def _in_round(activity: str, round_: Round) -> str:
    return f"{activity}, round {round_.index + 1}" if round_.index else activity
