"""What every method must keep to, on every kind of dataset: all presets on disk are tested, with nothing to register.

The rules stand in `benchmark/conformance/rules.py`, which `python -m benchmark check-method NAME` runs for users.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from filelock import FileLock

from benchmark.app import CONF
from benchmark.conformance import miniature, rules
from benchmark.conformance.candidate import Candidate, candidate, traces_of_a_new_process
from benchmark.conformance.miniature import RECORDED, write_recorded_dataset
from benchmark.conformance.observed import Traces
from benchmark.contract import Requirements


class Pair(NamedTuple):
    """A method and a dataset."""

    method: str
    dataset: str

    def __str__(self) -> str:
        return f"{self.method}-{self.dataset}"


PRESETS = miniature.presets(CONF)
"""Every method on disk, those of the future included."""
GENERATED = miniature.generated_datasets(CONF)
WITH_CHOICES = "trait_choice"
PAIRS = tuple(Pair(method, dataset) for method in PRESETS for dataset in (*GENERATED, RECORDED))


@dataclass
class Cells:
    """The plain cells of all pairs, each composed, checked and run once, when a test first asks for it."""

    recorded: tuple[str, ...]
    """The overrides of the dataset that lies in files, and of its recorded teacher."""
    shared: Path
    """A folder of all of pytest's workers."""
    tried: dict[Pair, Candidate] = field(default_factory=dict)
    _elsewhere: dict[str, Traces] = field(default_factory=dict)

    def of(self, pair: Pair) -> Candidate:
        """The pair, as the rules look at it."""
        if pair not in self.tried:
            self.tried[pair] = candidate(CONF, pair.method, pair.dataset, self.recorded)
        return self.tried[pair]

    def claims(self, pair: Pair) -> bool:
        """Whether the plan accepts the pair."""
        return self.of(pair).refusal is None

    def in_a_new_process(self, pair: Pair, pairs: Sequence[Pair]) -> Traces:
        """The traces of the pair's plain cell; one process, with another hash seed, runs those of half of these pairs.

        Half, because two of pytest's workers are most often in different halves, and then none waits for the other.
        """
        if str(pair) not in self._elsewhere:
            middle = len(pairs) // 2
            half = pairs[:middle] if pair in pairs[:middle] else pairs[middle:]
            self._elsewhere |= self._from_a_new_process(half)
        return self._elsewhere[str(pair)]

    def _from_a_new_process(self, pairs: Sequence[Pair]) -> dict[str, Traces]:
        """The first of pytest's workers that asks starts the process; the others read what it found."""
        found = self.shared / f"traces-of-a-new-process-from-{pairs[0]}.json"
        with FileLock(f"{found}.lock"):
            if not found.exists():
                made = traces_of_a_new_process(CONF, {str(pair): self.of(pair).overrides for pair in pairs})
                found.write_text(json.dumps({name: vars(traces) for name, traces in made.items()}), encoding="utf-8")
        return {name: Traces(**values) for name, values in json.loads(found.read_text(encoding="utf-8")).items()}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    return Cells(write_recorded_dataset(tmp_path_factory.mktemp("data")), shared)


def _is_another_divergence(method: str) -> bool:
    """Whether a preset is `fkl` with another pure function; by default `fkl` stands for all of these."""
    preset = yaml.safe_load((CONF / "method" / f"{method}.yaml").read_text(encoding="utf-8"))
    changed = {key for entry in preset.get("defaults", []) for key in entry}
    return method != "fkl" and changed == {"override /loss", "override /loss/divergence"}


USUAL = tuple(method for method in PRESETS if not _is_another_divergence(method))


def _pairs() -> list[Any]:
    """All pairs. By default a method meets the recorded dataset and one generated one, the next method the next one.

    A method for questions with choices meets one that has them.
    """
    default = {
        Pair(method, WITH_CHOICES if miniature.needs_choices(CONF, method) else GENERATED[i % len(GENERATED)])
        for i, method in enumerate(USUAL)
    }
    usual = [pair in default or (pair.dataset == RECORDED and pair.method in USUAL) for pair in PAIRS]
    return [
        pytest.param(pair, marks=() if is_usual else pytest.mark.slow)
        for pair, is_usual in zip(PAIRS, usual, strict=True)
    ]


@pytest.fixture(scope="module", params=_pairs(), ids=str)
def pair(request: pytest.FixtureRequest, cells: Cells) -> Pair:
    """A pair that the plan accepts; scoped so that all tests of a pair stand together and share its cells."""
    named: Pair = request.param
    if not cells.claims(named):
        pytest.skip(f"refused: {cells.of(named).refusal}")
    return named


@pytest.fixture
def tried(pair: Pair, cells: Cells) -> Candidate:
    """The pair, as the rules look at it."""
    return cells.of(pair)


@pytest.fixture(scope="module")
def all_tried(request: pytest.FixtureRequest, cells: Cells) -> list[Pair]:
    """The claimed pairs that this run of pytest tries."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    asked = {call.params["pair"] for call in calls if call is not None and isinstance(call.params.get("pair"), Pair)}
    return [pair for pair in PAIRS if pair in asked and cells.claims(pair)]


# --- which pairs there are -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", PAIRS, ids=str)
def test_a_method_claims_a_dataset_or_is_refused_for_what_it_requires(named: Pair, cells: Cells) -> None:
    rules.claims_or_refuses(cells.of(named))


def test_every_requirement_is_known_here() -> None:
    """A new one needs its line in REASONS."""
    assert {requirement.name for requirement in fields(Requirements)} == set(rules.REASONS)


@pytest.mark.parametrize("method", PRESETS)
def test_every_method_claims_at_least_one_dataset(method: str, cells: Cells) -> None:
    assert any(cells.claims(pair) for pair in PAIRS if pair.method == method)


@pytest.mark.parametrize("method", USUAL)
def test_every_method_is_tried_by_default(method: str, cells: Cells) -> None:
    """Another preset could shift the methods onto datasets that they do not claim."""
    default = [param.values[0] for param in _pairs() if not param.marks]
    assert any(cells.claims(pair) for pair in default if pair.method == method)


def test_every_kind_of_dataset_is_tried_by_default(cells: Cells) -> None:
    default = [param.values[0] for param in _pairs() if not param.marks]
    for dataset in (*GENERATED, RECORDED):
        assert any(cells.claims(pair) for pair in default if pair.dataset == dataset), dataset


# --- the rules -------------------------------------------------------------------------------------------------------

ELSEWHERE = "gives the same in a new process"


@pytest.mark.parametrize("rule", [name for name in rules.RULES if name != ELSEWHERE])
def test_a_method_keeps_the_rule(tried: Candidate, rule: str) -> None:
    rules.RULES[rule](tried)


def test_a_cell_gives_the_same_result_in_a_new_process(pair: Pair, cells: Cells, all_tried: Sequence[Pair]) -> None:
    tried = cells.of(pair)
    tried.elsewhere = cells.in_a_new_process(pair, all_tried)
    rules.RULES[ELSEWHERE](tried)
