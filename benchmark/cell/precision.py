"""What `precision: auto` becomes on this machine, and a warning for bfloat16 where nothing computes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from benchmark.student.hardware import bfloat16_on, slowdown
from benchmark.student.settings import Accelerator, Optimization, Precision, SettledPrecision, settled
from benchmark.teachers.in_process import TransformersTeacher
from benchmark.teachers.panel import Panel
from benchmark.teachers.teacher import Teacher

if TYPE_CHECKING:
    from benchmark.cell.cell import Cell

SETTING = "optimization.precision"
"""The setting of the student's precision, which the assistant shares."""

_Computes = TypeVar("_Computes", Optimization, TransformersTeacher)


@dataclass(frozen=True)
class PrecisionChoice:
    """A setting of a precision, as it was asked for and as it is used."""

    setting: str
    """The setting's path in the config."""
    asked: Precision
    """What the config says."""
    used: SettledPrecision
    """What the cell computes in; part of its identity."""
    accelerator: Accelerator
    """Where it computes."""

    @property
    def line(self) -> str | None:
        """What `auto` became and why, for people; None where somebody else chose."""
        if self.asked != "auto":
            return None
        name = "precision" if self.setting == SETTING else self.setting
        return f"{name} {self.used}: {bfloat16_on(self.accelerator).because}"

    @property
    def warning(self) -> str | None:
        """How slow the work will be, measured here, where bfloat16 was asked of a device that computes none.

        None where nobody asked, where the device computes it, or where it turns out not to be slow.
        """
        if self.asked != "bf16-mixed":
            return None
        found = bfloat16_on(self.accelerator)
        if found.computes or found.device is None or (times := slowdown(found.device)) <= 1:
            return None
        digits = 0 if times >= 10 else 1
        return (
            f"{self.setting}=bf16-mixed, but {found.because}: a product takes {times:.{digits}f} times as long as in "
            f"float32 here; give {self.setting}=32-true, or auto, which is 32-true here"
        )


def settle_precision(parts: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[PrecisionChoice, ...]]:
    """The parts of a cell in which every precision is one to compute in, and what was chosen for each."""
    choices: list[PrecisionChoice] = []

    def settle(part: _Computes, group: str, accelerator: Accelerator) -> _Computes:
        asked, used = part.precision, part.precision
        if asked == "auto":
            used = "bf16-mixed" if bfloat16_on(accelerator).computes else "32-true"
        choices.append(PrecisionChoice(f"{group}.precision", asked, settled(used), accelerator))
        return part if used == asked else replace(part, precision=used)

    def settle_teacher(teacher: Teacher, group: str) -> Teacher:
        if not isinstance(teacher, TransformersTeacher):
            return teacher
        return cast("Teacher", settle(teacher, group, teacher.accelerator))

    optimization = settle(parts["optimization"], "optimization", parts["trainer"].accelerator)
    teacher = parts["teacher"]
    if isinstance(teacher, Panel):
        members = {name: settle_teacher(each, f"teacher.members.{name}") for name, each in teacher.members.items()}
        teacher = replace(teacher, members=members)
    else:
        teacher = settle_teacher(teacher, "teacher")
    return {**parts, "optimization": optimization, "teacher": teacher}, tuple(choices)


def precision_lines(cell: Cell) -> list[str]:
    """What `auto` became for the models that the cell loads, one line per setting."""
    return [choice.line for choice in _of_loaded_models(cell) if choice.line is not None]


def precision_warnings(cell: Cell) -> list[str]:
    """One line per setting that asks a device for a bfloat16 that it does not compute; measures how slow it is."""
    return [choice.warning for choice in _of_loaded_models(cell) if choice.warning is not None]


def settled_overrides(cell: Cell) -> tuple[str, ...]:
    """Overrides by which a job on another machine computes in what `auto` became here, and so has the same id."""
    return tuple(f"{choice.setting}={choice.used}" for choice in cell.precisions if choice.asked == "auto")


def _of_loaded_models(cell: Cell) -> list[PrecisionChoice]:
    """The choices that a command feels: annotating ahead loads no student, and some cells ask no teacher."""
    with_student = cell.mode != "annotate" or cell.used_assistant is not None
    return [choice for choice in cell.precisions if (with_student if choice.setting == SETTING else cell.asks_teacher)]
