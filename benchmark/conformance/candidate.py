"""A method on a dataset, as the rules look at it: its cell in miniature, in this process and in a new one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.cell.cell import Cell
from benchmark.conformance.miniature import (
    GENERATED,
    RECORDED,
    SMALL,
    composed_cell,
    frozen_teacher,
    generated_datasets,
    text_teacher,
)
from benchmark.conformance.observed import Observed, Traces, observe
from benchmark.errors import ConfigError
from benchmark.planning.checks import check


@dataclass
class Candidate:
    """A method on a dataset, as the checks look at it. Its plain cell is composed and run once for all of them."""

    conf: Path
    """The folder of configs."""
    overrides: tuple[str, ...]
    """What makes its plain cell."""
    other: tuple[str, ...]
    """What makes a cell of another method on another dataset."""
    elsewhere: Traces | None = None
    """The traces of its plain cell from a new process; None where there is none yet."""
    _cell: Cell | None = None
    _run: Observed | None = None
    _refusal: list[ConfigError | None] = field(default_factory=list)

    @property
    def cell(self) -> Cell:
        """Its plain cell, whether or not the plan accepts it."""
        if self._cell is None:
            self._cell = composed_cell(self.conf, self.overrides)
        return self._cell

    @property
    def refusal(self) -> ConfigError | None:
        """Why the plan does not accept the plain cell; None where it does."""
        if not self._refusal:
            cell = self.cell  # a preset that does not compose is an error, not a refusal
            try:
                check(cell)
                self._refusal = [None]
            except ConfigError as refusal:
                self._refusal = [refusal]
        return self._refusal[0]

    def run(self) -> Observed:
        """The plain cell, run once."""
        if self._run is None:
            self._run = observe(self.cell)
        return self._run

    def again(self) -> Observed:
        """The plain cell once more, after a cell of another method on another dataset."""
        observe(composed_cell(self.conf, self.other))
        return observe(self.cell)

    def moved(self, *overrides: str) -> Cell:
        """The plain cell with further overrides."""
        return composed_cell(self.conf, (*self.overrides, *overrides))


def candidate(conf: Path, method: str, dataset: str, recorded: Sequence[str], further: Sequence[str] = ()) -> Candidate:
    """The method on the dataset. `recorded` are the overrides of the dataset in files and of its recorded teacher."""
    data = tuple(recorded) if dataset == RECORDED else (f"dataset={dataset}", *GENERATED)
    other_method = "answer_only" if method != "answer_only" else "rationale_then_answer"
    other_dataset = next(name for name in generated_datasets(conf) if name != dataset)
    other = (f"dataset={other_dataset}", *GENERATED, f"method={other_method}", *SMALL)
    teachers = (*text_teacher(conf, method), *frozen_teacher())
    return Candidate(conf, (*data, *teachers, f"method={method}", *SMALL, *further), other)


def traces_of_a_new_process(conf: Path, wanted: Mapping[str, Sequence[str]]) -> dict[str, Traces]:
    """Name -> traces of the cell of the overrides. One process, with another hash seed, runs them in reversed order.

    Raises RuntimeError with what the process said if it failed.
    """
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "benchmark.conformance.fresh_process", str(conf)],
        input=json.dumps({name: list(wanted[name]) for name in reversed(list(wanted))}),
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
            "PYTHONHASHSEED": "12345",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it says nothing"])[-1])
    traces: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {name: Traces(**values) for name, values in traces.items()}
