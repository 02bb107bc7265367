"""Two teachers in one cell: one writes the texts, the other shows its distributions behind prompts of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.axes.annotation import HumanLabels
from benchmark.cell.cell import Cell
from benchmark.cell.identity import cell_id, identity
from benchmark.contract import StepModel, StepState
from benchmark.errors import ConfigError, ModelError
from benchmark.evaluation.accuracy import evaluate
from benchmark.planning.checks import check
from benchmark.run_cell import run_cell
from benchmark.running.cell_models import load_distribution_teacher
from benchmark.running.model_card import sources
from benchmark.student.batch import MicroBatch
from methods.white_box import WhiteBox
from tests.cells import Silent
from tests.corridor.corridor_parts import UNSEEN, Ran, miniature, run
from tests.rehearsals.tensor_parts import Around, live_teacher, model_folder
from tests.student.student_parts import characters

SMALL = ("student.max_new_tokens=8", "dataset.test_size=6")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("models") / "white_box")


def slot(folder: Path) -> tuple[str, ...]:
    return (
        "distribution_teacher=pretrained",
        f"distribution_teacher.path={folder}",
        "distribution_teacher.name=white_box",
        "distribution_teacher.max_new_tokens=8",
    )


def cell_of(folder: Path, *overrides: str, loss: Any = None, **parts: Any) -> Cell:
    return miniature(*slot(folder), *SMALL, *overrides, loss=loss or WhiteBox(distillation_weight=0.5), **parts)


# --- what reads what -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparing(Around):
    """Keeps what the loss reads of the teacher, beside the teacher's own word on the same texts."""

    pairs: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list, metadata=UNSEEN)

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Any:
        teacher = state.frozen["teacher"]
        on_tensors = -teacher.negative_log_likelihoods(teacher.hidden(batch), batch.tokens)
        as_text = [number for row in teacher.target_log_probabilities(batch.examples) for number in row]
        self.pairs.append((on_tensors, torch.tensor(as_text)))
        return super().values(batch, student, state)


