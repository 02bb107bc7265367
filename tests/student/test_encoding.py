"""Text to tokens: which span owns a token, how prompts are framed, and what is cut where the window is short."""

from __future__ import annotations

import string
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from tokenizers.decoders import ByteLevel
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from benchmark.student.encoding import EncodedExample, Encoder, behind
from benchmark.types import Request, Span
from tests.student.student_parts import TINY, characters, example, sharpened, student_of

CHAT = (
    "{% for message in messages %}<bos>[{{ message.role }}]{{ message.content }}[end]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
PLAIN_TEXT = "".join(c for c in string.printable[:95] if c not in "<>")


@pytest.fixture(scope="module")
def merges() -> PreTrainedTokenizerBase:
    """A BPE without word borders, trained so that `nsw`, `er=`, ... are single tokens."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    trainer = trainers.BpeTrainer(
        vocab_size=120,
        special_tokens=["<unk>", "<eos>", "<pad>"],
        initial_alphabet=list(PLAIN_TEXT),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["answer=12", "the answer=7", "so answer=4"] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>", pad_token="<pad>")


@pytest.fixture(scope="module")
def bytes_() -> PreTrainedTokenizerBase:
    """A byte-level BPE like that of GPT-2: tokens hold the space before a word, and characters may be split."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the answer is", "an answer"] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>")


def encode(tokenizer: PreTrainedTokenizerBase, *spans: Span, weight: float = 1.0) -> EncodedExample:
    [encoded] = Encoder(tokenizer, 512).examples([example("g", "q", *spans, weight=weight)])
    return encoded


def names(*texts: str) -> list[Span]:
    """Spans named 0, 1, 2, ... with weights 1, 2, 3, ..."""
    return [Span(text, weight=i + 1.0, name=str(i)) for i, text in enumerate(texts)]


# --- spans -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, derandomize=True)
@given(texts=st.lists(st.text(PLAIN_TEXT + "\n", max_size=8), min_size=1, max_size=4), weight=st.floats(-2, 2))
def test_every_character_token_belongs_to_the_span_of_its_character_and_eos_to_the_last(
    texts: list[str], weight: float
) -> None:
    tokenizer = characters()
    encoded = encode(tokenizer, *names(*texts), weight=weight)
    owners = [i for i, text in enumerate(texts) for _ in text] + [len(texts) - 1]
    assert encoded.spans == tuple(str(i) for i in owners)
    assert encoded.weights == pytest.approx([(i + 1.0) * weight for i in owners])
    assert encoded.target[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(encoded.target[:-1]) == "".join(texts)
    assert not encoded.truncated


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cuts=st.lists(st.integers(0, 20), min_size=1, max_size=3), text=st.sampled_from(["the answer=12", "answer=7"]))
def test_a_token_across_span_borders_belongs_to_the_span_where_it_starts(
    merges: PreTrainedTokenizerBase, cuts: list[int], text: str
) -> None:
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    spans = names(*(text[a:b] for a, b in pairwise(borders)))
    encoded = encode(merges, *spans)
    pieces = merges.convert_ids_to_tokens(list(encoded.target[:-1]))
    assert "".join(pieces) == text  # the tokens of the whole target, not of each span
    assert len(pieces) < len(text)
    starts = [sum(map(len, pieces[:i])) for i in range(len(pieces))]
    owner_of = [i for i, span in enumerate(spans) for _ in span.text]
    assert encoded.spans == (*(str(owner_of[start]) for start in starts), str(len(spans) - 1))


def test_target_tokens_are_those_of_the_joined_text_so_that_spans_change_no_token(
    merges: PreTrainedTokenizerBase,
) -> None:
    whole, cut = encode(merges, Span("the answer=12")), encode(merges, *names("the an", "swer", "=1", "2"))
    assert whole.target == cut.target
    assert whole.prompt == cut.prompt


