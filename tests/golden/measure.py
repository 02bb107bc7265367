"""A golden run: one short training of a preset, told in the numbers that a change of the engine would move."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.loggers import Logger

import benchmark
from benchmark.app import CONF
from benchmark.cell.cell import Cell
from benchmark.conformance.miniature import frozen_teacher, text_teacher
from benchmark.corridor import CellRun
from benchmark.errors import ConfigError
from benchmark.planning.checks import check
from benchmark.random_streams import stream
from benchmark.records.journal import Journal
from benchmark.records.record import CellFolder
from benchmark.running.isolation import isolated
from benchmark.teachers.simulated import SimulatedTeacher
from benchmark.teachers.teacher import Price
from benchmark.types import Annotation, Example
from tests.cells import Silent
from tests.corridor.corridor_parts import miniature

# Every setting is pinned, so that another default in `conf/` moves no number here. A step has several micro-batches of
# unequal size (seven groups are cut unevenly even where all rows are equally long), a pass drops what fills no batch,
# gradients are clipped, and the learning rate warms up and decays.
SETTINGS = (
    "seed=1",
    "data_seed=0",
    "dataset.pool_size=60",
    "dataset.validation_size=20",
    "dataset.test_size=4",
    "budget.questions=27",
    "budget.calls=null",
    "budget.tokens=null",
    "budget.usd=null",
    "student=tiny",
    "student.hidden_size=32",
    "student.intermediate_size=64",
    "student.layers=2",
    "student.attention_heads=2",
    "student.initializer_range=0.1",
    "student.max_length=192",
    "student.max_new_tokens=24",
    "optimization.max_steps=40",
    "optimization.batch_size=7",
    "optimization.learning_rate=1e-2",
    "optimization.warmup_fraction=0.1",
    "optimization.weight_decay=0.1",
    "optimization.beta1=0.9",
    "optimization.beta2=0.99",
    "optimization.gradient_clip=1.0",
    "optimization.precision=32-true",
    "evaluation.max_new_tokens=null",
    "evaluation.validation_size=null",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.micro_batch_tokens=200",
    "trainer.evaluation_batch_size=8",
    "trainer.log_every_n_steps=6",
    "trainer.save_student=false",
)
SIMULATED = SimulatedTeacher(
    wrong_step_rate=0.05,
    wrong_answer_rate=0.05,
    malformed_rate=0.05,
    empty_rate=0.05,
    price=Price(usd_per_million_prompt_tokens=1.0, usd_per_million_completion_tokens=3.0),
)
DECAYS = ("cosine", "linear")
"""By the length of the dataset's name, so that both are seen: cosine on trait_choice, linear on chain_sum."""
SCORED = 8
"""How many validation questions the trained student is scored on."""


def presets() -> tuple[str, ...]:
    """Every method on disk."""
    return tuple(sorted(path.stem for path in (CONF / "method").glob("*.yaml")))


def dataset_for(method: str) -> str:
    """The generated dataset of a preset without a golden run; the words in their names spread the presets over them.

    A preset that cannot work with its dataset takes the next. Raises ConfigError where it can work with none.
    """
    files = sorted((CONF / "dataset").glob("*.yaml"))
    generated = [path.stem for path in files if "generator" in yaml.safe_load(path.read_text(encoding="utf-8"))]
    first, refusals = method.count("_") % len(generated), []
    for dataset in (*generated[first:], *generated[:first]):
        try:
            check(golden_cell(method, dataset))
        except ConfigError as refusal:
            refusals.append(str(refusal))
        else:
            return dataset
    raise ConfigError(f"no generated dataset suits method={method}: {'; '.join(refusals)}")


def golden_cell(method: str, dataset: str, *overrides: str) -> Cell:
    """The cell of a preset's golden run, with some of its settings overridden."""
    decay = f"optimization.decay={DECAYS[len(dataset) % len(DECAYS)]}"
    # Assistant and distribution teacher are no part of a cell whose method does not use them.
    models = ("assistant=simulated", *text_teacher(CONF, method), *frozen_teacher())
    cell = miniature(f"method={method}", f"dataset={dataset}", *models, decay, *SETTINGS, *overrides)
    return replace(cell, teacher=SIMULATED) if isinstance(cell.teacher, SimulatedTeacher) else cell


class Curves(Logger):
    """Keeps what training logs, by round and step."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds: list[dict[int, dict[str, float]]] = [{}]

    @property
    def name(self) -> str:
        return "curves"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if "validation/accuracy" in metrics:  # a round has ended
            self.rounds.append({})
        elif any(name.startswith("train/") for name in metrics):  # the books at a round's end are measured apart
            values = {name.removeprefix("train/"): value for name, value in metrics.items()}
            self.rounds[-1][step or 0] = {n: value for n, value in values.items() if not n.startswith("monitor/")}

    def by_step(self) -> dict[str, dict[str, float]]:
        """`round R step S` -> name -> value."""
        return {
            f"round {number} step {step}": {name: short(value) for name, value in values.items()}
            for number, steps in enumerate(self.rounds)
            for step, values in steps.items()
        }


def measure(method: str, dataset: str, *overrides: str) -> dict[str, Any]:
    """The numbers of a preset's golden run; `overrides` make it another one, to see what notices."""
    cell, curves = golden_cell(method, dataset, *overrides), Curves()
    with tempfile.TemporaryDirectory() as folder, isolated():
        journal = Journal.open(Path(folder), "golden", print)
        experiment = CellRun(cell, CellFolder(Path(folder), "golden"), journal, Silent(), [curves])
        result = experiment.run().as_json()
        return {
            "engine_version": benchmark.ENGINE_VERSION,
            "dataset": dataset,
            "bought": list(dict.fromkeys(row.question.id for row in experiment.state.annotations)),
            "rounds": [
                {
                    "annotated": row["annotated"],
                    "charged": {source: _entry(entry) for source, entry in row["charged"].items()},
                    "validation_accuracy": row["validation"]["accuracy"],
                }
                for row in result["rounds"]
            ],
            "train": {name: result["train"][name] for name in ("optimiser_steps", "tokens", "response_tokens")},
            "curves": curves.by_step(),
            "log_probability": dict(_log_probabilities(experiment)),
        }


def _entry(entry: Mapping[str, float]) -> dict[str, float]:
    return entry | {"usd": short(entry["usd"])}  # type: ignore[operator,no-any-return]


def _log_probabilities(run: CellRun) -> Iterator[tuple[str, float]]:
    """Per task of the format the mean over the target tokens of the first validation questions, worked solutions."""
    cell = run.cell
    rows = cell.dataset.load().validation[:SCORED]
    notes = [note for row in rows for note in _worked(row)]
    examples = cell.method.format.examples(notes, cell.dataset.task, partial(stream, "golden"))
    assert examples, "the format makes no training example of a worked solution, so that there is nothing to score"
    scores = run.student.target_log_probabilities(examples)
    for task in sorted({example.task for example in examples}):
        of_task = [
            value for example, row in zip(examples, scores, strict=True) if example.task == task for value in row
        ]
        yield task, short(sum(of_task) / len(of_task))


def _worked(row: Example) -> Sequence[Annotation]:
    question = row.without_gold()
    return [Annotation(question, kind, "golden", row.rationale, row.answer) for kind in ("rationale", "gold")]


def short(value: float) -> float:
    """Seven digits: more than any tolerance needs."""
    return float(f"{value:.7g}")
