"""Prompt templates (Jinja2), one file per role. A method keeps its own beside its Python file."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import jinja2

from benchmark.components import components
from benchmark.contract import Task
from benchmark.errors import ConfigError
from benchmark.tasks.dataset import Dataset, Exemplar
from benchmark.teachers.replies import ANSWER_CLAUSE
from benchmark.types import Ask, Json, Question

SHARED_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class PromptLibrary:
    """The templates that a cell may use: those of the folders given, then the shared ones."""

    folders: tuple[Path, ...] = ()

    def render(self, role: str, question: Question, dataset: Dataset, **variables: Json) -> Ask:
        """The request for a role. Raises ConfigError where no template has the role's name."""
        text = self._template(role).render(
            shown=dataset.task.show(question),
            question=question,
            exemplars=_shown_exemplars(dataset.task, dataset.exemplars),
            answer_clause=ANSWER_CLAUSE,
            **variables,
        )
        return Ask(role, text.strip(), question.id)

    def fingerprint(self, role: str) -> str:
        """A hash of the role's template."""
        template = self._template(role)
        return hashlib.sha256(Path(str(template.filename)).read_bytes()).hexdigest()

    def _template(self, role: str) -> jinja2.Template:
        environment = _environment((*self.folders, SHARED_FOLDER))
        try:
            return environment.get_template(f"{role}.j2")
        except jinja2.TemplateNotFound as error:
            searched = ", ".join(str(folder) for folder in (*self.folders, SHARED_FOLDER))
            raise ConfigError(f"no prompt template {role}.j2 in {searched}") from error


def beside(parts: Iterable[object]) -> PromptLibrary:
    """The library of a method: templates beside the Python files of its parts, wrapped ones included, come first."""
    modules = {type(component).__module__ for part in parts for component in components(part)}
    files = [importlib.import_module(module).__file__ for module in modules]
    return PromptLibrary(tuple(sorted({Path(file).parent for file in files if file})))


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