def test_all_bytes_of_a_split_character_belong_to_its_span(bytes_: PreTrainedTokenizerBase) -> None:
    encoded = encode(bytes_, *names("é", "🙂", "the", "日本"))
    counts = {name: encoded.spans.count(name) for name in "0123"}
    # 2 bytes, 4 bytes, and twice 3 bytes with EOS
    assert (counts["0"], counts["1"], counts["3"]) == (2, 4, 7)
    assert bytes_.decode(encoded.target[:-1]) == "é🙂the日本"


def test_a_word_with_its_space_belongs_to_the_span_of_the_word(bytes_: PreTrainedTokenizerBase) -> None:
    for spans in (names("the", " answer"), names("the ", "answer")):
        encoded = encode(bytes_, *spans)
        pieces = bytes_.convert_ids_to_tokens(list(encoded.target))
        owner = dict(zip(pieces, encoded.spans, strict=True))
        assert next(name for piece, name in owner.items() if piece.startswith("Ġ")) == "1"


def test_unknown_characters_are_one_token_each_and_shift_no_border() -> None:
    tokenizer = characters()
    encoded = encode(tokenizer, *names("aé🙂", "日b"))
    unknown = tokenizer.unk_token_id
    a, b = tokenizer.convert_tokens_to_ids(["a", "b"])
    assert encoded.target == (a, unknown, unknown, unknown, b, tokenizer.eos_token_id)
    assert encoded.spans == ("0", "0", "0", "1", "1", "1")


def test_a_special_tokens_name_in_a_text_is_text_and_ends_nothing() -> None:
    tokenizer = characters()
    encoded = encode(tokenizer, *names("a<eos>", "b"))
    assert encoded.target.count(tokenizer.eos_token_id) == 1
    assert encoded.spans == ("0",) * 6 + ("1", "1")
    [prompt] = Encoder(tokenizer, 64).prompts(["<pad>"])
    assert prompt == tokenizer.convert_tokens_to_ids(["<bos>", *"<pad>", "\n"])


def test_empty_spans_own_nothing_but_a_last_one_owns_eos() -> None:
    assert encode(characters(), *names("", "ab", "")).spans == ("1", "1", "2")
    only_eos = encode(characters(), *names(""))
    assert (only_eos.target, only_eos.spans) == ((characters().eos_token_id,), ("0",))


def test_examples_tokenised_together_equal_those_tokenised_alone(merges: PreTrainedTokenizerBase) -> None:
    encoder = Encoder(merges, 64)
    rows = [example(f"g{i}", "the question " * i, *names("so the ", "answer=" + "7" * i)) for i in range(4)]
    assert encoder.examples(rows) == [encoder.examples([row])[0] for row in rows]


# --- prompts ---------------------------------------------------------------------------------------------------------


def test_plain_prompts_are_bos_text_and_one_line_feed() -> None:
    tokenizer = characters()
    [ids] = Encoder(tokenizer, 64).prompts(["a b"])
    assert ids == tokenizer.convert_tokens_to_ids(["<bos>", "a", " ", "b", "\n"])


def test_chat_template_is_applied_exactly_once_in_prompts_and_training_examples() -> None:
    tokenizer = characters()
    tokenizer.chat_template = CHAT
    encoder = Encoder(tokenizer, 64)
    [ids] = encoder.prompts(["1+1="])
    # The template writes its own <bos>: the tokenizer, which adds one to plain texts, must not add a second.
    assert tokenizer.decode(ids) == "<bos>[user]1+1=[end][assistant]"
    assert ids.count(tokenizer.bos_token_id) == 1
    [encoded] = encoder.examples([example("g", "1+1=", "2")])
    assert list(encoded.prompt) == ids
    assert tokenizer.decode(encoded.target) == "2<eos>"  # the template frames prompts only


