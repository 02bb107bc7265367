"""The scripted methods chosen by YAMLs from a folder of their own, as another package would bring them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.cell.identity import canonical, cell_id, identity
from tests.conftest import Command, Results
from tests.rehearsals.tensor_parts import model_folder

HERE = "tests.rehearsals"
CONFIGS = {
    "loss/soft_labels": f"_target_: {HERE}.mentor.SoftLabels\n",
    "loss/consistency": f"_target_: {HERE}.consistency_pairs.Consistency\nalpha: 0.2\n",
    "curriculum/by_signs": """
        defaults:
          - selective_reflection
          - _self_

        overlap: signs
        max_new_tokens: 8
        """,
    "annotation/worked_solutions": f"_target_: {HERE}.tensor_parts.WorkedSolutions\n",
    "annotation/with_mistakes": f"""
        _target_: {HERE}.signed_weights.WithMistakes
        inner:
          _target_: benchmark.axes.annotation.FewShotCot
        """,
    "annotation/with_mentor": f"_target_: {HERE}.mentor.WithMentor\nsamples: 2\n",
    "weighting/right_answers": f"_target_: {HERE}.mentor.RightAnswersOnly\n",
    "format/key_steps": f"_target_: {HERE}.signed_weights.KeyStepsFormat\nwrong_weight: -0.025\n",
    "format/consistent_pairs": f"_target_: {HERE}.consistency_pairs.ConsistentPairsFormat\nngram: 2\n",
    "method/selective_reflection": """
        # @package _global_
        defaults:
          - override /annotation: worked_solutions
          - override /curriculum: by_signs
          - override /format: step_by_step
          - override /loss: white_box
        method: selective_reflection
        """,
    "method/edit": """
        # @package _global_
        defaults:
          - override /annotation: with_mistakes
          - override /format: key_steps
        method: edit
        """,
    "method/mcc_kd": """
        # @package _global_
        defaults:
          - override /format: consistent_pairs
          - override /loss: consistency
        method: mcc_kd
        """,
    "method/mentor_kd": """
        # @package _global_
        defaults:
          - override /annotation: with_mentor
          - override /weighting: right_answers
          - override /loss: soft_labels
        method: mentor_kd
        """,
}
METHODS = sorted(name.removeprefix("method/") for name in CONFIGS if name.startswith("method/"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("models") / "model")


def prompt_library_for(model: Path) -> tuple[str, ...]:
    """A model in every slot that a method may look for one in."""
    return (
        "teacher=transformers",
        f"teacher.path={model}",
        "teacher.max_new_tokens=4",
        "assistant=pretrained",
        f"assistant.path={model}",
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_built_and_named_and_keeps_its_id(
    plugin: Callable[..., str], cell: Callable[..., Any], model: Path, method: str
) -> None:
    overrides = (plugin({}, CONFIGS), f"method={method}", *prompt_library_for(model))
    built = cell(overrides)
    assert built.method.name == method
    assert cell_id(built) == cell_id(cell(overrides))
    found = identity(built)
    assert any(source.startswith(HERE) for source in found["sources"])
    assert found["loss"] == canonical(built.method.loss)


def test_a_setting_of_a_nested_part_reaches_the_part_and_the_id(
    plugin: Callable[..., str], cell: Callable[..., Any], model: Path
) -> None:
    search = plugin({}, CONFIGS)
    plain = cell((search, "method=minillm", *prompt_library_for(model)))
    changed = cell((search, "method=minillm", "loss.data_policy.epochs=7", *prompt_library_for(model)))
    assert (plain.method.loss.data_policy.epochs, changed.method.loss.data_policy.epochs) == (4, 7)
    assert changed.method.name == "minillm+loss.data_policy.epochs=7"
    assert cell_id(plain) != cell_id(changed)


def test_what_a_policy_remembers_cannot_be_set(
    command: Callable[..., Command], model: Path, miniature: tuple[str, ...]
) -> None:
    done = command("method=distillm", "+loss.data_policy.threshold=0.5", *prompt_library_for(model), *miniature)
    assert done.status != 0
    assert "loss.data_policy.threshold: AdaptiveReplay has no such setting" in done.complaint


@pytest.mark.parametrize("method", ["fkl", "selective_reflection", "distillm", "gkd", "distillm2", "minillm"])
def test_the_command_line_runs_it_to_its_record(
    plugin: Callable[..., str],
    command: Callable[..., Command],
    results: Results,
    model: Path,
    miniature: tuple[str, ...],
    method: str,
) -> None:
    overrides = (
        plugin({}, CONFIGS),
        f"method={method}",
        *prompt_library_for(model),
        *miniature,
        "optimization.batch_size=4",
    )
    if method != "selective_reflection":
        overrides = (*overrides, "annotation=human_rationales")  # the teacher has random weights
    small = ("student.hidden_size=16", "student.layers=1", "student.attention_heads=2", "trainer.accelerator=cpu")
    done = command(*overrides, *small, "optimization.max_steps=6")
    assert done.status == 0, done.err
    record = results.record()
    assert record["status"] == "complete"
    assert record["method"].removesuffix("+annotation=human_rationales") == method
    assert record["teacher"] == "transformers"
    assert record["train"]["optimiser_steps"] == 6
    assert record["rounds"][0]["computed"]["teacher/training"]["prompt_tokens"] > 0
    again = command(*overrides, *small, "optimization.max_steps=6")
    assert "already complete" in again.out + again.err


def test_the_command_line_refuses_a_teacher_without_distributions(
    command: Callable[..., Command], results: Results, miniature: tuple[str, ...]
) -> None:
    done = command("method=fkl", *miniature)
    assert done.status != 0
    assert "answers in text only; choose teacher=transformers" in done.complaint
    assert not results.path.exists()
