"""The trace of a reasoning model: what it thinks, between tags, before it replies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

OPENING, CLOSING = "<think>\n", "\n</think>\n\n"
"""The tags around a trace in texts of ours, as most reasoning models write them."""
_NAMES = "think|thinking|thought|reasoning|scratchpad|seed:think"
_OPENS = rf"(?:<(?:{_NAMES})>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|channel\|>analysis<\|message\|>)"
_CLOSES = (
    rf"(?:</(?:{_NAMES})>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>"
    r"|(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>|assistantfinal)"
)
_TAG = re.compile(rf"^[ \t]*{_OPENS}|(?P<closes>{_CLOSES})", re.IGNORECASE | re.MULTILINE)
"""A tag that opens a trace, at the beginning of a line, or one that closes it, in the words of several model families.
"""


@dataclass(frozen=True)
class Thought:
    """A text that a model wrote, taken apart."""

    trace: str | None
    """What it thought, without the tags; None if there is nothing."""
    reply: str
    """The rest of the text; empty if the trace never ends."""


def split_thinking(text: str) -> Thought:
    """Takes the trace out of a text; a text without tags is the reply, unchanged.

    A trace stands between an opening tag at the beginning of a line and a closing tag; several traces are joined with
    line feeds. A closing tag without an opening one ends a trace too, all before it: the chat template opened it, or
    the trace speaks of its own tag.
    """
    traces: list[str] = []
    replies: list[str] = []
    begin, inside = 0, False
    for tag, opens in _tags(text):
        (replies if opens else traces).append(text[begin : tag.start()])
        begin, inside = tag.end(), opens
    if not traces and not inside:
        return Thought(None, text)
    (traces if inside else replies).append(text[begin:])
    trace = "\n".join(part.strip() for part in traces).strip()
    return Thought(trace or None, "" if inside else "".join(replies).strip())


def behind_trace(text: str) -> int | None:
    """Where a text goes on behind its last trace; 0 if there is none, None if a trace never ends."""
    behind: int | None = 0
    for tag, opens in _tags(text):
        behind = None if opens else tag.end()
    return behind


def _tags(text: str) -> Iterator[tuple[re.Match[str], bool]]:
    """Every tag that opens or closes a trace, and whether it opens one; an opening tag inside of a trace is a word."""
    inside = False
    for tag in _TAG.finditer(text):
        opens = tag["closes"] is None
        if not (opens and inside):
            inside = opens
            yield tag, opens


def is_tag(text: str) -> bool:
    """Whether a text is a tag that opens or closes a trace, and nothing else."""
    return re.fullmatch(f"{_OPENS}|{_CLOSES}", text, re.IGNORECASE) is not None


def opens_trace(prompt: str) -> bool:
    """Whether a prompt ends with an opening tag, so that the model begins in the middle of a trace."""
    return re.search(rf"{_OPENS}\s*\Z", prompt[-64:], re.IGNORECASE) is not None


def with_trace(trace: str, text: str) -> str:
    """The text after its trace, between tags: `split_thinking` takes it apart again."""
    return f"{OPENING}{untagged(trace)}{CLOSING}{text}"


def untagged(trace: str) -> str:
    """A trace without tags of its own."""
    return _TAG.sub("", trace).strip()


def without_trace(text: str) -> str:
    """The text without its trace; empty if the trace never ends."""
    return split_thinking(text).reply
