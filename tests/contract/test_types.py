"""The types of the contract explain themselves, and a wrong word fails where it is written, before any work."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any, cast

import pytest

from benchmark.teachers.stored_reply import reply_of
from benchmark.types import Reply, Term
from tests.test_architecture import REPOSITORY, named

FILES = sorted(path for room in ("contract", "types") for path in (REPOSITORY / "benchmark" / room).rglob("*.py"))
FEW_FIELDS = 3
"""A type with so few fields may explain them in its own docstring."""


def undocumented(source: str) -> list[str]:
    """`Type.field` for every field without a text under it, in types with more than three."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            fields = [(at, field) for at, field in enumerate(node.body) if isinstance(field, ast.AnnAssign)]
            if len(fields) > FEW_FIELDS:
                found += [
                    f"{node.name}.{ast.unparse(field.target)}"
                    for at, field in fields
                    if not _is_text(node.body[at + 1 : at + 2])
                ]
    return found


def _is_text(statements: list[ast.stmt]) -> bool:
    return any(
        isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) and isinstance(each.value.value, str)
        for each in statements
    )


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_type_with_more_than_three_fields_explains_each_under_it(path: Path) -> None:
    assert not undocumented(path.read_text(encoding="utf-8"))


def test_a_field_without_a_text_is_seen() -> None:
    four = 'class A:\n    a: int\n    """Text."""\n    b: int\n    c: int\n    """Text."""\n    d: int = 0\n'
    assert undocumented(four) == ["A.b", "A.d"]
    assert undocumented("class A:\n    a: int\n    b: int\n    c: int\n") == []


def test_a_term_that_is_a_mean_per_something_unknown_is_refused_where_it_is_made() -> None:
    with pytest.raises(ValueError, match="a mean per token, sequence or group, not per 'word'"):
        Term(frozenset({"answer"}), per=cast(Any, "word"))


def test_a_reply_that_ended_for_an_unknown_reason_is_refused_where_it_is_made() -> None:
    with pytest.raises(ValueError, match="finish='done' of a reply must be one of stop, length, "):
        Reply("4", finish=cast(Any, "done"))


def test_a_reply_in_an_older_store_keeps_the_server_s_own_word() -> None:
    reply = reply_of(json.dumps({"text": "4", "finish": "tool_calls"}))
    assert (reply.text, reply.finish, reply.said) == ("4", "other", "finish_reason: tool_calls")
    assert reply_of(json.dumps({"text": "4", "finish": "length"})) == Reply("4", "length")
