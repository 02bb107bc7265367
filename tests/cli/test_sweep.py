"""Sweeps: what is run, what is left alone, what is told, and what remains on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cases import cases

Run = Callable[..., Any]

PLUG = """
    from dataclasses import dataclass
    from benchmark.axes.format import AnswerOnly

    @dataclass(frozen=True)
    class Raises(AnswerOnly):
        def examples(self, annotations, task, data_rng):
            raise RuntimeError("no luck\\nand a second line")
"""
CONFIGS = {
    "format/raises": "_target_: plug_sweep_raises.Raises\n",
    "method/raises": "# @package _global_\ndefaults:\n  - override /format: raises\nmethod: raises\n",
}


def told(done: Any) -> tuple[str, str]:
    """The first and the last line of a sweep."""
    lines = done.err.splitlines()
    return lines[0], lines[-1]


def started(done: Any) -> int:
    return sum(line.endswith(": started") for line in done.err.splitlines())


def test_a_sweep_goes_on_where_it_was(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    sweep = ("-m", *miniature, "method=gold_answers,answer_only")
    first = command(*sweep, "seed=1")
    assert first.status == 0
    assert told(first)[0] == "3 cells, 0 complete, 3 to run"
    assert told(first)[1] == "3 cells complete; python -m analysis table --results results"
    times = results.times()
    assert len(times) == 3

    grown = command(*sweep, "seed=1,2")
    assert told(grown)[0] == "6 cells, 3 complete, 3 to run"
    assert started(grown) == 3
    assert times.items() <= results.times().items()


def test_a_finished_sweep_runs_nothing_and_tells_the_same(
    command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    sweep = ("-m", *miniature, "method=gold_answers,untrained")
    first = command(*sweep)
    times = results.times()
    again = command(*sweep)
    assert again.status == 0
    assert told(again) == ("2 cells, 2 complete, 0 to run", told(first)[1])
    assert started(again) == 0
    assert results.times() == times


def test_a_single_cell_is_told_again_and_not_run_again(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    first = command(*miniature)
    times = results.times()
    again = command(*miniature)
    assert again.status == 0
    assert results.times() == times
    summary = first.err.splitlines()[-1].partition("complete: ")[2].partition(" -> ")[0]
    assert again.err == (
        f"already complete: rationale_then_answer on chain_sum, student tiny, seed 1: {summary} "
        f"(cell {results.record()['cell_id']})\n"
    )


def test_a_sweep_and_a_single_run_share_their_cells(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    command(*miniature, "method=gold_answers", "seed=2")
    done = command("-m", *miniature, "method=gold_answers", "seed=1,2", "references=false")
    assert told(done)[0] == "2 cells, 1 complete, 1 to run"


def test_equal_cells_of_a_grid_run_once(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    done = command(
        "-m", *miniature, "method=gold_answers", "seed=1,1", "budget.questions=20,20", "trainer.threads=1,null",
        "teacher.wrong_step_rate=0.1,0.2", "references=false",
    )  # fmt: skip
    assert done.status == 0
    assert told(done)[0] == "1 cells, 0 complete, 1 to run"
    assert started(done) == 1
    assert len(results.cells()) == 1


def test_a_failing_cell_stops_no_other(command: Run, plugin: Run, miniature: tuple[str, ...], results: Any) -> None:
    folder = plugin({"plug_sweep_raises.py": PLUG}, CONFIGS)
    sweep = ("-m", folder, *miniature, "method=raises,gold_answers", "references=false")
    done = command(*sweep)
    assert done.status == 1
    records = {record["method"]: record for record in results.records()}
    assert records["gold_answers"]["status"] == "complete"
    failed = records["raises"]
    assert failed["status"] == "failed"
    assert failed["error"] == "RuntimeError: no luck"
    assert failed["seed"] == 1
    assert "no luck" in (results.path / failed["cell_id"] / "error.txt").read_text()
    assert done.err.endswith(
        "error: 1 of 2 cells failed\n"
        f"  {failed['cell_id']}  raises on chain_sum, student tiny, seed 1: RuntimeError: no luck\n"
    )

    times = results.times()
    again = command(*sweep)
    assert again.status == 1
    assert told(again)[0] == "2 cells, 1 complete, 1 to run"
    assert results.times()[records["gold_answers"]["cell_id"]] == times[records["gold_answers"]["cell_id"]]
    assert results.times()[failed["cell_id"]] > times[failed["cell_id"]]
    kept = results.path / ".attempts" / f"{failed['cell_id']}-1"
    assert json.loads((kept / "record.json").read_text()) == failed

    alone = command(folder, *miniature, "method=raises")
    assert alone.status == 1
    assert alone.err.splitlines()[-1] == "error: RuntimeError: no luck"
    assert len(list((results.path / ".attempts").iterdir())) == 2
    assert not list((results.path / ".writing").iterdir())


@pytest.mark.parametrize("damage", cases(["", "{", "[]", '{"cell_id": "x"}', "null"], default=("", "null")), ids=repr)
def test_a_damaged_record_is_made_again(
    damage: str, command: Run, miniature: tuple[str, ...], results: Any, tmp_path: Path
) -> None:
    sweep = ("-m", *miniature, "method=gold_answers", "references=false")
    command(*sweep)
    record = results.record()
    path = results.path / record["cell_id"] / "record.json"
    path.write_text(damage)
    done = command(*sweep)
    assert done.status == 0
    assert "is damaged" in done.err
    assert f"{record['cell_id']}/record.json" in done.err
    assert "1 cells, 0 complete, 1 to run" in done.err
    assert results.record()["test"][0]["value"] == record["test"][0]["value"]
    kept = results.path / ".attempts" / f"{record['cell_id']}-1"
    assert (kept / "record.json").read_text() == damage
    assert (kept / "predictions.parquet").is_file()


def methods(results: Any) -> list[tuple[str, str, int]]:
    return sorted((record["method"], record["dataset"], record["seed"]) for record in results.records())


def test_each_dataset_and_seed_gets_its_untrained_student_once(
    command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    swept = (
        "method=gold_answers,answer_only",
        "dataset=chain_sum,trait_choice",
        "seed=1,2",
        "optimization.max_steps=1",
    )
    command("-m", *miniature, *swept)
    untrained = [cell for cell in methods(results) if cell[0] == "untrained"]
    assert untrained == [("untrained", dataset, seed) for dataset in ("chain_sum", "trait_choice") for seed in (1, 2)]
    assert len(methods(results)) == 12


def test_what_only_training_feels_adds_no_untrained_student(
    command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    swept = ("budget.questions=10,20", "optimization.max_steps=1,2", "teacher.wrong_step_rate=0.1,0.2")
    command("-m", *miniature, *swept, "format=answer_only")
    assert [cell[0] for cell in methods(results)].count("untrained") == 1
    assert len(methods(results)) == 9


def test_no_untrained_student_where_none_is_wanted(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    command("-m", *miniature, "method=gold_answers", "references=false")
    assert [cell[0] for cell in methods(results)] == ["gold_answers"]


def test_a_single_run_adds_no_untrained_student(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    command(*miniature, "method=gold_answers")
    assert [cell[0] for cell in methods(results)] == ["gold_answers"]


def test_a_manifest_says_what_was_wanted(command: Run, plugin: Run, miniature: tuple[str, ...], results: Any) -> None:
    folder = plugin({"plug_sweep_raises.py": PLUG}, CONFIGS)
    command("-m", folder, *miniature, "method=raises,answer_only")
    [path] = (results.path / ".manifests").iterdir()
    manifest = json.loads(path.read_text())
    assert manifest["created"]
    assert {row["cell_id"] for row in manifest["cells"]} == results.cells()
    rows = {row["method"]: row for row in manifest["cells"]}
    assert rows.keys() == {"raises", "answer_only", "untrained"}
    assert rows["answer_only"] | {"cell_id": ""} == {
        "cell_id": "", "method": "answer_only", "dataset": "chain_sum", "student": "tiny", "teacher": "simulated",
        "seed": 1,
    }  # fmt: skip
    assert rows["untrained"]["teacher"] is None


def test_a_manifest_is_there_before_the_first_cell(
    command: Run, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import benchmark.run_cell

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark.run_cell, "run_cell", interrupted)
    done = command("-m", *miniature, "seed=1,2")
    assert done.status == 130
    assert "the same command goes on" in done.err
    [path] = (results.path / ".manifests").iterdir()
    assert len(json.loads(path.read_text())["cells"]) == 4
    assert not results.cells()


def test_an_experiment_is_a_sweep_that_the_command_line_narrows(
    command: Run, plugin: Run, miniature: tuple[str, ...], results: Any
) -> None:
    grid = """
        # @package _global_
        defaults:
          - override /method: gold_answers
        hydra:
          mode: MULTIRUN
          sweeper:
            params:
              seed: 1,2,3
              budget.questions: 5,10
    """
    folder = plugin({}, {"experiment/grid": grid})
    rest = [override for override in miniature if not override.startswith("budget")]
    done = command(folder, *rest, "experiment=grid", "seed=2", "references=false")
    assert done.status == 0, done.err
    assert told(done)[0] == "2 cells, 0 complete, 2 to run"
    assert methods(results) == [("gold_answers", "chain_sum", 2)] * 2
    assert sorted(record["budget"]["questions"] for record in results.records()) == [5, 10]


ARMS = """
    # @package _global_
    defaults:
      - override /method: gold_answers
    hydra:
      mode: MULTIRUN
      sweeper:
        params:
          seed: 1,2
          optimization.max_steps: 3
        arms:
          all_questions: [curriculum=shuffled, optimization.max_steps=2]
          three_quarters: [curriculum=random_three_quarters, curriculum.rrf_constant=50]
