"""What becomes of the tokens that a top-k signal leaves out; apart, because a config is read without torch."""

from __future__ import annotations

from typing import Literal

Tail = Literal["drop", "renormalise", "bucket"]
"""See `methods.divergences.on_kept_tokens`."""
