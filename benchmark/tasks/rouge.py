"""ROUGE-L (Lin, 2004): how much of a reference's wording a text has, by the package rouge-score."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from benchmark.extras import absence

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer


def rouge_absence() -> str | None:
    """Why ROUGE-L cannot be computed here, and what to install; None if it can."""
    why = absence("rouge_score")
    return None if why is None else f"the package rouge-score, which {why}: pip install 'distillation-benchmark[rouge]'"


def rouge_l(reference: str, text: str) -> float:
    """F1 in [0, 1] over lower-case words of letters and digits, without stemming; 1 for equal words."""
    return float(_scorer().score(reference, text)["rougeL"].fmeasure)


@lru_cache(maxsize=1)
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=False)
