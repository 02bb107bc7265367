"""Turns text into token ids, in one place: chat template, EOS, spans, and texts that do not fit the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from benchmark.student.chat_template import in_chat
from benchmark.tasks.thinking import is_tag, opens_trace
from benchmark.types import Request, TrainingExample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class EncodedExample:
    """A training example as tokens. `target`, `weights` and `spans` have one entry per target token, EOS last."""

    example: TrainingExample
    """The example as text."""
    prompt: tuple[int, ...]
    """The prompt's token ids."""
    target: tuple[int, ...]
    """The target's token ids."""
    weights: tuple[float, ...]
    """Each token's weight in the loss: its span's weight times the example's weight."""
    spans: tuple[str, ...]
    """The name of the span in which each token begins."""
    truncated: bool
    """Whether prompt or target was cut to fit the window."""

    @property
    def length(self) -> int:
        """Number of prompt and target tokens."""
        return len(self.prompt) + len(self.target)


@dataclass(frozen=True)
class Encoder:
    """Turns prompts and targets into tokens, the same way in training, scoring and generation."""

    tokenizer: PreTrainedTokenizerBase
    max_length: int
    """The window in tokens: prompt and target together."""
    prompt_apart: bool = False
    """True for an encoder: the prompt is a separate text that ends as its tokenizer ends texts.

    False: prompt and response are one sequence, with a line feed between them unless a chat template is used.
    """

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each prompt, up to the first response token, in the chat template where there is one."""
        if not texts:
            return []  # tokenizers fail on an empty batch
        if self.tokenizer.chat_template:
            # Chat models expect their turn markers; a plain prompt would be a text they were never tuned on.
            texts = [in_chat(self.tokenizer, text) for text in texts]
            return _ids(self.tokenizer, texts, add=False, split=False)
        if self.prompt_apart:
            return _ids(self.tokenizer, texts, add=True, split=True)
        lines = [f"{text}\n" for text in texts]
        return [_open(self.tokenizer, row) for row in _ids(self.tokenizer, lines, add=True, split=True)]

    def requests(self, requests: Sequence[Request]) -> list[list[int]]:
        """Token ids of each request: its prompt, then its `prefix` (the begun reply)."""
        return [[*prompt, *prefix] for prompt, prefix in self.begun(requests)]

    def begun(self, requests: Sequence[Request]) -> list[tuple[list[int], list[int]]]:
        """For each request: (token ids of its prompt, token ids of its `prefix` without spaces at its end).

        In training a space is part of the word behind it; alone it would be a token that no target has in this place.
        """
        begun = [request.prefix.rstrip(" ") for request in requests]
        prefixes = _ids(self.tokenizer, begun, add=False, split=True) if any(begun) else [[] for _ in requests]
        return list(zip(self.prompts([request.prompt for request in requests]), prefixes, strict=True))

    def texts(self, rows: list[list[int]]) -> list[str]:
        """The text of each row of token ids, without special tokens; but tags around a trace stay, special or not."""
        special = _special_ids(self.tokenizer)
        tags = {number for number, text in special.items() if is_tag(text)}
        if not tags:
            return self.tokenizer.batch_decode(rows, skip_special_tokens=True)
        hidden = special.keys() - tags
        return self.tokenizer.batch_decode([[token for token in row if token not in hidden] for row in rows])

    @property
    def begins_in_trace(self) -> bool:
        """Whether the chat template opens a trace, so that a reply is without the tag."""
        if not self.tokenizer.chat_template:
            return False
        return opens_trace(str(self.tokenizer.decode(self.prompts(["a question"])[0][-32:])))

    @property
    def line_end_ids(self) -> frozenset[int]:
        """The ids of all tokens whose text contains a line feed."""
        return _line_end_ids(self.tokenizer)

    def cut_prompt(self, prompt: Sequence[int], room: int) -> tuple[list[int], bool]:
        """(the last tokens of the prompt that leave `room` tokens of the window free, whether any token was cut)."""
        keep = max(1, self.max_length - room)
        return list(prompt[-keep:]), len(prompt) > keep

    def examples(self, examples: Sequence[TrainingExample]) -> list[EncodedExample]:
        """Turns every example into tokens.

        If an example does not fit the window, its prompt loses its beginning first; then its target loses its end, EOS
        included. Raises ValueError for `token_ids` that are empty or belong to several spans, and for `extra` numbers
        whose count is not the number of target tokens.
        """
        if not examples:
            return []
        prompts = self.prompts([example.prompt for example in examples])
        return [
            self._example(example, prompt, ids, owners)
            for example, prompt, (ids, owners) in zip(examples, prompts, self.targets(examples), strict=True)
        ]

    def targets(self, examples: Sequence[TrainingExample]) -> list[tuple[list[int], list[int]]]:
        """For each example: (all target token ids, EOS last; the index of the span in which each token begins)."""
        if not examples:
            return []
        encoded = self.tokenizer(
            [example.target_text for example in examples],
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
        )
        return [
            self._target(example, ids, [start for start, _ in offsets])
            for example, ids, offsets in zip(examples, encoded["input_ids"], encoded["offset_mapping"], strict=True)
        ]

    def _target(
        self, example: TrainingExample, ids: Sequence[int], starts: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """(target token ids, the index of each token's span): the text's tokens and EOS, or the given `token_ids`."""
        if example.token_ids is not None:
            if len(example.target) != 1 or not example.token_ids:
                raise ValueError(
                    f"an example of group {example.group!r} gives {len(example.token_ids)} token_ids for "
                    f"{len(example.target)} spans; it needs at least one token and exactly one span"
                )
            return list(example.token_ids), [0] * len(example.token_ids)
        spans = _span_of_each_character(example)
        owners = [spans[min(start, len(spans) - 1)] for start in starts]
        return [*ids, self.tokenizer.eos_token_id], [*owners, len(example.target) - 1]

    def _example(
        self, example: TrainingExample, prompt: list[int], ids: list[int], owners: list[int]
    ) -> EncodedExample:
        _refuse_other_lengths(example, len(ids))
        prompt, cut = self.cut_prompt(prompt, room=min(len(ids), self.max_length - 1))
        room = self.max_length - len(prompt)
        return EncodedExample(
            example=example,
            prompt=tuple(prompt),
            target=tuple(ids[:room]),
            weights=tuple(example.target[owner].weight * example.weight for owner in owners[:room]),
            spans=tuple(example.target[owner].name for owner in owners[:room]),
            truncated=cut or len(ids) > room,
        )


def behind(prefix: str, written: str) -> str:
    """What was written behind a begun reply, without the spaces at its end: the model wrote these anew."""
    given = len(prefix) - len(prefix.rstrip(" "))
    return written[min(given, len(written) - len(written.lstrip(" "))) :]


def _refuse_other_lengths(example: TrainingExample, tokens: int) -> None:
    for name, numbers in example.extra.items():
        if len(numbers) != tokens:
            raise ValueError(
                f"extra[{name!r}] of an example of group {example.group!r} has {len(numbers)} numbers for {tokens} "
                "target tokens (EOS included)"
            )


def _span_of_each_character(example: TrainingExample) -> list[int]:
    return [i for i, span in enumerate(example.target) for _ in span.text]


def _ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], add: bool, split: bool) -> list[list[int]]:
    """Token ids. `add` adds the tokenizer's special tokens; `split` reads special tokens in the text as plain text."""
    ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=add, split_special_tokens=split)["input_ids"]
    return ids


@lru_cache(maxsize=4)
def _line_end_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
    return frozenset(number for number, text in enumerate(texts) if "\n" in text)


@lru_cache(maxsize=4)
def _special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Id -> text of every token that `skip_special_tokens` would skip."""
    added = {number: token.content for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return {**dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)), **added}


def _open(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[int]:
    """The ids without a final EOS, which some tokenizers add to every text: the response follows this prompt."""
    return ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids
