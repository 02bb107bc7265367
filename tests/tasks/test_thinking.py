"""Traces of reasoning models in their texts: what is a trace, what is the reply, and what is only a word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.tasks.thinking import Thought, split_thinking, untagged, with_trace, without_trace

TEXTS = [
    ("plain text", None, "plain text"),
    ("  plain\n", None, "  plain\n"),
    ("", None, ""),
    ("<think>\nhm\n</think>\n\nfour", "hm", "four"),
    ("\n <think>hm</think>four", "hm", "four"),
    ("hm\n</think>\n\nfour", "hm", "four"),
    ("</think>four", None, "four"),
    ("<think>\n\n</think>\n\nfour", None, "four"),
    ("<think>hm", "hm", ""),
    ("<think>", None, ""),
    ("four\n<think>hm", "hm", ""),
    ("<think>a</think>b\n<think>c</think>d", "a\nc", "b\nd"),
    ("<think>a <think> b</think>c", "a <think> b", "c"),
    ("<think>a</think>b </think> c", "a\nb", "c"),
    ("<think>I write </think> now\n</think>\n\nfour", "I write\nnow", "four"),
    ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>four", "hm", "four"),
    ("◁think▷hm◁/think▷four", "hm", "four"),
    ("<scratchpad>hm</scratchpad>four", "hm", "four"),
    ("the tag <think> opens a trace", None, "the tag <think> opens a trace"),
    ("<THINK>hm</THINK>four", "hm", "four"),
    ("<thinking>hm</thinking>four", "hm", "four"),
    ("<thought>hm</thought>four", "hm", "four"),
    ("<reasoning>hm</reasoning>four", "hm", "four"),
    ("<seed:think>hm</seed:think>four", "hm", "four"),
    ("[THINK]hm[/THINK]four", "hm", "four"),
    ("<|begin_of_thought|>hm<|end_of_thought|>four", "hm", "four"),
    ("<thinker>hm</thinker>four", None, "<thinker>hm</thinker>four"),
    ("<think>The answer is 5.</think>The answer is 4.", "The answer is 5.", "The answer is 4."),
]


@pytest.mark.parametrize(("text", "trace", "reply"), TEXTS)
def test_a_trace_stands_apart_from_its_reply(text: str, trace: str | None, reply: str) -> None:
    assert split_thinking(text) == Thought(trace, reply)
    assert without_trace(text) == reply


@given(trace=st.text(alphabet="ab <>/\n#", min_size=1), reply=st.text(alphabet="ab <>/\n#"))
def test_what_is_joined_is_taken_apart_again(trace: str, reply: str) -> None:
    found = split_thinking(with_trace(trace, reply))
    assert found == Thought(trace.strip() or None, reply.strip())


@pytest.mark.parametrize(
    "piece", ["<think>", "x<think>", "</think>", "\n<think></think>", " ", "\n" + " " * 50, "<|begin_of_"]
)
def test_the_work_grows_with_the_text(piece: str) -> None:
    """Were it quadratic, this would take hours."""
    split_thinking(piece * (3_000_000 // len(piece)))


@pytest.mark.parametrize(
    "trace", ["<think>\nabc\n</think>", "I close with </think> here", "a\n<think>b", "x assistantfinal y"]
)
def test_a_trace_with_tags_of_its_own_is_taken_apart_again(trace: str) -> None:
    found = split_thinking(with_trace(trace, "four"))
    assert (found.reply, found.trace) == ("four", untagged(trace))
    assert split_thinking(untagged(trace)) == Thought(None, untagged(trace))
