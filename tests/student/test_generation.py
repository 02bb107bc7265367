"""How a student writes: as transformers' own `generate` does, whatever the batch, the padding and the order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from itertools import count

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import PreTrainedModel

from benchmark.random_streams import stream
from benchmark.student import architecture, generation
from benchmark.student.generation import Draft, write
from benchmark.types import Request
from tests.student.student_parts import NETWORKS, characters, shared_student, student_of

VOCABULARY = 24
ENDS = frozenset({2, 5, 9, 14, 20})
"""Several tokens end a text, so that random networks finish at all sorts of lengths."""
LIMIT = 20


@lru_cache
def network_of(kind: str) -> PreTrainedModel:
    return NETWORKS[kind](VOCABULARY, 96, seed=3)


@lru_cache
def prompts() -> list[list[int]]:
    """Prompts of very different lengths, 1 to 60 tokens."""
    rng = random.Random(5)
    return [[rng.randrange(3, VOCABULARY) for _ in range(rng.choice([1, 2, 3, 5, 8, 13, 30, 60]))] for _ in range(24)]


@lru_cache
def expected(kind: str) -> list[tuple[list[int], bool]]:
    """What `generate` writes for each prompt alone, without its EOS, and whether it came to one."""
    found = []
    for prompt in prompts():
        ids = torch.tensor([prompt])
        output = network_of(kind).generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=LIMIT,
            eos_token_id=sorted(ENDS),
            pad_token_id=0,
        )
        new = output[0, len(prompt) :].tolist()
        ended = new[-1] in ENDS
        found.append((new[:-1] if ended else new, ended))
    return found


def drafts_of(kind: str, batch_size: int, limits: Sequence[int] | None = None) -> list[Draft]:
    drafts = [Draft(list(p), limit) for p, limit in zip(prompts(), limits or [LIMIT] * len(prompts()), strict=True)]
    write(network_of(kind), drafts, ENDS, 0, batch_size)
    return drafts


# --- greedy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_greedy_text_is_that_of_transformers_generate_in_batches_of_unequal_prompts(kind: str, batch_size: int) -> None:
    lengths = [len(text) for text, _ in expected(kind)]
    ended = [end for _, end in expected(kind)]
    assert len(set(lengths)) > 4  # so that rows leave the batch one after the other
    assert 0 < sum(ended) < len(ended)
    drafts = drafts_of(kind, batch_size)
    assert [(draft.tokens, draft.finished) for draft in drafts] == expected(kind)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_compaction_changes_no_token_and_saves_rows(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    rows: list[int] = []
    handle = network_of("gpt2").register_forward_pre_hook(
        lambda _, __, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    monkeypatch.setattr(generation, "COMPACT_BELOW", share)
    try:
        drafts = drafts_of("gpt2", 100)
    finally:
        handle.remove()
    assert [(draft.tokens, draft.finished) for draft in drafts] == expected("gpt2")
    assert (rows[-1] < rows[0]) is (share > 0)
    assert rows == sorted(rows, reverse=True)


@pytest.mark.parametrize("kind", NETWORKS)
def test_prompts_read_in_parts_are_written_on_as_before(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(architecture, "PROMPT_TOKENS_AT_ONCE", 130)
    read: list[int] = []
    handle = network_of(kind).register_forward_pre_hook(
        lambda _, __, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    try:
        drafts = drafts_of(kind, 100)
    finally:
        handle.remove()
    assert max(read) <= 130
    assert [(draft.tokens, draft.finished) for draft in drafts] == expected(kind)


def test_rows_with_different_limits_stop_each_at_its_own() -> None:
    limits = [1 + i % LIMIT for i in range(len(prompts()))]
    for draft, (text, ended), limit in zip(drafts_of("llama", 100, limits), expected("llama"), limits, strict=True):
        assert draft.tokens == text[:limit]
        # EOS counts as a token of the limit, as max_new_tokens does in transformers.
        assert draft.finished == (ended and len(text) < limit)


def test_a_draft_without_room_writes_nothing_and_is_not_finished() -> None:
    drafts = [Draft([3, 4], 0), Draft([3, 4], 2)]
    write(network_of("llama"), drafts, frozenset(), 0, 8)
    assert [(len(draft.tokens), draft.finished) for draft in drafts] == [(0, False), (2, False)]


def test_padding_id_does_not_matter_even_where_it_ends_texts_or_is_in_prompts() -> None:
    for padding_id in (0, 2, 7):
        drafts = [Draft(list(prompt), LIMIT) for prompt in prompts()]
        write(network_of("gpt2"), drafts, ENDS, padding_id, 100)
        assert [(draft.tokens, draft.finished) for draft in drafts] == expected("gpt2")


def test_a_draft_takes_as_long_as_its_batch_needed_to_its_last_token(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(generation.time, "perf_counter", lambda: float(next(ticks)))  # one second per step
    for batch_size in (1, 7, 100):
        for draft in drafts_of("llama", batch_size):
            assert draft.seconds == len(draft.tokens) + draft.finished  # the token that ends it takes a step too


def test_advance_is_told_of_every_draft_once() -> None:
    told: list[int] = []
    write(network_of("llama"), [Draft([3], 1) for _ in range(7)], ENDS, 0, 3, told.append)
    assert told == [3, 3, 1]


# --- replies ---------------------------------------------------------------------------------------------------------


def request_for(prompt: str, cap: int | None = None, temperature: float = 0.0, role: str = "answer") -> Request:
    return Request(role, prompt, "q", max_new_tokens=cap, temperature=temperature)


def test_replies_are_the_decoded_text_of_transformers_generate_with_tokens_counted() -> None:
    tokenizer = characters()
    student = student_of(NETWORKS["gpt2"](len(tokenizer), seed=1), tokenizer)
    texts = [f"{'ab12 ?' * (i % 5)}{i}" for i in range(40)]
    replies = [row[0] for row in student.generate([request_for(text) for text in texts])]
    assert {reply.finish for reply in replies} == {"stop", "length"}
    for text, reply in zip(texts, replies, strict=True):
        ids = tokenizer(f"{text}\n", return_tensors="pt")
        output = student.network.generate(
            input_ids=ids["input_ids"],
            attention_mask=ids["attention_mask"],
            do_sample=False,
            max_new_tokens=16,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        new = output[0, ids["input_ids"].shape[1] :].tolist()
        ended = new[-1] == tokenizer.eos_token_id
        assert reply.text == tokenizer.decode(new, skip_special_tokens=True)
        assert reply.finish == ("stop" if ended else "length")
        assert reply.prompt_tokens == ids["input_ids"].shape[1]
        assert reply.completion_tokens == len(new) - ended


def test_eos_is_not_in_the_text_and_finish_says_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    student = shared_student()
    tokenizer = student.tokenizer
    script = [*tokenizer.convert_tokens_to_ids(["o", "k"]), tokenizer.eos_token_id]
    step = iter(script)
    monkeypatch.setattr(generation, "_choose", lambda logits, drafts: [next(step)] * len(drafts))
    [[reply]] = student.generate([request_for("?")])
    assert (reply.text, reply.finish, reply.completion_tokens) == ("ok", "stop", 2)


@pytest.mark.parametrize(
    ("written", "reply", "finish"),
    [
        ("Sure!\nQ: 1+2\nA: 3. The answer is 3.|\nQ:|", "3. The answer is 3.", "stop"),
        ("Q: 4+3\nA: 7\n\nQ: 1+2\nA: so 3|\nQ: 5|", "so 3", "stop"),
        ("Sure!\nQ: 1+2\nA: so 3.", "so 3.", "length"),
        ("The answer is 3.|\nQ:|", "The answer is 3.", "stop"),
        ("Hm.|\nQ: 1+3|", "Hm.", "stop"),
        ("Hm.|\nQ: 9|", "Hm.", "stop"),
    ],
)
def test_a_restated_question_ends_no_text_and_is_no_part_of_it(
    written: str, reply: str, finish: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the bars stands what is written and cut; not one token more is asked for."""
    student = shared_student()
    ids = student.tokenizer(written.replace("|", ""), add_special_tokens=False)["input_ids"]
    step = iter(ids)
    monkeypatch.setattr(generation, "_choose", lambda logits, drafts: [next(step)] * len(drafts))
    request = Request("few_shot_cot", "Q: 4+3\nA: 7\n\nQ: 1+2\nA:", "q", max_new_tokens=len(ids), stop=("\nQ:",))
    [said] = student.replies([(request, 0)], log_probabilities=True)
    assert (said.text, said.finish, said.completion_tokens) == (reply, finish, len(ids))
    assert next(step, None) is None
    assert (said.log_probability is None) == (not written.startswith(reply))


