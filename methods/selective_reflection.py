"""Selective Reflection Distillation and POCL (Liu and Zhang, 2025): the student finds what is easy, and learns that.

The student answers every training prompt and scores every target before training. Two rankings of the examples, by
overlap and by surprise, are fused; the hardest part is left out, and the rest is fed in nested, growing stages while
temperature and weight of the distillation term rise (docs/methods/selective_reflection.md).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from benchmark.contract import Context, Requirements
from benchmark.extras import absence
from benchmark.types import Json, Reply, Request, Stage, TrainingExample
from methods.ranks import refuse_unknown

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

Order = Literal["easy_first", "hard_first", "random"]
"""Which of the kept groups come first; `random` also keeps random ones."""
Signals = Literal["both", "overlap", "surprise"]
"""What the ranking goes by."""
Overlap = Literal["words", "signs"]
"""What counts as a token of a text: see `overlap_of`."""
WORD, SIGN = re.compile(r"[a-z0-9]"), re.compile(r"\w|[^\w\s]")


@dataclass(frozen=True)
class SelectiveReflection:
    """Ranks the groups once in a fit, and trains on nested, growing subsets of the easiest (the paper's algorithm).

    Every example of a stage is seen equally often in all stages, so a stage's share of the steps follows its size. Each
    stage begins with a fresh optimiser and goes on from the weights at the end of the one before.
    """

    partitions: int = 4
    """Into how many parts of equal size the ranking is cut."""
    kept: int = 3
    """How many of them are ever trained on, from the easiest on; also the number of nested stages."""
    order: Order = "easy_first"
    """`hard_first` feeds the same kept groups, the hardest of them first; `random` keeps random groups, unranked."""
    signals: Signals = "both"
    """`overlap` or `surprise` ranks by that one signal alone; the pass over the examples is the same."""
    overlap: Overlap = "words"
    """`words` needs the extra `rouge`; `signs` suits solutions such as `4+3=7`, whose signs `words` would not see."""
    nested: bool = True
    """False: all kept groups in one stage, which is selection without a curriculum."""
    rrf_constant: int = 60
    """How little the first places stand out when ranks are fused."""
    temperature_start: float | None = 1.0
    """The loss's `temperature` in the first stage; None leaves that of the loss in all stages."""
    temperature_end: float | None = 2.0
    """The same in the last kept stage; stages between them lie on a line."""
    distillation_weight_start: float | None = 0.8
    """The loss's `distillation_weight` in the first stage; None leaves that of the loss in all stages."""
    distillation_weight_end: float | None = 1.0
    """The same in the last kept stage."""
    max_new_tokens: int | None = None
    """The most tokens of the student's own answers; None: the student's cap."""

    def __post_init__(self) -> None:
        if not 1 <= self.kept <= self.partitions:
            raise ValueError(f"kept={self.kept} must be between 1 and partitions={self.partitions}")
        refuse_unknown(order=(self.order, Order), signals=(self.signals, Signals), overlap=(self.overlap, Overlap))
        if self.rrf_constant < 0:
            raise ValueError(f"rrf_constant={self.rrf_constant} must be at least 0")
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens={self.max_new_tokens} must be at least 1, or null for the student's cap")
        _refuse_ends("temperature", self.temperature_start, self.temperature_end, above_zero=True, most=math.inf)
        weights = (self.distillation_weight_start, self.distillation_weight_end)
        _refuse_ends("distillation_weight", *weights, above_zero=False, most=1.0)
        if self._asks_student and self.overlap == "words" and (why := absence("rouge_score")) is not None:
            raise ValueError(
                f"overlap=words needs the package rouge-score, which {why}: pip install "
                "'distillation-benchmark[rouge]', or choose curriculum.overlap=signs"
            )

    def requires(self) -> Requirements:
        """Nothing: every student writes and scores text, and the targets are those that the student learns anyway."""
        return Requirements()

    def next_stage(self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Context) -> Stage | None:
        """The next stage, with its examples in the order of `examples`; None after the last.

        Examples whose target is empty are never trained on; the note `empty_references` counts them. The first stage's
        `memory` has the columns of the ranking. Raises ValueError for too few groups, for examples without any target
        text, and where no target has a word that `overlap=words` could compare.
        """
        usable = [example for example in examples if example.target_text.strip()]
        if not done:
            context.note(empty_references=len(examples) - len(usable))
        ranking = done[0].memory if done else self._ranking(usable, context)
        sizes = self._sizes(len(ranking["group"]))
        number = len(done)
        if number == len(sizes):
            return None
        fed = set(self._in_order_of_feeding(ranking["group"][: sizes[-1]])[: sizes[number]])
        return Stage(
            [example for example in usable if example.group in fed],
            share=sizes[number] / sum(sizes),
            settings=self._settings(number / max(1, len(sizes) - 1), context.loss_settings),
            fresh_optimiser=True,
            memory=None if done else ranking,
        )

    @property
    def stage_settings(self) -> Mapping[str, tuple[float, float]]:
        """Setting of the loss -> its values in the first and in the last stage."""
        ends = {
            "temperature": (self.temperature_start, self.temperature_end),
            "distillation_weight": (self.distillation_weight_start, self.distillation_weight_end),
        }
        return {name: (start, end) for name, (start, end) in ends.items() if start is not None and end is not None}

    @property
    def _asks_student(self) -> bool:
        """Whether the ranking can make a difference: not where one stage takes everything, nor in a random order."""
        return self.order != "random" and (self.kept < self.partitions or (self.nested and self.kept > 1))

    def _sizes(self, groups: int) -> list[int]:
        """The number of groups in each stage; what does not divide evenly comes with the last partition alone."""
        part = groups // self.partitions
        if not part:
            raise ValueError(
                f"{groups} groups cannot be cut into partitions={self.partitions}; buy more questions, or set "
                f"curriculum.partitions and curriculum.kept to at most {groups}"
            )
        sizes = [groups if n == self.partitions else n * part for n in range(1, self.kept + 1)]
        return sizes if self.nested else sizes[-1:]

    def _in_order_of_feeding(self, kept: Sequence[str]) -> list[str]:
        return list(reversed(kept)) if self.order == "hard_first" else list(kept)

    def _settings(self, progress: float, known: Mapping[str, float]) -> dict[str, float]:
        """The stage's settings that the loss of this method has; `progress` is 0 in the first stage, 1 in the last."""
        return {
            name: start + (end - start) * progress
            for name, (start, end) in self.stage_settings.items()
            if name in known
        }

    def _ranking(self, examples: Sequence[TrainingExample], context: Context) -> Json:
        """Column -> one value per group, the easiest group first; `group` holds the ids."""
        groups = list(dict.fromkeys(example.group for example in examples))
        if not groups:
            raise ValueError("no training example has a target text, so there is nothing to rank or to train on")
        if self._asks_student:
            return easiest_first(*self._reflect(examples, context), self.signals, self.rrf_constant)
        if self.order == "random":
            groups = sorted(groups)
            groups = [groups[i] for i in context.rng("order").permutation(len(groups))]
        return {"group": groups}

    def _reflect(
        self, examples: Sequence[TrainingExample], context: Context
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Group -> mean overlap of the student's answers with the targets; group -> mean surprise by the targets."""
        requests = [Request("reflect", example.prompt, example.group, self.max_new_tokens) for example in examples]
        distinct = list(dict.fromkeys(requests))
        replies = dict(zip(distinct, context.student.generate(distinct), strict=True))
        log_probabilities = context.student.target_log_probabilities(examples)
        said = [_only(replies[request]).text for request in requests]
        references = [example.target_text for example in examples]
        self._note(said, references, context)
        overlaps = map(overlap_of(self.overlap), said, references)
        return _means(examples, overlaps), _means(examples, map(surprise_of, log_probabilities))

    def _note(self, said: Sequence[str], references: Sequence[str], context: Context) -> None:
        """Counts what was reflected on. Raises ValueError where no reference has anything to compare."""
        context.note(reflected=len(references), empty_answers=sum(not text.strip() for text in said))
        if self.overlap == "words":
            without = sum(not WORD.search(text.lower()) for text in references)
            context.note(references_without_words=without)
            if without == len(references):
                raise ValueError(
                    f"none of the {without} targets has a word of letters a-z or digits, so that overlap=words would "
                    f"be 0 everywhere (one target: {references[0][:40]!r}); choose curriculum.overlap=signs"
                )


# --- the two signals -------------------------------------------------------------------------------------------------


def overlap_of(kind: Overlap) -> Callable[[str, str], float]:
    """A function of (what was said, reference): the F1 of their longest common subsequence, in [0, 1] (ROUGE-L).

    `words` is that of the package rouge-score with its stemmer: lower-case words of letters a-z and digits. `signs`
    compares every letter, digit and sign as it stands, white space left out. 0 where either text has none of these.
    """
    return rouge_of_words if kind == "words" else rouge_of_signs


def rouge_of_words(said: str, reference: str) -> float:
    """ROUGE-L over stemmed words, in [0, 1]; see `overlap_of`."""
    return float(_scorer().score(reference, said)["rougeL"].fmeasure)


def rouge_of_signs(said: str, reference: str) -> float:
    """ROUGE-L over single signs, in [0, 1]; see `overlap_of`."""
    ours, theirs = SIGN.findall(said), SIGN.findall(reference)
    if not ours or not theirs:
        return 0.0
    lengths = [0] * (len(theirs) + 1)
    for sign in ours:
        above_left = 0
        for i, other in enumerate(theirs, 1):
            above = lengths[i]
            lengths[i] = above_left + 1 if sign == other else max(above, lengths[i - 1])
            above_left = above
    return 2 * lengths[-1] / (len(ours) + len(theirs))


def surprise_of(log_probabilities: Sequence[float]) -> float:
    """The mean cross-entropy of a target in nats per token, without its last token, which is EOS.

    Of a target that the window cuts, the last token that is left has no part in it, as it stands in EOS's place.
    """
    of_text = log_probabilities[:-1] or log_probabilities
    return -sum(of_text) / len(of_text)


# --- ranks and their fusion ------------------------------------------------------------------------------------------


def easiest_first(
    overlap: Mapping[str, float], surprise: Mapping[str, float], signals: Signals = "both", constant: int = 60
) -> dict[str, list[Json]]:
    """Column -> one value per group: `group`, `overlap`, `surprise`, `overlap_rank`, `surprise_rank`, `score`.

    The easiest group stands first. Ranks count from 1; the score is `1 / (constant + rank)`, summed over the signals
    that the ranking goes by. Every sort keeps the order of the one before where values are equal, as in the released
    code: overlap first, then surprise, then the score. The first sort begins from the ids, so that the order of the
    examples decides nothing; a ranking by one signal takes equal values in the order of the ids too. Raises ValueError
    for a signal that is no number.
    """
    lost = sorted(group for group in overlap if math.isnan(overlap[group] + surprise[group]))
    if lost:
        raise ValueError(f"the signals of {len(lost)} of {len(overlap)} groups are no numbers, such as {lost[0]!r}")
    by_overlap = sorted(sorted(overlap), key=lambda group: -overlap[group])
    by_surprise = sorted(by_overlap if signals == "both" else sorted(surprise), key=lambda group: surprise[group])
    ranks = {
        "overlap": {group: rank for rank, group in enumerate(by_overlap, 1)},
        "surprise": {group: rank for rank, group in enumerate(by_surprise, 1)},
    }
    used = [ranks[name] for name in ranks if signals in ("both", name)]
    score = {group: sum(1 / (constant + rank[group]) for rank in used) for group in overlap}
    order = sorted(by_surprise, key=lambda group: -score[group])
    return {
        "group": order,
        "overlap": [overlap[group] for group in order],
        "surprise": [surprise[group] for group in order],
        "overlap_rank": [ranks["overlap"][group] for group in order],
        "surprise_rank": [ranks["surprise"][group] for group in order],
        "score": [score[group] for group in order],
    }


def _means(examples: Sequence[TrainingExample], values: Iterable[float]) -> dict[str, float]:
    """Group -> mean of the values of its examples."""
    of_group: dict[str, list[float]] = {}
    for example, value in zip(examples, values, strict=True):
        of_group.setdefault(example.group, []).append(value)
    return {group: sum(numbers) / len(numbers) for group, numbers in of_group.items()}


def _only(replies: Sequence[Reply]) -> Reply:
    [reply] = replies
    return reply


def _refuse_ends(name: str, start: float | None, end: float | None, above_zero: bool, most: float) -> None:
    if (start is None) != (end is None):
        raise ValueError(f"{name}_start={start} and {name}_end={end}: set both, or neither to keep that of the loss")
    for value in (start, end):
        if value is not None and not (0 < value <= most if above_zero else 0 <= value <= most):
            limits = "above 0" if above_zero else f"between 0 and {most:g}"
            raise ValueError(f"{name}_start={start} and {name}_end={end} must be {limits}")


@lru_cache(maxsize=1)
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)
