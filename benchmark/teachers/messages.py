"""Reads an assistant's message in the JSON of a server: its text, and what the model thought before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.types import Json

TRACE_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
"""Names under which servers give the trace beside the text."""
TEXT_PARTS = frozenset({"text", "output_text"})
TRACE_PARTS = frozenset({"thinking", "reasoning", "reasoning.text", "reasoning.summary", "summary_text"})
HIDDEN_PARTS = frozenset({"redacted_thinking", "reasoning.encrypted"})
"""Parts of a trace that the provider keeps to itself."""


def text_and_trace(message: Json) -> tuple[str, str, bool]:
    """(text, trace, whether the model refused) of a message; text and trace are empty if there is none.

    The content is a text or a list of parts; text parts are joined as they are, parts of a trace with line feeds.
    Raises TypeError, KeyError or AttributeError for a message of another form.
    """
    content, refused = message.get("content"), bool(message.get("refusal"))
    if content is None and not any(name in message for name in ("role", "content", *TRACE_FIELDS)):
        raise KeyError("content")
    texts: list[str] = []
    traces: list[str] = []
    for part in content if isinstance(content, list) else [] if content is None else [content]:
        kind = "text" if isinstance(part, str) else part.get("type", "text")
        if kind in TEXT_PARTS:
            texts.append(_text(part if isinstance(part, str) else part["text"]))
        elif kind in TRACE_PARTS:
            traces.append(_trace(part))
        elif kind == "refusal":
            refused = True
        elif kind not in HIDDEN_PARTS:
            raise TypeError(f"a part of the type {kind!r}")
    beside = next((trace for name in TRACE_FIELDS if (trace := _trace(message.get(name)))), "")
    return "".join(texts), "\n".join(filter(None, traces)) or beside, refused


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text of the type {type(value).__name__}")
    return value


def _trace(value: Json) -> str:
    """The words of a trace, however deep they lie: a text, a list of parts, or a part with the text in a field."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return "\n".join(filter(None, map(_trace, value)))
    if isinstance(value, Mapping) and value.get("type") not in HIDDEN_PARTS:
        return next((words for name in (*TRACE_FIELDS, "text", "summary") if (words := _trace(value.get(name)))), "")
    return ""
