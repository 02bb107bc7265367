"""`precision: auto`: what it becomes, that a cell is what it became, and what people hear of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.cell import precision
from benchmark.cell.identity import cell_id, identity, precision_in
from benchmark.cell.precision import precision_lines, precision_warnings, settled_overrides
from benchmark.console import warned
from benchmark.student import hardware
from benchmark.student.settings import Optimization, settled
from benchmark.sweep import Sweep

Run = Callable[..., Any]
AUTO, FLOAT32, BFLOAT16 = (f"optimization.precision={name}" for name in ("auto", "32-true", "bf16-mixed"))
WITH, WITHOUT = ("avx2", "avx512_bf16"), ("avx2",)
BECAME = {WITH: "bf16-mixed", WITHOUT: "32-true"}
LINES = {
    WITH: "precision bf16-mixed: this processor has avx512_bf16",
    WITHOUT: "precision 32-true: this processor computes no bfloat16",
}
WARNING = (
    "optimization.precision=bf16-mixed, but this processor computes no bfloat16: a product takes 96 times as long as "
    "in float32 here; give optimization.precision=32-true, or auto, which is 32-true here"
)


class Machine:
    """This machine, with a processor of the test's choice; a bfloat16 product takes 96 times as long."""

    def __init__(self) -> None:
        self.sets: Sequence[str] = WITHOUT
        self.times = 96.4
        self.measured: list[str] = []

    def slowdown(self, device: str) -> float:
        self.measured.append(device)
        return self.times


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    here = Machine()
    monkeypatch.setattr(hardware, "instruction_sets", lambda: tuple(here.sets))
    monkeypatch.setattr(hardware, "_may_have_gpu", lambda: False)
    monkeypatch.setattr(precision, "slowdown", here.slowdown)
    monkeypatch.setattr(warned, "_given", set())
    return here


@pytest.fixture
def model(cell: Run, tmp_path: Path) -> Path:
    """A folder with a model."""
    source = cell(()).student
    source.network(1).save_pretrained(tmp_path / "model")
    source.tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


# --- what it becomes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sets", [WITH, WITHOUT])
@pytest.mark.parametrize("method", ["gold_answers", "untrained"])
def test_auto_is_the_cell_of_what_it_becomes(
    method: str, sets: tuple[str, ...], machine: Machine, cell: Run, miniature: tuple[str, ...]
) -> None:
    machine.sets = sets
    auto, half, full = (cell((*miniature, f"method={method}", each)) for each in (AUTO, BFLOAT16, FLOAT32))
    became, other = (half, full) if sets == WITH else (full, half)
    assert identity(auto) == identity(became)
    assert cell_id(auto) == cell_id(became) != cell_id(other)
    assert precision_in(identity(auto)) == auto.optimization.precision == BECAME[sets]
    assert auto.config["optimization"]["precision"] == "auto"


def test_a_processor_with_other_sets_makes_another_cell(
    machine: Machine, cell: Run, miniature: tuple[str, ...]
) -> None:
    ids = []
    for sets in (WITH, ("amx_bf16", "amx_tile"), ("bf16",), WITHOUT, ("asimd",), ()):
        machine.sets = sets
        ids.append(cell_id(cell((*miniature, AUTO))))
    assert len(set(ids[:3])) == len(set(ids[3:])) == 1
    assert ids[0] != ids[3]


def test_a_tiny_student_is_the_same_cell_on_every_machine(
    machine: Machine, cell: Run, miniature: tuple[str, ...]
) -> None:
    ids = set()
    for sets in (WITH, WITHOUT):
        machine.sets = sets
        ids |= {cell_id(cell((*miniature, *more))) for more in ((), (FLOAT32,))}
    assert len(ids) == 1


def test_a_pretrained_student_asks_for_auto_and_a_tiny_one_does_not(repository: Path) -> None:
    asked = {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))["precision"]
        for path in (repository / "conf" / "optimization").glob("*.yaml")
    }
    made_here = {"tiny", "tiny_t5", "tiny_warm", "tiny_warm_narrow"}
    assert {name for name, value in asked.items() if value == "32-true"} == made_here
    assert set(asked.values()) == {"32-true", "auto"}


