"""The record keeps the evidence: picks, stages, weights, seconds of phases, and curves over all rounds."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pytorch_lightning.loggers import Logger

from benchmark.axes.data_policy import FixedData
from benchmark.axes.loss import CrossEntropy
from benchmark.axes.weighting import reweighted
from benchmark.cell.cell import Cell
from benchmark.contract import Context, StepState
from benchmark.corridor import CellRun
from benchmark.records.curves import METRICS, Row
from benchmark.records.evidence import PhaseClock
from benchmark.records.journal import Journal
from benchmark.records.loggers import CsvLog, TensorBoardLog, cell_loggers
from benchmark.records.record import CellFolder
from benchmark.records.tracking import TrackedCell
from benchmark.student.module import StudentModule
from benchmark.types import Annotation, Pick, Question, Stage, TrainingExample, Weight
from tests.cells import Silent
from tests.corridor.corridor_parts import (
    AsksTheStudent,
    DropsAndWeighs,
    Killed,
    Ran,
    Rounds,
    TwoStages,
    miniature,
    remainder,
    run,
)
from tests.corridor.test_resume import die_at

TWO_ROUNDS = (0.25, 0.75)


def cell_of(restart: bool, *overrides: str, **parts: Any) -> Cell:
    chosen = {"selection": AsksTheStudent(), "weighting": DropsAndWeighs(), "curriculum": TwoStages(), **parts}
    return miniature(*overrides, schedule=Rounds(TWO_ROUNDS, restart), **chosen)


@pytest.fixture(scope="module", params=[True, False], ids=["restart", "go on"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(cell_of(request.param), tmp_path_factory.mktemp("evidence"))


def frame(ran: Ran, name: str) -> pd.DataFrame:
    return pd.read_parquet(ran.folder / f"{name}.parquet")


def test_picks_hold_every_ranked_question_bought_or_not(ran: Ran) -> None:
    picks = frame(ran, "picks")
    assert list(picks.groupby("round").size()) == [40, 37]
    bought = [list(picks[(picks["round"] == i) & picks["bought"]]["question_id"]) for i in (0, 1)]
    assert bought[0] + bought[1] == ran.cell_run.state.bought
    assert [len(ids) for ids in bought] == [3, 9]
    log = ran.cell_run.cell.method.selection.log  # type: ignore[attr-defined]
    for index, seen in enumerate(log):
        of_round = picks[picks["round"] == index]
        assert list(of_round["rank"]) == list(range(1, len(of_round) + 1))
        wrote = dict(zip(seen["pool"], seen["texts"], strict=True))
        assert set(of_round["question_id"]) == set(wrote)
        for row in of_round.itertuples():
            assert row.score == len(wrote[row.question_id])
            assert json.loads(row.evidence) == {"wrote": wrote[row.question_id]}


def test_a_selection_without_scores_leaves_a_column_of_numbers(tmp_path: Path) -> None:
    picks = frame(run(miniature(), tmp_path), "picks")
    assert picks["score"].dtype == "float64"
    assert picks["score"].isna().all()
    assert picks["bought"].sum() == 12


def test_stages_hold_order_sizes_settings_and_memory(ran: Ran) -> None:
    stages, annotations = frame(ran, "stages"), frame(ran, "annotations")
    steps = [report.optimiser_steps for report in ran.cell_run.state.fits]
    assert list(zip(stages["round"], stages["stage"], strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    third = [round(n / 3) for n in steps]
    assert list(stages["steps"]) == [third[0], steps[0] - third[0], third[1], steps[1] - third[1]]
    assert list(stages["first_step"]) == [0, third[0], 0, third[1]]
    assert [json.loads(memory) for memory in stages["memory"]] == ["after 0", "after 1"] * 2
    assert {json.dumps(json.loads(settings)) for settings in stages["settings"]} == {"{}"}
    for index in (0, 1):
        known = annotations[(annotations["round"] <= index) & (annotations["weight"] > 0)]
        usable = known.dropna(subset=["answer", "rationale"])
        of_round = stages[stages["round"] == index]
        assert sorted(group for order in of_round["order"] for group in order) == sorted(usable["question_id"])
        assert list(of_round["groups"]) == [len(order) for order in of_round["order"]] == list(of_round["examples"])


def test_annotations_know_their_round_and_the_numbers_behind_their_weight(ran: Ran) -> None:
    rows = frame(ran, "annotations")
    assert list(rows["round"]) == [0] * 3 + [1] * 9
    for row in rows.itertuples():
        left = remainder(row.question_id)
        assert json.loads(row.weight_evidence) == ({"remainder": left} if left < 2 else {})


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ((0.5, "a pair"), r"is \(0\.5, 'a pair'\); return Weight\(value, reason, evidence\)"),
        (Weight(0.5, "", {"trust": float("nan")}), "trust=nan .* is no finite number"),
        (Weight(0.5, "", {"trust": "high"}), "trust='high' .* is no finite number"),  # type: ignore[dict-item]
    ],
)
def test_a_weight_that_the_record_cannot_hold_is_refused(weight: Any, message: str) -> None:
    row = Annotation(Question("1", "t"), "rationale", "t", "r", "a")
    with pytest.raises(ValueError, match=message):
        reweighted([row], {row.id: weight})


# --- seconds ---------------------------------------------------------------------------------------------------------


def test_an_inner_phase_stops_the_clock_of_the_outer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock = PhaseClock()
    for phase, seconds in (("selection", 3.0), ("training", 5.0)):
        clock.enter(phase)
        now[0] += seconds
    with clock.within("curriculum"):
        now[0] += 7.0
    now[0] += 11.0
    assert clock.totals() == {"selection": 3.0, "training": 16.0, "curriculum": 7.0}
    saved = clock.totals()
    now[0] += 100.0
    clock.restore(saved)
    now[0] += 1.0
    assert clock.totals() == {"selection": 3.0, "training": 17.0, "curriculum": 7.0}


PAUSES = {"selection": 1000.0, "curriculum": 2000.0, "data_policy": 4000.0, "weighting": 8000.0}


def test_each_part_spends_the_seconds_of_its_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is moved by hand inside of the parts: a real wait would prove less and take longer."""
    real, moved = time.perf_counter, [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: real() + moved[0])

    @dataclass(frozen=True)
    class SlowSelection(AsksTheStudent):
        def rank(self, pool: Sequence[Question], context: Context) -> Sequence[Pick]:
            moved[0] += PAUSES["selection"]
            return super().rank(pool, context)

    @dataclass(frozen=True)
    class SlowWeighting(DropsAndWeighs):
        def weigh(self, new: Sequence[Annotation], old: Sequence[Annotation], context: Context) -> Mapping[str, Weight]:
            moved[0] += PAUSES["weighting"]
            return super().weigh(new, old, context)

    @dataclass(frozen=True)
    class SlowCurriculum(TwoStages):
        def next_stage(
            self, done: Sequence[Stage], examples: Sequence[TrainingExample], context: Context
        ) -> Stage | None:
            moved[0] += PAUSES["curriculum"]
            return super().next_stage(done, examples, context)

    class SlowPolicy(FixedData):
        def supply(self, drawn: Sequence[TrainingExample], state: StepState) -> Iterable[Sequence[TrainingExample]]:
            moved[0] += PAUSES["data_policy"]
            return super().supply(drawn, state)

    parts = {"selection": SlowSelection(), "weighting": SlowWeighting(), "curriculum": SlowCurriculum()}
    cell = cell_of(False, **parts, loss=CrossEntropy(data_policy=SlowPolicy()))
    seconds = run(cell, tmp_path).result["seconds_by_phase"]
    calls = {"selection": 2, "weighting": 2, "curriculum": 4, "data_policy": 6}  # two rounds, two stages, six steps
    assert seconds.keys() == {*calls, "annotation", "training", "evaluation"}
    for phase, number in calls.items():
        assert 0 <= seconds[phase] - number * PAUSES[phase] < 500, phase
    assert all(0 < seconds[phase] < 500 for phase in ("annotation", "training", "evaluation"))


