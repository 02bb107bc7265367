"""docs/reading-results.md names every column and field that a real cell leaves behind, and nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import re
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.output.columns import COLUMNS, headings
from analysis.output.render import FAILED_COLUMNS, to_csv
from analysis.output.status import build_status, status_json
from analysis.output.tables import build_table
from analysis.records.load import load_records
from benchmark.console.progress import show_nothing
from benchmark.records.schema import CompleteRecord, LedgerEntry, Manifest, RecordPart, parse_record
from tests.records.small_records import failed_record

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reading-results.md").read_text(encoding="utf-8")
METHODS = (
    (
        "method=step_by_step_human_labels",
        "schedule=three_rounds_restarted",
        "evaluation.samples=4",
        "evaluation.extra=[chain_sum_long]",
        "evaluation.explanation_questions=3",
    ),
    ("method=untrained",),
)
TABLES = ("predictions", "samples", "explanations", "annotations", "picks", "stages")


class Silent:
    """Shows nothing."""

    def say(self, state: str) -> None:
        """Says nothing."""

    def bar(self, description: str, total: int | None) -> Any:
        """Shows nothing."""
        return contextlib.nullcontext(show_nothing)


def named(heading: str) -> dict[str, str]:
    """The first column of the page's table with this heading -> its second column."""
    [table] = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", table, re.MULTILINE)
    assert len(rows) == len(table.splitlines()) == len(dict(rows))
    return dict(rows)


FIELDS, ENTRY = named("field"), named("field of a ledger entry")


