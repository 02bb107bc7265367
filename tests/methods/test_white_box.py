"""A teacher beside the student: its KL down to gradients, padded and foreign vocabularies, precision, and its bill."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.axes.loss import CrossEntropy
from benchmark.cell.cell import Cell
from benchmark.contract import StepModel, StepState
from benchmark.errors import ConfigError
from benchmark.planning.checks import check
from benchmark.student.batch import MicroBatch
from benchmark.student.encoding import EncodedExample
from benchmark.student.source import PretrainedStudent
from benchmark.student.student import Student
from benchmark.types import Term
from methods.white_box import WhiteBox
from tests.corridor.corridor_parts import UNSEEN, DropsAndWeighs, Ran, fingerprint, miniature, run
from tests.rehearsals.tensor_parts import (
    EVERY_STEP,
    ONE_GROUP,
    UNCLIPPED,
    WHOLE_STEP,
    Around,
    TrainedStep,
    WorkedSolutions,
    assert_as_by_hand,
    killed_and_gone_on,
    live_teacher,
    model_folder,
    nats,
    network_in,
    outcome,
    target_logits,
    watched,
    with_loss,
)
from tests.student.student_parts import characters

TAU, WEIGHT = 2.0, 0.7


def cell_of(teacher: Path, *overrides: str, method: str = "step_by_step", loss: Any = None) -> Cell:
    return miniature(
        f"method={method}",
        *live_teacher(teacher),
        *overrides,
        annotation=WorkedSolutions(),
        weighting=DropsAndWeighs(),  # so that weights of examples matter too
        loss=loss or WhiteBox(distillation_weight=WEIGHT, temperature=TAU),
    )


# --- the loss --------------------------------------------------------------------------------------------------------


def slow_kl(student: torch.Tensor, teacher: torch.Tensor, tau: float) -> torch.Tensor:
    """[tokens]: by torch's own function, which takes its arguments the other way round."""
    from torch.nn.functional import kl_div

    ours, theirs = (student / tau).log_softmax(-1), (teacher / tau).softmax(-1)
    return tau**2 * kl_div(ours, theirs, reduction="none").sum(-1)


def by_hand(student: Student, folder: Path, step: TrainedStep, terms: Mapping[str, Term]) -> dict[str, torch.Tensor]:
    """Every term of a step from whole sequences, one at a time, through both networks."""
    teacher, found = network_in(folder), {}
    for name, term in terms.items():
        rows = [row for row in student.encoder.examples(step.examples) if row.example.task in term.tasks]
        hard, soft = zip(*(_of_row(student, teacher, row, step.settings["temperature"]) for row in rows), strict=True)
        share = step.settings["distillation_weight"]
        found[name] = term.coefficient * (1 - share) * torch.cat(hard).mean()
        found[f"{name}/distillation"] = term.coefficient * share * torch.cat(soft).mean()
    return found


def _of_row(student: Student, teacher: Any, row: EncodedExample, tau: float) -> tuple[torch.Tensor, torch.Tensor]:
    ours, theirs = target_logits(student.network, row), target_logits(teacher, row)
    weights = torch.tensor(row.weights)
    return weights * nats(ours, row), weights * slow_kl(ours, theirs[:, : ours.shape[1]], tau)


@pytest.mark.parametrize("cut", [ONE_GROUP, "trainer.micro_batch_tokens=200", WHOLE_STEP])
@pytest.mark.parametrize("method", ["step_by_step", "rationale_then_answer"])
def test_value_and_gradient_of_every_step_are_those_of_whole_sequences(
    teacher: Path, tmp_path: Path, method: str, cut: str
) -> None:
    ran, steps = watched(cell_of(teacher, UNCLIPPED, cut, method=method), tmp_path)
    assert len(steps) == 6
    cuts = {len(step.batches) for step in steps}
    assert {ONE_GROUP: cuts == {4}, WHOLE_STEP: cuts == {1}}.get(cut, max(cuts) in (1, 2, 3))
    assert {len(step.values) for step in steps} == {4 if method == "step_by_step" else 2}
    for step in steps:
        student = step.student(ran)
        terms = ran.cell_run.cell.method.format.terms()
        assert_as_by_hand(step, student, by_hand(student, teacher, step, terms))
        assert all(value > 1e-3 for value in step.values.values())


def test_the_ends_of_the_weight_are_plain_training_and_the_teacher_alone(teacher: Path, tmp_path: Path) -> None:
    plain = run(cell_of(teacher, loss=WhiteBox(distillation_weight=0.0)), tmp_path / "no teacher")
    alone = run(cell_of(teacher, loss=CrossEntropy()), tmp_path / "cross-entropy")
    assert fingerprint(plain.cell_run.student) == fingerprint(alone.cell_run.student)
    _, steps = watched(cell_of(teacher, loss=WhiteBox(distillation_weight=1.0)), tmp_path / "teacher")
    for step in steps:
        assert set(step.values) == {"label/distillation", "rationale/distillation"}
        assert step.values["label/distillation"] > 0


def test_a_student_that_is_the_teacher_has_nothing_to_learn(teacher: Path, tmp_path: Path) -> None:
    same = PretrainedStudent("same", str(teacher), max_length=192, max_new_tokens=8)
    cell = replace(cell_of(teacher, loss=WhiteBox(distillation_weight=1.0)), student=same)
    _, steps = watched(cell, tmp_path)
    assert steps[0].values["label/distillation"] == pytest.approx(0, abs=1e-6)
    assert float(steps[0].gradient.abs().max()) < 1e-5


