"""Every config on disk: it composes, says all that its class knows, and keeps to the rules for presets."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.app import CONF
from benchmark.cell.composition import GROUPS, SCALARS
from benchmark.planning.checks import check
from tests.rehearsals.tensor_parts import model_folder

Run = Callable[..., Any]

AXIS_WITH_DATA = ("dataset=svamp", "teacher=palm540b")


def files(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


OPTIONS = [(group, option) for group in GROUPS for option in files(group)]


def choosing(group: str, option: str) -> tuple[str, ...]:
    """The overrides of an option; recorded teachers name the dataset's folder."""
    data = AXIS_WITH_DATA[:1] if group == "teacher" else ()
    return (*data, f"{group}={option}", "data_dir=nowhere")


def raw(group: str, name: str) -> Any:
    return yaml.safe_load((CONF / group / f"{name}.yaml").read_text(encoding="utf-8"))


def components(node: Any, at: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a `_target_`, inner ones too."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield at, node
        for key, value in node.items():
            yield from components(value, f"{at}.{key}")
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from components(value, f"{at}[{i}]")


def settings_of(target: str) -> set[str]:
    module, _, name = target.rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    return {field.name for field in dataclasses.fields(cls) if field.init}


@pytest.mark.parametrize("name", files("dataset"))
def test_a_hub_source_lists_every_setting_and_only_splits_that_are_used(name: str) -> None:
    from benchmark.tasks.hub import HubSource

    dataset = raw("dataset", name)
    hub = dataset.get("hub")
    if hub is None:
        return
    assert set(hub) == {field.name for field in dataclasses.fields(HubSource)}
    HubSource(**hub)
    used = {dataset[split] for split in ("pool", "validation", "test")} - {None}
    assert used <= set(hub["splits"])


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda value: value)
def test_an_option_lists_every_setting_of_its_class(group: str, option: str, compose: Run) -> None:
    from omegaconf import OmegaConf

    node = OmegaConf.to_container(compose(choosing(group, option))[group], resolve=False)
    for at, component in components(node, group):
        assert set(component) - {"_target_"} == settings_of(component["_target_"]), at


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda value: value)
def test_an_option_makes_a_cell(group: str, option: str, cell: Run) -> None:
    if any(node["_target_"].endswith(".Instruction") for _, node in components(raw(group, option), group)):
        pytest.importorskip("rouge_score")
    if raw(group, option).get("_target_", "").endswith(".KMeansDiversity"):
        pytest.importorskip("sklearn")
    if (group, option) == ("loss", "liger_jensen_shannon"):
        pytest.importorskip("liger_kernel")
    if group == "curriculum" and option != "shuffled":
        pytest.importorskip("rouge_score")
    made = cell(choosing(group, option))
    assert made.config[group]["_target_"].startswith(("benchmark.", "methods."))


def test_the_groups_on_disk_are_those_of_a_cell() -> None:
    folders = {path.name for path in CONF.iterdir() if path.is_dir()}
    assert folders == {*GROUPS, "method", "experiment", "hydra"}


def test_the_root_holds_one_line_per_group_and_setting() -> None:
    root = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    chosen = [next(iter(entry)) for entry in root["defaults"][1:]]
    assert root["defaults"][0] == "_self_"
    assert set(chosen[: len(GROUPS)]) == set(GROUPS)
    assert chosen[len(GROUPS) : len(GROUPS) + 2] == ["method", "experiment"]
    assert all(entry.startswith("override hydra/") for entry in chosen[len(GROUPS) + 2 :])
    assert set(root) - {"defaults", "hydra"} == set(SCALARS) - {"method"}


@pytest.mark.parametrize("name", files("loss"))
def test_every_loss_lets_choose_where_its_data_comes_from(name: str, cell: Run) -> None:
    if name == "liger_jensen_shannon":
        pytest.importorskip("liger_kernel")
    assert any(set(entry) == {"data_policy"} for entry in raw("loss", name)["defaults"])
    chosen = type(cell((f"loss={name}", "loss/data_policy=teacher_text")).method.loss.data_policy)
    assert chosen.__name__ == "TeacherText"


def test_every_student_has_its_optimisation() -> None:
    assert set(files("student")) <= set(files("optimization"))


