"""Checks that lm-evaluation-harness gets the same texts and scores from a student on the same questions.

    python checks/lm_eval_check.py task CELL FOLDER       writes an lm-eval task for the test questions of a cell
    python checks/lm_eval_check.py compare CELL SAMPLES   compares what lm-eval logged with the cell's predictions

CELL is the folder of a finished cell (`results/<cell_id>`) with its `student/`; SAMPLES is the file
`samples_distilled_student_*.jsonl` that `lm_eval --log_samples` wrote. docs/how-to/check-with-lm-eval.md shows it all.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

TASK = "distilled_student"
READING = Path(__file__).with_name("lm_eval_reading.py")


@dataclass(frozen=True)
class Difference:
    """A difference between this benchmark and lm-eval on one question."""

    question_id: str
    """The id of the question."""
    what: str
    """What differs: `text` or `score`."""
    ours: str
    """The value in this benchmark."""
    theirs: str
    """The value in lm-eval."""


# --- task -------------------------------------------------------------------------------------------------------------


def write_task(cell: Path, folder: Path) -> str:
    """Writes the questions, the task and its reading code to `folder`; returns the command that runs the task."""
    record = json.loads((cell / "record.json").read_text(encoding="utf-8"))
    config = record["config"]
    refuse_other_tasks(config)
    from transformers import AutoTokenizer

    from benchmark.cell.identity import precision_in

    tokenizer = AutoTokenizer.from_pretrained(cell / "student")
    rows = list(questions(pd.read_parquet(cell / "predictions.parquet"), tokenizer, config, has_encoder(cell)))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    shutil.copy(READING, folder / READING.name)
    new_tokens = config["evaluation"]["max_new_tokens"] or config["student"]["max_new_tokens"]
    ends = {"until": [tokenizer.eos_token], "max_gen_toks": new_tokens}
    if has_encoder(cell):
        ends["max_length"] = new_tokens + 1  # behind the start token; otherwise lm-eval adds the prompt's length
    (folder / f"{TASK}.yaml").write_text(task_yaml(file, ends), encoding="utf-8")
    precision = precision_in(record["identity"])
    if precision != "32-true":
        print(f"note: the cell was evaluated in {precision}; near ties may come out differently")
    batch = config["trainer"]["evaluation_batch_size"] or 64
    model = f"pretrained={cell / 'student'},dtype=float32" + (",backend=seq2seq" if has_encoder(cell) else "")
    return (
        f"lm_eval --model hf --model_args {model} --tasks {TASK} --include_path {folder} --batch_size {batch} "
        f"--device cpu --log_samples --output_path {folder / 'out'}"
    )


def refuse_other_tasks(config: dict[str, Any]) -> None:
    """Ends the program if the dataset's answers are not numbers, which is all that the reading code can read."""
    task = config["dataset"]["task"]["_target_"]
    if not task.endswith(".GeneratedAnswer"):
        raise SystemExit(f"error: {config['dataset']['name']} has answers that are not numbers ({task})")


def has_encoder(cell: Path) -> bool:
    """Whether the student is an encoder-decoder."""
    config = json.loads((cell / "student" / "config.json").read_text(encoding="utf-8"))
    return bool(config.get("is_encoder_decoder"))


def questions(
    predictions: pd.DataFrame, tokenizer: Any, config: dict[str, Any], prompt_apart: bool
) -> Iterator[dict[str, str]]:
    """Yields one row per test question. Ends the program if lm-eval would make other tokens of a prompt than we did."""
    from benchmark.student.encoding import Encoder

    encoder = Encoder(tokenizer, config["student"]["max_length"], prompt_apart)
    marker = config["format"].get("answer_marker", "")
    ids = encoder.prompts(list(predictions["prompt"]))
    for row, prompt_ids in zip(predictions.to_dict("records"), ids, strict=True):
        raw = prompt_apart and not tokenizer.chat_template
        text = row["prompt"] if raw else tokenizer.decode(prompt_ids)
        if as_lm_eval_reads(tokenizer, text, prompt_apart) != prompt_ids:
            raise SystemExit(f"error: lm-eval would make other tokens of the prompt of {row['example_id']}")
        yield {"id": row["example_id"], "prompt": text, "gold": row["gold"], "marker": marker}


def as_lm_eval_reads(tokenizer: Any, text: str, prompt_apart: bool) -> list[int]:
    """Token ids as lm-eval makes them: with special tokens, unless a decoder's text already begins with BOS."""
    bos = tokenizer.bos_token
    add = prompt_apart or bos is None or not text.startswith(bos)
    ids: list[int] = tokenizer(text, add_special_tokens=add)["input_ids"]
    return ids


def task_yaml(file: Path, ends: dict[str, Any]) -> str:
    """The task as YAML: greedy decoding with the settings in `ends`, scored by `lm_eval_reading.py`."""
    task = {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file.resolve())}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "gold",
        "num_fewshot": 0,
        "generation_kwargs": {**ends, "do_sample": False},
        "metric_list": [{"metric": "strict_accuracy", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }
    text = yaml.safe_dump(task, sort_keys=False, allow_unicode=True)
    return f"{text}process_results: !function {READING.stem}.process_results\n"


# --- compare ----------------------------------------------------------------------------------------------------------


def compare(cell: Path, samples: Path) -> tuple[int, list[Difference]]:
    """(number of questions, all differences). Ends the program if the two did not answer the same questions."""
    ours = {row["example_id"]: row for row in pd.read_parquet(cell / "predictions.parquet").to_dict("records")}
    lines = samples.read_text(encoding="utf-8").splitlines()
    theirs = {sample["doc"]["id"]: sample for sample in map(json.loads, lines)}
    if ours.keys() != theirs.keys():
        missing = sorted(ours.keys() ^ theirs.keys())
        raise SystemExit(f"error: {len(missing)} questions are on one side only, such as {missing[0]}")
    return len(ours), [difference for name in ours for difference in differences(ours[name], theirs[name])]


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[Difference]:
    """Yields the differences in text and score of one question."""
    text, score = theirs["resps"][0][0], bool(theirs["strict_accuracy"])
    if text != ours["text"]:
        yield Difference(ours["example_id"], "text", ours["text"], text)
    if score != bool(ours["correct"]):
        yield Difference(ours["example_id"], "score", str(bool(ours["correct"])), str(score))


def report(count: int, found: Sequence[Difference]) -> str:
    """A text: how many texts and scores agree, then every difference."""
    lines = []
    for what in ("text", "score"):
        lines.append(f"{what}s: {count - sum(each.what == what for each in found)} of {count} agree")
    lines += [f"{each.question_id}: {each.what}\n  ours   {each.ours!r}\n  theirs {each.theirs!r}" for each in found]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0 if both agree in everything (or the task was written), 1 if they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, second in (("task", "folder"), ("compare", "samples")):
        command = commands.add_parser(name)
        command.add_argument("cell", type=Path)
        command.add_argument(second, type=Path)
    given = parser.parse_args(arguments)
    if given.command == "task":
        print(write_task(given.cell, given.folder))
        return 0
    count, found = compare(given.cell, given.samples)
    print(report(count, found))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
