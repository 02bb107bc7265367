"""Reads a dataset from the Hugging Face hub; the YAML says which column becomes which of our fields."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from benchmark.console.hub_logs import quiet_hub
from benchmark.errors import DataError
from benchmark.tasks.rows import is_number, is_whole_number, plain_number
from benchmark.tasks.shortened import shortened

Row = Mapping[str, Any]

NLI_LABELS = ("entailment", "neutral", "contradiction")
"""The meaning of labels 0, 1 and 2 in the natural language inference datasets on the hub."""


@dataclass(frozen=True)
class HubSource:
    """A dataset on the hub, and how its rows become our rows."""

    path: str
    """The dataset's id on the hub."""
    name: str | None = None
    """The name of its configuration; null for a dataset with only one."""
    revision: str = "main"
    """Branch, tag or commit."""
    splits: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Our name of a split -> the hub's name; a split that is missing here has the same name on the hub."""
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Our field -> a column, or a text with columns in braces.

    A column is taken as it is and read like a field in a file. In a text, columns hold texts or numbers, `{split}` is
    our name of the split and `{row}` the number of the row.
    """
    parser: str | None = None
    """The name in `PARSERS` of a function that computes fields which no column holds; null for none."""

    def __post_init__(self) -> None:
        if self.parser is not None and self.parser not in PARSERS:
            raise ValueError(f"hub.parser={self.parser!r} does not exist; valid: {', '.join(PARSERS)}")

    def rows(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields (`path, split, row N`, our fields) for every row. Raises DataError if something is unreadable."""
        theirs = self.splits.get(split, split)
        found = _fetch(self.path, self.name, self.revision)
        if theirs not in found:
            raise DataError(f"{self.path} on the hub has no split {theirs!r}; it has {', '.join(found)}")
        for number, row in enumerate(found[theirs]):
            where = f"{self.path}, split {theirs}, row {number}"
            yield where, self._fields(where, row, {"split": split, "row": number})

    def _fields(self, where: str, row: Row, place: Row) -> dict[str, Any]:
        fields = {name: _filled(where, name, column, row, place) for name, column in self.columns.items()}
        if self.parser is None:
            return fields
        try:
            return fields | PARSERS[self.parser](row)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(
                f"{where}: parser {self.parser} cannot read it ({type(error).__name__}: {error}); its columns are "
                f"{', '.join(row)}"
            ) from error


def _filled(where: str, name: str, column: str, row: Row, place: Row) -> Any:
    """The value of a column, or the text of a template with columns in it."""
    if column in row:
        value = row[column]
        # Ids of the hub are often numbers, and nobody can write them as text there.
        return str(value) if name == "id" and is_whole_number(value) else value
    if "{" in column:
        try:
            return _Template().vformat(column, (), {**place, **row})
        except _NoText as error:
            raise DataError(f"{where}: {name!r} cannot be made of {column!r}: {error}") from error
        except (AttributeError, KeyError, IndexError, TypeError, ValueError):
            pass  # said below
    raise DataError(f"{where}: there is no column {column!r}; its columns are {', '.join(row)}")


class _NoText(Exception):
    """A value in a template that is neither a text nor a number."""


class _Template(string.Formatter):
    """A text with columns in braces, which must hold texts or numbers."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """The value as text. Raises _NoText for null, NaN, truth values, lists and the like."""
        if isinstance(value, str) or (is_number(value) and format_spec):
            return format(value, format_spec)
        if is_number(value):
            return plain_number(value)
        raise _NoText(f"a column in it holds {shortened(value)}, which is neither a text nor a number")


@lru_cache(maxsize=8)
def _fetch(path: str, name: str | None, revision: str) -> Mapping[str, Any]:
    """All splits, downloaded once and kept by the `datasets` package. No code of the dataset is run."""
    import datasets  # takes a second to import, so only where it is needed

    datasets.disable_progress_bars()
    try:
        with quiet_hub():
            found: Mapping[str, Any] = datasets.load_dataset(path, name, revision=revision)
    except Exception as error:  # of many packages: network, cache, formats, the dataset's own description
        said = " ".join(str(error).split()).partition(". ")[0]
        raise DataError(
            f"{path} cannot be read from the hub now ({type(error).__name__}: {said}); without a network, give a "
            "folder of datasets as data_dir=PATH"
        ) from error
    return found


def _grade_school_math(row: Row) -> dict[str, Any]:
    """GSM8K: the answer follows `####` at the end of the rationale."""
    rationale, marker, answer = row["answer"].rpartition("####")
    if not marker:
        raise ValueError("no #### in the answer")
    return {"rationale": rationale.strip(), "answer": answer.strip().replace(",", "")}


def _lettered_choices(row: Row) -> dict[str, Any]:
    """CommonsenseQA: `choices` holds labels and texts, `answerKey` one of the labels."""
    choices, key = row["choices"], row["answerKey"]
    if key not in choices["label"]:
        raise ValueError(f"answerKey {key!r} is not among the labels {choices['label']}")
    return {"choices": choices, "answerKey": key}


def _entailment_label(row: Row) -> dict[str, Any]:
    """ANLI, e-SNLI: `label` is a number; a pair with -1 has no label."""
    if row["label"] < 0:
        raise ValueError(f"label {row['label']}")
    return {"choices": list(NLI_LABELS), "answer": NLI_LABELS[row["label"]]}


def _yes_or_no(row: Row) -> dict[str, Any]:
    """StrategyQA: `answer` is true or false."""
    if not isinstance(row["answer"], bool):
        raise TypeError(f"answer {row['answer']!r} is neither true nor false")
    return {"choices": ["yes", "no"], "answer": "yes" if row["answer"] else "no"}


PARSERS: Mapping[str, Callable[[Row], dict[str, Any]]] = {
    "grade_school_math": _grade_school_math,
    "lettered_choices": _lettered_choices,
    "entailment_label": _entailment_label,
    "yes_or_no": _yes_or_no,
}
"""Functions that compute fields from a row, by their names in `hub.parser`."""
