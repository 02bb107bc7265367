"""The models of one cell: the student, and whatever the method needs beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from benchmark.buying.meter import Supplier, local_models
from benchmark.cell.cell import Cell
from benchmark.cell.sources import distribution_teacher, source_of_distributions
from benchmark.contract import ASSISTANT, STUDENT, Annotator
from benchmark.student.frozen import Frozen, FrozenModelSource, PretrainedAssistant, load_frozen
from benchmark.student.load import load_student
from benchmark.student.source import PretrainedStudent
from benchmark.student.student import Student
from benchmark.tasks.dataset import Dataset
from benchmark.tasks.guard import gold_opened
from benchmark.teachers.local_model import LocalModel
from benchmark.teachers.store import TeacherStore
from benchmark.teachers.store_key import teacher_identity
from benchmark.teachers.stored_teacher import StoredTeacher
from benchmark.teachers.teacher import OpenTeacher, Teacher
from benchmark.types import Usage


@dataclass
class CellModels:
    """The loaded models of a cell, and its opened teachers."""

    student: Student
    """The model that is trained."""
    assistant: LocalModel | None
    """None where the method uses none."""
    frozen: Mapping[str, Frozen]
    """Models whose distributions the loss reads, by the names in `Requirements.distributions`."""
    suppliers: Mapping[str, Supplier]
    """The teachers that the cell asks, by name."""
    store: TeacherStore | None = None
    """Keeps the replies of teachers; None where no teacher's replies cost anything."""
    _counted: dict[str, Usage] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, object]:
        """What another process gets: the models, without teachers that are asked and their store."""
        return {**vars(self), "suppliers": {}, "store": None}

    @property
    def local(self) -> dict[str, LocalModel]:
        """Student and assistant by the name under which an annotator asks them; their text costs no money."""
        return {STUDENT: self.student} | ({ASSISTANT: self.assistant} if self.assistant else {})

    @property
    def counted(self) -> dict[str, LocalModel]:
        """Every model whose tokens and cuts are counted, by name: the local models, and those that the loss reads."""
        models: dict[str, LocalModel] = {name: frozen.model for name, frozen in self.frozen.items()}
        return models | self.local

    def asked_by(self, annotator: Annotator) -> dict[str, LocalModel]:
        """The local models that an annotator says it asks."""
        asked = local_models(annotator)
        return {name: model for name, model in self.local.items() if name in asked}

    def close(self) -> None:
        """Closes the store."""
        if self.store is not None:
            self.store.close()

    def usage_since_last_call(self) -> dict[str, Usage]:
        """By local model the calls and tokens since the last call of this method."""
        now = {name: model.usage for name, model in self.counted.items()}
        since = {name: usage - self._counted.get(name, Usage()) for name, usage in now.items()}
        self._counted = now
        return since


def load_models(cell: Cell, buyer: str = "", say: Callable[[str], None] = lambda line: None) -> CellModels:
    """The models of a cell, weights included. Raises ConfigError for a model that the engine cannot serve.

    `buyer` is the mark of this cell's purchases in the store; `say` receives a line for every damaged row of it.
    """
    needs = cell.needs
    assistant = load_assistant(cell)
    frozen: dict[str, Frozen] = {}
    student = load_student(cell.student, cell.seed, cell.trainer, cell.optimization.precision)
    for name in sorted(needs.distributions):
        model = assistant if name == ASSISTANT else load_distribution_teacher(cell)
        assert isinstance(model, Student)  # the plan refuses an assistant that shows no distributions
        frozen[name] = Frozen(model, len(student.tokenizer), _source(name, cell).fingerprint())
    suppliers, store = open_teachers(cell, buyer, say)
    return CellModels(student, assistant, frozen, suppliers, store)


def _source(name: str, cell: Cell) -> PretrainedStudent:
    """Where the weights of a frozen model lie."""
    assistant = cell.used_assistant
    return (
        assistant if isinstance(assistant, PretrainedAssistant) and name == ASSISTANT else source_of_distributions(cell)
    )


def open_teachers(
    cell: Cell, buyer: str, say: Callable[[str], None]
) -> tuple[Mapping[str, Supplier], TeacherStore | None]:
    """The teachers that the cell asks, ready to answer, and the store where one of them needs it."""
    opened = {name: teacher.open(cell.dataset) for name, teacher in cell.asked_teachers.items()}
    store = TeacherStore(cell.store, say) if cell.needs_store else None
    suppliers = {
        name: supplier_of(opened[name], teacher, store, cell.dataset, buyer)
        for name, teacher in cell.asked_teachers.items()
    }
    return suppliers, store


def supplier_of(
    opened: OpenTeacher, teacher: Teacher, store: TeacherStore | None, dataset: Dataset, buyer: str
) -> Supplier:
    """The opened teacher, behind the store where its replies cost something to get."""
    able = teacher.capabilities
    at_once = teacher.concurrency + able.waiting_requests
    if store is None or not teacher.stored:
        return Supplier(opened, teacher.price, at_once, thinking=able.thinking)
    identity = teacher_identity(teacher, dataset)
    stored = StoredTeacher(opened, identity, teacher.name, store, buyer, able.samples_share_a_request)
    return Supplier.behind_store(stored, teacher.price, at_once, able.thinking)


def load_assistant(cell: Cell) -> LocalModel | None:
    """The cell's assistant; None where it uses none."""
    source = cell.used_assistant
    if source is None:
        return None
    if not isinstance(source, PretrainedAssistant):
        with gold_opened():  # a part may be the first to use it, and it knows the answers
            return source.assist(cell.dataset)
    return _own(_loaded(source, cell), cell.data_seed)  # what it samples does not depend on the student


def load_distribution_teacher(cell: Cell) -> Student:
    """The model whose distributions the loss reads as the teacher's. Raises ConfigError if there is none."""
    own = cell.own_distribution_teacher
    return _own(distribution_teacher(cell).model() if own is None else _loaded(own, cell), cell.seed)


def _loaded(source: FrozenModelSource, cell: Cell) -> Student:
    """The model of a slot beside the student, with the student's device, batch size and precision."""
    device, batch_size = cell.trainer.accelerator, cell.trainer.evaluation_batch_size
    return load_frozen(source.settled(), source.fingerprint(), 0, device, batch_size, cell.optimization.precision)


def _own(model: Student, seed: int) -> Student:
    """The same network with its own counts, and random numbers from `seed`."""
    return replace(model, seed=seed, counters=Counter(), usage=Usage())
