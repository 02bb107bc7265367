"""Measures a cell's student on validation and test questions, and the teacher on the same test questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmark.buying.meter import TEACHER
from benchmark.cell.cell import Cell
from benchmark.cell.identity import reference_id
from benchmark.console.progress import Display
from benchmark.contract import DataRng, ExplainingFormat, Task
from benchmark.evaluation.accuracy import Evaluation, evaluate
from benchmark.evaluation.cross_entropy import cross_entropy, reference_targets
from benchmark.evaluation.explanations import explain, rouge_warning
from benchmark.evaluation.extra import ExtraTest
from benchmark.evaluation.faithfulness import faithfulness
from benchmark.evaluation.leaks import Leaks, bought_warning, leaks_of, pool_warning
from benchmark.evaluation.likelihood import choose, written_roles
from benchmark.evaluation.reasoning import with_reasoning
from benchmark.evaluation.reference import reference_teacher, teacher_accuracy
from benchmark.evaluation.sampling import SampledAnswers, draw
from benchmark.records.record import CellFolder
from benchmark.records.schema import Faithfulness
from benchmark.running.cell_models import CellModels
from benchmark.running.kept_reference import MeasuredReference, kept_or_measured
from benchmark.running.resumable_state import ResumableState
from benchmark.student.student import Student
from benchmark.tasks.dataset import Dataset, Splits
from benchmark.teachers.prompts import PromptLibrary
from benchmark.types import Example, Usage


@dataclass(frozen=True)
class Examination:
    """Measures the student of one cell. What measuring costs is booked on no ledger."""

    cell: Cell
    splits: Splits
    prompts: PromptLibrary
    models: CellModels
    state: ResumableState
    display: Display
    folder: CellFolder
    """Where predictions are written."""

    def validate(self) -> Evaluation:
        """The student on the validation questions."""
        return self._evaluate("validation", self._validation_examples(), self.cell.dataset.task)

    def validate_inside_fit(self) -> Evaluation:
        """The same, without a progress bar of its own: the bar of the fit stands."""
        return self._measure(self._validation_examples(), self.cell.dataset.task, lambda _: None)

    def validation_cross_entropy(self, data_rng: DataRng) -> float:
        """The student's nats per token of the validation questions' reference targets; booked on no ledger."""
        form, task = self.cell.method.format, self.cell.dataset.task
        self.state.book_work()
        with self.state.clock.within("evaluation"):
            targets = reference_targets(self._validation_examples(), form, task, data_rng)
            found = cross_entropy(self.models.student, targets)
        self.models.usage_since_last_call()  # taken, and not booked
        return found

    def test(self) -> Evaluation:
        """The student on the cell's own test split; writes its predictions."""
        evaluation = self._test(self.cell.dataset, self.splits, "test")
        self.state.counters["unparsed_answers"] += evaluation.unparsed_answers
        self.state.counters["truncated_answers"] += evaluation.truncated_answers
        self.folder.write_predictions("predictions", evaluation.predictions)
        return evaluation

    def test_further(self, dataset: Dataset) -> ExtraTest:
        """The student on a further test set. Its counters stand apart: `unparsed_answers/NAME` and so on."""
        student = self.models.student
        before, splits = Counter(student.counters), dataset.load()
        evaluation = self._test(dataset, splits, dataset.name)
        cut = student.counters - before
        student.counters.subtract(cut)
        counts = {
            **cut,
            "unparsed_answers": evaluation.unparsed_answers,
            "truncated_answers": evaluation.truncated_answers,
        }
        self.state.counters.update({f"{what}/{dataset.name}": count for what, count in counts.items()})
        self.folder.write_predictions(f"predictions-{dataset.name}", evaluation.predictions)
        return ExtraTest(dataset.name, evaluation, self.leaks(dataset))

    def warn_of_leaks(self) -> None:
        """Says which test sets have questions that stand in the pool. The numbers reach no part of the method."""
        for dataset in (self.cell.dataset, *self.cell.extra_datasets):
            if line := pool_warning(self.cell.dataset, dataset):
                self.display.say(f"warning: {line}")

    def leaks(self, dataset: Dataset) -> Leaks:
        """What of a test set stands in the pool and in what was bought; says what the purchase added."""
        found = leaks_of(self.cell.dataset, dataset, self.state.annotations)
        if line := bought_warning(self.cell.dataset, dataset, found):
            self.display.say(f"warning: {line}")
        return found

    def sample(self) -> SampledAnswers | None:
        """Several answers to each test question; writes them. None with `evaluation.samples=0`."""
        form, task, settings = self.cell.method.format, self.cell.dataset.task, self.cell.evaluation
        if not settings.samples:
            return None
        examples = self.splits.test.open()
        self.state.book_work()
        with self.display.bar("sampling on test", len(examples) * len(form.answer_path) * settings.samples) as advance:
            samples = draw(
                self.models.student,
                examples,
                form,
                task,
                settings.samples,
                settings.temperature,
                settings.max_new_tokens,
                advance,
            )
        self.models.usage_since_last_call()  # taken, and not booked
        self.folder.write_samples(samples.rows)
        return samples

    def faithfulness(self, test: Evaluation) -> Faithfulness | None:
        """How far the explanations in the test decide the answers; None with `evaluation.faithfulness_questions=0`."""
        cell, wanted = self.cell, self.cell.evaluation.faithfulness_questions
        if not wanted:
            return None
        questions = [example.without_gold() for example in self.splits.test.open()[:wanted]]
        student, form, task = self.models.student, cell.method.format, cell.dataset.task
        before, longest = Counter(student.counters), cell.evaluation.max_new_tokens
        self.state.book_work()
        with self.display.bar("probing explanations", len(questions)) as advance:
            predictions = test.predictions[: len(questions)]
            found = faithfulness(student, form, task, questions, predictions, longest, advance)
        self._count_apart("faithfulness", before)
        return found

    def _count_apart(self, measure: str, before: Counter[str]) -> None:
        """Takes what a measure after the test made the student count and cost; it is booked on no ledger."""
        self.models.usage_since_last_call()
        counters = self.models.student.counters
        cut = counters - before
        counters.clear()
        counters.update(before)
        self.state.counters.update({f"{what}/{measure}": count for what, count in cut.items()})

    def explanations(self, test: Evaluation) -> None:
        """Has the first test questions explained, and writes that; nothing with `evaluation.explanation_questions=0`.

        What is cut there counts as `.../explanations`, apart from the test.
        """
        cell, wanted = self.cell, self.cell.evaluation.explanation_questions
        form = cell.method.format
        if not wanted or not isinstance(form, ExplainingFormat):
            return
        examples, predictions = self.splits.test.open()[:wanted], test.predictions[:wanted]
        if line := rouge_warning(examples):
            self.display.say(line)
        before = Counter(self.models.student.counters)
        self.state.book_work()
        turns = len(examples) * len(form.explanation_path)
        with (
            self.state.clock.within("explanations"),
            self.display.bar("explaining test questions", turns) as advance,
        ):
            longest = cell.evaluation.max_new_tokens
            found = explain(self.models.student, examples, predictions, form, cell.dataset.task, longest, advance)
        self._count_apart("explanations", before)
        self.state.counters["truncated_answers/explanations"] = sum(each.truncated for each in found)
        self.folder.write_explanations(found)

    def teacher_reference(self) -> dict[str, Any] | None:
        """A teacher's own score on the test questions; None where it is not measured.

        A teacher whose distributions the loss reads is asked and read as the student is; otherwise the first teacher is
        asked and read as in few-shot annotation.
        """
        if self.cell.reads_teacher:
            return self._distribution_teacher_reference()
        name = reference_teacher(self.cell.asked_teachers, self.cell.evaluation)
        if name is None:
            return None
        opened, at_once = self.models.suppliers[name].teacher, self.cell.teachers[name].concurrency
        measured = teacher_accuracy(opened, self.cell.dataset, self.prompts, self.splits.test.open(), at_once)
        return None if measured is None else {"split": "test", **measured}

    def _distribution_teacher_reference(self) -> dict[str, Any] | None:
        """The score of the model whose distributions the loss reads, as the student is tested.

        A model of its own is tested once for all cells of the results folder. A model of `teacher` answers only with
        `evaluation.paid_teacher_accuracy`, as it does for texts.
        """
        own = self.cell.own_distribution_teacher
        if own is None:
            paid = self.cell.evaluation.paid_teacher_accuracy
            return dict(self._tested(next(iter(self.cell.teachers))).reference) if paid else None
        measure = partial(self._tested, own.name)
        found, was_kept = kept_or_measured(self.folder.results, reference_id(self.cell), measure)
        if was_kept:
            self.models.frozen[TEACHER].model.book(Usage(), Counter(found.counts))
        return dict(found.reference)

    def _tested(self, name: str) -> MeasuredReference:
        """The model whose distributions the loss reads, on the test questions."""
        model, examples = self.models.frozen[TEACHER].model, self.splits.test.open()
        before = Counter(model.counters)
        measured = self._measure(examples, self.cell.dataset.task, lambda _: None, model)
        reference = {
            "split": "test",
            "metric": measured.metric,
            "value": measured.value,
            "flexible_value": measured.flexible_accuracy if measured.metric == "accuracy" else None,
            "n": len(examples),
            "of": len(examples),
            "distributions_of": name,
        }
        counts = {what: count - before[what] for what, count in model.counters.items()}  # zeros stand in a record too
        return MeasuredReference(reference, counts)

    def _test(self, dataset: Dataset, splits: Splits, shown: str) -> Evaluation:
        """Opens a test split: from here on nothing is decided any more."""
        splits.test.unseal()
        examples = splits.test.open()
        return with_reasoning(self._evaluate(shown, examples, dataset.task), examples, dataset)

    def _validation_examples(self) -> Sequence[Example]:
        return self.splits.validation[: self.cell.evaluation.validation_size]

    def _evaluate(self, shown: str, examples: Sequence[Example], task: Task) -> Evaluation:
        form, by_likelihood = self.cell.method.format, self.cell.evaluation.option_likelihood is not None
        turns = len(written_roles(form)) + 1 if by_likelihood else len(form.answer_path)
        with self.display.bar(f"evaluating on {shown}", len(examples) * turns) as advance:
            return self._measure(examples, task, advance)

    def _measure(
        self, examples: Sequence[Example], task: Task, advance: Callable[[int], None], model: Student | None = None
    ) -> Evaluation:
        """Answers by the student, or by another model that is asked in the same way."""
        asked, form, settings = model or self.models.student, self.cell.method.format, self.cell.evaluation
        by, longest = settings.option_likelihood, settings.max_new_tokens
        self.state.book_work()
        with self.state.clock.within("evaluation"):
            if by is None:
                evaluation = evaluate(asked, examples, form, task, longest, advance)
            else:
                evaluation = choose(asked, examples, form, task, by, longest, advance)
        self.models.usage_since_last_call()  # taken, and not booked
        return evaluation