def test_a_tokenizer_that_closes_every_text_with_eos_does_not_close_prompts() -> None:
    tokenizer = characters()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[(t, tokenizer.convert_tokens_to_ids(t)) for t in ("<bos>", "<eos>")]
    )
    encoder = Encoder(tokenizer, 64)
    assert [tokenizer.decode(ids) for ids in encoder.prompts(["a", "bcd"])] == ["<bos>a\n", "<bos>bcd\n"]
    [encoded] = encoder.examples([example("g", "a", "b")])
    assert tokenizer.decode(encoded.target) == "b<eos>"


@pytest.mark.parametrize("template", [None, CHAT])
def test_prompt_of_training_is_the_prompt_of_generation(template: str | None) -> None:
    tokenizer = characters()
    tokenizer.chat_template = template
    network = sharpened(TINY.network(1))
    student = student_of(network, tokenizer)
    seen: list[list[int]] = []
    network.register_forward_pre_hook(
        lambda _, __, kwargs: seen.append(kwargs["input_ids"][0].tolist()), with_kwargs=True
    )
    student.generate([Request("answer", "1+1=", "q", max_new_tokens=1)])
    [encoded] = student.encoder.examples([example("g", "1+1=", "2")])
    assert list(encoded.prompt) == seen[0]


# --- truncation ------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None, derandomize=True)
@given(prompt=st.integers(0, 20), target=st.integers(0, 20), window=st.integers(2, 30))
def test_the_prompts_beginning_gives_way_first_and_then_the_targets_end(prompt: int, target: int, window: int) -> None:
    tokenizer = characters()
    text = (string.digits * 2)[:target]
    spans = (Span(text[: target // 2], name="a"), Span(text[target // 2 :], name="b"))
    row = example("g", string.ascii_letters[:prompt], *spans)
    [whole], [cut] = (Encoder(tokenizer, size).examples([row]) for size in (1000, window))
    assert not whole.truncated
    assert (len(whole.prompt), len(whole.target)) == (prompt + 2, target + 1)
    assert cut.truncated == (whole.length > window)
    assert cut.length == min(whole.length, window)
    kept_prompt = max(1, min(len(whole.prompt), window - len(whole.target)))
    assert cut.prompt == whole.prompt[-kept_prompt:]
    kept = len(cut.target)
    assert kept == min(len(whole.target), window - kept_prompt)
    assert (cut.target, cut.weights, cut.spans) == (whole.target[:kept], whole.weights[:kept], whole.spans[:kept])


def test_a_prompt_that_fits_exactly_is_whole_and_one_token_more_is_cut() -> None:
    encoder = Encoder(characters(), 10)
    assert encoder.cut_prompt(range(8), room=2) == ([*range(8)], False)
    assert encoder.cut_prompt(range(9), room=2) == ([*range(1, 9)], True)
    assert encoder.cut_prompt(range(9), room=99) == ([8], True)


def test_a_begun_reply_ends_where_a_token_of_training_ends(bytes_: PreTrainedTokenizerBase) -> None:
    """` answer` with its space is one token: a space alone behind `the` would stand where no target has it."""
    encoder = Encoder(bytes_, 512)
    target = list(encode(bytes_, Span("the answer is")).target)
    [(_, begun)] = encoder.begun([Request("answer", "q", "q", prefix="the ")])
    assert begun == target[: len(begun)] != []
    assert bytes_.decode(target[len(begun) :][:1]) == " answer"
    [(_, with_space)] = encoder.begun([Request("answer", "q", "q", prefix="the answer\n")])
    assert bytes_.decode(with_space) == "the answer\n"


@pytest.mark.parametrize(
    ("prefix", "written", "kept"),
    [
        ("is ", " ape", "ape"),
        ("is ", "ape", "ape"),
        ("is", " ape", " ape"),
        ("is ", "  ape", " ape"),
        ("is  ", " ape", "ape"),
        ("", " ape", " ape"),
        ("is ", "", ""),
        ("is ", " ", ""),
    ],
)
def test_spaces_of_a_begun_reply_are_not_said_twice(prefix: str, written: str, kept: str) -> None:
    assert behind(prefix, written) == kept
