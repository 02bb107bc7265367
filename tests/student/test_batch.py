"""One optimiser step as tensors: what carries loss, what it is divided by, and what must not change it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from benchmark.axes.loss import CrossEntropy
from benchmark.student.attention import Rows
from benchmark.student.batch import MicroBatch, Step, collate
from benchmark.student.encoding import EncodedExample
from benchmark.student.student import Student
from benchmark.types import Per, Term
from tests.student.student_parts import (
    NETWORKS,
    PLAIN,
    characters,
    example,
    gradient,
    llama,
    losses,
    shared_student,
    slow_losses,
    slow_nats,
    student_of,
    sums,
    tokens,
)

VOCABULARY = 12
ALL_AT_ONCE = 10**9
TERMS = {
    "per_token": Term(frozenset({"a"}), coefficient=0.7),
    "one_span": Term(frozenset({"*"}), coefficient=0.3, span="answer"),
    "other_task": Term(frozenset({"b*"}), coefficient=-1.5),
}
TERMS_PER_SEQUENCE = {**TERMS, "per_sequence": Term(frozenset({"b*"}), coefficient=2.0, per="sequence")}
both_kinds_of_terms = pytest.mark.parametrize("terms", [TERMS, TERMS_PER_SEQUENCE], ids=["per_token", "per_sequence"])


@st.composite
def steps(draw: st.DrawFn) -> list[EncodedExample]:
    """The encoded examples of one step: unequal lengths, several tasks, groups of one to a few, all weights."""
    ids = st.integers(3, VOCABULARY - 1)
    rows = []
    for _ in range(draw(st.integers(1, 7))):
        length = draw(st.integers(1, 5))
        rows.append(
            tokens(
                group=draw(st.sampled_from(["g0", "g1", "g2", "g3"])),
                prompt=draw(st.lists(ids, min_size=1, max_size=9)),
                target=[*draw(st.lists(ids, min_size=length, max_size=length)), 2],
                task=draw(st.sampled_from(["a", "b1", "b2"])),
                weights=draw(
                    st.lists(st.sampled_from([1.0, 0.0, 0.5, -1.0]), min_size=length + 1, max_size=length + 1)
                ),
                spans=draw(
                    st.lists(st.sampled_from(["rationale", "answer"]), min_size=length + 1, max_size=length + 1)
                ),
                weight=draw(st.sampled_from([1.0, 0.25, 0.0])),
            )
        )
    return rows


@pytest.fixture(scope="module")
def small() -> Student:
    """A sharpened network over twelve tokens."""
    return student_of(llama(VOCABULARY))


def total(student: Student, step: Step) -> torch.Tensor:
    return torch.stack([torch.zeros((), requires_grad=True), *losses(student, step).values()]).sum()


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


# --- equality with independent computations --------------------------------------------------------------------------


@both_kinds_of_terms
@settings(max_examples=60, deadline=None, derandomize=True, phases=[Phase.generate])
@given(rows=steps(), most_tokens=st.sampled_from([1, 20, 40, ALL_AT_ONCE]))
def test_every_term_equals_a_loop_over_tokens_of_unpadded_sequences(
    small: Student, terms: dict[str, Term], rows: list[EncodedExample], most_tokens: int
) -> None:
    ours = losses(small, collate(rows, terms, 0, most_tokens))
    theirs = slow_losses(small.network, rows, terms)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert close(ours[name], value), name


@both_kinds_of_terms
@settings(max_examples=30, deadline=None, derandomize=True, phases=[Phase.generate])
@given(rows=steps(), most_tokens=st.sampled_from([1, 20, 40]), seed=st.integers(0, 99), padding_id=st.integers(0, 5))
def test_gradient_is_that_of_the_loop_whatever_the_split_the_order_and_the_padding(
    small: Student, terms: dict[str, Term], rows: list[EncodedExample], most_tokens: int, seed: int, padding_id: int
) -> None:
    zero = torch.zeros((), requires_grad=True)
    slow = torch.stack([zero, *slow_losses(small.network, rows, terms).values()]).sum()
    expected = gradient(small.network, slow)
    shuffled = random.Random(seed).sample(rows, len(rows))
    for order, cut in ((rows, ALL_AT_ONCE), (rows, most_tokens), (shuffled, most_tokens)):
        found = gradient(small.network, total(small, collate(order, terms, padding_id, cut)))
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * (1 + float(expected.abs().max())))


@pytest.mark.parametrize("kind", NETWORKS)
def test_plain_term_equals_the_loss_that_transformers_computes_from_labels(kind: str) -> None:
    student = student_of(NETWORKS[kind](VOCABULARY))
    rows = [
        tokens("g0", [3, 4, 5], [6, 7, 2]),
        tokens("g1", [8], [9, 2]),
        tokens("g2", [3, 3, 4, 4, 5], [5, 6, 7, 8, 2]),
    ]
    width = max(row.length for row in rows)
    ids, mask, labels = (torch.zeros(3, width, dtype=torch.long) for _ in range(3))
    labels -= 100
    for i, row in enumerate(rows):
        ids[i, : row.length] = torch.tensor([*row.prompt, *row.target])
        mask[i, : row.length] = 1
        labels[i, len(row.prompt) : row.length] = torch.tensor(row.target)
    theirs = student.network(input_ids=ids, attention_mask=mask, labels=labels).loss
    [ours] = losses(student, collate(rows, PLAIN, 0, ALL_AT_ONCE)).values()
    assert torch.allclose(ours, theirs, rtol=1e-5)


def test_values_of_single_tokens_are_the_hand_made_means(small: Student) -> None:
    one, two = tokens("g0", [3], [4, 2], task="a"), tokens("g1", [5, 6], [7, 8, 9, 2], task="a")
    nats = [torch.stack(slow_nats(small.network, row)) for row in (one, two)]
    expected: dict[Per, torch.Tensor] = {
        "token": (nats[0].sum() + nats[1].sum()) / 6,
        "sequence": (nats[0].mean() + nats[1].mean()) / 2,
    }
    for per, value in expected.items():
        step = collate([one, two], {"t": Term(frozenset({"a"}), per=per)}, 0, 1)
        assert torch.allclose(losses(small, step)["t"], value, rtol=1e-5), per
    assert not torch.allclose(expected["token"], expected["sequence"], rtol=0.01)


# --- what carries loss -----------------------------------------------------------------------------------------------


def test_loss_reaches_exactly_the_positions_before_response_tokens(small: Student) -> None:
    rows = [tokens("g0", [3, 4, 5], [6, 2]), tokens("g1", [8], [9, 2]), tokens("g2", [3, 3, 4, 4], [5, 6, 7, 2])]
    [batch] = collate(rows, PLAIN, 0, ALL_AT_ONCE).micro_batches
    states: list[torch.Tensor] = []

    def keep(_: Any, __: Any, output: Any) -> None:
        output.last_hidden_state.retain_grad()
        states.append(output.last_hidden_state)

    handle = small.network.base_model.register_forward_hook(keep)
    try:
        total(small, Step((batch,), {}, False, 0, 0)).backward()
    finally:
        handle.remove()
        small.network.zero_grad()
    assert states[0].grad is not None
    places = Rows.of(batch.attention_mask).places[states[0].grad[0].abs().sum(-1).nonzero()[:, 0]]
    touched = {divmod(place, batch.input_ids.shape[1]) for place in places.tolist()}
    by_length = sorted(rows, key=lambda row: row.length)
    expected = {(i, j) for i, row in enumerate(by_length) for j in range(len(row.prompt) - 1, row.length - 1)}
    assert touched == expected


@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_eos_is_learnt_also_where_padding_has_the_same_id(pad_is_eos: bool) -> None:
    tokenizer = characters(pad_is_eos)
    student = student_of(shared_student().network, tokenizer)
    assert (student.padding_id == tokenizer.eos_token_id) is pad_is_eos
    encoded = student.encoder.examples(
        [example("g0", "1+1=", "2"), example("g1", "some longer prompt", "a long answer")]
    )
    step = collate(encoded, PLAIN, student.padding_id, ALL_AT_ONCE)
    [batch] = step.micro_batches
    is_eos = batch.tokens == tokenizer.eos_token_id
    assert is_eos.sum() == 2  # once per example: not one for every padding token, and not none
    assert (batch.scale["all"][is_eos] == 1 / step.response_tokens).all()
    [ours] = losses(student, step).values()
    nats = [nat for row in encoded for nat in slow_nats(student.network, row)]
    assert torch.allclose(ours, torch.stack(nats).mean(), rtol=1e-5)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_token_is_predicted_from_those_before_it_and_only_them(kind: str) -> None:
    student = student_of(NETWORKS[kind](VOCABULARY))
    prompt, target = [3, 4, 5, 6], [7, 8, 9, 10, 2]

    def token_losses(read: Sequence[int]) -> torch.Tensor:
        """Of the target, whatever the network reads: a label that changed would look like a token that was seen."""
        [batch] = collate([tokens("g", prompt, target)], PLAIN, 0, ALL_AT_ONCE).micro_batches
        logits = student.logits(student.hidden(replace(batch, input_ids=torch.tensor([read]))))
        return torch.nn.functional.cross_entropy(logits, batch.tokens, reduction="none").detach()

    ids = [*prompt, *target]
    before = token_losses(ids)
    for position in range(len(ids)):
        other = [*ids[:position], 11, *ids[position + 1 :]]
        changed = (token_losses(other) - before).abs() > 1e-4
        # A token of the target is context of what comes later and not of itself; one of the prompt, of everything.
        first = max(0, position + 1 - len(prompt))
        assert changed.tolist() == [j >= first for j in range(len(target))], position


# --- what must not change it -----------------------------------------------------------------------------------------


def test_padding_changes_neither_loss_nor_gradient_of_a_short_row(small: Student) -> None:
    short = tokens("g0", [3, 4], [5, 2], task="a")
    long = tokens("g1", [3] * 20, [6] * 10, task="context only")
    terms = {"short": Term(frozenset({"a"}))}
    alone = losses(small, collate([short], terms, 0, ALL_AT_ONCE))["short"]
    for padding_id in (0, 2, 7):
        beside = losses(small, collate([short, long], terms, padding_id, ALL_AT_ONCE))["short"]
        assert torch.allclose(alone, beside, rtol=1e-5)
        assert close(gradient(small.network, alone), gradient(small.network, beside))
        alone = losses(small, collate([short], terms, 0, ALL_AT_ONCE))["short"]


def test_unequal_micro_batches_give_the_mean_over_the_step_and_not_the_mean_of_their_means(small: Student) -> None:
    rows = [tokens("g0", [3], [9, 2]), tokens("g1", [5], [6, 7, 8, 9, 10, 11, 3, 4, 5, 6, 7, 2])]
    step = collate(rows, PLAIN, 0, 1)
    assert len(step.micro_batches) == 2
    nats = [torch.stack(slow_nats(small.network, row)) for row in rows]
    whole = torch.cat(nats).mean()
    mean_of_means = torch.stack([one.mean() for one in nats]).mean()
    assert abs(whole - mean_of_means) > 0.05  # so that the next line can tell them apart
    assert torch.allclose(losses(small, step)["all"], whole, rtol=1e-5)


# --- denominators and weights, by hand -------------------------------------------------------------------------------


def scale_of(rows: Sequence[EncodedExample], term: Term) -> list[float]:
    """The term's scale in one micro-batch, rows in the order of `rows` (give them in ascending length)."""
    [batch] = collate(rows, {"t": term}, 0, ALL_AT_ONCE).micro_batches
    return batch.scale["t"].tolist()


