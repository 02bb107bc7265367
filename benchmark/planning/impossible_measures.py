"""Which measures of `evaluation` a cell's format, task or questions do not allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.cell.cell import Cell
from benchmark.contract import ExplainingFormat, ScorableFormat
from benchmark.evaluation.early_answers import ROLES
from benchmark.planning.fitting_options import explaining_formats, reasoning_formats
from benchmark.tasks.dataset import Dataset, GradedTask, Splits, TestSplit
from benchmark.types import Question


def impossible_measures(cell: Cell, splits: Splits, extra: Sequence[tuple[Dataset, TestSplit]]) -> Iterator[str]:
    """One reason per setting of `evaluation` that this format or dataset does not allow."""
    settings, task = cell.evaluation, cell.dataset.task
    if settings.option_likelihood is not None:
        chosen = f"evaluation.option_likelihood={settings.option_likelihood}"
        for dataset, test in [(cell.dataset, splits.test), *extra]:
            if test.count(_without_options):
                yield (
                    f"{chosen} chooses among options, and questions of {dataset.name} (task {dataset.task.name}) have "
                    "none; give evaluation.option_likelihood=null"
                )
        if not isinstance(cell.method.format, ScorableFormat):
            yield (
                f"{chosen} needs to know what stands before an answer, and the format "
                f"{type(cell.method.format).__name__} has no `before_answer`; give evaluation.option_likelihood=null"
            )
        if settings.samples:
            yield (
                f"evaluation.samples={settings.samples} draws answers that the student writes, but {chosen} reads no "
                "written answer; give evaluation.samples=0 or evaluation.option_likelihood=null"
            )
    if settings.samples and isinstance(task, GradedTask):
        yield (
            f"evaluation.samples={settings.samples} asks for a majority of right or wrong answers, but answers of "
            f"task {task.name} are graded; give evaluation.samples=0"
        )
    if settings.explanation_questions and not isinstance(cell.method.format, ExplainingFormat):
        yield (
            f"evaluation.explanation_questions={settings.explanation_questions} asks the student to explain, and the "
            f"format {type(cell.method.format).__name__} has no `explanation_path`; choose "
            f"format={' or format='.join(explaining_formats(cell, splits))}, or give evaluation.explanation_questions=0"
        )
    if settings.faithfulness_questions:
        yield from _unfaithful(cell, splits)


def _unfaithful(cell: Cell, splits: Splits) -> Iterator[str]:
    """One reason per obstacle to a measure of how far explanations decide answers."""
    chosen, form = f"evaluation.faithfulness_questions={cell.evaluation.faithfulness_questions}", cell.method.format
    needed, last = frozenset(ROLES.values()), ROLES["finish"]
    advice = (
        f"choose format={' or format='.join(reasoning_formats(cell, splits, needed, last))}, or give "
        "evaluation.faithfulness_questions=0"
    )
    if missing := sorted(needed - form.roles):
        yield (
            f"{chosen} asks the student in the role {', '.join(missing)}, which format {type(form).__name__} does not "
            f"have; {advice}"
        )
    elif form.answer_path[-1] != last:
        yield (
            f"{chosen} measures explanations that lead to an answer, and in format {type(form).__name__} the answer is "
            f"asked for without one; {advice}"
        )
    if cell.evaluation.option_likelihood is not None:
        yield (
            f"{chosen} stops explanations that lead to a written answer, but evaluation.option_likelihood="
            f"{cell.evaluation.option_likelihood} reads none; give evaluation.faithfulness_questions=0 or "
            "evaluation.option_likelihood=null"
        )
    if isinstance(cell.dataset.task, GradedTask):
        yield (
            f"{chosen} compares answers, but answers of task {cell.dataset.task.name} are graded; give "
            "evaluation.faithfulness_questions=0"
        )


def _without_options(questions: Sequence[Question]) -> list[bool]:
    return [not question.choices for question in questions]
