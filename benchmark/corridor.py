"""Runs one cell: the corridor from questions to a recorded test score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from benchmark.axes.weighting import reweighted
from benchmark.buying.local_asks import QUESTIONS_AT_ONCE
from benchmark.buying.meter import Meter
from benchmark.buying.round_purchase import RoundPurchase
from benchmark.cell.cell import Cell
from benchmark.cell.context import CellContext, context_of
from benchmark.cell.round_steps import refuse_short_training, steps_of_round
from benchmark.cell.sources import covered_pool
from benchmark.console.progress import Advance, Display
from benchmark.contract import CROSS_ENTROPY, DataRng, ReadsCrossEntropy
from benchmark.records.evidence import RankedQuestion
from benchmark.records.journal import Journal, as_json
from benchmark.records.record import CellFolder
from benchmark.records.schema import CellResult
from benchmark.records.tracking import round_metrics
from benchmark.running.after_the_test import after_the_test
from benchmark.running.cell_models import load_models
from benchmark.running.examination import Examination
from benchmark.running.pool_pass import PoolPasses
from benchmark.running.purchase_journal import PurchaseJournal, buyer_mark
from benchmark.running.record_content import result, round_record
from benchmark.running.resumable_state import ResumableState, round_folder
from benchmark.running.unread import unread_warning, why_nothing_is_learnt
from benchmark.student.checkpoint import FitJournal
from benchmark.student.fit import fit, set_threads
from benchmark.student.kept_signals import Workplace
from benchmark.student.load import initial_network
from benchmark.student.memory import give_back_freed_memory
from benchmark.student.prepared import Prepared
from benchmark.student.remembered import Remembered
from benchmark.student.stream import Validation
from benchmark.tasks.guard import gold_closed
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.prompts import prompt_library_for
from benchmark.teachers.traffic import traffic_of, traffic_since
from benchmark.types import Annotation, Json, Pick, Round, RoundLog, TrainingExample

SIGNALS = ".teacher_signals"
"""The folder of the results folder with what frozen teachers gave for fixed text."""


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
        with display.bar("loading models", None):
            self.models = load_models(cell, buyer_mark(journal), display.say)
        self.student = self.models.student
        set_threads(cell.trainer, self.student.parameters)
        self.state = ResumableState(self.models, Ledger())
        roles = cell.needs.teacher_roles
        local = self.models.asked_by(cell.method.annotation)
        at_once = min((QUESTIONS_AT_ONCE, *(model.batch_size for model in local.values())))
        longest = cell.longest_local_reply
        self.meter = Meter(self.models.suppliers, self.state.ledger, roles, local, longest, at_once)
        self.passes = PoolPasses(journal, display, self.state)
        self.purchase = RoundPurchase(cell, self.pool, self.meter)
        self.purchases = PurchaseJournal(journal, self.state, self.meter)
        self.examination = Examination(cell, self.splits, self.prompts, self.models, self.state, display, folder)
        self.traffic_before = traffic_of(cell.teachers)
        self.policy = cell.method.loss.data_policy
        self.prepared = Prepared()
        self.remembered = Remembered(self.policy)
        self.fresh: Json = as_json(self.remembered.state_dict())

    def run(self) -> CellResult:
        """The corridor; returns what the record says of rounds, training, test and costs."""
        try:
            self._resume()
            self.examination.warn_of_leaks()
            with gold_closed("schedule", declares_gold=False):
                while (round_ := self.cell.method.schedule.next_round(tuple(self.state.history))) is not None:
                    self._round(round_)
            refuse_short_training(self.state.history, self.cell.optimization.max_steps)
            return self._finish()
        finally:
            self.models.close()

    def _resume(self) -> None:
        """Takes the place where an earlier attempt stopped; what its rounds asked is not paid for again."""
        self.state.resume(self.journal, self.remembered)
        self.meter.has_settled(self.state.settled)
        for log in self.state.history:
            self.purchases.remember_replies(log.round.index)

    def _round(self, round_: Round) -> None:
        """Pick, buy, weigh, format, train, validate."""
        state, method = self.state, self.cell.method
        state.notes.clear()
        context = self._context(round_)
        new = self._annotate(context)
        state.enter("weighting")
        bar = self.display.bar(_in_round("weighting", round_), None)
        with bar, gold_closed("weighting", method.weighting.requires().gold):
            weights = method.weighting.weigh(new, state.annotations, context.for_axis("weighting"))
        state.annotations = reweighted([*state.annotations, *new], weights)
        kept = [row for row in state.annotations if row.weight > 0]
        with gold_closed("format", method.format.requires().gold):
            data_rng = context.for_axis("format").data_rng
            examples = method.format.examples(kept, self.cell.dataset.task, data_rng)
        if not examples:
            self.purchases.forget(round_.index)
            raise ValueError(why_nothing_is_learnt(method.format, state.annotations, self.cell.dataset.task))
        self._train(examples, context)
        self._count_unused(kept, examples)
        evaluation = self.examination.validate()
        validation = {evaluation.metric: evaluation.value}
        self._log_validation(validation, self._steps_done())
        state.book_work()
        log = RoundLog(
            round=round_,
            annotated=len(state.bought),
            charged=dict(state.ledger.charged),
            spent=dict(state.ledger.spent),
            computed=dict(state.ledger.computed),
            validation=validation,
            notes=dict(state.notes),
            optimiser_steps=state.fits[-1].optimiser_steps,
        )
        self._log(round_metrics(round_record(log)), self._steps_done())
        for logger in self.loggers:
            logger.save()  # a round that the journal holds is not logged again
        state.finish_round(self.journal, log, self.remembered)
        self.passes.forget(round_.index)

    def _annotate(self, context: CellContext) -> list[Annotation]:
        """The annotations that the round adds: questions ranked by the selection, then bought within the budget."""
        state, index = self.state, context.round.index
        share_so_far = self.purchase.share_so_far(context)
        state.enter("selection")
        with self.display.bar(_in_round("selecting", context.round), None):
            picks = self.purchases.picks(index, lambda: self.purchase.rank(state.bought, context))
        if line := unread_warning(state.notes):
            self.display.say(f"warning: {_in_round('selection', context.round)}: {line}")
        state.enter("annotation")
        before = self.purchases.bought_before(index)
        done = len(state.bought) + len(before)
        most = self.purchase.most_questions(len(picks), share_so_far, len(state.bought))
        with self.display.bar(_in_round("annotating", context.round), most) as advance:
            advance(len(before), earlier=True)
            keep = self.purchases.keep(index, advance)
            rest = picks[len(before) :]
            new = self.purchase.buy_round(rest, context, share_so_far, done, keep, self.display.say)
        state.settled += self.meter.settle()
        bought = [*before, *new]
        ids = [each.question_id for each in bought]
        state.bought += ids
        state.picks += _ranked(picks, index, frozenset(ids))
        return [replace(row, round=index) for each in bought for row in each.annotations]

    def _train(self, examples: Sequence[TrainingExample], context: CellContext) -> None:
        """Fits the student, unless an earlier attempt has finished this fit."""
        cell, state, folder = self.cell, self.state, round_folder(context.round.index)
        state.enter("training")
        if state.fitted(self.journal, folder, self.remembered):
            return
        if context.round.restart or not state.fits:
            if state.fits:
                self.student.network = initial_network(cell.student, cell.seed, cell.trainer)
            self.remembered.load_state_dict(self.fresh)
        data_rng = context.for_axis("format").data_rng
        every_seconds = 60 * cell.trainer.checkpoint_minutes
        steps = steps_of_round(cell.method.schedule, state.history, context.round, cell.optimization.max_steps)
        self.prepared.place = self._workplace(context.round)
        bar = self.display.bar(_in_round("training", context.round), steps)
        with bar as advance, gold_closed("loss", cell.method.loss.requires().gold):
            report = fit(
                self.student,
                examples,
                cell.method,
                context,
                replace(cell.optimization, max_steps=steps),
                cell.trainer,
                frozen=self.models.frozen,
                prepared=self.prepared,
                loss_memory=self.remembered.of_loss,
                validation=Validation(
                    cell.optimization.validation_every_n_steps, partial(self._validated_at, data_rng)
                ),
                journal=FitJournal(self.journal, f"{folder}/fit", every_seconds, state),
                loggers=self.loggers,
                advance=advance,
                during=state.clock.within,
            )
        state.counters["truncated_training_examples"] += report.truncated_examples
        state.finish_fit(self.journal, folder, report, self.remembered)
        give_back_freed_memory()

    def _finish(self) -> CellResult:
        """Opens the test split, once and last; returns the content of the record."""
        self.state.clock.enter("evaluation")
        test, samples = self.examination.test(), self.examination.sample()
        self.state.counters["left_out_rows"] = self.splits.left_out
        self.folder.write_annotations(self.state.annotations)
        self.folder.write_picks(self.state.picks)
        self.folder.write_stages([stage for report in self.state.fits for stage in report.stages])
        further = [self.examination.test_further(dataset) for dataset in self.cell.extra_datasets]
        leaks = self.examination.leaks(self.cell.dataset)
        with self.display.bar("testing the teacher", None):
            reference = self.examination.teacher_reference()
        traffic = traffic_since(self.traffic_before, self.cell.teachers)
        faithfulness = self.examination.faithfulness(test)
        self.examination.explanations(test)
        after = after_the_test(self.cell, self.splits, self.state.annotations, self.state.picks, faithfulness)
        return result(self.cell, self.state, test, leaks, samples, further, reference, traffic, self.meter, after)

    def _context(self, round_: Round) -> CellContext:
        state, student, assistant = self.state, self.passes.student(round_), self.passes.assistant(round_)
        cell, splits, prompts, bought = self.cell, self.splits, self.prompts, state.annotations
        return context_of(cell, splits, prompts, round_, student, assistant, state.history, state.notes, bought)

    def _workplace(self, round_: Round) -> Workplace:
        """Where a loss may keep what it prepares for the round's fit."""

        @contextmanager
        def bar(description: str, total: int | None) -> Iterator[Advance]:
            shown = self.display.bar(_in_round(f"training: {description}", round_), total)
            with self.state.clock.within("preparation"), shown as advance:
                yield advance

        maker = f"{self.folder.cell_id} round {round_.index}"
        return Workplace(self.folder.results / SIGNALS, maker, bar, self.state.notes.update)

    def _validated_at(self, data_rng: DataRng, step: int) -> dict[str, float]:
        """Validation inside a fit: the task's metric, and the cross-entropy where the data policy reads it."""
        evaluation = self.examination.validate_inside_fit()
        found = {evaluation.metric: evaluation.value}
        if isinstance(self.policy, ReadsCrossEntropy) and self.policy.reads_cross_entropy:
            found[CROSS_ENTROPY] = self.examination.validation_cross_entropy(data_rng)
        self._log_validation(found, self._steps_done() + step)
        return found

    def _count_unused(self, kept: Sequence[Annotation], examples: Sequence[TrainingExample]) -> None:
        used = {annotation for example in examples for annotation in example.annotations}
        annotations, counters = self.state.annotations, self.state.counters
        counters["dropped_annotations"] = len(annotations) - len(kept)
        counters["unused_annotations"] = len({row.id for row in kept} - used)
        counters["unparsed_annotations"] = sum(row.answer is None for row in annotations)

    def _steps_done(self) -> int:
        """The optimiser steps of all finished fits: curves go on behind them, also where the student restarts."""
        return sum(report.optimiser_steps for report in self.state.fits)

    def _log_validation(self, found: Mapping[str, float], step: int) -> None:
        metrics = {f"validation/{name}": value for name, value in found.items()}
        self._log({**metrics, "round": len(self.state.history)}, step)

    def _log(self, metrics: Mapping[str, float], step: int) -> None:
        for logger in self.loggers:
            logger.log_metrics(metrics, step=step)


def _ranked(picks: Sequence[Pick], round_index: int, bought: frozenset[str]) -> list[RankedQuestion]:
    return [
        RankedQuestion(round_index, rank, pick.question.id, pick.score, pick.evidence, pick.question.id in bought)
        for rank, pick in enumerate(picks, 1)
    ]


def _in_round(activity: str, round_: Round) -> str:
    return f"{activity}, round {round_.index + 1}" if round_.index else activity