A2 = tokens("g0", [3], [4, 2], task="a")
A4 = tokens("g1", [3], [4, 5, 6, 2], task="a")
B5 = tokens("g2", [3], [4, 5, 6, 7, 2], task="b")


def test_per_token_divides_by_all_tokens_of_the_term() -> None:
    assert scale_of([A2, A4, B5], Term(frozenset({"a"}))) == pytest.approx([1 / 6] * 6 + [0] * 5)
    assert scale_of([A2, A4, B5], Term(frozenset({"a", "b"}), coefficient=3)) == pytest.approx([3 / 11] * 11)


def test_per_sequence_divides_by_each_length_and_by_the_number_of_sequences() -> None:
    term = Term(frozenset({"a"}), coefficient=2.0, per="sequence")
    assert scale_of([A2, A4, B5], term) == pytest.approx([2 / (2 * 2)] * 2 + [2 / (4 * 2)] * 4 + [0] * 5)


def test_per_group_counts_groups_of_the_term_and_takes_the_mean_weight_of_their_examples() -> None:
    rows = [
        replace(A2, example=replace(A2.example, group="x", weight=0.5)),
        replace(A4, example=replace(A4.example, group="x", weight=1.0)),
        replace(B5, example=replace(B5.example, group="y")),
    ]
    [batch] = collate(rows, {"t": Term(frozenset({"a"}), 3.0, "group")}, 0, ALL_AT_ONCE).micro_batches
    assert batch.scale["t"].tolist() == pytest.approx([3 * 0.75, 0.0])
    assert batch.group_of.tolist() == [0] * 6 + [1] * 5
    [batch] = collate(rows, {"t": Term(frozenset({"*"}), 3.0, "group")}, 0, ALL_AT_ONCE).micro_batches
    assert batch.scale["t"].tolist() == pytest.approx([3 * 0.75 / 2, 3 / 2])


