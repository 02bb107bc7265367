"""The command line: exit status, messages, and no heavy imports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.commands.app import main
from tests.analysis.record_files import make_record, write_record, write_small_sweep

Capture = pytest.CaptureFixture[str]
REPOSITORY = Path(__file__).parents[2]


def test_a_table_is_printed(results: Path, capsys: Capture) -> None:
    write_small_sweep(results)
    assert main(["table", "--results", str(results)]) == 0
    captured = capsys.readouterr()
    assert "| untrained student |" in captured.out
    assert captured.err == ""


def test_a_damaged_record_is_named_after_the_table(results: Path, capsys: Capture) -> None:
    write_small_sweep(results)
    path = write_record(results, make_record("ta_filter"))
    path.write_text('{"cell_id": ')
    assert main(["table", "--results", str(results)]) == 1
    captured = capsys.readouterr()
    assert "| elad" in captured.out
    assert str(path) in captured.err


def test_csv_says_beside_it_what_it_cannot_hold(results: Path, capsys: Capture) -> None:
    write_small_sweep(results)
    assert main(["table", "--results", str(results), "--format", "csv"]) == 0
    captured = capsys.readouterr()
    assert "NaN" not in captured.out
    assert "the loss became NaN" in captured.err


@pytest.mark.parametrize("command", ["table", "status"])
@pytest.mark.parametrize("make", [True, False])
def test_nothing_to_show_is_one_line(tmp_path: Path, capsys: Capture, command: str, make: bool) -> None:
    folder = tmp_path / "results"
    if make:
        folder.mkdir()
    assert main([command, "--results", str(folder)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "python -m benchmark -m method=" in captured.err


def test_output_is_written_whole(results: Path, tmp_path: Path, capsys: Capture) -> None:
    write_small_sweep(results)
    page = tmp_path / "new" / "table.html"
    assert main(["table", "--results", str(results), "--format", "html", "--output", str(page)]) == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [path.name for path in page.parent.iterdir()] == ["table.html"]
    assert capsys.readouterr().out == ""


def test_an_output_that_cannot_be_written_is_one_line(results: Path, capsys: Capture) -> None:
    write_small_sweep(results)
    assert main(["table", "--results", str(results), "--output", str(results)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_nothing_heavy_is_imported(results: Path) -> None:
    """Of the engine only the schema of records is there, and nothing that it does not need."""
    write_small_sweep(results)
    code = (
        "import sys; from analysis.commands.app import main; import analysis.output.status, analysis.output.page\n"
        f"assert main(['table', '--results', {str(results)!r}]) == 0\n"
        "heavy = {'torch', 'transformers', 'pytorch_lightning', 'hydra', 'omegaconf', 'methods'}\n"
        "heavy &= {name.split('.')[0] for name in sys.modules}\n"
        "heavy |= {name for name in sys.modules if name.startswith('benchmark.')} - {'benchmark.records',\n"
        "    'benchmark.records.schema', 'benchmark.records.record_parts', 'benchmark.records.record_values',\n"
        "    'benchmark.records.measured_after', 'benchmark.records.schema_errors', 'benchmark.records.tracking'}\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_m_analysis_ends_with_its_exit_status(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analysis", "status", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_analysis_of_variance_is_printed(results: Path, capsys: Capture) -> None:
    pytest.importorskip("statsmodels")
    for method, level in (("elad", 0.6), ("step_by_step", 0.5)):
        for student in ("small", "large"):
            for seed in (1, 2, 3, 4):
                value = level + 0.01 * seed + (0.1 if student == "large" else 0.0)
                write_record(results, make_record(method, seed=seed, student=student, value=value))
    write_record(results, make_record("untrained", student="small", value=0.1))
    write_record(results, make_record("answer_only", student="small", value=0.3))
    assert main(["anova", "--results", str(results)]) == 0
    shown = re.sub(" +", " ", capsys.readouterr().out)
    assert "| elad | large | 72.5 ± 2.1 (4) | 72.5 ± 2.1 (4) |" in shown
    assert "| method | F(1,12) = 240.00 | < .001 |" in shown  # (16 runs x 0.05^2) / (0.01^2 x 5 / 3 within a cell)
    assert "| large | step_by_step - elad | -10.0 | -12.2 to -7.8 | < .001 |" in shown, shown
    assert "0 of 16 runs lie beyond" in shown
    assert "Left out, without two runs for every student: answer_only." in shown


def test_an_analysis_of_variance_without_its_runs_is_one_line(results: Path, capsys: Capture) -> None:
    pytest.importorskip("statsmodels")
    write_record(results, make_record("elad"))
    assert main(["anova", "--results", str(results)]) == 2
    assert "no method has two runs" in capsys.readouterr().err


def test_a_paper_stands_beside_our_records(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "honey_cqa"]) == 0
    assert "not run" in capsys.readouterr().out
    write_small_sweep(results)
    assert main(["reproduce", "honey_cqa", "--results", str(results), "--json"]) == 0
    assert main(["reproduce", "honey_cq"]) == 2
    assert "did you mean 'honey_cqa'?" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["wandb-sync", "wandb-report"])
def test_wandb_says_what_is_missing(results: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main([command, "--results", str(results)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
