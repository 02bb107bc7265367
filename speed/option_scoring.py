"""Measures multiple choice by likelihood: questions per second of the engine, and of one forward pass per option.

Reads rows `id, question, choices, answer`, shows them as `dataset=commonsense_qa` does and scores every option with the
prompts of `method=answer_only`, under bfloat16 autocast on two threads. The plain way reads the prompt again for every
option, in batches sorted by length, and projects every position; it is timed on 24 of the questions.

usage: python speed/option_scoring.py MODEL_DIR JSONL [QUESTIONS]
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch

from benchmark.axes.format import AnswerOnly
from benchmark.evaluation.likelihood import choose
from benchmark.student.load import load_student
from benchmark.student.memory import keep_freed_memory
from benchmark.student.settings import TrainerSettings
from benchmark.student.source import PretrainedStudent
from benchmark.student.student import Student
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.types import Example

THREADS, BATCH_SIZE, PLAIN_QUESTIONS = 2, 64, 24
TASK, FORMAT = MultipleChoice(), AnswerOnly()


def read(path: str, most: int | None) -> list[Example]:
    """The first `most` questions of a file; None reads all."""
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()[:most]]
    return [Example(row["id"], row["question"], row["answer"], tuple(row["choices"])) for row in rows]


def load(folder: str) -> Student:
    """The model as a cell loads it: float32 weights, bfloat16 matrix products."""
    source = PretrainedStudent("benchmark", folder, max_length=512, max_new_tokens=32, overlong="refuse")
    settings = TrainerSettings(accelerator="cpu", evaluation_batch_size=BATCH_SIZE)
    return load_student(source, 1, settings, "bf16-mixed")


@torch.no_grad()
def score_plainly(student: Student, examples: list[Example]) -> list[str]:
    """The option with the highest log-probability for every question, by one whole sequence per option."""
    eos = student.tokenizer.eos_token_id
    prompts = student.encoder.prompts([TASK.show(example.without_gold()) for example in examples])
    options = [student.tokenizer(list(e.choices or ()), add_special_tokens=False).input_ids for e in examples]
    pairs = [(i, [*ids, eos]) for i, of_question in enumerate(options) for ids in of_question]
    order = sorted(range(len(pairs)), key=lambda j: len(prompts[pairs[j][0]]) + len(pairs[j][1]))
    totals = [0.0] * len(pairs)
    for start in range(0, len(order), BATCH_SIZE):
        batch = order[start : start + BATCH_SIZE]
        rows = [torch.tensor([*prompts[pairs[j][0]], *pairs[j][1]]) for j in batch]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=eos)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = student.network(input_ids=ids, use_cache=False).logits
        for row, j in enumerate(batch):
            first, target = len(prompts[pairs[j][0]]), torch.tensor(pairs[j][1])
            log_probabilities = logits[row, first - 1 : first - 1 + len(target)].float().log_softmax(-1)
            totals[j] = float(log_probabilities.gather(1, target[:, None]).sum())
    chosen, at = [], 0
    for example in examples:
        choices = example.choices or ()
        chosen.append(choices[max(range(len(choices)), key=lambda k: totals[at + k])])
        at += len(choices)
    return chosen


def main() -> None:
    """Prints one line of JSON with rates, peak memory, accuracy and the number of equal answers."""
    torch.set_num_threads(THREADS)
    keep_freed_memory()
    folder, path, *most = sys.argv[1:]
    student, examples = load(folder), read(path, int(most[0]) if most else None)
    choose(student, examples[:8], FORMAT, TASK, "total")  # the first batch pays for memory
    evaluation = choose(student, examples, FORMAT, TASK, "total")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    every = max(1, len(examples) // PLAIN_QUESTIONS)
    some = examples[::every][:PLAIN_QUESTIONS]
    started = time.perf_counter()
    plainly = score_plainly(student, some)
    plain_seconds = time.perf_counter() - started
    ours = evaluation.predictions[::every][:PLAIN_QUESTIONS]
    same = sum(prediction.answer == answer for prediction, answer in zip(ours, plainly, strict=True))
    result = {
        "questions": len(examples),
        "seconds": round(evaluation.seconds, 2),
        "questions_per_second": round(len(examples) / evaluation.seconds, 2),
        "peak_rss_gb": round(peak, 2),
        "accuracy": round(evaluation.accuracy, 4),
        "plain_questions": len(some),
        "plain_seconds": round(plain_seconds, 2),
        "plain_questions_per_second": round(len(some) / plain_seconds, 2),
        "same_answers": same,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
