"""The example of docs/how-to/add-a-method.md is run as it is printed, from a folder of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import MINIATURE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-method.md"


def files_on_the_page() -> dict[str, str]:
    """The code blocks that the page tells the reader to save, by the path named in the text before them."""
    page = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"`(my_\w+/[\w/]+\.\w+)`[^`]*?(?:`[^`]*`[^`]*?)*?```(?:python|yaml)\n(.*?)```", page, re.DOTALL)
    return dict(found)


def test_a_new_method_needs_one_file_and_its_yamls_and_no_edit_here(tmp_path: Path) -> None:
    files = files_on_the_page()
    assert sorted(files) == [
        "my_conf/format/answer_first.yaml",
        "my_conf/method/answer_first.yaml",
        "my_methods/answer_first.py",
    ]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "benchmark", "-m", "hydra.searchpath=[my_conf]", "method=answer_first", *MINIATURE]
    done = subprocess.run(
        [*command, "references=false"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(PAGE.parents[2])])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    [record] = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("*/record.json")]
    assert record["method"] == "answer_first"
    assert record["identity"]["format"]["_target_"] == "my_methods.answer_first.AnswerFirst"
    assert list(record["identity"]["sources"]) == ["my_methods.answer_first"]
    assert record["train"]["optimiser_steps"] == 4


def test_the_new_method_is_checked_where_it_lies(tmp_path: Path) -> None:
    for name, text in files_on_the_page().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    printed = "python -m benchmark check-method answer_first hydra.searchpath=[my_conf]"
    assert printed in PAGE.read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *printed.split()[1:], "dataset=chain_sum"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(PAGE.parents[2])])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" checks ok, 0 failed\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my_conf", "my_methods"]