def test_weight_zero_is_context_and_out_of_the_denominator() -> None:
    row = tokens("g", [3], [4, 5, 6, 2], weights=[0, 0, 1, 1])
    assert scale_of([row], PLAIN["all"]) == pytest.approx([0, 0, 1 / 2, 1 / 2])
    assert scale_of([A2, row], Term(frozenset({"*"}), per="sequence")) == pytest.approx(
        [1 / 4] * 2 + [0, 0, 1 / 4, 1 / 4]
    )


def test_weight_zero_still_is_context_for_what_follows(small: Student) -> None:
    """The loss of the later span changes with the text of the span that has weight 0."""
    first, second = (tokens("g", [3], [t, 6, 2], weights=[0, 1, 1]) for t in (4, 5))
    values = [losses(small, collate([row], PLAIN, 0, 1))["all"] for row in (first, second)]
    assert abs(values[0] - values[1]) > 1e-3


def test_negative_and_fractional_weights_scale_the_loss_and_leave_the_count() -> None:
    row = tokens("g", [3], [4, 5, 6, 2], weights=[1, -1, 0.5, 0.25])
    assert scale_of([row], PLAIN["all"]) == pytest.approx([1 / 4, -1 / 4, 0.5 / 4, 0.25 / 4])


def test_example_weights_multiply_and_zero_takes_the_example_out() -> None:
    half, none = (replace(tokens("h", [3], [4, 5, 2], weight=w), truncated=False) for w in (0.5, 0.0))
    assert scale_of([A2, half], PLAIN["all"]) == pytest.approx([1 / 5] * 2 + [0.5 / 5] * 3)
    assert scale_of([A2, none], PLAIN["all"]) == pytest.approx([1 / 2] * 2 + [0.0] * 3)


