"""Lines of JSON: what editors and pandas add is read, and what is no JSON object is refused with file and line."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import DataError
from benchmark.tasks.json_lines import read_json_lines

GOOD = b'{"id": "a"}'


def rows(folder: Path, content: bytes) -> list[dict[str, Any]]:
    (folder / "rows.jsonl").write_bytes(content)
    return [row for _, row in read_json_lines(folder / "rows.jsonl")]


def refusal(folder: Path, content: bytes) -> str:
    with pytest.raises(DataError) as refused:
        rows(folder, content)
    said = str(refused.value)
    assert said.startswith(f"{folder}/rows.jsonl")
    assert "\n" not in said
    assert len(said) < 500
    said.encode()
    return said.removeprefix(f"{folder}/")


def of_value(value: str) -> bytes:
    """A file whose second line holds a value."""
    return GOOD + b'\n{"id": "b", "answer": ' + value.encode() + b"}\n"


@pytest.mark.parametrize(
    "content",
    [
        b'{"id": "a"}\n{"id": "b"}\n',
        b'{"id": "a"}\n{"id": "b"}',
        b'\xef\xbb\xbf{"id": "a"}\n{"id": "b"}\n',
        b'\xef\xbb\xbf{"id": "a"}\n\xef\xbb\xbf{"id": "b"}\n',
        b'{"id": "a"}\r\n{"id": "b"}\r\n',
        b'\xef\xbb\xbf{"id": "a"}\r\n{"id": "b"}\r\n',
        b'{"id": "a"}\n\n{"id": "b"}\n\n\n',
        b'\n \t\r\n{"id": "a"}\n\x0b\x0c\n{"id": "b"}\n   ',
        b'\xef\xbb\xbf\r\n{"id": "a"}\n\xc2\xa0\xe3\x80\x80\n{"id": "b"}\n',
    ],
)
def test_marks_line_ends_and_blank_lines_change_nothing(tmp_path: Path, content: bytes) -> None:
    assert rows(tmp_path, content) == [{"id": "a"}, {"id": "b"}]


def test_blank_lines_are_counted(tmp_path: Path) -> None:
    assert refusal(tmp_path, GOOD + b"\r\n\r\n  \r\n{\r\n").startswith("rows.jsonl, line 4: not a JSON object")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b" \r\n\t\n"])
def test_a_file_without_a_row_is_empty(tmp_path: Path, content: bytes) -> None:
    assert refusal(tmp_path, content) == "rows.jsonl is empty"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    for text in ("café", "cafe") if encoding.startswith("utf") else ("café",):  # ASCII is the same in the others
        said = refusal(tmp_path, f'{{"id": "{text}"}}\n{{"id": "b"}}\n'.encode(encoding))
        assert said.startswith("rows.jsonl, line 1: not UTF-8")
        assert said.endswith("save the file as UTF-8")


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("where", ["{}", "[1, {}]", '{{"deep": {}}}'])
def test_numbers_that_json_does_not_have(tmp_path: Path, token: str, where: str) -> None:
    said = refusal(tmp_path, of_value(where.format(token)))
    assert said == f"rows.jsonl, line 2: {token} is no JSON value; write null where there is no value"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("1e999", "the number 1e999 is too large"),
        ("-1e999", "the number -1e999 is too large"),
        ("1.5E+400", "the number 1.5E+400 is too large"),
        ("1e99999999999999999999999", "the number 1e999999999999999999... is too large"),
        ("1e-999", "the number 1e-999 is too small"),
        ("1e-999999999", "the number 1e-999999999 is too small"),
        ("1" + "0" * 5000, "the whole number 10000000000000000000... has 5001 digits"),
        ("-" + "7" * 9000, "the whole number -7777777777777777777... has 9000 digits"),
        ("[" + "9" * 4301 + "]", "has 4301 digits"),
    ],
)
def test_numbers_that_cannot_be_held(tmp_path: Path, number: str, said: str) -> None:
    message = refusal(tmp_path, of_value(number))
    assert message.startswith("rows.jsonl, line 2: ")
    assert said in message


@pytest.mark.parametrize(
    ("written", "held"),
    [
        ("72", 72),
        ("72.10", Decimal("72.10")),
        ("1e-7", Decimal("1e-7")),
        ("0.12345678901234567890123", Decimal("0.12345678901234567890123")),
        ("0e999999999", 0),
        ("0e99999999999999999999999", 0),
        ("-0.0", 0),
        ("9" * 4300, int("9" * 4300)),
    ],
)
def test_numbers_are_held_as_written(tmp_path: Path, written: str, held: object) -> None:
    assert rows(tmp_path, of_value(written))[1]["answer"] == held


@pytest.mark.parametrize("value", ["[" * 100_000, '{"a":' * 100_000, '[{"a":' * 50_000 + "1" + "}]" * 50_000])
def test_what_is_nested_too_deeply(tmp_path: Path, value: str) -> None:
    assert refusal(tmp_path, of_value(value)).startswith("rows.jsonl, line 2: lists or objects are nested too deeply")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('{"id": "b", "answer": 1, "id": "b"}', "'id'"),
        ('{"id": "b", "answer": "1", "answer": "2"}', "'answer'"),
        ('{"id": "b", "choices": {"label": ["A"], "label": ["B"]}}', "'label'"),
        ('{"id": "b", "choices": [{"text": "x", "text": "y"}]}', "'text'"),
        (r'{"\ud83d": 1, "\ud83d": 2}', r"'\ud83d'"),
    ],
)
def test_a_key_that_is_there_twice(tmp_path: Path, line: str, key: str) -> None:
    said = refusal(tmp_path, GOOD + b"\n" + line.encode() + b"\n")
    assert said == f"rows.jsonl, line 2: {key} is there twice in one object; keep one of them"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1, 2]", "not a JSON object but list"),
        ('"text"', "not a JSON object but str"),
        ("null", "not a JSON object but NoneType"),
        ("7", "not a JSON object but int"),
        ('{"id": "b"', "not a JSON object (Expecting ',' delimiter)"),
        ("id,question,answer", "not a JSON object (Expecting value)"),
        ("{'id': 'b'}", "not a JSON object (Expecting property name enclosed in double quotes)"),
        ('{"id": "b"} {"id": "c"}', "not a JSON object (Extra data)"),
    ],
)
def test_a_line_that_is_no_object(tmp_path: Path, line: str, said: str) -> None:
    message = refusal(tmp_path, GOOD + b"\n" + line.encode() + b"\n")
    assert message == f"rows.jsonl, line 2: {said}; write one JSON object a line"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'[{"id": "a"}, {"id": "b"}]', 1),
        (b'\xef\xbb\xbf[{"id":"a"}]\r\n', 1),
        (b'\n[\n  {"id": "a"},\n  {"id": "b"}\n]\n', 2),
        (b"[]", 1),
    ],
)
def test_a_file_that_is_one_list_is_what_pandas_writes_without_lines(tmp_path: Path, content: bytes, line: int) -> None:
    said = refusal(tmp_path, content)
    assert said.startswith(f"rows.jsonl, line {line}: the file begins with a JSON list")
    assert "lines=True" in said