@pytest.mark.parametrize("student", ["tiny", "tiny_t5"])
def test_the_loss_reads_the_teacher_on_its_own_prompts_whatever_the_student_is(
    folder: Path, tmp_path: Path, student: str
) -> None:
    comparing = Comparing(WhiteBox(distillation_weight=0.5))
    run(cell_of(folder, f"student={student}", loss=comparing), tmp_path)
    assert len(comparing.pairs) >= 6
    for on_tensors, as_text in comparing.pairs:
        assert torch.allclose(on_tensors, as_text, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def ran(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(cell_of(folder), tmp_path_factory.mktemp("ran"))


def test_one_teacher_writes_and_the_other_is_read(ran: Ran, folder: Path) -> None:
    assert {row["source"] for row in ran.table("annotations")} == {"simulated"}
    [round_] = ran.result["rounds"]
    assert round_["charged"]["teacher"]["calls"] == round_["annotated"]  # texts alone are bought
    assert round_["computed"]["teacher/training"]["prompt_tokens"] > 0
    read = ran.cell_run.models.frozen["teacher"].model.network
    assert read.config.hidden_size == load_distribution_teacher(cell_of(folder)).network.config.hidden_size == 32


def test_its_accuracy_is_measured_as_the_students_is(ran: Ran, folder: Path) -> None:
    cell = ran.cell_run.cell
    test = cell.dataset.load().test
    test.unseal()
    model = load_distribution_teacher(cell)
    again = evaluate(model, test.open(), cell.method.format, cell.dataset.task, cell.evaluation.max_new_tokens)
    assert ran.result["teacher_reference"] == {
        "split": "test", "metric": "accuracy", "value": again.accuracy,
        "flexible_value": again.flexible_accuracy, "n": 6, "of": 6, "distributions_of": "white_box",
    }  # fmt: skip
    assert "teacher/annotation" not in ran.result["rounds"][0]["computed"]


def test_a_teacher_that_knows_the_students_format_is_an_upper_bound(tmp_path: Path) -> None:
    """The student of a finished cell as the teacher of another: its score is the score of its own record."""
    made = miniature("method=gold_answers", "format=answer_only", *SMALL, "trainer.save_student=true")
    done = run_cell(replace(made, results_dir=str(tmp_path)), Silent())
    assert done.status == "complete", done.message
    own = json.loads((tmp_path / done.cell_id / "record.json").read_text())
    student = tmp_path / done.cell_id / "student"
    cell = cell_of(student, "method=gold_answers", "format=answer_only", "distribution_teacher.max_length=192")
    check(cell)
    taught = run_cell(replace(cell, results_dir=str(tmp_path)), Silent())
    record = json.loads((tmp_path / taught.cell_id / "record.json").read_text())
    assert record["teacher_reference"]["value"] == own["test"][0]["value"]
    assert record["teacher_reference"]["flexible_value"] == own["test"][0]["flexible_value"]
    [known] = record["prerequisites"]
    assert (known["slot"], known["cell_id"]) == ("distribution_teacher", own["cell_id"])


@pytest.mark.parametrize(("paid", "measured"), [("false", False), ("true", True)])
def test_a_teacher_in_its_usual_slot_is_measured_where_its_texts_would_be(
    folder: Path, tmp_path: Path, paid: str, measured: bool
) -> None:
    overrides = (*live_teacher(folder), *SMALL, f"evaluation.paid_teacher_accuracy={paid}")
    done = run(
        miniature(*overrides, annotation=HumanLabels(), format=answers(), loss=WhiteBox(distillation_weight=0.5)),
        tmp_path,
    )
    reference = done.result["teacher_reference"]
    assert (reference is not None) == measured
    assert reference is None or reference["distributions_of"] == "transformers"


def answers() -> Any:
    from benchmark.axes.format import AnswerOnly

    return AnswerOnly()


def test_the_card_names_both(ran: Ran) -> None:
    found = {source.role: source.name for source in sources(ran.cell_run.cell, ["simulated"])}
    assert found["teacher"] == "simulated"
    assert found["teacher whose distributions it learnt from"] == "white_box"


# --- identity --------------------------------------------------------------------------------------------------------


def test_a_cell_without_one_keeps_its_id(folder: Path) -> None:
    plain = miniature(loss=WhiteBox(distillation_weight=0.5))
    assert not {"distribution_teacher"} & (identity(plain).keys() | identity(plain)["content"].keys())


def test_one_that_no_loss_reads_changes_nothing(folder: Path) -> None:
    assert cell_id(miniature(*slot(folder))) == cell_id(miniature())
    assert miniature(*slot(folder)).own_distribution_teacher is None


def test_its_weights_count_and_its_folder_does_not(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "moved").symlink_to(folder)
    assert cell_id(cell_of(folder)) == cell_id(cell_of(tmp_path / "moved"))
    assert cell_id(cell_of(folder)) != cell_id(cell_of(model_folder(tmp_path / "other", seed=6)))


def test_a_text_teacher_that_nobody_asks_is_left_out(folder: Path) -> None:
    labels = {"annotation": HumanLabels(), "format": answers()}
    assert not cell_of(folder, **labels).asks_teacher
    assert cell_id(cell_of(folder, **labels)) == cell_id(cell_of(folder, "teacher.seed=9", **labels))


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_loss_without_any_model_in_this_process_is_refused_with_both_ways_out() -> None:
    with pytest.raises(ConfigError, match=r"or let it write the texts and give distribution_teacher=pretrained"):
        check(miniature(loss=WhiteBox(distillation_weight=0.5)))


def test_other_tokens_are_refused_with_both_sizes(tmp_path: Path) -> None:
    tokenizer = characters()
    tokenizer.add_tokens(["<think>"])
    other = model_folder(tmp_path / "other", more_rows=1, tokenizer=tokenizer)
    with pytest.raises(ModelError, match=r"distribution_teacher=white_box and student=tiny .*\(101 and 100 tokens"):
        check(cell_of(other))


def test_a_missing_path_and_folder_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"distribution_teacher=pretrained needs a model: give distribution_teacher"):
        check(miniature("distribution_teacher=pretrained", loss=WhiteBox(distillation_weight=0.5)))
    with pytest.raises(ModelError, match=r"distribution_teacher\.path=.*nowhere"):
        check(cell_of(tmp_path / "nowhere"))
