"""A short run of every preset gives the numbers that were recorded, within what another machine may change."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import benchmark
from tests.golden import drift as checker
from tests.golden import record as command
from tests.golden.drift import COMMAND, FOLDER, complaint, drift, recorded
from tests.golden.measure import measure, presets


@pytest.mark.parametrize("method", presets())
def test_the_numbers_of_a_preset_have_not_moved(method: str) -> None:
    golden = recorded(method)
    moved = drift(golden, measure(method, golden["dataset"]))
    assert not moved, complaint(method, moved)


def test_every_golden_run_belongs_to_a_preset() -> None:
    stale = sorted({path.stem for path in FOLDER.glob("*.json")} - set(presets()))
    assert not stale, f"there is no such preset: {', '.join(stale)}; {COMMAND} removes their golden runs"


MOVING_TARGETS = {"taid"}
"""Presets whose target moves from the student to the teacher, so that the loss rises while the student learns."""


@pytest.mark.parametrize("method", presets())
def test_a_golden_run_learns_unless_its_preset_trains_nothing(method: str) -> None:
    """A loss that stands still could not show that its gradient changed."""
    golden = recorded(method)
    if golden["rounds"] == []:
        assert golden["train"]["optimiser_steps"] == 0
        return
    losses = [values["loss"] for values in golden["curves"].values()]
    assert len(losses) > 3
    if method in MOVING_TARGETS:
        assert losses[0] < 0.7 * max(losses)
    else:
        assert min(losses) < 0.7 * losses[0]


# --- the check itself ------------------------------------------------------------------------------------------------


def test_another_engine_version_asks_for_new_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "ENGINE_VERSION", benchmark.ENGINE_VERSION + 1)
    with pytest.raises(AssertionError, match=rf"record all of them anew: {COMMAND}$"):
        recorded("answer_only")


def test_a_preset_without_a_golden_run_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checker, "FOLDER", tmp_path)
    with pytest.raises(AssertionError, match=rf"no golden run yet; record it: {COMMAND} answer_only$"):
        recorded("answer_only")


def test_another_learning_rate_is_seen_where_it_shows() -> None:
    """One percent does not move the loss of the first step, and moves what comes after it."""
    golden = recorded("answer_only")
    moved = drift(golden, measure("answer_only", golden["dataset"], "optimization.learning_rate=1.01e-2"))
    places = {line.partition(":")[0] for line in moved}
    assert {"curves, round 0 step 0, learning_rate", "curves, round 0 step 6, answer"} <= places
    assert "curves, round 0 step 0, answer" not in places
    assert not any(place.startswith(("bought", "rounds", "train")) for place in places)
    said = complaint("answer_only", moved)
    assert "raise ENGINE_VERSION in benchmark/__init__.py" in said
    assert f"{COMMAND} answer_only" in said
    assert moved[0] in said


def test_how_a_step_is_cut_into_micro_batches_moves_nothing() -> None:
    golden = recorded("step_by_step")
    assert not drift(golden, measure("step_by_step", golden["dataset"], "trainer.micro_batch_tokens=100000"))


GOLDEN = {
    "bought": ["a", "b"],
    "rounds": [{"charged": {"teacher": {"calls": 2, "usd": 0.5}}, "validation_accuracy": 0.5}],
    "curves": {"round 0 step 0": {"label": 2.0}},
    "log_probability": {"label": -1.0},
}


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        (lambda g: g["curves"]["round 0 step 0"].update(label=2.0015), []),
        (lambda g: g["curves"]["round 0 step 0"].update(label=2.01), ["curves, round 0 step 0, label"]),
        (lambda g: g["log_probability"].update(label=-1.0009), []),
        (lambda g: g["log_probability"].update(label=-1.002), ["log_probability, label"]),
        (lambda g: g["log_probability"].update(label=float("nan")), ["log_probability, label"]),
        (lambda g: g["rounds"][0].update(validation_accuracy=0.55), []),
        (lambda g: g["rounds"][0].update(validation_accuracy=0.6), ["rounds, 0, validation_accuracy"]),
        (lambda g: g["rounds"][0]["charged"]["teacher"].update(calls=3), ["rounds, 0, charged, teacher, calls"]),
        (lambda g: g["rounds"][0]["charged"]["teacher"].update(usd=0.51), ["rounds, 0, charged, teacher, usd"]),
        (lambda g: g.update(bought=["b", "a"]), ["bought"]),
        (lambda g: g["curves"]["round 0 step 0"].update(rationale=1.0), ["curves, round 0 step 0, rationale"]),
        (lambda g: g["log_probability"].clear(), ["log_probability, label", "log_probability"]),
        (lambda g: g["rounds"].clear(), ["rounds, 0, charged, teacher, calls"]),
    ],
)
def test_the_check_finds_what_moved_and_nothing_else(change: Callable[[Any], None], moved: list[str]) -> None:
    measured = json.loads(json.dumps(GOLDEN))
    change(measured)
    found = [line.partition(":")[0] for line in drift(GOLDEN, measured)]
    assert found[: len(moved)] == moved
    assert bool(found) == bool(moved)


def test_the_command_records_all_or_some_and_forgets_presets_that_are_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checker, "FOLDER", tmp_path)
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    monkeypatch.setattr(command, "presets", lambda: ("answer_only", "untrained"))
    monkeypatch.setattr(command, "measure", lambda _, dataset: recorded_as(dataset))
    (tmp_path / "long_gone.json").write_text("{}")

    def recorded_as(dataset: str) -> dict[str, Any]:
        return GOLDEN | {"engine_version": benchmark.ENGINE_VERSION, "dataset": dataset}

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["record", *arguments])
        command.main()
        return capsys.readouterr().out

    assert run("untrained") == "untrained: recorded\n"
    assert {path.stem for path in tmp_path.glob("*.json")} == {"untrained", "long_gone"}
    assert "answer_only: recorded\nuntrained: recorded anew, 0 numbers moved\nlong_gone: there is no such" in run()
    assert {path.stem for path in tmp_path.glob("*.json")} == {"untrained", "answer_only"}
    monkeypatch.setattr(command, "measure", lambda _, dataset: recorded_as(dataset) | {"bought": []})
    assert "1 numbers moved, and ENGINE_VERSION is still" in run("untrained")
    with pytest.raises(SystemExit):
        run("no_such_method")
