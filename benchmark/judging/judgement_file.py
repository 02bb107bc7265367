"""The file of judgements: where it lies, and how it is written and read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd
import pyarrow.parquet

from benchmark.judging.asking import Judgement
from benchmark.judging.cells import Pair
from benchmark.judging.comparisons import Comparison
from benchmark.records.journal import from_json, replace_file
from benchmark.teachers.store_key import canonical_json, teacher_identity
from benchmark.teachers.teacher import Teacher

FOLDER = ".judgements"
"""In the results folder of the first cell. A folder that begins with a dot is read as no cell."""
DIGITS = 8


def place_of(pair: Pair, teacher: Teacher, wanted: Sequence[Comparison]) -> Path:
    """The file for what is wanted: `FIRST-SECOND-TEACHER-HASH.parquet`.

    The hash is about the teacher's settings and model and about every prompt: another model under one teacher's name,
    other constructs, questions or explanations make another file.
    """
    dataset = pair.first.dataset
    prompts = [each.request(dataset).prompt for each in wanted]
    asked = canonical_json([teacher_identity(teacher, dataset), prompts])
    digest = hashlib.sha256(asked.encode()).hexdigest()[:DIGITS]
    name = re.sub(r"[^\w.-]", "_", teacher.name)
    ids = f"{pair.first.record.cell_id}-{pair.second.record.cell_id}"
    return pair.first.folder.parent / FOLDER / f"{ids}-{name}-{digest}.parquet"


def write_judgements(place: Path, judgements: Sequence[Judgement], pair: Pair, judge: str, model: str) -> None:
    """Writes the file; an interruption leaves none."""
    rows = [asdict(each) for each in judgements]
    of_all = {"first": pair.first.record.cell_id, "second": pair.second.record.cell_id, "judge": judge, "model": model}
    frame = pd.DataFrame(rows).assign(**of_all)
    replace_file(place, lambda path: frame.to_parquet(path, index=False))


def read_judgements(place: Path) -> list[Judgement]:
    """The judgements in a file, in the order in which they were written."""
    names = [field.name for field in fields(Judgement)]
    rows = pyarrow.parquet.read_table(place, columns=names).to_pylist()
    return [from_json(Judgement, row) for row in rows]
