"""Tasks of the optional `reasoning-gym` package, which generates their questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from benchmark.contract import Task
from benchmark.errors import DataError
from benchmark.tasks.dataset import Exemplar, Splits, TestSplit, content_hash, folded, refuse_unreadable_gold
from benchmark.types import Example

INDEX_RANGE = 100_000
"""How many items each split may look at. Item i of a task depends on seed + i, so equal indices give equal items."""
SPLITS = ("test", "validation", "pool")
"""In the order of their index ranges: a split's rows do not depend on the sizes of later splits."""


@dataclass(frozen=True)
class ReasoningGymDataset:
    """One split from each of three disjoint index ranges of a task; a question that occurs again is skipped."""

    name: str
    """The name in tables."""
    source: str
    """The name of the task in reasoning-gym."""
    task: Task
    """How questions are shown and answers read."""
    exemplars: tuple[Exemplar, ...]
    """Worked examples for the teacher's few-shot prompts; no split contains them."""
    pool_size: int
    """Number of questions in the pool."""
    validation_size: int
    """Number of questions in the validation split."""
    test_size: int
    """Number of questions in the test split."""
    rationale: str | None = None
    """The metadata key of a worked solution; null for none. Text after `####`, the answer, is cut off."""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The task's own settings in reasoning-gym."""
    generation_seed: int = 0
    """The seed of all questions; two seeds share no item."""
    licence: str = field(default="unknown", metadata={"identity": False})
    """The licence of the data."""

    def __post_init__(self) -> None:
        for size in ("pool_size", "validation_size", "test_size"):
            if not 1 <= getattr(self, size) <= INDEX_RANGE:
                raise ValueError(f"{size}={getattr(self, size)} must be at least 1 and at most {INDEX_RANGE}")

    def load(self) -> Splits:
        """The splits; the same for every seed of a cell. Raises DataError if they cannot be made."""
        rows = _generate(self)
        return Splits(rows["pool"], rows["validation"], TestSplit(rows["test"]))

    def fingerprint(self) -> str:
        """A hash of all rows: if another version of the package gives other rows, cells get other ids."""
        return content_hash(*_generate(self).values())


@lru_cache(maxsize=16)
def _generate(dataset: ReasoningGymDataset) -> Mapping[str, tuple[Example, ...]]:
    items = _items(dataset)
    taken = {folded(exemplar.question) for exemplar in dataset.exemplars}
    return {split: tuple(_drawn(dataset, items, split, taken)) for split in SPLITS}


def _items(dataset: ReasoningGymDataset) -> Any:
    """All items of the three ranges; each is generated when it is read."""
    try:
        import reasoning_gym
    except ImportError as error:
        raise DataError(
            f"dataset={dataset.name} needs the package reasoning-gym: "
            "pip install 'distillation-benchmark[reasoning-gym]'"
        ) from error
    size = INDEX_RANGE * len(SPLITS)
    try:
        return reasoning_gym.create_dataset(
            dataset.source, seed=dataset.generation_seed * size, size=size, **dataset.settings
        )
    except (AssertionError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"dataset.source={dataset.source} cannot be made by reasoning-gym: {said}") from error


def _drawn(dataset: ReasoningGymDataset, items: Any, split: str, taken: set[str]) -> Iterator[Example]:
    """The first new questions of a split's index range; adds them to `taken`."""
    start, size, count = SPLITS.index(split) * INDEX_RANGE, getattr(dataset, f"{split}_size"), 0
    for index in range(start, start + INDEX_RANGE):
        example = _example(dataset, items[index], index)
        if folded(example.question) in taken:
            continue
        taken.add(folded(example.question))
        yield example
        count += 1
        if count == size:
            return
    raise DataError(f"dataset.{split}_size={size}: {dataset.source} has only {count} more questions")


def _example(dataset: ReasoningGymDataset, item: Mapping[str, Any], index: int) -> Example:
    worked = item["metadata"].get(dataset.rationale) if dataset.rationale else None
    rationale = None if worked is None else str(worked).partition("####")[0].strip()
    example = Example(f"{dataset.name}-{index:06d}", item["question"], str(item["answer"]), rationale=rationale)
    refuse_unreadable_gold(f"dataset={dataset.name}", dataset.task, example)
    return example
