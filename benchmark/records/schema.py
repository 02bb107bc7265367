"""The schema of `record.json` and of a sweep's manifest: the engine writes with it, the analysis reads with it.

A field that this version does not know is kept, so that a newer record is read and written again without a loss. A
field that an older record lacks has its default; `as_json` leaves out what was never set. Nothing is converted: a truth
value or a text is never taken for a number, and neither NaN nor infinity is a number. Imports pydantic alone. It also
hands on `CONSTRUCTS`, so that the analysis shows people the statements that judges read, and what trackers show of a
cell, so that a finished cell is shown as a running one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator

from benchmark.records.measured_after import (
    CONSTRUCTS,
    Calibration,
    CalibrationBin,
    Faithfulness,
    LabelPrecision,
    ScoreErrorCorrelation,
)
from benchmark.records.record_parts import (
    NOTHING,
    BudgetLimits,
    FileContent,
    GitState,
    LedgerEntry,
    Outcomes,
    Prerequisite,
    Provenance,
    RoundRecord,
    TeacherReference,
    TeacherReplies,
    TeacherTraffic,
    TestScore,
    TextOverlap,
    TrainingRecord,
    unread_shares,
)
from benchmark.records.record_values import Number, RecordPart, Rows
from benchmark.records.schema_errors import explained, refused
from benchmark.records.tracking import (
    EXAMPLE_COLUMNS,
    EXAMPLES_TABLE,
    STEP_AXIS,
    TrackedCell,
    final_metrics,
    round_metrics,
    tracked_cell,
)

__all__ = [
    "CONSTRUCTS",
    "EXAMPLES_TABLE",
    "EXAMPLE_COLUMNS",
    "NOTHING",
    "STEP_AXIS",
    "BudgetLimits",
    "Calibration",
    "CalibrationBin",
    "CellNames",
    "CellResult",
    "CompleteRecord",
    "FailedRecord",
    "Faithfulness",
    "FileContent",
    "GitState",
    "LabelPrecision",
    "LedgerEntry",
    "Manifest",
    "Outcomes",
    "Prerequisite",
    "Provenance",
    "Record",
    "RecordError",
    "RecordHeader",
    "RecordPart",
    "RoundRecord",
    "ScoreErrorCorrelation",
    "TeacherReference",
    "TeacherReplies",
    "TeacherTraffic",
    "TestScore",
    "TextOverlap",
    "TrackedCell",
    "TrainingRecord",
    "final_metrics",
    "parse_manifest",
    "parse_record",
    "read_json_object",
    "read_record",
    "round_metrics",
    "tracked_cell",
    "unread_shares",
]

STATES = ("complete", "failed")
ModelType = TypeVar("ModelType", bound=RecordPart)


class RecordError(Exception):
    """A file that cannot be used as a record or manifest; the message names the field and its value."""


class CellNames(RecordPart):
    """What records and manifests both say about a cell."""

    cell_id: str
    """The hash of everything that can change its numbers."""
    method: str
    """The name of the preset, then `+` and a setting for each one of the axes that differs from the preset."""
    dataset: str
    """The dataset that was trained on."""
    student: str
    """The student's name."""
    teacher: str | None
    """The teacher's name; None where the method asks none."""
    seed: int
    """The seed of the initial student, of random selection and of the order of batches."""


class CellResult(RecordPart):
    """What the corridor found out about a cell."""

    uses_gold: bool
    """Whether the method read gold answers before training."""
    rounds: Rows[RoundRecord]
    """The finished rounds in their order; empty for an untrained student."""
    cost_estimated: bool
    """Whether some tokens of the books follow a rule of thumb because nobody counted them."""
    test: Rows[TestScore]
    """The cell's own test set first, then the test sets of `evaluation.extra`."""
    teacher_reference: TeacherReference | None
    """None where no teacher was asked or its accuracy was not measured."""
    teacher_replies: dict[str, TeacherReplies] = Field(default_factory=dict)
    """By teacher: what came of its replies in annotation; absent where no teacher was asked."""
    teacher_traffic: dict[str, TeacherTraffic] = Field(default_factory=dict)
    """By teacher; absent where no live teacher was configured."""
    label_precision: LabelPrecision | None = None
    """How many bought answers are right; None where no teacher was asked, for graded tasks and in older records."""
    weight_calibration: Calibration | None = None
    """Of the confidence behind the weights of bought answers; None where weights rest on none."""
    selection_calibration: Calibration | None = None
    """Of the selection's confidence in the student's usual answers; None where it judges none."""
    train: TrainingRecord
    """Steps, tokens and time of training."""
    seconds_by_phase: dict[str, Number] = Field(default_factory=dict)
    """By phase: wall-clock seconds of `selection`, `annotation`, `weighting`, `training`, `evaluation`, and inside of
    training `curriculum` and `data_policy`, which count apart from it; empty in older records."""
    counters: dict[str, Number] = Field(default_factory=dict)
    """What was cut, dropped, left out or could not be read, by name; a further test set's end in `/NAME`."""

    @field_validator("rounds")
    @classmethod
    def _check_totals(cls, rounds: tuple[RoundRecord, ...]) -> tuple[RoundRecord, ...]:
        """Refuses a total that falls, because then the rounds hold something else."""
        for index, (before, after) in enumerate(pairwise(rounds), start=1):
            for book, old, new in (("charged", before.charged, after.charged), ("spent", before.spent, after.spent)):
                for source, entry in old.items():
                    if entry.exceeds(new.get(source, NOTHING)):
                        place = f"[{index}].{book}.{source}"
                        raise refused(f"{place} is less than the round before; rounds must hold running totals")
        return rounds

    @field_validator("test")
    @classmethod
    def _check_test_sets(cls, test: tuple[TestScore, ...]) -> tuple[TestScore, ...]:
        if not test:
            raise refused(" is empty although the status is complete")
        if len({(score.dataset, score.metric) for score in test}) < len(test):
            raise refused(" names one dataset and metric twice")
        return test

    @property
    def charged(self) -> dict[str, LedgerEntry]:
        """What the whole cell was charged, by source."""
        return self.rounds[-1].charged if self.rounds else {}

    @property
    def spent(self) -> dict[str, LedgerEntry]:
        """What was really paid for the whole cell, by source."""
        return self.rounds[-1].spent if self.rounds else {}


