"""What does not fit between student, frozen models and data is one line each; what fits is silent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.cell.cell import Cell
from benchmark.cell.names import names_of
from benchmark.planning.compatibility import compatibility_lines
from benchmark.planning.plan_table import Listed, plan_table
from methods.white_box import WhiteBox
from tests.corridor.corridor_parts import miniature
from tests.rehearsals.tensor_parts import model_folder
from tests.student.student_parts import characters

TALK = "{% for turn in messages %}(({{ turn.role }}:{{ turn.content }}{{ END }}{% endfor %}"
BEGINS = "{% if add_generation_prompt %}((me:{{ THINK }}{% endif %}"
GOOD = TALK.replace("{{ END }}", "<eos>") + BEGINS.replace("{{ THINK }}", "")


def folder_of(path: Path, template: str | None = None, eos: str = "<eos>") -> Path:
    tokenizer = characters()
    tokenizer.chat_template = template
    tokenizer.eos_token = eos
    return model_folder(path, tokenizer=tokenizer)


def cell_of(teacher: Path, *overrides: str) -> Cell:
    slot = ("distribution_teacher=pretrained", f"distribution_teacher.path={teacher}", "distribution_teacher.name=big")
    return miniature(*slot, *overrides, loss=WhiteBox(distillation_weight=0.5))


@pytest.mark.parametrize("template", [None, GOOD], ids=["plain", "chat"])
def test_models_that_fit_are_silent(tmp_path: Path, template: str | None) -> None:
    assert compatibility_lines(cell_of(folder_of(tmp_path / "fits", template))) == []
    assert compatibility_lines(miniature()) == []


def test_another_end_of_replies_is_said_and_shown_in_the_plan(tmp_path: Path) -> None:
    cell = cell_of(folder_of(tmp_path / "other", eos="<unk>"))
    [line] = compatibility_lines(cell)
    assert line.startswith("student=tiny ends its targets with '<eos>', and distribution_teacher=big ends its replies")
    assert f"- {line}" in plan_table([Listed(names_of(cell), "", cell)])


def test_a_model_that_no_loss_reads_is_not_looked_at(tmp_path: Path) -> None:
    cell = cell_of(folder_of(tmp_path / "other", eos="<unk>"))
    plain = replace(cell, method=replace(cell.method, loss=miniature().method.loss))
    assert compatibility_lines(plain) == []


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (GOOD.partition("{% if")[0], "has no generation prompt"),
        (GOOD.replace("<eos>", "<end>"), "ends a reply with '<end>', and its tokenizer's EOS is '<eos>'"),
        (TALK.replace("{{ END }}", "<eos>") + BEGINS.replace("{{ THINK }}", "<think>"), "opens a trace"),
    ],
    ids=["no generation prompt", "another end", "a trace"],
)
def test_a_template_that_does_not_fit_is_said(tmp_path: Path, template: str, said: str) -> None:
    [line] = compatibility_lines(cell_of(folder_of(tmp_path / "model", template)))
    assert said in line
    assert "distribution_teacher=big" in line


def test_characters_that_the_student_does_not_know_are_counted(
    write_svamp: Callable[..., tuple[str, ...]], sum_rows: Any, cell: Callable[[Any], Cell], tmp_path: Path
) -> None:
    rows = [{**row, "question": row["question"].replace("Ann", "Zoë")} for row in sum_rows("train", 24)]
    [line] = compatibility_lines(cell(write_svamp(tmp_path, train=rows)))
    assert line.startswith("the tokenizer of student=tiny does not know 1 characters of svamp ('ë'), which stand in 20")
    assert "it reads them all as '<unk>'" in line


def test_special_tokens_inside_of_questions_are_counted_where_a_chat_template_reads_them(
    write_svamp: Callable[..., tuple[str, ...]], sum_rows: Any, cell: Callable[[Any], Cell], tmp_path: Path
) -> None:
    rows = [{**row, "question": f"{row['question']}<eos>"} for row in sum_rows("train", 24)]
    data = write_svamp(tmp_path / "data", train=rows)
    for template, counted in ((GOOD, 1), (None, 0)):
        student = folder_of(tmp_path / f"student {counted}", template)
        made = cell((*data, "student=smollm2_135m", f"student.path='{student}'"))
        lines = compatibility_lines(made)
        assert len(lines) == counted
        assert all("hold special tokens of student=smollm2_135m ('<eos>')" in line for line in lines)
