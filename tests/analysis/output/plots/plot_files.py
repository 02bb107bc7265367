"""Results folders with everything that a picture can show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tests.analysis.record_files import Record, cost, make_record, write_record

LONG = "multitask_counterfactual+annotation=critique_revision_and_counterfactual+format=multitask_short+variant_"
"""With a letter behind it, a name of more than 100 characters."""
QUESTIONS = 40
BINS = 10


def write_cells(
    results: Path,
    methods: Sequence[str],
    seeds: Sequence[int] = (1, 2, 3),
    dataset: str = "chain_sum",
    student: str = "tiny",
) -> list[Path]:
    """One cell per method and seed, with predictions and a log of two rounds; returns the cells' folders."""
    folders = []
    for number, method in enumerate(methods):
        for seed in seeds:
            rng = np.random.default_rng([number, seed])
            right = rng.random(QUESTIONS) < 0.4 + 0.04 * number
            record = make_record(
                method,
                float(right.mean()),
                seed,
                dataset=dataset,
                student=student,
                rounds=_rounds(number, rng),
                seconds_by_phase={"selection": 1.0 + number, "training": 20.0, "evaluation": 3.0, "curriculum": 0.5},
                weight_calibration=calibration(rng),
                config={"format": {"name": "same"}},
            )
            folder = write_record(results, record).parent
            rows = {"example_id": [f"q{i}" for i in range(QUESTIONS)], "correct": right, "grade": None}
            pd.DataFrame(rows).to_parquet(folder / "predictions.parquet")
            write_log(folder, rng)
            folders.append(folder)
    return folders


def _rounds(number: int, rng: np.random.Generator) -> list[Record]:
    """Two rounds; each method buys more than the one before it."""
    return [
        {
            "index": index,
            "annotated": bought,
            "charged": {"teacher": cost(bought)},
            "spent": {"teacher": cost(bought)},
            "computed": {"student/selection": cost(10 * bought, None), "assistant/weighting": cost(bought, None)},
            "validation": {"accuracy": round(float(rng.uniform(0.3, 0.9)), 3)},
            "notes": {},
        }
        for index, bought in enumerate((50 + 60 * number, 100 + 120 * number))
    ]


def calibration(rng: np.random.Generator) -> Record:
    """A calibration whose two lowest bins are empty."""
    counts = [0, 0, *(int(n) for n in rng.integers(1, 60, BINS - 2))]
    bins = [
        {
            "low": index / BINS,
            "high": (index + 1) / BINS,
            "n": count,
            "mean_confidence": (index + 0.5) / BINS if count else None,
            "share_right": round(float(rng.random()), 3) if count else None,
        }
        for index, count in enumerate(counts)
    ]
    return {"n": sum(counts), "auroc": 0.7, "ece": round(float(rng.uniform(0.05, 0.3)), 3), "bins": bins}


def write_log(folder: Path, rng: np.random.Generator, rounds: int = 2) -> None:
    """A training log: a loss of two terms every 20 steps, and a validation result at the end of each round."""
    rows = []
    for number in range(rounds):
        for step in range(100 * number, 100 * number + 100, 20):
            label, rationale = rng.uniform(0.5, 1.5, 2) * np.exp(-(step % 100) / 25)
            losses = {"train/loss": label + rationale, "train/label": label, "train/rationale": rationale}
            rows.append({"round": number, "step": step, "train/learning_rate": 0.001, **losses})
        rows.append({"round": number, "step": 100 * (number + 1), "validation/accuracy": rng.uniform(0.3, 0.9)})
    (folder / "log").mkdir()
    pd.DataFrame(rows).to_csv(folder / "log" / "metrics.csv", index=False)
