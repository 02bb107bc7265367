"""What is written about a cell: a folder under a temporary name, renamed when it is whole, its record last."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.records.catalog import RECORD
from benchmark.records.contents import contents
from benchmark.records.evidence import RankedQuestion, TrainedStage
from benchmark.records.schema import Record
from benchmark.types import Annotation, Explanation, Prediction, SampledAnswer

if TYPE_CHECKING:
    import pandas as pd


class CellFolder:
    """The folder of one cell while it is being written: `<results>/.writing/<cell_id>-<process id>`."""

    def __init__(self, results: Path, cell_id: str) -> None:
        self.results = results
        self.cell_id = cell_id
        self.path = results / ".writing" / f"{cell_id}-{os.getpid()}"
        for left in (results / ".writing").glob(f"{cell_id}-*"):  # by processes that died
            shutil.rmtree(left, ignore_errors=True)
        self.path.mkdir(parents=True)

    @property
    def final(self) -> Path:
        """Where the finished cell will lie."""
        return self.results / self.cell_id

    def write_predictions(self, name: str, predictions: Sequence[Prediction]) -> None:
        """One row per evaluated example, as Parquet."""
        self._write_table(name, [{**asdict(prediction), "outcome": prediction.outcome} for prediction in predictions])

    def write_samples(self, answers: Sequence[SampledAnswer]) -> None:
        """One row per sampled answer."""
        self._write_table("samples", [asdict(answer) for answer in answers])

    def write_explanations(self, explanations: Sequence[Explanation]) -> None:
        """One row per explained test question."""
        self._write_table("explanations", [asdict(each) for each in explanations])

    def write_annotations(self, annotations: Sequence[Annotation]) -> None:
        """One row per annotation; evidence, prompts and replies as JSON text."""
        self._write_table("annotations", [_annotation_row(row) for row in annotations])

    def write_picks(self, ranked: Sequence[RankedQuestion]) -> None:
        """One row per question that a selection ranked in a round, bought or not; evidence as JSON text."""
        rows = [{**asdict(row), "score": _float(row.score), "evidence": _json(row.evidence)} for row in ranked]
        self._write_table("picks", rows)

    def write_stages(self, stages: Sequence[TrainedStage]) -> None:
        """One row per stage of training; settings and memory as JSON text."""
        texts = [{"settings": _json(row.settings), "memory": _json(row.memory)} for row in stages]
        self._write_table("stages", [{**asdict(row), **text} for row, text in zip(stages, texts, strict=True)])

    def _write_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        import pandas as pd

        frame: pd.DataFrame = pd.DataFrame(list(rows))
        frame.to_parquet(self.path / f"{name}.parquet", index=False)

    def finish(self, record: Record) -> Path:
        """Writes the record and gives the folder its name; what stood there before is kept under `.attempts`.

        Raises:
            ValueError: a field that the schema does not know holds NaN or infinity.
        """
        tables = sorted(path.name for path in self.path.glob("*.parquet"))
        whole = record.model_copy(update={"files": contents(self.path, *tables, "student")})
        text = json.dumps(whole.as_json(), indent=2, allow_nan=False, ensure_ascii=False)
        with (self.path / RECORD).open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        if self.final.exists():
            self.final.rename(_free_name(self.results / ".attempts", self.cell_id))
        self.path.rename(self.final)
        return self.final

    def why_unwritable(self, error: OSError) -> str:
        """A sentence that says why the cell's files could not be written."""
        if not self.path.is_dir():
            return f"{self.path} is gone: results_dir={self.results} was deleted or moved while the cell ran"
        return f"results_dir={self.results} cannot be written ({error.strerror or error})"

    def discard(self) -> None:
        """Forgets an interrupted attempt."""
        shutil.rmtree(self.path, ignore_errors=True)


def _free_name(folder: Path, cell_id: str) -> Path:
    folder.mkdir(exist_ok=True)
    number = 1
    while (folder / f"{cell_id}-{number}").exists():
        number += 1
    return folder / f"{cell_id}-{number}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _float(value: float | None) -> float:
    """The number as a float, NaN for None, so that every cell's column has one type; the file has null for NaN."""
    return math.nan if value is None else float(value)


def _annotation_row(row: Annotation) -> dict[str, Any]:
    exchanges = [asdict(exchange) for exchange in row.exchanges]
    return {
        "id": row.id,
        "round": row.round,
        "question_id": row.question.id,
        "question": row.question.text,
        "kind": row.kind,
        "source": row.source,
        "sample": row.sample,
        "rationale": row.rationale,
        "answer": row.answer,
        "weight": row.weight,
        "reason": row.reason,
        "weight_evidence": _json(row.weight_evidence),
        "evidence": _json(row.evidence),
        "exchanges": _json(exchanges),
    }