class RecordHeader(RecordPart):
    """What is known of a cell before it runs."""

    cell_id: str
    """The hash of `identity`, and the name of the cell's folder."""
    status: Literal["running", "complete", "failed"]
    """`complete` or `failed`; `running` stands in no file."""
    method: str
    """The name of the preset, then `+` and a setting for each one of the axes that differs from the preset."""
    dataset: str
    """The dataset that is trained on."""
    student: str
    """The student's name."""
    teacher: str | None
    """The teacher's name; None where the method asks none."""
    seed: int
    """The seed of the initial student, of random selection and of the order of batches."""
    data_seed: int
    """The seed of what is bought without a look at the student; all seeds share those purchases."""
    budget: BudgetLimits
    """The limits of the cell's purchases."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The whole resolved configuration, paths and machine settings included."""
    identity: dict[str, Any]
    """Everything that can change the numbers, and nothing else: what `cell_id` is the hash of."""
    prerequisites: Rows[Prerequisite] = ()
    """Finished cells whose students this cell uses."""
    error: str | None = None
    """Why the cell failed, in one line; None where it is complete."""

    @property
    def names(self) -> CellNames:
        """The names that a manifest holds too."""
        return CellNames(**{name: getattr(self, name) for name in CellNames.model_fields})

    def completed(self, result: CellResult) -> CompleteRecord:
        """The record of the cell with its result; what is known only after the export is added to a copy."""
        known = {**self.set_fields(), **result.set_fields()}
        return CompleteRecord(**{**known, "status": "complete", "error": None})

    def failed(self, error: str) -> FailedRecord:
        """The record of the cell that ended with an error."""
        return FailedRecord(**{**self.set_fields(), "status": "failed", "error": error})


class FailedRecord(RecordHeader):
    """The record of a cell that was tried and did not finish."""

    status: Literal["failed"]
    files: dict[str, FileContent] = Field(default_factory=dict)
    """Tables and student beside the record, by path below the cell's folder."""


class CompleteRecord(CellResult, RecordHeader):  # in this order, the header's fields come first
    """The record of a finished cell."""

    status: Literal["complete"]
    policy: str | None = None
    """Which weights were tested: `last`, those at the end of training."""
    seconds: Number | None = None
    """Time of the whole cell in the process that finished it."""
    provenance: Provenance = Provenance()
    """Code, versions, machine and time."""
    files: dict[str, FileContent] = Field(default_factory=dict)
    """Tables and student beside the record, by path below the cell's folder."""


Record = CompleteRecord | FailedRecord


class Manifest(RecordPart):
    """What one sweep set out to run."""

    created: str
    """UTC time at which the sweep began, in ISO 8601."""
    cells: Rows[CellNames]
    """The wanted cells in the order of the sweep."""


def read_record(path: Path) -> Record:
    """The record in a file.

    Raises:
        RecordError: the file cannot be read, is no JSON object, lacks a needed field, or has one of a wrong type.
    """
    return parse_record(read_json_object(path))


def parse_record(content: Mapping[str, Any]) -> Record:
    """The record that a JSON object holds.

    Raises:
        RecordError: a needed field is missing or has a wrong type.
    """
    status = content.get("status", "complete")
    if status not in STATES:
        raise RecordError(f"status is {str(status)!r}, expected one of {', '.join(STATES)}")
    return _checked(FailedRecord, content) if status == "failed" else _checked(CompleteRecord, content)


def parse_manifest(content: Mapping[str, Any]) -> Manifest:
    """The manifest that a JSON object holds.

    Raises:
        RecordError: a needed field is missing or has a wrong type.
    """
    return _checked(Manifest, content)


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        RecordError: the file cannot be read, is not JSON, or holds something else than an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"cannot be read as JSON ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise RecordError(f"holds a {type(content).__name__}, not an object")
    return content


def _checked(model: type[ModelType], content: Mapping[str, Any]) -> ModelType:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise RecordError(explained(error, model, content)) from error
