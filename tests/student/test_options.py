"""Log-probabilities of options: those of whole sequences, whatever is shared, padded or batched."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from benchmark.student import options
from benchmark.student.encoding import Encoder
from benchmark.student.options import EncodedOptions, OptionRequest, encode
from benchmark.student.student import Student
from tests.student.student_parts import NETWORKS, T5, characters, llama, shared_student, sharpened, student_of

REQUESTS = [
    OptionRequest("q0", "Where do fish live?", "", ("river", "sky", "a big lake", "sea")),
    OptionRequest("q1", "1+1=", "two#", ("2", "3")),
    OptionRequest("q2", "a longer prompt than the others", "it is so.#", ("the bank", "the band", "th", "the bank")),
    OptionRequest("q3", "b", "", ("x",)),
    OptionRequest("q4", "", "why#", ("", "yes", "no")),
]
KINDS = ("llama", "gpt2", "padded vocabulary", "t5")


@lru_cache(maxsize=4)
def student(kind: str) -> Student:
    if kind in NETWORKS:
        return shared_student(kind)
    if kind == "t5":
        return student_of(sharpened(T5.network(1)), T5.tokenizer())
    return student_of(llama(len(characters()) + 27))


def plainly(kind: str, request: OptionRequest) -> list[list[float]]:
    """Every token of every reply (begun text, option, EOS), by one whole unpadded sequence of transformers alone."""
    network: Any = student(kind).network
    tokenizer: Any = student(kind).tokenizer
    found = []
    for option in request.options:
        reply = [*tokenizer(request.begun + option, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        with torch.no_grad():
            if kind == "t5":
                prompt = tokenizer(request.prompt, return_tensors="pt").input_ids
                logits = network(input_ids=prompt, labels=torch.tensor([reply])).logits[0]
            else:
                prompt = tokenizer(request.prompt + "\n").input_ids
                prompt = prompt[:-1] if prompt[-1] == tokenizer.eos_token_id else prompt
                logits = network(input_ids=torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1]
        log_probabilities = torch.log_softmax(logits.float(), -1)
        found.append([float(log_probabilities[i, token]) for i, token in enumerate(reply)])
    return found


def close(found: Sequence[Sequence[float]], expected: Sequence[Sequence[float]]) -> bool:
    return [list(row) for row in found] == [pytest.approx(list(row), abs=1e-4) for row in expected]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_one_whole_sequence_per_option(kind: str) -> None:
    """Characters are tokens here, so all of an option is scored, and all of what stands before it is shared."""
    for request, found in zip(REQUESTS, student(kind).option_log_probabilities(REQUESTS), strict=True):
        assert [len(row) for row in found] == [len(option) + 1 for option in request.options]
        expected = [row[len(request.begun) :] for row in plainly(kind, request)]
        assert close(found, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("batch_size", "tokens"), [(1, 10**6), (2, 10**6), (100, 10**6), (100, 60)])
def test_scores_do_not_depend_on_batches_or_order(
    kind: str, batch_size: int, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [row for request in REQUESTS for row in student(kind).option_log_probabilities([request])[0]]
    monkeypatch.setattr(options, "PADDED_TOKENS", tokens)
    monkeypatch.setattr(options, "PROJECTED_TOKENS", 7)
    own = student(kind)
    other = student_of(own.network, own.tokenizer, batch_size=batch_size)
    shuffled = random.Random(batch_size).sample(range(len(REQUESTS)), len(REQUESTS))
    for order in (list(range(len(REQUESTS))), shuffled):
        found = dict(zip(order, other.option_log_probabilities([REQUESTS[i] for i in order]), strict=True))
        assert close([row for i in range(len(REQUESTS)) for row in found[i]], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_what_options_share_is_read_once_per_question(kind: str) -> None:
    """By the tokens that pass the input embedding: the prompt once, and of a decoder the begun reply once too."""
    own, read = student(kind), 0

    def count(_: Any, arguments: tuple[torch.Tensor, ...]) -> None:
        nonlocal read
        read += arguments[0].numel()

    rows = own.network.get_input_embeddings().weight.shape[0]
    embeddings = [m for m in own.network.modules() if isinstance(m, torch.nn.Embedding) and m.weight.shape[0] == rows]
    hooks = [embedding.register_forward_pre_hook(count) for embedding in embeddings]
    try:
        before = own.usage
        own.option_log_probabilities([REQUESTS[2]])
        used = own.usage - before
    finally:
        for hook in hooks:
            hook.remove()
    [encoded] = encode(own.encoder, [REQUESTS[2]])
    prompt, begun, longest = len(encoded.branches.prompt), len(REQUESTS[2].begun), len("the bank")
    assert read == (prompt + 4 * (1 + begun + longest) if kind == "t5" else prompt + begun + 4 * longest)
    assert (used.calls, used.prompt_tokens) == (1, prompt + begun + 3 * longest + len("th"))


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_only_positions_before_options_are_projected(kind: str) -> None:
    own, projected = student(kind), 0

    def count(_: Any, arguments: tuple[torch.Tensor, ...]) -> None:
        nonlocal projected
        projected += arguments[0].shape[:-1].numel()

    hook = own.network.get_output_embeddings().register_forward_pre_hook(count)
    try:
        own.option_log_probabilities(REQUESTS)
    finally:
        hook.remove()
    assert projected == sum(len(option) + 1 for request in REQUESTS for option in request.options)


def test_weights_keep_their_mode_and_get_no_gradient() -> None:
    own = student("llama")
    own.network.train()
    try:
        own.option_log_probabilities(REQUESTS)
        assert own.network.training
        assert all(weight.grad is None for weight in own.network.parameters())
    finally:
        own.network.eval()


def test_progress_is_told_in_questions() -> None:
    told: list[int] = []
    student("llama").option_log_probabilities(REQUESTS, told.append)
    assert sum(told) == len(REQUESTS)


# --- tokens at the border --------------------------------------------------------------------------------------------


def merging() -> PreTrainedTokenizerFast:
    """Reads `#a`, `#ab` and ` s` as one token, so that a reply is not the tokens of its parts."""
    pieces = ["<pad>", "<eos>", "<unk>", *"#abcdesx ", "#a", "#ab", " s"]
    merges = [("#", "a"), ("#a", "b"), (" ", "s")]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=" ", prepend_scheme="never", split=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def pieces(begun: str, *choices: str, max_length: int = 64) -> tuple[list[str], list[list[str]], EncodedOptions]:
    """(the begun reply, the endings), in tokens."""
    tokenizer = merging()
    encoder = Encoder(tokenizer, max_length)
    [encoded] = encode(encoder, [OptionRequest("q", "xx", begun, choices)])
    as_text: Any = tokenizer.convert_ids_to_tokens
    endings = [as_text(list(ending)) for ending in encoded.branches.endings]
    return as_text(list(encoded.branches.begun)), endings, encoded


def test_a_reply_is_tokenised_as_a_whole() -> None:
    """`#` and `a` are one token in training, so they are one token here, and `#` counts where options differ in it."""
    begun, endings, _ = pieces("x#", "a", "bc", "ab")
    assert begun == ["x"]
    assert endings == [["#a", "<eos>"], ["#", "b", "c", "<eos>"], ["#ab", "<eos>"]]


def test_what_all_options_share_within_themselves_is_scored_all_the_same() -> None:
    """Otherwise a mean over tokens would not be one over the option's."""
    begun, endings, _ = pieces("x#", "dad", "dab")
    assert begun == ["x", "#"]
    assert endings == [["d", "a", "d", "<eos>"], ["d", "a", "b", "<eos>"]]


