"""SRD in cells over step-by-step: what is ranked and trained on, hand-over between stages, resume, and plain KD.

Numbers in docstrings are those of the checklist in docs/methods/selective_reflection.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.axes.curriculum import Shuffled
from benchmark.axes.loss import CrossEntropy
from benchmark.cell.cell import Cell
from benchmark.contract import Curriculum, Loss
from benchmark.student.load import load_student
from benchmark.student.student import Student
from benchmark.types import Request, TrainingExample
from methods.selective_reflection import SelectiveReflection, easiest_first, rouge_of_signs
from methods.white_box import WhiteBox
from tests.corridor.corridor_parts import Ran, miniature, run
from tests.methods.reflection_parts import by_signs
from tests.rehearsals.tensor_parts import (
    EVERY_STEP,
    ONE_GROUP,
    TrainedStep,
    WatchedOptimization,
    WorkedSolutions,
    killed_and_gone_on,
    live_teacher,
    nats,
    outcome,
    target_logits,
    watched,
)

STEPS, QUESTIONS = 12, 14
SIZES = (3, 6, 9)
"""14 questions in four parts of 3, the last with the 2 that are left; the last part is never trained on."""
ENDS = (2, 6, 12)
"""The steps at which the three stages end: shares of 1, 2 and 3 sixths."""


def cell_of(teacher: Path, *overrides: str, loss: Loss | None = None, curriculum: Curriculum | None = None) -> Cell:
    return miniature(
        "method=step_by_step",
        *live_teacher(teacher),
        f"budget.questions={QUESTIONS}",
        f"optimization.max_steps={STEPS}",
        "optimization.batch_size=3",
        *overrides,
        annotation=WorkedSolutions(),
        curriculum=curriculum or by_signs(),
        loss=loss or WhiteBox(distillation_weight=0.5),
    )


@pytest.fixture(scope="module")
def watched_run(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, list[TrainedStep]]:
    return watched(cell_of(teacher), tmp_path_factory.mktemp("watched"))


# --- the ranking -----------------------------------------------------------------------------------------------------


def by_hand(student: Student, examples: Sequence[TrainingExample]) -> list[str]:
    """The ranking computed group by group, one sequence at a time."""
    overlap: dict[str, float] = {}
    surprise: dict[str, float] = {}
    for group in dict.fromkeys(example.group for example in examples):
        rows = student.encoder.examples([example for example in examples if example.group == group])
        losses = [float(nats(target_logits(student.network, row), row)[:-1].mean().detach()) for row in rows]
        [replies] = zip(*student.generate([Request("?", row.example.prompt, "?") for row in rows]), strict=True)
        overlaps = [rouge_of_signs(r.text, row.example.target_text) for r, row in zip(replies, rows, strict=True)]
        overlap[group], surprise[group] = sum(overlaps) / len(rows), sum(losses) / len(rows)
    return [str(group) for group in easiest_first(overlap, surprise)["group"]]


def test_the_untrained_student_ranks_whole_questions(watched_run: tuple[Ran, list[TrainedStep]]) -> None:
    """5: the questions of the last partition are never trained on."""
    ran, steps = watched_run
    cell = ran.cell_run.cell
    initial = load_student(cell.student, cell.seed, cell.trainer, "32-true")
    examples = cell.method.format.examples(ran.cell_run.state.annotations, cell.dataset.task)
    order = by_hand(initial, examples)
    assert len(order) == QUESTIONS
    assert len(examples) == 2 * QUESTIONS
    assert {example.group for example in steps[0].examples} == set(order[:3])
    trained = {example.group for step in steps for example in step.examples}
    assert trained == set(order[:9])


def test_the_ranking_is_made_once_and_its_work_is_booked(watched_run: tuple[Ran, list[TrainedStep]]) -> None:
    [log] = watched_run[0].history
    assert log.notes["reflected"] == 2 * QUESTIONS
    assert log.computed["student/training"].calls == 2 * QUESTIONS * 2  # every prompt answered, every target scored


# --- the stages ------------------------------------------------------------------------------------------------------


def stage_of(step: int) -> int:
    return sum(step >= end for end in ENDS)


def test_stages_are_nested_grow_and_are_seen_equally_often(watched_run: tuple[Ran, list[TrainedStep]]) -> None:
    """5 and 6."""
    seen: list[list[str]] = [[], [], []]
    for number, step in enumerate(watched_run[1]):
        groups = [example.group for example in step.examples]
        assert [groups.count(group) for group in groups] == [2] * 6  # label and rationale of three questions
        seen[stage_of(number)] += groups
    sets = [set(groups) for groups in seen]
    assert tuple(len(one) for one in sets) == SIZES
    assert sets[0] < sets[1] < sets[2]
    for groups in seen:
        assert {groups.count(group) for group in groups} == {2 * 2}  # two passes in every stage


def test_a_loss_that_knows_the_settings_gets_them_rising(watched_run: tuple[Ran, list[TrainedStep]]) -> None:
    """9: in every step of every stage."""
    expected = [
        dict(zip(("temperature", "distillation_weight"), pair, strict=True))
        for pair in ((1.0, 0.8), (1.5, 0.9), (2.0, 1.0))
    ]
    for number, step in enumerate(watched_run[1]):
        assert step.settings == pytest.approx(expected[stage_of(number)]), number
    assert "label" not in watched_run[1][-1].values  # the last stage is the teacher's alone
    assert watched_run[1][-1].values["label/distillation"] > 0


@dataclass(frozen=True)
class WatchedEnds(WatchedOptimization):
    """Also keeps the weights behind every step, and its learning rate."""

    ends: list[dict[str, torch.Tensor]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def optimiser(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        optimiser = super().optimiser(network)

        def write(made: torch.optim.Optimizer, *_: Any) -> None:
            self.ends.append({name: weight.detach().clone() for name, weight in network.state_dict().items()})
            self.rates.append(made.param_groups[0]["lr"])

        optimiser.register_step_post_hook(write)
        return optimiser


def test_a_stage_goes_on_from_the_last_weights_with_a_fresh_optimiser_and_learning_rate(
    teacher: Path, tmp_path: Path
) -> None:
    """10: the learning rate of each stage is that of a fit of its length."""
    cell = cell_of(teacher)
    optimization = WatchedEnds(**asdict(cell.optimization))
    run(replace(cell, optimization=optimization), tmp_path)
    assert [number for number, step in enumerate(optimization.steps) if step.fresh] == [0, 2, 6]
    for first in (2, 6):
        before, after = optimization.ends[first - 1], optimization.steps[first].weights
        assert all(torch.equal(before[name], after[name]) for name in before)
    lengths = (2, 4, 6)
    of_fits = [optimization.learning_rate_at((step + 0.5) / length) for length in lengths for step in range(length)]
    assert optimization.rates == pytest.approx(of_fits)


def test_one_stage_of_everything_is_plain_distillation(teacher: Path, tmp_path: Path) -> None:
    """11: bit for bit, at temperature 1 and weight 1."""
    loss = WhiteBox(temperature=1.0, distillation_weight=1.0)
    ends = {"temperature_end": 1.0, "distillation_weight_start": 1.0}
    for number, (plain, ours) in enumerate(
        (
            (cell_of(teacher, loss=loss, curriculum=Shuffled()), SelectiveReflection(partitions=1, kept=1, **ends)),
            (cell_of(teacher, loss=CrossEntropy(), curriculum=Shuffled()), SelectiveReflection(partitions=1, kept=1)),
        )
    ):
        one, steps = watched(plain, tmp_path / f"plain {number}")
        method = replace(plain.method, curriculum=ours)
        other, others = watched(replace(plain, method=method), tmp_path / f"ours {number}")
        assert [step.values for step in steps] == [step.values for step in others]
        assert [step.settings for step in steps] == [step.settings for step in others]
        assert all(torch.equal(a.gradient, b.gradient) for a, b in zip(steps, others, strict=True))
        assert outcome(one)["weights"] == outcome(other)["weights"]
        assert outcome(one)["predictions"] == outcome(other)["predictions"]
        assert "student/training" not in other.result["rounds"][0]["computed"]  # there was nothing to rank


def test_the_record_has_ranks_and_signals_of_every_question(watched_run: tuple[Ran, list[TrainedStep]]) -> None:
    ran, steps = watched_run
    first, *later = ran.table("stages")
    table = json.loads(first["memory"])
    assert set(table) == {"group", "overlap", "surprise", "overlap_rank", "surprise_rank", "score"}
    assert sorted(table["group"]) == sorted(row["question_id"] for row in ran.table("picks") if row["bought"])
    assert sorted(table["surprise_rank"]) == list(range(1, QUESTIONS + 1))
    rebuilt = easiest_first(*(dict(zip(table["group"], table[name], strict=True)) for name in ("overlap", "surprise")))
    assert rebuilt == table
    assert set(first["order"]) == {each.group for each in steps[0].examples} == set(table["group"][:3])
    assert [json.loads(row["memory"]) for row in later] == [None, None]


def test_a_loss_that_knows_no_settings_is_left_alone(teacher: Path, tmp_path: Path) -> None:
    ran, steps = watched(cell_of(teacher, loss=CrossEntropy()), tmp_path)
    assert [step.settings for step in steps] == [{}] * STEPS
    assert [number for number, step in enumerate(steps) if step.fresh] == [0, 2, 6]
    assert set(steps[0].values) == {"label", "rationale"}
    assert "teacher/training" not in ran.result["rounds"][0]["computed"]


# --- the same again --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def losses() -> Mapping[str, Loss]:
    return {"kd": WhiteBox(distillation_weight=0.5), "cross-entropy": CrossEntropy()}


@pytest.mark.parametrize("name", ["kd", "cross-entropy"])
def test_two_runs_are_equal_and_so_is_one_that_was_killed_at_many_steps(
    teacher: Path, losses: Mapping[str, Loss], name: str, tmp_path: Path
) -> None:
    whole = outcome(run(cell_of(teacher, loss=losses[name]), tmp_path / "whole"))
    assert outcome(run(cell_of(teacher, loss=losses[name]), tmp_path / "twin")) == whole
    # In the first stage, at both borders between stages, right behind one, and a stage later.
    for deaths in ((1, 1, 1), (6, 1), (0, 9)):
        folder = tmp_path / str(deaths)
        again = killed_and_gone_on(lambda: cell_of(teacher, EVERY_STEP, loss=losses[name]), folder, deaths)
        assert outcome(again) == whole, deaths


def test_the_cut_into_micro_batches_does_not_matter(
    teacher: Path, watched_run: tuple[Ran, list[TrainedStep]], tmp_path: Path
) -> None:
    _, steps = watched(cell_of(teacher, ONE_GROUP), tmp_path)
    for step, other in zip(steps, watched_run[1], strict=True):
        assert len(step.batches) == 3
        assert step.values == pytest.approx(other.values, rel=1e-3, abs=1e-6)
