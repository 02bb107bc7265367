"""The search of the learning rate: validation chooses, test scores play no part, and the cost is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from analysis.commands.app import main
from analysis.output.tables import build_table
from analysis.output.tuning import tuning_frame, tuning_table
from analysis.records.load import load_records
from analysis.statistics.tuning import at_chosen_rates, searches
from tests.analysis.record_files import Record, make_record, write_record


def cell(method: str, rate: float, seed: int, validation: float | None, test: float) -> Record:
    record = make_record(method, value=test, seed=seed, config={"optimization": {"learning_rate": rate}})
    record["rounds"][0]["validation"] = {} if validation is None else {"accuracy": validation}
    record["train"] |= {"optimiser_steps": 100, "seconds": 2.5, "flops": 7}
    return record


def write_search(results: Path, method: str, found: Mapping[float, tuple[float, float]], seeds: int = 2) -> None:
    """`found`: rate -> (validation, test)."""
    for rate, (validation, test) in found.items():
        for seed in range(seeds):
            write_record(results, cell(method, rate, seed, validation, test))


def test_validation_chooses_and_the_test_plays_no_part(results: Path) -> None:
    write_search(results, "elad", {1e-4: (0.5, 0.9), 3e-4: (0.7, 0.1), 1e-3: (0.6, 0.8)})
    [search] = searches(load_records(results))
    assert search.chosen.learning_rate == 3e-4
    assert not search.is_at_an_end
    frame = tuning_frame([search]).set_index("learning_rate")
    assert frame["chosen"].to_dict() == {1e-4: False, 3e-4: True, 1e-3: False}
    assert frame.loc[3e-4, ["validation", "test"]].tolist() == [pytest.approx(0.7), pytest.approx(0.1)]
    assert frame["optimiser_steps"].tolist() == [200, 200, 200]
    assert frame["training_seconds"].tolist() == [5.0, 5.0, 5.0]


def test_the_mean_over_seeds_decides_and_of_equal_rates_the_lowest(results: Path) -> None:
    for seed, (low, high) in enumerate([(0.9, 0.1), (0.1, 0.8)]):
        write_record(results, cell("elad", 1e-4, seed, low, 0.5))
        write_record(results, cell("elad", 1e-3, seed, high, 0.5))
    write_search(results, "srd", {1e-4: (0.5, 0.5), 1e-3: (0.5, 0.5)})
    chosen = {search.method: search.chosen.learning_rate for search in searches(load_records(results))}
    assert chosen == {"elad": 1e-4, "srd": 1e-4}


def test_only_seeds_that_all_rates_have_count(results: Path) -> None:
    write_search(results, "elad", {1e-4: (0.5, 0.5), 1e-3: (0.6, 0.5)})
    write_record(results, cell("elad", 1e-4, 7, 1.0, 0.5))  # would make the lower rate the best one
    write_record(results, cell("elad", 1e-3, 8, None, 0.5))
    [search] = searches(load_records(results))
    assert search.chosen.learning_rate == 1e-3
    assert {score.cell.names.seed for tried in search.rates for score in tried.group.scores} == {0, 1}


def test_the_tuned_table_has_one_row_per_method_and_keeps_what_was_not_searched(results: Path) -> None:
    write_search(results, "elad", {1e-4: (0.5, 0.9), 3e-4: (0.7, 0.1)})
    write_record(results, make_record("untrained"))
    write_record(results, make_record("srd"))
    table = build_table(at_chosen_rates(load_records(results)))
    rows = {row.name: row for block in table.blocks for row in block.rows if row.role == "method"}
    assert set(rows) == {"elad", "srd"}
    assert (rows["elad"].learning_rate, rows["elad"].mean) == (3e-4, pytest.approx(0.1))


def test_tuned_methods_are_compared_at_their_chosen_rates(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_search(results, "elad", {1e-4: (0.5, 0.9), 3e-4: (0.7, 0.1)})
    write_search(results, "answer_only", {1e-4: (0.5, 0.4), 3e-4: (0.7, 0.3)})
    assert main(["compare", "--baseline", "answer_only", "--tuned", "--results", str(results)]) == 0
    [row] = re.findall(r"\| elad +\| +(\S+)", capsys.readouterr().out)
    assert row.startswith("-20.0")


def test_unequal_searches_and_ends_of_the_grid_are_said(results: Path) -> None:
    write_search(results, "elad", {1e-4: (0.5, 0.5), 1e-3: (0.6, 0.5)})
    write_search(results, "srd", {1e-4: (0.5, 0.5), 1e-3: (0.7, 0.5), 1e-2: (0.6, 0.5)})
    text = tuning_table(searches(load_records(results)))
    assert "not searched alike, so the comparison is not fair (elad: 0.0001, 0.001; srd: 0.0001, 0.001, 0.01)" in text
    assert "elad chose the highest rate that was tried (0.001); a better one may lie beyond." in text
    assert "srd chose" not in text


def test_the_command_prints_it_and_says_how_to_search(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_record(results / "one", make_record("elad"))
    assert main(["tuning", "--results", str(results / "one")]) == 2
    assert "experiment=tuning" in capsys.readouterr().err
    several = results / "several"
    write_search(several, "elad", {1e-4: (0.5, 0.9), 3e-4: (0.7, 0.1)})
    assert main(["tuning", "--results", str(several)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "| elad | 0.0003 | yes | 70.0 | 10.0 ± 0.0 | 2 | 200 | 5 |" in shown
    assert main(["table", "--tuned", "--results", str(several), "--columns", "learning rate"]) == 0
    shown = capsys.readouterr().out
    assert "0.0003" in shown
    assert "0.0001" not in shown