def test_a_space_at_the_border_goes_with_the_word() -> None:
    begun, endings, _ = pieces("x ", "s", "d")
    assert (begun, endings) == (["x"], [[" s", "<eos>"], [" ", "d", "<eos>"]])


def test_an_option_may_begin_as_another_ends() -> None:
    begun, endings, _ = pieces("", "d", "de", "")
    assert (begun, endings) == ([], [["d", "<eos>"], ["d", "e", "<eos>"], ["<eos>"]])


# --- the window ------------------------------------------------------------------------------------------------------


def test_the_prompt_gives_way_first_then_the_begun_reply_and_never_an_option() -> None:
    request = OptionRequest("q", "p" * 30, "r" * 10 + "#", ("one", "three"))

    def lengths(max_length: int) -> tuple[int, int, list[int], bool]:
        [encoded] = encode(Encoder(characters(), max_length), [request])
        texts = encoded.branches
        return len(texts.prompt), len(texts.begun), [len(ending) for ending in texts.endings], encoded.truncated

    whole = lengths(64)
    assert whole[1:] == (11, [4, 6], False)
    assert lengths(40) == (40 - 17, 11, [4, 6], True)
    assert lengths(12) == (1, 5, [4, 6], True)
    assert lengths(7) == (1, 0, [4, 6], True)
    with pytest.raises(ValueError, match=r"option of question 'q' has 6 tokens.*raise student.max_length"):
        lengths(6)


def test_what_was_cut_is_counted() -> None:
    own = student("llama")
    short = student_of(own.network, own.tokenizer, max_length=24)
    short.option_log_probabilities(REQUESTS)
    assert short.counters["truncated_option_prompts"] == 2
