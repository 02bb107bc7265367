"""Cells that cannot run beside cells that can: a model or a part refuses its own cells, a mistake all of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.rehearsals.tensor_parts import TEACHER, model_folder

Run = Callable[..., Any]
TEMPLATES = {
    "demands a system turn": "{{ raise_exception('a system turn must come first') }}",
    "calls None": "{% set nothing = none %}{{ nothing() }}",
    "does not parse": "{% for m in messages %}{{ m.content }",
}
SAID = "cannot make a prompt of one turn by a user"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return model_folder(tmp_path / "good")


def demanding(folder: Path, template: str = TEMPLATES["demands a system turn"]) -> Path:
    """A model whose chat template cannot make a prompt."""
    tokenizer = copy.deepcopy(TEACHER.tokenizer())
    tokenizer.chat_template = template
    return model_folder(folder, tokenizer=tokenizer)


def students(*folders: Path) -> tuple[str, ...]:
    return ("student=smollm2_135m", "optimization=tiny", f"student.path={','.join(map(str, folders))}")


def refusals(done: Any) -> list[str]:
    """The lines that say why cells are refused."""
    return [line for line in done.err.splitlines() if line.startswith("refused: ")]


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_one_students_template_refuses_its_own_cells(
    template: str, good: Path, command: Run, miniature: tuple[str, ...], results: Any, tmp_path: Path
) -> None:
    bad = demanding(tmp_path / "bad", template)
    sweep = ("-m", *students(good, bad), *miniature, "student.max_length=128")
    done = command(*sweep)
    assert done.status == 2
    [line] = refusals(done)
    assert SAID in line
    assert f"(2 of 4 cells, such as student=smollm2_135m optimization=tiny student.path={bad} " in line
    lines = done.err.splitlines()
    assert "4 cells, 0 complete, 2 to run, 2 refused" in lines
    assert lines[-2:] == [
        "2 cells complete; python -m analysis table --results results",
        "error: 2 of 4 cells refused, as said at the beginning",
    ]
    assert sorted((record["method"], record["status"]) for record in results.records()) == [
        ("rationale_then_answer", "complete"),
        ("untrained", "complete"),
    ]
    [manifest] = (results.path / ".manifests").iterdir()
    assert {row["cell_id"] for row in json.loads(manifest.read_text())["cells"]} == results.cells()
    again = command(*sweep)
    assert again.status == 2
    assert "4 cells, 2 complete, 0 to run, 2 refused" in again.err


def test_its_plan_lists_it(good: Path, command: Run, miniature: tuple[str, ...], results: Any, tmp_path: Path) -> None:
    folders = (good, demanding(tmp_path / "bad"))
    done = command("-m", *students(*folders), *miniature, "student.max_length=128", "mode=plan")
    assert (done.status, done.err) == (0, "")
    assert done.out.count("| impossible |") == 2
    assert done.out.count(SAID) == 1
    assert not results.path.exists()


def test_with_joblib_too(good: Path, command: Run, miniature: tuple[str, ...], results: Any, tmp_path: Path) -> None:
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=1", "references=false")
    folders = (good, demanding(tmp_path / "bad"))
    done = command("-m", *students(*folders), *miniature, "student.max_length=128", *joblib)
    assert done.status == 2
    assert len(refusals(done)) == 1
    assert done.err.splitlines()[-1] == "error: 1 of 2 cells refused, as said at the beginning"
    assert results.record()["status"] == "complete"


def test_where_no_cell_is_left_nothing_runs(
    command: Run, miniature: tuple[str, ...], results: Any, tmp_path: Path
) -> None:
    folders = (demanding(tmp_path / "bad"), tmp_path / "nowhere")
    done = command("-m", *students(*folders), *miniature, "seed=1,2")
    assert done.status == 2
    assert SAID in done.complaint
    assert "nowhere: there is no such folder" in done.complaint
    assert done.complaint.count("4 of 8 cells") == 2, "the untrained students count, and are not told again"
    assert not results.cells()
    assert not list(results.path.glob(".manifests/*"))
    alone = command(*students(folders[0]), *miniature)
    assert alone.status == 2
    assert SAID in alone.complaint


def test_a_window_without_room_is_a_mistake_of_the_command(
    command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    done = command("-m", *miniature, "student.max_length=192,20", "optimization.max_steps=1")
    assert done.status == 2
    assert refusals(done) == []
    assert "rationale_then_answer on chain_sum: " in done.complaint
    assert not results.records()


def test_a_mistake_in_the_command_still_stops_all(
    good: Path, command: Run, miniature: tuple[str, ...], results: Any, tmp_path: Path
) -> None:
    folders = (good, tmp_path / "nowhere")
    done = command("-m", *students(*folders), *miniature, "student.max_length=128", "budget.questions=20,1000")
    assert done.status == 2
    assert "budget.questions=1000, but the pool has 40 questions" in done.complaint
    assert "there is no such folder" in done.complaint, "every reason at once"
    assert not results.cells()


def test_annotating_ahead_leaves_it_out_too(
    good: Path, command: Run, miniature: tuple[str, ...], results: Any, tmp_path: Path
) -> None:
    teachers = ("teacher=transformers", f"teacher.path={good},{tmp_path / 'nowhere'}", "teacher.max_new_tokens=4")
    done = command("-m", *teachers, *miniature, "mode=annotate")
    assert done.status == 2
    assert len(refusals(done)) == 1
    assert done.out.count("| prepared |") == 1
    assert done.err.splitlines()[-1] == "error: 1 of 2 cells refused, as said at the beginning"


# --- parts that raise -------------------------------------------------------------------------------------------------

PARTS = """
    from dataclasses import dataclass
    from benchmark.axes.annotation import FewShotCot
    from benchmark.axes.format import AnswerOnly
    from benchmark.axes.weighting import UniformWeighting

    @dataclass(frozen=True)
    class Divides(UniformWeighting):
        def requires(self):
            return 1 / 0

    @dataclass(frozen=True)
    class Built(UniformWeighting):
        def __post_init__(self):
            {}["nothing\\nand a second line"]

    @dataclass(frozen=True)
    class Exhausted(UniformWeighting):
        def requires(self):
            raise MemoryError

    @dataclass(frozen=True)
    class Plans(FewShotCot):
        def most_requests(self, question, context):
            raise RuntimeError("no plan")

    @dataclass(frozen=True)
    class Fails(AnswerOnly):
        def examples(self, annotations, task, data_rng):
            raise RuntimeError("no luck")
