"""Writing against another prompt: as a slow loop over whole texts does, in any batch, up to any end."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import pytest
import torch

from benchmark.student import generation
from benchmark.student.generation import Draft, Opponent, write
from benchmark.types import Contrast, Reply, Request
from tests.student.student_parts import NETWORKS, shared_student, student_of

VOCABULARY, LIMIT = 24, 20
EOS = frozenset({2, 5})
LINE_ENDS = frozenset({9, 14})
Pair = tuple[list[int], list[int]]


@lru_cache
def network_of(kind: str) -> torch.nn.Module:
    return NETWORKS[kind](VOCABULARY, 96, seed=3)


@lru_cache
def pairs() -> list[Pair]:
    """Two prompts each, of very different lengths."""
    rng = random.Random(7)
    lengths = [1, 2, 3, 5, 8, 13, 30, 60]

    def prompt() -> list[int]:
        return [rng.randrange(3, VOCABULARY) for _ in range(rng.choice(lengths))]

    return [(prompt(), prompt()) for _ in range(24)]


@lru_cache(maxsize=512)
@torch.no_grad()
def slow(
    kind: str, number: int, weight: float, limit: int, ends: frozenset[int] = EOS | LINE_ENDS
) -> tuple[list[int], int | None, float]:
    """(tokens, end, log-probability): every step reads both texts anew and normalises both."""
    written: list[int] = []
    nats = 0.0

    def log_probabilities(prompt: Sequence[int]) -> torch.Tensor:
        logits = network_of(kind)(input_ids=torch.tensor([[*prompt, *written]])).logits[0, -1]
        return torch.log_softmax(logits.double(), dim=-1)

    while len(written) < limit:
        told, other = (log_probabilities(prompt) for prompt in pairs()[number])
        token = int((told - weight * other).argmax())
        by_itself = int(told.argmax())
        if by_itself in ends:
            return written, by_itself, nats
        if token in ends:
            return written, token, nats
        written.append(token)
        nats += float(told[token])
    return written, None, nats


def drafts_of(weight: float, limits: Sequence[int] | None = None, ends: frozenset[int] = LINE_ENDS) -> list[Draft]:
    limits = limits or [LIMIT] * len(pairs())
    return [
        Draft(list(told), limit, opponent=Opponent(list(other), weight, ends), nats=[])
        for (told, other), limit in zip(pairs(), limits, strict=True)
    ]


def as_slow(drafts: Sequence[Draft]) -> list[tuple[list[int], int | None]]:
    return [(draft.tokens, draft.end) for draft in drafts]


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_a_contrasted_text_is_that_of_a_slow_loop_over_whole_texts(kind: str, batch_size: int) -> None:
    expected = [slow(kind, i, 0.5, LIMIT) for i in range(len(pairs()))]
    plain = [slow(kind, i, 0.0, LIMIT) for i in range(len(pairs()))]
    ends = {end for _, end, _ in expected}
    assert None in ends and ends & EOS and ends & LINE_ENDS  # noqa: PT018
    assert len({len(text) for text, _, _ in expected}) > 4  # so that rows leave the batch one after the other
    assert sum(one[0] != other[0] for one, other in zip(expected, plain, strict=True)) > 12
    drafts = drafts_of(0.5)
    write(network_of(kind), drafts, EOS, 0, batch_size)
    assert as_slow(drafts) == [(text, end) for text, end, _ in expected]
    assert [sum(draft.nats or []) for draft in drafts] == pytest.approx([nats for _, _, nats in expected], abs=1e-3)


def test_every_draft_has_its_own_weight_cap_and_kind_in_one_batch() -> None:
    weights = [(0.0, 0.3, 0.5, 1.0)[i % 4] for i in range(len(pairs()))]
    limits = [1 + i % LIMIT for i in range(len(pairs()))]
    drafts = drafts_of(0.5, limits)
    for i, draft in enumerate(drafts):
        draft.opponent = None if i % 5 == 0 else replace(draft.opponent, weight=weights[i])  # type: ignore[type-var]
    write(network_of("llama"), drafts, EOS, 0, 100)
    for i, draft in enumerate(drafts):
        alone = slow("llama", i, 0.0, limits[i], EOS) if i % 5 == 0 else slow("llama", i, weights[i], limits[i])
        assert (draft.tokens, draft.end) == alone[:2], i


@pytest.mark.parametrize("kind", NETWORKS)
def test_weight_zero_is_plain_greedy_decoding(kind: str) -> None:
    against, plain = drafts_of(0.0, ends=frozenset()), [Draft(list(told), LIMIT) for told, _ in pairs()]
    for drafts in (against, plain):
        write(network_of(kind), drafts, EOS, 0, 9)
    assert as_slow(against) == as_slow(plain)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_compaction_keeps_both_rows_of_a_draft(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    monkeypatch.setattr(generation, "COMPACT_BELOW", share)
    drafts = drafts_of(0.5)
    write(network_of("gpt2"), drafts, EOS, 0, 100)
    assert as_slow(drafts) == [slow("gpt2", i, 0.5, LIMIT)[:2] for i in range(len(pairs()))]


def test_a_batch_counts_rows() -> None:
    rows: list[int] = []
    handle = network_of("llama").register_forward_pre_hook(
        lambda _, __, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    try:
        write(network_of("llama"), drafts_of(0.5), EOS, 0, 6)
    finally:
        handle.remove()
    assert max(rows) == 6


def test_a_text_ends_where_the_model_by_itself_would_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both prompts expect the end at the same place: the difference alone would go on to the cap."""
    student = shared_student()
    eos, x = int(student.tokenizer.eos_token_id), int(student.tokenizer.convert_tokens_to_ids("x"))

    def scripted(*_: object) -> torch.Tensor:
        logits = torch.zeros(2, len(student.tokenizer))
        logits[:, eos], logits[0, x] = torch.tensor([5.0, 50.0]), 4.0
        return logits

    monkeypatch.setattr("benchmark.student.architecture._CausalContinuation.next_logits", scripted)
    [[reply]] = student.generate([Request("why", "a", "q", contrast=Contrast("b", 0.9))])
    assert (reply.text, reply.finish, reply.token_ids) == ("", "stop", (eos,))


