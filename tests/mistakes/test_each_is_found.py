"""Mistakes that would make the benchmark's numbers wrong, put back on purpose: the tests that guard against each fail.

    python -m pytest -m mistakes tests/mistakes

copies the source to a temporary folder once per mistake of `table.py`, makes the mistake there and runs the tests that
the table names: they must fail, by assertion, and pass in a copy without a mistake. What runs by default is cheap: it
holds the table to the source as it stands.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mistakes.source_copy import REPOSITORY, SourceCopy, edited
from tests.mistakes.table import MISTAKES, Mistake
from tests.mistakes.verdicts import ASSERTED, PASSED

ALL = [mistake for of_one_kind in MISTAKES.values() for mistake in of_one_kind]
every_mistake = pytest.mark.parametrize("mistake", ALL, ids=lambda mistake: re.sub(r"\W+", "_", mistake.name))
NEEDED = sorted({mistake.needs for mistake in ALL if mistake.needs})


# --- the table and the source ----------------------------------------------------------------------------------------


@every_mistake
def test_a_mistake_can_be_made_in_the_source_as_it_stands(mistake: Mistake) -> None:
    for edit in mistake.edits:
        assert edit.old != edit.new
        ast.parse(edited(REPOSITORY, edit))


@every_mistake
def test_the_tests_that_a_mistake_names_are_there(mistake: Mistake) -> None:
    assert mistake.found_by
    for test in mistake.found_by:
        file, _, name = test.partition("::")
        tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file} has no {name}"


def test_every_kind_has_a_mistake_and_every_mistake_a_name_of_its_own() -> None:
    assert all(MISTAKES.values())
    assert max(Counter(mistake.name for mistake in ALL).values()) == 1


# --- the proof, mistake by mistake -----------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[SourceCopy]:
    """The source as it stands, in a folder of its own."""
    made = SourceCopy(tmp_path / "copy")
    yield made
    made.remove()


@pytest.mark.mistakes
@pytest.mark.parametrize("needs", [None, *NEEDED], ids=lambda package: package or "nothing_optional")
def test_without_a_mistake_the_named_tests_pass(needs: str | None, copy: SourceCopy) -> None:
    if needs:
        pytest.importorskip(needs)
    named = sorted({test for mistake in ALL if mistake.needs == needs for test in mistake.found_by})
    verdict = copy.run(named)
    assert not verdict.broken(), verdict.output
    for test in named:
        assert set(verdict.of(test)) == {PASSED}, f"{test}\n{verdict.output}"


@pytest.mark.mistakes
@every_mistake
def test_a_mistake_fails_the_tests_that_guard_against_it(mistake: Mistake, copy: SourceCopy) -> None:
    if mistake.needs:
        pytest.importorskip(mistake.needs)
    copy.edit(mistake.edits)
    verdict = copy.run(mistake.found_by)
    assert not verdict.broken(), "\n".join([*verdict.broken(), verdict.output])
    for test in mistake.found_by:
        assert ASSERTED in verdict.of(test), f"{test} passes with the mistake: {mistake.name}\n{verdict.output}"
