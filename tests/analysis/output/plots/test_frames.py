"""What each kind of picture plots, against numbers by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.output.plots.agreement import agreement_frame, right_answers
from analysis.output.plots.blocks import MethodBlock, trained_blocks
from analysis.output.plots.cost import cost_frame
from analysis.output.plots.critical_difference import critical_difference_drawing, results_by_metric
from analysis.output.plots.forest import forest_drawing, forest_frame
from analysis.output.plots.frontier import Cost, frontier_frames
from analysis.output.plots.reliability import reliability_frame
from analysis.output.plots.training import drawn_quantities, logged, training_frame
from analysis.output.tables import build_table
from analysis.records.load import ResultsError, load_records
from analysis.records.outcomes import OutcomeFiles
from analysis.statistics.curves import curves_of
from analysis.statistics.scores import SEEDS_AND_QUESTIONS
from tests.analysis.output.plots.plot_files import write_cells
from tests.analysis.record_files import Record, cost, make_record, write_record

SAME = {"format": {"name": "same"}}


def one_round(bought: int, value: float = 0.5, **changes: object) -> list[Record]:
    charged = {"teacher": cost(bought)}
    log = {"index": 0, "annotated": bought, "charged": charged, "spent": charged, "notes": {}}
    return [{**log, "validation": {"accuracy": value}, **changes}]


def block_in(results: Path) -> MethodBlock:
    [block] = trained_blocks(load_records(results))
    return block


# --- frontier --------------------------------------------------------------------------------------------------------


def test_the_frontier_has_intervals_costs_and_who_dominates(results: Path) -> None:
    values = {"cheap": (100, 0.5), "dear": (400, 0.8), "worse": (200, 0.4)}
    for method, (bought, value) in values.items():
        for seed, shift in ((1, -0.1), (2, 0.1)):
            write_record(results, make_record(method, value + shift, seed, rounds=one_round(bought), config=SAME))
    write_record(results, make_record("untrained", 0.1))
    write_record(results, make_record("gold_answers", 0.95))
    [(title, rows)] = frontier_frames(load_records(results), Cost.TOKENS, OutcomeFiles())
    assert title == "chain_sum: student tiny, teacher simulated"
    of = rows.set_index("method")
    assert dict(of["role"]) == {
        "cheap": "frontier", "dear": "frontier", "worse": "dominated",
        "untrained student": "reference", "gold_answers": "reference",
    }  # fmt: skip
    assert of.loc["worse", "dominated_by"] == "cheap"
    assert of.loc["dear", "cost_mean"] == 40_000  # 80 + 20 tokens a question
    half_width = 12.7062 * 0.1  # t with 1 degree of freedom; s / sqrt(2) is 0.1
    assert of.loc["cheap", "high"] == pytest.approx(0.5 + half_width, rel=1e-4)
    assert of.loc["cheap", "cost_high"] == 10_000
    [(_, per_answer)] = frontier_frames(load_records(results), Cost.TOKENS_PER_ANSWER, OutcomeFiles())
    of = per_answer.set_index("method")
    assert of.loc["gold_answers", "role"] == "frontier"  # labels of people are no part of this cost
    assert of.loc["dear", "cost_mean"] == 18.2
    assert list(of["role"]).count("dominated") == 3


def test_the_frontier_has_the_intervals_of_the_table(results: Path) -> None:
    write_cells(results, methods=("a", "b"), seeds=(1, 2, 3))
    records = load_records(results)
    [(_, rows)] = frontier_frames(records, Cost.TOKENS, OutcomeFiles())
    of_table = {row.name: row for row in build_table(records).blocks[0].rows}
    for _, row in rows.iterrows():
        shown = of_table[row["method"]]
        assert (row["mean"], row["low"], row["high"]) == (shown.mean, shown.low, shown.high)
        assert shown.interval_over == SEEDS_AND_QUESTIONS


def test_an_unknown_cost_dominates_nothing(results: Path) -> None:
    unpriced = {"teacher": cost(100, None)}
    rounds = one_round(100, charged=unpriced, spent=unpriced)
    write_record(results, make_record("unpriced", 0.9, rounds=rounds, config=SAME))
    write_record(results, make_record("priced", 0.5, rounds=one_round(200), config=SAME))
    [(_, rows)] = frontier_frames(load_records(results), Cost.USD, OutcomeFiles())
    assert dict(zip(rows["method"], rows["role"], strict=True)) == {"priced": "frontier", "unpriced": "unknown cost"}


# --- forest ----------------------------------------------------------------------------------------------------------


def test_the_forest_has_paired_differences(results: Path) -> None:
    for seed, (ours, theirs) in enumerate(((0.5, 0.4), (0.7, 0.5), (0.6, 0.3)), 1):
        write_record(results, make_record("new", ours, seed, rounds=one_round(200), config=SAME))
        write_record(results, make_record("old", theirs, seed, rounds=one_round(100), config=SAME))
    write_record(results, make_record("old", 0.9, 9, rounds=one_round(100), config=SAME))  # no pair
    [curves] = curves_of(load_records(results))
    [row] = forest_frame(curves, "old").to_dict("records")
    assert (row["method"], row["pairs"], row["questions"], row["baseline_questions"]) == ("new", 3, 200, 100)
    assert row["mean"] == pytest.approx(0.2)
    assert row["high"] - row["mean"] == pytest.approx(4.30265 * 0.1 / np.sqrt(3), rel=1e-4)


def test_a_forest_of_one_method_is_refused(results: Path) -> None:
    write_record(results, make_record("old", rounds=one_round(100)))
    with pytest.raises(ResultsError, match="no other method with a seed of old"):
        forest_drawing(load_records(results), "old")


# --- critical difference ---------------------------------------------------------------------------------------------


def test_ranks_are_taken_over_blocks_and_seeds_with_all_methods(results: Path) -> None:
    for dataset in ("chain_sum", "trait_choice"):
        for seed in (1, 2):
            for method, value in (("a", 0.5), ("b", 0.6), ("c", 0.4)):
                if (dataset, seed, method) != ("trait_choice", 2, "c"):
                    config = {**SAME, "dataset": {"name": dataset}}
                    write_record(results, make_record(method, value, seed, dataset=dataset, config=config))
    records = load_records(results)
    wide = results_by_metric(records)["accuracy"]
    assert list(wide.columns) == ["a", "b", "c"]
    assert wide.shape == (4, 3)
    drawing = critical_difference_drawing(records)
    [note] = drawing.notes
    assert note.endswith("trait_choice: student tiny, teacher simulated, seeds 2, without c")
    frame = drawing.pictures[0].frame.set_index("method")
    assert list(frame["mean_rank"]) == [1, 2, 3]
    assert list(frame.index) == ["b", "a", "c"]
    assert set(frame["blocks"]) == {3}
    assert frame["friedman"].iloc[0] == pytest.approx(6.0)  # 12 / (3 * 3 * 4) * (9 + 36 + 81) - 3 * 3 * 4
    assert dict(frame["groups"]) == {"b": "1", "a": "1 2", "c": "2"}  # 1.91 apart


def test_ranks_without_a_whole_block_are_refused(results: Path) -> None:
    for method, seed in (("a", 1), ("b", 2)):
        write_record(results, make_record(method, 0.5, seed, config=SAME))
    with pytest.raises(ResultsError, match=r"no block and seed has all 2 methods: .*, seed 1 has most, and lacks b"):
        critical_difference_drawing(load_records(results))


def test_ranks_of_one_method_are_refused(results: Path) -> None:
    write_record(results, make_record("a"))
    write_record(results, make_record("untrained"))
    with pytest.raises(ResultsError, match="accuracy: a is the only method"):
        critical_difference_drawing(load_records(results))


# --- reliability -----------------------------------------------------------------------------------------------------


def calibration(counts: tuple[int, int], right: tuple[float, float], ece: float) -> Record:
    bins = [
        {"low": low, "high": low + 0.5, "n": n, "mean_confidence": low + 0.25 if n else None,
         "share_right": share if n else None}
        for low, n, share in zip((0.0, 0.5), counts, right, strict=True)
    ]  # fmt: skip
    return {"n": sum(counts), "auroc": 0.7, "ece": ece, "bins": bins}


def test_bins_of_all_seeds_are_put_together(results: Path) -> None:
    judges = (calibration((0, 10), (0.0, 0.5), 0.1), calibration((0, 30), (0.0, 0.9), 0.3))
    for seed, judge in enumerate(judges, 1):
        write_record(results, make_record("judged", seed=seed, weight_calibration=judge))
    write_record(results, make_record("plain", config=SAME))
    frame = reliability_frame(block_in(results))
    assert set(frame["method"]) == {"judged"}
    assert list(frame["n"]) == [0, 40]
    assert frame["share_right"].iloc[1] == pytest.approx((10 * 0.5 + 30 * 0.9) / 40)
    assert frame["mean_confidence"].iloc[1] == 0.75
    assert pd.isna(frame["share_right"].iloc[0])
    assert set(frame["ece"]) == {0.2}
    assert set(frame["seeds"]) == {2}


# --- agreement -------------------------------------------------------------------------------------------------------


def predictions(results: Path, method: str, seed: int, correct: dict[str, bool | None]) -> None:
    folder = write_record(results, make_record(method, 0.5, seed, config=SAME)).parent
    rows = {"example_id": list(correct), "correct": list(correct.values())}
    pd.DataFrame(rows).to_parquet(folder / "predictions.parquet")


def test_agreement_counts_shared_seeds_and_questions(results: Path) -> None:
    predictions(results, "a", 1, {"q1": True, "q2": True, "q3": False})
    predictions(results, "a", 2, {"q1": False, "q2": True, "q3": False})
    predictions(results, "b", 1, {"q3": False, "q2": False, "q1": True, "q4": True})  # another order, one more
    predictions(results, "b", 3, {"q1": True, "q2": True, "q3": True})  # a seed that a lacks
    block = block_in(results)
    cells = [score.cell for group in block.methods.values() for score in group.scores]
    right, problems = right_answers(cells)
    assert problems == []
    frame = agreement_frame(block, right).set_index(["method", "other"])
    both = frame.loc[("a", "b")]
    assert (both["pairs"], both["questions"]) == (1, 3)
    assert (both["both_right"], both["only_method"], both["only_other"], both["both_wrong"]) == (1, 1, 0, 1)
    assert both["agreement"] == pytest.approx(2 / 3)
    assert both["kappa"] == pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9))
    assert frame.loc[("a", "a"), "agreement"] == pytest.approx(2 / 3)  # its two seeds


def test_ungraded_questions_and_missing_files_are_left_out(results: Path) -> None:
    predictions(results, "graded", 1, {"q1": None, "q2": None})
    missing = write_record(results, make_record("lost", config=SAME)).parent
    damaged = write_record(results, make_record("damaged", config=SAME)).parent
    (damaged / "predictions.parquet").write_text("no parquet")
    cells = load_records(results).complete
    right, problems = right_answers(cells)
    assert right.notna().sum().sum() == 0
    assert {problem.path for problem in problems} == {folder / "predictions.parquet" for folder in (missing, damaged)}


# --- training --------------------------------------------------------------------------------------------------------


def write_metrics(folder: Path, losses: list[tuple[int, int, float]], validation: float) -> None:
    rows = [{"round": r, "step": s, "train/loss": v, "train/t": v, "train/learning_rate": 1.0} for r, s, v in losses]
    rows.append({"round": losses[-1][0], "step": 20, "validation/accuracy": validation})
    (folder / "log").mkdir()
    pd.DataFrame([*rows, {"step": 20, "test/accuracy": 0.5}]).to_csv(folder / "log" / "metrics.csv", index=False)


def test_training_curves_are_means_over_seeds(results: Path) -> None:
    for seed, second_round in ((1, [(1, 10, 1.0)]), (2, [])):
        folder = write_record(results, make_record("m", seed=seed, config=SAME)).parent
        write_metrics(folder, [(0, 0, float(seed)), *second_round], 0.1 * seed)
    block = block_in(results)
    log, problems = logged([score.cell for score in block.methods["m"].scores])
    assert problems == []
    frame = training_frame(block, log)
    assert set(frame["quantity"]) == {"train/loss", "train/t", "validation/accuracy"}
    of = frame[frame["quantity"] == "train/loss"].set_index("step")
    assert dict(of["mean"]) == {0: 1.5, 10: 1.0}
    assert dict(of["seeds"]) == {0: 2, 10: 1}
    assert dict(of["round"]) == {0: 0, 10: 1}
    assert set(of["of_seeds"]) == {2}
    assert of.loc[0, "high"] == pytest.approx(1.5 + 12.7062 * 0.5, rel=1e-4)
    assert pd.isna(of.loc[10, "high"])
    assert drawn_quantities(frame) == ["train/loss", "validation/accuracy"]  # the only term is the loss again


def test_missing_and_damaged_logs_are_named(results: Path) -> None:
    missing = write_record(results, make_record("m")).parent
    empty = write_record(results, make_record("n", config=SAME)).parent
    (empty / "log").mkdir()
    (empty / "log" / "metrics.csv").write_text("")
    other = write_record(results, make_record("o", config=SAME)).parent
    (other / "log").mkdir()
    (other / "log" / "metrics.csv").write_text("a,b\n1,2\n")
    log, problems = logged(load_records(results).complete)
    assert log.empty
    assert {problem.path.parent.parent for problem in problems} == {missing, empty, other}
    assert "run the cell again" in str(next(p for p in problems if p.path.parent.parent == missing))


# --- cost ------------------------------------------------------------------------------------------------------------


def test_costs_are_means_by_part(results: Path) -> None:
    for seed, seconds in ((1, {"training": 10.0, "selection": 2.0}), (2, {"training": 20.0})):
        rounds = one_round(100, computed={"student/selection": cost(10 * seed, None)})
        record = make_record("m", seed=seed, rounds=rounds, seconds_by_phase=seconds, config=SAME)
        write_record(results, record)
    frame = cost_frame(block_in(results))
    assert [tuple(row) for row in frame[["panel", "part", "mean"]].itertuples(index=False)] == [
        ("seconds", "selection", 1.0),
        ("seconds", "training", 15.0),
        ("tokens charged", "teacher, prompts", 8000.0),
        ("tokens charged", "teacher, replies", 2000.0),
        ("tokens of local models", "student/selection", 1500.0),
    ]