# --- replies ---------------------------------------------------------------------------------------------------------


def contrasted(prompt: str, other: str, cap: int | None = None, temperature: float = 0.0, prefix: str = "") -> Request:
    return Request("why", prompt, "q", cap, temperature, prefix, contrast=Contrast(other, 0.5))


def test_a_reply_counts_both_rows_and_continues_the_same_begun_reply() -> None:
    student = student_of(shared_student().network)
    [[reply]] = student.generate([contrasted("ab", "abcde", cap=6, prefix="12")])
    tokens = len(reply.token_ids or ()) - (reply.finish == "stop")
    assert reply.completion_tokens == 2 * tokens
    assert reply.prompt_tokens == (1 + 2 + 1 + 2) + (1 + 5 + 1 + 2)  # <bos>, text, line feed, begun reply; twice
    assert (student.usage.prompt_tokens, student.usage.completion_tokens) == (reply.prompt_tokens, 2 * tokens)
    other_begin = student.generate([contrasted("ab", "abcde", cap=6, prefix="34")])
    assert other_begin[0][0].text != reply.text


def test_the_longer_prompt_of_the_two_leaves_the_room() -> None:
    student = student_of(shared_student().network, max_length=20, max_new_tokens=6)
    for asked in (contrasted("a" * 17, "b"), contrasted("b", "a" * 17)):
        [[reply]] = student.generate([asked])
        assert len(reply.token_ids or ()) <= 6
        assert reply.prompt_tokens == 14 + 3
    assert student.counters["truncated_prompts"] == 2


def test_one_line_cuts_what_the_last_token_has_behind_the_line_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    student = shared_student()
    tokenizer = student.tokenizer
    line_feed = int(tokenizer.convert_tokens_to_ids("\n"))
    assert student.encoder.line_end_ids == {line_feed}
    script = [*tokenizer.convert_tokens_to_ids(["o", "k"]), line_feed, *tokenizer.convert_tokens_to_ids(["n", "o"])]
    for one_line, text in ((True, "ok"), (False, "ok\nno")):
        step = iter(script)
        monkeypatch.setattr(generation, "_choose", lambda logits, drafts, step=step: [next(step)] * len(drafts))
        monkeypatch.setattr(generation, "_ended", lambda own, chosen, drafts, eos_ids: chosen)
        [[reply]] = student.generate([Request("why", "?", "q", 5, contrast=Contrast("!", 0.5, one_line))])
        assert reply.text == text
        assert reply.finish == ("stop" if one_line else "length")


def assert_equal_replies(some: list[list[Reply]], others: list[list[Reply]]) -> None:
    """Log-probabilities are rounded to 0.001, and another batch may round to the next number."""
    for one, other in zip(itertools.chain(*some), itertools.chain(*others), strict=True):
        assert replace(one, log_probability=None) == replace(other, log_probability=None)
        assert one.log_probability == pytest.approx(other.log_probability, abs=0.0011)


def test_contrasted_samples_do_not_depend_on_their_company() -> None:
    network = shared_student().network
    requests = [contrasted(f"{'xy' * (i % 4)}{i}", f"{i}" * (1 + i % 3), temperature=1.0) for i in range(7)]
    plain = [Request("why", f"{i}{i}", "q") for i in range(3)]
    whole = student_of(network, batch_size=100).generate([*requests, *plain], samples=2)
    for batch_size in (1, 3):
        assert_equal_replies(student_of(network, batch_size=batch_size).generate(requests, samples=2), whole[:7])
    assert_equal_replies(student_of(network).generate(plain, samples=2), whole[7:])
    assert len({reply.text for row in whole[:7] for reply in row}) > 7


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_an_impossible_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=f"weight={weight}"):
        Contrast("p", weight)