# --- curves ----------------------------------------------------------------------------------------------------------


NAMELESS = TrackedCell("cell", "a cell", None, (), {})


def logged(cell: Cell, folder: Path, name: str = "cell", kind: Any = None) -> list[dict[str, str]]:
    """The rows of `metrics.csv` after a cell has run, in one attempt or as a later one."""
    place, journal = CellFolder(folder, name), Journal.open(folder, name, print)
    with cell_loggers(kind or cell.logger, place.path, journal.path("curves"), NAMELESS) as loggers:
        CellRun(cell, place, journal, Silent(), loggers).run()
    with (place.path / METRICS).open(newline="") as file:
        return list(csv.DictReader(file))


def curves(restart: bool) -> Cell:
    every_step = ("trainer.log_every_n_steps=1", "trainer.checkpoint_minutes=0")
    return cell_of(restart, *every_step, "optimization.validation_every_n_steps=2", curriculum=TwoStages())


@pytest.mark.parametrize("restart", [True, False])
def test_the_logged_step_never_goes_back_and_all_rounds_are_kept(restart: bool, tmp_path: Path) -> None:
    rows = logged(curves(restart), tmp_path / "whole")
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted(steps)
    trained = [(int(row["round"]), int(row["step"])) for row in rows if row["train/loss"]]
    of_rounds = (6, 6) if restart else (3, 3)
    first = of_rounds[0]
    expected = [(0, step) for step in range(first)] + [(1, first + step) for step in range(of_rounds[1])]
    assert trained == expected
    validated = [(int(row["round"]), int(row["step"])) for row in rows if row["validation/accuracy"]]
    inside = [0, 2, 4] if restart else [0, 2]
    assert validated == [
        *((0, step) for step in [*inside, first]),
        *((1, first + step) for step in [*inside, of_rounds[1]]),
    ]
    # Every round has its own warm-up and decay over its own steps: the rates of both rounds are the same.
    rates = [float(row["train/learning_rate"]) for row in rows if row["train/loss"]]
    assert rates[:first] == pytest.approx(rates[first:])
    assert len(set(rates)) > 1

    for step in (2, first + 2):
        stuck = pytest.MonkeyPatch()
        die_at(stuck, StudentModule, "training_step", step, after=True)
        with pytest.raises(Killed):
            logged(curves(restart), tmp_path / f"killed-{step}")
        stuck.undo()
        assert logged(curves(restart), tmp_path / f"killed-{step}") == rows