@pytest.mark.parametrize("name", files("student"))
def test_the_plan_of_a_student_names_its_download_and_licence_and_asks_no_network(
    name: str, command: Run, compose: Run, results: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import socket

    import huggingface_hub.constants

    asked: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda *address: asked.append(address))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    small = ("dataset.pool_size=40", "dataset.validation_size=8", "dataset.test_size=8", "budget.questions=20")
    done = command(f"student={name}", *small, f"results_dir={results.path}", "method=gold_answers", "mode=plan")
    assert (done.status, done.err, asked) == (0, "", [])
    student = raw("student", name)
    notes = [line for line in done.out.splitlines() if line.startswith("- ") and not line.startswith("- precision ")]
    [note] = notes or [""]
    if "path" not in student:
        assert note == ""
    else:
        shown = compose((f"student={name}",)).student.name
        assert f"student={shown} is not on this disk: a run downloads {student['path']} (revision main)" in note
        assert note.endswith(f"licence: {student['licence']}")
    assert "accepted" in note or name != "llama2_7b_lora"


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda value: value)
def test_what_students_are_made_from_says_its_licence(group: str, option: str) -> None:
    """It may say `unknown`, or nothing where a user's YAML leaves it out; and no licence may change a cell's id."""
    frozen = ("assistant", "distribution_teacher")
    if group not in ("dataset", "teacher", "student", *frozen) or (group in frozen and option == "none"):
        return
    node = raw(group, option)
    assert node["licence"]
    module, _, name = node["_target_"].rpartition(".")
    [licence] = [
        each for each in dataclasses.fields(getattr(importlib.import_module(module), name)) if each.name == "licence"
    ]
    assert licence.default == "unknown"
    assert licence.metadata["identity"] is False


def overridden(entries: list[Any], allowed: tuple[str, ...]) -> None:
    for entry in entries:
        if isinstance(entry, str):  # a parent preset, whose choices are taken over
            assert entry in files("method"), entry
            continue
        [(key, value)] = entry.items()
        word, _, group = key.partition(" ")
        assert word == "override", key
        assert group.startswith("/"), f"{key}: without its slash it is looked for below this folder"
        outer, _, nested = group.removeprefix("/").partition("/")
        assert group.removeprefix("/") in allowed or (outer in allowed and (CONF / outer / nested).is_dir()), key
        assert isinstance(value, str), key


