"""Writes results folders that fill every section of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tests.analysis.record_files import Record, cost, make_record, write_manifest, write_record

OVERLAP = {"exact": 2, "near": 3, "any": 5, "short": 7, "covered": 0.125}
PROVENANCE = {
    "engine_version": 3,
    "git": {"commit": "0123456789abcdef", "dirty": True},
    "packages": {"torch": "2.13.0", "transformers": "5.23.0"},
    "python": "3.11.7",
    "platform": "Linux",
    "processor": "A processor",
    "device": "cpu",
    "threads": 1,
    "command": ["experiment=small", "note=two words"],
    "finished": "2026-11-28T10:00:00+00:00",
}
VALUES = {"untrained": 0.02, "answer_only": 0.4, "elad": 0.7, "gold_answers": 0.5}


def rounds(method: str, value: float, seed: int) -> list[Record]:
    """Three rounds for `elad`, one for other trained methods."""
    bought = {"elad": (100, 300, 1000), "untrained": ()}.get(method, (1000,))
    source = "human" if method == "gold_answers" else "teacher"
    return [
        {
            "index": i, "annotated": count, "charged": {source: cost(count)}, "spent": {},
            "computed": {"student/selection": cost(10 * count)} if method == "elad" else {},
            "validation": {"accuracy": value - 0.1 * (len(bought) - i - 1) + 0.01 * seed}, "notes": {},
        }
        for i, count in enumerate(bought)
    ]  # fmt: skip


def full_record(method: str, seed: int, **changes: Any) -> Record:
    """A record with all that a section may show; its test result is that of the method with a little of the seed."""
    value = VALUES.get(method, 0.3) + 0.01 * seed
    test = {
        "dataset": "chain_sum", "metric": "accuracy", "value": value, "n": 500, "pool_overlap": OVERLAP,
        "learnt_overlap": {**OVERLAP, "exact": 4, "near": 6, "any": 8}, "completion_tokens_per_answer": 12.5,
    }  # fmt: skip
    known: Record = {
        "rounds": rounds(method, value, seed),
        "test": [test],
        "counters": {"unparsed_answers": 0 if method == "elad" else 3, "left_out_rows": 0},
        "seconds": 60.0 + seed,
        "seconds_by_phase": {"training": 50.0, "evaluation": 2.5},
        "provenance": PROVENANCE,
        "config": {"format": {"name": "same", "_target_": f"formats.{method.title()}"}},
    }
    return make_record(method, value, seed, **(known | changes))


def predictions(right: Sequence[bool], rationale: str = "1+2=3") -> pd.DataFrame:
    """One row per question `q-0`, `q-1`, ...; the answer is the gold one where it is right."""
    numbers = range(len(right))
    return pd.DataFrame(
        {
            "example_id": [f"q-{number}" for number in numbers],
            "prompt": [f"What is {number} + 1?" for number in numbers],
            "text": ["text"] * len(right),
            "rationale": [rationale] * len(right),
            "answer": [str(number + 1) if is_right else None for number, is_right in enumerate(right)],
            "gold": [str(number + 1) for number in numbers],
            "correct": list(right),
            "grade": [None] * len(right),
            "outcome": ["right" if is_right else "unread" for is_right in right],
        }
    )


def write_cell(results: Path, record: Record, frame: pd.DataFrame | None = None) -> Path:
    """The cell's folder, with its predictions if there are any."""
    folder = write_record(results, record).parent
    if frame is not None:
        frame.to_parquet(folder / "predictions.parquet")
    return folder


def write_full_sweep(results: Path) -> dict[tuple[str, int], Path]:
    """Four methods with three seeds, a failed cell and a missing one; (method, seed) -> the cell's folder.

    Of the questions q-0 to q-8, `answer_only` answers the even ones, `elad` all but q-8, `gold_answers` none.
    """
    right = {
        "answer_only": [number % 2 == 0 for number in range(9)],
        "elad": [number < 8 for number in range(9)],
        "gold_answers": [False] * 9,
    }
    records = {(method, seed): full_record(method, seed) for method in VALUES for seed in (1, 2, 3)}
    folders = {
        who: write_cell(results, record, predictions(right[who[0]]) if who[0] in right else None)
        for who, record in records.items()
    }
    failed = make_record("srd", seed=1, status="failed", error="the loss became NaN\nat step 12")
    write_record(results, failed)
    write_manifest(results, [*records.values(), failed, make_record("never_run")])
    return folders


def write_many(results: Path, count: int, questions: int = 0) -> None:
    """So many cells with three seeds per method; each has as many predictions as there are questions."""
    for number in range(count):
        record = full_record(f"method-{number // 3:05d}", seed=number % 3 + 1)
        write_cell(results, record, predictions([number % 2 == 0] * questions) if questions else None)
