"""What a table and the state of a folder say where cells come from several machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.output.status import build_status, status_json, status_text
from analysis.output.tables import build_table
from analysis.records.load import load_records
from tests.analysis.record_files import make_record, write_record

Content = dict[str, Any]

MINE: Content = {
    "git": {"commit": "ab" * 20, "dirty": False, "unknown": None}, "packages": {"torch": "2.13.0", "transformers": "5"},
    "processor": "Old Xeon", "instruction_sets": ["avx2"], "kernels": "AVX2", "device": "cpu", "threads": 1,
}  # fmt: skip
YOURS = MINE | {"processor": "New EPYC", "instruction_sets": ["avx2", "avx512f"], "kernels": "AVX512"}
GPU = MINE | {"processor": "GPU", "instruction_sets": [], "kernels": "sm_90", "device": "cuda:0", "threads": 8}
OLDER = {name: MINE[name] for name in ("packages", "device", "threads")} | {"git": None}
EXPLAINED = (
    " Equal settings may round otherwise there, and training may amplify that to some points: "
    'see "The same everywhere?" in docs/reading-results.md.'
)


def write(results: Path, *provenances: Content, method: str = "elad", **changes: Any) -> None:
    """A cell for each of the provenances, with the seeds 1, 2, ..."""
    for seed, provenance in enumerate(provenances, 1):
        write_record(results, make_record(method, seed=seed, provenance=provenance, **changes))


def mixing(results: Path) -> list[str]:
    return [note for note in build_table(load_records(results)).notes if note.startswith("Rows mix")]


def machines(results: Path) -> list[str]:
    text = status_text(build_status(load_records(results)))
    return [line for line in text.splitlines() if line.startswith("machines:")]


def test_rows_of_two_machines_have_one_note(results: Path) -> None:
    write(results, MINE, MINE, MINE)
    write(results, YOURS, YOURS, method="srd")
    assert mixing(results) == [
        "Rows mix machines: 3 cells on Old Xeon (avx2; AVX2 kernels); "
        f"2 cells on New EPYC (avx2, avx512f; AVX512 kernels).{EXPLAINED}"
    ]


def test_one_row_whose_seeds_come_from_two_machines_has_it_too(results: Path) -> None:
    write(results, MINE, YOURS)
    [note] = mixing(results)
    assert "1 cell on New EPYC (avx2, avx512f; AVX512 kernels); 1 cell on Old Xeon" in note


@pytest.mark.parametrize(
    "others",
    [
        MINE,
        MINE | {"command": ["seed=2"], "finished": "2026-11-27T00:00:00+00:00", "git": None, "python": "3.13.0"},
        MINE | {"packages": MINE["packages"] | {"numpy": "1"}, "platform": "Linux-6-another-build"},
    ],
    ids=["the same", "another time and commit", "what computes no student"],
)
def test_cells_of_one_kind_of_machine_have_none(others: Content, results: Path) -> None:
    write(results, MINE, others)
    assert mixing(results) == []


def test_two_gpus_of_one_kind_are_one_machine_whatever_the_processor_beside_them_does(results: Path) -> None:
    write(results, GPU, GPU | {"device": "cuda:3", "threads": 64})
    assert mixing(results) == []
    assert machines(results) == ["machines: 2 cells on GPU (sm_90 kernels), torch 2.13.0, transformers 5"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kernels": "DEFAULT"}, "machines: 1 cell on Old Xeon (avx2; AVX2 kernels); 1 cell on Old Xeon (avx2; D"),
        ({"threads": 4}, "machines: 1 cell on Old Xeon (avx2; AVX2 kernels), 1 thread; 1 cell on Old Xeon"),
        ({"packages": {"torch": "2.14.1", "transformers": "5"}}, "AVX2 kernels), torch 2.13.0; 1 cell on Old Xeon"),
        ({"packages": {"torch": "2.13.0", "transformers": "6"}}, "versions: 1 cell on Old Xeon (avx2; AVX2 kernels), "),
        (GPU, "machines: 1 cell on GPU (sm_90 kernels); 1 cell on Old Xeon (avx2; AVX2 kernels), 1 thread."),
    ],
    ids=["kernels", "threads", "torch", "transformers", "device"],
)
def test_whatever_else_changes_rounding_is_named(changes: Content, named: str, results: Path) -> None:
    write(results, MINE, MINE | changes)
    [note] = mixing(results)
    assert named in note


def test_an_older_record_counts_as_unknown(results: Path) -> None:
    write(results, MINE, OLDER, OLDER)
    [note] = mixing(results)
    assert "Rows mix machines: 2 cells on an unknown processor; 1 cell on Old Xeon (avx2; AVX2 kernels)." in note
    assert machines(results) == [
        "machines: 2 cells on an unknown processor, 1 thread, torch 2.13.0, transformers 5",
        "machines: 1 cell on Old Xeon (avx2; AVX2 kernels), 1 thread, torch 2.13.0, transformers 5",
    ]


@pytest.mark.parametrize("older", [{}, OLDER], ids=["no provenance", "no processor"])
def test_older_records_alone_have_no_note(older: Content, results: Path) -> None:
    write(results, older, older)
    assert mixing(results) == []
    assert bool(machines(results)) == bool(older)


def test_blocks_that_are_not_compared_may_come_from_two_machines(results: Path) -> None:
    write(results, MINE, MINE, dataset="chain_sum")
    write(results, YOURS, YOURS, dataset="svamp")
    assert mixing(results) == []
    assert len(machines(results)) == 2


def test_where_one_block_of_several_mixes_the_note_names_it(results: Path) -> None:
    write(results, MINE, MINE, dataset="chain_sum")
    write(results, MINE, YOURS, YOURS, dataset="svamp")
    [note] = mixing(results)
    assert note.startswith("Rows mix machines (svamp: student tiny, teacher simulated): 2 cells on New EPYC (")
    assert "; 1 cell on Old Xeon" in note


def test_a_cell_in_several_blocks_counts_once(results: Path) -> None:
    tests = [{"dataset": name, "metric": "accuracy", "value": 0.5, "n": 50} for name in ("chain_sum", "svamp")]
    write(results, MINE, YOURS, test=tests)
    write(results, MINE, method="untrained")
    [note] = mixing(results)
    assert note.startswith("Rows mix machines: 2 cells on Old Xeon")
    assert "; 1 cell on New EPYC" in note


def test_a_note_names_three_machines_and_status_all(results: Path) -> None:
    write(results, MINE, *(MINE | {"processor": f"CPU {number}"} for number in (1, 1, 2, 3, 4)))
    [note] = mixing(results)
    counts = "2 cells on CPU 1 (avx2; AVX2 kernels); 1 cell on CPU 2 (avx2; AVX2 kernels); 1 cell on CPU 3 (avx2; AVX2 "
    assert f"{counts}kernels); 2 cells on 2 more." in note
    assert len(machines(results)) == 5


def test_scripts_get_every_machine_with_its_cells(results: Path) -> None:
    write(results, MINE, MINE, {"device": "mps:0"})
    write_record(results, make_record("srd", status="failed", error="no"))
    content = json.loads(json.dumps(status_json(build_status(load_records(results)))))
    unknown = {"processor": None, "device": "mps", "threads": None, "torch": None, "transformers": None, "cells": 1}
    known = {"processor": "Old Xeon (avx2; AVX2 kernels)", "device": "cpu", "threads": 1, "torch": "2.13.0"}
    assert content["machines"] == [known | {"transformers": "5", "cells": 2}, unknown]
    assert machines(results)[1] == "machines: 1 cell on an unknown mps device"


def test_a_folder_without_a_finished_cell_has_no_machine(results: Path) -> None:
    write_record(results, make_record("srd", status="failed", error="no"))
    assert machines(results) == []
    assert status_json(build_status(load_records(results)))["machines"] == []
