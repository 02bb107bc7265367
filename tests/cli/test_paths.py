"""Paths mean what people think: `~` is the home folder, and no path moves between plan and job."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.rehearsals.tensor_parts import model_folder

Run = Callable[..., Any]
SMALL = ("method=answer_only", "references=false")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own; commands run in another one."""
    folder = tmp_path / "home of a user"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def records(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/record.json"))


def assert_no_folder_named_tilde(tmp_path: Path) -> None:
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("~")]


@pytest.mark.parametrize("sweep", [(), ("seed=1,2", "-m")])
def test_home_on_the_command_line(
    sweep: tuple[str, ...], home: Path, command: Run, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    done = command(*SMALL, *miniature, "results_dir=~/my_results", *sweep)
    assert done.status == 0, done.err
    assert len(records(home / "my_results")) == (2 if sweep else 1)
    assert_no_folder_named_tilde(tmp_path)
    again = command(*SMALL, *miniature, f"results_dir='{home}/my_results'", *sweep)
    assert again.status == 0, again.err
    assert len(records(home / "my_results")) == (2 if sweep else 1), "it is the same folder"


@pytest.mark.parametrize("sweep", [(), ("-m",)])
def test_home_in_an_experiment(
    sweep: tuple[str, ...], home: Path, command: Run, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    options = tmp_path / "conf" / "experiment"
    options.mkdir(parents=True)
    (options / "mine.yaml").write_text("# @package _global_\nresults_dir: ~/my_results\nstore_path: ~/replies.sqlite\n")
    done = command(f"hydra.searchpath=[{tmp_path / 'conf'}]", "experiment=mine", *SMALL, *miniature, *sweep)
    assert done.status == 0, done.err
    assert len(records(home / "my_results")) == 1
    assert_no_folder_named_tilde(tmp_path)


def test_home_in_models_and_recordings(
    home: Path, command: Run, miniature: tuple[str, ...], results: Any, tmp_path: Path
) -> None:
    model_folder(home / "model")
    model = ("student=smollm2_135m", "optimization=tiny", "student.path=~/model", "student.max_length=128")
    done = command(*SMALL, *miniature, *model, "mode=plan", f"results_dir={results.path}")
    assert done.status == 0, done.err
    recording = ("teacher=palm540b", "teacher.file=~/replies.jsonl")
    absent = command(*SMALL, *miniature, *recording, "mode=plan", f"results_dir={results.path}")
    assert f"{home}/replies.jsonl does not exist" in absent.err + absent.out


def test_a_table_knows_home_behind_an_equals_sign(
    home: Path, command: Run, miniature: tuple[str, ...], repository: Path, tmp_path: Path
) -> None:
    command(*SMALL, *miniature, "results_dir=~/my_results")
    table = [sys.executable, "-m", "analysis", "table", "--results=~/my_results"]
    shown = subprocess.run(table, cwd=repository, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "answer_only" in shown.stdout


MOVING = ["out/${now:%Y-%m-%d_%H-%M-%S}", "out/${now:%f}/x", "out/${hydra:job.num}", "out/${random:}"]


@pytest.mark.parametrize("path", MOVING)
@pytest.mark.parametrize("mode", [(), ("seed=1,2", "-m"), ("mode=plan",)])
def test_a_path_that_moves_is_refused(
    path: str, mode: tuple[str, ...], command: Run, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    done = command(*SMALL, *miniature, f'results_dir="{path}"', *mode)
    assert done.status == 2
    assert "results_dir=out/" in done.complaint
    assert "$(date" in done.complaint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", ["${oc.env:HOME}/out", "${hydra:runtime.cwd}/out"])
def test_a_path_that_stays_is_fine(
    path: str, home: Path, command: Run, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    done = command(*SMALL, *miniature, f"results_dir='{path}'")
    assert done.status == 0, done.err
    assert len(records(home / "out")) + len(records(tmp_path / "out")) == 1
    shutil.rmtree(tmp_path / "out", ignore_errors=True)


@pytest.mark.parametrize("value", ["out/lr=0.1", "out/a b=c", "out/(x)=1", "out/größer"])
def test_a_value_that_hydra_cannot_read_gets_a_hint_how_to_quote(
    value: str, command: Run, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    done = command(*SMALL, *miniature, f"results_dir={value}")
    assert done.status == 2
    assert f"""'results_dir="{value}"'""" in done.complaint
    quoted = command(*SMALL, *miniature, f'results_dir="{value}"')
    assert quoted.status == 0, quoted.err
    assert len(records(tmp_path / value)) == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_gets_the_characters_that_it_knows(
    encoding: str, command: Run, run_cli: Run, miniature: tuple[str, ...], repository: Path, tmp_path: Path
) -> None:
    done = command(*SMALL, *miniature, "results_dir=results", "seed=1,2", "-m")
    assert done.status == 0, done.err
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    table = [sys.executable, "-m", "analysis", "table", f"--results={tmp_path}/results"]
    shown = subprocess.run(table, cwd=repository, env=environment, capture_output=True, check=False)
    assert shown.returncode == 0, shown.stderr
    sign = "+-" if encoding == "ascii" else "±"
    assert f" {sign} " in shown.stdout.decode(encoding)
    if encoding == "ascii":
        plan = run_cli(*SMALL, *miniature, "mode=plan", "student.name='größer'", PYTHONIOENCODING=encoding)
        assert plan.returncode == 0, plan.stderr
        assert r"gr\xf6\xdfer" in plan.stdout