def test_span_narrows_a_term_in_numerator_and_denominator() -> None:
    row = tokens("g", [3], [4, 5, 6, 2], spans=["rationale", "rationale", "rationale", "answer"])
    other = tokens("h", [3], [4, 5, 6, 7, 2], spans=["rationale"] * 4 + ["other"])
    assert scale_of([row, other], Term(frozenset({"*"}), span="rationale")) == pytest.approx(
        [1 / 7] * 3 + [0] + [1 / 7] * 4 + [0]
    )
    assert scale_of([row, other], Term(frozenset({"*"}), per="sequence", span="answer")) == pytest.approx(
        [0, 0, 0, 1, 0, 0, 0, 0, 0]
    )


def test_tasks_match_by_pattern_and_the_whole_name() -> None:
    rows = [tokens(f"g{i}", [3] * (i + 1), [4, 2], task=task) for i, task in enumerate(["x:1", "x:22", "xy", "X:1"])]
    assert scale_of(rows, Term(frozenset({"x:*"}))) == pytest.approx([1 / 4] * 4 + [0] * 4)
    assert collate(rows, {"t": Term(frozenset({"x"}))}, 0, 1).micro_batches[0].scale == {}
    assert scale_of(rows, Term(frozenset({"*"}))) == pytest.approx([1 / 8] * 8)
    # Two patterns that both match a task do not count it twice.
    assert scale_of(rows, Term(frozenset({"x*", "x:1"}))) == pytest.approx([1 / 6] * 6 + [0] * 2)


