"""Counts a teacher's replies by what came of them: empty, unreadable, cut, refused, with a trace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.teachers.replies import CONTENT_FILTER, UNREADABLE
from benchmark.types import Reply


@dataclass(frozen=True)
class ReplyCounts:
    """Numbers of replies; one reply can be in several."""

    replies: int = 0
    """All replies."""
    empty: int = 0
    """Replies without any text or trace, though they were neither refused nor unreadable."""
    unreadable: int = 0
    """Replies of a form in which no text was found."""
    cut: int = 0
    """Replies that were cut at a cap of tokens."""
    refused: int = 0
    """Replies that the model or its provider refused."""
    with_trace: int = 0
    """Replies with a trace."""
    unclosed_traces: int = 0
    """Replies that are a trace and nothing else."""
    example: str = ""
    """What the server sent for one empty or unreadable reply, shortened; empty if there is none."""

    def __add__(self, other: ReplyCounts) -> ReplyCounts:
        numbers = {name: getattr(self, name) + getattr(other, name) for name in vars(self) if name != "example"}
        return ReplyCounts(**numbers, example=self.example or other.example)

    @property
    def lost(self) -> int:
        """Replies of which nothing can be used, because they are empty or unreadable."""
        return self.empty + self.unreadable


def count_replies(replies: Iterable[Reply]) -> ReplyCounts:
    """The counts of replies whose traces stand apart (`Supplier.deliver`)."""
    return sum(map(_count, replies), start=ReplyCounts())


def _count(reply: Reply) -> ReplyCounts:
    empty = reply.is_empty and reply.finish not in (UNREADABLE, CONTENT_FILTER, "not_asked")
    return ReplyCounts(
        replies=1,
        empty=int(empty),
        unreadable=int(reply.finish == UNREADABLE),
        cut=int(reply.finish == "length"),
        refused=int(reply.finish == CONTENT_FILTER),
        with_trace=int(reply.trace is not None),
        unclosed_traces=int(reply.trace is not None and reply.text in ("", reply.trace)),
        example=reply.said if empty or reply.finish == UNREADABLE else "",
    )
