"""What a file of `analysis/published/` holds: the numbers of one paper, with what they depend on.

A fact stands as high as it holds: in the table, else in a column, else in a row. The lower one wins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from analysis.records.nearest import nearest

Item = TypeVar("Item")
Listed = Annotated[tuple[Item, ...], Field(strict=False)]
"""A list in YAML; in Python it cannot be changed."""
Tag = Literal["confirmed", "re-run"]
NO_TEACHER = "none"
"""The key of a teacher that nobody asks; a row without the key `teacher` says nothing about it."""


def refused(reason: str) -> PydanticCustomError:
    """The error of a file whose content contradicts itself."""
    return PydanticCustomError("refused", "{reason}", {"reason": reason})


class PublishedPart(BaseModel):
    """An object of such a file; a key that it does not know is refused with the nearest one that it knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, content: Any) -> Any:
        if isinstance(content, dict):
            for key in content:
                if key not in cls.model_fields:
                    raise refused(f"there is no key {key!r}{nearest(str(key), cls.model_fields)}")
        return content


class Student(PublishedPart):
    """A paper's student."""

    name: str
    """As the paper writes it."""
    parameters: str | None = Field(default=None, pattern=r"^\d+(\.\d+)?[MB]$")
    """Their number, such as `220M`; None where the source does not say."""
    ours: Listed[str] = ()
    """The options of `conf/student` that are the same model."""


class Teacher(PublishedPart):
    """A paper's teacher."""

    name: str
    """As the paper writes it."""
    ours: Listed[str] = ()
    """The names that the same teacher has in our records."""
    model: str | None = None
    """For a live teacher: what the name of its model must contain, in small letters and digits alone."""


class Dataset(PublishedPart):
    """A dataset as the paper splits it."""

    name: str
    """As the paper writes it."""
    ours: str | None = None
    """The option of `conf/dataset`; None where there is none."""
    train: int | None = None
    """Training questions."""
    validation: int | None = None
    """Validation questions."""
    test: int | None = None
    """Test questions."""


class Facts(PublishedPart):
    """What a published number depends on. A fact that the source does not give is left out."""

    tag: Tag | None = None
    """`confirmed`: the authors' own method, or a plain reference beside it; `re-run`: a method of others, run again."""
    by: str | None = None
    """Who ran it again; needed for `re-run`."""
    read_in: str | None = None
    """Where the number was read."""
    second_hand: bool = False
    """Whether it was read in a quote or a listing by somebody else."""
    tolerance: float | None = None
    """By how much a number that was read off a figure may be wrong, in its unit; None for a printed number."""
    metric: str | None = None
    """`accuracy` and `rouge_l` mean what they mean in our records."""
    unit: str | None = None
    """`%` for accuracies, `points` (hundredths) for ROUGE-L."""
    dataset: str | None = None
    """The key of the dataset that the student is tested on."""
    trained_on: str | None = None
    """The key of the dataset that it learnt from, where that is another one."""
    student: str | None = None
    """The key of the student."""
    teacher: str | None = None
    """The key of the teacher, or `none`."""
    method: str | None = None
    """Our preset of `conf/method`, with the choices that differ from it as in a record: `fkl+curriculum=pocl`."""
    train_share: float | None = Field(default=None, gt=0, le=1)
    """The share of the training questions that was used."""
    train_examples: int | None = None
    """Training questions, where the number is not the dataset's."""
    steps: int | None = None
    """Updates of the student's weights."""
    epochs: float | None = None
    """Passes over the training questions, where steps are not given."""
    batch_size: int | None = None
    """Questions per step."""
    runs: int | None = None
    """How many runs a mean is over; of people's marks, how many marks."""
    runs_over: Literal["training", "evaluation"] | None = None
    """Whether these runs trained anew, or sampled one student's texts anew."""
    note: str | None = None
    """What a reader must know."""


class Row(Facts):
    """One line of a table."""

    values: Listed[float | None]
    """One number per column; null where there is none."""
    deviations: Listed[float | None] = ()
    """The standard deviation of each value over its runs."""


class PublishedTable(Facts):
    """A table or figure, or numbers of the text."""

    columns: dict[str, Facts] = Field(default_factory=lambda: {"": Facts()})
    """By heading; a table without columns has one number per row."""
    rows: dict[str, Row]
    """By label."""

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        for label, row in self.rows.items():
            if len(row.values) != len(self.columns):
                raise refused(f"row {label!r} has {len(row.values)} values, expected {len(self.columns)}")
            if row.deviations and len(row.deviations) != len(row.values):
                raise refused(f"row {label!r} has {len(row.deviations)} deviations, expected {len(row.values)}")
        return self


class Reproduction(PublishedPart):
    """How to run the paper's setting here."""

    experiments: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Experiment of `conf/experiment` -> the paper's dataset -> ours that stands for it there."""
    setting: Listed[str] = ()
    """Choices that a record's method may name, and that change nothing of what the paper's name for it means."""
    commands: Listed[str] = ()
    """What runs ours at the paper's scale."""
    needs: str | None = None
    """What must be there before the commands."""
    leaves_out: str | None = None
    """What of the paper they do not run, or run otherwise."""
    impossible: str | None = None
    """Why there is no command."""

    @model_validator(mode="after")
    def _check_command(self) -> Self:
        if bool(self.commands) == (self.impossible is not None):
            raise refused("needs either commands, or `impossible`: why there are none")
        return self


class Paper(PublishedPart):
    """The file of one paper, or of one other source."""

    title: str
    """Its title, or the name by which it is known."""
    authors: str
    """The first of them, as a rule."""
    venue: str
    """Where it was published; `arXiv` where that is all."""
    arxiv: str | None = None
    """Its number on arXiv; None where it has none or it is not known."""
    year: int | None = None
    """None where it is not known."""
    page: str | None = None
    """Our page about it."""
    students: dict[str, Student] = Field(default_factory=dict)
    """By the keys that its tables use."""
    teachers: dict[str, Teacher] = Field(default_factory=dict)
    """By the keys that its tables use."""
    datasets: dict[str, Dataset] = Field(default_factory=dict)
    """By the keys that its tables use."""
    reproduce: Reproduction
    """How to run it here."""
    tables: dict[str, PublishedTable] = Field(default_factory=dict)
    """By the name that the paper gives them, in short."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        kinds: dict[str, Collection[str]] = {
            "dataset": self.datasets,
            "trained_on": self.datasets,
            "student": self.students,
            "teacher": {NO_TEACHER, *self.teachers},
        }
        for place, facts in self._all_facts():
            for kind, known in kinds.items():
                name = getattr(facts, kind)
                if name is not None and name not in known:
                    raise refused(f"{place}: there is no {kind} {name!r}{nearest(name, known)}")
        return self

    def _all_facts(self) -> Iterator[tuple[str, Facts]]:
        for name, table in self.tables.items():
            yield name, table
            yield from ((f"{name}, column {heading}", facts) for heading, facts in table.columns.items())
            yield from ((f"{name}, row {label}", row) for label, row in table.rows.items())
