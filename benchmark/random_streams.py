"""Random numbers by name: a stream depends only on its words, never on earlier draws from other streams."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def stream_seed(*words: str | int) -> int:
    """A 128-bit seed from the words; ("a", "b") and ("ab",) differ, and so do 1 and "1"."""
    digest = hashlib.sha256(json.dumps(words, separators=(",", ":")).encode()).digest()
    return int.from_bytes(digest[:16], "big")


def stream(*words: str | int) -> np.random.Generator:
    """A new generator; equal words always give the same sequence of numbers."""
    return np.random.Generator(np.random.PCG64(stream_seed(*words)))
