"""Measures seconds per optimiser step and peak memory of TRL's own tiled divergence, the peer of `white_box_step.py`.

TRL's GKD trainer holds all logits of both models. TRL 1.16 also has a kernel that does not, but only its on-policy
trainer uses it. Here the GKD trainer gets that kernel: same models, rows, collator and optimiser, off-policy, beta 0.5.
The kernel sees response positions only, as it does on a GPU.

usage: python speed/chunked_rival_step.py MODEL_DIR JSONL [STEPS] [bfloat16|float32]      (needs trl 1.16)
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl.experimental.gkd import GKDConfig, GKDTrainer
from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

BATCH_SIZE, MAX_LENGTH, LAYERS = 8, 256, 10


class TiledTrainer(GKDTrainer):  # type: ignore[misc]  # trl has no types
    """The GKD trainer with the tiled divergence as its loss."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The Jensen-Shannon divergence, a mean over the response tokens of the batch."""
        predicts = inputs["labels"][:, 1:] != -100
        tokens = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        self.teacher_model.eval()
        with torch.no_grad():
            theirs = self.teacher_model.base_model(**tokens, use_cache=False).last_hidden_state[:, :-1][predicts]
        ours = model.base_model(**tokens, use_cache=False).last_hidden_state[:, :-1][predicts]
        head, their_head = (each.get_output_embeddings().weight for each in (model, self.teacher_model))
        divergences, _ = ChunkedDivergenceFunction.apply(ours, head, None, theirs, their_head, None, self.beta)
        return divergences.mean()


class StepSeconds(TrainerCallback):
    """Wall-clock seconds of every optimiser step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Starts the clock."""
        self.started = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stops it."""
        self.seconds.append(time.perf_counter() - self.started)


def main() -> None:
    """Prints one line of JSON with seconds per step and peak memory."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    model_dir, data = sys.argv[1:3]
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 8
    dtype = sys.argv[4] if len(sys.argv) > 4 else "bfloat16"
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    tokenizer.pad_token = tokenizer.eos_token
    teacher, student = (AutoModelForCausalLM.from_pretrained(model_dir, dtype=getattr(torch, dtype)) for _ in range(2))
    student.model.layers = student.model.layers[:LAYERS]
    student.config.num_hidden_layers = LAYERS
    clock = StepSeconds()
    TiledTrainer(
        model=student,
        teacher_model=teacher,
        args=arguments(steps, dtype),
        train_dataset=Dataset.from_list(conversations(Path(data), BATCH_SIZE * steps)),
        processing_class=tokenizer,
        callbacks=[clock],
    ).train()
    seconds = sorted(clock.seconds[2:])
    row = {
        "steps": steps,
        "precision": dtype,
        "seconds_per_step_median_after_two": round(seconds[len(seconds) // 2], 3),
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }
    print(json.dumps(row))


def arguments(steps: int, dtype: str) -> Any:
    """The trainer's settings: off-policy, on the CPU, without reports and checkpoints."""
    return GKDConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=BATCH_SIZE,
        max_steps=steps,
        learning_rate=1e-5,
        lmbda=0.0,
        beta=0.5,
        max_length=MAX_LENGTH,
        use_cpu=True,
        bf16=dtype == "bfloat16",
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )


def conversations(path: Path, count: int) -> list[dict[str, Any]]:
    """The first `count` rows of a dataset's file as questions and worked solutions."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line, _ in zip(file, range(count), strict=False)]
    return [
        {
            "messages": [
                {"role": "user", "content": row["question"]},
                {"role": "assistant", "content": f"{row['rationale']}\n#### {row['answer']}"},
            ]
        }
        for row in rows
    ]


if __name__ == "__main__":
    main()
