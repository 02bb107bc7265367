"""`study.json`: who rates which explanation of which method. It is for the researcher alone: it lifts the blinding."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.records.load import ResultsError
from analysis.study.assignment import Design, Slot, assign, questions_for
from analysis.study.items import Item, Material

PLAN_FILE = "study.json"
VERSION = 1


@dataclass(frozen=True)
class Page:
    """One page of a participant's questionnaire."""

    number: int
    """From 1 on, in the order shown."""
    item: str
    """The code of the explanation, or of the attention check."""
    asked_for: int | None
    """The rating that an attention check asks for; None for an explanation."""


@dataclass(frozen=True)
class Study:
    """Everything that was decided when the study was made."""

    id: str
    """Names the study in every file of it."""
    seed: int
    """Decided what is drawn."""
    design: Design
    """How large it is."""
    methods: tuple[str, ...]
    """The compared methods, in a fixed order."""
    items: Mapping[str, Item]
    """Code of an explanation -> the explanation and its method."""
    pages: Mapping[str, tuple[Page, ...]]
    """Participant's code -> the pages."""


def new_study(material: Material, design: Design, seed: int) -> Study:
    """A study of the material, the same for the same material, design and seed.

    Codes of explanations are drawn, so that they give away neither method nor record. Raises AssignmentError.
    """
    count = questions_for(design, len(material.methods), len(material.questions))
    generator = np.random.default_rng([seed, 3])
    questions = generator.permutation(list(material.questions)).tolist()[:count]
    methods = generator.permutation(list(material.methods)).tolist()  # so that no method is always the first
    codes = iter(_codes(generator, count * len(methods) + design.participants * design.attention_checks))
    code_of = {(method, question): next(codes) for question in questions for method in methods}
    width = len(str(design.participants))
    pages = {
        f"p{person + 1:0{width}d}": tuple(_page(number, slot, methods, questions, code_of, codes) for number, slot in
                                          enumerate(slots, start=1))
        for person, slots in enumerate(assign(design, len(methods), count, seed))
    }  # fmt: skip
    items = {code: material.items[key] for key, code in sorted(code_of.items(), key=lambda pair: pair[1])}
    content = json.dumps([[asdict(item) for item in items.values()], list(items), asdict(design), seed])
    return Study(hashlib.sha256(content.encode()).hexdigest()[:12], seed, design, material.methods, items, pages)


def write_study(study: Study, path: Path) -> None:
    """Writes the file. Raises FileExistsError if there is one."""
    with path.open("x", encoding="utf-8") as file:
        json.dump({"version": VERSION, **asdict(study)}, file, indent=1, ensure_ascii=False)


def read_study(folder: Path) -> Study:
    """The study in a folder. Raises ResultsError if there is none, or it cannot be read."""
    path = folder / PLAN_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultsError(
            f"{folder} holds no {PLAN_FILE}: make a study with `python -m analysis study create`"
        ) from None
    except ValueError as error:
        raise ResultsError(f"{path} is damaged: {error}") from error
    if raw.get("version") != VERSION:
        raise ResultsError(f"{path} has version {raw.get('version')!r}; this program reads version {VERSION}")
    return Study(
        id=raw["id"],
        seed=raw["seed"],
        design=Design(**raw["design"]),
        methods=tuple(raw["methods"]),
        items={code: _item(item) for code, item in raw["items"].items()},
        pages={person: tuple(Page(**page) for page in pages) for person, pages in raw["pages"].items()},
    )


def _codes(generator: np.random.Generator, count: int) -> list[str]:
    """Different codes of eight hexadecimal digits."""
    found: dict[str, None] = {}
    while len(found) < count:
        found[f"{generator.integers(16**8):08x}"] = None
    return list(found)


def _page(
    number: int,
    slot: Slot,
    methods: Sequence[str],
    questions: Sequence[str],
    code_of: Mapping[tuple[str, str], str],
    spare_codes: Iterator[str],
) -> Page:
    if slot.asked_for is not None:
        return Page(number, next(spare_codes), slot.asked_for)
    return Page(number, code_of[methods[slot.method], questions[slot.question]], None)


def _item(raw: Mapping[str, Any]) -> Item:
    return Item(**{**raw, "choices": None if raw["choices"] is None else tuple(raw["choices"])})
