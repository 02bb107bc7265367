"""Several teachers in one cell: each keeps its own name, price and prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.teachers.teacher import Teacher


@dataclass(frozen=True)
class Panel:
    """Teachers by the names that annotations carry as their source. The first is asked where a method needs only one.

    In YAML: `members: {first: {_target_: ...}, second: {_target_: ...}}`.
    """

    name: str
    members: Mapping[str, Teacher]

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("members is empty; a panel needs at least one teacher")


def members(teacher: Teacher | Panel) -> Mapping[str, Teacher]:
    """The teachers of a cell by name."""
    return teacher.members if isinstance(teacher, Panel) else {teacher.name: teacher}
