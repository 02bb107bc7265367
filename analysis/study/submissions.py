"""Reads filled questionnaires; what cannot be used is kept aside with its file, its row and the reason."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.records.load import ResultsError
from analysis.study.constructs import HIGHEST, LOWEST, NAMES, QUALITY
from analysis.study.plan_file import Page, Study

RATING_COLUMNS = (
    "participant",
    "page",
    "item",
    "method",
    "example_id",
    "cell_id",
    "length",
    *NAMES,
    QUALITY,
    "seconds",
)
"""The columns of the ratings that are used: one row per person and explanation. `length` is in characters."""
ASIDE_COLUMNS = ("file", "row", "participant", "reason", "content")
JSON_VERSION = 1


@dataclass(frozen=True)
class Aside:
    """A row, or a whole file, that is not used."""

    file: str
    """The file's name."""
    row: str
    """The page of a saved questionnaire, or the line of a table; empty for a whole file."""
    participant: str
    """The participant's code, as far as it is known."""
    reason: str
    """Why it is not used."""
    content: str
    """The row as it was read, as JSON."""


@dataclass(frozen=True)
class Ratings:
    """The ratings that are used, and the rest."""

    used: pd.DataFrame
    """One row per person and explanation, with the columns `RATING_COLUMNS`."""
    aside: tuple[Aside, ...]
    """All that is not used."""
    forms: Mapping[str, int]
    """Participant -> how many explanations that person rated; 0 where all is kept aside."""


