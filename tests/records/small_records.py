"""The smallest records that the schema takes, for tests of what stands around them."""

from __future__ import annotations

from typing import Any

from benchmark.records.schema import CompleteRecord, FailedRecord


def names(cell_id: str) -> dict[str, Any]:
    """What both kinds of record need, by field."""
    return {
        "cell_id": cell_id,
        "method": "gold_answers",
        "dataset": "chain_sum",
        "student": "tiny",
        "teacher": None,
        "seed": 1,
        "data_seed": 0,
        "budget": {"questions": 20, "calls": None, "tokens": None, "usd": None},
        "identity": {},
    }


def complete_record(cell_id: str = "abc", **unknown: Any) -> CompleteRecord:
    """A finished cell without rounds; `unknown` are fields that the schema does not have."""
    content = {
        "status": "complete",
        "uses_gold": True,
        "rounds": [],
        "cost_estimated": False,
        "test": [{"dataset": "chain_sum", "metric": "accuracy", "value": 0.5, "n": 2}],
        "teacher_reference": None,
        "train": {"optimiser_steps": 0, "tokens": 0, "seconds": 0, "flops": 0},
    }
    return CompleteRecord.model_validate({**names(cell_id), **content, **unknown})


def failed_record(cell_id: str = "abc", error: str = "no luck") -> FailedRecord:
    """A cell that ended with an error."""
    return FailedRecord.model_validate({**names(cell_id), "status": "failed", "error": error})
