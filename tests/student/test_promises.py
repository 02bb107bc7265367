"""What the types promise of every local model: scored continuations, log-probabilities, embeddings, begun replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.student import generation
from benchmark.student.frozen import Frozen
from benchmark.student.student import Student
from benchmark.types import Contrast, Request
from tests.student.student_parts import NETWORKS, T5, characters, shared_student, student_of

TEXTS = ("1+1", "a longer text than that", "x", "7-3+2=6;6+1=7")


def asked(prompt: str = "is it 2?", **settings: Any) -> Request:
    return Request("judge", prompt, "q", **settings)


def nats_by_transformers(student: Student, prompt: str, text: str) -> float:
    """The sum over the text's tokens, from the whole model's logits on one unpadded sequence."""
    before = student.tokenizer(f"{prompt}\n")["input_ids"]
    ids = [*before, *student.tokenizer(text, add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        logits = student.network(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logits[place - 1, ids[place]]) for place in range(len(before), len(ids)))


# --- continuations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NETWORKS)
def test_generate_scores_continuations_as_transformers_does(kind: str) -> None:
    student = shared_student(kind)
    requests = [asked(continuations=("yes", "no")), asked("or 33?", prefix="well ", continuations=("no", "never"))]
    for request, replies in zip(requests, student.generate(requests, samples=2), strict=True):
        expected = [
            nats_by_transformers(student, request.prompt, request.prefix + text)
            - nats_by_transformers(student, request.prompt, request.prefix)
            for text in request.continuations
        ]
        assert [reply.text for reply in replies] == ["", ""]
        for reply in replies:
            assert reply.continuation_log_probabilities == pytest.approx(expected, abs=1e-3)


def test_scored_and_written_requests_keep_their_places_and_their_costs() -> None:
    student = student_of(shared_student().network)
    requests = [asked(max_new_tokens=3), asked(continuations=("yes",)), asked("b", max_new_tokens=2)]
    done: list[int] = []
    replies = [row[0] for row in student.generate(requests, advance=done.append)]
    assert [reply.continuation_log_probabilities is not None for reply in replies] == [False, True, False]
    assert sum(done) == 3
    assert student.usage.calls == 3
    assert student.usage.prompt_tokens == sum(reply.prompt_tokens for reply in replies)
    for request, reply in zip(requests, replies, strict=True):
        [[alone]] = student.generate([request])
        assert replace(alone, continuation_log_probabilities=None) == replace(
            reply, continuation_log_probabilities=None
        )


# --- log-probabilities -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_every_written_reply_has_the_log_probability_that_transformers_gives_it(temperature: float) -> None:
    student = shared_student()
    requests = [asked(text, max_new_tokens=5, temperature=temperature) for text in TEXTS]
    for request, replies in zip(requests, student.generate(requests, samples=2), strict=True):
        for reply in replies:
            assert reply.log_probability == pytest.approx(
                nats_by_transformers(student, request.prompt, reply.text), abs=2e-3
            )


# --- embeddings ------------------------------------------------------------------------------------------------------


def means_by_transformers(student: Student, texts: Sequence[str]) -> np.ndarray:
    """One unpadded text at a time, from `output_hidden_states`; <bos> is read and not counted."""
    rows = []
    for text in texts:
        ids = torch.tensor([student.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            states = student.network(input_ids=ids, output_hidden_states=True).hidden_states[-1][0]
        rows.append(states[1:].mean(0).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_embeddings_are_the_means_of_transformers_hidden_states(kind: str, batch_size: int) -> None:
    student = student_of(shared_student(kind).network, batch_size=batch_size)
    found = student.embeddings(TEXTS)
    assert found.shape == (4, 16)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, means_by_transformers(student, TEXTS), rtol=1e-4, atol=1e-5)
    assert (student.usage.calls, student.usage.prompt_tokens) == (4, sum(len(text) + 1 for text in TEXTS))


def test_embeddings_of_an_encoder_decoder_are_those_of_its_encoder() -> None:
    student = student_of(T5.network(1), T5.tokenizer())
    found = student.embeddings(TEXTS)
    for row, text in zip(found, TEXTS, strict=True):
        encoded = student.tokenizer(text, return_special_tokens_mask=True)
        of_text = ~torch.tensor(encoded["special_tokens_mask"], dtype=torch.bool)
        with torch.no_grad():
            states = student.network.get_encoder()(input_ids=torch.tensor([encoded["input_ids"]])).last_hidden_state[0]
        np.testing.assert_allclose(row, states[of_text].mean(0).numpy(), rtol=1e-4, atol=1e-5)


def test_embeddings_of_a_frozen_model_are_its_own() -> None:
    student = shared_student()
    assert np.array_equal(Frozen(student, 99).embeddings(TEXTS), student.embeddings(TEXTS))


def test_no_texts_no_embeddings_and_an_empty_text_is_refused_in_one_line() -> None:
    student = shared_student()
    assert student.embeddings([]).shape == (0, 16)
    with pytest.raises(ValueError, match="the text '' has no token"):
        student.embeddings(["a", ""])


def test_a_text_beyond_the_window_loses_its_end_and_is_counted() -> None:
    student = student_of(shared_student().network, max_length=8)
    cut, whole = student.embeddings(["abcdefghij", "abcdefg"])  # <bos> takes a place
    np.testing.assert_allclose(cut, whole, rtol=1e-5, atol=1e-6)
    assert student.counters["truncated_embedded_texts"] == 1


# --- begun replies ---------------------------------------------------------------------------------------------------


def test_a_begun_reply_takes_its_place_from_the_new_tokens_and_not_from_the_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    student = student_of(shared_student().network, characters(), max_length=20, max_new_tokens=6)
    x = student.tokenizer.convert_tokens_to_ids("x")
    monkeypatch.setattr(generation, "_choose", lambda logits, drafts: [x] * len(drafts))
    prompt = "a" * 10  # 12 tokens with <bos> and line feed: 8 are left
    begun = ["", "1" * 2, "1" * 5, "1" * 8, "1" * 11]
    replies = [row[0] for row in student.generate([asked(prompt, prefix=text) for text in begun])]
    assert [len(reply.text) for reply in replies] == [6, 6, 3, 0, 0]
    assert [reply.finish for reply in replies] == ["length"] * 5
    assert [reply.prompt_tokens for reply in replies] == [12 + len(text) for text in begun]
    assert student.counters["truncated_prompts"] == 0
    assert student.counters["shortened_replies"] == 3


def test_the_begun_reply_of_a_contrast_spares_both_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    student = student_of(shared_student().network, characters(), max_length=20, max_new_tokens=6)
    x = student.tokenizer.convert_tokens_to_ids("x")
    monkeypatch.setattr(generation, "_choose", lambda logits, drafts: [x] * len(drafts))
    monkeypatch.setattr(generation, "_ended", lambda own, chosen, drafts, eos_ids: chosen)
    [[reply]] = student.generate([asked("a", prefix="1" * 5, contrast=Contrast("a" * 10))])
    assert len(reply.text) == 3
    assert student.counters["truncated_prompts"] == 0
