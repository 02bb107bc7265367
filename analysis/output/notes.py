"""The footnotes of a table: what its numbers mean, what they leave out, and what looks wrong in the records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from analysis.output.machine_texts import Compared, mixing_note
from analysis.records.load import UNTRAINED_METHOD
from analysis.records.settings import Settings, distinguishing_keys, varying_keys
from analysis.statistics.curves import unread_notes
from analysis.statistics.grouping import BlockKey, Group, Score
from analysis.statistics.references import TeacherGroup
from analysis.statistics.scores import QUESTIONS, SEEDS, SEEDS_AND_QUESTIONS
from benchmark.records.schema import TextOverlap

MIN_SEEDS = 3
MUCH_TRUNCATED = 0.05
"""A note appears if a larger share of answers is cut: a trained student ends its answers, so the cap is too low.

It is the share of the column `cut %`; where a record does not tell that one, the share of all answers that were cut.
"""
SHOWN_SOURCES = frozenset({"teacher", "human"})
GROUPING_KEYS = frozenset({"asked_teacher", "test_examples"})

INTERVAL_NOTES = {
    SEEDS_AND_QUESTIONS: (
        "± is half of a 95 % interval for new seeds and new test questions (docs/statistics.md); it leaves out the "
        "teacher's own variance, since all seeds share what was bought."
    ),
    QUESTIONS: "With one seed, ± is for new test questions alone: seeds are left out.",
    SEEDS: (
        "Where predictions are missing or seeds have different questions, ± is a 95 % t-interval over seeds only: it "
        "leaves out the variance of the test questions, and the teacher's own."
    ),
}
BEST_NOTE = (
    "Bold: better than each other method of its block, by paired intervals that hold for all of them together at 95 %."
)
GAP_NOTE = (
    "gap closed = (method - untrained) / (teacher - untrained). It is empty where a reference is missing or not unique "
    "for the row's settings, and where the teacher is not better than the untrained student."
)
COST_NOTE = (
    "questions, calls, tokens (prompt + completion) and USD are charged to the teacher per cell, as if it had bought "
    "everything itself; ~ marks an estimate; human labels are apart."
)
REASONING_NOTE = (
    "right reasoning = the share of answers whose every step was checked and is right; wrong behind right = the share "
    "of the right answers whose reasoning is not, empty where a seed has no right answer."
)
CUT_NOTE = (
    "cut % = the share of the test answers of all seeds that were cut at the cap of tokens and are not right, empty "
    "where a record does not tell."
)
GOLD_NOTE = "gold: yes = the method read gold answers before training."
NOTED_COLUMNS = {REASONING_NOTE: "right reasoning %", CUT_NOTE: "cut %", GOLD_NOTE: "gold"}
"""Note -> the column without which it says nothing."""


@dataclass(frozen=True)
class BlockParts:
    """The groups of scores that one block is made from."""

    key: BlockKey
    groups: Sequence[Group]
    teachers: Sequence[TeacherGroup]

    @property
    def untrained(self) -> list[Group]:
        """The groups of the untrained student."""
        return [group for group in self.groups if group.method == UNTRAINED_METHOD]


def interval_notes(found: Set[str | None]) -> list[str]:
    """What ± means, for each kind of interval that a table has."""
    return [note for over, note in INTERVAL_NOTES.items() if over in found]


def title_of(key: BlockKey) -> str:
    """The block's title: dataset, test set, student and teacher."""
    tested = "" if key.test_dataset == key.dataset else f", tested on {key.test_dataset}"
    return f"{key.dataset}{tested}: student {key.student}, teacher {key.teacher or 'none'}"


def notes_of(blocks: Sequence[BlockParts]) -> Iterator[str]:
    """All notes of a table: first the notes that every table has, then others; equal notes appear once."""
    if not blocks:
        return
    yield from (GAP_NOTE, COST_NOTE, GOLD_NOTE)
    if any(score.test.reasoning_accuracy is not None for score in _scores(blocks)):
        yield REASONING_NOTE
    if any(group.cut_share for block in blocks for group in block.groups):
        yield CUT_NOTE
    found = [note for block in blocks for note in (*_seed_notes(block), *_setting_notes(block), *_source_notes(block))]
    yield from dict.fromkeys(found)
    yield from mixing_note([Compared(title_of(b.key), [score.cell for score in _scores([b])]) for b in blocks])
    yield from dict.fromkeys(note for block in blocks for note in _seen_notes(block))
    for block in blocks:
        yield from _truncation_notes(block)
    for block in blocks:
        yield from unread_notes(title_of(block.key), [score.cell for score in _scores([block])])
    for block in blocks:
        yield from _reference_notes(block)


