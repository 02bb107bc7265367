"""What people and judges say about an explanation: the five constructs of Honey's study, each with a statement.

Imports nothing, so that questionnaires and judges can show the same words. The statements are ours; the constructs are
those of the human study of "Honey, I Shrunk the Language Model" (docs/methods/honey.md).
"""

from __future__ import annotations

from collections.abc import Mapping

CONSTRUCTS: Mapping[str, str] = {
    "plausibility": "The explanation is logical and sound, and does not contradict itself.",
    "understandability": "The explanation is easy to understand, read together with the question.",
    "completeness": "The explanation names all that matters, precisely and in enough detail.",
    "satisfaction": "The explanation is a satisfying reason for the answer.",
    "contrastiveness": "The explanation says why this answer is chosen and not another one.",
}
"""Construct -> a statement about one explanation, with which a reader agrees more or less."""