"""
CONFIGS = {
    f"{axis}/{name}": f"_target_: plug_refused_cells.{name.capitalize()}\n"
    for axis, name in [
        ("weighting", "divides"),
        ("weighting", "built"),
        ("weighting", "exhausted"),
        ("annotation", "plans"),
        ("format", "fails"),
    ]
}


@pytest.fixture
def parts(plugin: Run) -> str:
    return str(plugin({"plug_refused_cells.py": PARTS}, CONFIGS))


RAISING = {
    "divides": "rationale_then_answer+weighting=divides on chain_sum: ZeroDivisionError: division by zero (in ",
    "built": "reading its config: KeyError: 'nothing",
}


@pytest.mark.parametrize(("option", "said"), RAISING.items(), ids=RAISING.keys())
def test_a_part_that_raises_refuses_its_own_cells(
    option: str, said: str, parts: str, command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    done = command("-m", parts, *miniature, f"weighting={option},uniform", "seed=1,2")
    assert done.status == 2
    [line] = refusals(done)
    assert said in line
    assert "in plug_refused_cells.py, line " in line
    assert "HYDRA_FULL_ERROR=1 shows the traceback" in line
    assert "(2 of 6 cells, such as " in line
    assert "Traceback" not in done.err
    assert len(results.records()) == 4, "the untrained students, which have no such part, are not refused"
    planned = command("-m", parts, *miniature, f"weighting={option},uniform", "mode=plan")
    assert (planned.status, planned.err) == (0, "")
    assert said in planned.out
    alone = command(parts, *miniature, f"weighting={option}")
    assert alone.status == 2
    assert said in alone.complaint


def test_a_failure_counts_more_than_a_refusal(
    parts: str, command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    given = ("method=answer_only", "references=false", "format=fails,answer_only", "weighting=divides,uniform")
    done = command("-m", parts, *miniature, *given)
    assert done.status == 1
    assert len(refusals(done)) == 2
    assert "error: 1 of 2 cells failed, and 2 others refused, as said at the beginning" in done.err
    assert sorted(record["status"] for record in results.records()) == ["complete", "failed"]


def test_an_estimate_that_raises_is_a_line_of_the_plan(parts: str, command: Run, miniature: tuple[str, ...]) -> None:
    done = command("-m", parts, *miniature, "annotation=plans,few_shot_cot", "mode=plan")
    assert (done.status, done.err) == (0, "")
    assert "its cost cannot be estimated: RuntimeError: no plan" in done.out


def test_no_memory_is_no_refusal(parts: str, command: Run, miniature: tuple[str, ...]) -> None:
    with pytest.raises(MemoryError):
        command("-m", parts, *miniature, "weighting=exhausted,uniform")


def test_the_traceback_is_there_for_those_who_ask(
    parts: str, command: Run, miniature: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.app import main

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr("sys.argv", ["benchmark", "-m", parts, *miniature, "weighting=divides,uniform", "mode=plan"])
    with pytest.raises(ZeroDivisionError):
        main()
    assert refusals(command("-m", parts, *miniature, "weighting=divides,uniform", "optimization.max_steps=1"))
