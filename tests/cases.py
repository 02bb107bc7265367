"""Cases of a long parametrised test: some run by default, and all with `make test-all`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pytest


def cases(values: Sequence[Any], default: Collection[Any]) -> list[Any]:
    """The values, those that are not of the default marked as slow."""
    assert set(default) <= set(values)
    return [value if value in default else pytest.param(value, marks=pytest.mark.slow) for value in values]
