"""Mentor-KD: a finished cell's student is the next cell's assistant: it writes chains, and gives soft labels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.cell.cell import Cell
from benchmark.cell.identity import cell_id
from benchmark.contract import ASSISTANT
from benchmark.errors import ConfigError
from benchmark.planning.checks import check
from benchmark.run_cell import run_cell
from benchmark.types import Request
from tests.cells import Silent
from tests.corridor.corridor_parts import Ran, miniature, run
from tests.rehearsals.mentor import RightAnswersOnly, SoftLabels, WithMentor
from tests.rehearsals.tensor_parts import (
    EVERY_STEP,
    ONE_GROUP,
    UNCLIPPED,
    WHOLE_STEP,
    assert_as_by_hand,
    killed_and_gone_on,
    model_folder,
    nats,
    network_in,
    outcome,
    target_logits,
    watched,
)
from tests.student.student_parts import characters

QUESTIONS, SAMPLES, TEMPERATURE = 12, 3, 1.6
WEIGHT, TAU = 0.3, 2.0
LEARNS_BY_HEART = (
    "method=human_rationale",
    "student.hidden_size=32",
    "student.intermediate_size=64",
    "student.max_new_tokens=40",
    "optimization.max_steps=250",
    "optimization.batch_size=12",
    "optimization.learning_rate=2e-2",
    "optimization.weight_decay=0",
    "trainer.save_student=true",
)
"""Draws the same twelve questions as the student's cell does, and remembers most of their solutions."""