def test_a_teacher_in_this_process_settles_its_own(
    machine: Machine, cell: Run, miniature: tuple[str, ...], model: Path
) -> None:
    machine.sets = WITH
    local = (*miniature, "teacher=transformers", f"teacher.path={model}")
    asked = ((), ("teacher.precision=auto",), ("teacher.precision=bf16-mixed",))
    plain, auto, half = (cell((*local, *more)) for more in asked)
    assert plain.teacher.precision == "32-true"  # replies that were bought keep their key
    assert auto.teacher == half.teacher
    assert cell_id(auto) == cell_id(half) != cell_id(plain)
    assert precision_lines(auto) == ["teacher.precision bf16-mixed: this processor has avx512_bf16"]
    assert settled_overrides(auto) == ("teacher.precision=bf16-mixed",)
    assert cell((*local, "teacher.precision=auto", *settled_overrides(auto))).teacher == half.teacher
    assert precision_lines(cell((*local, "teacher.precision=auto", "method=gold_answers"))) == []  # asks no teacher


def test_a_panel_settles_every_member(
    machine: Machine, cell: Run, miniature: tuple[str, ...], model: Path, plugin: Run
) -> None:
    def member(name: str, precision: str) -> str:
        return (
            f"{{_target_: benchmark.teachers.in_process.TransformersTeacher, name: {name}, path: {model}, "
            f"max_length: 192, max_new_tokens: 8, precision: {precision}}}"
        )

    members = f"{{one: {member('one', 'auto')}, two: {member('two', 'bf16-mixed')}}}"
    panel = f"_target_: benchmark.teachers.panel.Panel\nname: panel\nmembers: {members}\n"
    made = cell((plugin({}, {"teacher/panel_of_two": panel}), *miniature, "teacher=panel_of_two"))
    assert [each.precision for each in made.teachers.values()] == ["32-true", "bf16-mixed"]
    assert settled_overrides(made) == ("teacher.members.one.precision=32-true",)
    assert [line.partition(",")[0] for line in precision_warnings(made)] == ["teacher.members.two.precision=bf16-mixed"]


def test_nothing_computes_in_auto() -> None:
    with pytest.raises(ValueError, match="precision=auto is no precision to compute in"):
        settled(Optimization(1, 1, 0.1, precision="auto").precision)


# --- what people hear ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sets", [WITH, WITHOUT])
@pytest.mark.parametrize("sweep", [(), ("-m", "references=false")], ids=["one cell", "sweep"])
def test_the_plan_and_the_run_say_once_what_auto_chose(
    sweep: tuple[str, ...],
    sets: tuple[str, ...],
    machine: Machine,
    command: Run,
    miniature: tuple[str, ...],
    results: Any,
) -> None:
    machine.sets = sets
    given = (*sweep, *miniature, "method=gold_answers", AUTO, *(("seed=1,2",) if sweep else ()))
    plan = command(*given, "mode=plan")
    assert plan.out.splitlines().count(f"- {LINES[sets]}") == 1
    assert plan.err == ""
    done = command(*given)
    assert done.status == 0, done.err
    assert done.err.splitlines().count(LINES[sets]) == 1
    assert {precision_in(record["identity"]) for record in results.records()} == {BECAME[sets]}
    again = command(*given)
    assert LINES[sets] not in again.err  # nothing is computed
    assert machine.measured == []