@pytest.fixture(scope="module")
def folder(cell: Callable[..., Any], miniature: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `results` hold a cell with all that a cell can have, an untrained one and a failed one."""
    from benchmark.run_cell import run_cell

    place = tmp_path_factory.mktemp("reading")
    for overrides in METHODS:
        done = run_cell(cell((*miniature, *overrides, f"results_dir={place / 'results'}")), Silent())
        assert done.status == "complete", done.message
    (place / "results" / "failed").mkdir()
    (place / "results" / "failed" / "record.json").write_text(json.dumps(failed_record("failed").as_json()))
    return place


@pytest.fixture(scope="module")
def records(folder: Path) -> list[CompleteRecord]:
    """The records of the finished cells, the trained one first."""
    read = [parse_record(json.loads(path.read_text())) for path in folder.glob("results/*/record.json")]
    finished = [record for record in read if isinstance(record, CompleteRecord)]
    return sorted(finished, key=lambda record: -len(record.rounds))


# --- record.json and manifests ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    """A field of a schema: its path on the page, and whether it may be null."""

    path: str
    may_be_null: bool


def fields_of(model: type[RecordPart], prefix: str = "") -> Iterator[Field]:
    """All fields of a model and of what it holds; a ledger entry is described once, so its own are left out."""
    for name, info in model.model_fields.items():
        parts = list(_parts(info.annotation))
        own = next((mark for mark, _ in parts), "")
        yield Field(f"{prefix}{name}{own}", type(None) in typing.get_args(info.annotation))
        for mark, part in parts:
            if part is not LedgerEntry:
                yield from fields_of(part, f"{prefix}{name}{mark}.")


def _parts(annotation: Any) -> Iterator[tuple[str, type[RecordPart]]]:
    """The models inside of a type, with the mark of their place: `[]` in a list, `.*` in an object."""
    if isinstance(annotation, type) and issubclass(annotation, RecordPart):
        yield "", annotation
        return
    mark = {tuple: "[]", dict: ".*"}.get(typing.get_origin(annotation), "")  # type: ignore[call-overload]
    for inner in typing.get_args(annotation):
        yield from ((mark + deeper, part) for deeper, part in _parts(inner))


def test_the_page_names_every_field_of_the_schema_and_no_other() -> None:
    assert list(FIELDS) == [field.path for field in fields_of(CompleteRecord)]
    assert list(ENTRY) == list(LedgerEntry.model_fields)
    assert named("field of a manifest").keys() == {field.path for field in fields_of(Manifest)}
    assert {*FIELDS.values(), *ENTRY.values()} <= {"always", "may be null", "may be absent"}


def test_what_may_be_null_may_be_so_in_the_schema() -> None:
    nullable = {field.path for field in fields_of(CompleteRecord) if field.may_be_null}
    assert {path for path, value in FIELDS.items() if value == "may be null"} <= nullable


@dataclass(frozen=True)
class Found:
    """A field of a real object: its path as the page writes it, and its value."""

    path: str
    value: Any


def found_in(part: RecordPart, prefix: str = "") -> Iterator[Found]:
    """Every field that is written of a part, those of ledger entries by their name alone."""
    assert not part.model_extra, f"the schema lacks {sorted(part.model_extra or {})} of {prefix}"
    for name, value in part.set_fields().items():
        inner, mark = _inner(value, part.__class__.model_fields[name].annotation)
        yield Found(f"{prefix}{name}{mark}", value)
        for each in inner:
            yield from found_in(each, "" if isinstance(each, LedgerEntry) else f"{prefix}{name}{mark}.")


def _inner(value: Any, annotation: Any) -> tuple[list[RecordPart], str]:
    mark = next((mark for mark, _ in _parts(annotation)), "")
    if not mark:
        return ([value] if isinstance(value, RecordPart) else []), ""
    return list(value) if mark == "[]" else list(value.values()), mark


def test_the_page_names_every_field_of_a_real_record(records: list[CompleteRecord]) -> None:
    on_page = {**FIELDS, **ENTRY}
    seen = [found for record in records for found in found_in(record)]
    assert {found.path for found in seen} <= set(on_page)
    assert {found.path for found in seen if found.value is None} <= {
        path for path, value in on_page.items() if value == "may be null"
    }


def test_what_the_page_says_is_always_there_is_there(records: list[CompleteRecord]) -> None:
    """Below a part that is there itself."""
    for record in records:
        for part, prefix in _all_parts(record):
            promised = ENTRY if isinstance(part, LedgerEntry) else _below(prefix)
            optional = {name for name, value in promised.items() if value == "may be absent"}
            assert promised.keys() - optional <= part.model_fields_set, prefix
    trained, untrained = records
    assert trained.rounds
    assert "questions_seen_in_pool" not in untrained.test[0].model_fields_set
    assert "teacher_traffic" not in untrained.model_fields_set


def _all_parts(part: RecordPart, prefix: str = "") -> Iterator[tuple[RecordPart, str]]:
    yield part, prefix
    for name, value in part.set_fields().items():
        inner, mark = _inner(value, part.__class__.model_fields[name].annotation)
        for each in inner:
            yield from _all_parts(each, f"{prefix}{name}{mark}.")


def _below(prefix: str) -> dict[str, str]:
    """The page's fields of one part, by name."""
    below = {path.removeprefix(prefix): value for path, value in FIELDS.items() if path.startswith(prefix)}
    names = {path.removesuffix(".*").removesuffix("[]"): value for path, value in below.items()}
    return {name: value for name, value in names.items() if not {".", "["} & set(name)}


def test_a_failed_record_has_the_fields_that_the_page_says() -> None:
    names = list(dict.fromkeys(re.split(r"[.\[]", path)[0] for path in FIELDS))
    expected = {*names[: names.index("error") + 1], "files"}
    assert set(failed_record().__class__.model_fields) == expected


# --- tables -----------------------------------------------------------------------------------------------------------


def test_the_page_names_every_column_of_the_table(folder: Path) -> None:
    table = build_table(load_records(folder / "results"))
    assert list(named("column")) == [column.name for column in COLUMNS]
    shown = {column for block in table.blocks for column in headings(block)}
    assert {column.replace("accuracy %", "METRIC %") for column in shown} <= set(named("column"))
    assert tuple(named("column of failed cells")) == FAILED_COLUMNS
    assert list(pd.read_csv(io.StringIO(to_csv(table))).columns) == list(named("column of csv"))


def test_the_page_names_every_key_of_the_status(folder: Path) -> None:
    status = status_json(build_status(load_records(folder / "results")))
    rows = named("key of status")
    assert list(status) == list(rows)
    assert list(status["cells"][0]) == re.findall(r"`(\w+)`", rows["cells"])


@pytest.mark.parametrize("name", TABLES)
def test_the_page_names_every_column_of_a_parquet_file(name: str, folder: Path, records: list[CompleteRecord]) -> None:
    cell = folder / "results" / records[0].cell_id
    files = sorted(cell.glob(f"{name}*.parquet"))
    assert len(files) == (2 if name == "predictions" else 1)
    for file in files:
        assert list(pd.read_parquet(file).columns) == list(named(f"column of {name}"))
    names = {path.stem.partition("-")[0] for path in cell.glob("*.parquet")}
    assert names == set(TABLES)


def test_what_lies_in_a_folder_is_named(folder: Path) -> None:
    for path in [*(folder / "results").iterdir(), *folder.glob("results/*/*")]:
        if path.parent.name.startswith(".") or len(path.name) == 16 or path.name in ("failed", "teacher_store.sqlite"):
            continue
        assert f"`{path.name.replace('chain_sum_long', 'DATASET')}" in PAGE, path


# --- the notebook -----------------------------------------------------------------------------------------------------


def test_the_notebook_runs(folder: Path, records: list[CompleteRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(code, "page", "exec"), names)
    results = names["results"]
    assert set(results.cells["cell_id"]) == {record.cell_id for record in records}
    assert sorted(results.tests["test_dataset"]) == ["chain_sum", "chain_sum", "chain_sum_long"]
    accuracy = results.predictions().groupby("cell_id")["correct"].mean()
    assert dict(accuracy) == {record.cell_id: record.test[0].value for record in records}
    assert results.problems == []
