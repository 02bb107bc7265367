"""SRD over step-by-step: the ranking, nested stages with a fresh optimiser each, settings only where they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmark.axes.loss import CrossEntropy
from benchmark.cell.cell import Cell
from benchmark.contract import Loss
from benchmark.student.load import load_student
from benchmark.student.student import Student
from benchmark.types import Request, Stage, TrainingExample
from methods.white_box import WhiteBox
from tests.corridor.corridor_parts import Ran, miniature, run
from tests.rehearsals.selective_reflection import SelectiveReflection, fused_order, rouge_l
from tests.rehearsals.tensor_parts import (
    EVERY_STEP,
    ONE_GROUP,
    TrainedStep,
    WorkedSolutions,
    killed_and_gone_on,
    live_teacher,
    model_folder,
    nats,
    outcome,
    target_logits,
    watched,
)
from tests.student.student_parts import context_of, fresh_student, method_of, sums

STEPS, QUESTIONS = 12, 14
SIZES = (3, 6, 9)
"""14 questions in four parts of 3, the last with the 2 that are left; the last part is never trained on."""
ENDS = (2, 6, 12)
"""The steps at which the three stages end: shares of 1, 2 and 3 sixths."""


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("models") / "teacher")


def cell_of(teacher: Path, *overrides: str, loss: Loss | None = None) -> Cell:
    return miniature(
        "method=step_by_step",
        *live_teacher(teacher),
        f"budget.questions={QUESTIONS}",
        f"optimization.max_steps={STEPS}",
        "optimization.batch_size=3",
        *overrides,
        annotation=WorkedSolutions(),
        curriculum=SelectiveReflection(),
        loss=loss or WhiteBox(distillation_weight=0.5),
    )


@pytest.fixture(scope="module")
def watched_run(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, list[TrainedStep]]:
    return watched(cell_of(teacher), tmp_path_factory.mktemp("watched"))


# --- the ranking -----------------------------------------------------------------------------------------------------


def test_ranks_are_fused_as_by_hand_and_ties_come_out_in_the_documented_order() -> None:
    overlap = {"a": 0.9, "b": 0.5, "c": 0.5, "d": 0.1}
    surprise = {"a": 1.0, "b": 3.0, "c": 2.0, "d": 4.0}
    assert fused_order(overlap, surprise) == ["a", "c", "b", "d"]  # b and c: 1/62 + 1/63 both, c has the lower surprise
    assert fused_order(dict(reversed(overlap.items())), dict(reversed(surprise.items()))) == ["a", "c", "b", "d"]


def test_only_the_ranks_count_and_more_overlap_never_comes_later() -> None:
    overlap = {name: value for name, value in zip("abcdef", (0.3, 0.9, 0.2, 0.7, 0.5, 0.1), strict=True)}
    surprise = {name: value for name, value in zip("abcdef", (2.0, 1.5, 0.5, 4.0, 3.0, 1.0), strict=True)}
    order = fused_order(overlap, surprise)
    assert fused_order({k: v**2 for k, v in overlap.items()}, {k: 10 * v for k, v in surprise.items()}) == order
    for name in overlap:
        assert fused_order({**overlap, name: 0.95}, surprise).index(name) <= order.index(name)
        assert fused_order(overlap, {**surprise, name: 0.1}).index(name) <= order.index(name)


@pytest.mark.parametrize(
    ("said", "reference", "expected"),
    [("4+3=7", "4+3=7", 1.0), ("", "7", 0.0), ("7", "", 0.0), ("abc", "xyz", 0.0), ("axbycz", "abc", 2 * 3 / 9)],
)
def test_overlap_by_hand(said: str, reference: str, expected: float) -> None:
    assert rouge_l(said, reference) == pytest.approx(expected)


def test_overlap_equals_the_definition_of_a_common_subsequence() -> None:
    @cache
    def longest(a: str, b: str) -> int:
        if not a or not b:
            return 0
        return longest(a[1:], b[1:]) + 1 if a[0] == b[0] else max(longest(a[1:], b), longest(a, b[1:]))

    for a, b in (("3+4=7;7-5=2", "7-5=2;4+3=7"), ("1+1=2", "2+1=3;3+1=4"), ("998877", "789")):
        assert rouge_l(a, b) == pytest.approx(2 * longest(a, b) / (len(a) + len(b)))


def by_hand(student: Student, examples: Sequence[TrainingExample]) -> list[str]:
    """The ranking computed group by group, one sequence at a time."""
    overlap: dict[str, float] = {}
    surprise: dict[str, float] = {}
    for group in dict.fromkeys(example.group for example in examples):
        rows = student.encoder.examples([example for example in examples if example.group == group])
        losses = [float(nats(target_logits(student.network, row), row).mean().detach()) for row in rows]
        [replies] = zip(*student.generate([Request("?", row.example.prompt, "?") for row in rows]), strict=True)
        overlaps = [rouge_l(r.text, row.example.target_text) for r, row in zip(replies, rows, strict=True)]
        overlap[group], surprise[group] = sum(overlaps) / len(rows), sum(losses) / len(rows)
    return fused_order(overlap, surprise)


def test_the_untrained_student_ranks_whole_questions(watched_run: tuple[Ran, list[TrainedStep]]) -> None:
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
    expected = [{"tau": 1.0, "kd_weight": 0.8}, {"tau": 1.5, "kd_weight": 0.9}, {"tau": 2.0, "kd_weight": 1.0}]
    for number, step in enumerate(watched_run[1]):
        assert step.settings == pytest.approx(expected[stage_of(number)]), number
    assert watched_run[1][-1].values["label"] == 0  # the last stage is the teacher's alone
    assert watched_run[1][-1].values["label/kd"] > 0


def test_each_stage_begins_with_a_fresh_optimiser_and_only_it(watched_run: tuple[Ran, list[TrainedStep]]) -> None:
    assert [number for number, step in enumerate(watched_run[1]) if step.fresh] == [0, 2, 6]


def test_a_loss_that_knows_no_settings_is_left_alone(teacher: Path, tmp_path: Path) -> None:
    ran, steps = watched(cell_of(teacher, loss=CrossEntropy()), tmp_path)
    assert [step.settings for step in steps] == [{}] * STEPS
    assert [number for number, step in enumerate(steps) if step.fresh] == [0, 2, 6]
    assert set(steps[0].values) == {"label", "rationale"}
    assert "teacher/training" not in ran.result["rounds"][0]["computed"]


class Known:
    """A context whose loss knows some settings."""

    def __init__(self, *names: str) -> None:
        self.loss_settings = dict.fromkeys(names, 1.0)


@pytest.mark.parametrize("known", [("tau",), ("kd_weight",), ("temperature",)])
def test_each_setting_is_set_where_the_loss_has_that_one(known: Sequence[str]) -> None:
    done = [Stage(sums(8), memory=[f"q{i}" for i in range(8)])]
    context: Any = Known(*known)
    stage = SelectiveReflection().next_stage(done, sums(8), context)
    assert stage is not None
    assert set(stage.settings) == set(known) & {"tau", "kd_weight"}


def test_all_partitions_kept_end_with_everything_and_too_few_questions_are_refused() -> None:
    student = fresh_student()
    curriculum = SelectiveReflection(kept=4)
    context = context_of(student, method_of(curriculum)).for_axis("curriculum")
    stages: list[Stage] = []
    while (stage := curriculum.next_stage(stages, sums(11), context)) is not None:
        stages.append(stage)
    assert [len(stage.examples) for stage in stages] == [2, 4, 6, 11]
    assert sum(stage.share for stage in stages) == pytest.approx(1)
    assert len({tuple(stage.memory) for stage in stages}) == 1
    with pytest.raises(ValueError, match="3 groups cannot be cut into partitions=4"):
        curriculum.next_stage([], sums(3), context)
    with pytest.raises(ValueError, match="kept=5"):
        SelectiveReflection(kept=5)


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
