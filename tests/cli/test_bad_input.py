"""Bad input on the command line or in a config: one clear line, exit status 2, nothing done."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

WRONG = [
    pytest.param(["dataset=chain_sums"], ["dataset=chain_sums", "did you mean 'chain_sum'"], id="unknown option"),
    pytest.param(["dataset=zz"], ["dataset=zz", "valid: ", "chain_sum", "svamp"], id="unknown option, none is near"),
    pytest.param(["experiment=quick"], ["experiment=quick", "'quickstart'"], id="unknown experiment"),
    pytest.param(["hydra/launcher=joblob"], ["hydra/launcher=joblob", "'joblib'"], id="unknown launcher"),
    pytest.param(["datset=svamp"], ["datset", "did you mean 'dataset'"], id="unknown group"),
    pytest.param(["optimization.max_step=3"], ["optimization.max_step:", "'max_steps'"], id="unknown key"),
    pytest.param(["sed=3"], ["sed:", "'seed'"], id="unknown setting"),
    pytest.param(["+foo=1"], ["foo: there is no such setting"], id="added setting"),
    pytest.param(["+selection.foo=1"], ["selection.foo: RandomSelection has no such setting"], id="added key"),
    pytest.param(["+dataset.task.extractor_version=3"], ["dataset.task.extractor_version"], id="added inner key"),
    pytest.param(["~selection"], ["selection is missing"], id="removed axis"),
    pytest.param(["~teacher"], ["teacher is missing"], id="removed group"),
    pytest.param(["~method"], ["method is missing"], id="removed method"),
    pytest.param(["~seed"], ["seed is missing"], id="removed setting"),
    pytest.param(["~optimization.max_steps"], ["optimization.max_steps is missing"], id="removed required key"),
    pytest.param(["optimization.max_steps=???"], ["Missing mandatory value", "max_steps"], id="required value missing"),
    pytest.param(["seed=one"], ["seed='one'", "integer"], id="text for a number"),
    pytest.param(["seed='1'"], ["seed='1'", "integer"], id="quoted number"),
    pytest.param(["seed=1.5"], ["seed=1.5", "integer"], id="fraction for a whole number"),
    pytest.param(["seed=true"], ["seed=True", "integer"], id="truth value for a number"),
    pytest.param(["seed=null"], ["seed=None", "integer"], id="null for a number"),
    pytest.param(["seed="], ["seed=''", "integer"], id="nothing for a number"),
    pytest.param(["references=perhaps"], ["references='perhaps'", "boolean"], id="text for a truth value"),
    pytest.param(["results_dir=3"], ["results_dir=3", "string"], id="number for a text"),
    pytest.param(["optimization.decay=sine"], ["optimization.decay='sine'", "'cosine'"], id="not among the choices"),
    pytest.param(["dataset.exemplars=3"], ["dataset.exemplars=3"], id="number for a list"),
    pytest.param(["pool=some"], ["pool='some'", "'covered'"], id="unknown pool"),
    pytest.param(["seed=1,2"], ["seed=1,2", "--multirun"], id="sweep without -m"),
    pytest.param(["seed"], ["seed"], id="no value"),
    pytest.param(["budget.questions=0"], ["budget", "questions=0", "untrained"], id="budget of nothing"),
    pytest.param(["budget.questions=-3"], ["budget", "questions=-3"], id="negative budget"),
    pytest.param(["budget.questions=null"], ["budget", "questions, calls, tokens or usd"], id="no budget"),
    pytest.param(["budget.questions=1000"], ["budget.questions=1000", "40 questions"], id="budget above the pool"),
    pytest.param(
        ["evaluation.validation_size=100"], ["validation_size=100", "8 questions"], id="validation above split"
    ),
    pytest.param(["dataset.pool_size=0"], ["pool_size is 0"], id="empty pool"),
    pytest.param(["dataset.pool_size=99999999"], ["dataset.pool_size=99999999", "questions left"], id="too big a pool"),
    pytest.param(["teacher.wrong_step_rate=2"], ["wrong_step_rate=2.0", "between 0 and 1"], id="rate above one"),
    pytest.param(["optimization.learning_rate=-1"], ["learning_rate=-1.0"], id="negative learning rate"),
    pytest.param(["optimization.max_steps=0"], ["max_steps=0"], id="no steps"),
    pytest.param(["trainer.threads=0"], ["threads=0"], id="no threads"),
    pytest.param(["student.attention_heads=3"], ["hidden_size=64", "attention_heads=3"], id="sizes that do not fit"),
    pytest.param(["format.answer_marker=' '"], ["answer_marker is blank"], id="blank marker"),
    pytest.param(["dataset.generator=nope.nope"], ["generator='nope.nope'"], id="unknown generator"),
    pytest.param(["dataset._target_=benchmark.nope.X"], ["dataset._target_", "benchmark.nope.X"], id="unknown class"),
    pytest.param(["dataset._target_=os.path.join"], ["not a dataclass"], id="not a part"),
    pytest.param(
        ["selection._target_=benchmark.axes.loss.CrossEntropy"], ["CrossEntropy is not a Selection"], id="another part"
    ),
    pytest.param(
        ["method=step_by_step", "annotation=human_labels"], ["annotations of kind rationale", "gold"], id="no such kind"
    ),
    pytest.param(["method=null"], ["method=null"], id="no method"),
    pytest.param(["selection=null"], ["selection=null"], id="no option"),
    pytest.param(
        ["optimization.learning_rate=nan"],
        ["optimization.learning_rate"],
        id="not a number",
    ),
    pytest.param(
        ["optimization.learning_rate=inf"],
        ["optimization.learning_rate"],
        id="infinite",
    ),
    pytest.param(["student.attention_heads=0"], ["attention_heads"], id="no heads"),
    pytest.param(["student.layers=0"], ["layers"], id="no layers"),
    pytest.param(["student.hidden_size=0"], ["hidden_size"], id="no width"),
    pytest.param(["student.max_new_tokens=0"], ["max_new_tokens"], id="no new tokens"),
    pytest.param(["optimization.beta1=2"], ["beta1"], id="beta above one"),
    pytest.param(["optimization.weight_decay=-1"], ["weight_decay"], id="negative decay"),
    pytest.param(["annotation.samples=0"], ["samples"], id="no samples"),
    pytest.param(["annotation.temperature=-1"], ["temperature"], id="negative temperature"),
    pytest.param(
        ["teacher=palm540b"],
        ["teacher=palm540b", "chain_sum"],
        id="recorded teacher on a generated dataset",
    ),
]


@pytest.mark.parametrize(("overrides", "said"), WRONG)
def test_one_line_and_nothing_done(
    overrides: list[str], said: list[str], command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    done = command(*miniature, *overrides)
    assert done.status == 2
    for part in said:
        assert part in done.complaint
    assert not results.cells()


def test_an_unknown_flag_ends_with_status_2(command: Run, results: Any) -> None:
    done = command("--bogus")
    assert done.status == 2
    assert "--bogus" in done.err
    assert not results.cells()


def test_the_traceback_is_there_for_those_who_ask(command: Run, run_cli: Run) -> None:
    done = run_cli("sed=3", HYDRA_FULL_ERROR="1")
    assert done.returncode not in (0, 130)
    assert "Traceback" in done.stderr
    here, there = command("sed=3"), run_cli("sed=3")
    assert (here.status, here.out, here.err) == (there.returncode, there.stdout, there.stderr)


def test_results_that_cannot_be_written(command: Run, miniature: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for place in ("file/below", "file"):
        done = command(*miniature, f"results_dir={place}")
        assert done.status == 2
        assert f"results_dir={place} cannot be written" in done.complaint
    assert command("-m", *miniature, "results_dir=file/below", "seed=1,2").status == 2
    assert (tmp_path / "file").read_text() == "not a folder"


def test_more_devices_than_there_are(miniature: tuple[str, ...], command: Callable[..., Any]) -> None:
    done = command(*miniature, "trainer.accelerator=cpu", "trainer.devices=5000")
    assert done.status == 2
    said = r"trainer.devices=5000, but this machine has \d+ processor cores .*: give trainer.devices="
    assert re.search(said, done.err)
    assert command(*miniature, "trainer.devices=0").status == 2


def test_an_accelerator_that_is_not_there(
    command: Run, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    done = command(*miniature, "trainer.accelerator=mps")
    assert done.status == 2
    assert "trainer.accelerator=mps" in done.err
    assert not results.cells()


# --- configs and methods of others --------------------------------------------------------------------------------

BUDGET = "_target_: benchmark.teachers.ledger.Budget"
ELSEWHERE = [
    pytest.param(
        {"budget/mine": f"{BUDGET}\nquestion: 20\n"},
        ["budget=mine"],
        ["budget.question: Budget has no such setting", "'questions'"],
        id="misspelt key in an option",
    ),
    pytest.param(
        {"optimization/mine": "_target_: benchmark.student.settings.Optimization\nbatch_size: 4\nlearning_rate: 0.1\n"},
        ["optimization=mine"],
        ["optimization.max_steps is missing"],
        id="required value left out",
    ),
    pytest.param(
        {"method/mine": "# @package _global_\nmethod: mine\nselection:\n  samples: 9\n"},
        ["method=mine"],
        ["selection.samples: RandomSelection has no such setting"],
        id="value in a preset's body",
    ),
    pytest.param(
        {"method/mine": "# @package _global_\ndefaults:\n  - override /selektion: random\nmethod: mine\n"},
        ["method=mine"],
        ["selektion", "did you mean 'selection'", "method/mine.yaml"],
        id="preset overrides an unknown group",
    ),
    pytest.param(
        {"method/mine": "# @package _global_\ndefaults:\n  - override /format: rationale_and_answer\nmethod: mine\n"},
        ["method=mine"],
        ["format=rationale_and_answer", "'rationale_then_answer'"],
        id="preset overrides with an unknown option",
    ),
    pytest.param(
        {"format/mine": "_target_: no_such_module_anywhere.Format\n"},
        ["format=mine"],
        ["format._target_", "no_such_module_anywhere"],
        id="module that cannot be imported",
    ),
    pytest.param(
        {"format/mine": "answer_marker: '#'\n"}, ["format=mine"], ["format: names no _target_"], id="no _target_"
    ),
    pytest.param(
        {"budget/mine": f"{BUDGET}\nquestions: [20\n"},
        ["budget=mine"],
        ["budget/mine.yaml"],
        id="broken YAML",
    ),
    pytest.param(
        {"method/mine": "defaults:\n  - override /format: answer_only\nmethod: mine\n"},
        ["method=mine"],
        ["@package _global_"],
        id="preset without its package line",
    ),
]


@pytest.mark.parametrize(("configs", "overrides", "said"), ELSEWHERE)
def test_faults_in_a_folder_of_configs(
    configs: dict[str, str],
    overrides: list[str],
    said: list[str],
    command: Run,
    plugin: Run,
    miniature: tuple[str, ...],
    results: Any,
) -> None:
    group = overrides[0].partition("=")[0]  # our own values must not hide its faults
    here = [override for override in miniature if override.partition(".")[0] != group]
    done = command(plugin({}, configs), *here, *overrides)
    assert done.status == 2
    for part in said:
        assert part in done.complaint
    assert not results.cells()


def test_a_folder_of_configs_that_is_not_there(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    done = command("hydra.searchpath=[nowhere/conf]", *miniature)
    assert done.status == 2
    assert "nowhere/conf" in done.complaint


NEEDY = """
    from dataclasses import dataclass
    from benchmark.axes.weighting import UniformWeighting
    from benchmark.contract import Requirements

    @dataclass(frozen=True)
    class Needy(UniformWeighting):
        what: str

        def requires(self):
            if self.what in ("choices", "gold_rationale"):
                return Requirements(**{self.what: True})
            return Requirements(**{self.what: frozenset({"debate"})})

