"""Starting: help and configs without the heavy libraries, and a command inside this process leaving nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import yaml

Run = Callable[..., Any]
HEAVY = {"torch", "transformers", "pytorch_lightning", "pandas", "datasets", "wandb"}


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]], ids=" ".join)
def test_nothing_heavy_is_imported(arguments: list[str], run_cli: Run) -> None:
    done = run_cli(*arguments, python=["-X", "importtime"])
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "hydra" in imported
    assert not HEAVY & imported


def test_help_names_groups_options_and_settings(command: Run) -> None:
    done = command("--help")
    assert done.status == 0
    for part in (
        "GROUP=OPTION",
        "dataset: ",
        "chain_sum",
        "method: abkd, answer_only",
        "experiment: active_selection_small",
        "quickstart",
        "max_steps",
    ):
        assert part in done.out
    assert "${hydra" not in done.out


def test_the_whole_config_can_be_shown(command: Run, miniature: tuple[str, ...]) -> None:
    done = command("--cfg", "job", *miniature)
    assert done.status == 0
    shown = yaml.safe_load(done.out)
    assert shown["budget"]["questions"] == 20
    assert "hydra" not in shown


def test_a_command_in_this_process_leaves_nothing_behind(command: Run, miniature: tuple[str, ...]) -> None:
    from hydra.core.global_hydra import GlobalHydra

    before, folder = dict(os.environ), os.getcwd()
    for arguments in (["sed=3"], [*miniature, "seed=one"], ["-m", *miniature, "budget.questions=99"], ["--cfg", "job"]):
        command(*arguments)
        assert not GlobalHydra.instance().is_initialized()
        assert dict(os.environ) == before
        assert os.getcwd() == folder
    assert command("sed=3").complaint == command("sed=3").complaint
