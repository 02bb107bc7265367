"""Passes over many questions: what a selection, a weighting or a curriculum asks of a local model, shown and saved.

A pass is cut into fixed batches. The journal keeps every finished batch, so that a cell that was stopped goes on with
the next one, and gives exactly the results of a cell that never stopped.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from benchmark.console.progress import Display
from benchmark.contract import ASSISTANT, STUDENT, TextModel
from benchmark.interruption import Interrupted, was_asked_to_stop
from benchmark.records.contents import json_hash
from benchmark.records.journal import Journal, as_json, from_json
from benchmark.running.resumable_state import ResumableState, round_folder
from benchmark.student.student import Student
from benchmark.types import Json, Reply, Request, Round, TrainingExample, Usage

if TYPE_CHECKING:
    import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")
WHILE = {"selection": "selecting", "weighting": "weighting", "training": "curriculum"}
"""Phase of the cell in which passes are saved -> whose pass it is, on a bar. While training, only a curriculum asks."""
CHUNK = 1 << 20
"""Weights that are looked at together."""


@dataclass(frozen=True)
class PoolPasses:
    """Makes the local models of a cell's context show and save their passes."""

    journal: Journal
    display: Display
    state: ResumableState
    """Says in which phase the cell is."""

    def student(self, round_: Round) -> TextModel:
        """The student as the parts of a round use it."""
        return PoolModel(self.state.models.student, STUDENT, self, round_.index)

    def assistant(self, round_: Round) -> TextModel | None:
        """The assistant as the parts of a round use it; None without one."""
        model: TextModel | None = self.state.models.assistant
        return PoolModel(model, ASSISTANT, self, round_.index) if isinstance(model, Student) else model

    def forget(self, round_index: int) -> None:
        """Removes the saved passes of a round, whose results are kept elsewhere now."""
        self.journal.forget(_folder(round_index))


def _alone(model: Student) -> Student:
    return model


class PoolModel:
    """A local model whose passes over the pool show a bar with the time left, and go on where they were stopped.

    Annotators ask one question at a time; what they ask directly is neither shown nor saved.
    """

    def __init__(self, model: Student, name: str, passes: PoolPasses, round_index: int) -> None:
        self.model = model
        self.name = name
        self.passes = passes
        self.round_index = round_index

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it is the model alone: the passes of a fit's processes are neither shown nor saved."""
        return _alone, (self.model,)

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        """`samples` replies per request, in order; see `TextModel.generate`."""
        if not self._is_saved:
            return self.model.generate(requests, samples, key)
        return self._passed(
            "writes",
            requests,
            [len(request.prompt) + len(request.prefix) for request in requests],
            lambda batch: as_json(self.model.generate(batch, samples, key)),
            lambda saved: from_json(list[list[Reply]], saved),
            settings=(samples, key),
            rows_per_item=samples,
        )

    def target_log_probabilities(self, examples: Sequence[TrainingExample]) -> list[tuple[float, ...]]:
        """Per example, one natural log-probability per target token; see `TextModel.target_log_probabilities`."""
        if not self._is_saved:
            return self.model.target_log_probabilities(examples)
        return self._passed(
            "scores",
            examples,
            [len(example.prompt) + len(example.target_text) for example in examples],
            lambda batch: as_json(self.model.target_log_probabilities(batch)),
            lambda saved: [tuple(row) for row in saved],
        )

    def embeddings(self, texts: Sequence[str]) -> np.ndarray:
        """[texts, width] float32; see `TextModel.embeddings`."""
        import numpy as np

        if not self._is_saved or not texts:
            return self.model.embeddings(texts)
        rows = self._passed(
            "embeds", texts, list(map(len, texts)), lambda batch: _packed(self.model.embeddings(batch)), _unpacked
        )
        return np.stack(rows)

    @property
    def _is_saved(self) -> bool:
        return self.passes.state.phase in WHILE

    def _passed(
        self,
        verb: str,
        items: Sequence[Item],
        lengths: Sequence[int],
        compute: Callable[[Sequence[Item]], Json],
        read: Callable[[Json], Sequence[Result]],
        settings: tuple[int | str, ...] = (),
        rows_per_item: int = 1,
    ) -> list[Result]:
        """One result per item, in order: as an earlier attempt saved it, else computed now and read back.

        `rows_per_item` is the number of rows that an item takes in a batch of the model; `settings` are what else the
        results depend on, besides the items and the weights. Raises Interrupted behind a saved batch if the process
        was asked to stop since the pass began.
        """
        passes, phase = self.passes, self.passes.state.phase
        content = [self.name, verb, *settings, self.model.seed, _mark(self.model), [as_json(item) for item in items]]
        name = f"{_folder(self.round_index)}/{phase}-{json_hash(content)[:16]}.jsonl"
        found: dict[int, Result] = {}
        asked_before = was_asked_to_stop()
        shown = f"{WHILE[phase]}: {self.name} {verb}" + (f", round {self.round_index + 1}" if self.round_index else "")
        with passes.display.bar(shown, len(items) * rows_per_item) as advance:
            saved = passes.journal.lines(name)
            for number, places in enumerate(_batches(lengths, max(1, self.model.batch_size // rows_per_item))):
                if number < len(saved):
                    row = saved[number]
                    self.model.book(from_json(Usage, row["usage"]), Counter(row["counts"]))
                else:
                    row = self._computed(compute, [items[i] for i in places])
                    passes.journal.append(name, row)
                found.update(zip(places, read(row["results"]), strict=True))
                advance(len(places) * rows_per_item, earlier=number < len(saved))
                if was_asked_to_stop() and not asked_before:
                    # Inside a fit a signal waits for the next step, which is as far away as the end of the pass.
                    raise Interrupted(f"{shown}: {len(found):,} of {len(items):,} are saved")
        return [found[i] for i in range(len(items))]

    def _computed(self, compute: Callable[[Sequence[Item]], Json], items: Sequence[Item]) -> Json:
        """The results for a batch with what the model counted meanwhile, as JSON."""
        usage, counters = self.model.usage, Counter(self.model.counters)
        results = compute(items)
        counts = {name: count - counters[name] for name, count in self.model.counters.items()}
        return {"results": results, "usage": as_json(self.model.usage - usage), "counts": counts}


def _folder(round_index: int) -> str:
    return f"{round_folder(round_index)}/passes"


def _batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices in batches of similar length. Equal lengths give equal batches, which a later attempt finds saved."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _mark(model: Student) -> list[list[str | int]]:
    """Name and checksum of the weights that training moves, so that no pass of other weights is taken for this one."""
    import torch

    marks: list[list[str | int]] = []
    for name, weight in model.network.named_parameters():
        if weight.requires_grad:
            bits = weight.detach().reshape(-1).view(torch.int32 if weight.element_size() == 4 else torch.int16)
            total = 0
            for part in torch.split(bits, CHUNK):
                factors = torch.arange(1, len(part) + 1, device=part.device)
                total = (31 * total + int((part.long() * factors).sum())) % 2**61
            marks.append([name, total])
    return marks


def _packed(rows: np.ndarray) -> Json:
    return {"width": rows.shape[1], "float32": base64.b64encode(rows.astype("<f4").tobytes()).decode()}


def _unpacked(saved: Json) -> Sequence[np.ndarray]:
    import numpy as np

    flat = np.frombuffer(base64.b64decode(saved["float32"]), dtype="<f4")
    return list(flat.reshape(-1, saved["width"]))
