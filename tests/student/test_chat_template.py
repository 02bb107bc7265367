"""A chat template makes the same prompt on every day, and one that cannot make a prompt is refused in one line."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from benchmark.cell.identity import cell_id
from benchmark.errors import ConfigError
from benchmark.student.source import PretrainedStudent
from benchmark.teachers.in_process import TransformersTeacher
from benchmark.teachers.store_key import teacher_identity
from tests.corridor.corridor_parts import miniature
from tests.rehearsals.tensor_parts import TEACHER, model_folder

Run = Callable[..., Any]
TURNS = "{% for m in messages %}{{ m.content }}{% endfor %}\n"
CLOCKS = {
    "Llama 3": "{% if strftime_now is defined %}{% set d = strftime_now('%d %b %Y') %}{% endif %}Today: {{ d }}\n"
    + TURNS,
    "double quotes": 'Today: {{ strftime_now("%d %b %Y") }}\n' + TURNS,
    "spaces": "Today: {{ strftime_now( '%d %b %Y' ) }}\n" + TURNS,
    "two formats": "Today: {{ strftime_now('%d') ~ ' ' ~ strftime_now('%b %Y') }}\n" + TURNS,
}


def folder_with(template: str | None, folder: Path) -> Path:
    tokenizer = copy.deepcopy(TEACHER.tokenizer())
    tokenizer.chat_template = template
    return model_folder(folder, tokenizer=tokenizer)


def student(folder: Path, **settings: Any) -> PretrainedStudent:
    return PretrainedStudent("dated", str(folder), 128, 16, **settings)


def prompt(source: PretrainedStudent) -> str:
    turns = [{"role": "user", "content": "1+1"}]
    return str(source.tokenizer().apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the date that templates read."""
    from transformers.utils import chat_template_utils

    def set_to(day: str) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
                return datetime.fromisoformat(day)

        monkeypatch.setattr(chat_template_utils, "datetime", Clock)

    return set_to


@pytest.mark.parametrize("template", CLOCKS.values(), ids=CLOCKS.keys())
def test_a_prompt_does_not_change_with_the_day(template: str, tmp_path: Path, clock: Callable[[str], None]) -> None:
    folder = folder_with(template, tmp_path / "model")
    seen, bare = set(), set()
    for day in ("2026-01-31", "2027-02-01"):
        clock(day)
        source = student(folder)
        seen.add((prompt(source), cell_id(replace(miniature(), student=source))))
        unfixed = copy.deepcopy(source.tokenizer())
        unfixed.chat_template = template
        bare.add(unfixed.apply_chat_template([{"role": "user", "content": "1+1"}], tokenize=False))
    [(text, _)] = seen
    assert text.startswith("Today: 26 Jul 2024")
    assert len(bare) == 2, "the clock did move"


def test_another_date_is_another_cell_and_another_request_of_a_teacher(tmp_path: Path) -> None:
    folder = folder_with(CLOCKS["Llama 3"], tmp_path / "model")
    usual, other = student(folder), student(folder, template_date="2030-12-24")
    assert prompt(other).startswith("Today: 24 Dec 2030")
    assert cell_id(replace(miniature(), student=usual)) != cell_id(replace(miniature(), student=other))
    teacher = TransformersTeacher("t", str(folder), 128, 16)
    identity = teacher_identity(teacher, miniature().dataset)
    assert "template_date" not in identity["settings"], "replies that were bought before keep their keys"
    assert teacher_identity(replace(teacher, template_date="2030-12-24"), miniature().dataset) != identity
    assert teacher.source.tokenizer().chat_template.count("26 Jul 2024") == 1


def test_a_saved_tokenizer_has_the_date_too(tmp_path: Path) -> None:
    source = student(folder_with(CLOCKS["two formats"], tmp_path / "model"))
    source.tokenizer().save_pretrained(tmp_path / "saved")
    assert "strftime_now(" not in (tmp_path / "saved" / "chat_template.jinja").read_text()


def test_a_computed_format_is_refused(tmp_path: Path) -> None:
    folder = folder_with("{% set f = '%d' %}{{ strftime_now(f) }}" + TURNS, tmp_path / "model")
    with pytest.raises(ConfigError, match=r"reads the clock \(strftime_now\) with a computed format"):
        student(folder).tokenizer()


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", ""])
def test_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no date, such as 2024-07-26"):
        PretrainedStudent("dated", "x", 128, 16, template_date=text)


RAISING = {
    "no system turn": "{{ raise_exception('a system turn must come first') }}",
    "an unknown filter of a value": "{{ messages[0].content.nothing.at_all }}",
    "a wrong type": "{{ messages[0].content + 1 }}",
}


@pytest.mark.parametrize("template", RAISING.values(), ids=RAISING.keys())
@pytest.mark.parametrize("mode", ["plan", "run"])
@pytest.mark.parametrize("sweep", [(), ("seed=1,2", "-m")])
def test_a_template_that_raises_is_one_line(
    template: str, mode: str, sweep: tuple[str, ...], command: Run, miniature: Any, results: Any, tmp_path: Path
) -> None:
    folder = folder_with(template, tmp_path / "model")
    model = ("student=smollm2_135m", "optimization=tiny", f"student.path={folder}", "student.max_length=128")
    done = command(*model, *miniature, f"mode={mode}", "references=false", f"results_dir={results.path}", *sweep)
    assert done.status != 0
    assert "Traceback" not in done.err + done.out
    assert "cannot make a prompt of one turn by a user" in done.err + done.out
    assert len([line for line in done.err.splitlines() if line.startswith("error: ")]) == 1
