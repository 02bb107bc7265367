"""Asks an exported student again, with nothing but torch, transformers and pandas: does it say what its cell recorded?

    python reproduce_predictions.py CELL [COUNT]

CELL is the folder of a finished cell whose format asks in one turn. Prints every difference; the exit status is 1 where
there is one. Questions are batched as they were: sorted by length, a decoder's prompts padded on the left.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import transformers


def main(cell: Path, count: int | None = None) -> int:
    config = json.loads((cell / "record.json").read_text(encoding="utf-8"))["config"]
    rows = pd.read_parquet(cell / "predictions.parquet").to_dict("records")
    tokenizer = transformers.AutoTokenizer.from_pretrained(cell / "student")
    [architecture] = json.loads((cell / "student" / "config.json").read_text(encoding="utf-8"))["architectures"]
    network = getattr(transformers, architecture).from_pretrained(cell / "student").eval()
    prompts = [prompt_ids(tokenizer, row["prompt"], network.config.is_encoder_decoder) for row in rows]
    size = config["trainer"]["evaluation_batch_size"] or 64
    order = sorted(range(len(rows)), key=lambda i: (len(prompts[i]), i))
    chosen = set(range(len(rows)) if count is None else range(count))
    different = compared = 0
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        if not chosen & set(batch):
            continue
        for i, text in zip(batch, answers(network, tokenizer, [prompts[i] for i in batch], config), strict=True):
            compared += i in chosen
            if i in chosen and text != rows[i]["text"]:
                different += 1
                print(f"{rows[i]['example_id']}: recorded {rows[i]['text']!r}, now {text!r}")
    print(f"{compared - different} of {compared} predictions are reproduced")
    return 1 if different else 0


def prompt_ids(tokenizer: Any, prompt: str, has_encoder: bool) -> list[int]:
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if has_encoder:
        return list(tokenizer(prompt, split_special_tokens=True)["input_ids"])
    ids = list(tokenizer(prompt + "\n", split_special_tokens=True)["input_ids"])
    return ids[:-1] if ids[-1] == tokenizer.eos_token_id else ids


def answers(network: Any, tokenizer: Any, prompts: list[list[int]], config: Any) -> list[str]:
    wanted = config["evaluation"]["max_new_tokens"] or config["student"]["max_new_tokens"]
    width, padding = max(map(len, prompts)), tokenizer.pad_token_id
    left = 0 if network.config.is_encoder_decoder else 1
    rows, masks = [], []
    for ids in prompts:
        gap = width - len(ids)
        rows.append([padding] * gap * left + ids + [padding] * gap * (1 - left))
        masks.append([0] * gap * left + [1] * len(ids) + [0] * gap * (1 - left))
    with torch.inference_mode():
        output = network.generate(
            input_ids=torch.tensor(rows), attention_mask=torch.tensor(masks), max_new_tokens=wanted
        )
    written = output[:, width:] if left else output[:, 1:]
    return [
        tokenizer.decode(row[: min(wanted, config["student"]["max_length"] - len(ids))], skip_special_tokens=True)
        for row, ids in zip(written.tolist(), prompts, strict=True)
    ]


if __name__ == "__main__":
    status = main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
    ours = {name for name in sys.modules if name.partition(".")[0] in ("benchmark", "methods", "analysis")}
    assert not ours, f"the benchmark's own code was imported: {ours}"
    raise SystemExit(status)
