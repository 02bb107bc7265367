"""A method: one part on each axis, under a name."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.contract.axes import (
    Annotator,
    Curriculum,
    Format,
    Part,
    Requirements,
    Schedule,
    Selection,
    Weighting,
)
from benchmark.contract.loss import Loss


@dataclass(frozen=True)
class Method:
    """A named combination of seven parts, one per axis."""

    name: str
    """The preset's name, followed by every setting that differs from the preset."""
    schedule: Schedule
    """How the budget is divided into rounds."""
    selection: Selection
    """Which questions are bought."""
    annotation: Annotator
    """What is written about them."""
    weighting: Weighting
    """How far each annotation is trusted."""
    curriculum: Curriculum
    """The order in which a round trains on its examples."""
    format: Format
    """The student's prompts and training targets."""
    loss: Loss
    """How the student is compared with the target, and on which examples."""

    def trains(self) -> bool:
        """Whether there is a first round. Without one, only format, dataset and student can change a result."""
        return self.schedule.next_round(()) is not None

    @property
    def parts(self) -> tuple[Part, ...]:
        """All seven parts, in the order in which a round uses them."""
        return (
            self.schedule,
            self.selection,
            self.annotation,
            self.weighting,
            self.curriculum,
            self.format,
            self.loss,
        )

    def requires(self) -> Requirements:
        """The union of what its parts require; if there is no training, only what the format requires."""
        needs = Requirements()
        for part in self.parts if self.trains() else (self.format,):
            needs = needs | part.requires()
        return needs
