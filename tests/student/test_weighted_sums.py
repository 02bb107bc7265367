"""The fused sums equal the plain way in value and gradient, for each column alone, and project every chunk once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import benchmark.student.over_positions as chunked
from benchmark.student.frozen import Frozen
from benchmark.student.student import Student
from benchmark.student.weighted_sums import Summand, weighted_sums
from tests.rehearsals.tensor_parts import close, gradient_of
from tests.student.student_parts import llama, student_of
from tests.student.test_over_positions import (
    CHUNKS,
    STUDENTS,
    VOCABULARY,
    batch_of,
    by_logits,
    compared,
    module_of,
    teacher_of,
)


def factors_of(count: int) -> torch.Tensor:
    """[N, 2]: another factor for every number, some of them 0."""
    factors = torch.linspace(-1, 2, 2 * count).reshape(count, 2)
    factors[::3, 0] = 0
    return factors


def fused_and_plain(student: Student, teacher: Frozen, compiles: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    module, batch = module_of(student, teacher), batch_of(student)
    module.compiles = compiles
    factors = factors_of(len(batch.tokens))
    sums = module.weighted_sums(compared, module.hidden(batch), factors, batch.tokens, teacher.distributions(batch))
    return sums, (by_logits(module, teacher, batch) * factors).sum(0)


def gradient(student: Student, value: torch.Tensor) -> torch.Tensor:
    student.network.zero_grad()
    value.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    return gradient_of(student.network)


@pytest.mark.parametrize("cut", CHUNKS)
@pytest.mark.parametrize("kind", STUDENTS)
def test_values_and_gradients_are_those_of_the_plain_way_in_any_cut(
    kind: str, cut: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = STUDENTS[kind](tmp_path)
    monkeypatch.setattr(chunked, "NUMBERS_AT_ONCE", CHUNKS[cut])
    ours, plain = fused_and_plain(student, teacher_of(student))
    assert torch.allclose(ours, plain, rtol=1e-5, atol=1e-5)
    # The whole, as a step adds it up; and every column alone, so that what is logged is what is differentiated.
    for weights in ([1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.3, -2.0]):
        mine, theirs = (gradient(student, (torch.tensor(weights) * sums).sum()) for sums in (ours, plain))
        assert float(mine.abs().sum()) > 0
        assert float((mine - theirs).norm() / theirs.norm()) < 1e-5, weights


def test_in_double_precision_it_is_exact() -> None:
    hidden = torch.randn(23, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    weight = torch.randn(11, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    factors = factors_of(23).double()

    def function(log_q: torch.Tensor) -> torch.Tensor:
        return torch.stack([-log_q[:, 0], (log_q.exp() * log_q).sum(-1)], -1)

    def sums(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return weighted_sums(Summand(function, factors, ()), hidden, weight)

    assert torch.autograd.gradcheck(sums, (hidden, weight))


def test_a_frozen_head_gets_no_gradient_and_nothing_is_kept_without_one() -> None:
    hidden, weight = torch.randn(4, 3, requires_grad=True), torch.randn(7, 3)
    sums = weighted_sums(Summand(lambda log_q: -log_q[:, :1], torch.ones(4, 1), ()), hidden, weight)
    sums.sum().backward()
    assert weight.grad is None
    assert hidden.grad is not None
    with torch.no_grad():
        again = weighted_sums(Summand(lambda log_q: -log_q[:, :1], torch.ones(4, 1), ()), hidden, weight)
    assert torch.equal(again, sums.detach())
    assert again.grad_fn is None


class Products(TorchDispatchMode):
    """Counts the products with the vocabulary's table: rows times width times vocabulary."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0
        self.largest = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.mm.default and found.shape[-1] == VOCABULARY:
            self.rows += len(found)
            self.largest = max(self.largest, found.numel())
        return found


def test_every_position_is_projected_once_and_no_chunk_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "NUMBERS_AT_ONCE", 3 * VOCABULARY)
    student = student_of(llama(VOCABULARY))
    batch = batch_of(student)
    factors = factors_of(len(batch.tokens))[:, :1]
    with Products() as seen:
        sums = student.weighted_sums(lambda log_q: -log_q[:, :1], student.hidden(batch), factors)
        sums.sum().backward()  # type: ignore[no-untyped-call]
    assert seen.rows == len(batch.tokens)
    assert seen.largest == 3 * VOCABULARY


def test_autocast_casts_the_products_and_not_the_softmax() -> None:
    student = student_of(llama(VOCABULARY))
    teacher = teacher_of(student)
    exact, _ = fused_and_plain(student, teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, plain = fused_and_plain(student, teacher)
    assert ours.dtype == torch.float32
    assert not torch.equal(ours, exact)
    assert torch.allclose(ours, exact, rtol=2e-2, atol=0.2)
    mine, theirs = (gradient(student, sums.sum()) for sums in (ours, plain))
    assert float((mine - theirs).norm() / theirs.norm()) < 0.02


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_it_is_the_same() -> None:
    student = student_of(llama(VOCABULARY))
    ours, plain = fused_and_plain(student, teacher_of(student), compiles=True)
    assert torch.allclose(ours, plain, rtol=1e-5, atol=1e-5)
    mine, theirs = (gradient(student, sums.sum()) for sums in (ours, plain))
    assert close(mine, theirs)


def test_values_that_do_not_fit_the_factors_and_signals_of_another_length_are_refused() -> None:
    hidden, weight = torch.randn(4, 3), torch.randn(7, 3)
    with pytest.raises(ValueError, match=r"one number per position and column, \[4, 1\], and returned \[4, 7\]"):
        weighted_sums(Summand(lambda log_q: log_q, torch.ones(4, 1), ()), hidden, weight)
    with pytest.raises(ValueError, match="signal 2 has 3 positions, but the hidden states have 4"):
        weighted_sums(Summand(lambda log_q, x: log_q[:, :1], torch.ones(4, 1), (torch.ones(3),)), hidden, weight)
