"""Text of two models: as a slow loop over whole texts draws it, in any batch, and one model alone at either end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from benchmark.student.generation import Draft, write
from benchmark.student.mixing import Partner
from benchmark.types import Request
from tests.student.student_parts import NETWORKS, shared_student

VOCABULARY, LIMIT = 24, 12
EOS = frozenset({2})
SHARED = 21
"""Both networks have more rows than they share: nobody writes the rest."""


@lru_cache
def networks(kind: str) -> tuple[Any, Any]:
    return NETWORKS[kind](VOCABULARY, 96, seed=3), NETWORKS[kind](VOCABULARY + 6, 96, seed=4)


@lru_cache
def pairs() -> list[tuple[list[int], list[int]]]:
    """The prompts that either model reads, of different lengths."""
    rng = random.Random(7)
    return [tuple([rng.randrange(3, SHARED) for _ in range(rng.choice((1, 3, 8, 30)))] for _ in "ab") for _ in range(9)]  # type: ignore[misc]


def partner(kind: str, share: float) -> Partner:
    model = SimpleNamespace(network=networks(kind)[1], padding_id=0, autocast=None)
    return Partner(cast(Any, model), share, SHARED)


def written(kind: str, share: float, batch_size: int) -> list[Draft]:
    drafts = [
        Draft(list(ours), LIMIT, 1.0, np.random.default_rng(number), partner_prompt=list(theirs), nats=[])
        for number, (ours, theirs) in enumerate(pairs())
    ]
    write(networks(kind)[0], drafts, EOS, 0, batch_size, partner=partner(kind, share))
    return drafts


@torch.no_grad()
def slow(kind: str, number: int, share: float) -> tuple[list[int], int | None, list[float]]:
    """(tokens, end, nats of each token): both texts are read anew for every token."""
    chance, tokens, nats = np.random.default_rng(number), list[int](), list[float]()
    while len(tokens) < LIMIT:
        ours, theirs = (
            network(input_ids=torch.tensor([[*prompt, *tokens]])).logits[0, -1, :SHARED].double().softmax(-1)
            for network, prompt in zip(networks(kind), pairs()[number], strict=True)
        )
        mixture = share * theirs + (1 - share) * ours
        drawn = int(torch.searchsorted(mixture.cumsum(0), chance.random(), right=True))
        if drawn in EOS:
            return tokens, drawn, nats
        tokens.append(drawn)
        nats.append(float(mixture[drawn].log()))
    return tokens, None, nats


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_every_token_is_drawn_from_the_mixture(kind: str, batch_size: int) -> None:
    ends = set()
    for number, draft in enumerate(written(kind, 0.4, batch_size)):
        tokens, end, nats = slow(kind, number, 0.4)
        assert (draft.tokens, draft.end) == (tokens, end)
        assert draft.nats == pytest.approx(nats, abs=1e-4)
        ends.add(end)
    assert ends == {None, 2}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_at_the_ends_one_model_writes_alone(share: float) -> None:
    for number, draft in enumerate(written("llama", share, 4)):
        assert (draft.tokens, draft.end) == slow("llama", number, share)[:2]


def test_over_many_draws_tokens_are_as_frequent_as_the_mixture_says() -> None:
    ours, theirs = pairs()[0]
    drafts = [
        Draft(list(ours), 1, 1.0, np.random.default_rng(n), partner_prompt=list(theirs), nats=[]) for n in range(3000)
    ]
    write(networks("llama")[0], drafts, EOS, 0, 1000, partner=partner("llama", 0.4))
    counts = np.bincount([draft.tokens[0] if draft.tokens else 2 for draft in drafts], minlength=SHARED)
    with torch.no_grad():
        q, p = (
            network(input_ids=torch.tensor([prompt])).logits[0, -1, :SHARED].double().softmax(-1).numpy()
            for network, prompt in zip(networks("llama"), (ours, theirs), strict=True)
        )
    mixture = 0.4 * p + 0.6 * q
    assert (abs(counts / 3000 - mixture) < 4.5 * np.sqrt(mixture / 3000) + 1e-3).all()
    assert abs(mixture - q).max() > 0.05


def test_both_models_read_their_own_prompt_and_are_booked() -> None:
    student, other = shared_student().apart(), shared_student("gpt2").apart()
    requests = [Request("own", "1+1", "q", 5, 1.0), Request("own", "12+34", "r", 3, 1.0)]
    found = student.mixed_text(requests, Partner(other, 0.5, 20), key="k")
    assert [reply.text for reply in found] == [
        reply.text for reply in reversed(student.mixed_text(requests[::-1], Partner(other, 0.5, 20), key="k"))
    ]
    assert student.usage.calls == other.usage.calls == 4
    assert student.usage.completion_tokens == other.usage.completion_tokens > 0
    assert other.usage.prompt_tokens == 2 * sum(map(len, other.encoder.prompts(["1+1", "12+34"])))


def test_the_text_fits_both_windows() -> None:
    student, other = shared_student().apart(), shared_student("gpt2").apart()
    other.max_length = 8
    [reply] = student.mixed_text([Request("own", "1+1+1+1", "q", 5, 1.0)], Partner(other, 0.5, 20))
    assert len(other.encoder.prompts(["1+1+1+1"])[0]) > 3
    assert len(reply.token_ids) <= 5
    assert other.counters["truncated_prompts"] == 1


@pytest.mark.parametrize("wrong", [Request("own", "1", "q", 5, 0.0), Request("own", "1", "q", 5, 0.7)])
def test_other_temperatures_are_refused(wrong: Request) -> None:
    with pytest.raises(ValueError, match="drawn at temperature 1"):
        shared_student().mixed_text([wrong], Partner(shared_student("gpt2"), 0.5, 20))


def test_a_share_outside_of_0_and_1_is_refused() -> None:
    shares: Sequence[float] = (-0.1, 1.1)
    for share in shares:
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            Partner(shared_student(), share, 20)