class Recorder(Logger):
    """Any logger, such as one for W&B: keeps the steps that it is given."""

    name, version = "recorder", "0"

    def __init__(self, steps: list[int]) -> None:
        super().__init__()
        self.steps = steps

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        assert step is not None
        self.steps.append(step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing."""


@dataclass(frozen=True)
class RecorderLog(CsvLog):
    steps: list[int]

    def open(self, folder: Path, cell: TrackedCell, earlier: Sequence[Row]) -> list[Logger]:
        return [Recorder(self.steps)]


@pytest.mark.parametrize("restart", [True, False])
def test_no_logger_is_ever_given_an_earlier_step(restart: bool, tmp_path: Path) -> None:
    steps: list[int] = []
    place, log = CellFolder(tmp_path, "cell"), RecorderLog(steps)
    with cell_loggers(log, place.path, tmp_path / "curves", NAMELESS) as loggers:
        CellRun(curves(restart), place, Journal.open(tmp_path, "cell", print), Silent(), loggers).run()
    assert steps == sorted(steps)
    assert steps[-1] == (12 if restart else 6)


@pytest.mark.parametrize("restart", [True, False])
def test_tensorboard_goes_on_over_rounds(restart: bool, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged(curves(restart), tmp_path, kind=TensorBoardLog())
    [folder] = {path.parent for path in tmp_path.rglob("events.out.tfevents*") if ".journals" not in path.parts}
    events = EventAccumulator(str(folder)).Reload()
    total = 12 if restart else 6
    assert [event.step for event in events.Scalars("train/loss")] == list(range(total))
    assert [event.value for event in events.Scalars("round")][-1] == 1


def test_the_tables_of_a_killed_cell_are_those_of_a_whole_one(tmp_path: Path) -> None:
    """Killed in the second round: what the first one decided comes from the journal."""
    whole = run(curves(False), tmp_path / "whole")
    stuck = pytest.MonkeyPatch()
    die_at(stuck, StudentModule, "training_step", 5, after=True)
    with pytest.raises(Killed):
        run(curves(False), tmp_path / "killed")
    stuck.undo()
    again = run(curves(False), tmp_path / "killed")
    for name in ("picks", "stages", "annotations", "predictions"):
        assert (again.folder / f"{name}.parquet").read_bytes() == (whole.folder / f"{name}.parquet").read_bytes(), name
