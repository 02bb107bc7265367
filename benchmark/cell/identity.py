"""The id of a cell: a hash of everything that can change its results, and of nothing else."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmark import ENGINE_VERSION
from benchmark.cell.cell import Cell
from benchmark.cell.composition import AXES
from benchmark.components import canonical, components
from benchmark.student.frozen import PretrainedAssistant
from benchmark.teachers.prompts import prompt_library_for

ID_LENGTH = 16


def cell_id(cell: Cell) -> str:
    """16 hexadecimal digits; two commands have the same id exactly if one kind of machine gives them the same results.

    Another processor rounds otherwise; the record's provenance names it, and no id depends on it.
    """
    return id_of(identity(cell))


def id_of(identity: Mapping[str, Any]) -> str:
    """The id of an identity: the first 16 hexadecimal digits of its SHA-256."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def identity(cell: Cell) -> dict[str, Any]:
    """Everything that can change the cell's results, as plain data; the record keeps it.

    What the cell cannot use is left out (the teacher, if the labels are human; training, if the student is untrained),
    so that every sweep shares such cells.
    """
    method = cell.method
    trains = method.trains()
    axes = tuple(AXES) if trains else ("format",)
    parts: dict[str, Any] = {axis: getattr(method, axis) for axis in axes}
    parts |= {"dataset": cell.dataset, "student": cell.student, "evaluation": cell.evaluation}
    if cell.extra_datasets:
        parts["extra_datasets"] = cell.extra_datasets
    if trains:
        parts |= {"budget": cell.budget, "optimization": cell.optimization}
    if cell.asks_teacher:
        parts["teacher"] = cell.teacher
    if cell.own_distribution_teacher is not None:
        parts["distribution_teacher"] = cell.own_distribution_teacher.settled()
    if cell.uses_assistant:
        used = cell.used_assistant
        parts["assistant"] = used.settled() if isinstance(used, PretrainedAssistant) else cell.assistant
    charges = _charges(cell) if trains and cell.asks_teacher else {}
    return {
        "engine": ENGINE_VERSION,
        **({"charges": charges} if charges else {}),
        "seed": cell.seed,
        **({"data_seed": cell.data_seed, "pool": cell.pool} if trains else {"precision": cell.optimization.precision}),
        **{name: canonical(part) for name, part in parts.items()},
        "sources": _sources(list(parts.values())),
        "content": _content(cell),
    }


def reference_id(cell: Cell) -> str:
    """The id of all that decides what the cell's own distribution teacher scores on the test questions.

    The student, its training and its seed decide nothing of it. Raises ValueError for a cell without such a teacher.
    """
    teacher = cell.own_distribution_teacher
    if teacher is None:
        raise ValueError("this cell has no distribution teacher of its own")
    asked = {
        "distribution_teacher": teacher.settled(),
        "format": cell.method.format,
        "dataset": cell.dataset,
        "evaluation": cell.evaluation,
    }
    return id_of(
        {
            "engine": ENGINE_VERSION,
            "precision": cell.optimization.precision,
            **{name: canonical(part) for name, part in asked.items()},
            "sources": _sources(list(asked.values())),
            "content": {"dataset": cell.dataset.fingerprint(), "distribution_teacher": teacher.fingerprint()},
        }
    )


def precision_in(identity: Mapping[str, Any]) -> str | None:
    """What an identity says the student computes in; None in one that does not say."""
    of_untrained, of_trained = identity.get("precision"), identity.get("optimization") or {}
    return of_untrained or of_trained.get("precision")


def _charges(cell: Cell) -> dict[str, Any]:
    """Teacher -> settings that decide how many questions a budget in tokens or dollars admits; empty without one."""
    if not cell.budget.counts_tokens:
        return {}
    return {
        name: {
            **({"price": vars(teacher.price)} if cell.budget.usd is not None else {}),
            **({"n_per_request": True} if teacher.capabilities.samples_share_a_request else {}),
        }
        for name, teacher in cell.teachers.items()
    }


def _content(cell: Cell) -> dict[str, Any]:
    """Name -> hash of content outside the config: rows, weights, recordings, prompt templates."""
    content = {"dataset": cell.dataset.fingerprint(), "student": cell.student.fingerprint()}
    content |= {f"dataset {extra.name}": extra.fingerprint() for extra in cell.extra_datasets}
    needs, prompts = cell.needs, prompt_library_for(cell.method.parts)
    for role in sorted(needs.teacher_roles | needs.assistant_roles):
        content[f"prompt {role}"] = prompts.fingerprint(role)
    if cell.asks_teacher:
        content |= {f"teacher {name}": teacher.fingerprint(cell.dataset) for name, teacher in cell.teachers.items()}
    if cell.own_distribution_teacher is not None:
        content["distribution_teacher"] = cell.own_distribution_teacher.fingerprint()
    if (used := cell.used_assistant) is not None:
        if isinstance(used, PretrainedAssistant):
            content["assistant"] = used.fingerprint()
        else:
            content["assistant"] = used.fingerprint(cell.dataset)
    return content


def _sources(parts: list[Any]) -> dict[str, str]:
    """Module -> hash of its code, for the parts' modules outside the engine, which ENGINE_VERSION covers."""
    modules: set[str] = set()
    for part in parts:
        for component in components(part):
            _add_with_imports(type(component).__module__, modules)
    return {name: source_hash(name) for name in sorted(modules)}


def _add_with_imports(module: str, found: set[str]) -> None:
    """Adds the module and what it imports from its own top-level package, such as `methods.divergences`."""
    package = module.partition(".")[0]
    if module in found or package == "benchmark":
        return
    found.add(module)
    for node in ast.walk(ast.parse(_source(module))):
        for name in _imported(node, module):
            if name.partition(".")[0] == package and _is_module(name):
                _add_with_imports(name, found)


def _source(module: str) -> str:
    path = sys.modules[module].__file__  # None for a namespace package
    return Path(path).read_text(encoding="utf-8") if path else ""


def _imported(node: ast.AST, module: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        origin = _origin(node, module)
        return [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return []


def _origin(node: ast.ImportFrom, module: str) -> str:
    """The absolute name of the module in a `from ... import`, with leading dots resolved."""
    if node.level == 0:
        return node.module or ""
    parents = module.split(".")
    is_package = hasattr(sys.modules[module], "__path__")
    above = parents[: len(parents) - node.level + is_package]
    return ".".join([*above, *([node.module] if node.module else [])])


def _is_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


@lru_cache(maxsize=256)
def source_hash(module: str) -> str:
    """A hash of a module's code without comments, docstrings, texts under fields and constants, and layout.

    Documentation therefore changes no cell's id, but any change of code does.
    """
    code = _Undocumented().visit(ast.parse(_source(module)))
    return hashlib.sha256(ast.unparse(code).encode()).hexdigest()


class _Undocumented(ast.NodeTransformer):
    """Removes every statement that is only a string, which has no effect."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        had_body = bool(getattr(node, "body", None))
        super().generic_visit(node)
        takes_a_body = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if takes_a_body and had_body and not node.body:  # type: ignore[attr-defined]
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node
