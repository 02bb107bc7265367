"""Writes results folders as the engine leaves them."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]
NO_TEACHER = {"untrained", "gold_answers"}


def cost(questions: int, usd: float | None = 0.12, calls: int | None = None) -> Record:
    """One source's ledger entry."""
    tokens = {"prompt_tokens": 80 * questions, "completion_tokens": 20 * questions}
    return {"questions": questions, "calls": questions if calls is None else calls, "usd": usd, **tokens}


def make_record(method: str = "rationale_then_answer", value: float = 0.9, seed: int = 1, **changes: Any) -> Record:
    """A complete record; `changes` replace top-level names, and `config` is merged into the default one."""
    teacher = changes.pop("teacher", None if method in NO_TEACHER else "simulated")
    dataset, student = changes.get("dataset", "chain_sum"), changes.get("student", "tiny")
    budget = changes.pop(
        "budget", {"questions": None if method == "untrained" else 1000, "calls": None, "tokens": None, "usd": None}
    )
    config = {
        "seed": seed, "data_seed": 0, "results_dir": "results", "data_dir": None, "mode": "run",
        "trainer": {"devices": 1, "threads": 1}, "logger": {"csv": True},
        "dataset": {"name": dataset}, "student": {"name": student},
        "teacher": {"name": teacher or "simulated", "error_rate": 0.05},
        "format": {"name": method}, "optimization": {"max_steps": 1500, "learning_rate": 0.003}, "budget": budget,
    }  # fmt: skip
    for group, values in changes.pop("config", {}).items():
        config[group] = {**config.get(group, {}), **values} if isinstance(values, dict) else values
    charged = {"human": cost(1000, 0.0, 0)} if method == "gold_answers" else {"teacher": cost(budget["questions"] or 0)}
    first_round = {"index": 0, "annotated": budget["questions"], "charged": charged, "spent": charged}
    rounds = [] if method == "untrained" else [first_round | {"validation": {"accuracy": value}, "notes": {}}]
    latencies = {"latency_p50_seconds": 0.12, "latency_p95_seconds": 0.3456}
    test = {"dataset": dataset, "metric": "accuracy", "value": value, "n": 500}
    record = {
        "status": "complete", "error": None, "method": method, "dataset": dataset, "student": student,
        "teacher": teacher, "seed": seed, "data_seed": config["data_seed"], "budget": budget, "config": config,
        "uses_gold": method == "gold_answers", "rounds": rounds, "cost_estimated": False,
        "test": [test | {"completion_tokens_per_answer": 18.2, "seconds_per_answer": 0.004} | latencies],
        "teacher_reference": {"split": "test", "metric": "accuracy", "value": 0.95, "n": 500} if teacher else None,
        "train": {"tokens": 10, "optimiser_steps": 1500, "seconds": 24.1, "peak_memory_bytes": 1, "flops": 1},
        "counters": {}, "provenance": {},
    }  # fmt: skip
    record = copy.deepcopy(record | changes)
    identity = identity_of(record)
    return {"cell_id": hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32], "identity": identity} | record


def identity_of(record: Record) -> Record:
    """What the engine would call the cell's identity: no execution settings, no part that the cell cannot use."""
    unused = {"trainer", "logger", "results_dir", "data_dir", "mode", "references"}
    unused |= set() if record["teacher"] else {"teacher"}
    unused |= {"teacher", "budget", "optimization", "data_seed"} if record["method"] == "untrained" else set()
    parts = {name: value for name, value in record["config"].items() if name not in unused}
    return {"method_parts": record["method"], **parts}


def write_record(results: Path, record: Mapping[str, Any]) -> Path:
    """The path of the written record."""
    path = results / str(record["cell_id"]) / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def write_manifest(results: Path, cells: list[Record], created: str = "2026-11-21T10:00:00") -> Path:
    """The path of a manifest that plans the cells of these records."""
    names = ("cell_id", "method", "dataset", "student", "teacher", "seed")
    path = results / ".manifests" / f"{created.replace(':', '')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"created": created, "cells": [{name: cell[name] for name in names} for cell in cells]}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_small_sweep(results: Path) -> list[Record]:
    """Four methods with three seeds, and one failed cell; the records as written."""
    values = {
        "untrained": (0.0, 0.01, 0.02),
        "gold_answers": (0.33, 0.34, 0.36),
        "answer_only": (0.31, 0.33, 0.34),
        "elad": (0.90, 0.91, 0.93),
    }
    records = [make_record(method, v, seed) for method, row in values.items() for seed, v in enumerate(row, 1)]
    records.append(make_record("srd", seed=1, status="failed", error="the loss became NaN\nat step 12"))
    for record in records:
        write_record(results, record)
    return records
