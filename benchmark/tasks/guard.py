"""Closes gold answers and test rows while the parts of a cell run, whatever way a part takes to them.

A part gets gold answers from `Context.gold` alone, after `Requirements(gold=True)`. This guard stands behind the other
ways: loading a dataset's rows, solving its questions, opening a test split. It closes the whole process, so that a
thread that a part starts finds them closed too. Teachers and evaluation, which must know the answers, open it around
their own work with `gold_opened`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from benchmark.errors import LeakError

HOW_TO_DECLARE = (
    "return Requirements(gold=True) from its requires() and read context.gold(question), so that tables can show it"
)
"""The end of every refusal: how a part gets gold answers."""
LOADED = "loaded the rows of a dataset, gold answers included,"
"""What a part did that made or loaded splits."""


@dataclass(eq=False)
class _Closed:
    """One stretch of work during which gold is closed."""

    part: str
    """The axis of the part at work, or `method`."""
    declares_gold: bool
    """Whether that part declared that it reads gold answers."""
    refused: list[LeakError] = field(default_factory=list)
    """What was refused so far, in order."""

    def raise_refused(self, cause: Exception | None = None) -> None:
        """Raises the first refusal, if there is one: a part may have caught it and gone on."""
        if self.refused:
            raise self.refused[0] from (cause if cause is not self.refused[0] else None)


_closed: list[_Closed] = []
"""The stretches that this process is in, the innermost last; empty where no part of a cell runs."""
_opened: ContextVar[bool] = ContextVar("gold_opened", default=False)
"""True where a teacher or the evaluation works. A new thread begins with False, and so finds gold closed."""


@contextmanager
def gold_closed(part: str, declares_gold: bool) -> Iterator[None]:
    """Closes gold while the part on the axis `part` works. Raises LeakError at the end if it tried and caught that.

    Nested calls name the part that is at work now. A part that declares gold may load rows and solve questions; no part
    may open a test split.
    """
    stretch = _Closed(part, declares_gold)
    _closed.append(stretch)
    try:
        yield
    except Exception as error:
        stretch.raise_refused(error)
        raise
    finally:
        _closed.remove(stretch)
    stretch.raise_refused()


@contextmanager
def gold_opened() -> Iterator[None]:
    """Opens gold for work of the engine: a teacher that knows the answers, or the evaluation."""
    before = _opened.set(True)
    try:
        yield
    finally:
        _opened.reset(before)


def raise_refused() -> None:
    """Raises LeakError if something was refused to the part at work, also where the part caught that error."""
    for stretch in _closed[-1:]:
        stretch.raise_refused()


def refuse_undeclared_gold(what: str) -> None:
    """Raises LeakError if the part at work did not declare gold. `what` says what it did: `solved a question`."""
    if _is_closed() and not _closed[-1].declares_gold:
        raise leak(f"the {_closed[-1].part} part {what} without declaring it; {HOW_TO_DECLARE}")


def refuse_test(what: str) -> None:
    """Raises LeakError if a part is at work, whatever it declared. `what` says what it did."""
    if _is_closed():
        raise leak(
            f"the {_closed[-1].part} part {what}, which no part may and none can declare; for gold answers of the pool "
            f"{HOW_TO_DECLARE}"
        )


def leak(message: str) -> LeakError:
    """The error to raise. The cell fails with it even if the part at work catches it."""
    error = LeakError(message)
    for stretch in _closed[-1:]:
        stretch.refused.append(error)
    return error


def _is_closed() -> bool:
    return bool(_closed) and not _opened.get()