@pytest.mark.parametrize("name", files("method"))
def test_a_preset_overrides_axes_and_names_itself(name: str) -> None:
    text = (CONF / "method" / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# @package _global_\n")
    preset = yaml.safe_load(text)
    assert set(preset) <= {"defaults", "method"}
    assert preset["method"] == name
    overridden(preset.get("defaults", []), tuple(GROUPS))


OF_LARGE_MODELS = ("srd_small", "srd_gpt2_dolly")
"""Experiments with models from the hub, and with the files of Dolly."""
OF_REAL_DATA = ("honey_cqa", "step_by_step_cqa_small", "step_by_step_table")
"""Experiments with models from the hub, and with whole datasets (tests/realdata/test_experiments.py)."""


def test_every_launcher_of_ours_is_known_to_its_plugin() -> None:
    """A misspelt setting in our file would be sent to the plug-in, which calls it an error at the first cell."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()  # registers what is installed
    known = ConfigStore.instance().repo["hydra"]["launcher"]
    for name in files("hydra/launcher"):
        ours, plugin = raw("hydra/launcher", name), known.get(f"{name.removesuffix('_cluster')}.yaml")
        assert str(ours["_target_"]).endswith("Launcher")
        if plugin is not None:
            assert ours["_target_"] == plugin.node._target_
            assert set(ours) <= set(plugin.node), name


def experiment_of(name: str) -> Any:
    """The file of an experiment, after a look at what it may hold."""
    text = (CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# @package _global_\n")
    experiment = yaml.safe_load(text)
    allowed = (*GROUPS, "method", "hydra/launcher", "hydra/sweeper")
    overridden(experiment.get("defaults", []), allowed)
    assert set(experiment) <= {"defaults", "hydra", *SCALARS}
    return experiment


@pytest.mark.parametrize("name", sorted({*files("experiment")}.difference(OF_LARGE_MODELS, OF_REAL_DATA)))
def test_an_experiment_overrides_and_plans(
    name: str, command: Run, write_svamp: Run, results: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.sweep import Sweep

    experiment = experiment_of(name)
    monkeypatch.setattr(Sweep, "launch", lambda *_: [])
    monkeypatch.setattr(Sweep, "report", lambda _: None)
    monkeypatch.setattr(Sweep, "stages", lambda sweep: iter([sweep.missing_cells()]))
    write_svamp(tmp_path / "data")
    done = command(f"experiment={name}", f"results_dir={results.path}", f"data_dir={tmp_path / 'data'}", "seed=1")
    assert done.status == 0, done.err
    first, *_ = done.err.splitlines()
    assert " cells, 0 complete, " in first, done.err
    assert "refused" not in first
    [manifest] = (results.path / ".manifests").iterdir()
    cells = json.loads(manifest.read_text())["cells"]
    waiting = int(first.partition("; ")[2].partition(" start from ")[0] or 0)
    assert int(first.partition(" cells")[0]) == len(cells) + waiting
    grid = experiment["hydra"]["sweeper"]
    for method in str(grid["params"].get("method", "")).split(","):
        assert not method or waiting or method in {row["method"] for row in cells}
    assert int(first.partition(" cells")[0]) > len(grid.get("arms") or ["the only one"])


@pytest.mark.parametrize("name", OF_LARGE_MODELS)
def test_an_experiment_of_large_models_plans(
    name: str, command: Run, write_rows: Run, tmp_path: Path, results: Any
) -> None:
    pytest.importorskip("rouge_score")
    arms = experiment_of(name)["hydra"]["sweeper"]["arms"]
    (tmp_path / "data" / "dolly").mkdir(parents=True)
    for split, size in {"train": 4000, "validation": 20, "test": 150}.items():
        rows = [{"id": f"{split}{i}", "question": f"{split}: {i}?", "answer": f"{i}"} for i in range(size)]
        write_rows(tmp_path / "data" / "dolly" / f"{split}.jsonl", rows)
    few = ("seed=1", "method=fkl", "evaluation.extra=[]")
    done = command(f"experiment={name}", f"data_dir={tmp_path / 'data'}", *few, "mode=plan")
    assert done.status == 0, done.err
    assert done.out.count("| to run first |") == 1
    assert done.out.count("| to run  ") >= len(arms)
    assert not results.path.exists()


@pytest.mark.parametrize("name", OF_REAL_DATA)
def test_an_experiment_of_real_data_holds_choices_alone(name: str) -> None:
    sweeper = experiment_of(name)["hydra"]["sweeper"]
    assert sweeper["params"]
    assert bool(sweeper.get("arms")) == (name != "step_by_step_cqa_small")  # which crosses methods and seeds alone


def changes_loss_alone(method: str) -> bool:
    """Whether a preset differs from the default in nothing but its loss."""
    changed = [key for entry in raw("method", method).get("defaults", []) for key in entry]
    return bool(changed) and all(key.startswith("override /loss") for key in changed)


@pytest.mark.parametrize("dataset", files("dataset"))
@pytest.mark.parametrize("method", files("method"))
def test_every_method_meets_every_dataset_that_it_claims(
    method: str, dataset: str, cell: Run, write_svamp: Run, tmp_path: Path
) -> None:
    from benchmark.errors import ConfigError

    if changes_loss_alone(method) and dataset not in {"chain_sum", "svamp"}:
        pytest.skip("a loss knows nothing of datasets; two stand for all")
    if "source" in raw("dataset", dataset):
        pytest.importorskip("reasoning_gym")
    if dataset == "svamp":
        overrides = write_svamp(tmp_path / "data")
    elif "pool_size" in raw("dataset", dataset):
        overrides = ("dataset.pool_size=40", "dataset.validation_size=8", "dataset.test_size=8", "budget.questions=20")
    else:
        pytest.skip(f"{dataset} needs its own files; the tests of its task look at it")
    overrides = (*overrides, f"method={method}", f"results_dir={tmp_path / 'results'}")
    made = cell(overrides)
    if made.method.requires().assistant:
        made = cell((*overrides, "assistant=simulated"))
    if made.method.requires().distributions:
        folder = model_folder(tmp_path / "teacher")
        slot = ("distribution_teacher=pretrained", f"distribution_teacher.path={folder}")
        made = cell((*overrides, *slot, "distribution_teacher.max_new_tokens=4"))
    needs, pool = made.method.requires(), made.dataset.load().pool
    claimed = (not needs.choices or all(row.choices for row in pool)) and (
        not needs.gold_rationale or any(row.rationale for row in pool)
    )
    can_ask = (dataset != "svamp" or not needs.assistant) and all(
        t.roles is None or needs.teacher_roles <= set(t.roles) for t in made.asked_teachers.values()
    )
    if claimed and can_ask:
        check(made)
    else:
        with pytest.raises(
            ConfigError, match=r"multiple-choice|human rationales|cannot answer in that role|knows generated tasks"
        ):
            check(made)


def test_values_of_an_option_do_not_follow_into_another(cell: Run) -> None:
    """A preset that held values would leave them behind when its axis is overridden."""
    formats = files("format")
    alone = {option: cell((f"format={option}",)).config["format"] for option in formats}
    of_two = zip(files("method"), pairwise(cycle(formats)), strict=False)  # one of them is not the preset's own
    for method, option in ((method, option) for method, options in of_two for option in options):
        assert cell((f"method={method}", f"format={option}")).config["format"] == alone[option], (method, option)


def test_the_command_line_wins_over_the_preset(cell: Run) -> None:
    made = cell(("method=answer_only", "format=step_by_step", "seed=5"))
    assert type(made.method.format).__name__ == "StepByStepFormat"
    assert made.method.name == "answer_only+format=step_by_step"
    assert made.seed == 5
