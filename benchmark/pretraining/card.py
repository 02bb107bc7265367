"""The card beside the weights: the command, the texts, the settings and the hash."""

from __future__ import annotations

import random
from dataclasses import fields

from benchmark.pretraining.texts import (
    FORMATS,
    KNOWN_THINGS,
    LARGEST_START,
    MOST_TERMS,
    MOST_THINGS,
    SHARE_OF_SUMS,
    draw,
)
from benchmark.pretraining.train import BARE_WEIGHT, SEED, SETTINGS
from benchmark.student.source import TinyStudent
from benchmark.student.warm import NARROW, WIDE
from benchmark.tasks.trait_choice import THINGS

SHOWN = 8
"""How many texts the card shows."""
MADE_ON = {WIDE.name: "an AMD EPYC with AVX512-BF16", NARROW.name: "an AMD EPYC with AVX2"}
LINE_FEED = "\n"


def card_of(shape: TinyStudent, sha256: str) -> str:
    """The card, as Markdown, of a network's weights with this hash."""
    settings = "\n".join(f"| `{field.name}` | {getattr(SETTINGS, field.name)} |" for field in fields(SETTINGS))
    formats = "\n".join(f"| {name} | `{prompt}` | `{reply}` |" for name, (prompt, reply) in FORMATS.items())
    return f"""---
license: apache-2.0
---

# {shape.name}

The base of `student={shape.name}`: a Llama-shaped decoder on characters, float32, {shape.layers} layers of width
{shape.hidden_size}. This command makes it anew, on one thread and without a network:

```bash
python -m benchmark.pretraining{"" if shape is WIDE else f" --width {shape.hidden_size}"}
```

SHA-256 of `model.safetensors`: `{sha256}`.
Made on {MADE_ON[shape.name]}, with torch 2.13.0. Another kind of processor rounds otherwise, and so makes other bytes.

## What it was trained on

Questions that no generated dataset asks (`benchmark/pretraining/texts.py`), each in one of {len(FORMATS)} formats,
all equally frequent:

- {SHARE_OF_SUMS:.0%} sums of at most {MOST_TERMS} terms. The first number lies between {-LARGEST_START} and
  {LARGEST_START}; in a sum of three terms or more it has a sign or two digits.
- {1 - SHARE_OF_SUMS:.0%} traits: one of at most {MOST_THINGS[1]} things, or two of at most {MOST_THINGS[2]}.
  They name {len(KNOWN_THINGS)} of the {len(THINGS)} things of `trait_choice`; of the others the base knows nothing.

| format | prompt | reply |
|---|---|---|
{formats}

{SHOWN} of these texts; `⏎` is a line feed:

{_samples()}

## How

Every step draws new texts (seed {SEED}). The loss is a mean over the tokens of the replies; a token of a bare answer
counts {BARE_WEIGHT:g} times, because a bare answer has few tokens and is harder to learn.

| setting | value |
|---|---|
{settings}
"""


def _samples() -> str:
    generator = random.Random(0)
    texts = (draw(generator) for _ in range(SHOWN))
    return "\n".join(f"- `{text.prompt.replace(LINE_FEED, '⏎')}` → `{text.reply}`" for text in texts)
