"""What must hold before any work: requirements matched, files present, budget possible, results writable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark.cell import Cell
from benchmark.contract import ASSISTANT, STUDENT
from benchmark.errors import ConfigError
from benchmark.runs.catalog import refuse_unwritable, refuse_write_protected
from benchmark.student.frozen import refuse_other_vocabulary
from benchmark.tasks.dataset import Splits
from benchmark.teachers.in_process import TransformersTeacher
from benchmark.teachers.prompts import beside
from benchmark.teachers.purchase import HUMAN
from benchmark.types import Example, Question

TAKEN_NAMES = (STUDENT, ASSISTANT, HUMAN)


def check(cell: Cell) -> None:
    """Raises ConfigError with every reason why the cell cannot run, before any work; makes its results folder."""
    _refuse_impossible(cell)
    refuse_unwritable(Path(cell.results_dir))


def check_without_trace(cell: Cell) -> None:
    """The same, but writes nothing at all."""
    _refuse_impossible(cell)
    refuse_write_protected(Path(cell.results_dir))


def _refuse_impossible(cell: Cell) -> None:
    cell.student.check()
    cell.student.fingerprint()  # its weights must be there
    _check_models_beside(cell)
    cell.logger.check()
    if cell.trainer.accelerator not in ("auto", "cpu"):
        from benchmark.student.load import device_of  # torch takes seconds to import, so only where it is needed

        device_of(cell.trainer.accelerator)
    splits = cell.dataset.load()
    reasons = [*_unmet(cell, splits), *_impossible_sizes(cell, splits)] if cell.method.trains() else []
    reasons += _overlong_prompts(cell, splits)
    if reasons:
        raise ConfigError(f"{cell.method.name} on {cell.dataset.name}: " + "; ".join(reasons))


def _check_models_beside(cell: Cell) -> None:
    """Raises ConfigError for an assistant or a teacher with distributions that is not there, or speaks other tokens."""
    if (assistant := cell.used_assistant) is not None:
        assistant.check()
        assistant.fingerprint()
        if ASSISTANT in cell.method.requires().distributions:
            refuse_other_vocabulary(cell.student, assistant)
    if "teacher" in cell.method.requires().distributions:
        source = distribution_teacher(cell).source
        source.check()
        source.fingerprint()
        refuse_other_vocabulary(cell.student, source)


def distribution_teacher(cell: Cell) -> TransformersTeacher:
    """The first teacher. Raises ConfigError where it answers in text only."""
    name, first = next(iter(cell.teachers.items()))
    if not isinstance(first, TransformersTeacher):
        raise ConfigError(
            f"{cell.method.name} compares the student with the teacher's distribution, and teacher={name} answers in "
            "text only; choose teacher=transformers teacher.path=FOLDER"
        )
    return first


def covered_pool(cell: Cell, splits: Splits) -> tuple[Example, ...]:
    """The pool that this cell draws from: all of it, or what the teacher covers.

    Raises ConfigError where a needed teacher misses questions and `pool=covered` was not asked for.
    """
    if not cell.asks_teacher:
        return splits.pool
    teachers = [teacher.open(cell.dataset) for teacher in cell.teachers.values()]
    covered = tuple(row for row in splits.pool if all(teacher.covers(row.id) for teacher in teachers))
    if cell.pool == "covered":
        return covered
    missing = len(splits.pool) - len(covered)
    if missing:
        raise ConfigError(
            f"teacher={cell.teacher.name} does not cover {missing} of the {len(splits.pool)} ids in the pool of "
            f"{cell.dataset.name}; pool=covered uses the {len(covered)} that it covers"
        )
    return splits.pool


def _unmet(cell: Cell, splits: Splits) -> Iterator[str]:
    """Reasons, one per requirement that nothing in this cell meets."""
    needs = cell.method.requires()
    if needs.choices and not all(example.choices for example in splits.pool):
        yield "it works for multiple-choice questions only"
    if needs.gold_rationale and not any(example.rationale for example in splits.pool):
        yield "it needs human rationales, and the dataset has none"
    prompts = beside(cell.method.parts)
    for role in sorted(needs.assistant_roles):
        prompts.fingerprint(role)
    for name, teacher in cell.teachers.items():
        if name in TAKEN_NAMES:
            yield f"a teacher cannot be called {name!r}; annotations and the ledger know somebody else by that name"
        unplayable = sorted(needs.teacher_roles - set(teacher.roles or needs.teacher_roles))
        if unplayable:
            yield f"it asks the teacher in the role {', '.join(unplayable)}; teacher={name} cannot play it"
        for role in sorted(needs.teacher_roles - set(unplayable)):
            prompts.fingerprint(role)
    if needs.teachers > len(cell.teachers):
        yield f"it asks {needs.teachers} different teachers; teacher={cell.teacher.name} is {len(cell.teachers)}"
    if cell.uses_assistant and cell.used_assistant is None:
        yield "it needs an assistant; give assistant=pretrained assistant.path=FOLDER"
    unasked = sorted(needs.student_roles - cell.method.format.roles)
    if unasked:
        known = ", ".join(sorted(cell.method.format.roles))
        yield f"it asks the student in the role {', '.join(unasked)}; this format knows {known}"
    unwritten = sorted(needs.annotation_kinds - cell.method.annotation.kinds)
    if unwritten:
        written = ", ".join(sorted(cell.method.annotation.kinds))
        yield f"it needs annotations of kind {', '.join(unwritten)}; this annotation writes {written}"


def _impossible_sizes(cell: Cell, splits: Splits) -> Iterator[str]:
    pool = covered_pool(cell, splits)
    wanted = cell.budget.questions
    if wanted is not None and wanted > len(pool):
        yield f"budget.questions={wanted}, but the pool has {len(pool)} questions"
    if cell.budget.calls is not None and pool:
        cheapest = min(cell.method.annotation.most_calls(example.without_gold()) for example in pool)
        if cheapest > cell.budget.calls:
            yield f"budget.calls={cell.budget.calls}, but one question may cost {cheapest} calls"
    if cell.evaluation.validation_size is not None and cell.evaluation.validation_size > len(splits.validation):
        yield (
            f"evaluation.validation_size={cell.evaluation.validation_size}, but the validation split has "
            f"{len(splits.validation)} questions"
        )


def _overlong_prompts(cell: Cell, splits: Splits) -> Iterator[str]:
    """One reason where prompts leave no room for an answer and the student's config says `refuse`."""
    from benchmark.student.encoding import Encoder

    student, form, task = cell.student, cell.method.format, cell.dataset.task
    if student.overlong != "refuse":
        return
    encoder = Encoder(student.tokenizer(), student.max_length, student.has_encoder())
    new_tokens = cell.evaluation.max_new_tokens or student.max_new_tokens
    limit = student.max_length - new_tokens

    def too_long(questions: Sequence[Question]) -> list[bool]:
        asks = [form.ask(question, role, task) for role in sorted(form.roles) for question in questions]
        lengths = [len(ids) for ids in encoder.prompts([ask.prompt for ask in asks])]
        by_role = [lengths[i : i + len(questions)] for i in range(0, len(lengths), len(questions))]
        return [max(of_question) > limit for of_question in zip(*by_role, strict=True)]

    seen = (*splits.pool, *splits.validation) if cell.method.trains() else ()
    overlong = splits.test.count(too_long) + (sum(too_long([row.without_gold() for row in seen])) if seen else 0)
    if overlong:
        yield (
            f"{overlong} prompts are longer than {limit} tokens, which is what the window of student={student.name} "
            f"(max_length={student.max_length}) leaves beside {new_tokens} new tokens; raise student.max_length, lower "
            "student.max_new_tokens, or cut and count with student.overlong=truncate"
        )
