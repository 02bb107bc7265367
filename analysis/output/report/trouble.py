"""What went wrong, was cut or left out; and test questions that stand in what was learnt from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from analysis.output.columns import NO_VALUE, number
from analysis.output.render import FAILED_COLUMNS, block_title, failed_rows, names_row
from analysis.output.report.material import Material
from analysis.output.report.parts import Gap, Grid, Notes, Paragraph, Part, Section, listed
from analysis.output.tables import Block, TableRow
from analysis.output.text_table import TextTable
from analysis.records.load import FinishedCell
from analysis.statistics.grouping import natural_order
from benchmark.records.schema import TestScore, TextOverlap

MOST_MISSING = 20
"""So many missing cells are named one by one."""
MEANINGS = {
    "truncated_answers": "test answers that were cut at the cap of tokens, right ones included",
    "unparsed_answers": "test answers in which no answer could be read",
    "truncated_prompts": "prompts that were cut to fit the student",
    "truncated_training_examples": "training examples whose reply was shortened to fit the student",
    "truncated_training_prompts": "prompts of training examples that were cut to fit the student",
    "shortened_replies": "replies of the student that got less room than its cap, because of a long prompt",
    "unknown_prompt_tokens": "tokens of prompts that the student's vocabulary lacks",
    "dropped_annotations": "bought annotations with a weight of 0: not learnt from, and paid for",
    "unused_annotations": "annotations with a weight from which the format made no training example",
    "unparsed_annotations": "bought annotations in which no answer could be read",
    "left_out_rows": "rows of the dataset that were left out because they cannot be used",
}
"""Counter of a record -> what it counts; behind a `/` stands the test set or the measure."""
OF_REPLIES = ("empty", "unreadable", "cut", "refused", "unclosed_traces")
COUNTER_COLUMNS = ("what", "total", "cells", "method", "dataset", "student", "records")
OVERLAP_COLUMNS = (
    *("rows", "test questions", "pool: exact", "pool: near", "pool: any"),
    *("learnt: exact", "learnt: near", "learnt: any", "short", "covered %"),
)
OVERLAP_NOTES = (
    "Pool: the questions that a method may have annotated. Learnt: the pool and everything that was bought, together.",
    "Exact: word for word, with the same options. Near: exact, or 70 % of the question's runs of 8 words. Any: near, "
    "or one run of 8 words. Short: questions of fewer than 8 words, of which only exact ones can be found. Covered: "
    "the share of all runs of 8 words in the test questions that occur in what was learnt. Each number is the largest "
    "of the row's seeds.",
)


def failures(material: Material) -> Section:
    """Failed and missing cells, damaged files, and everything that records count."""
    parts = [*_failed(material), *_missing(material), *_damaged(material), *_counters(material)]
    return Section("failures", "Failures, and what was left out", parts)


def _failed(material: Material) -> Iterator[Part]:
    failed = material.table.failed
    if not failed:
        yield Paragraph("No cell failed.")
        return
    rows = failed_rows(failed, material.table.short_ids)
    yield Grid(TextTable(f"Failed cells ({len(rows):,})", FAILED_COLUMNS, rows))


def _missing(material: Material) -> Iterator[Part]:
    status = material.status
    if not status.sweeps:
        yield Paragraph("No list of planned cells lies beside the records, so cells that never began cannot be known.")
    elif not status.missing:
        yield Paragraph("Every cell that a sweep planned has a record, or is running.")
    else:
        ids = {cell.cell_id: cell.cell_id[:8] for cell in status.missing}
        rows = [names_row(cell, ids) for cell in status.missing[:MOST_MISSING]]
        more = "" if len(rows) == len(status.missing) else "; the first ones are shown"
        yield Grid(TextTable(f"Missing cells ({len(status.missing):,}{more})", FAILED_COLUMNS[:-1], rows))
    cut_off = [path for path in material.records.unfinished if status.states.get(path.name) != "running"]
    if cut_off:
        yield Gap(f"Folders without a record, which no process is writing: {listed([str(path) for path in cut_off])}.")


def _damaged(material: Material) -> Iterator[Part]:
    problems = material.problems
    if not problems:
        yield Paragraph("All files that this report needs could be read.")
        return
    rows = [[str(problem.path), problem.message] for problem in problems]
    yield Grid(TextTable(f"Damaged files, which were skipped ({len(rows):,})", ("file", "reason"), rows))


def _counters(material: Material) -> Iterator[Part]:
    found = counted(material.records.complete)
    if not found:
        yield Paragraph("No record counts anything as cut, dropped, left out or unread.")
        return
    ids = material.table.short_ids
    rows = [
        [what, number(sum(n for _, n in counts)), f"{len(counts):,}", *where, listed([ids[i] for i, _ in counts])]
        for (what, *where), counts in sorted(found.items(), key=lambda pair: [natural_order(part) for part in pair[0]])
    ]
    yield Grid(TextTable("What records count, where it is not 0", COUNTER_COLUMNS, rows))
    names = {key[0].partition("/")[0] for key in found}
    yield Notes([f"{name}: {meaning}." for name, meaning in MEANINGS.items() if name in names])


def counted(cells: Sequence[FinishedCell]) -> Mapping[tuple[str, str, str, str], list[tuple[str, float]]]:
    """(what was counted, method, dataset, student) -> (id of the cell, count) of each cell where it is not 0."""
    found: defaultdict[tuple[str, str, str, str], list[tuple[str, float]]] = defaultdict(list)
    for cell in cells:
        who = cell.names
        for what, count in (*cell.counters.items(), *_of_teachers(cell)):
            if count:
                found[what, who.method, who.dataset, who.student].append((who.cell_id, count))
    return found


def _of_teachers(cell: FinishedCell) -> Iterator[tuple[str, float]]:
    for name, replies in cell.teacher_replies.items():
        for what in OF_REPLIES:
            yield f"{what.replace('_', ' ')} replies of teacher {name}", getattr(replies, what)
    for name, traffic in cell.teacher_traffic.items():
        yield from ((f"repeated requests to {name}: {why}", count) for why, count in traffic.retries.items())
        yield from ((f"requests to {name} given up: {why}", count) for why, count in traffic.failures.items())
        yield f"requests to {name} that broke off", traffic.uncounted_requests


def contamination(material: Material) -> Section:
    """How many test questions stand in the pool, and in what was bought."""
    parts = [part for block in material.table.blocks for part in _block_overlaps(material, block)]
    if not parts:
        parts = [Gap("No cell is complete yet, so there is no test set to look for.")]
    return Section("contamination", "Contamination", [*parts, Notes(OVERLAP_NOTES)])


def _block_overlaps(material: Material, block: Block) -> Iterator[Part]:
    title, unknown = block_title(block), []
    lines: dict[tuple[str, ...], list[str]] = {}
    for row in block.rows:
        if row.role == "teacher" or not row.record_ids:
            continue
        tests = _tests(material, block, row)
        if any(test.pool_overlap is None or test.learnt_overlap is None for test in tests):
            unknown.append(row.name)
        else:
            lines.setdefault(tuple(_overlaps(tests)), []).append(row.name)
    if lines:
        rows = [[listed(names, most=4, separator="; "), *cells] for cells, names in lines.items()]
        yield Grid(TextTable(title, OVERLAP_COLUMNS, rows))
    if unknown:
        yield Gap(f"{title}: not known for {listed(unknown, separator='; ')}, whose records are older than this count.")


def _tests(material: Material, block: Block, row: TableRow) -> list[TestScore]:
    key = block.key.test_dataset, block.key.metric
    tests = [test for cell in material.cells_of(row) for test in cell.tests]
    return [test for test in tests if (test.dataset, test.metric) == key]


def _overlaps(tests: Sequence[TestScore]) -> list[str]:
    pools = [test.pool_overlap for test in tests if test.pool_overlap is not None]
    learnt = [test.learnt_overlap for test in tests if test.learnt_overlap is not None]
    return [
        _most([test.n for test in tests]),
        *(_most([getattr(each, name) for each in pools]) for name in ("exact", "near", "any")),
        *(_most([getattr(each, name) for each in learnt]) for name in ("exact", "near", "any", "short")),
        _covered(learnt),
    ]


def _most(values: Sequence[int]) -> str:
    return f"{max(values):,}" if values else NO_VALUE


def _covered(learnt: Sequence[TextOverlap]) -> str:
    return f"{100 * max(each.covered for each in learnt):.1f}" if learnt else NO_VALUE