"""
NEEDS = [
    ("choices", "multiple-choice questions only"),
    pytest.param(
        "teacher_roles",
        "it asks the teacher in the role debate; teacher=simulated cannot answer in that role",
        id="teacher_roles",
    ),
    ("student_roles", "it asks the student in the role debate; this format knows answer_given, rationale_and_answer"),
    ("annotation_kinds", "it needs annotations of kind debate; this annotation writes rationale"),
]


@pytest.mark.parametrize(("what", "said"), NEEDS)
def test_needs_that_nothing_meets(
    what: str, said: str, command: Run, plugin: Run, miniature: tuple[str, ...], results: Any
) -> None:
    option = {"weighting/needy": f"_target_: plug_bad_input_needs.Needy\nwhat: {what}\n"}
    folder = plugin({"plug_bad_input_needs.py": NEEDY}, option)
    done = command(folder, *miniature, "weighting=needy")
    assert done.status == 2
    assert said in done.complaint
    assert "rationale_then_answer+weighting=needy on chain_sum" in done.complaint
    assert not results.cells()


def test_all_reasons_are_told_at_once(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    done = command(*miniature, "method=step_by_step", "annotation=human_labels", "budget.questions=41")
    assert "annotations of kind rationale" in done.complaint
    assert "budget.questions=41" in done.complaint


# --- sweeps -------------------------------------------------------------------------------------------------------


def test_one_impossible_cell_stops_the_whole_sweep(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    done = command("-m", *miniature, "seed=1,2", "budget.questions=20,1000,10")
    assert done.status == 2
    assert "budget.questions=1000, but the pool has 40 questions" in done.complaint
    assert "(2 of 8 cells, such as " in done.complaint
    named = done.complaint.partition("such as ")[2]
    assert "budget.questions=1000" in named
    assert "seed=1" in named
    assert not results.cells()
    assert not list(results.path.glob(".manifests/*"))


def test_different_faults_of_a_sweep_are_all_told(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    done = command("-m", *miniature, "seed=1,one", "budget.questions=20,1000", "references=false")
    assert done.status == 2
    assert "budget.questions=1000" in done.complaint
    assert "seed='one'" in done.complaint
    assert not results.cells()


def test_an_unknown_option_among_swept_ones(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    done = command("-m", *miniature, "method=gold_answers,rationale_then_anser")
    assert done.status == 2
    assert "method=rationale_then_anser: there is no such option; did you mean 'rationale_then_answer'?" in done.err
    assert not results.cells()


def test_a_setting_of_only_some_swept_options_says_what_to_write(command: Run, miniature: tuple[str, ...]) -> None:
    swept = ("-m", *miniature, "method=rationale_then_answer,step_by_step")
    done = command(*swept, "format.alpha=0.3")
    assert done.status == 2
    assert "format.alpha=choice(VALUE)" in done.complaint


GRID = "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 1,2\n"


def test_an_experiment_beside_another_is_refused(
    command: Run, plugin: Run, miniature: tuple[str, ...], results: Any
) -> None:
    folder = plugin({}, {"experiment/grid": GRID, "experiment/other": GRID})
    done = command("-m", folder, *miniature, "experiment=grid,other")
    assert done.status == 2
    assert "experiment=grid is itself a sweep over seed; run it alone" in done.complaint
    assert not results.cells()


def test_an_experiment_of_arms_beside_another_is_refused(command: Run, plugin: Run, miniature: tuple[str, ...]) -> None:
    arms = GRID.replace("params:\n      seed: 1,2", "arms:\n      one: [seed=1]")
    folder = plugin({}, {"experiment/grid": arms, "experiment/other": GRID})
    done = command("-m", folder, *miniature, "experiment=grid,other")
    assert done.status == 2
    assert "experiment=grid is itself a sweep over seed; run it alone" in done.complaint


def test_the_quickstart_beside_another_is_refused(command: Run, results: Any) -> None:
    done = command("-m", "experiment=quickstart,quickstart")
    assert done.status == 2
    assert "experiment=quickstart is itself a sweep" in done.complaint
    assert not results.cells()