def test_two_tasks_as_two_terms_are_two_means_and_not_one_token_mean(small: Student) -> None:
    answer = tokens("q", [3], [4, 2], task="answer")
    rationale = tokens("q", [5], [6, 7, 8, 9, 10, 11, 3, 2], task="rationale")
    nats = [torch.stack(slow_nats(small.network, row)) for row in (answer, rationale)]
    terms = {"answer": Term(frozenset({"answer"})), "rationale": Term(frozenset({"rationale"}), coefficient=0.5)}
    step = collate([answer, rationale], terms, 0, ALL_AT_ONCE)
    two_means = nats[0].mean() + 0.5 * nats[1].mean()
    token_mean = (nats[0].sum() + 0.5 * nats[1].sum()) / 10
    assert abs(two_means - token_mean) > 0.1
    assert torch.allclose(total(small, step), two_means, rtol=1e-5)
    assert step.micro_batches[0].scale["answer"].sum() == pytest.approx(1)
    assert step.micro_batches[0].scale["rationale"].sum() == pytest.approx(0.5)


def test_cross_entropy_refuses_a_mean_per_group_which_it_has_no_value_for() -> None:
    """Its values are per token; a scale per group would broadcast over them where a micro-batch holds one group."""
    with pytest.raises(ValueError, match="group"):
        CrossEntropy().terms({"t": Term(frozenset({"a"}), per="group")}, {})


# --- groups ----------------------------------------------------------------------------------------------------------


@dataclass
class GroupLoss:
    """A loss that is no sum over tokens: the log-sum-exp of all losses in a group, so a split group shows."""

    def values(self, batch: MicroBatch, student: Any, state: Any) -> dict[str, torch.Tensor]:
        logits = student.logits(student.hidden(batch))
        nats = torch.nn.functional.cross_entropy(logits, batch.tokens, reduction="none")
        groups = int(batch.group_of.max()) + 1
        values = torch.stack([nats[batch.group_of == g].logsumexp(0) for g in range(groups)])
        return {name: (scale * values).sum() for name, scale in batch.scale.items()}


@settings(max_examples=25, deadline=None, derandomize=True)
@given(rows=steps(), most_tokens=st.sampled_from([1, 20, 40, ALL_AT_ONCE]))
def test_group_terms_see_whole_groups_in_every_split(
    small: Student, rows: list[EncodedExample], most_tokens: int
) -> None:
    rows = [replace(row, weights=(1.0,) * len(row.target), example=replace(row.example, weight=1.0)) for row in rows]
    step = collate(rows, {"t": Term(frozenset({"*"}), per="group")}, 0, most_tokens)
    by_group: dict[str, list[torch.Tensor]] = {}
    for row in rows:
        by_group.setdefault(row.example.group, []).extend(slow_nats(small.network, row))
    expected = torch.stack([torch.stack(nats).logsumexp(0) for nats in by_group.values()]).mean()
    assert torch.allclose(losses(small, step, GroupLoss())["t"], expected, rtol=1e-4)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows=steps(), most_tokens=st.integers(1, 120))