def test_the_record_says_what_was_asked_and_what_it_became(
    machine: Machine, command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    kept = [each for each in miniature if "save_student" not in each]
    assert command(*kept, "method=gold_answers", AUTO).status == 0
    record = results.record()
    assert record["config"]["optimization"]["precision"] == "auto"
    assert record["identity"]["optimization"]["precision"] == "32-true"
    card = (results.path / record["cell_id"] / "student" / "README.md").read_text(encoding="utf-8")
    assert "| evaluated in | 32-true |" in card
    told = command(*kept, "method=gold_answers", FLOAT32)  # the same cell, which is there
    assert told.err.startswith("already complete"), told.err


@pytest.mark.parametrize("mode", ["run", "plan"])
def test_bfloat16_on_a_processor_without_it_is_warned_of_once(
    mode: str, machine: Machine, command: Run, miniature: tuple[str, ...]
) -> None:
    given = ("-m", *miniature, "method=gold_answers", "seed=1,2", BFLOAT16, f"mode={mode}")
    done = command(*given)
    assert done.status == 0, done.err
    lines = done.err.splitlines()
    assert lines[0] == f"warning: {WARNING}"  # before any work
    assert sum("bf16-mixed" in line for line in lines) == 1
    assert set(machine.measured) == {"cpu"}
    assert "warning" not in command(*given, "data_seed=1").err  # once per process


def test_a_ratio_has_the_digits_that_it_needs_and_is_believed(
    machine: Machine, cell: Run, miniature: tuple[str, ...]
) -> None:
    made = cell((*miniature, BFLOAT16))
    assert precision_warnings(made) == [WARNING]
    machine.times = 1.94
    assert ["takes 1.9 times as long" in line for line in precision_warnings(made)] == [True]
    machine.times = 0.5  # the flags do not tell all
    assert precision_warnings(made) == []


@pytest.mark.parametrize("asked", [AUTO, FLOAT32, BFLOAT16])
def test_no_warning_where_bfloat16_is_computed_or_not_asked_for(
    asked: str, machine: Machine, cell: Run, miniature: tuple[str, ...]
) -> None:
    machine.sets = WITHOUT if asked != BFLOAT16 else WITH
    assert precision_warnings(cell((*miniature, asked))) == []
    assert machine.measured == []


def test_annotating_ahead_feels_the_teachers_precision_alone(
    machine: Machine, cell: Run, miniature: tuple[str, ...], model: Path
) -> None:
    local = (*miniature, "teacher=transformers", f"teacher.path={model}", BFLOAT16, "teacher.precision=bf16-mixed")
    both, one = (precision_warnings(cell((*local, f"mode={mode}"))) for mode in ("run", "annotate"))
    assert [line.partition("=")[0] for line in both] == ["optimization.precision", "teacher.precision"]
    assert one == both[1:]


def test_an_absent_gpu_does_not_stop_who_prepares_elsewhere(
    machine: Machine, cell: Run, miniature: tuple[str, ...]
) -> None:
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    made = cell((*miniature, "trainer.accelerator=gpu", AUTO))
    assert precision_lines(made) == ["precision 32-true: this machine has no gpu"]
    assert precision_warnings(cell((*miniature, "trainer.accelerator=gpu", BFLOAT16))) == []


# --- sweeps ----------------------------------------------------------------------------------------------------------


def test_a_job_computes_in_what_was_planned(
    machine: Machine, command: Run, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch, machine.sets = Sweep.launch, WITH

    def elsewhere(*arguments: Any) -> Any:
        machine.sets = WITHOUT
        return launch(*arguments)

    monkeypatch.setattr(Sweep, "launch", elsewhere)
    done = command("-m", *miniature, "method=gold_answers", AUTO)
    assert done.status == 0, done.err
    [path] = (results.path / ".manifests").iterdir()
    assert {row["cell_id"] for row in json.loads(path.read_text())["cells"]} == results.cells()
    assert {precision_in(record["identity"]) for record in results.records()} == {"bf16-mixed"}
    assert done.err.splitlines().count(f"warning: {WARNING}") == 1


@pytest.mark.parametrize("prefix", ["", "++"])
@pytest.mark.parametrize("asked", [AUTO, BFLOAT16])
def test_the_untrained_student_computes_in_the_same(
    asked: str, prefix: str, machine: Machine, command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    machine.sets = WITH
    done = command("-m", *miniature, "method=gold_answers", f"{prefix}{asked}")
    assert done.status == 0, done.err
    found = {record["method"]: precision_in(record["identity"]) for record in results.records()}
    assert found == {"gold_answers": "bf16-mixed", "untrained": "bf16-mixed"}


def test_auto_and_what_it_becomes_are_one_cell_of_a_sweep(
    machine: Machine, command: Run, miniature: tuple[str, ...]
) -> None:
    plan = command(
        "-m",
        *miniature,
        "method=gold_answers",
        "references=false",
        "mode=plan",
        "optimization.precision=auto,32-true,bf16-mixed",
    )
    assert plan.out.count("| to run |") == 2


# --- odd input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("bf16", "; did you mean 'bf16-mixed'?"),
        ("bf16-mixd", "; did you mean 'bf16-mixed'?"),
        ("Auto", "; did you mean 'auto'?"),
        ("32", ""),
        ("64-true", "; did you mean '32-true'?"),
        ("null", ""),
    ],
)
def test_another_spelling_is_answered_with_the_valid_ones(
    value: str, hint: str, command: Run, miniature: tuple[str, ...]
) -> None:
    complaint = command(*miniature, f"optimization.precision={value}").complaint
    assert complaint.startswith("optimization.precision=")
    assert complaint.endswith(f"input should be 'auto', '32-true' or 'bf16-mixed'{hint}")


def test_auto_of_a_pretrained_student_is_a_cell_of_its_own_per_machine(
    machine: Machine, cell: Run, miniature: tuple[str, ...], model: Path
) -> None:
    def made(*more: str) -> Any:
        return cell((*miniature, "student=smollm2_135m", f"student.path={model}", *more))

    machine.sets = WITH
    first = cell_id(made())
    assert first == cell_id(made(BFLOAT16))
    machine.sets = WITHOUT
    assert first != cell_id(made()) == cell_id(made(FLOAT32))
