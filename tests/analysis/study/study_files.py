"""Makes studies from results folders, and fills their questionnaires as people would."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.records.load import load_records
from analysis.study.assignment import Design
from analysis.study.constructs import NAMES
from analysis.study.items import material
from analysis.study.plan_file import Study, new_study
from tests.analysis.record_files import make_record, write_record

METHODS = ("counterfactual", "multitask", "multitask_counterfactual", "scott")


def write_explained(
    results: Path, methods: Sequence[str] = METHODS, questions: int = 30, seeds: Sequence[int] = (1,), **changes: Any
) -> None:
    """Finished cells whose students explained their first questions."""
    for number, method in enumerate(methods):
        for seed in seeds:
            record = make_record(method, seed=seed, dataset="trait_choice", **changes)
            path = write_record(results, record)
            explanations(f"Writer {number}", questions).to_parquet(path.parent / "explanations.parquet")


def explanations(writer: str, questions: int) -> pd.DataFrame:
    rows = [
        {
            "example_id": f"trait_choice-test-{number:05d}", "question": f"Which is number {number}?", "context": None,
            "choices": ["one", "two", f"number {number}"], "answer": f"number {number}", "correct": number % 3 > 0,
            "explanation": f"{writer} thinks that it is number {number}." + " Surely." * (number % 4),
        }
        for number in range(questions)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def make_study(results: Path, people: int = 20, seed: int = 0, **design: int) -> Study:
    found = material(load_records(results), None, seed, right_only=False)
    return new_study(found, Design(people, **design), seed)


def filled(study: Study, participant: str, better: Mapping[str, float] | None = None, seed: int = 0) -> dict[str, Any]:
    """A saved questionnaire: each person has a level of their own; the methods in `better` are rated so much higher."""
    generator = np.random.default_rng([seed, int(participant[1:])])
    level = generator.normal(3.2, 0.6)
    rows = []
    for page in study.pages[participant]:
        if page.asked_for is not None:
            ratings = dict.fromkeys(NAMES, page.asked_for)
        else:
            centre = level + (better or {}).get(study.items[page.item].method, 0.0)
            drawn = np.clip(np.rint(generator.normal(centre, 0.8, len(NAMES))), 1, 5)
            ratings = dict(zip(NAMES, drawn.astype(int).tolist(), strict=True))
        rows.append({"page": page.number, "item": page.item, **ratings, "seconds": 30.5})
    return {
        "version": 1, "study": study.id, "participant": participant, "started_at": "2026-11-28T09:00:00.000Z",
        "saved_at": "2026-11-28T09:30:00.000Z", "ratings": rows,
    }  # fmt: skip


def save(folder: Path, name: str, content: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def save_all(study: Study, folder: Path, better: Mapping[str, float] | None = None, seed: int = 0) -> None:
    for participant in study.pages:
        save(folder, f"ratings-{participant}.json", filled(study, participant, better, seed))