def test_text_cut_at_the_cap_is_reported_as_length_and_long_prompts_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    student = student_of(shared_student().network, max_length=20, max_new_tokens=6)
    x = student.tokenizer.convert_tokens_to_ids("x")
    monkeypatch.setattr(generation, "_choose", lambda logits, drafts: [x] * len(drafts))
    requests = [request_for("a"), request_for("a", cap=3), request_for("a" * 12), request_for("a" * 17)]
    replies = [row[0] for row in student.generate(requests)]
    # <bos>, text and line feed are the prompt; the last one is cut to 14 tokens, so that 6 remain in a window of 20.
    assert [reply.text for reply in replies] == ["x" * 6, "x" * 3, "x" * 6, "x" * 6]
    assert {reply.finish for reply in replies} == {"length"}
    assert student.counters["truncated_prompts"] == 1


def test_a_prompt_that_leaves_no_room_loses_its_beginning_and_is_counted() -> None:
    student = student_of(shared_student().network, max_length=20, max_new_tokens=4)
    short, long = student.generate([request_for("a" * 14), request_for("b" * 9 + "a" * 18)])
    assert student.counters["truncated_prompts"] == 1
    assert long[0].prompt_tokens == short[0].prompt_tokens == 16


# --- sampling --------------------------------------------------------------------------------------------------------


