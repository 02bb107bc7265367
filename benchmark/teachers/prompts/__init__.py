"""Prompt templates (Jinja2), one file `ROLE.j2` per role.

The templates of `methods/paper.py`, with the exemplars and phrases that they show, are in `methods/prompts/paper/`; if
there is no such folder, they are in the folder of the Python file. Shared templates are in this folder.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import jinja2
import jinja2.meta
import yaml

from benchmark.components import components
from benchmark.contract import Task
from benchmark.errors import ConfigError
from benchmark.tasks.dataset import Dataset, Exemplar
from benchmark.teachers.replies import ANSWER_CLAUSE
from benchmark.types import Json, Question, Request

SHARED_FOLDER = Path(__file__).parent
DATA_FILES = "*.yaml"
"""File pattern of exemplars and phrases, in the folder of the templates that show them."""


@dataclass(frozen=True)
class PromptLibrary:
    """The prompt templates of a cell: first from `folders`, then the shared ones."""

    folders: tuple[Path, ...] = ()

    def render(self, role: str, question: Question, dataset: Dataset, **variables: Json) -> Request:
        """The request for a role and a question, with `variables` in the template.

        Raises ConfigError if no template has the role's name.
        """
        text = self._template(role).render(
            shown=dataset.task.show(question),
            question=question,
            exemplars=_shown_exemplars(dataset.task, dataset.exemplars),
            answer_clause=ANSWER_CLAUSE,
            **variables,
        )
        return Request(role, text.strip(), question.id)

    def fingerprint(self, role: str) -> str:
        """A hash of the role's template, of templates that it includes or imports, and of data files in their folders.

        Raises ConfigError if a template is missing, or is in two folders of the method's parts.
        """
        templates = self._with_included(f"{role}.j2")
        data = {path for template in templates for path in template.parent.glob(DATA_FILES)}
        digest = hashlib.sha256(templates[0].read_bytes())
        for path in (*sorted(set(templates[1:])), *sorted(data)):
            digest.update(f"\n{path.name}\n".encode() + path.read_bytes())
        return digest.hexdigest()

    def _template(self, role: str) -> jinja2.Template:
        name = f"{role}.j2"
        self._path(name)
        return self._environment.get_template(name)

    def _with_included(self, name: str) -> list[Path]:
        """The template's file, then all files that it includes or imports, directly or indirectly."""
        path = self._path(name)
        found = [path]
        for included in jinja2.meta.find_referenced_templates(self._environment.parse(path.read_text("utf-8"))):
            if included is None:
                raise ConfigError(
                    f"{path} includes a template by a computed name, so a cell's identity cannot cover it; write it out"
                )
            found += self._with_included(included)
        return found

    def _path(self, name: str) -> Path:
        """The only file of that name in `folders`, or else the shared file."""
        found = [folder / name for folder in self.folders if (folder / name).is_file()]
        if len(found) > 1:
            raise ConfigError(f"two parts bring a prompt template {name}: {found[0]} and {found[1]}; rename one role")
        shared = SHARED_FOLDER / name
        if not found and not shared.is_file():
            searched = ", ".join(str(folder) for folder in (*self.folders, SHARED_FOLDER))
            raise ConfigError(f"no prompt template {name} in {searched}")
        return found[0] if found else shared

    @property
    def _environment(self) -> jinja2.Environment:
        return _environment((*self.folders, SHARED_FOLDER))


def prompt_library_for(parts: Iterable[object]) -> PromptLibrary:
    """The prompt library for a method's parts: their own templates, wrapped parts included, then the shared ones."""
    modules = {type(component).__module__ for part in parts for component in components(part)}
    files = [importlib.import_module(module).__file__ for module in modules]
    return PromptLibrary(tuple(sorted({folder_of(file) for file in files if file})))


def folder_of(python_file: str) -> Path:
    """The folder of a Python file's templates and data: `prompts/NAME` next to the file, or else the file's folder."""
    path = Path(python_file)
    own = path.parent / "prompts" / path.stem
    return own if own.is_dir() else path.parent


@lru_cache(maxsize=32)
def read_data(path: Path) -> Json:
    """The content of a YAML file of data for templates, such as exemplars."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=8)
def _environment(folders: tuple[Path, ...]) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([str(folder) for folder in folders]),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # prompts are plain text, never HTML
    )


def _shown_exemplars(task: Task, exemplars: tuple[Exemplar, ...]) -> tuple[dict[str, str], ...]:
    return tuple(
        {"shown": task.show(exemplar.as_question()), "rationale": exemplar.rationale, "answer": exemplar.answer}
        for exemplar in exemplars
    )
