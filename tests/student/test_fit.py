"""A fit: it equals a plain PyTorch loop, learns, repeats itself, and keeps its weights in float32."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from pytorch_lightning.loggers.logger import Logger

from benchmark.axes.loss import CrossEntropy
from benchmark.student.fit import FitReport, fit, set_threads
from benchmark.student.settings import Optimization, TrainerSettings
from benchmark.student.student import Student
from benchmark.types import Request, Stage, Term, TrainingExample
from tests.student.student_parts import (
    CPU,
    PLAIN,
    TINY,
    Stages,
    characters,
    context_of,
    example,
    fresh_student,
    method_of,
    optimization_of,
    slow_losses,
    sums,
)

LEARNER = replace(TINY, hidden_size=32, intermediate_size=64, max_length=32, max_new_tokens=8)
MIXED = [example(f"q{i}", "x" * (1 + i % 5), "ab" * (1 + i % 4), task="answer") for i in range(8)]


class Kept(Logger):
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    @property
    def name(self) -> str:
        return "kept"

    @property
    def version(self) -> str:
        return "0"

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))

    def of(self, name: str) -> list[float]:
        return [row[name] for _, row in self.rows]


@dataclass(frozen=True)
class WatchedOptimization(Optimization):
    """Keeps the optimisers that it makes."""

    made: list[torch.optim.Optimizer] = field(default_factory=list)

    def optimiser(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        self.made.append(super().optimiser(network))
        return self.made[-1]


@dataclass(frozen=True)
class PlainDescent(Optimization):
    """Gradient descent: its steps grow with the gradient, where AdamW divides a constant factor out again."""

    def optimiser(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(network.parameters(), lr=self.learning_rate)


def train(
    student: Student,
    examples: Sequence[TrainingExample] = MIXED,
    optimization: Optimization | None = None,
    settings: TrainerSettings = CPU,
    method: Any = None,
    loggers: Sequence[Any] = (),
    seed: int = 1,
    advance: Any = lambda steps: None,
) -> FitReport:
    method = method or method_of()
    context = context_of(student, method, seed)
    return fit(
        student,
        examples,
        method,
        context,
        optimization or optimization_of(),
        settings,
        loggers=loggers,
        advance=advance,
    )


def weights_of(student: Student) -> torch.Tensor:
    return torch.cat([weight.detach().ravel() for weight in student.network.parameters()]).clone()


# --- against an independent loop -------------------------------------------------------------------------------------


def test_a_fit_equals_a_plain_loop_of_adamw_over_single_sequences() -> None:
    """Whole batches, so that the order is known: schedule, clipping, weight decay and loss are redone by hand."""
    steps, rate, warmup, decay, clip = 6, 3e-3, 0.3, 0.1, 0.5
    optimization = optimization_of(
        max_steps=steps,
        batch_size=len(MIXED),
        learning_rate=rate,
        warmup_fraction=warmup,
        weight_decay=decay,
        gradient_clip=clip,
    )
    ours, theirs = fresh_student(), fresh_student()
    rows = theirs.encoder.examples(MIXED)
    matrices = [weight for weight in theirs.network.parameters() if weight.ndim >= 2]
    vectors = [weight for weight in theirs.network.parameters() if weight.ndim < 2]
    optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0}])
    for step in range(steps):
        at = (step + 0.5) / steps
        for group in optimiser.param_groups:
            group["lr"] = rate * (at / warmup if at < warmup else (1 - at) / (1 - warmup))
        slow_losses(theirs.network, rows, PLAIN)["all"].backward()
        torch.nn.utils.clip_grad_norm_(theirs.network.parameters(), clip)
        optimiser.step()
        optimiser.zero_grad()
    before = weights_of(ours)
    train(ours, optimization=optimization, settings=replace(CPU, micro_batch_tokens=30))
    assert (weights_of(ours) - before).abs().mean() > 1e-3
    assert torch.allclose(weights_of(ours), weights_of(theirs), atol=2e-5)


# --- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_sixteen_examples_are_learnt_by_heart_with_their_end(pad_is_eos: bool) -> None:
    student = fresh_student(source=LEARNER)
    student.tokenizer = characters(pad_is_eos)
    rows, log = sums(16), Kept()
    optimization = optimization_of(max_steps=160, batch_size=16, learning_rate=1e-2)
    train(student, rows, optimization, replace(CPU, log_every_n_steps=1), loggers=[log])
    replies = [row[0] for row in student.generate([Request("answer", row.prompt, row.group) for row in rows])]
    right = sum(reply.text == row.target_text for reply, row in zip(replies, rows, strict=True))
    assert right >= 15
    assert {reply.finish for reply in replies} == {"stop"}
    losses = log.of("train/loss")
    assert losses[0] == pytest.approx(math.log(len(student.tokenizer)), rel=0.1)  # knows nothing at first
    assert losses[-1] < 0.05 * losses[0]


def test_the_logged_loss_is_the_sum_of_the_logged_terms_before_the_step() -> None:
    rows = [example(f"q{i}", "1", "ab" * (i + 1), task=task) for i, task in enumerate(["answer", "rationale"] * 2)]

    @dataclass(frozen=True)
    class TwoTerms:
        def terms(self) -> Mapping[str, Term]:
            return {"one": Term(frozenset({"answer"})), "two": Term(frozenset({"rationale"}), coefficient=0.5)}

    student, log = fresh_student(), Kept()
    expected = slow_losses(student.network, student.encoder.examples(rows), TwoTerms().terms())
    settings = replace(CPU, log_every_n_steps=1, micro_batch_tokens=8)
    train(student, rows, optimization_of(max_steps=2), settings, method_of(form=TwoTerms()), [log])
    step, first = log.rows[0]
    assert step == 0
    assert first["train/one"] == pytest.approx(expected["one"].item(), rel=1e-4)
    assert first["train/two"] == pytest.approx(expected["two"].item(), rel=1e-4)
    assert first["train/loss"] == pytest.approx(first["train/one"] + first["train/two"])


# --- the same again --------------------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_weights_and_other_seeds_others() -> None:
    one, two, three = fresh_student(), fresh_student(), fresh_student()
    train(one)
    torch.rand(7)  # what the process drew before does not matter
    train(two)
    train(three, seed=2)
    assert torch.equal(weights_of(one), weights_of(two))
    assert not torch.allclose(weights_of(one), weights_of(three), atol=1e-4)


def test_a_fit_leaves_no_gradients_behind() -> None:
    student = fresh_student()
    train(student, optimization=optimization_of(max_steps=2))
    assert all(parameter.grad is None for parameter in student.network.parameters())


def test_a_fit_draws_nothing_from_the_process_wide_generator() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    train(fresh_student(), optimization=optimization_of(max_steps=2))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("most_tokens", [1, 40])
def test_weights_do_not_depend_on_the_micro_batch_size(most_tokens: int) -> None:
    whole, cut = fresh_student(), fresh_student()
    reports = [
        train(student, settings=replace(CPU, micro_batch_tokens=tokens))
        for student, tokens in ((whole, 10**6), (cut, most_tokens))
    ]
    assert torch.allclose(weights_of(whole), weights_of(cut), atol=3e-5)
    assert (weights_of(whole) - weights_of(fresh_student())).abs().max() > 1e-3
    assert reports[0].tokens == reports[1].tokens


@pytest.mark.parametrize("most_tokens", [1, 40])
def test_the_size_of_the_gradient_does_not_depend_on_the_micro_batch_size(most_tokens: int) -> None:
    whole, cut = fresh_student(), fresh_student()
    descent = PlainDescent(max_steps=4, batch_size=4, learning_rate=0.5, gradient_clip=None)
    for student, tokens in ((whole, 10**6), (cut, most_tokens)):
        train(student, optimization=descent, settings=replace(CPU, micro_batch_tokens=tokens))
    assert (weights_of(whole) - weights_of(fresh_student())).abs().max() > 1e-2
    assert torch.allclose(weights_of(whole), weights_of(cut), atol=3e-5)


# --- precision -------------------------------------------------------------------------------------------------------


def test_bf16_keeps_float32_weights_and_optimiser_state_and_small_steps_count() -> None:
    student = fresh_student()
    optimization = WatchedOptimization(
        max_steps=4, batch_size=4, learning_rate=1e-5, warmup_fraction=0.0, decay="constant", precision="bf16-mixed"
    )
    kinds: list[torch.dtype] = []
    handle = student.network.model.layers[0].mlp.register_forward_hook(lambda _, __, output: kinds.append(output.dtype))
    before = weights_of(student)
    try:
        train(student, optimization=optimization)
    finally:
        handle.remove()
    assert set(kinds) == {torch.bfloat16}  # or the test would not be about bfloat16
    assert {weight.dtype for weight in student.network.parameters()} == {torch.float32}
    [optimiser] = optimization.made
    states = [value for state in optimiser.state.values() for value in state.values()]
    assert len(states) == 3 * len(list(student.network.parameters()))
    assert {value.dtype for value in states} == {torch.float32}
    used = student.tokenizer("".join(row.prompt + row.target_text for row in MIXED))["input_ids"]
    assert used
    moved = (weights_of(student) - before).abs()
    assert (moved > 0).float().mean() > 0.95
    # Adam's first steps are about the learning rate each; in bfloat16 most of them would round to nothing.
    assert moved.median() > 1e-5


def test_logits_and_losses_are_float32_under_autocast() -> None:
    student = fresh_student()
    kinds: list[torch.dtype] = []

    class Watching(CrossEntropy):
        def values(self, batch: Any, network: Any, state: Any) -> Mapping[str, torch.Tensor]:
            logits = network.logits(network.hidden(batch))
            values = super().values(batch, network, state)
            kinds.extend([logits.dtype, *(value.dtype for value in values.values())])
            return values

    train(student, optimization=optimization_of(precision="bf16-mixed"), method=method_of(loss=Watching()))
    assert set(kinds) == {torch.float32}


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_it_touches_the_weights(bad: float) -> None:
    good, spoilt = fresh_student(), fresh_student()

    class Breaks(CrossEntropy):
        def values(self, batch: Any, student: Any, state: Any) -> Mapping[str, torch.Tensor]:
            values = super().values(batch, student, state)
            return {name: value * (bad if state.step == 2 else 1.0) for name, value in values.items()}

    constant = optimization_of(max_steps=4, decay="constant", warmup_fraction=0.0)
    with pytest.raises(FloatingPointError, match=r"at optimiser step 2, terms .*, largest logit \d.*, examples \w+"):
        train(spoilt, optimization=constant, method=method_of(loss=Breaks()))
    first_two = Stages([Stage(MIXED)])
    train(good, optimization=replace(constant, max_steps=2), method=method_of(first_two))
    assert torch.equal(weights_of(good), weights_of(spoilt))


def test_no_training_examples_is_refused_with_the_format_that_made_none() -> None:
    with pytest.raises(ValueError, match="no training examples: format AnswerOnly"):
        train(fresh_student(), [])


@pytest.mark.parametrize(
    "shares",
    [
        (0.5,),
        (0.25, 0.5),
        (0.5, 1.0),
    ],
)
def test_stages_whose_shares_are_not_the_whole_are_refused(shares: Sequence[float]) -> None:
    stages = Stages([Stage(MIXED, share=share) for share in shares])
    with pytest.raises(ValueError, match="share"):
        train(fresh_student(), method=method_of(stages))


# --- schedule and optimiser ------------------------------------------------------------------------------------------


def test_learning_rate_warms_up_linearly_and_then_decays_as_named() -> None:
    for decay, at_half in (("linear", 0.5), ("cosine", 0.5), ("constant", 1.0)):
        schedule = optimization_of(learning_rate=2.0, warmup_fraction=0.2, decay=decay).learning_rate_at
        assert [schedule(0.2 * x) for x in (0, 0.25, 0.5)] == pytest.approx([0, 0.5, 1.0])
        assert schedule(0.2) == pytest.approx(2.0)
        assert schedule(0.6) == pytest.approx(2.0 * at_half)
    quarter = optimization_of(learning_rate=1.0, warmup_fraction=0.0, decay="cosine").learning_rate_at(0.25)
    assert quarter == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    without = optimization_of(learning_rate=1.0, warmup_fraction=0.0, decay="linear").learning_rate_at
    assert [without(x) for x in (0, 0.5, 0.75)] == pytest.approx([1, 0.5, 0.25])


def test_a_fit_uses_the_schedule_and_starts_it_again_with_a_fresh_optimiser() -> None:
    stages = Stages([Stage(MIXED, share=0.5), Stage(MIXED, share=0.5, fresh_optimiser=True)])
    optimization = optimization_of(warmup_fraction=0.0, learning_rate=1e-3)
    log = Kept()
    settings = replace(CPU, log_every_n_steps=1)
    train(fresh_student(), optimization=optimization, settings=settings, method=method_of(stages), loggers=[log])
    expected = [1 - (i + 0.5) / 8 for i in range(4)] + [1 - (i + 0.5) / 4 for i in range(4)]
    assert log.of("train/learning_rate") == pytest.approx([1e-3 * factor for factor in expected])
    assert [step for step, _ in log.rows] == list(range(8))


def test_a_fresh_optimiser_equals_a_second_fit_and_a_kept_one_does_not() -> None:
    constant = optimization_of(max_steps=8, batch_size=len(MIXED), warmup_fraction=0.0, decay="constant")
    twice, fresh, kept = fresh_student(), fresh_student(), fresh_student()
    for _ in range(2):
        train(twice, optimization=replace(constant, max_steps=4))
    for student, forget in ((fresh, True), (kept, False)):
        stages = Stages([Stage(MIXED, share=0.5), Stage(MIXED, share=0.5, fresh_optimiser=forget)])
        train(student, optimization=constant, method=method_of(stages))
    assert torch.allclose(weights_of(fresh), weights_of(twice), atol=2e-5)
    assert (weights_of(kept) - weights_of(twice)).abs().max() > 1e-3


def test_matrices_decay_and_norms_do_not() -> None:
    network = fresh_student().network
    groups = optimization_of(weight_decay=0.25).optimiser(network).param_groups
    assert {weight.ndim >= 2: group["weight_decay"] for group in groups for weight in group["params"]} == {
        True: 0.25,
        False: 0.0,
    }
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_steps", 0), ("batch_size", 0), ("learning_rate", 0), ("warmup_fraction", 1.0), ("gradient_clip", 0.0)],
)
def test_optimisation_values_that_cannot_work_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        optimization_of(**{name: value})


@pytest.mark.parametrize("name", ["micro_batch_tokens", "evaluation_batch_size", "log_every_n_steps", "threads"])
def test_trainer_values_that_cannot_work_are_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        replace(CPU, **{name: 0})


# --- the report ------------------------------------------------------------------------------------------------------


def test_the_report_counts_real_tokens_response_tokens_and_steps() -> None:
    student, ticks = fresh_student(), list[int]()
    optimization = optimization_of(max_steps=6, batch_size=len(MIXED))
    report = train(student, optimization=optimization, advance=ticks.append)
    prompts = sum(len(row.prompt) + 2 for row in MIXED)  # <bos> and line feed
    targets = sum(len(row.target_text) + 1 for row in MIXED)  # EOS
    assert report.optimiser_steps == 6
    assert ticks == [1] * 6
    assert report.tokens == 6 * (prompts + targets)
    assert report.response_tokens == 6 * targets
    assert report.flops == 6 * student.parameters * report.tokens
    assert report.truncated_examples == 0
    assert report.seconds > 0


def test_the_report_counts_every_truncated_example_once() -> None:
    student = fresh_student()
    student.max_length = 12
    rows = [example("q0", "short", "ok"), example("q1", "y" * 30, "ok"), example("q2", "z", "w" * 30)]
    assert train(student, rows, optimization_of(batch_size=3)).truncated_examples == 2


def test_threads_are_one_for_tiny_students_and_as_told_otherwise() -> None:
    before = torch.get_num_threads()
    try:
        assert set_threads(CPU, TINY.network(1).num_parameters()) == 1
        assert torch.get_num_threads() == 1
        assert set_threads(replace(CPU, threads=2), 10) == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
