"""What does not fit between the student, the frozen models and the data, and would train or read wrongly in silence.

Models whose tokens have other ids than the student's are refused (`benchmark.student.frozen`); what is found here may
be meant so, and is said in the plan and before a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from benchmark.cell.cell import Cell
from benchmark.cell.sources import source_of_distributions, student_download
from benchmark.contract import ASSISTANT
from benchmark.student.chat_template import in_chat
from benchmark.student.encoding import Encoder
from benchmark.student.frozen import FrozenModelSource, PretrainedAssistant
from benchmark.student.source import StudentSource

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAID = "benchmark"
"""A reply that a chat template is tried with; no template writes it by itself."""
MOST_SHOWN = 5
"""The most unknown characters that a line shows."""


@dataclass(frozen=True)
class Model:
    """A model of the cell with its tokenizer."""

    source: StudentSource | FrozenModelSource

    @property
    def label(self) -> str:
        """What messages call it, such as `student=tiny`."""
        return f"{self.source.slot}={self.source.name}"

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer, read once."""
        return self.source.tokenizer()

    @property
    def encoder(self) -> Encoder:
        """How its prompts are made."""
        return Encoder(self.tokenizer, self.source.max_length or 1, self.source.has_encoder())


def compatibility_lines(cell: Cell) -> list[str]:
    """One line per thing that does not fit, with what to do about it.

    Empty if a model is not on this machine yet: its tokenizer is not known.
    """
    if student_download(cell) is not None or not all(start.is_there() for start in cell.starts_from):
        return []
    student = Model(cell.student)
    compared, asked = _frozen(cell)
    lines = [*_unknown_characters(cell, student), *_control_tokens(cell, student)]
    for model in (student, *compared, *asked):
        lines += _chat_template(model)
    for model in compared:
        lines += [*_other_end(student, model), *_begins_in_trace(student, model)]
    return list(dict.fromkeys(lines))


def _frozen(cell: Cell) -> tuple[list[Model], list[Model]]:
    """(the models that the loss compares the student with, other models in this process that write texts)."""
    read = cell.needs.distributions
    compared = [Model(source_of_distributions(cell))] if cell.reads_teacher else []
    asked = [Model(source) for t in cell.asked_teachers.values() if (source := getattr(t, "source", None)) is not None]
    if isinstance(assistant := cell.used_assistant, PretrainedAssistant):
        (compared if ASSISTANT in read else asked).append(Model(assistant))
    return compared, asked


# --- models ----------------------------------------------------------------------------------------------------------


def _other_end(student: Model, model: Model) -> Iterator[str]:
    ours, theirs = student.tokenizer.eos_token, model.tokenizer.eos_token
    if ours != theirs:
        yield (
            f"{student.label} ends its targets with {ours!r}, and {model.label} ends its replies with {theirs!r}: at "
            "the end of every target the loss reads the probability of a token that the model does not use; give both "
            "the same eos_token in tokenizer_config.json, or choose two models of one kind"
        )


def _begins_in_trace(student: Model, model: Model) -> Iterator[str]:
    if model.encoder.begins_in_trace and not student.encoder.begins_in_trace:
        yield (
            f"the chat template of {model.label} opens a trace, and the targets of {student.label} have none: the loss "
            "reads what the model thinks where it should read what it replies; choose a model that does not think, or "
            "a template that closes the trace"
        )


def _chat_template(model: Model) -> Iterator[str]:
    """Whether a reply has a beginning and an end in the template as the engine uses it."""
    tokenizer = model.tokenizer
    if not tokenizer.chat_template:
        return
    question = [{"role": "user", "content": "1+1"}]
    try:
        plain = str(tokenizer.apply_chat_template(question, add_generation_prompt=False, tokenize=False))
        reply = {"role": "assistant", "content": SAID}
        talk = str(tokenizer.apply_chat_template([*question, reply], add_generation_prompt=False, tokenize=False))
    except MemoryError:
        raise
    except Exception:  # a template may refuse what the engine never asks of it
        return
    if in_chat(tokenizer, "1+1") == plain:
        yield (
            f"the chat template of {model.label} has no generation prompt: a reply would begin inside of the user's "
            "turn; write one for add_generation_prompt into the template"
        )
    end = talk.rpartition(SAID)[2].strip()
    if end and tokenizer.eos_token not in end:
        yield (
            f"the chat template of {model.label} ends a reply with {end!r}, and its tokenizer's EOS is "
            f"{tokenizer.eos_token!r}, with which targets end and replies are stopped; make the template's end the "
            "eos_token in tokenizer_config.json"
        )


# --- data ------------------------------------------------------------------------------------------------------------


def _unknown_characters(cell: Cell, student: Model) -> Iterator[str]:
    """Characters of the pool that the student's tokenizer has no token for: it reads them all as one."""
    unknown_id, texts = student.tokenizer.unk_token_id, _texts(cell)
    if unknown_id is None:
        return
    characters = sorted(set[str]().union(*map(set, texts)))
    rows = student.tokenizer(characters, add_special_tokens=False)["input_ids"] if characters else []
    unknown = {sign for sign, ids in zip(characters, rows, strict=True) if unknown_id in ids}
    if unknown:
        count = sum(not unknown.isdisjoint(text) for text in texts)
        shown = " ".join(map(repr, sorted(unknown)[:MOST_SHOWN])) + (" ..." if len(unknown) > MOST_SHOWN else "")
        yield (
            f"the tokenizer of {student.label} does not know {len(unknown)} characters of {cell.dataset.name} "
            f"({shown}), which stand in {count} of {len(texts)} questions and exemplars: it reads them all as "
            f"{student.tokenizer.unk_token!r}; choose a student that knows them"
        )


def _control_tokens(cell: Cell, student: Model) -> Iterator[str]:
    """Special tokens inside of questions: a chat template's text is read with them."""
    if not student.tokenizer.chat_template:
        return
    special, texts = set(student.tokenizer.all_special_tokens), _texts(cell)
    found = sorted(token for token in special if any(token in text for text in texts))
    if found:
        count = sum(any(token in text for token in found) for text in texts)
        yield (
            f"{count} of {len(texts)} questions and exemplars of {cell.dataset.name} hold special tokens of "
            f"{student.label} ({' '.join(map(repr, found[:MOST_SHOWN]))}), which its chat template reads as such; "
            "remove them from the data"
        )


def _texts(cell: Cell) -> Sequence[str]:
    """The questions of the pool as the student is shown them, and the exemplars with their reasons and answers."""
    task, dataset = cell.dataset.task, cell.dataset
    shown = [task.show(row.without_gold()) for row in dataset.load().pool]
    return [*shown, *(f"{task.show(each.as_question())} {each.rationale} {each.answer}" for each in dataset.exemplars)]
