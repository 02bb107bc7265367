"""Tasks of the `reasoning-gym` package, an optional extra: their questions are made, not stored."""

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
"""How many items each split may look at. Item i of a task is drawn from seed + i, so equal indices are equal items."""
SPLITS = ("test", "validation", "pool")
"""In the order of their index ranges: what a split holds does not depend on the sizes of those after it."""


@dataclass(frozen=True)
class ReasoningGymDataset:
    """Three disjoint index ranges of one seed of a task; questions that were drawn already are passed over.

    `source` names the task, `settings` are its own. `rationale` is the key of an item's metadata that holds a worked
    solution, where there is one; what follows its `####` is the answer once more and left off. Two values of
    `generation_seed` share no item.
    """

    name: str
    source: str
    task: Task
    exemplars: tuple[Exemplar, ...]
    pool_size: int
    validation_size: int
    test_size: int
    rationale: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    generation_seed: int = 0
    licence: str = field(default="unknown", metadata={"identity": False})

    def __post_init__(self) -> None:
        for size in ("pool_size", "validation_size", "test_size"):
            if not 1 <= getattr(self, size) <= INDEX_RANGE:
                raise ValueError(f"{size}={getattr(self, size)} must be at least 1 and at most {INDEX_RANGE}")

    def load(self) -> Splits:
        """The splits; the same for every seed of a cell. Raises DataError where they cannot be made."""
        rows = _generate(self)
        return Splits(rows["pool"], rows["validation"], TestSplit(rows["test"]))

    def fingerprint(self) -> str:
        """A hash of all rows, so that another version of the package makes other cells where it draws other items."""
        return content_hash(*_generate(self).values())


@lru_cache(maxsize=16)
def _generate(dataset: ReasoningGymDataset) -> Mapping[str, tuple[Example, ...]]:
    items = _items(dataset)
    taken = {folded(exemplar.question) for exemplar in dataset.exemplars}
    return {split: tuple(_drawn(dataset, items, split, taken)) for split in SPLITS}


def _items(dataset: ReasoningGymDataset) -> Any:
    """All items of the three ranges, each made when it is looked at."""
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
    """The first new questions of a split's index range; `taken` grows by them."""
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