def test_micro_batches_hold_every_example_once_in_whole_groups_within_the_limit(
    rows: list[EncodedExample], most_tokens: int
) -> None:
    step = collate(rows, TERMS, 0, most_tokens)
    seen = [one for batch in step.micro_batches for one in batch.examples]
    assert sorted(map(repr, seen)) == sorted(repr(row.example) for row in rows)
    homes = [{one.group for one in batch.examples} for batch in step.micro_batches]
    assert sum(map(len, homes)) == len({row.example.group for row in rows})
    for batch, groups in zip(step.micro_batches, homes, strict=True):
        assert batch.input_ids.numel() <= most_tokens or len(groups) == 1
        assert batch.attention_mask.sum(1).max() == batch.input_ids.shape[1]  # no wider than its longest row
    assert step.tokens == sum(row.length for row in rows)
    assert (
        step.response_tokens == sum(len(row.target) for row in rows) == sum(len(b.tokens) for b in step.micro_batches)
    )


def test_limit_counts_padded_tokens_and_is_used_up() -> None:
    rows = [tokens(f"g{i}", [3], [4, 5, 2]) for i in range(10)]
    assert [len(b.examples) for b in collate(rows, PLAIN, 0, 16).micro_batches] == [4, 4, 2]
    assert [len(b.examples) for b in collate(rows, PLAIN, 0, 15).micro_batches] == [3, 3, 3, 1]


def test_micro_batches_join_groups_of_similar_length_which_spares_padding() -> None:
    rows = [tokens(f"g{i}", [3] * (1 + 7 * i % 16), [4, 2]) for i in range(16)]
    step = collate(rows, PLAIN, 0, 60)
    lengths = [batch.attention_mask.sum(1).tolist() for batch in step.micro_batches]
    assert [length for cut in lengths for length in cut] == list(range(3, 19))
    padded = sum(batch.input_ids.numel() for batch in step.micro_batches)
    in_given_order = sum(4 * max(row.length for row in rows[i : i + 4]) for i in range(0, 16, 4))
    assert padded - step.tokens < 0.5 * (in_given_order - step.tokens)


# --- what a micro-batch says of itself -------------------------------------------------------------------------------


def test_numbers_of_rows_groups_and_spans_lead_back_to_their_tokens() -> None:
    student = shared_student()
    encoded = student.encoder.examples(
        [example("g1", "aa", "b", "cd", task="x"), example("g0", "a", "e"), example("g1", "a", "ff")]
    )
    [batch] = collate(encoded, PLAIN, 0, ALL_AT_ONCE).micro_batches
    for n, token in enumerate(batch.tokens.tolist()):
        row = int(batch.example_of[n])
        mine = batch.examples[row]
        assert token == batch.input_ids[batch.rows[n], batch.columns[n] + 1]
        assert int(batch.rows[n]) == row
        assert batch.group_of[n] == batch.group_of[int((batch.example_of == row).nonzero()[0])]
        text = student.tokenizer.decode([token], skip_special_tokens=True)
        assert text in mine.target_text
    groups = {batch.examples[int(e)].group: int(g) for e, g in zip(batch.example_of, batch.group_of, strict=True)}
    assert sorted(groups.values()) == [0, 1]
    assert batch.span("target").all()
    assert not batch.span("no such span").any()


def test_moving_a_step_keeps_every_number() -> None:
    encoded = shared_student().encoder.examples(sums(3))
    step = collate(encoded, PLAIN, 0, ALL_AT_ONCE, {"temperature": 2.0}, fresh_optimiser=True)
    moved = step.to("cpu")
    assert (moved.settings, moved.fresh_optimiser, moved.tokens) == ({"temperature": 2.0}, True, step.tokens)
    [one], [other] = step.micro_batches, moved.micro_batches
    for name, value in vars(one).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(other, name)), name
    assert torch.equal(one.scale["all"], other.scale["all"])