@pytest.fixture(scope="module")
def mentor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `student/` folder of a finished cell."""
    results = tmp_path_factory.mktemp("mentor")
    done = run_cell(miniature(*LEARNS_BY_HEART, f"results_dir={results}"), Silent())
    assert done.status == "complete", done.message
    return results / done.cell_id / "student"


def as_assistant(folder: Path) -> tuple[str, ...]:
    return (
        "assistant=pretrained",
        f"assistant.path={folder}",
        "assistant.max_length=192",
        "assistant.max_new_tokens=40",
    )


def cell_of(mentor: Path, *overrides: str) -> Cell:
    return miniature(
        *as_assistant(mentor),
        "teacher.wrong_step_rate=0.3",
        *overrides,
        annotation=WithMentor(samples=SAMPLES, temperature=TEMPERATURE),
        weighting=RightAnswersOnly(),
        loss=SoftLabels(WEIGHT, TAU),
    )


@pytest.fixture(scope="module")
def whole(mentor: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(cell_of(mentor), tmp_path_factory.mktemp("whole"))


# --- its chains ------------------------------------------------------------------------------------------------------


def test_the_mentors_chains_stand_beside_the_teachers_and_cost_no_call(whole: Ran) -> None:
    sources = [row["source"] for row in whole.table("annotations")]
    assert sources.count(ASSISTANT) == QUESTIONS * SAMPLES
    assert sources.count("simulated") == QUESTIONS
    [log] = whole.history
    assert log.charged["teacher"].calls == QUESTIONS
    assert log.computed[f"{ASSISTANT}/annotation"].calls == QUESTIONS * SAMPLES
    assert log.computed[f"{ASSISTANT}/annotation"].completion_tokens > QUESTIONS * SAMPLES


def test_it_is_asked_as_the_student_is_and_its_samples_differ(mentor: Path, whole: Ran) -> None:
    cell = whole.cell_run.cell
    model = whole.cell_run.models.assistant
    assert model is not None
    texts = set()
    for row in whole.cell_run.state.annotations:
        if row.source == ASSISTANT:
            [exchange] = row.exchanges
            asked = cell.method.format.request(row.question, "rationale_and_answer", cell.dataset.task)
            assert exchange.request == replace(asked, temperature=TEMPERATURE)
            texts.add((row.question.id, exchange.reply.text))
    assert len(texts) > QUESTIONS + 3
    greedy = model.generate([Request("rationale_and_answer", exchange.request.prompt, "?")])[0][0]
    assert (network_in(mentor).config.hidden_size, greedy.finish) == (32, "stop")


def test_only_chains_with_the_right_answer_are_learnt_from(whole: Ran) -> None:
    gold = {row.id: row.answer for row in whole.cell_run.splits.pool}
    rows = whole.cell_run.state.annotations
    for row in rows:
        right = row.answer == gold[row.question.id]
        assert (row.weight, row.reason) == ((1.0, "") if right else (0.0, "its answer is not the gold one"))
    kept = [row for row in rows if row.weight > 0]
    from_mentor = sum(row.source == ASSISTANT for row in kept)
    assert 3 < from_mentor < QUESTIONS * SAMPLES  # it remembers some of the solutions, and not all
    assert 0 < len(kept) - from_mentor < QUESTIONS
    assert whole.history[0].notes["wrong_chains"] == len(rows) - len(kept)
    assert whole.result["uses_gold"] is True


# --- its soft labels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [ONE_GROUP, WHOLE_STEP])
def test_value_and_gradient_of_every_step(mentor: Path, tmp_path: Path, cut: str) -> None:
    ran, steps = watched(cell_of(mentor, cut, UNCLIPPED), tmp_path)
    sources = {row.id: row.source for row in ran.cell_run.state.annotations}
    seen = set()
    for step in steps:
        student, hard, soft = step.student(ran), [], []
        for row in student.encoder.examples(step.examples):
            ours, theirs = target_logits(student.network, row), target_logits(network_in(mentor), row)
            p, q = (theirs / TAU).softmax(-1), (ours / TAU).softmax(-1)
            hard.append(nats(ours, row))
            soft.append(TAU**2 * (p * (p / q).log()).sum(-1))
            seen |= {sources[annotation] for annotation in row.example.annotations}
        means = {
            "rationale_and_answer": (1 - WEIGHT) * torch.cat(hard).mean(),
            "mentor": WEIGHT * torch.cat(soft).mean(),
        }
        assert_as_by_hand(step, student, means)
    assert seen == {ASSISTANT, "simulated"}
    assert ran.history[0].computed[f"{ASSISTANT}/training"].prompt_tokens == ran.result["train"]["tokens"]


# --- what must be there ----------------------------------------------------------------------------------------------


def test_without_an_assistant_the_method_is_refused(mentor: Path) -> None:
    cell = cell_of(mentor)
    check(cell)
    with pytest.raises(ConfigError, match=r"needs an assistant; give assistant=pretrained assistant\.path=FOLDER"):
        check(replace(cell, assistant=miniature().assistant))


def test_a_mentor_with_other_tokens_is_refused_for_soft_labels_and_welcome_for_text(
    mentor: Path, tmp_path: Path
) -> None:
    tokenizer = characters()
    tokenizer.add_tokens(["<think>"])
    other = model_folder(tmp_path / "other", more_rows=1, tokenizer=tokenizer)
    cell = miniature(*as_assistant(other), annotation=WithMentor())
    check(cell)
    with pytest.raises(ConfigError, match="assistant=pretrained and student=tiny do not share a vocabulary"):
        check(replace(cell, method=replace(cell.method, loss=SoftLabels())))


def test_another_mentor_is_another_cell(mentor: Path, tmp_path: Path) -> None:
    other = model_folder(tmp_path / "other")
    assert cell_id(cell_of(mentor)) != cell_id(cell_of(other))
    (tmp_path / "moved").symlink_to(mentor)
    assert cell_id(cell_of(mentor)) == cell_id(cell_of(tmp_path / "moved"))


def test_the_mentors_id_and_cost_are_added_to_the_record(mentor: Path, tmp_path: Path) -> None:
    done = run_cell(replace(cell_of(mentor), results_dir=str(tmp_path)), Silent())
    record = json.loads((tmp_path / done.cell_id / "record.json").read_text())
    own = json.loads((mentor.parent / "record.json").read_text())
    [known] = record["prerequisites"]
    assert known == {"slot": "assistant", "cell_id": own["cell_id"], "charged": own["rounds"][-1]["charged"]}
    assert known["charged"]["human"]["questions"] == QUESTIONS
    assert own["prerequisites"] == []


def test_an_annotator_that_has_not_said_so_may_not_ask_the_mentor(mentor: Path, tmp_path: Path) -> None:
    class Secret(WithMentor):
        def requires(self) -> Any:
            return self.inner.requires()

    with pytest.raises(ValueError, match="without declaring it in requires"):
        run(miniature(*as_assistant(mentor), annotation=Secret()), tmp_path)


# --- the same again --------------------------------------------------------------------------------------------------


def test_two_runs_are_equal_and_so_is_one_that_was_killed(mentor: Path, whole: Ran, tmp_path: Path) -> None:
    assert outcome(run(cell_of(mentor), tmp_path / "twin")) == outcome(whole)
    for deaths in ((0, 1, 2), (5,)):
        again = killed_and_gone_on(lambda: cell_of(mentor, EVERY_STEP), tmp_path / str(deaths), deaths)
        assert outcome(again) == outcome(whole), deaths
