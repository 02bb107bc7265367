"""Two processes train to the numbers that one process trains to, with equal steps: all presets, all their books."""

from __future__ import annotations

import pytest

from tests.golden.drift import drift, recorded
from tests.golden.measure import measure, presets

ALWAYS = ("step_by_step",)
"""The others take half a minute each."""
METHODS = [
    pytest.param(method, marks=() if method in ALWAYS else pytest.mark.slow)
    for method in presets()
    if recorded(method)["rounds"]  # an untrained student is in one process
]


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_give_the_numbers_of_one(method: str) -> None:
    golden = recorded(method)
    moved = drift(golden, measure(method, golden["dataset"], "trainer.devices=2"))
    assert not moved, moved
