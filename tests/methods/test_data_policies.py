"""On-policy with a replay buffer: exact tokens, a bounded buffer, a share that follows validation, and resume."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.axes.data_policy import OWN, AdaptiveReplay
from benchmark.cell.cell import Cell
from benchmark.cell.identity import identity
from benchmark.contract import Schedule, StepState
from benchmark.running.examination import Examination
from benchmark.student.student import Student
from benchmark.types import Json, Request, Span, TrainingExample
from methods.white_box import WhiteBox
from tests.corridor.corridor_parts import UNSEEN, Ran, Rounds, miniature, run
from tests.rehearsals.tensor_parts import (
    EVERY_STEP,
    ONE_GROUP,
    UNCLIPPED,
    WorkedSolutions,
    assert_as_by_hand,
    killed_and_gone_on,
    live_teacher,
    nats,
    network_in,
    outcome,
    target_logits,
    watched,
    with_loss,
)
from tests.student.student_parts import fresh_student

STEPS, CAPACITY = 8, 10
ALWAYS = -math.inf
"""The tolerance with which every validation raises the share, whatever the loss does."""
TWO_ROUNDS = (0.5, 0.5)


@dataclass
class Watched(AdaptiveReplay):
    """Keeps what it stood at and supplied at every step, and every validation."""

    supplied: list[dict[str, Any]] = field(default_factory=list, init=False, metadata=UNSEEN)
    told: list[Mapping[str, float]] = field(default_factory=list, init=False, metadata=UNSEEN)

    def supply(self, drawn: Sequence[TrainingExample], state: StepState) -> Iterable[Sequence[TrainingExample]]:
        before = {"step": state.step, "share": self.threshold, "buffer": len(self.buffer)}
        steps = list(super().supply(drawn, state))
        self.supplied.append({**before, "examples": steps[0], "after": len(self.buffer), "drawn": drawn})
        return steps

    def validated(self, metrics: Mapping[str, float]) -> None:
        self.told.append(metrics)
        super().validated(metrics)


def cell_of(
    teacher: Path,
    *overrides: str,
    policy: AdaptiveReplay | None = None,
    schedule: Schedule | None = None,
) -> Cell:
    """Half of the steps on own text at first, and more with every validation."""
    policy = policy or AdaptiveReplay(CAPACITY, first_threshold=0.5, growth=0.2, tolerance=ALWAYS)
    return miniature(
        "method=rationale_then_answer",
        *live_teacher(teacher),
        f"optimization.max_steps={STEPS}",
        "optimization.validation_every_n_steps=3",
        *overrides,
        annotation=WorkedSolutions(),
        schedule=schedule or Rounds(shares=(1.0,)),
        loss=WhiteBox(data_policy=policy, distillation_weight=0.5),
    )


def steps_a_round(restart: bool) -> str:
    """The override with which each of two rounds trains `STEPS` steps: rounds that continue share theirs."""
    return f"optimization.max_steps={STEPS if restart else 2 * STEPS}"


# --- the policy ------------------------------------------------------------------------------------------------------


def test_the_share_follows_a_list_of_validations() -> None:
    policy = AdaptiveReplay(growth=0.25)
    shares = []
    for loss in (2.5, 2.55, 2.625, 2.25, 2.6875, 2.75, 3.0, 3.0625, 3.0):
        policy.validated({"accuracy": 0.9, "cross_entropy": loss})
        shares.append(policy.threshold)
    # Each is held against the first one and then against the last that raised the share: 2.5, 2.625, 2.75, 3.0.
    assert shares == pytest.approx([0, 0, 0.25, 0.25, 0.25, 0.5, 0.75, 0.75, 0.75])
    strict = AdaptiveReplay(growth=0.4, tolerance=0.0)
    for _ in range(5):
        strict.validated({"cross_entropy": 0.5})
    assert strict.threshold == 1.0


def test_the_policy_is_told_before_the_first_step_and_then_regularly(teacher: Path, tmp_path: Path) -> None:
    policy = Watched(CAPACITY, first_threshold=0.5, growth=0.2, tolerance=ALWAYS)
    ran, steps = watched(cell_of(teacher, policy=policy), tmp_path)
    assert [told["accuracy"] for told in policy.told] == [0.0] * 3  # before steps 1, 4 and 7
    for told, step in zip(policy.told, steps[::3], strict=True):
        assert told["cross_entropy"] == pytest.approx(validation_loss(ran, step.student(ran)), rel=1e-5)
    assert [seen["share"] for seen in policy.supplied] == pytest.approx([0.5] * 3 + [0.7] * 3 + [0.9] * 2)


def validation_loss(ran: Ran, student: Student) -> float:
    """Nats per token of the worked solutions of the validation questions, one text after the other."""
    cell, found = ran.cell_run.cell, []
    for example in cell.dataset.load().validation:
        prompt = cell.method.format.request(example.without_gold(), "rationale_and_answer", cell.dataset.task).prompt
        text = f"{example.rationale}#{example.answer}"
        [row] = student.encoder.examples([TrainingExample(example.id, "t", prompt, (Span(text),))])
        found.append(nats(target_logits(student.network, row), row))
    return float(torch.cat(found).detach().mean())


def test_nothing_is_computed_for_a_policy_that_does_not_read_it(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Examination, "validation_cross_entropy", None)
    cell = cell_of(teacher, "optimization.max_steps=2")
    run(with_loss(cell, WhiteBox()), tmp_path)


def test_steps_mix_fixed_data_fresh_text_and_replay_and_the_buffer_stays_small(teacher: Path, tmp_path: Path) -> None:
    policy = Watched(CAPACITY, first_threshold=0.5, growth=0.2, tolerance=ALWAYS)
    run(cell_of(teacher, "optimization.max_steps=16", policy=policy), tmp_path)
    kinds = []
    earlier: list[TrainingExample] = []
    for seen in policy.supplied:
        examples = seen["examples"]
        assert len(examples) == 4
        assert seen["after"] <= CAPACITY
        fresh = seen["after"] > seen["buffer"] or (examples[0].task == OWN and examples[0] not in earlier)
        kinds.append("fixed" if examples[0].task != OWN else "fresh" if fresh else "replay")
        if kinds[-1] == "fixed":
            assert examples == seen["drawn"]
        if kinds[-1] == "replay":
            assert set(examples) <= set(earlier[-CAPACITY:])
        if kinds[-1] == "fresh":
            assert [example.group for example in examples] == [example.group for example in seen["drawn"]]
            earlier += examples
    assert set(kinds) == {"fixed", "fresh", "replay"}
    assert len(earlier) > CAPACITY
    assert policy.buffer == earlier[-CAPACITY:]


def test_its_state_is_plain_json_and_comes_back_whole(teacher: Path, tmp_path: Path) -> None:
    policy = AdaptiveReplay(CAPACITY, first_threshold=0.5, growth=0.2, tolerance=ALWAYS)
    run(cell_of(teacher, policy=policy), tmp_path)
    assert policy.buffer
    again = AdaptiveReplay(CAPACITY)
    again.load_state_dict(json.loads(json.dumps(policy.state_dict(), allow_nan=False)))
    assert (again.threshold, again.mark, again.buffer) == (policy.threshold, policy.mark, policy.buffer)


def test_what_it_remembers_is_no_part_of_the_cells_identity(teacher: Path, tmp_path: Path) -> None:
    cell = cell_of(teacher)
    before = identity(cell)
    run(cell, tmp_path)
    assert identity(cell) == before
    assert before["loss"]["data_policy"]["capacity"] == CAPACITY
    assert "buffer" not in before["loss"]["data_policy"]


@pytest.mark.parametrize("restart", [True, False])
def test_it_begins_anew_with_a_new_student_and_lives_on_with_the_old_one(
    teacher: Path, restart: bool, tmp_path: Path
) -> None:
    policy = Watched(CAPACITY, first_threshold=0.5, growth=0.2, tolerance=ALWAYS)
    run(cell_of(teacher, steps_a_round(restart), policy=policy, schedule=Rounds(TWO_ROUNDS, restart)), tmp_path)
    first, second = policy.supplied[:STEPS], policy.supplied[STEPS:]
    assert [seen["step"] for seen in second] == list(range(STEPS))
    if restart:
        assert (second[0]["share"], second[0]["buffer"]) == (0.5, 0)
    else:
        # Three validations in each round, of which the very first only sets the mark.
        assert (second[0]["share"], second[0]["buffer"]) == (1.0, first[-1]["after"])
        assert first[-1]["after"] > 0


# --- own text --------------------------------------------------------------------------------------------------------


def test_own_text_keeps_the_tokens_that_the_student_wrote(teacher: Path, tmp_path: Path) -> None:
    policy = Watched(CAPACITY, first_threshold=1.0)
    ran, steps = watched(cell_of(teacher, "optimization.max_steps=24", policy=policy), tmp_path)
    first, eos = steps[0], ran.cell_run.student.tokenizer.eos_token_id
    student = first.student(ran)
    ends, lost = set(), False
    for example in policy.supplied[0]["examples"]:
        request = Request(OWN, example.prompt, example.group, None, 1.0)
        [[reply]] = student.generate([request], key="step0")
        assert example.token_ids == reply.token_ids
        [other] = student.generate([request], key="step1")[0]
        assert other.token_ids != reply.token_ids  # the same prompt a step later is another text
    for seen in policy.supplied:
        for example in seen["examples"]:
            [row] = student.encoder.examples([example])
            assert row.target == example.token_ids
            ends.add(row.target[-1] == eos)
            again = student.encoder.examples([replace(example, token_ids=None)])[0].target
            lost |= again not in (row.target, (*row.target, eos))
    assert ends == {True, False}
    assert lost  # what a young student writes holds tokens that its text does not show


@pytest.mark.parametrize("ended", [True, False])
def test_given_tokens_are_the_targets_with_eos_only_where_it_was_written(ended: bool) -> None:
    student = fresh_student()
    eos = student.tokenizer.eos_token_id
    ids = (7, 1, 9, eos) if ended else (7, 1, 9)
    example = TrainingExample("g", OWN, "1+1", (Span("whatever", 0.5, OWN),), token_ids=ids)
    [row] = student.encoder.examples([example])
    assert row.target == ids
    assert row.weights == (0.5,) * len(ids)
    assert row.spans == (OWN,) * len(ids)
    scores = student.target_log_probabilities([example])[0]
    assert len(scores) == len(ids)


def test_numbers_beside_the_tokens_must_be_as_many_as_the_tokens() -> None:
    student = fresh_student()
    example = TrainingExample("g", OWN, "1+1", (Span("2"),), token_ids=(7, 8), extra={"advantage": (0.5, 1.0)})
    student.encoder.examples([example])
    for wrong in ((0.5,), (0.5, 1.0, 2.0)):
        with pytest.raises(ValueError, match=r"extra\['advantage'\].*2 target tokens"):
            student.encoder.examples([replace(example, extra={"advantage": wrong})])


# --- the loss --------------------------------------------------------------------------------------------------------


def test_value_and_gradient_of_every_step_and_no_cross_entropy_on_own_text(teacher: Path, tmp_path: Path) -> None:
    policy = Watched(CAPACITY, first_threshold=0.5, growth=0.2, tolerance=ALWAYS)
    ran, steps = watched(cell_of(teacher, ONE_GROUP, UNCLIPPED, policy=policy), tmp_path)
    other = network_in(teacher)
    own_steps = 0
    for step in steps:
        student = step.student(ran)
        rows = student.encoder.examples(step.examples)
        pairs = [(target_logits(student.network, row), target_logits(other, row)) for row in rows]
        log_q = torch.cat([ours for ours, _ in pairs]).log_softmax(-1)
        log_p = torch.cat([theirs for _, theirs in pairs]).log_softmax(-1)
        soft = 0.5 * (log_p.exp() * (log_p - log_q)).sum(-1).mean()
        own = {row.example.task == OWN for row in rows}
        assert len(own) == 1
        expected = {"own_text/distillation" if own == {True} else "rationale_and_answer/distillation": soft}
        if own == {False}:
            hard = torch.cat([nats(ours, row) for (ours, _), row in zip(pairs, rows, strict=True)])
            expected["rationale_and_answer"] = 0.5 * hard.mean()
        own_steps += own == {True}
        assert_as_by_hand(step, student, expected)
    assert 2 <= own_steps < STEPS


def test_what_student_and_teacher_do_for_it_is_booked(teacher: Path, tmp_path: Path) -> None:
    policy = Watched(CAPACITY, first_threshold=1.0)
    ran = run(cell_of(teacher, policy=policy), tmp_path)
    texts = {example for seen in policy.supplied for example in seen["examples"]}
    assert len(texts) < 4 * STEPS  # some were replayed, and cost nothing again
    computed: Json = ran.result["rounds"][0]["computed"]
    assert computed["student/training"]["calls"] == len(texts)
    assert computed["student/training"]["completion_tokens"] > len(texts)
    assert computed["teacher/training"]["calls"] == 4 * STEPS


# --- the same again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [True, False])
def test_a_cell_killed_after_every_single_step_ends_as_if_it_had_not(
    teacher: Path, restart: bool, tmp_path: Path
) -> None:
    def make(*overrides: str) -> Cell:
        return cell_of(teacher, steps_a_round(restart), *overrides, schedule=Rounds(TWO_ROUNDS, restart))

    whole: Ran = run(make(), tmp_path / "whole")
    expected = outcome(whole)
    assert expected["policy"]["buffer"]
    assert outcome(run(make(), tmp_path / "twin")) == expected
    again = killed_and_gone_on(lambda: make(EVERY_STEP), tmp_path / "killed", (0, *[1] * (2 * STEPS - 1)))
    assert outcome(again) == expected
