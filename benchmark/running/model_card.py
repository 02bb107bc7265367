"""The card of an exported student: what it was made from, under which licences, and how to ask it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmark.cell.identity import precision_in
from benchmark.student.architecture import plain

if TYPE_CHECKING:
    from benchmark.cell.cell import Cell
    from benchmark.corridor import CellRun
    from benchmark.records.schema import CompleteRecord
    from benchmark.student.student import Student

UNKNOWN = "unknown"
HUB_LICENCES = {
    "Apache-2.0": "apache-2.0",
    "MIT": "mit",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
    "CC-BY-SA-3.0": "cc-by-sa-3.0",
}
"""Licences that our configs name by their identifier alone, and what the hub calls them."""


@dataclass(frozen=True)
class Source:
    """Something that went into the weights. `hub_id` is where it lies on the hub, `origin` any other place."""

    role: str
    name: str
    licence: str = UNKNOWN
    hub_id: str | None = None
    origin: str = ""


@dataclass(frozen=True)
class SampleRequest:
    """A real prompt, the text that the tokenizer makes tokens of, and Python that asks the exported folder for it."""

    prompt: str
    rendered: str
    code: str


def card_of(run: CellRun, record: CompleteRecord) -> str:
    """The card of a finished cell's student."""
    asked = run.meter.asked
    writers = {row.source for row in run.state.annotations}
    return model_card(record, [*sources(run.cell, asked)], writers, sample_request(run))


def sources(cell: Cell, asked: Iterable[str]) -> Iterator[Source]:
    """What this cell used: its dataset, the teachers that it asked or learnt from, its assistant, its first weights."""
    hub = getattr(cell.dataset, "hub", None)
    yield Source("dataset", cell.dataset.name, _licence(cell.dataset), hub.path if hub else None)
    first = next(iter(cell.teachers))
    own = cell.own_distribution_teacher
    shown = {first} if cell.reads_teacher and own is None else set()
    for name, teacher in cell.teachers.items():
        if name in {*asked, *shown}:
            yield _model("teacher", name, teacher)
    if own is not None:
        yield _model("teacher whose distributions it learnt from", own.name, own)
    if cell.used_assistant is not None:
        yield _model("assistant", cell.used_assistant.name, cell.used_assistant)
    yield _model("initial student", cell.student.name, cell.student)


def _model(role: str, name: str, model: Any) -> Source:
    path = getattr(model, "path", None)
    if path is None:
        return Source(role, name, _licence(model))
    if Path(path).is_dir():  # its name is nobody's business but its owner's
        return Source(role, name, _licence(model), origin="a local folder")
    return Source(role, name, _licence(model), path, f"{path}, revision {model.revision}")


def _licence(part: object) -> str:
    """What the part's config says; one of another package need not know of licences."""
    return str(getattr(part, "licence", UNKNOWN))


def sample_request(run: CellRun) -> SampleRequest:
    """An exemplar of the dataset, which occurs in no split, as the student is asked first at test."""
    cell, student = run.cell, run.student
    exemplars = cell.dataset.exemplars
    question = exemplars[0].as_question() if exemplars else run.pool[0].without_gold()
    form = cell.method.format
    request = form.request(question, form.answer_path[0], cell.dataset.task)
    [ids] = student.encoder.requests([request])
    new_tokens = request.max_new_tokens or cell.evaluation.max_new_tokens or student.max_new_tokens
    return SampleRequest(request.prompt, str(student.tokenizer.decode(ids)), _code(student, request.prompt, new_tokens))


