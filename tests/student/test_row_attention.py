"""Attention row by row equals causal attention over each row, in value and gradient, compiled and under autocast."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmark.student.row_attention import attend_row_by_row

LENGTHS = (3, 1, 70, 5, 200)
Attention = Callable[..., torch.Tensor]


def projections(dtype: torch.dtype) -> list[torch.Tensor]:
    """Queries of four heads, keys and values of two, as projections write them: [1, N, heads, size]."""
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(1, sum(LENGTHS), heads, 8, generator=generator).to(dtype).requires_grad_() for heads in (4, 2, 2)
    ]


def ours(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return attend_row_by_row(*(each.transpose(1, 2) for each in (query, key, value)), lengths, 0.3)


def by_scores(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The plain way: one matrix of scores, in which a token sees no later token and no other row."""
    row = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    sees = (row[:, None] == row) & torch.ones(len(row), len(row), dtype=torch.bool).tril()
    key, value = (each.repeat_interleave(2, dim=2) for each in (key, value))
    scores = torch.einsum("bqhs,bkhs->bhqk", query, key) * 0.3
    return torch.einsum("bhqk,bkhs->bqhs", scores.masked_fill(~sees, -torch.inf).softmax(-1), value)


def found(attention: Attention, dtype: torch.dtype) -> list[torch.Tensor]:
    """The value and the three gradients of a sum in which every number has another factor."""
    inputs = projections(dtype)
    value = attention(*inputs, torch.tensor(LENGTHS))
    factors = torch.linspace(-1, 1, value.numel(), dtype=dtype).view_as(value)
    return [value.detach(), *torch.autograd.grad((value * factors).sum(), inputs)]


def test_values_and_gradients_are_those_of_causal_attention_over_each_row() -> None:
    for mine, plain in zip(found(ours, torch.float64), found(by_scores, torch.float64), strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-10, atol=1e-12)


def test_in_bfloat16_they_are_close() -> None:
    for mine, plain in zip(found(ours, torch.bfloat16), found(by_scores, torch.float64), strict=True):
        assert mine.dtype == torch.bfloat16
        assert float((mine - plain).norm() / plain.norm()) < 0.02


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_it_is_the_same_for_other_rows_without_compiling_again() -> None:
    compiled: Any = torch.compile(ours, dynamic=True, fullgraph=True)
    for mine, plain in zip(found(compiled, torch.float32), found(by_scores, torch.float32), strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-4)
    with torch.compiler.set_stance("fail_on_recompile"):
        other = compiled(*projections(torch.float32), torch.tensor([100, 104, 75]))
    assert torch.isfinite(other).all()


def test_a_row_does_not_depend_on_the_others() -> None:
    query, key, value = (each.detach() for each in projections(torch.float32))
    whole = ours(query, key, value, torch.tensor(LENGTHS))
    last = ours(*(each[:, -200:] for each in (query, key, value)), torch.tensor([200]))
    torch.testing.assert_close(whole[:, -200:], last)
