"""The preset of ELAD, revised by the simulated teacher, through the command line."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from benchmark.app import CONF
from benchmark.axes.selection import RandomSelection
from benchmark.contract import Context, Requirements
from benchmark.planning.checks import check
from benchmark.types import Pick, Question
from methods.elad.selection import ExplanationUncertainty
from tests.corridor.corridor_parts import Rounds, run

PERFECT = ("teacher.verify.false_accept=0", "teacher.verify.false_reject=0")
SHORT = ("dataset.pool_size=60", "dataset.validation_size=4", "dataset.test_size=4", "evaluation.validation_size=4")
Command = Callable[..., Any]


def elad(command: Command, folder: Path, *overrides: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The record and the annotations of one cell."""
    done = command("method=elad", "teacher=simulated", *PERFECT, *overrides)
    assert done.status == 0, done.err
    [cell] = (folder / "results").glob("*/record.json")
    rows = pyarrow.parquet.read_table(cell.with_name("annotations.parquet")).to_pylist()
    return json.loads(cell.read_text()), rows


def survival(records: Sequence[dict[str, Any]]) -> float:
    """The share of the student's steps that the teacher accepted, over the notes of rounds."""
    return sum(each["survived"] for each in records) / sum(each["written"] for each in records)


def test_the_preset_runs_with_the_simulated_reviser_and_its_calls_are_all_counted(
    command: Command, tmp_path: Path
) -> None:
    record, rows = elad(
        command, tmp_path, "budget.questions=12", "optimization.max_steps=10", "student.max_new_tokens=24",
        "selection.explanations=2", "schedule.least_gain=0", *SHORT,
    )  # fmt: skip
    assert (record["status"], record["method"], record["uses_gold"]) == (
        "complete", "elad+schedule.least_gain=0+selection.explanations=2", False,
    )  # fmt: skip
    charged = record["rounds"][-1]["charged"]["teacher"]
    asked = {
        (each["request"]["role"], each["request"]["prompt"])
        for row in rows
        for each in json.loads(row["exchanges"])
        if each["source"] == "simulated"
    }
    assert charged["calls"] == len(asked) > charged["questions"] == len(rows) == 12
    assert {role for role, _ in asked} <= {"verify", "finish"}
    solved = [row for row in rows if row["answer"] is not None]
    assert len(solved) == len(rows)  # a reviser without mistakes leaves no question without an answer


# --- options for ablations -------------------------------------------------------------------------------------------

OPTIONS = sorted(path.stem for path in (CONF / "selection").glob("explanation_uncertainty_*.yaml"))


def settings(compose: Callable[[Sequence[str]], Any], option: str) -> dict[str, Any]:
    """The settings of a selection, with those of its inner part under their own names."""
    from omegaconf import OmegaConf

    node: Any = OmegaConf.to_container(compose((f"selection={option}",))["selection"])
    return {**{f"intra.{key}": value for key, value in node.pop("intra").items()}, **node}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_ablation_changes_one_setting_and_can_be_planned(
    option: str, compose: Callable[[Sequence[str]], Any], cell: Callable[[Sequence[str]], Any]
) -> None:
    default, changed = (settings(compose, name) for name in ("explanation_uncertainty", option))
    assert default.keys() == changed.keys()
    assert len([key for key in default if default[key] != changed[key]]) == 1
    made = cell(("method=elad", f"selection={option}"))
    check(made)
    assert made.method.name == f"elad+selection={option}"


def test_every_undecided_point_of_the_selection_has_its_option() -> None:
    readings = {"removal", "now", "soft", "sum", "max", "greedy"}
    terms = {"steps_only", "answers_only", "one_minus_max", "unique_share", "raw_sum", "product"}
    assert {option.removeprefix("explanation_uncertainty_") for option in OPTIONS} == readings | terms


@pytest.mark.parametrize("form", ["step_by_step", "answer_only"])
def test_a_format_without_begun_explanations_is_refused_with_the_one_that_has_them(form: str, command: Command) -> None:
    done = command("mode=plan", "method=elad", f"format={form}")
    assert done.status != 0
    assert "it asks the student in the role rationale_and_answer" in done.err
    assert done.err.rstrip().endswith("choose format=rationale_then_answer")


