"""Distilling Step-by-Step: equation 3 in the released code's form, down to gradients; one group per question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml

from benchmark.axes.format import AnswerOnly
from benchmark.axes.loss import CrossEntropy
from benchmark.config import build
from benchmark.contract import Format, StepState
from benchmark.evaluation.accuracy import evaluate
from benchmark.student.batch import MicroBatch, collate
from benchmark.student.load import load_student
from benchmark.student.settings import TrainerSettings
from benchmark.student.source import StudentSource
from benchmark.student.student import Student
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.types import Annotation, Example, Question, Reply, Request, TrainingExample
from methods.step_by_step import StepByStepFormat

CONF = Path(__file__).resolve().parents[2] / "conf"
TASK = GeneratedAnswer()
QUESTIONS = [Question(f"q{i}", text) for i, text in enumerate(("4+3-5", "1+1+1+1", "9-2+1-6+3", "8-1-1"))]
RATIONALES = ("4+3=7;7-5=2", "1+1=2;2+1=3;3+1=4", "9-2=7;7+1=8;8-6=2;2+3=5", "8-1=7;7-1=6")
ANSWERS = ("2", "4", "5", "6")
ROWS = [
    Annotation(question, "rationale", "teacher", rationale, answer)
    for question, rationale, answer in zip(QUESTIONS, RATIONALES, ANSWERS, strict=True)
]


@pytest.fixture(scope="module")
def student() -> Student:
    node = yaml.safe_load((CONF / "student" / "tiny.yaml").read_text())
    small = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "layers": 1,
        "attention_heads": 2,
        "max_length": 96,
        "max_new_tokens": 32,
    }
    source = build({**node, **small}, "student", StudentSource)
    return load_student(source, 1, TrainerSettings(accelerator="cpu"), "32-true")


def loss_and_gradient(
    student: Student,
    form: Format,
    examples: Sequence[TrainingExample] | None = None,
    micro_batch_tokens: int = 10_000,
) -> tuple[float, dict[str, float], torch.Tensor]:
    """(loss, loss per term, gradient as one vector) of one optimiser step as the engine builds it."""
    loss = CrossEntropy()
    drawn = form.examples(ROWS, TASK) if examples is None else examples
    terms = loss.terms(form.terms(), {})
    step = collate(student.encoder.examples(drawn), terms, student.padding_id, micro_batch_tokens)
    student.network.zero_grad()
    values: dict[str, float] = {}
    for batch in step.micro_batches:
        of_terms = loss.values(batch, student, cast(StepState, None))
        torch.stack(list(of_terms.values())).sum().backward()
        for name, value in of_terms.items():
            values[name] = values.get(name, 0.0) + float(value.detach())
    gradient = torch.cat([w.grad.flatten() for w in student.network.parameters() if w.grad is not None])
    return sum(values.values()), values, gradient.clone()


def tasks_of(examples: Sequence[TrainingExample], task: str) -> list[TrainingExample]:
    return [example for example in examples if example.task == task]


def test_alpha_one_is_label_only_training_on_the_same_batch(student: Student) -> None:
    both = StepByStepFormat(alpha=1.0)
    labels = tasks_of(both.examples(ROWS, TASK), "label")
    whole, _, gradient = loss_and_gradient(student, both)
    alone, _, expected = loss_and_gradient(student, both, labels)
    assert whole == pytest.approx(alone, rel=1e-6)
    assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-7)
    assert float(gradient.norm()) > 0.01
    # The same as plain answers behind the label prefix, computed by another format.
    prefixed = [TrainingExample(e.group, "answer", e.prompt, e.target, annotations=e.annotations) for e in labels]
    plain, _, plain_gradient = loss_and_gradient(student, AnswerOnly(), prefixed)
    assert plain == pytest.approx(whole, rel=1e-6)
    assert torch.allclose(plain_gradient, gradient, rtol=1e-4, atol=1e-7)


def test_alpha_zero_is_rationale_only(student: Student) -> None:
    both = StepByStepFormat(alpha=0.0)
    rationales = tasks_of(both.examples(ROWS, TASK), "rationale")
    whole, _, gradient = loss_and_gradient(student, both)
    alone, _, expected = loss_and_gradient(student, both, rationales)
    assert whole == pytest.approx(alone, rel=1e-6)
    assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-7)
    _, _, of_labels = loss_and_gradient(student, StepByStepFormat(alpha=1.0))
    assert not torch.allclose(gradient, of_labels, rtol=1e-2, atol=1e-4)


def test_loss_and_gradient_are_linear_in_alpha(student: Student) -> None:
    rationale_only, _, at_zero = loss_and_gradient(student, StepByStepFormat(alpha=0.0))
    label_only, _, at_one = loss_and_gradient(student, StepByStepFormat(alpha=1.0))
    assert abs(label_only - rationale_only) > 1e-3
    for alpha in (0.1, 0.25, 0.5, 0.9):
        loss, _, gradient = loss_and_gradient(student, StepByStepFormat(alpha=alpha))
        assert loss == pytest.approx(alpha * label_only + (1 - alpha) * rationale_only, rel=1e-6)
        assert torch.allclose(gradient, alpha * at_one + (1 - alpha) * at_zero, rtol=1e-4, atol=1e-7)


def reference_mean(student: Student, examples: Sequence[TrainingExample]) -> float:
    """Mean cross-entropy per target token, EOS included, one example at a time, without the engine's batching."""
    from torch.nn.functional import cross_entropy

    total, tokens = 0.0, 0
    for example in examples:
        [prompt] = student.encoder.prompts([example.prompt])
        target = student.tokenizer(example.target_text, add_special_tokens=False)["input_ids"]
        target = [*target, student.tokenizer.eos_token_id]
        ids = torch.tensor([[*prompt, *target]])
        with torch.no_grad():
            logits = student.network(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
        total += float(cross_entropy(logits, torch.tensor(target), reduction="sum"))
        tokens += len(target)
    return total / tokens


@pytest.mark.parametrize("micro_batch_tokens", [1, 90, 10_000])
def test_each_task_is_a_mean_over_its_own_tokens_however_the_step_is_cut(
    student: Student, micro_batch_tokens: int
) -> None:
    form = StepByStepFormat(alpha=0.3)
    examples = form.examples(ROWS, TASK)
    _, values, gradient = loss_and_gradient(student, form, micro_batch_tokens=micro_batch_tokens)
    assert values["label"] == pytest.approx(0.3 * reference_mean(student, tasks_of(examples, "label")), rel=1e-5)
    rationale = reference_mean(student, tasks_of(examples, "rationale"))
    assert values["rationale"] == pytest.approx(0.7 * rationale, rel=1e-5)
    _, _, whole = loss_and_gradient(student, form)
    assert torch.allclose(gradient, whole, rtol=1e-4, atol=1e-7)


def test_longer_rationales_do_not_drown_the_labels(student: Student) -> None:
    """The label term does not depend on how long the rationales are; in one token mean it would."""
    _, short, _ = loss_and_gradient(student, StepByStepFormat())
    longer = [Annotation(row.question, row.kind, row.source, f"{row.rationale};" * 3, row.answer) for row in ROWS]
    _, long, _ = loss_and_gradient(student, StepByStepFormat(), StepByStepFormat().examples(longer, TASK))
    assert short["label"] == pytest.approx(long["label"], rel=1e-6)
    assert short["rationale"] != pytest.approx(long["rationale"], rel=1e-3)


@pytest.mark.parametrize("micro_batch_tokens", [1, 60, 130, 10_000])
def test_label_and_rationale_of_a_question_are_one_group_and_never_split(
    student: Student, micro_batch_tokens: int
) -> None:
    form = StepByStepFormat()
    examples = form.examples(ROWS, TASK)
    assert [example.group for example in examples] == [row.question.id for row in ROWS for _ in range(2)]
    apart = [*tasks_of(examples, "label"), *tasks_of(examples, "rationale")]
    step = collate(student.encoder.examples(apart), form.terms(), student.padding_id, micro_batch_tokens)
    seen: list[str] = []
    for batch in step.micro_batches:
        of_group: dict[str, set[str]] = {}
        for example in batch.examples:
            of_group.setdefault(example.group, set()).add(example.task)
        assert all(tasks == {"label", "rationale"} for tasks in of_group.values())
        seen += of_group
    assert sorted(seen) == sorted(row.question.id for row in ROWS)
    assert len(step.micro_batches) == (len(ROWS) if micro_batch_tokens == 1 else len(step.micro_batches))


def targets(examples: Sequence[TrainingExample]) -> Mapping[str, list[str]]:
    return {task: [e.target_text for e in tasks_of(examples, task)] for task in ("label", "rationale")}


def test_the_human_label_setting_uses_gold_labels_with_the_teachers_rationales() -> None:
    """Whatever the teacher answered: its rationale stays where its own label is wrong or missing (section A2)."""
    question = QUESTIONS[0]
    gold = Annotation(question, "gold", "human", "human rationale", "2")
    for said in ("7", None):
        teacher = Annotation(question, "rationale", "teacher", "4+3=7", said)
        form = StepByStepFormat(labels="human")
        assert targets(form.examples([teacher, gold], TASK)) == {"label": ["2"], "rationale": ["4+3=7"]}
        by_teacher = StepByStepFormat(labels="teacher").examples([teacher, gold], TASK)
        assert targets(by_teacher) == {"label": [] if said is None else ["7"], "rationale": ["4+3=7"]}
    assert form.requires().annotation_kinds == {"rationale", "gold"}
    assert StepByStepFormat().requires().annotation_kinds == {"rationale"}


def test_replies_that_give_only_one_of_the_two_still_give_that_one() -> None:
    form = StepByStepFormat()
    only_answer = Annotation(QUESTIONS[0], "rationale", "teacher", None, "2")
    only_rationale = Annotation(QUESTIONS[1], "rationale", "teacher", "1+1=2", None)
    assert targets(form.examples([only_answer, only_rationale], TASK)) == {"label": ["2"], "rationale": ["1+1=2"]}
    assert targets(form.examples([Annotation(QUESTIONS[0], "rationale", "t", "", None)], TASK)) == {
        "label": [],
        "rationale": [],
    }


def test_a_step_without_labels_is_still_a_step(student: Student) -> None:
    rationales = tasks_of(StepByStepFormat().examples(ROWS, TASK), "rationale")
    loss, values, _ = loss_and_gradient(student, StepByStepFormat(), rationales)
    assert set(values) == {"rationale"}
    assert loss == pytest.approx(0.5 * reference_mean(student, rationales), rel=1e-5)


def test_the_prefixes_tell_the_tasks_apart() -> None:
    form = StepByStepFormat(label_prefix="[label] ", rationale_prefix="[rationale] ")
    label, rationale = form.examples(ROWS[:1], TASK)
    assert (label.prompt, rationale.prompt) == ("[label] 4+3-5", "[rationale] 4+3-5")
    assert form.request(QUESTIONS[0], "answer", TASK).prompt == label.prompt
    assert form.request(QUESTIONS[0], "explain", TASK).prompt == rationale.prompt
    with pytest.raises(ValueError, match="label_prefix and rationale_prefix"):
        StepByStepFormat(label_prefix="go: ", rationale_prefix="go: ")


def test_the_defaults_are_those_of_the_released_code() -> None:
    form = StepByStepFormat()
    assert (form.label_prefix, form.rationale_prefix, form.alpha) == ("predict: ", "explain: ", 0.5)
    assert {name: term.coefficient for name, term in form.terms().items()} == {"label": 0.5, "rationale": 0.5}
    assert {term.per for term in form.terms().values()} == {"token"}


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_outside_zero_and_one_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        StepByStepFormat(alpha=alpha)


def test_only_the_label_task_runs_at_test() -> None:
    asked: list[Request] = []

    class Parrot:
        def generate(
            self, requests: Sequence[Request], samples: int = 1, key: str = "", advance: Any = None
        ) -> list[list[Reply]]:
            asked.extend(requests)
            return [[Reply("2", "stop", 9, 1)] for _ in requests]

    examples = [Example("a", "4+3-5", "2"), Example("b", "1+1+1", "3")]
    evaluation = evaluate(cast(Student, Parrot()), examples, StepByStepFormat(), TASK)
    assert [(request.role, request.prompt) for request in asked] == [
        ("answer", "predict: 4+3-5"),
        ("answer", "predict: 1+1+1"),
    ]
    assert evaluation.accuracy == 0.5
    assert [p.completion_tokens for p in evaluation.predictions] == [1, 1]


def test_the_batch_counts_questions_not_rows(student: Student) -> None:
    form = StepByStepFormat()
    step = collate(student.encoder.examples(form.examples(ROWS, TASK)), form.terms(), student.padding_id, 10_000)
    [batch] = step.micro_batches
    assert isinstance(batch, MicroBatch)
    assert len(batch.examples) == 2 * len(ROWS)
    assert int(batch.group_of.max()) + 1 == len(ROWS)