def _scores(blocks: Iterable[BlockParts]) -> Iterator[Score]:
    return (score for block in blocks for group in block.groups for score in group.scores)


def _seen_notes(block: BlockParts) -> Iterator[str]:
    """Notes on test questions that stand in the pool or in what was bought: the most that one record says."""
    tests, title, pool = [score.test for score in _scores([block])], title_of(block.key), block.key.dataset
    most = max((test.questions_seen_in_pool or 0 for test in tests if test.learnt_overlap is None), default=0)
    if most:
        yield f"{title}: up to {most:,.0f} of the test questions are in the pool of {pool}."
    exact, near = _most_shared([test.learnt_overlap for test in tests])
    if near:
        of, pool_exact, pool_near = max(test.n for test in tests), *_most_shared([test.pool_overlap for test in tests])
        yield (
            f"{title}: the pool of {pool} and what was bought hold up to {exact:,} of {of:,} test questions word for "
            f"word, and 70 % or more of the wording of up to {near:,}; the pool alone {pool_exact:,} and {pool_near:,}."
        )


def _most_shared(overlaps: Iterable[TextOverlap | None]) -> tuple[int, int]:
    """(the largest number of exact questions, that of near ones) among the overlaps that records tell."""
    known = [overlap for overlap in overlaps if overlap is not None]
    return max((each.exact for each in known), default=0), max((each.near for each in known), default=0)


def _truncation_notes(block: BlockParts) -> Iterator[str]:
    for group in block.groups:
        share, what = group.cut_share, "cut at the cap of tokens and are not right"
        if share is None:
            share, what = group.share_at_cap, "cut at the cap of tokens"
        if share > MUCH_TRUNCATED and group.method != UNTRAINED_METHOD:
            yield (
                f"{title_of(block.key)}: {share:.0%} of the answers of {group.method} were {what}; "
                "raise student.max_new_tokens or evaluation.max_new_tokens."
            )


def _seed_notes(block: BlockParts) -> Iterator[str]:
    counts = {len(group.scores) for group in block.groups}
    if min(counts, default=MIN_SEEDS) < MIN_SEEDS:
        yield f"Rows with fewer than {MIN_SEEDS} seeds are too few to tell methods apart."
    if 1 in counts:
        yield "A row with one seed has no interval."


def _setting_notes(block: BlockParts) -> Iterator[str]:
    """Notes on settings that differ between a method's rows but do not appear in the rows' names."""
    variants: dict[str, list[Settings]] = defaultdict(list)
    for group in block.groups:
        variants[group.method].append(group.settings)
    for method, settings in sorted(variants.items()):
        hidden = set(varying_keys(settings)) - set(distinguishing_keys(settings)) - GROUPING_KEYS
        if hidden:
            yield f"The rows of {method} also differ in {', '.join(sorted(hidden))}."


def _source_notes(block: BlockParts) -> Iterator[str]:
    charged = {source for group in block.groups for score in group.scores for source in score.cell.charged}
    if charged - SHOWN_SOURCES:
        yield f"Also charged, and not in the table: {', '.join(sorted(charged - SHOWN_SOURCES))}."


def _reference_notes(block: BlockParts) -> Iterator[str]:
    title = title_of(block.key)
    if not block.untrained:
        yield f"{title}: the untrained student was not run; add method=untrained to the command."
    if not block.teachers:
        yield f"{title}: the teacher itself was not run; no record here holds its own {block.key.metric}."
    for teacher in block.teachers:
        low, high = min(teacher.values), max(teacher.values)
        if low < high:
            yield f"{title}: records disagree on the teacher itself ({low:.4g} to {high:.4g}); the mean is shown."
        if teacher.num_examples < teacher.num_asked:
            answered = f"{teacher.num_examples:,} of {teacher.num_asked:,}"
            yield f"{title}: the teacher itself answered {answered} questions, so the gap closed is approximate."
        if teacher.split != "test":
            yield f"{title}: the teacher was measured on the {teacher.split} split, so the gap closed is approximate."
