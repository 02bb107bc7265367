"""Runs one cell: the corridor from questions to a recorded test score."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from benchmark.buying.meter import Answered, Meter
from benchmark.buying.purchase import Bought, reweighted
from benchmark.buying.round_purchase import RoundPurchase
from benchmark.cell.cell import Cell
from benchmark.cell.context import CellContext, context_of
from benchmark.cell.sources import covered_pool
from benchmark.console.progress import Display
from benchmark.contract import Task
from benchmark.evaluation.accuracy import Evaluation, evaluate
from benchmark.evaluation.extra import ExtraTest, count_seen
from benchmark.evaluation.likelihood import choose, written_roles
from benchmark.evaluation.reasoning import with_reasoning
from benchmark.evaluation.reference import reference_teacher, teacher_accuracy
from benchmark.evaluation.sampling import SampledAnswers, draw
from benchmark.records.journal import BUYER, Journal, as_json, from_json
from benchmark.records.record import CellFolder
from benchmark.records.schema import CellResult
from benchmark.running.cell_models import load_models
from benchmark.running.record_content import result
from benchmark.running.resumable_state import ResumableState, round_folder
from benchmark.student.checkpoint import FitJournal
from benchmark.student.fit import fit, set_threads
from benchmark.student.load import initial_network
from benchmark.student.memory import give_back_freed_memory
from benchmark.student.stream import Validation
from benchmark.tasks.dataset import Dataset, Splits
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.prompts import prompt_library_for
from benchmark.teachers.traffic import traffic_of, traffic_since
from benchmark.types import Annotation, Example, Json, Pick, Round, RoundLog, TrainingExample


class CellRun:
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
        self.prompts = prompt_library_for(cell.method.parts)
        self.models = load_models(cell, _buyer(journal), display.say)
        self.student = self.models.student
        set_threads(cell.trainer, self.student.parameters)
        self.state = ResumableState(self.models, Ledger())
        roles = cell.method.requires().teacher_roles
        local = self.models.asked_by(cell.method.annotation)
        self.meter = Meter(self.models.suppliers, self.state.ledger, roles, local, cell.longest_local_reply)
        self.purchase = RoundPurchase(cell, self.pool, self.meter)
        self.traffic_before = traffic_of(cell.teachers)
        self.policy = cell.method.loss.data_policy
        self.fresh_policy: Json = as_json(self.policy.state_dict())

    def run(self) -> CellResult:
        """The corridor; returns what the record says of rounds, training, test and costs."""
        try:
            return self._run()
        finally:
            self.models.close()

    def _run(self) -> CellResult:
        self.state.go_on(self.journal, self.policy)
        self.meter.has_settled(self.state.settled)
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
        reference = self._teacher_reference()
        traffic = traffic_since(self.traffic_before, self.cell.teachers)
        estimated = self.meter.is_estimated
        return result(self.cell, self.state, test, samples, extra, reference, traffic, estimated)

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
        state, folder = self.state, round_folder(context.round.index)
        share = self.purchase.budget_so_far(context)
        picks = self._ranked(context, f"{folder}/picks.json")
        state.enter("annotation")
        before = self._bought_before(folder)
        done = len(state.bought) + len(before)
        total = self.purchase.most_questions(len(picks), share, len(state.bought))
        with self.display.bar(_in_round("annotating", context.round), total) as advance:
            advance(len(before))

            def keep(bought: Bought, answered: Sequence[Answered]) -> Bought:
                row = as_json({"bought": bought, "answered": answered, "tallies": state.tallies()})
                self.journal.append(f"{folder}/bought.jsonl", row)
                advance(1)
                kept: Bought = from_json(Bought, row["bought"])
                return kept

            new = self.purchase.buy_round(picks[len(before) :], context, share, done, keep, self.display.say)
        state.settled += self.meter.settle()
        state.bought += [bought.question_id for bought in (*before, *new)]
        return [row for bought in (*before, *new) for row in bought.annotations]

    def _ranked(self, context: CellContext, name: str) -> list[Pick]:
        """The selection's picks, from the journal where an earlier attempt ranked them already."""
        found = self.journal.read(name)
        if found is None:
            self.state.enter("selection")
            picks = self.purchase.rank(self.state.bought, context)
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
        give_back_freed_memory()

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
        self.models.usage_since_last_call()  # to be measured costs the method nothing
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
        self.models.usage_since_last_call()
        return samples

    def _context(self, round_: Round) -> CellContext:
        state, models = self.state, self.models
        return context_of(
            self.cell, self.splits, self.prompts, round_, self.student, models.assistant, state.history, state.notes
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
        name = reference_teacher(self.cell.asked_teachers, self.cell.evaluation)
        if name is None:
            return None
        opened, at_once = self.models.suppliers[name].teacher, self.cell.teachers[name].concurrency
        measured = teacher_accuracy(opened, self.cell.dataset, self.prompts, self.splits.test.open(), at_once)
        return None if measured is None else {"split": "test", **measured}


def _buyer(journal: Journal) -> str:
    """The mark of what this cell buys, the same for all attempts at it: after a death it shows what was paid for."""
    found = journal.read(BUYER)
    if found is None:
        found = uuid.uuid4().hex
        journal.write(BUYER, found)
    return str(found)


def _in_round(activity: str, round_: Round) -> str:
    return f"{activity}, round {round_.index + 1}" if round_.index else activity
