"""`ablation` and `composition` against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.commands.app import main
from analysis.output.ablation import ablations, compositions
from analysis.records.load import ResultsError, load_records
from analysis.records.outcomes import OutcomeFiles
from tests.analysis.record_files import make_record, write_record

VALUES = {
    "m": (0.50, 0.52, 0.54),
    "m+selection=random": (0.40, 0.44, 0.42),
    "m+loss=jsd": (0.60, 0.61, 0.65),
    "m+loss=jsd+selection=random": (0.55, 0.52, 0.58),
    "n": (0.9, 0.9, 0.9),
}


@pytest.fixture
def grid(results: Path) -> Path:
    for method, values in VALUES.items():
        for seed, value in enumerate(values, 1):
            write_record(results, make_record(method, value=value, seed=seed))
    return results


def test_an_ablation_changes_one_axis_and_says_what_it_costs(grid: Path) -> None:
    [found] = ablations(load_records(grid), "m", OutcomeFiles())
    assert {row.change.setting: round(row.difference.mean, 4) for row in found.rows} == {
        "loss=jsd": 0.1,
        "selection=random": -0.1,
    }
    assert [row.p for row in found.rows] == [pytest.approx(0.5)] * 2  # 2 / 2^3 for three seeds, times two
    assert all(row.cost == found.base_cost for row in found.rows)


def test_a_composition_has_gains_effects_and_interaction(grid: Path) -> None:
    [found] = compositions(load_records(grid))
    assert (found.crossing.first.setting, found.crossing.second.setting) == ("loss=jsd", "selection=random")
    effects = found.effects
    assert effects.gain_of_a.mean == pytest.approx(0.10)
    assert effects.gain_of_b.mean == pytest.approx(-0.10)
    assert effects.gain_of_both.mean == pytest.approx(0.03)
    assert effects.interaction.mean == pytest.approx(0.03)
    assert effects.interaction.num_values == 3


def test_both_commands_print_and_give_rows(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablation", "--results", str(grid), "--base", "m"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "| selection | random | 42.0 ± 5.0 | -10.0 ± 5.0* | 0.500 | 1.00 | 1.00 | 1.00 | 3 |" in shown
    assert main(["composition", "--results", str(grid)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "| interaction | +3.0 ± " in shown
    assert "beside m, 3 shared seeds" in shown
    assert main(["composition", "--results", str(grid), "--format", "csv"]) == 0
    assert capsys.readouterr().out.count("\n") == 7


def test_without_such_methods_both_say_what_to_run(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_record(results, make_record("m"))
    with pytest.raises(ResultsError, match="there are: m"):
        ablations(load_records(results), "n", OutcomeFiles())
    assert main(["composition", "--results", str(results)]) == 2
    assert "multirun" in capsys.readouterr().err
