"""The house keeps its shape: which package may import which, and how long files and functions get."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "benchmark": {"methods", "analysis"},
    "methods": {"analysis", "hydra", "omegaconf"},
    "analysis": {"torch", "transformers", "pytorch_lightning", "benchmark", "methods", "hydra"},
    "hydra_plugins": {"methods", "analysis"},
}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "shared"}
LONGEST_FILE, LONGEST_FUNCTION = 400, 80


def sources() -> list[Path]:
    return sorted(path for package in FORBIDDEN for path in (REPOSITORY / package).rglob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(path)}: relative imports are not followed by a cell's identity"
            yield node.module or ""


@pytest.mark.parametrize("path", sources(), ids=named)
def test_a_file_imports_only_what_its_package_may(path: Path) -> None:
    package = path.relative_to(REPOSITORY).parts[0]
    shared = {"benchmark.records.schema"}  # the one module of the engine that the analysis may import
    assert not FORBIDDEN[package] & {name.partition(".")[0] for name in {*imported(path)} - shared}


@pytest.mark.parametrize("path", sorted((REPOSITORY / "methods").glob("*.py")), ids=named)
def test_a_method_imports_no_other_but_the_divergences(path: Path) -> None:
    others = {name for name in imported(path) if name.partition(".")[0] == "methods"} - {"methods.divergences"}
    ours = {"methods"} if "from methods import divergences" in path.read_text(encoding="utf-8") else set()
    assert not others - ours


@pytest.mark.parametrize("path", sources(), ids=named)
def test_a_file_has_a_name_of_its_own_and_a_size_to_read(path: Path) -> None:
    assert not NAMELESS & {path.stem, *path.relative_to(REPOSITORY).parts[:-1]}
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


def test_every_file_of_configs_is_found() -> None:
    """Hydra reads `.yaml` alone and says nothing about the rest."""
    assert not [named(path) for path in (REPOSITORY / "conf").rglob("*") if path.is_file() and path.suffix != ".yaml"]