"""


def arms_that_ran(results: Any) -> list[tuple[str, int]]:
    """(curriculum, optimiser steps) of every cell."""
    configs = [record["config"] for record in results.records()]
    return sorted(
        (config["curriculum"]["_target_"].rpartition(".")[2], config["optimization"]["max_steps"]) for config in configs
    )


def test_settings_that_go_together_are_an_arm(
    command: Run, plugin: Run, miniature: tuple[str, ...], results: Any
) -> None:
    rest = [override for override in miniature if not override.startswith("optimization.max_steps")]
    folder = plugin({}, {"experiment/grid": ARMS})
    done = command(folder, *rest, "experiment=grid", "references=false")
    assert done.status == 0, done.err
    assert told(done)[0] == "4 cells, 0 complete, 4 to run"
    assert arms_that_ran(results) == [("SelectiveReflection", 3)] * 2 + [("Shuffled", 2)] * 2
    of_command = command(folder, *rest, "experiment=grid", "references=false", "optimization.max_steps=3", "mode=plan")
    assert "total of 2 to run" in of_command.out


def test_an_arm_with_a_mistake_is_refused_before_any_work(
    command: Run, plugin: Run, miniature: tuple[str, ...], results: Any
) -> None:
    folder = plugin({}, {"experiment/grid": ARMS.replace("curriculum=shuffled", "curriculum=shufled")})
    done = command(folder, *miniature, "experiment=grid", "references=false")
    assert done.status == 2
    assert "shufled" in done.complaint
    assert "shuffled" in done.complaint
    assert not results.cells()


LABELS = [
    ([], "rationale_then_answer"),
    (["method=step_by_step"], "step_by_step"),
    (["method=answer_only", "format=rationale_then_answer"], "answer_only+format=rationale_then_answer"),
    (["format.answer_marker=@"], "rationale_then_answer+format.answer_marker=@"),
    (["annotation.samples=2", "format=answer_only"], "rationale_then_answer+annotation.samples=2+format=answer_only"),
    (
        ["method=step_by_step", "format.alpha=0.25", "format.label_prefix=say"],
        "step_by_step+format.alpha=0.25+format.label_prefix=say",
    ),
    (["annotation.samples=1"], "rationale_then_answer"),
    (["dataset=trait_choice", "seed=9", "budget.questions=7", "teacher.wrong_step_rate=0.5"], "rationale_then_answer"),
]


@pytest.mark.parametrize(("overrides", "label"), LABELS, ids=[label for _, label in LABELS])
def test_a_method_is_named_with_what_leaves_its_preset(overrides: list[str], label: str, cell: Run) -> None:
    assert cell(overrides).method.name == label


def test_the_record_and_the_log_carry_the_derived_name(
    command: Run, plugin: Run, miniature: tuple[str, ...], results: Any
) -> None:
    folder = plugin({}, {"selection/shuffled": "_target_: benchmark.axes.selection.RandomSelection\n"})
    done = command("-m", folder, *miniature, "selection=shuffled", "references=false")
    assert done.status == 0
    assert results.record()["method"] == "rationale_then_answer+selection=shuffled"
    assert "rationale_then_answer+selection=shuffled on chain_sum" in done.err
