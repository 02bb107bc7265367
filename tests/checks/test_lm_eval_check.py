"""The check against lm-evaluation-harness: its task, its independent reading, and what it finds."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import yaml

from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.types import Example
from tests.tasks.hard_cases import NUMBERS

Run = Callable[..., Any]
FOLDER = Path(__file__).resolve().parents[2] / "checks"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


check, reading = script("lm_eval_check"), script("lm_eval_reading")


@pytest.fixture
def cell(command: Run, miniature: tuple[str, ...], results: Any) -> Path:
    """A finished miniature with its student."""
    overrides = [each for each in miniature if "save_student" not in each]
    done = command(*overrides, f"results_dir={results.path}", "optimization.precision=32-true")
    assert done.status == 0, done.err
    [name] = results.cells()
    return Path(results.path / name)


def logged(cell: Path, folder: Path) -> list[dict[str, Any]]:
    """Samples as lm-eval logs them, from a student that says what the cell recorded."""
    texts = dict(pd.read_parquet(cell / "predictions.parquet")[["example_id", "text"]].to_numpy())
    documents = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    return [
        {"doc": each, "resps": [[texts[each["id"]]]], **reading.process_results(each, [texts[each["id"]]])}
        for each in documents
    ]


def compared(cell: Path, folder: Path, samples: list[dict[str, Any]], capsys: Any) -> tuple[int, str]:
    file = folder / "samples.jsonl"
    file.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    status = check.main(["compare", str(cell), str(file)])
    return status, capsys.readouterr().out


def test_the_task_asks_what_the_cell_asked(cell: Path, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "task"
    assert check.main(["task", str(cell), str(folder)]) == 0
    assert f"--include_path {folder}" in capsys.readouterr().out
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    predictions = pd.read_parquet(cell / "predictions.parquet")
    assert [row["prompt"] for row in rows] == [f"<bos>{prompt}\n" for prompt in predictions["prompt"]]
    assert [row["gold"] for row in rows] == list(predictions["gold"])
    assert {row["marker"] for row in rows} == {"#"}
    text = (folder / "distilled_student.yaml").read_text()
    task = yaml.safe_load(text.replace("!function ", ""))
    assert task["generation_kwargs"] == {"until": ["<eos>"], "max_gen_toks": 16, "do_sample": False}
    assert task["process_results"] == "lm_eval_reading.process_results"
    assert (folder / "lm_eval_reading.py").read_text() == (FOLDER / "lm_eval_reading.py").read_text()


def test_agreement_and_every_difference_is_told(cell: Path, tmp_path: Path, capsys: Any) -> None:
    check.main(["task", str(cell), str(tmp_path)])
    samples = logged(cell, tmp_path)
    status, out = compared(cell, tmp_path, samples, capsys)
    assert status == 0
    assert out.endswith("texts: 16 of 16 agree\nscores: 16 of 16 agree\n")
    samples[3]["resps"] = [["something else"]]
    samples[5]["strict_accuracy"] = 1.0 - samples[5]["strict_accuracy"]
    status, out = compared(cell, tmp_path, samples, capsys)
    assert status == 1
    assert "texts: 15 of 16 agree\nscores: 15 of 16 agree" in out
    assert f"{samples[3]['doc']['id']}: text" in out
    assert f"{samples[5]['doc']['id']}: score" in out
    with pytest.raises(SystemExit, match="1 questions are on one side only"):
        compared(cell, tmp_path, samples[1:], capsys)


@pytest.mark.parametrize("case", NUMBERS.cases, ids=lambda case: repr(case.text)[:40])
def test_the_independent_reading_is_our_strict_one(case: Any) -> None:
    task, example = GeneratedAnswer(), Example("a", "?", "72")
    ours = task.parse(example.without_gold(), case.text)
    theirs = reading.number(case.text)
    assert (theirs is None) == (ours is None)
    assert ours is None or theirs == pytest.approx(float(ours))


def test_the_answer_stands_behind_the_last_mark() -> None:
    assert reading.answer_of("1+1=2#3#2", "#") == "2"
    assert reading.answer_of("1+1=2", "#") == ""
    assert reading.answer_of("1+1=2", "") == "1+1=2"


def test_prompts_that_lm_eval_would_read_otherwise_are_refused(cell: Path, tmp_path: Path) -> None:
    """A tokenizer that closes every text: the harness would ask with EOS at the end."""
    file = cell / "student" / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "bos_token": "<unk>"}))
    with pytest.raises(SystemExit, match="lm-eval would make other tokens of the prompt of chain_sum-test-00000"):
        check.main(["task", str(cell), str(tmp_path)])


def test_answers_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    config = {"dataset": {"name": "x", "task": {"_target_": "benchmark.tasks.multiple_choice.MultipleChoice"}}}
    (tmp_path / "record.json").write_text(json.dumps({"config": config}))
    with pytest.raises(SystemExit, match="answers that are not numbers"):
        check.main(["task", str(tmp_path), str(tmp_path / "out")])
