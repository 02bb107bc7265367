"""Cells that start from other cells of the same command: what runs first, what waits, what is refused and how."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.cell.identity import cell_id
from tests.cells import SMALLEST_STUDENT

Run = Callable[..., Any]

SMALL = ("optimization.max_steps=4", "budget.questions=20", "student.max_new_tokens=16", *SMALLEST_STUDENT)
DATA = ("dataset.pool_size=40", "dataset.validation_size=8", "dataset.test_size=16", "trainer.save_student=false")
BASE = ("method=gold_answers", "student=tiny", *SMALL)
HEALED = (
    "student=smollm2_135m",
    "optimization=tiny",
    "optimization.max_steps=4",
    "budget.questions=20",
    "student.max_length=192",
    "student.max_new_tokens=16",
    "student.path=cell:base",
)
PLUG = """
    from dataclasses import dataclass
    from benchmark.axes.format import AnswerOnly

    @dataclass(frozen=True)
    class Fails(AnswerOnly):
        def examples(self, annotations, task, data_rng):
            raise RuntimeError("no luck")
"""
FAILS = {"format/fails": "_target_: plug_prerequisite_fails.Fails\n"}


def experiment(*base: str, more: str = "") -> dict[str, str]:
    """An experiment that names `base` as a prerequisite."""
    overrides = ", ".join(f'"{override}"' for override in base)
    return {"experiment/lab": f"# @package _global_\nprerequisites:\n  base: [{overrides}]\n{more}"}


@pytest.fixture
def lab(plugin: Run) -> tuple[str, ...]:
    """The overrides of an experiment whose student is the one that another cell exports."""
    return (plugin({}, experiment(*BASE)), "experiment=lab", *DATA, "method=gold_answers", *HEALED)


def test_a_sweep_runs_first_what_others_start_from(lab: tuple[str, ...], command: Run, results: Any, cell: Run) -> None:
    done = command("-m", *lab, "seed=1,2")
    assert done.status == 0, done.err
    first, *lines, last = done.err.splitlines()
    assert first == "5 cells, 0 complete, 5 to run; 4 start from 1 of the others"
    assert last.startswith("5 cells complete; ")
    [base] = [record for record in results.records() if record["student"] == "tiny"]
    others = [record for record in results.records() if record is not base and record["student"] != "tiny"]
    assert sorted((record["method"], record["seed"]) for record in others) == [
        ("gold_answers", 1), ("gold_answers", 2), ("untrained", 1), ("untrained", 2),
    ]  # fmt: skip
    begun = [line.partition("  ")[2] for line in lines if line.endswith(": started")]
    assert begun[0].startswith("gold_answers on chain_sum, student tiny, seed 1")
    folder = f"results/{base['cell_id']}/student"
    for record in others:
        assert record["config"]["student"]["path"] == folder
        [row] = record["prerequisites"]
        assert (row["slot"], row["cell_id"]) == ("student", base["cell_id"])
    named, spelt = cell((*lab, "seed=1")), cell((*lab, "seed=1", f"student.path={folder}"))
    assert cell_id(named) == cell_id(spelt)
    assert cell_id(named) in results.cells()

    [manifest] = (results.path / ".manifests").iterdir()  # of all cells, also those that were known last
    assert {row["cell_id"] for row in json.loads(manifest.read_text())["cells"]} == results.cells()
    times = results.times()
    again = command("-m", *lab, "seed=1,2")
    assert again.status == 0
    assert again.err.splitlines()[0] == "5 cells, 5 complete, 0 to run"
    assert results.times() == times


def test_the_plan_shows_them_first_and_writes_nothing(lab: tuple[str, ...], command: Run, results: Any) -> None:
    done = command("-m", *lab, "seed=1,2", "mode=plan")
    assert done.status == 0, done.err
    rows = [line for line in done.out.splitlines() if "| chain_sum" in line]
    assert [row.split("|")[3].strip() for row in rows] == ["tiny"] + ["smollm2_135m"] * 4
    assert ["to run first" in row for row in rows] == [True] + [False] * 4
    assert all("| to run " in row for row in rows)
    assert not results.path.exists()
    alone = command(*lab, "mode=plan")
    assert alone.status == 0
    assert [row.split("|")[3].strip() for row in alone.out.splitlines() if "| chain_sum" in row] == [
        "tiny", "smollm2_135m",
    ]  # fmt: skip
    assert command("-m", *lab, "references=false").status == 0
    after = command("-m", *lab, "references=false", "mode=plan")
    assert after.out.count("| complete ") == 2


def test_the_reference_starts_from_the_same_prerequisite_as_its_cells(plugin: Run, command: Run) -> None:
    of_teacher = "student.name=${distribution_teacher.name}_pruned"
    folder = plugin(
        {}, experiment(*BASE, of_teacher, more="defaults:\n  - override /distribution_teacher: pretrained\n")
    )
    named = ("distribution_teacher.name=large", "distribution_teacher.path=large")
    done = command("-m", folder, "experiment=lab", *DATA, "method=gold_answers", *HEALED, *named, "mode=plan")
    assert done.status == 0, done.err
    assert [row.split("|")[3].strip() for row in done.out.splitlines() if "to run first" in row] == ["large_pruned"]


def test_a_lone_cell_prints_the_command_that_makes_what_is_missing(
    lab: tuple[str, ...], command: Run, results: Any
) -> None:
    done = command(*lab)
    assert done.status == 2
    assert done.complaint.startswith("student.path=cell:base: there is no folder results/")
    words = shlex.split(done.complaint.partition("make it with: ")[2].partition(" (with -m")[0])
    assert words[:3] == ["python", "-m", "benchmark"]
    assert not results.cells()
    assert command(*words[3:]).status == 0
    assert results.record()["student"] == "tiny"
    assert command(*lab).status == 0
    assert len(results.cells()) == 2


def test_a_student_that_was_deleted_is_named(lab: tuple[str, ...], command: Run, results: Any) -> None:
    assert command("-m", *lab, "references=false").status == 0
    [base] = [record["cell_id"] for record in results.records() if record["student"] == "tiny"]
    shutil.rmtree(results.path / base / "student")
    done = command("-m", *lab, "references=false", "seed=3")
    assert done.status == 2
    assert f"there is no folder results/{base}/student" in done.complaint
    assert f"where results/{base} is complete without it, delete that folder" in done.complaint


def test_a_failed_prerequisite_refuses_the_cells_that_need_it_and_no_other(
    plugin: Run, command: Run, results: Any
) -> None:
    search = plugin({"plug_prerequisite_fails.py": PLUG}, {**FAILS, **experiment(*BASE, "format=fails")})
    own = ("method=gold_answers", "references=false", "student=smollm2_135m", *HEALED[1:-1])
    bad = command("-m", search, "experiment=lab", *DATA, *own, "student.path=cell:base", "seed=1,2")
    assert bad.status == 1
    assert bad.err.splitlines()[0] == "3 cells, 0 complete, 3 to run; 2 start from 1 of the others"
    assert "RuntimeError: no luck" in bad.err.splitlines()[-1]
    assert {record["status"] for record in results.records()} == {"failed"}

    good = command(search, *DATA, *BASE, "trainer.save_student=true", "results_dir=good")
    assert good.status == 0
    [folder] = (Path("good") / name for name in {path.name for path in Path("good").iterdir()} if name[0] != ".")
    both = command("-m", search, "experiment=lab", *DATA, *own, f"student.path=cell:base,{folder}/student")
    assert both.status == 1
    assert "refused: student.path=cell:base: there is no folder results/" in both.err
    assert "error: 1 of 2 cells failed, and 1 others refused" in both.err
    assert sorted(record["status"] for record in results.records()) == ["complete", "failed"]
    begun = [line.rpartition(": ")[2] for line in both.err.splitlines() if "on chain_sum" in line]
    assert begun.count("goes on where an earlier attempt stopped") == begun.count("started") == 1


WRONG = [
    (BASE, ("student.path=cell:bose",), "student.path=cell:bose: there is no such prerequisite; did you mean 'base'?"),
    (BASE, ("~prerequisites.base",), "student.path=cell:base: there is no such prerequisite"),
    (("method=gold_answer",), (), "prerequisites.base: method=gold_answer: there is no such option; did you mean"),
    (("budget.question=3",), (), "prerequisites.base: budget.question: there is no such setting; did you mean"),
    (("method=untrained",), (), "prerequisites.base: method=untrained trains no student that a cell could start"),
    ((*BASE, "budget.questions=41"), (), "prerequisites.base: gold_answers on chain_sum: budget.questions=41"),
    (
        ("method=gold_answers", *HEALED),
        (),
        "prerequisites.base: its student is cell:base, but a prerequisite cannot start from another",
    ),
    (BASE, ("+prerequisites.other=3",), "prerequisites={'base': "),
]


@pytest.mark.parametrize(("base", "overrides", "said"), WRONG)
def test_one_line_says_what_is_wrong_with_a_prerequisite(
    base: tuple[str, ...], overrides: tuple[str, ...], said: str, plugin: Run, command: Run, results: Any
) -> None:
    lab = (plugin({}, experiment(*base)), "experiment=lab", *DATA, "method=gold_answers", *HEALED)
    for sweep in ((), ("-m",)):
        done = command(*sweep, *lab, *overrides, "mode=plan")
        assert done.status == 2
        assert done.complaint.startswith(said)
    assert not results.path.exists()


def test_a_mistake_in_a_cell_that_waits_is_found_before_anything_runs(
    lab: tuple[str, ...], command: Run, results: Any
) -> None:
    done = command("-m", *lab, "budget.questions=41")
    assert done.status == 2
    assert "budget.questions=41, but the pool has 40 questions" in done.complaint
    assert not results.cells()


def test_a_prerequisite_may_follow_the_seed_and_shares_data_and_folders(plugin: Run, cell: Run) -> None:
    search = plugin({}, experiment(*BASE, "seed=${seed}"))
    lab = (search, "experiment=lab", *DATA, "method=gold_answers", *HEALED, "results_dir=there", "dataset=trait_choice")
    ids = set()
    for seed in (1, 2):
        [start] = cell((*lab, f"seed={seed}")).missing_prerequisites
        assert (start.cell.seed, start.cell.dataset.name, start.cell.results_dir) == (seed, "trait_choice", "there")
        assert start.cell.trainer.save_student is True
        assert start.folder == f"there/{start.cell_id}/student"
        ids.add(start.cell_id)
    assert len(ids) == 2


@pytest.mark.parametrize("group", ["teacher=transformers", "assistant=pretrained"])
def test_only_models_that_a_cell_uses_are_waited_for(group: str, plugin: Run, cell: Run, command: Run) -> None:
    slot = group.partition("=")[0]
    lab = (plugin({}, experiment(*BASE)), "experiment=lab", *DATA, group, f"{slot}.path=cell:base", *SMALL)
    unused = cell((*lab, "method=gold_answers"))
    assert [each.name for each in unused.starts_from] == ["base"]
    assert unused.missing_prerequisites == ()
    used = cell((*lab, "method=answer_only"))
    assert [each.settings for each in used.missing_prerequisites] == ([("teacher.path",)] if slot == "teacher" else [])


def test_annotating_ahead_needs_the_teacher_and_not_the_student(lab: tuple[str, ...], command: Run) -> None:
    done = command("-m", *lab, "mode=annotate", "method=answer_only")
    assert done.status == 0, done.err
    local = ("teacher=transformers", "teacher.path=cell:base", "student=tiny", "student.path=null")
    done = command("-m", *lab[:-7], "mode=annotate", "method=answer_only", *local[:2], *SMALL)
    assert done.status == 2
    assert done.complaint.startswith("teacher.path=cell:base: there is no folder")


def test_workers_run_them_first_too(lab: tuple[str, ...], run_cli: Run, results: Any) -> None:
    done = run_cli("-m", *lab, "seed=1,2", "references=false", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stderr
    assert "3 cells, 0 complete, 3 to run, 2 at a time (joblib); 2 start from 1 of the others" in done.stderr
    assert len(results.cells()) == 3
