"""Saves a trained student as an ordinary Hugging Face folder, which works without this benchmark's code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.student.lora import merged
from benchmark.student.student import Student


def export(student: Student, folder: Path, card: str) -> None:
    """Writes weights (safetensors, adapters merged into them), config, tokenizer and model card.

    `generate` of transformers then decodes as the student was evaluated: greedily, up to its tokenizer's EOS.
    """
    network = merged(student.network)
    network.generation_config = _decoding(student, network.config)
    network.save_pretrained(folder)
    student.tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _decoding(student: Student, config: Any) -> Any:
    """Greedy settings. The model's own settings may sample, penalise repetition, or end a text at other tokens."""
    from transformers import GenerationConfig

    return GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        eos_token_id=student.tokenizer.eos_token_id,
        pad_token_id=student.padding_id,
        bos_token_id=student.tokenizer.bos_token_id,
        decoder_start_token_id=getattr(config, "decoder_start_token_id", None),
    )