def _code(student: Student, prompt: str, new_tokens: int) -> str:
    """Python that needs nothing but transformers."""
    architecture = type(plain(student.network)).__name__
    in_chat, has_encoder = bool(student.tokenizer.chat_template), student.encoder.prompt_apart
    text = "prompt" if has_encoder else 'prompt + "\\n"'
    if in_chat:
        turns = '[{"role": "user", "content": prompt}]'
        text = f"tokenizer.apply_chat_template({turns}, add_generation_prompt=True, tokenize=False)"
    written = "output[0]" if has_encoder else "output[0, inputs.shape[1] :]"
    return f"""import torch
from transformers import AutoTokenizer, {architecture}

folder = "."  # where this card lies
tokenizer = AutoTokenizer.from_pretrained(folder)
model = {architecture}.from_pretrained(folder)
prompt = {prompt!r}
text = {text}
inputs = tokenizer(text, return_tensors="pt", add_special_tokens={not in_chat}).input_ids
output = model.generate(inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens={new_tokens})
answer = tokenizer.decode({written}, skip_special_tokens=True)
"""


def model_card(record: CompleteRecord, used: Iterable[Source], writers: Iterable[str], example: SampleRequest) -> str:
    """Markdown behind the front matter that the hub reads."""
    used, test, rounds, origin = list(used), record.test[0], record.rounds, record.provenance
    facts = {
        "cell": f"`{record.cell_id}`",
        "method": record.method,
        "seed": record.seed,
        "code": origin.git.text if origin.git else UNKNOWN,
        "computed on": origin.computed_on or UNKNOWN,
        "annotated questions": rounds[-1].annotated if rounds else 0,
        "annotations by": ", ".join(map(_writer, sorted(writers))) or "nobody",
        f"test {test.metric}": f"{test.value:.3f} (n = {test.n})",
        "evaluated in": precision_in(record.identity),
    }
    return f"""---
{yaml.safe_dump(_front_matter(used), sort_keys=False, allow_unicode=True)}---
# {_one_line(record.method)} on {_one_line(record.dataset)}

A student of the distillation benchmark.

| what | value |
|---|---|
{_rows(facts.items())}

## Made from

| what | which | licence |
|---|---|---|
{_rows((source.role, _named(source), _shown_licence(source)) for source in used)}

Every one of these licences applies to these weights. They are what the configuration of the cell says; where it says
`unknown`, look before you publish.{_ancestors(record)}

## How to ask it

```python
{example.code}```

What the tokenizer makes tokens of, special tokens included: `{_one_line(repr(example.rendered))}`
{_notes(record)}"""


def _front_matter(used: list[Source]) -> dict[str, Any]:
    licences = {source.licence for source in used}
    only = HUB_LICENCES.get(licences.pop()) if len(licences) == 1 else None
    hub_ids = {role: [s.hub_id for s in used if s.hub_id and s.role == role] for role in ("initial student", "dataset")}
    return {
        "license": only or "other",
        "library_name": "transformers",
        **({"base_model": hub_ids["initial student"]} if hub_ids["initial student"] else {}),
        **({"datasets": hub_ids["dataset"]} if hub_ids["dataset"] else {}),
        "tags": ["distillation", "reasoning"],
    }


def _named(source: Source) -> str:
    origin = source.origin or source.hub_id
    return f"{source.name} ({origin})" if origin else source.name


def _shown_licence(source: Source) -> str:
    return f"unknown: see the page of the {source.role}" if source.licence == UNKNOWN else source.licence


def _writer(source: str) -> str:
    return "people (the dataset's own answers or rationales)" if source == "human" else source


def _ancestors(record: CompleteRecord) -> str:
    """Models that are themselves students of cells: their cards name more licences."""
    made = [f"the {row.slot} was made by cell `{row.cell_id}`" for row in record.prerequisites]
    return f"\n\nMoreover, {', '.join(made)}; what its card names applies too." if made else ""


def _notes(record: CompleteRecord) -> str:
    if not record.config["student"].get("lora"):
        return ""
    return (
        "\nTrained as low-rank adapters, which are merged into these weights: nothing but transformers is needed.\n"
        "Merging rounds, so that an answer near a tie may come out differently.\n"
    )


def _rows(rows: Iterable[Iterable[object]]) -> str:
    return "\n".join(f"| {' | '.join(_one_line(str(cell)) for cell in row)} |" for row in rows)


def _one_line(text: str) -> str:
    """The text inside of one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