def test_samples_follow_the_softmax_at_their_temperature() -> None:
    network = NETWORKS["llama"](8, seed=1)
    prompt = [3, 4, 5]
    logits = network(input_ids=torch.tensor([prompt])).logits[0, -1].detach().float()
    for temperature in (0.5, 1.0, 3.0):
        drafts = [Draft(prompt, 1, temperature, stream("test", i)) for i in range(3000)]
        write(network, drafts, frozenset(), 0, 500)
        counts = np.bincount([draft.tokens[0] for draft in drafts], minlength=8)
        chances = torch.softmax(logits.double() / temperature, dim=-1).numpy()
        common = chances * len(drafts) >= 5
        observed = [*counts[common], counts[~common].sum()]
        wanted = [*chances[common], chances[~common].sum()]
        if not (~common).any():
            observed, wanted = observed[:-1], wanted[:-1]
        result = stats.chisquare(observed, np.array(wanted) / sum(wanted) * sum(observed))
        assert result.pvalue > 1e-3, (temperature, observed, wanted)


def test_later_tokens_of_a_sample_follow_the_softmax_given_the_earlier_ones() -> None:
    """Chains of two tokens, over many drafts: joint frequencies equal the product of the model's conditionals."""
    network = NETWORKS["gpt2"](6, seed=4)
    drafts = [Draft([3, 4], 2, 2.0, stream("pair", i)) for i in range(3000)]
    write(network, drafts, frozenset(), 0, 1000)
    joint = np.zeros((6, 6))
    for draft in drafts:
        joint[draft.tokens[0], draft.tokens[1]] += 1
    with torch.no_grad():
        first = torch.softmax(network(torch.tensor([[3, 4]])).logits[0, -1].double() / 2, -1).numpy()
        ids = torch.tensor([[3, 4, t] for t in range(6)])
        then = torch.softmax(network(ids).logits[:, -1].double() / 2, -1).numpy()
    assert np.abs(joint / len(drafts) - first[:, None] * then).max() < 0.03
    assert np.abs(first[:, None] * then - np.outer(first, first)).max() > 0.06  # or the test could not tell


