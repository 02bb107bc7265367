"""The journal: written whole or not at all, read back as it was, and damage told by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.records import journal as journals
from benchmark.records.contents import changed, contents
from benchmark.records.journal import Journal, as_json, from_json
from benchmark.student.checkpoint import packed, unpacked
from benchmark.types import (
    Annotation,
    Exchange,
    Pick,
    Question,
    Reply,
    Request,
    Round,
    RoundLog,
    Span,
    Stage,
    TrainingExample,
    Usage,
)

QUESTION = Question("q1", "2+2?", ("3", "4"), "context")
ASK = Request("few_shot_cot", "Q: 2+2?", "q1", 16, 0.7, "2+2=")
REPLY = Reply("4", "stop", 5, 1, 0.1 + 0.2, (7, 2))
ANNOTATION = Annotation(
    QUESTION, "rationale", "teacher", "2+2=4", "4", 1, {"scores": [1.5, None]}, (Exchange("t", ASK, REPLY),), 0.5, "why"
)
EXAMPLE = TrainingExample(
    "q1", "own", "2+2?", (Span("4", -0.025, "answer"),), 0.5, (ANNOTATION.id,), (7, 2), {"advantage": (1 / 3, -2.0)}
)
LOG = RoundLog(
    Round(1, 0.3, False, True),
    3,
    {"teacher": Usage(1, 2, 3, 0.1, 1)},
    {},
    {"student/selection": Usage(calls=4)},
    {"accuracy": 2 / 3},
    {"asked": 4},
)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def journal(tmp_path: Path, said: list[str]) -> Journal:
    return Journal.open(tmp_path, "cell", said.append)


@pytest.mark.parametrize("value", [QUESTION, ANNOTATION, EXAMPLE, LOG, Pick(QUESTION, 0.1, {"a": [1]})], ids=repr)
def test_a_value_survives_being_written_down(value: Any) -> None:
    assert from_json(type(value), json.loads(json.dumps(as_json(value)))) == value


def test_a_stage_survives_with_examples_of_its_own_and_of_the_format() -> None:
    other = TrainingExample("q2", "answer", "1+1?", (Span("2"),))
    stage = Stage((EXAMPLE, other), 0.25, {"tau": 1.5}, True, False, {"order": ["q1"]})
    row = json.loads(json.dumps(packed(stage, [other])))
    assert row["examples"][1] == 0  # the format's own stand as their numbers
    assert unpacked(row, [other]) == stage


def test_what_json_cannot_hold_is_refused_and_not_changed(journal: Journal) -> None:
    with pytest.raises(TypeError, match="set"):
        journal.append("rows.jsonl", as_json({"evidence": {1, 2}}))
    assert journal.lines("rows.jsonl") == []


@pytest.mark.parametrize("tail", [b'{"n": 3', b'{"n": 3}', b"\x00\x00\x00", b"{}x\n"], ids=repr)
def test_rows_behind_a_damaged_line_are_cut_off_and_told(journal: Journal, said: list[str], tail: bytes) -> None:
    for n in range(3):
        journal.append("rows.jsonl", {"n": n})
    with journal.path("rows.jsonl").open("ab") as file:
        file.write(tail)
    assert journal.lines("rows.jsonl") == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert said == [f"{journal.folder}/rows.jsonl, line 4 is damaged ({said[0].split('(')[1].split(')')[0]}); {REDONE}"]
    journal.append("rows.jsonl", {"n": 3})
    assert [row["n"] for row in journal.lines("rows.jsonl")] == [0, 1, 2, 3]
    assert len(said) == 1


REDONE = "the cell repeats the work that it held"


def test_a_line_damaged_in_the_middle_takes_those_behind_it_along(journal: Journal, said: list[str]) -> None:
    journal.path("rows.jsonl").write_text('{"n": 0}\n{"n": \n{"n": 2}\n')
    assert journal.lines("rows.jsonl") == [{"n": 0}]
    assert "rows.jsonl, line 2 is damaged" in said[0]


@pytest.mark.parametrize("damage", ["", "{", "\x00"], ids=repr)
def test_a_damaged_file_is_told_by_name_and_counts_as_missing(journal: Journal, said: list[str], damage: str) -> None:
    journal.write("picks.json", {"a": 1})
    assert journal.read("picks.json") == {"a": 1}
    journal.path("picks.json").write_text(damage)
    assert journal.read("picks.json") is None
    assert str(journal.path("picks.json")) in said[0]
    assert journal.read("never.json") is None
    assert len(said) == 1


def test_a_death_while_writing_leaves_the_old_file(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.write("end.json", {"round": 1})

    def die(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.replace("end.json", die)
    assert journal.read("end.json") == {"round": 1}


def test_another_program_starts_anew(tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that was begun by one version of the code is not finished by another."""
    journal.append("rows.jsonl", {"n": 0})
    journal.write(journals.BUYER, "me")
    said: list[str] = []
    assert Journal.open(tmp_path, "cell", said.append).lines("rows.jsonl") == [{"n": 0}]
    assert not said
    monkeypatch.setattr(journals, "_stamp", lambda: {"engine": "another"})
    anew = Journal.open(tmp_path, "cell", said.append)
    assert anew.lines("rows.jsonl") == []
    assert "another version of the code" in said[0]
    assert anew.read(journals.BUYER) == "me"  # what it has paid for stays its own


def test_files_of_a_finished_cell_are_known_by_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "student").mkdir()
    for name in ("predictions.parquet", "student/model.safetensors", "student/config.json"):
        (tmp_path / name).write_bytes(name.encode() * 100)
    files = contents(tmp_path, "predictions.parquet", "annotations.parquet", "student")
    assert sorted(files) == ["predictions.parquet", "student/config.json", "student/model.safetensors"]
    assert changed(tmp_path, files) is None

    (tmp_path / "student" / "config.json").unlink()
    assert changed(tmp_path, files) == f"{tmp_path / 'student' / 'config.json'} is missing"
    (tmp_path / "student" / "model.safetensors").unlink()
    (tmp_path / "student").rmdir()
    assert changed(tmp_path, files) is None  # weights may be deleted to save space

    whole = (tmp_path / "predictions.parquet").read_bytes()
    (tmp_path / "predictions.parquet").write_bytes(whole[:-1])
    assert "has 1899 bytes, but was written with 1900" in str(changed(tmp_path, files))
    (tmp_path / "predictions.parquet").write_bytes(whole[:-1] + b"x")
    assert "has changed since it was written" in str(changed(tmp_path, files))
