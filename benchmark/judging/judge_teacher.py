"""The teacher that judges: composed as for a cell, checked, and opened behind the teacher store."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.buying.meter import Meter, Supplier
from benchmark.cell.precision import settle_precision
from benchmark.config import build
from benchmark.config_folder import CONF
from benchmark.errors import ConfigError
from benchmark.judging.comparisons import ROLE
from benchmark.records.schema import CompleteRecord
from benchmark.student.settings import Optimization, TrainerSettings
from benchmark.tasks.dataset import Dataset
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.store import TeacherStore
from benchmark.teachers.store_key import teacher_identity
from benchmark.teachers.teacher import OpenTeacher, Teacher
from benchmark.types import Json

GROUPS: Mapping[str, Any] = {"teacher": Teacher, "optimization": Optimization, "trainer": TrainerSettings}
"""The groups of the config that a teacher's settings rest on."""


def composed_teacher(overrides: Sequence[str]) -> Teacher:
    """The teacher that the overrides of a command choose.

    Raises ConfigError for a wrong setting, for several teachers, and for a teacher that takes no free prompt; and what
    composing a config raises.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", list(overrides))
    plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    parts = {name: build(plain[name], name, kind) for name, kind in GROUPS.items()}
    teacher: Teacher = settle_precision(parts)[0]["teacher"]
    if teacher.roles is not None and ROLE not in teacher.roles:
        raise ConfigError(
            f"teacher={teacher.name} cannot judge: it answers only the prompts {', '.join(sorted(teacher.roles))}; "
            "choose teacher=openai_compatible teacher.base_url=URL teacher.model=NAME, or teacher=transformers "
            "teacher.path=FOLDER"
        )
    return teacher


@contextmanager
def opened_meter(
    opened: OpenTeacher, teacher: Teacher, dataset: Dataset, store_path: Path, say: Callable[[str], None]
) -> Iterator[Meter]:
    """A meter that asks the teacher alone, with an empty ledger.

    Replies go through the store where the teacher's replies cost something to get; it is closed at the end.
    """
    from benchmark.running.cell_models import supplier_of  # imports torch, which takes seconds

    store = TeacherStore(store_path, say) if teacher.stored else None
    supplier: Supplier = supplier_of(opened, teacher, store, dataset, uuid.uuid4().hex)
    meter = Meter({teacher.name: supplier}, Ledger(), frozenset({ROLE}))
    try:
        yield meter
    finally:
        if store is not None:
            store.close()


def model_of(teacher: Teacher, dataset: Dataset) -> str:
    """What tells the teacher's model from others: its name on a server, the hash of its weights, or else its name."""
    identity = teacher_identity(teacher, dataset)
    return _model(identity["settings"], identity["content"])


def models_learnt_from(record: CompleteRecord) -> set[str]:
    """The models that a cell learnt from, each as `model_of` says it; empty where it asked no teacher."""
    settings, content = record.identity.get("teacher"), record.identity.get("content", {})
    found = {content["distribution_teacher"]} if "distribution_teacher" in content else set()
    if settings is None:
        return found
    members: Mapping[str, Json] = dict(settings["members"]) if "members" in settings else {settings["name"]: settings}
    return found | {_model(each, content.get(f"teacher {name}", "")) for name, each in members.items()}


def _model(settings: Json, content: str) -> str:
    return str(settings.get("model") or content or settings["name"])