# --- vocabularies ----------------------------------------------------------------------------------------------------


def test_padded_rows_of_the_teacher_change_nothing(teacher: Path, tmp_path: Path) -> None:
    padded = model_folder(tmp_path / "padded", more_rows=7)
    assert network_in(padded).config.vocab_size == network_in(teacher).config.vocab_size + 7
    runs = [watched(cell_of(folder), tmp_path / f"run {i}") for i, folder in enumerate((teacher, padded))]
    for ours, theirs in zip(runs[0][1], runs[1][1], strict=True):
        assert ours.values == pytest.approx(theirs.values, rel=1e-5)
        assert torch.allclose(ours.gradient, theirs.gradient, rtol=1e-4, atol=1e-7)
    assert runs[0][0].table("predictions") == runs[1][0].table("predictions")


def test_a_teacher_with_more_tokens_is_refused_before_any_work_with_both_sizes(tmp_path: Path) -> None:
    tokenizer = characters()
    tokenizer.add_tokens(["<think>"])
    folder = model_folder(tmp_path / "other", more_rows=1, tokenizer=tokenizer)
    with pytest.raises(ConfigError, match=r"do not share a vocabulary \(101 and 100 tokens, 1 of them different\)"):
        check(cell_of(folder))


def test_a_teacher_with_the_same_tokens_in_another_order_is_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "permuted")
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary["1"], vocabulary["2"] = vocabulary["2"], vocabulary["1"]
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"100 and 100 tokens, 2 of them different"):
        check(cell_of(folder))


def test_a_teacher_that_answers_in_text_only_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r"answers in text only; choose teacher=transformers teacher\.path=FOLDER"):
        check(miniature("method=step_by_step", loss=WhiteBox()))


def test_a_teacher_that_fits_is_accepted(teacher: Path) -> None:
    check(cell_of(teacher))


# --- the teacher itself ----------------------------------------------------------------------------------------------


def test_what_the_teacher_reads_is_booked_and_its_weights_stay(teacher: Path, tmp_path: Path) -> None:
    ran, steps = watched(cell_of(teacher), tmp_path)
    [round_] = ran.result["rounds"]
    booked = round_["computed"]["teacher/training"]
    assert booked["calls"] == sum(len(step.examples) for step in steps)
    assert booked["prompt_tokens"] == ran.result["train"]["tokens"] > 0
    assert booked["completion_tokens"] == 0
    assert set(round_["charged"]) == {"human"}  # to show distributions is no teacher call of the budget
    frozen = ran.cell_run.models.frozen["teacher"].model.network
    for (name, weight), other in zip(frozen.named_parameters(), network_in(teacher).parameters(), strict=True):
        assert torch.equal(weight, other), name
        assert weight.grad is None


@dataclass(frozen=True)
class Comparing(Around):
    """Keeps the teacher's log-probabilities of the targets as tensors and as text."""

    pairs: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list, metadata=UNSEEN)

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        teacher = state.frozen["teacher"]
        on_tensors = torch.log_softmax(teacher.logits(teacher.hidden(batch)), -1).gather(1, batch.tokens[:, None])[:, 0]
        as_text = [number for row in teacher.target_log_probabilities(batch.examples) for number in row]
        self.pairs.append((on_tensors, torch.tensor(as_text)))
        return super().values(batch, student, state)


@pytest.mark.parametrize("precisions", [("bf16-mixed", "32-true"), ("32-true", "bf16-mixed"), ("bf16-mixed",) * 2])
def test_the_teacher_keeps_its_own_precision_whatever_the_students(
    teacher: Path, tmp_path: Path, precisions: Sequence[str]
) -> None:
    ours, theirs = precisions
    overrides = (f"optimization.precision={ours}", f"teacher.precision={theirs}", WHOLE_STEP)
    cell = cell_of(teacher, *overrides)
    comparing = Comparing(cell.method.loss)
    run(with_loss(cell, comparing), tmp_path)
    assert len(comparing.pairs) == 6
    for on_tensors, as_text in comparing.pairs:
        assert on_tensors.dtype == torch.float32
        assert torch.allclose(on_tensors, as_text, rtol=1e-5, atol=1e-5)


def test_bfloat16_trains_to_nearly_the_same_numbers(teacher: Path, tmp_path: Path) -> None:
    _, full = watched(cell_of(teacher), tmp_path / "32")
    ran, half = watched(cell_of(teacher, "optimization.precision=bf16-mixed"), tmp_path / "16")
    for step, other in zip(half, full, strict=True):
        assert step.values == pytest.approx(other.values, rel=0.02)
        assert step.values != other.values
    assert ran.cell_run.student.network.dtype == torch.float32  # the master weights


# --- the same again --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(cell_of(teacher), tmp_path_factory.mktemp("whole"))


def test_two_runs_are_equal_bit_by_bit(teacher: Path, whole: Ran, tmp_path: Path) -> None:
    assert outcome(run(cell_of(teacher), tmp_path)) == outcome(whole)


def test_a_cell_killed_after_any_step_ends_as_if_it_had_not(teacher: Path, whole: Ran, tmp_path: Path) -> None:
    for deaths in ((0,), (5,), (1, 2, 1)):
        again = killed_and_gone_on(lambda: cell_of(teacher, EVERY_STEP), tmp_path / str(deaths), deaths)
        assert outcome(again) == outcome(whole), deaths
