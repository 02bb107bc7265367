"""The blocks that a picture may compare, with their methods by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.output.notes import title_of
from analysis.records.load import UNTRAINED_METHOD, WHAT_TO_RUN, Records, ResultsError, places
from analysis.statistics.grouping import BlockKey, Group, blocks_of, named_groups


@dataclass(frozen=True)
class MethodBlock:
    """One dataset, student, teacher and metric, with the methods that were run."""

    key: BlockKey
    """What all of it shares."""
    methods: Mapping[str, Group]
    """A name that no other method of the block has -> its scores; in natural order."""

    @property
    def title(self) -> str:
        """Dataset, test set, student and teacher."""
        return title_of(self.key)

    @property
    def columns(self) -> dict[str, str | None]:
        """The columns that every csv of a picture begins with."""
        return {"dataset": self.key.dataset, "student": self.key.student, "teacher": self.key.teacher}

    @property
    def num_seeds(self) -> list[int]:
        """By method: how many seeds were run."""
        return [len(group.scores) for group in self.methods.values()]


def trained_blocks(records: Records) -> list[MethodBlock]:
    """The blocks of the cells' own test sets without the untrained student.

    Raises ResultsError where no trained cell is finished.
    """
    found = [
        MethodBlock(key, methods)
        for key, scores in blocks_of(records.complete).items()
        if key.test_dataset == key.dataset
        and (methods := {name: g for name, g in named_groups(scores) if g.method != UNTRAINED_METHOD})
    ]
    if not found:
        raise ResultsError(f"{places(records)} holds no finished cell of a trained student: {WHAT_TO_RUN}")
    return found
