"""Measures tokens per second of greedy answers: this benchmark's loop, and `generate` of transformers.

Both get the same batches: a dataset's questions in the model's chat template, 64 in a batch. An answer ends where the
model ends it, or at 256 tokens. This benchmark runs float32 weights under bfloat16 autocast, as cells do; transformers
runs bfloat16 weights.

usage: python speed/generation.py MODEL_DIR JSONL [QUESTIONS]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from benchmark.student.fit import set_threads
from benchmark.student.load import load_student
from benchmark.student.memory import keep_freed_memory
from benchmark.student.settings import TrainerSettings
from benchmark.student.source import PretrainedStudent
from benchmark.student.student import Student
from benchmark.types import Request

BATCH_SIZE, MAX_NEW_TOKENS = 64, 256


def main() -> None:
    """Prints one line of JSON for each of the two, and one with the ratio of their rates."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    model_dir, data = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 2 * BATCH_SIZE
    questions = [json.loads(line)["question"] for line in Path(data).read_text(encoding="utf-8").splitlines()[:count]]
    student = load_student(
        PretrainedStudent("benchmark", model_dir, max_length=512, max_new_tokens=MAX_NEW_TOKENS, overlong="truncate"),
        1,
        TrainerSettings(accelerator="cpu", evaluation_batch_size=BATCH_SIZE),
        "bf16-mixed",
    )
    set_threads(TrainerSettings(), student.parameters)
    plain = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.bfloat16)
    prompts = sorted(student.encoder.prompts(questions), key=len)
    rate_of_plain = plain_rate(plain, prompts, student)
    del plain
    keep_freed_memory()  # as every cell does, and plain programs do not
    print(json.dumps({"ratio": round(our_rate(student, questions) / rate_of_plain, 2)}))


def our_rate(student: Student, questions: list[str]) -> float:
    """Tokens per second of this benchmark, EOS not counted."""
    started = time.perf_counter()
    replies = student.generate([Request("answer", question, str(i)) for i, question in enumerate(questions)])
    return told("ours", sum(reply.completion_tokens for [reply] in replies), time.perf_counter() - started)


@torch.inference_mode()
def plain_rate(network: Any, prompts: list[list[int]], student: Student) -> float:
    """Tokens per second of transformers, up to each answer's EOS, which is not counted."""
    eos, padding, tokens, started = student.tokenizer.eos_token_id, student.padding_id, 0, time.perf_counter()
    for start in range(0, len(prompts), BATCH_SIZE):
        batch = prompts[start : start + BATCH_SIZE]
        width = max(map(len, batch))
        ids = torch.tensor([[padding] * (width - len(prompt)) + prompt for prompt in batch])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in batch])
        written = network.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, pad_token_id=padding
        )[:, width:]
        tokens += sum([*row, eos].index(eos) for row in written.tolist())
    return told("plain generate", tokens, time.perf_counter() - started)


def told(side: str, tokens: int, seconds: float) -> float:
    """Prints and returns the number of tokens per second."""
    row = {"side": side, "tokens": tokens, "seconds": round(seconds, 1), "tokens_per_second": round(tokens / seconds)}
    print(json.dumps(row), flush=True)
    return tokens / seconds


if __name__ == "__main__":
    main()
