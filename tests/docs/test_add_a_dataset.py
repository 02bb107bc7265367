"""The example of docs/how-to/add-a-dataset.md is run as it is printed; docs/datasets.md names every dataset."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmark.tasks.hub import PARSERS, HubSource

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "add-a-dataset.md").read_text(encoding="utf-8")
TABLES = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_a_new_dataset_needs_one_yaml_and_no_code(tmp_path: Path) -> None:
    names = re.findall(r"`(my_data/[\w/]+\.jsonl)` and `(my_data/[\w/]+\.jsonl)`", PAGE)[0]
    yaml_name = re.findall(r"`(my_conf/dataset/\w+\.yaml)`", PAGE)[0]
    for name, text in zip((*names, yaml_name), (*blocks("json"), blocks("yaml")[0]), strict=True):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    words = shlex.split(blocks("bash")[0])
    assert words[:3] == ["python", "-m", "benchmark"]
    done = subprocess.run(
        [sys.executable, *words[1:], "optimization.max_steps=4", "student.max_new_tokens=8"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    [record] = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("*/record.json")]
    assert (record["dataset"], record["method"], record["test"][0]["n"]) == ("sides", "human_rationale", 2)
    assert record["rounds"][0]["annotated"] == 6
    assert record["identity"]["sources"] == {}


def test_the_printed_yaml_lists_every_setting() -> None:
    from benchmark.tasks.jsonl import JsonlDataset

    printed = yaml.safe_load(blocks("yaml")[0])
    assert set(printed) - {"_target_"} == set(JsonlDataset.__dataclass_fields__)
    hub: dict[str, Any] = yaml.safe_load(blocks("yaml")[1])["hub"]
    assert set(hub) == set(HubSource.__dataclass_fields__)
    HubSource(**hub)
    assert all(f"`{parser}`" in PAGE for parser in PARSERS)


def test_every_dataset_and_every_recording_is_in_the_tables() -> None:
    rows = [line for line in TABLES.splitlines() if line.startswith("|")]
    for path in (ROOT / "conf" / "dataset").glob("*.yaml"):
        assert any(f"`{path.stem}`" in row.split("|")[1] for row in rows), path.stem
    for path in (ROOT / "conf" / "teacher").glob("*.yaml"):
        if "recording:" in path.read_text(encoding="utf-8"):
            assert any(f"`{path.stem}`" in row for row in rows), path.stem


def test_the_hub_table_is_what_conf_says() -> None:
    for path in (ROOT / "conf" / "dataset").glob("*.yaml"):
        hub = yaml.safe_load(path.read_text(encoding="utf-8")).get("hub")
        if hub:
            assert f"`{hub['path']}`" in TABLES
