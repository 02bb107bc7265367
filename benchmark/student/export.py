"""A trained student as an ordinary Hugging Face folder, with a card that says where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.student.lora import merged
from benchmark.student.student import Student


def export(student: Student, folder: Path, record: Mapping[str, Any]) -> None:
    """Writes weights (safetensors, adapters merged into them), config, tokenizer and model card."""
    merged(student.network).save_pretrained(folder)
    student.tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(model_card(record), encoding="utf-8")


def model_card(record: Mapping[str, Any]) -> str:
    """Markdown: the cell, its data, its teacher and its score."""
    test = record["test"][0]
    return f"""---
library_name: transformers
tags: [distillation, reasoning]
---
# {record["method"]} on {record["dataset"]}

A student of the distillation benchmark, made by cell `{record["cell_id"]}`.

| what | value |
|---|---|
| method | {record["method"]} |
| dataset | {record["dataset"]} |
| teacher | {record["teacher"] or "none"} |
| initial student | {record["student"]} |
| seed | {record["seed"]} |
| annotated questions | {record["rounds"][-1]["annotated"] if record["rounds"] else 0} |
| test {test["metric"]} | {test["value"]:.3f} (n = {test["n"]}) |

The licences of the dataset, of the teacher's outputs and of the initial student apply to these weights.
"""
