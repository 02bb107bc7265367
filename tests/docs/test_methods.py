"""Pages of methods name code that is there; that of critique-revision has every setting, its default, and the calls."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from benchmark.planning.worst_case import annotation_context
from methods.honey.annotation import Counterfactual, CritiqueRevision

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "methods"
HONEY = (FOLDER / "honey.md").read_text(encoding="utf-8")


def names_of(page: str) -> set[str]:
    """What the page's first table names of the code: functions, classes and their members."""
    table = re.search(r"^## From the .*?(?=^## )", page, re.DOTALL | re.MULTILINE)
    assert table, "there is no table from the source to the line"
    here = [line.rsplit("|", 2)[-2] for line in table.group().splitlines() if line.startswith("| ")]
    return {name for cell in here for name in re.findall(r"`(_?[A-Za-z]\w*(?:\._?\w+)?)`", cell)}


def sources() -> list[Path]:
    """The code, templates and data of all methods."""
    return [path for path in ROOT.joinpath("methods").rglob("*") if path.suffix in (".py", ".j2", ".yaml")]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_a_page_names_code_that_is_there(path: Path) -> None:
    code = "".join(each.read_text(encoding="utf-8") for each in sources())
    code += "".join(each.read_text(encoding="utf-8") for each in ROOT.joinpath("benchmark").rglob("*.py"))
    missing = [name for name in names_of(path.read_text(encoding="utf-8")) if name.rpartition(".")[2] not in code]
    assert not missing


def test_members_stand_in_their_classes() -> None:
    shared = [ROOT / "methods" / name for name in ("counterfactual.py", "label_and_rationale.py")]
    files = [*(ROOT / "methods" / "honey").glob("*.py"), *shared]
    bodies = [node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body]
    classes = {node.name: ast.unparse(node) for node in bodies if isinstance(node, ast.ClassDef)}
    members = [name.partition(".")[::2] for name in names_of(HONEY) if name.partition(".")[0] in classes]
    assert {owner for owner, _ in members} > {"CritiqueRevision", "Multitask", "CounterfactualFormat"}
    for owner, member in members:
        assert not member or f"def {member}(" in classes[owner], f"{owner}.{member}"


def test_every_setting_stands_with_its_default() -> None:
    section = HONEY.partition("## Settings\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (.+?) \| ", section, re.MULTILINE)
    settings = {
        name: value.strip("`")
        for names, values in rows
        for name, value in zip(re.findall(r"\w+", names), values.split(", "), strict=True)
    }
    defaults = {field.name: str(field.default) for part in (CritiqueRevision, Counterfactual) for field in fields(part)}
    assert settings == {name: default.lower() for name, default in defaults.items()}


@pytest.mark.parametrize("name", ["critique_revision", "counterfactual", "critique_revision_and_counterfactual"])
def test_calls_of_five_choices(name: str, cell: Callable[..., Any]) -> None:
    [calls] = re.findall(rf"^\| `{name}`[^|]* \| [^|]+ \| (\d+) \|", HONEY, re.MULTILINE)
    made = cell((f"annotation={name}", "dataset=trait_choice"))
    splits = made.dataset.load()
    question = splits.pool[0].without_gold()
    assert len(question.choices) == 5
    planned = made.method.annotation.most_requests(question, annotation_context(made, splits))
    assert int(calls) == sum(request.samples for request in planned)
