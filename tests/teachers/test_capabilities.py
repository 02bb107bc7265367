"""A teacher of another package: what it declares decides what it may be asked, never its class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.cell.cell import Cell
from benchmark.cell.sources import distribution_teacher
from benchmark.errors import ConfigError
from benchmark.planning.checks import check
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.in_process import TransformersTeacher
from benchmark.teachers.teacher import Capabilities, OpenTeacher, Price, Teacher
from methods.honey.annotation import CritiqueRevision
from tests.corridor.corridor_parts import run
from tests.rehearsals.tensor_parts import model_folder

HONEST = Capabilities(shows_probabilities=True, shows_distributions=True)


@dataclass(frozen=True)
class ForeignTeacher:
    """Shares no class with the teachers of the benchmark; a model behind it does the work."""

    model_behind: TransformersTeacher
    capabilities: Capabilities = field(default=HONEST, metadata={"identity": False})
    name: str = "foreign"
    price: Price = field(default=Price(), metadata={"identity": False})
    roles: None = None
    stored: bool = False
    concurrency: int = 4

    @property
    def source(self) -> Any:
        return self.model_behind.source

    def model(self) -> Any:
        return self.model_behind.model()

    def open(self, dataset: Dataset) -> OpenTeacher:
        return self.model_behind.open(dataset)

    def fingerprint(self, dataset: Dataset) -> str:
        return self.model_behind.fingerprint(dataset)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model") / "teacher")


@pytest.fixture
def taught(cell: Callable[..., Cell], miniature: tuple[str, ...], model: Path, tmp_path: Path) -> Callable[..., Cell]:
    """A cell of contrastive decoding whose teacher is foreign."""

    def of(capabilities: Capabilities = HONEST) -> Cell:
        wanted = ("method=rationale_then_answer", "annotation=contrastive_decoding", "dataset=trait_choice")
        small = ("teacher=transformers", f"teacher.path={model}", "annotation.max_new_tokens=6", "budget.questions=2")
        made = cell((*miniature, *wanted, *small, f"results_dir={tmp_path}"))
        assert isinstance(made.teacher, TransformersTeacher)
        return replace(made, teacher=ForeignTeacher(made.teacher, capabilities))

    return of


def test_it_is_a_teacher(taught: Callable[..., Cell]) -> None:
    assert isinstance(taught().teacher, Teacher)


def test_one_that_shows_probabilities_writes_against_a_contrast(taught: Callable[..., Cell], tmp_path: Path) -> None:
    made = taught()
    check(made)
    rows = run(made, tmp_path / "folder").table("annotations")
    assert len(rows) == 2
    assert {row["source"] for row in rows} == {"foreign"}


def test_one_that_does_not_is_refused(taught: Callable[..., Cell]) -> None:
    with pytest.raises(ConfigError, match="teacher=foreign answers in text only; choose teacher=transformers"):
        check(taught(replace(HONEST, shows_probabilities=False)))


def test_one_that_shows_distributions_is_compared_with(taught: Callable[..., Cell]) -> None:
    made = taught()
    assert distribution_teacher(made) is made.teacher
    with pytest.raises(ConfigError, match="compares the student with the teacher's distribution, but teacher=foreign"):
        distribution_teacher(taught(replace(HONEST, shows_distributions=False)))


def test_one_that_begins_every_reply_anew_is_not_asked_to_go_on(taught: Callable[..., Cell]) -> None:
    def revising(capabilities: Capabilities) -> Cell:
        made = taught(capabilities)
        return replace(made, method=replace(made.method, annotation=CritiqueRevision()))

    with pytest.raises(ConfigError, match="cannot continue a reply that is begun"):
        check(revising(replace(HONEST, continues_replies=False)))
    check(revising(HONEST))
