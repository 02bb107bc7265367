"""Optional packages that are absent, or that a folder of their name in the working directory hides."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.extras import absence

Run = Callable[..., Any]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, from which Python imports too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_package_that_is_there(here: Path) -> None:
    (here / "torch").mkdir()
    assert absence("torch") is None, "a folder hides no installed package"


@pytest.mark.parametrize("content", [[], ["run-1/output.log"], ["notes.txt"]])
def test_a_folder_is_no_package(content: list[str], here: Path) -> None:
    assert absence("no_such_package") == "is not installed"
    for name in content or [""]:
        (here / "no_such_package" / name).parent.mkdir(parents=True, exist_ok=True)
        if name:
            (here / "no_such_package" / name).touch()
    (here / "no_such_package").mkdir(exist_ok=True)
    told = f"is not installed: {here / 'no_such_package'} is a folder of that name, and not the package"
    assert absence("no_such_package") == told


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("wandb", ("logger=wandb",)),
        ("peft", ("student=llama2_7b_lora", "student.path=model")),
        ("openai", ("teacher=openai_compatible", "teacher.base_url=http://localhost:1/v1", "teacher.model=m")),
    ],
)
def test_a_hidden_extra_is_one_line(
    package: str, arguments: tuple[str, ...], here: Path, command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.machinery import PathFinder

    from tests.rehearsals.tensor_parts import model_folder

    model_folder(here / "model")
    (here / package).mkdir()
    (here / package / "run.log").touch()
    find = PathFinder.find_spec
    monkeypatch.delitem(sys.modules, package, raising=False)

    def without_the_package(name: str, path: Any = None, target: Any = None) -> Any:
        return find(name, [str(here)] if name == package else path, target)

    monkeypatch.setattr(PathFinder, "find_spec", without_the_package)
    done = command(*arguments, f"results_dir={here / 'results'}")
    assert done.status == 2
    assert f"{here / package} is a folder of that name, and not the package" in done.complaint
    assert "pip install" in done.complaint


@pytest.mark.parametrize(
    ("option", "package", "extra"),
    [
        ("submitit_local", "hydra_submitit_launcher", "submitit"),
        ("submitit_slurm", "hydra_submitit_launcher", "submitit"),
        ("ray", "hydra_ray_launcher", "ray"),
        ("ray_cluster", "hydra_ray_launcher", "ray"),
        ("ray", "ray", "ray"),
    ],
)
@pytest.mark.parametrize("of_an_experiment", [False, True], ids=["command line", "experiment"])
def test_a_launcher_without_its_extra_is_one_line(
    option: str, package: str, extra: str, of_an_experiment: bool, here: Path, command: Run, plugin: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Its settings are no keys without the plug-in; the line is about the package, and not about them."""
    from benchmark import launchers

    others = absence
    monkeypatch.setattr(
        launchers,
        "absence",
        lambda module: (
            "is not installed" if module.rpartition(".")[2] == package else None if "." in module else others(module)
        ),
    )
    preset = f"""
        # @package _global_
        defaults:
          - override /hydra/launcher: {option}
        hydra:
          mode: MULTIRUN
        """
    chosen = (f"hydra/launcher={option}", "+hydra.launcher.partition=gpu")
    if of_an_experiment:
        chosen = (plugin({}, {"experiment/spread": preset}), "experiment=spread")
    done = command("-m", *chosen, "seed=1,2", f"results_dir={here / 'results'}")
    assert done.status == 2
    assert done.complaint == (
        f"hydra/launcher={option} needs {package.replace('_', '-')}, which is not installed: "
        f'pip install -c constraints.txt -e ".[{extra}]"'
    )
    assert not (here / "results").exists()
