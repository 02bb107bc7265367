"""How much of a test set stands in the pool and in everything that was bought. It is counted and said, never used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmark.tasks.dataset import Dataset
from benchmark.tasks.overlap import NEAR_PERCENT, Overlap
from benchmark.types import Annotation

WHERE_TO_READ = "docs/datasets.md, Leaks"


@dataclass(frozen=True)
class Leaks:
    """What of one test set the student may have learnt from."""

    questions: int
    """Test questions."""
    pool: Overlap
    """With the questions of the pool."""
    learnt: Overlap
    """With the pool and with everything that was bought: questions, rationales, prompts and replies."""


_pool_overlaps: dict[tuple[str, str], Overlap] = {}
"""By the contents of the two datasets: a grid has many cells of the same two."""


def pool_overlap(own: Dataset, tested: Dataset) -> Overlap:
    """How many test questions of `tested` stand in the pool of `own`. Each pair is counted once in a process."""
    contents = own.fingerprint(), tested.fingerprint()
    if contents not in _pool_overlaps:
        pool = own.load().pool
        _pool_overlaps[contents] = tested.load().test.overlap(row.without_gold() for row in pool)
    return _pool_overlaps[contents]


def leaks_of(own: Dataset, tested: Dataset, annotations: Sequence[Annotation]) -> Leaks:
    """What of the test set of `tested` stands in the pool of `own`, and in it and the annotations together."""
    of_pool, test = pool_overlap(own, tested), tested.load().test
    if not annotations:
        return Leaks(len(test), of_pool, of_pool)
    questions = [*(row.without_gold() for row in own.load().pool), *(row.question for row in annotations)]
    return Leaks(len(test), of_pool, test.overlap(questions, dict.fromkeys(_texts(annotations))))


def pool_warning(own: Dataset, tested: Dataset) -> str | None:
    """One line if test questions of `tested` stand in the pool of `own`, exactly or nearly; else None."""
    return _line(tested.name, f"the pool of {own.name} holds", len(tested.load().test), pool_overlap(own, tested))


def bought_warning(own: Dataset, tested: Dataset, leaks: Leaks) -> str | None:
    """One line if what was bought adds test questions to those that stand in the pool; else None."""
    if (leaks.learnt.exact, leaks.learnt.near) == (leaks.pool.exact, leaks.pool.near):
        return None
    return _line(tested.name, f"the pool of {own.name} and what was bought hold", leaks.questions, leaks.learnt)


def _line(tested: str, holder: str, questions: int, found: Overlap) -> str | None:
    if not found.near:
        return None
    return (
        f"{tested}: {holder} {found.exact:,} of {questions:,} test questions word for word, and {NEAR_PERCENT} % or "
        f"more of the wording of {found.near:,} ({WHERE_TO_READ})"
    )


def _texts(annotations: Sequence[Annotation]) -> Iterator[str]:
    """Everything that was written about the questions or shown for it, empty texts apart."""
    for row in annotations:
        texts = [row.rationale, row.answer]
        for exchange in row.exchanges:
            texts += (exchange.request.prompt, exchange.request.prefix, exchange.reply.text, exchange.reply.trace)
        yield from filter(None, texts)
