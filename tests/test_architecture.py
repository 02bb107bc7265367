"""The house keeps its shape: which room may import which, and how long files and functions get.

A room is a folder, or a file on the ground floor of a package. Imports for types only (`if TYPE_CHECKING:`) are left
out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("benchmark", "methods", "analysis", "hydra_plugins", "speed", "checks")
FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "benchmark",
        "benchmark.config_folder",
        "benchmark.errors",
        "benchmark.extras",
        "benchmark.interruption",
        "benchmark.processor",
        "benchmark.random_streams",
        "benchmark.types",
    ),
    ("benchmark.components", "benchmark.config", "benchmark.console", "benchmark.contract"),
    ("benchmark.records", "benchmark.tasks"),
    ("benchmark.student",),
    ("benchmark.pretraining", "benchmark.teachers"),
    ("benchmark.axes", "benchmark.evaluation"),
    ("benchmark.cell",),
    ("benchmark.buying",),
    ("benchmark.planning", "benchmark.running"),
    ("benchmark.corridor",),
    ("benchmark.conformance", "benchmark.explain_finished", "benchmark.judging", "benchmark.run_cell"),
    ("benchmark.launchers",),
    ("benchmark.grid",),
    ("benchmark.sweep_progress",),
    ("benchmark.sweep",),
    ("benchmark.app",),
    ("benchmark.__main__",),
)
"""The engine from the bottom to the top. A room imports only rooms of lower floors, so that there can be no circle."""
ANALYSIS_FLOORS = (
    ("analysis.records",),
    ("analysis.statistics",),
    ("analysis.output",),
    ("analysis.study",),
    ("analysis.commands",),
)
METHODS_MAY_IMPORT = {
    "benchmark.axes.annotation",
    "benchmark.axes.data_policy",
    "benchmark.axes.loss",
    "benchmark.axes.selection",
    "benchmark.axes.weighting",
    "benchmark.contract",
    "benchmark.errors",
    "benchmark.evaluation.early_answers",
    "benchmark.extras",
    "benchmark.types",
    "benchmark.teachers.prompts",
    "benchmark.teachers.replies",
}
SHARED_BY_METHODS = {
    "methods",
    "methods.adaptive",
    "methods.answers",
    "methods.comparison",
    "methods.counterfactual",
    "methods.divergences",
    "methods.judges",
    "methods.label_and_rationale",
    "methods.ranks",
    "methods.tails",
    "methods.teacher_signals",
    "methods.white_box",
}
"""What belongs to no paper, so that papers need not import each other."""
SCHEMA = "benchmark.records.schema"
"""The only module of the engine that the analysis reads: what a record holds."""
SWEEPER_MAY_IMPORT = {"benchmark.grid", "benchmark.launchers", "benchmark.sweep"}
HEAVY = {"torch", "transformers", "pytorch_lightning", "hydra", "omegaconf"}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "shared"}
LONGEST_FILE, LONGEST_FUNCTION = 400, 80


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (REPOSITORY / package).rglob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> frozenset[str]:
    return frozenset(map(module_of, sources(*PACKAGES)))


def counted(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield node
            yield from counted(node)


@cache
def imported(path: Path) -> frozenset[str]:
    """The modules that a file imports: of ours the exact module, of others the top-level package."""
    found = set()
    for node in counted(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(path)}: relative imports are not followed by a cell's identity"
            of_names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in modules() else str(node.module) for name in of_names]
        found |= {name if name.partition(".")[0] in PACKAGES else name.partition(".")[0] for name in names}
    return frozenset(found - {module_of(path)})


def room_of(module: str) -> str:
    """The first two parts of a module's name: a folder, or a file on the ground floor."""
    return ".".join(module.split(".")[:2])


def ours(path: Path, *packages: str) -> set[str]:
    return {module for module in imported(path) if module.partition(".")[0] in packages}


def floor_of(room: str, floors: tuple[tuple[str, ...], ...]) -> int:
    found = [number for number, rooms in enumerate(floors) if room in rooms]
    assert found, f"{room} has no place yet: give it a floor in tests/test_architecture.py"
    return found[0]


# --- who may import whom ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sources("benchmark"), ids=named)
def test_a_room_of_the_engine_imports_only_what_lies_below_it(path: Path) -> None:
    room = room_of(module_of(path))
    floor = floor_of(room, FLOORS)
    wrong = {m for m in ours(path, "benchmark") if room_of(m) != room and floor_of(room_of(m), FLOORS) >= floor}
    assert not wrong, f"{named(path)} imports {', '.join(sorted(wrong))}, which is not below {room}"
    assert not ours(path, *(set(PACKAGES) - {"benchmark"}))


@pytest.mark.parametrize("path", sources("analysis"), ids=named)
def test_the_analysis_reads_files_and_its_rooms_are_ordered(path: Path) -> None:
    room, at_the_top = room_of(module_of(path)), module_of(path) in ("analysis", "analysis.__main__")
    floor = len(ANALYSIS_FLOORS) if at_the_top else floor_of(room, ANALYSIS_FLOORS)
    inside = {m for m in ours(path, "analysis") if room_of(m) != room}
    assert not {m for m in inside if floor_of(room_of(m), ANALYSIS_FLOORS) >= floor}
    assert not HEAVY & imported(path)
    assert not ours(path, *(set(PACKAGES) - {"analysis"})) - {SCHEMA}


@pytest.mark.parametrize("path", sources("methods"), ids=named)
def test_a_method_imports_the_contract_and_no_other_paper(path: Path) -> None:
    method = room_of(module_of(path))  # a method may be a file or a package
    assert not {m for m in ours(path, "methods") if room_of(m) != method} - SHARED_BY_METHODS
    assert not ours(path, *(set(PACKAGES) - {"methods"})) - METHODS_MAY_IMPORT
    assert not {"hydra", "omegaconf"} & imported(path)


@pytest.mark.parametrize("path", sources("hydra_plugins"), ids=named)
def test_the_sweeper_only_calls_the_grid(path: Path) -> None:
    assert not ours(path, *(set(PACKAGES) - {"hydra_plugins"})) - SWEEPER_MAY_IMPORT


@pytest.mark.parametrize("path", sources("speed", "checks"), ids=named)
def test_measurements_and_checks_are_imported_by_nobody(path: Path) -> None:
    users = [other for other in sources("benchmark", "methods", "analysis", "hydra_plugins")]
    assert not [named(user) for user in users if module_of(path) in imported(user)]


def test_no_two_rooms_import_each_other() -> None:
    """The floors say so for the engine; this looks at all rooms, without a list."""
    arrows = {
        (room_of(module_of(path)), room_of(module))
        for path in sources(*PACKAGES)
        for module in ours(path, *PACKAGES)
        if room_of(module_of(path)) != room_of(module)
    }
    rooms = sorted({room for arrow in arrows for room in arrow})
    assert not [(one, other) for one, other in combinations(rooms, 2) if {(one, other), (other, one)} <= arrows]


# --- names and sizes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=named)
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
