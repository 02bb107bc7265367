"""Checks before any work: requirements are met, files exist, the budget allows a question, results can be written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmark.buying.purchase import HUMAN
from benchmark.cell.cell import Cell
from benchmark.cell.round_steps import planned_rounds, planned_steps
from benchmark.cell.sources import covered_pool, source_of_distributions, student_download
from benchmark.cell.starting_cells import missing_prerequisite
from benchmark.contract import ASSISTANT, STUDENT, ExplainingFormat, Format, SettingCurriculum, Task
from benchmark.errors import ConfigError, DataError
from benchmark.planning.expected_cost import REHEARSED_ROUNDS
from benchmark.planning.fitting_options import annotations_with, explaining_formats, formats_with
from benchmark.planning.impossible_measures import impossible_measures
from benchmark.planning.worst_case import WorstCases, annotation_context
from benchmark.records.catalog import refuse_unwritable, refuse_write_protected
from benchmark.records.prerequisites import prerequisites
from benchmark.student.frozen import PretrainedAssistant, refuse_other_vocabulary
from benchmark.student.hardware import device_of, refuse_more_devices
from benchmark.tasks.dataset import Dataset, Splits, TestSplit
from benchmark.teachers.assistants import RecordedAssistant
from benchmark.teachers.database import open_database
from benchmark.teachers.prompts import prompt_library_for
from benchmark.types import Question, Round

TAKEN_NAMES = (STUDENT, ASSISTANT, HUMAN)


def check(cell: Cell) -> None:
    """Raises ConfigError with all reasons why the cell cannot run; ModelError where a model cannot be used.

    Makes the results folder, and the teacher store if the cell needs one.
    """
    _refuse_impossible(cell)
    refuse_unwritable(Path(cell.results_dir))
    if cell.needs_store:
        open_database(cell.store).close()


def check_annotate_ahead(cell: Cell) -> None:
    """Raises ConfigError with all reasons why the cell's annotations cannot be bought ahead of time.

    Does not need the student. Makes the teacher store if the cell needs one.
    """
    for start in cell.missing_prerequisites:
        if any(not setting.startswith("student.") for setting in start.settings):
            raise missing_prerequisite(start)
    _refuse(cell, [*_reasons(cell)])
    if cell.needs_store:
        refuse_unwritable(Path(cell.results_dir))
        open_database(cell.store).close()


def check_without_trace(cell: Cell) -> None:
    """The same as `check`, but writes and downloads nothing.

    If a model is not on this machine yet, because a run downloads it or because another cell makes it, checks that need
    its tokenizer or weights are left out.
    """
    if cell.missing_prerequisites:
        check_before_prerequisites(cell)
    elif student_download(cell) is None:
        _refuse_impossible(cell)
    else:
        _check_machine(cell)
        _refuse(cell, [*_reasons(cell)])
    refuse_write_protected(Path(cell.results_dir))


def check_before_prerequisites(cell: Cell) -> None:
    """What can be checked of a cell before the cells have run that it starts from. Raises ConfigError."""
    _check_machine(cell)
    settings = [setting for start in cell.missing_prerequisites for setting in start.settings]
    if not any(setting.startswith("teacher") for setting in settings):  # a teacher answers from its model alone
        _refuse(cell, [*_reasons(cell)])


def _refuse_impossible(cell: Cell) -> None:
    cell.student.check()
    cell.student.fingerprint()  # its weights must be there
    _check_other_models(cell)
    prerequisites(cell.model_paths)  # the record beside a model that a cell made must be readable
    _check_machine(cell)
    _refuse(cell, [*_reasons(cell), *_overlong_prompts(cell, cell.dataset.load(), _extra_tests(cell))])


def _check_machine(cell: Cell) -> None:
    cell.logger.check()
    if cell.trainer.accelerator not in ("auto", "cpu"):
        device_of(cell.trainer.accelerator)
    refuse_more_devices(cell.trainer.accelerator, cell.trainer.devices)


def _reasons(cell: Cell) -> Iterator[str]:
    splits = cell.dataset.load()
    if cell.method.trains():
        unmet = [*_unmet(cell, splits)]
        yield from unmet
        yield from _untrainable(cell)
        yield from _impossible_sizes(cell, splits)
        if not unmet:  # otherwise it is unknown what would be asked
            yield from _unaffordable(cell, splits)
            yield from _begun_replies(cell, splits)
    yield from _unknown_roles(cell.method.format)
    extra = _extra_tests(cell)
    yield from _unaskable(cell, extra)
    yield from impossible_measures(cell, splits, extra)


def _refuse(cell: Cell, reasons: Sequence[str]) -> None:
    if reasons:
        raise ConfigError(f"{cell.method.name} on {cell.dataset.name}: " + "; ".join(reasons))


def _check_other_models(cell: Cell) -> None:
    """Raises ModelError if the assistant or the teacher for distributions is absent or has another vocabulary."""
    if (assistant := cell.used_assistant) is not None:
        if isinstance(assistant, PretrainedAssistant):
            assistant.check()
            assistant.fingerprint()
            if ASSISTANT in cell.needs.distributions:
                refuse_other_vocabulary(cell.student, assistant)
        else:
            assistant.check_assistant(cell.dataset)
    if cell.reads_teacher:
        source = source_of_distributions(cell)
        source.check()
        source.fingerprint()
        refuse_other_vocabulary(cell.student, source)


def _unmet(cell: Cell, splits: Splits) -> Iterator[str]:
    """One reason per requirement that the cell does not meet."""
    needs = cell.needs
    if needs.choices and not all(example.choices for example in splits.pool):
        yield "it works for multiple-choice questions only"
    if needs.gold_rationale and not any(example.rationale for example in splits.pool):
        yield "it needs human rationales, and the dataset has none"
    prompts = prompt_library_for(cell.method.parts)
    for role in sorted(needs.assistant_roles):
        prompts.fingerprint(role)
    for name, teacher in cell.teachers.items():
        if name in TAKEN_NAMES:
            yield f"a teacher cannot be called {name!r}; annotations and the ledger use that name for another source"
        unplayable = sorted(needs.teacher_roles - set(teacher.roles or needs.teacher_roles))
        if unplayable:
            yield f"it asks the teacher in the role {', '.join(unplayable)}; teacher={name} cannot answer in that role"
        for role in sorted(needs.teacher_roles - set(unplayable)):
            prompts.fingerprint(role)
        if cell.budget.counts_tokens and not teacher.capabilities.caps_replies:
            yield (
                f"teacher={name} is sent no cap of tokens (teacher.parameter_names.max_tokens=null), so that a budget "
                "in tokens or dollars cannot be kept; give budget.questions or budget.calls"
            )
        if needs.teacher_probabilities and not teacher.capabilities.shows_probabilities:
            yield (
                f"it reads the teacher's probabilities, but teacher={name} answers in text only; choose "
                "teacher=transformers teacher.path=FOLDER"
            )
    if needs.teachers > len(cell.teachers):
        yield f"it asks {needs.teachers} different teachers; teacher={cell.teacher.name} is {len(cell.teachers)}"
    if cell.uses_assistant and cell.used_assistant is None:
        yield (
            "it needs an assistant; give assistant=pretrained assistant.path=FOLDER, assistant=recorded, or "
            "assistant=simulated for a generated dataset"
        )
    if needs.explanations and not isinstance(cell.method.format, ExplainingFormat):
        yield (
            f"it asks the student for explanations, and format {type(cell.method.format).__name__} has no "
            f"`explanation_path`; choose format={' or format='.join(explaining_formats(cell, splits))}"
        )
    yield from _unfit_assistant(cell)
    unasked = sorted(needs.student_roles - cell.method.format.roles)
    if unasked:
        known = ", ".join(sorted(cell.method.format.roles))
        able = formats_with(cell, splits, needs.student_roles)
        advice = f"; choose format={' or format='.join(able)}" if able else ""
        yield f"it asks the student in the role {', '.join(unasked)}; this format knows {known}{advice}"
    unwritten = sorted(needs.annotation_kinds - cell.method.annotation.kinds)
    if unwritten:
        written = ", ".join(sorted(cell.method.annotation.kinds))
        able = annotations_with(needs.annotation_kinds)
        advice = f"; choose annotation={' or annotation='.join(able)}" if able else ""
        yield f"it needs annotations of kind {', '.join(unwritten)}; this annotation writes {written}{advice}"


def _untrainable(cell: Cell) -> Iterator[str]:
    """One reason if the loss refuses the terms of the format: in training it would be too late, after the purchase.

    Another one per setting of the loss that a stage of the curriculum would give a value which the loss refuses.
    """
    loss, form, curriculum = cell.method.loss, cell.method.format, cell.method.curriculum
    try:
        loss.terms(form.terms(), loss.settings)
    except ValueError as error:
        yield f"loss {type(loss).__name__} cannot train what format {type(form).__name__} makes: {error}"
        return
    of_stages = curriculum.stage_settings if isinstance(curriculum, SettingCurriculum) else {}
    for name in sorted(of_stages.keys() & loss.settings.keys()):
        for value in of_stages[name]:
            try:
                loss.terms(form.terms(), {**loss.settings, name: value})
            except ValueError as error:
                yield f"curriculum {type(curriculum).__name__} would train a stage with {name}={value}: {error}"
                break


def _unknown_roles(form: Format) -> Iterator[str]:
    """One reason per path of the format with a role that its `request` cannot make a prompt for."""
    for name in ("answer_path", "explanation_path"):
        unknown = [role for role in getattr(form, name, ()) if role not in form.roles]
        if unknown:
            roles = ", ".join(unknown)
            yield f"{name} of format {type(form).__name__} asks in the role {roles}, which is not in its `roles`"


def _unfit_assistant(cell: Cell) -> Iterator[str]:
    """One reason per requirement that an assistant without weights cannot meet."""
    needs, assistant = cell.needs, cell.used_assistant
    if assistant is None or isinstance(assistant, PretrainedAssistant):
        return
    if ASSISTANT in needs.distributions:
        yield (
            f"its loss compares the student with the assistant's distribution, but assistant={assistant.name} writes "
            "text only; choose assistant=pretrained assistant.path=FOLDER"
        )
    if needs.assistant_verdicts and isinstance(assistant, RecordedAssistant):
        yield (
            f"it asks the assistant how probable a verdict is, which the recording assistant={assistant.name} does not "
            "hold; choose selection/judge=agreement and weighting/judge=agreement, or another assistant"
        )
    if needs.assistant_likelihoods:
        yield (
            f"it asks the assistant how probable a text is, which assistant={assistant.name} has no weights to say; "
            "choose assistant=pretrained assistant.path=FOLDER, or another judge"
        )
    unplayable = sorted(needs.assistant_roles - set(assistant.roles))
    if unplayable:
        yield (
            f"it asks the assistant in the role {', '.join(unplayable)}; assistant={assistant.name} cannot answer in "
            "that role"
        )


def _extra_tests(cell: Cell) -> list[tuple[Dataset, TestSplit]]:
    """The sealed test sets of `evaluation.extra`. Raises DataError if one cannot be loaded."""
    tests = []
    for dataset in cell.extra_datasets:
        try:
            tests.append((dataset, dataset.load().test))
        except DataError as error:
            raise DataError(f"evaluation.extra, {dataset.name}: {error}") from error
    return tests


def _unaskable(cell: Cell, extra: Sequence[tuple[Dataset, TestSplit]]) -> Iterator[str]:
    """One reason per test set of `evaluation.extra` whose questions the format cannot ask."""
    if not cell.method.format.requires().choices:
        return
    for dataset, test in extra:
        if test.count(lambda questions: [not question.choices for question in questions]):
            yield (
                "its format works for multiple-choice questions only, but questions of "
                f"evaluation.extra={dataset.name} have no choices"
            )


def _impossible_sizes(cell: Cell, splits: Splits) -> Iterator[str]:
    try:
        planned_steps(cell.method.schedule, cell.optimization.max_steps)
    except ValueError as error:
        yield str(error)
    pool = covered_pool(cell, splits)
    wanted = cell.budget.questions
    if wanted is not None and wanted > len(pool):
        yield f"budget.questions={wanted}, but the pool has {len(pool)} questions"
    if cell.evaluation.validation_size is not None and cell.evaluation.validation_size > len(splits.validation):
        yield (
            f"evaluation.validation_size={cell.evaluation.validation_size}, but the validation split has "
            f"{len(splits.validation)} questions"
        )


def _unaffordable(cell: Cell, splits: Splits) -> Iterator[str]:
    """One reason per limit of the budget that the worst case of every question in the pool exceeds."""
    limits = cell.budget.limits
    if not limits.keys() - {"questions"}:
        return
    if (
        cell.budget.usd is not None
        and cell.asks_teacher
        and all(teacher.price.is_free for teacher in cell.teachers.values())
    ):
        yield f"budget.usd={cell.budget.usd} limits nothing, since teacher.price is 0; give the price, or another limit"
    worst = WorstCases(cell, splits)
    cheapest = dict.fromkeys(limits, math.inf)
    for example in covered_pool(cell, splits):
        most = worst.of(example.without_gold())
        if not cell.budget.exceeded(most):
            return
        cheapest = {unit: min(cost, getattr(most, unit)) for unit, cost in cheapest.items()}
    for unit, cost in cheapest.items():
        if limits[unit] < cost < math.inf:
            amount = f"{cost:.2g} US dollars" if unit == "usd" else f"{cost} {unit}"
            yield f"budget.{unit}={limits[unit]}, but the cheapest question may cost {amount}"


def _begun_replies(cell: Cell, splits: Splits) -> Iterator[str]:
    """One reason if the method gives the beginning of a reply to a teacher that cannot continue one."""
    chats = {name for name, teacher in cell.teachers.items() if not teacher.capabilities.continues_replies}
    pool = covered_pool(cell, splits) if chats else ()
    if pool:
        rounds: Sequence[Round | None] = planned_rounds(cell.method.schedule) or (None,)
        contexts = [annotation_context(cell, splits, round_) for round_ in rounds[:REHEARSED_ROUNDS]]
        planned = [
            request
            for context in contexts
            for request in cell.method.annotation.most_requests(pool[0].without_gold(), context)
        ]
        begun = sorted({request.request.role for request in planned if request.who in chats and request.request.prefix})
        if begun:
            yield (
                f"a chat cannot continue a reply that is begun, which the prompt {', '.join(begun)} asks for; choose "
                "teacher.api=completions, or an annotation that begins its replies in the prompt (annotation.begin_in)"
            )


def _overlong_prompts(cell: Cell, splits: Splits, extra: Sequence[tuple[Dataset, TestSplit]]) -> Iterator[str]:
    """With `student.overlong=refuse`, one reason per dataset with prompts that leave no room for an answer."""
    from benchmark.student.encoding import Encoder

    student, form = cell.student, cell.method.format
    if student.overlong != "refuse":
        return
    encoder = Encoder(student.tokenizer(), student.max_length, student.has_encoder())
    new_tokens = cell.evaluation.max_new_tokens or student.max_new_tokens
    limit = student.max_length - new_tokens

    def too_long(task: Task, questions: Sequence[Question]) -> list[bool]:
        requests = [form.request(question, role, task) for role in sorted(form.roles) for question in questions]
        lengths = [len(ids) for ids in encoder.prompts([request.prompt for request in requests])]
        by_role = [lengths[i : i + len(questions)] for i in range(0, len(lengths), len(questions))]
        return [max(of_question) > limit for of_question in zip(*by_role, strict=True)]

    own = partial(too_long, cell.dataset.task)
    seen = (*splits.pool, *splits.validation) if cell.method.trains() else ()
    overlong = {"": splits.test.count(own) + (sum(own([row.without_gold() for row in seen])) if seen else 0)}
    for dataset, test in extra:
        overlong[f" of evaluation.extra={dataset.name}"] = test.count(partial(too_long, dataset.task))
    for whose, count in overlong.items():
        if count:
            yield (
                f"{count} prompts{whose} are longer than {limit} tokens: the window of student={student.name} "
                f"(max_length={student.max_length}) must also hold {new_tokens} new tokens; raise student.max_length, "
                "lower student.max_new_tokens, or give student.overlong=truncate, which cuts prompts and counts them"
            )
