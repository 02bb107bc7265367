"""The report at W&B: its specification without a network, and what is said where it cannot be published."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.output.render import render
from analysis.output.tables import build_table
from analysis.output.wandb_report import wandb_report
from analysis.records.load import ResultsError, load_records
from tests.analysis.output.test_wandb_runs import absent
from tests.analysis.record_files import make_record, write_record, write_small_sweep


def test_a_missing_package_is_named(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", absent)
    with pytest.raises(ResultsError, match=r"the package wandb_workspaces, .* pip install '.*\[wandb\]'"):
        wandb_report("project", None, results, results / "report.json")


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The package's interface, without an account."""
    reason = "needs the extra wandb: pip install 'distillation-benchmark[wandb]'"
    wandb = pytest.importorskip("wandb", reason=reason)
    pytest.importorskip("wandb_workspaces", reason=reason)
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    from wandb_workspaces.reports.v2 import internal

    yield internal
    wandb.teardown()


def grids(specification: dict[str, Any]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """(the set of runs, the panels) of each grid of charts."""
    found = [block["metadata"] for block in specification["blocks"] if block["type"] == "panel-grid"]
    return [(grid["runSets"][0], grid["panelBankSectionConfig"]["panels"]) for grid in found]


def test_the_report_has_table_frontier_curves_and_examples(results: Path, tmp_path: Path, reports: Any) -> None:
    write_small_sweep(results)
    lines = wandb_report("project", None, results, tmp_path / "out" / "report.json")
    assert lines == [
        f"wrote {tmp_path / 'out' / 'report.json'}: the report's specification; nothing is published",
        "publish the report with: wandb login, then this command without an output file",
    ]
    specification = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    reports.Spec.model_validate(specification)  # what W&B's package itself would read
    headings = [block["children"][0]["text"] for block in specification["blocks"] if block["type"] == "heading"]
    of_dataset = ["chain_sum", "Scores against cost, means over seeds", "Curves over all rounds", "What students wrote"]
    assert headings == ["Results", *of_dataset]
    [table] = [block["content"] for block in specification["blocks"] if block["type"] == "markdown-block"]
    assert table == render(build_table(load_records(results)), "markdown")

    (means, frontiers), (_, curves), (cells, examples) = grids(specification)
    costs = ("questions", "completion_tokens", "usd")
    assert [panel["config"]["xAxis"] for panel in frontiers] == [f"summary:charged/teacher/{cost}" for cost in costs]
    assert {panel["config"]["yAxis"] for panel in frontiers} == {"summary:test/accuracy"}
    assert [panel["config"]["metrics"] for panel in curves] == [["validation/accuracy"], ["train/loss"], ["annotated"]]
    assert {panel["config"]["xAxis"] for panel in curves} == {"trainer/global_step"}
    assert '"val": "test/examples"' in json.dumps(examples)
    assert [key["name"] for key in means["grouping"]] == ["method.value"]
    assert cells["grouping"] == []
    for runs in (means, cells):
        [chosen] = runs["filters"]["filters"]
        assert (chosen["key"]["name"], chosen["op"], chosen["value"]) == ("dataset", "=", "chain_sum")


def test_datasets_have_sections_and_students_groups_of_their_own(results: Path, tmp_path: Path, reports: Any) -> None:
    for dataset, student in (("gsm8k", "tiny"), ("gsm8k", "small"), ("cqa", "tiny")):
        write_record(results, make_record("gold_answers", dataset=dataset, student=student))
    wandb_report("project", "team", results, tmp_path / "report.json")
    found = grids(json.loads((tmp_path / "report.json").read_text(encoding="utf-8")))
    assert [(runs["name"], len(runs["grouping"])) for runs, _ in found] == [
        ("cqa", 1), ("cqa", 0), ("gsm8k", 2), ("gsm8k", 0),
    ]  # fmt: skip  # no frontier, because the teacher was never asked


def test_what_cannot_be_published_is_said(results: Path, tmp_path: Path, reports: Any) -> None:
    with pytest.raises(ResultsError, match="holds no finished cell: run `python -m benchmark"):
        wandb_report("project", None, results, tmp_path / "report.json")
    write_small_sweep(results)
    with pytest.raises(ResultsError, match="needs a login, and W&B knows none: run `wandb login`, or name an output"):
        wandb_report("project", None, results, None)
    assert not (tmp_path / "report.json").exists()
