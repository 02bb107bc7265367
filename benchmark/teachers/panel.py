"""Several teachers in one cell: each keeps its own name, price and prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.teachers.teacher import Teacher


@dataclass(frozen=True)
class Panel:
    """Several teachers under one name. A method that needs only one teacher asks the first."""

    name: str
    members: Mapping[str, Teacher]
    """Name -> teacher; the name becomes the `source` of the teacher's annotations.

    In YAML: `members: {first: {_target_: ...}, second: {_target_: ...}}`."""

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("members is empty; a panel needs at least one teacher")


def members(teacher: Teacher | Panel) -> Mapping[str, Teacher]:
    """The teachers of a cell: name -> teacher."""
    return teacher.members if isinstance(teacher, Panel) else {teacher.name: teacher}