# --- with a student that learns: run and reported, not gated where thresholds are only proposals ----------------------

WARM = pytest.mark.skipif(not (CONF / "student" / "tiny_warm.yaml").exists(), reason="there is no warm student")
TINY_WARM = ("student=tiny_warm", "optimization=tiny_warm")


@pytest.mark.slow
@WARM
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_a_warm_student_learns_from_sixty_revised_explanations(
    seed: int, command: Command, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """T15: better than the untrained student, with a loss that falls."""
    sizes = (
        "dataset.pool_size=200", "dataset.validation_size=50", "evaluation.validation_size=50", "dataset.test_size=200",
        "budget.questions=60", "optimization.max_steps=200", "trainer.log_every_n_steps=10",
    )  # fmt: skip
    rounds = ("schedule.rounds.rounds=2", "schedule.least_gain=0", "selection.explanations=3", f"seed={seed}")
    record, _ = elad(command, tmp_path, *TINY_WARM, *sizes, *rounds)
    [folder] = [path.parent for path in (tmp_path / "results").glob("*/record.json")]
    with (folder / "log" / "metrics.csv").open(newline="") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    done = command("method=untrained", *TINY_WARM, *sizes, f"seed={seed}", "results_dir=untrained")
    assert done.status == 0, done.err
    [untrained] = (tmp_path / "untrained").glob("*/record.json")
    before, after = json.loads(untrained.read_text())["test"][0]["value"], record["test"][0]["value"]
    record_property("T15", f"untrained {before:.3f}, ELAD {after:.3f}, loss {losses[0]:.3f} to {losses[-1]:.3f}")
    assert after > before
    assert losses[-1] < losses[0]


def is_new(question: Question) -> bool:
    """Whether a question needs what the warm start has never shown: six terms."""
    return len(re.findall(r"\d", question.text)) == 6


@dataclass(frozen=True)
class WarmWithoutIt:
    """A first round without the skill; then another selection, whose picks are written down."""

    inner: ExplanationUncertainty
    ranked: list[Pick] = field(default_factory=list, compare=False)

    def requires(self) -> Requirements:
        return self.inner.requires()

    def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
        if context.round.index == 0:
            return sorted(RandomSelection().rank(pool, context), key=lambda pick: is_new(pick.question))
        self.ranked.extend(picks := self.inner.rank(pool, context))
        return picks


@pytest.mark.slow
@WARM
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_how_much_of_a_missing_skill_is_picked(
    seed: int,
    cell: Callable[[Sequence[str]], Any],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """T16: a share of 1.5 times the random one is a proposal that was not simulated, so that a null is allowed."""
    sizes = ("dataset.pool_size=600", "dataset.validation_size=50", "evaluation.validation_size=50",
             "dataset.test_size=50", "budget.questions=180", "optimization.max_steps=300", f"seed={seed}")  # fmt: skip
    made = cell(("method=elad", "teacher=simulated", *PERFECT, *TINY_WARM, *sizes))
    selection = WarmWithoutIt(ExplanationUncertainty(3))
    made = replace(made, method=replace(made.method, selection=selection, schedule=Rounds((0.84, 0.16))))
    run(made, tmp_path)
    new = [is_new(pick.question) for pick in selection.ranked]
    base, share = sum(new) / len(new), sum(new[:29]) / 29
    record_property("T16", f"{share:.2f} of the first 29 picks, {base:.2f} of the pool, ratio {share / base:.2f}")
    assert 0.2 < base < 0.4


@pytest.mark.slow
@WARM
def test_a_third_of_a_warm_students_steps_survive(command: Command, tmp_path: Path) -> None:
    """The base alone solves few chain sums, so that the first round is mostly the teacher's; later ones are not."""
    record, _ = elad(command, tmp_path, "student=tiny_warm", "budget.questions=400", "dataset.pool_size=1000")
    notes = [log["notes"] for log in record["rounds"]]
    assert survival(notes) >= 1 / 3
    assert survival(notes[:1]) < survival(notes[-1:])
