"""Liger's chunked loss behind our terms: the numbers and gradients of our own loss, or a clear word why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.cell.cell import Cell
from benchmark.student.weighted_sums import Summand, weighted_sums
from benchmark.types import Term
from methods.liger import LigerJensenShannon, weighted_sum
from methods.white_box import JensenShannon, WhiteBox
from tests.corridor.corridor_parts import DropsAndWeighs, miniature
from tests.rehearsals.tensor_parts import (
    UNCLIPPED,
    WHOLE_STEP,
    WorkedSolutions,
    close,
    live_teacher,
    model_folder,
    watched,
)
from tests.student.student_parts import fresh_student

WEIGHTS = (0.0, 0.5, 1.0)


@pytest.fixture
def liger() -> None:
    """Skips a test where the package is absent."""
    pytest.importorskip("liger_kernel")


def loss(**settings: Any) -> LigerJensenShannon:
    return LigerJensenShannon(**{"compiled": False, "chunk_size": 2, **settings})


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_sum_over_positions_is_ours_in_value_and_gradient(weight: float, temperature: float, liger: None) -> None:
    torch.manual_seed(3)
    tokens, factors = torch.randint(11, (9,)), torch.tensor([0.1, 0.1, 0.3, 0.0, 0.1, 0.3, 0.1, 0.3, 0.1])
    theirs, their_table = torch.randn(9, 6, dtype=torch.float64), torch.randn(11, 6, dtype=torch.float64)
    states, table = torch.randn(9, 4, dtype=torch.float64), torch.randn(11, 4, dtype=torch.float64)
    log_p = torch.log_softmax(theirs @ their_table.T, -1)

    def divergences(log_q: torch.Tensor, log_p: torch.Tensor) -> torch.Tensor:
        ours, others = (torch.log_softmax(each / temperature, -1) for each in (log_q, log_p))
        return JensenShannon(weight)(ours, others, torch.zeros(1))[:, None]

    found = []
    for way in ("ours", "liger"):
        hidden, matrix = states.clone().requires_grad_(), table.clone().requires_grad_()
        if way == "ours":
            value = weighted_sums(Summand(divergences, factors[:, None].double(), (log_p,)), hidden, matrix)[0]
        else:
            chunked = loss(teacher_weight=weight)._chunked(True, temperature)
            value = weighted_sum(chunked, factors, (hidden, theirs), (matrix, their_table), tokens)
        found.append((value.detach(), *torch.autograd.grad(value, (hidden, matrix))))
    (value, *gradients), (other, *others) = found
    assert float(value) > 0.01
    assert float(other) == pytest.approx(float(value), rel=1e-6)  # Liger adds values up in float32
    for mine, liger_s in zip(gradients, others, strict=True):
        assert torch.allclose(mine, liger_s, rtol=1e-6, atol=1e-9)


def test_a_micro_batch_without_a_token_of_the_term_adds_nothing() -> None:
    states = torch.randn(3, 4, requires_grad=True)
    table = torch.randn(5, 4)
    value = weighted_sum(None, torch.zeros(3), (states, states), (table, table), torch.zeros(3, dtype=torch.long))
    assert float(value.detach()) == 0
    assert not torch.autograd.grad(value, states)[0].any()


def cell_of(teacher: Path, loss: Any) -> Cell:
    settings = (UNCLIPPED, WHOLE_STEP, "optimization.max_steps=2")
    parts: dict[str, Any] = {"annotation": WorkedSolutions(), "weighting": DropsAndWeighs(), "loss": loss}
    return miniature("method=step_by_step", *live_teacher(teacher), *settings, **parts)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_a_cell_trains_by_the_values_and_gradients_of_the_white_box_loss(
    weight: float, liger: None, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"distillation_weight": 0.7, "temperature": 2.0}
    padded = model_folder(tmp_path / "padded", more_rows=7)  # Liger would fill the student's rows with zeros
    ours = WhiteBox(divergence=JensenShannon(weight), **settings)
    steps = [
        watched(cell_of(padded, each), tmp_path / type(each).__name__)[1]
        for each in (ours, loss(teacher_weight=weight, chunk_size=64, **settings))
    ]
    for one, other in zip(*steps, strict=True):
        assert set(one.values) == {"label", "rationale", "label/distillation", "rationale/distillation"}
        assert other.values == pytest.approx(one.values, rel=1e-4)
        assert close(other.gradient, one.gradient)
        assert float(one.gradient.abs().max()) > 1e-3


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("methods.liger.absence", lambda package: "is not installed")
    message = r"liger-kernel, which is not installed: pip install 'distillation-benchmark\[liger\]', or choose"
    with pytest.raises(ValueError, match=message):
        LigerJensenShannon()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"distillation_weight": 0.0}, "choose loss=cross_entropy"),
        ({"teacher_weight": 1.5}, r"teacher_weight=1.5 must lie in \[0, 1\]"),
        ({"temperature": 0.0}, "temperature=0.0 must be above 0"),
        ({"chunk_size": 0}, "chunk_size=0 must be at least 1"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, Any], complaint: str, liger: None) -> None:
    with pytest.raises(ValueError, match=complaint):
        loss(**settings)


@pytest.mark.parametrize(
    ("term", "stage", "complaint"),
    [
        (Term(frozenset({"label"}), per="sequence"), {}, "is a mean per sequence"),
        (Term(frozenset({"label"})), {"distillation_weight": 0.0}, "for a curriculum with such a stage"),
    ],
)
def test_terms_that_liger_cannot_have_are_refused(
    term: Term, stage: dict[str, float], complaint: str, liger: None
) -> None:
    made = loss()
    with pytest.raises(ValueError, match=complaint):
        made.terms({"label": term}, {**made.settings, **stage})


def test_an_output_layer_with_a_bias_is_refused() -> None:
    student = fresh_student()
    network: Any = student.network
    head = network.get_output_embeddings()
    assert student.output_embedding() is head.weight
    network.set_output_embeddings(torch.nn.Linear(head.in_features, head.out_features, bias=True))
    with pytest.raises(ValueError, match="has a bias or an adapter"):
        student.output_embedding()