@dataclass(frozen=True)
class _Form:
    """What one person filled in, in one file."""

    file: str
    participant: str
    saved_at: str
    rows: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def read_ratings(study: Study, folder: Path, keep_inattentive: bool = False) -> Ratings:
    """Reads every `*.json` and `*.csv` in a folder.

    Where a person handed in twice, the form that was saved first counts. Tables have no time, and count after saved
    forms, in the order of their names.

    Args:
        study: the study that was filled in.
        folder: where the filled forms are.
        keep_inattentive: also uses forms that missed an attention check.

    Raises:
        ResultsError: if the folder holds no such file.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix in (".json", ".csv")) if folder.is_dir() else []
    if not files:
        raise ResultsError(f"{folder} holds no *.json or *.csv with ratings")
    forms: list[_Form] = []
    aside: list[Aside] = []
    for path in files:
        try:
            forms.extend(_json_forms(path, study) if path.suffix == ".json" else _csv_forms(path))
        except _Unreadable as error:
            aside.append(Aside(path.name, "", "", str(error), ""))
    forms.sort(key=lambda form: (form.saved_at == "", form.saved_at, form.file))
    used: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for form in forms:
        wrong = _whole_form_problem(form, study, counts, keep_inattentive)
        if wrong is not None:
            aside.extend(Aside(form.file, row, form.participant, wrong, _json(content)) for row, content in form.rows)
            if form.participant in study.pages:
                counts.setdefault(form.participant, 0)
            continue
        good, bad = _checked(form, study)
        used.extend(good)
        aside.extend(bad)
        counts[form.participant] = len(good)
    return Ratings(pd.DataFrame(used, columns=list(RATING_COLUMNS)), tuple(aside), counts)


class _Unreadable(Exception):
    """A file cannot be read; the message says why."""


def _json_forms(path: Path, study: Study) -> list[_Form]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _Unreadable(f"is no whole JSON file: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("ratings"), list):
        raise _Unreadable("is no saved questionnaire: it has no list `ratings`")
    if raw.get("version") != JSON_VERSION:
        raise _Unreadable(f"has version {raw.get('version')!r}; this program reads version {JSON_VERSION}")
    if raw.get("study") != study.id:
        raise _Unreadable(f"belongs to the study {raw.get('study')!r}, not to {study.id!r}")
    form = _Form(path.name, str(raw.get("participant")), str(raw.get("saved_at") or ""))
    for number, row in enumerate(raw["ratings"], start=1):
        form.rows.append((str(number), row if isinstance(row, dict) else {"": row}))
    return [form]


def _csv_forms(path: Path) -> list[_Form]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = [(str(reader.line_num), dict(row)) for row in reader]
            columns = reader.fieldnames or []
    except (ValueError, csv.Error) as error:
        raise _Unreadable(f"is no table in UTF-8: {error}") from error
    lacking = [name for name in ("participant", "item", *NAMES) if name not in columns]
    if lacking:
        raise _Unreadable(f"has no column {', '.join(lacking)}; ratings.csv of the study shows the columns")
    forms: dict[str, _Form] = {}
    for line, row in rows:
        person = (row["participant"] or "").strip()
        forms.setdefault(person, _Form(path.name, person, "")).rows.append((line, row))
    return list(forms.values())


def _whole_form_problem(form: _Form, study: Study, counts: Mapping[str, int], keep_inattentive: bool) -> str | None:
    if form.participant not in study.pages:
        return f"there is no participant {form.participant!r} in this study"
    if form.participant in counts:
        return f"{form.participant} has handed in before; the form that was saved first counts"
    if keep_inattentive:
        return None
    return _missed_check(form, study.pages[form.participant])


def _missed_check(form: _Form, pages: Sequence[Page]) -> str | None:
    wanted = {page.item: page.asked_for for page in pages if page.asked_for is not None}
    for _, row in form.rows:
        asked_for = wanted.get(_text(row.get("item")))
        given = [_rating(row.get(name)) for name in NAMES]
        if asked_for is not None and any(value not in (None, asked_for) for value in given):
            shown = ", ".join("nothing" if value is None else str(value) for value in given)
            return f"missed the attention check on page {row.get('page')}: asked for {asked_for}, chose {shown}"
    return None


def _checked(form: _Form, study: Study) -> tuple[list[dict[str, Any]], list[Aside]]:
    """(the rows that can be used, the others)."""
    pages = {page.item: page for page in study.pages[form.participant]}
    good: list[dict[str, Any]] = []
    bad: list[Aside] = []
    seen: set[str] = set()
    for number, row in form.rows:
        code = _text(row.get("item"))
        reason = _row_problem(code, row, pages, seen, form.participant)
        seen.add(code)
        if reason is not None:
            bad.append(Aside(form.file, number, form.participant, reason, _json(row)))
        elif pages[code].asked_for is None:
            good.append(_used(study, form.participant, pages[code], row))
    return good, bad


def _row_problem(
    code: str, row: Mapping[str, Any], pages: Mapping[str, Page], seen: Iterable[str], participant: str
) -> str | None:
    if code not in pages:
        return f"the item {code!r} was not shown to {participant}"
    if code in seen:
        return f"the item {code!r} is rated twice; the first row counts"
    if pages[code].asked_for is not None:
        return None
    missing = [name for name in NAMES if _text(row.get(name)) == ""]
    if missing:
        return f"half filled: no rating of {', '.join(missing)}"
    wrong = [name for name in NAMES if _rating(row[name]) is None]
    if wrong:
        return f"{wrong[0]} is {row[wrong[0]]!r}: no whole number from {LOWEST} to {HIGHEST}"
    return None


def _used(study: Study, participant: str, page: Page, row: Mapping[str, Any]) -> dict[str, Any]:
    item = study.items[page.item]
    ratings = {name: _rating(row[name]) for name in NAMES}
    return {
        "participant": participant,
        "page": page.number,
        "item": page.item,
        "method": item.method,
        "example_id": item.example_id,
        "cell_id": item.cell_id,
        "length": len(item.explanation),
        **ratings,
        QUALITY: sum(value or 0 for value in ratings.values()) / len(ratings),
        "seconds": _seconds(row.get("seconds")),
    }


def _rating(value: Any) -> int | None:
    """The rating that a cell holds; None if it is empty or no whole number of the scale."""
    if isinstance(value, bool):
        return None
    try:
        number = float(_text(value))
    except ValueError:
        return None
    return int(number) if number.is_integer() and LOWEST <= number <= HIGHEST else None


def _seconds(value: Any) -> float | None:
    try:
        return float(_text(value))
    except ValueError:
        return None


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, default=str)
