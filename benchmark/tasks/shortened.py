"""Shows a wrong value in a message, however long or deep it is."""

from __future__ import annotations

import reprlib
from decimal import Decimal


def shortened(value: object) -> str:
    """The value as Python writes it, on one line and cut in the middle if it is long.

    Characters that cannot be printed, such as half of a surrogate pair, become escapes.
    """
    return _SHORT.repr(value)


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80
        self.maxlist, self.maxlevel = 8, 3

    def repr_Decimal(self, value: Decimal, level: int) -> str:
        return str(value)


_SHORT = _Short()
