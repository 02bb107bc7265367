"""MCC-KD: pairs of dissimilar chains in one group, and a KL both ways between what they make of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.axes.annotation import FewShotCot
from benchmark.cell.cell import Cell
from benchmark.contract import AskModels, Context
from benchmark.student.batch import collate
from benchmark.student.student import Student
from benchmark.types import Annotation, Pick, Question
from tests.corridor.corridor_parts import DropsAndWeighs, miniature, run
from tests.rehearsals.consistency_pairs import Consistency, ConsistentPairsFormat, jaccard
from tests.rehearsals.tensor_parts import (
    EVERY_STEP,
    ONE_GROUP,
    UNCLIPPED,
    WHOLE_STEP,
    TrainedStep,
    assert_as_by_hand,
    killed_and_gone_on,
    nats,
    outcome,
    target_logits,
    watched,
)
from tests.student.student_parts import losses, shared_student

ALPHA = 0.4
WORDINGS = (("=", "="), ("=", " is "), (";", ", so "))
"""What stands for what in the wordings of a chain."""


@dataclass(frozen=True)
class Reworded(FewShotCot):
    """The teacher's chain in three wordings; of every fourth question only one, so that it has no pair."""

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        [row] = await super().annotate(pick, context, ask)
        wordings = WORDINGS if int(pick.question.id.rpartition("-")[2]) % 4 else WORDINGS[:1]
        text = str(row.rationale)
        return [replace(row, rationale=text.replace(a, b), sample=i) for i, (a, b) in enumerate(wordings)]


def cell_of(*overrides: str) -> Cell:
    """The weights differ by question, so groups have weights too."""
    return miniature(
        *overrides,
        "budget.questions=16",
        annotation=Reworded(),
        weighting=DropsAndWeighs(),
        format=ConsistentPairsFormat(),
        loss=Consistency(ALPHA),
    )


# --- pairs -----------------------------------------------------------------------------------------------------------


def row(rationale: str, answer: str | None, sample: int) -> Annotation:
    return Annotation(Question("q", "1+1"), "rationale", "teacher", rationale, answer, sample)


def test_the_least_similar_chains_of_one_answer_are_paired() -> None:
    task: Any = miniature().dataset.task
    form = ConsistentPairsFormat()
    rows = [row("abcdef", "2", 0), row("abcdeg", "2", 1), row("uvwxyz", "3", 2), row("abqrst", "2", 3)]
    made = form.examples(rows, task)
    assert [example.target_text for example in made] == ["abcdef#2", "abqrst#2"]
    assert {(example.group, example.task) for example in made} == {("q", "pair")}
    assert [[span.name for span in example.target] for example in made] == [["rationale", "answer"]] * 2


@pytest.mark.parametrize(
    "rows",
    [
        [row("abc", "2", 0)],
        [row("abc", "2", 0), row("xyz", "3", 1)],  # another answer
        [row("abc", "2", 0), row("abc", "2", 1)],  # the same chain
        [row("abc", "2", 0), row("xyz", None, 1)],  # no answer
    ],
)
def test_without_a_pair_there_is_a_single_chain(rows: list[Annotation]) -> None:
    task: Any = miniature().dataset.task
    assert [example.task for example in ConsistentPairsFormat().examples(rows, task)] == ["single"]


def test_overlap_of_ngrams() -> None:
    assert jaccard(frozenset("abc"), frozenset("bcd")) == 0.5


# --- the loss --------------------------------------------------------------------------------------------------------


def by_hand(student: Student, step: TrainedStep) -> dict[str, torch.Tensor]:
    """Both terms by a loop over questions."""
    by_group: dict[str, list[Any]] = {}
    tokens = []
    for encoded in student.encoder.examples(step.examples):
        logits = target_logits(student.network, encoded)
        tokens.append(torch.tensor(encoded.weights) * nats(logits, encoded))
        answer = [i for i, name in enumerate(encoded.spans) if name == "answer"]
        assert answer == list(range(len(encoded.target) - len(answer), len(encoded.target)))  # the end, EOS included
        by_group.setdefault(encoded.example.group, []).append((logits[answer], encoded.example.weight))
    pairs = []
    for members in by_group.values():
        if len(members) == 2:
            (first, weight), (second, other) = members
            assert weight == other
            p, q = first.softmax(-1), second.softmax(-1)
            both = (p * (p / q).log()).sum(-1) + (q * (q / p).log()).sum(-1)
            pairs.append(weight * both.mean() / 2)
    found = {"chains": torch.cat(tokens).mean()}
    return {**found, "consistency": ALPHA * torch.stack(pairs).mean()} if pairs else found


@pytest.mark.parametrize("cut", [ONE_GROUP, "trainer.micro_batch_tokens=200", WHOLE_STEP])
def test_every_step_is_that_of_a_loop_over_pairs_in_any_cut(tmp_path: Path, cut: str) -> None:
    ran, steps = watched(cell_of(cut, UNCLIPPED), tmp_path)
    singles = 0
    for step in steps:
        student = step.student(ran)
        assert_as_by_hand(step, student, by_hand(student, step))
        singles += sum(example.task == "single" for example in step.examples)
        for batch in step.batches:
            groups = [example.group for example in batch.examples]
            of_task = {example.group: example.task for example in batch.examples}
            assert all(groups.count(group) == (2 if task == "pair" else 1) for group, task in of_task.items())
    assert singles > 0
    assert max(step.values["consistency"] for step in steps) > 1e-5


def test_equal_chains_agree_and_dissimilar_ones_do_not() -> None:
    student = shared_student()
    task: Any = miniature().dataset.task
    first, second = ConsistentPairsFormat().examples([row("abcdef", "12", 0), row("uvwxyz", "12", 1)], task)
    values = []
    for pair in ([first, first], [first, second]):
        loss = Consistency(ALPHA)
        step = collate(student.encoder.examples(pair), loss.terms(ConsistentPairsFormat().terms(), {}), 0, 10**9)
        values.append(float(losses(student, step, loss)["consistency"].detach()))
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert values[1] > 0.01


def test_an_answer_that_was_cut_off_is_refused_and_not_compared_in_part() -> None:
    student = replace(shared_student(), max_length=9)
    task: Any = miniature().dataset.task
    pair = ConsistentPairsFormat().examples([row("abcdef", "12", 0), row("uvwxyz9", "12", 1)], task)
    loss = Consistency()
    step = collate(student.encoder.examples(pair), loss.terms(ConsistentPairsFormat().terms(), {}), 0, 10**9)
    with pytest.raises(ValueError, match="answers of a pair have"):
        losses(student, step, loss)


# --- the same again --------------------------------------------------------------------------------------------------


def test_two_runs_are_equal_and_so_is_one_that_was_killed(tmp_path: Path) -> None:
    whole = outcome(run(cell_of(), tmp_path / "whole"))
    assert outcome(run(cell_of(), tmp_path / "twin")) == whole
    for deaths in ((0, 1, 2), (5,)):
        again = killed_and_gone_on(lambda: cell_of(EVERY_STEP), tmp_path / str(deaths), deaths)
        assert outcome(again) == whole, deaths
