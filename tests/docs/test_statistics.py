"""The example of docs/statistics.md prints what it says, and its tables of seeds are what the functions give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.statistics.power import seeds_for_power
from analysis.statistics.wilcoxon import cannot_reach, seeds_needed

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")


def row(title: str) -> list[str]:
    [found] = re.findall(rf"^\| {re.escape(title)} \| (.+) \|$", PAGE, re.MULTILINE)
    return [field.strip() for field in found.split("|")]


def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "page", "exec"), {})
    assert capsys.readouterr().out.strip() == code.rpartition("  # ")[2].strip()


def test_the_seeds_of_a_family() -> None:
    for family, seeds in zip(row("comparisons in the family"), row("seeds, at least"), strict=True):
        first, *last = (int(number) for number in family.split(" to "))
        assert {seeds_needed(size) for size in range(first, max([first, *last]) + 1)} == {int(seeds)}
    assert " ".join(re.findall(r"^> (.+)$", PAGE, re.MULTILINE)) == cannot_reach(5, 10)


def test_the_seeds_for_a_power() -> None:
    for effect_size, seeds in zip(row("difference, in standard deviations"), row("seeds"), strict=True):
        assert seeds_for_power(float(effect_size), 1.0) == int(seeds)