def test_samples_do_not_depend_on_batch_size_order_or_company() -> None:
    texts = [f"{'xy' * (i % 4)}{i}" for i in range(9)]
    requests = [request_for(text, temperature=1.0) for text in texts]
    student = shared_student()
    tokenizer, network = student.tokenizer, student.network
    whole = student_of(network, tokenizer, batch_size=100).generate(requests, samples=3)
    for batch_size in (1, 4):
        assert student_of(network, tokenizer, batch_size=batch_size).generate(requests, samples=3) == whole
    backwards = student_of(network, tokenizer).generate(requests[::-1], samples=3)
    assert backwards[::-1] == whole
    assert student_of(network, tokenizer).generate(requests[4:5], samples=3) == whole[4:5]
    # Asking for more samples leaves the first ones as they were.
    assert [row[:2] for row in student_of(network, tokenizer).generate(requests, samples=2)] == [
        row[:2] for row in whole
    ]


def test_requests_of_different_temperatures_in_one_batch_get_what_each_gets_alone() -> None:
    requests = [request_for(f"x{i}", temperature=temperature) for i, temperature in enumerate((1, 0, 0.3, 2.5, 0, 6))]
    student = shared_student()
    together = student_of(student.network, student.tokenizer, batch_size=100).generate(requests, samples=3)
    for request, replies in zip(requests, together, strict=True):
        assert student_of(student.network, student.tokenizer).generate([request], samples=3) == [replies]


def test_samples_differ_from_each_other_between_roles_and_between_seeds_and_equal_asks_are_equal() -> None:
    student = shared_student()
    [samples] = student.generate([request_for("a", temperature=1.0)], samples=8)
    assert len({reply.text for reply in samples}) == 8
    first, second = student.generate([request_for("a", temperature=1.0)] * 2, samples=2)
    assert first == second == samples[:2]
    [[other_role]] = student.generate([request_for("a", temperature=1.0, role="rationale")])
    other_seed = student_of(student.network, student.tokenizer, seed=2)
    [[of_other_seed]] = other_seed.generate([request_for("a", temperature=1.0)])
    assert len({samples[0].text, other_role.text, of_other_seed.text}) == 3


def test_greedy_rows_in_one_batch_with_sampled_ones_stay_greedy() -> None:
    student = shared_student()
    greedy = student.generate([request_for("a"), request_for("b")])
    mixed = student.generate([request_for("a"), request_for("c", temperature=1.5), request_for("b")])
    assert [mixed[0], mixed[2]] == greedy
    assert len(set(student.generate([request_for("a")], samples=3)[0])) == 1


# --- state -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_generation_runs_in_evaluation_mode_and_puts_the_mode_back(training: bool) -> None:
    student = shared_student()
    modes: list[bool] = []
    handle = student.network.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    student.network.train(training)
    try:
        student.generate([request_for("a")])
        assert student.network.training is training
        assert set(modes) == {False}
        assert all(weight.grad is None for weight in student.network.parameters())
    finally:
        handle.remove()
        student.network.eval()


def test_the_mode_is_put_back_also_where_generation_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    student = shared_student()
    student.network.train(True)

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(generation, "_choose", fail)
    try:
        with pytest.raises(RuntimeError, match="broken"):
            student.generate([request_for("a")])
        assert student.network.training
    finally:
        student.network.eval()


def test_nothing_asked_is_nothing_written() -> None:
    student = shared_student("llama")
    before = student.usage
    assert student.generate([]) == student.generate([], samples=3) == []
    assert student.usage == before
