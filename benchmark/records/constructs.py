"""What people and judges say about an explanation: the five constructs of Honey's study, each with a statement.

Imports nothing, so that questionnaires and judges can show the same words. The statements are ours; the constructs are
those of the human study of "Honey, I Shrunk the Language Model" (docs/methods/honey.md).
"""

from __future__ import annotations

from collections.abc import Mapping

CONSTRUCTS: Mapping[str, str] = {
    "plausibility": (
        "The explanation is logically valid and sound: its parts fit together, and none contradicts another."
    ),
    "understandability": "The explanation can be understood by somebody who reads it together with the question.",
    "completeness": (
        "The explanation names all factors that matter for its answer, precisely and in enough detail for them."
    ),
    "satisfaction": "The explanation justifies its answer in a way that satisfies the reader.",
    "contrastiveness": "The explanation says why its answer is the one to choose, and why the other answers are not.",
}
"""Construct -> a statement about one explanation, with which a reader agrees more or less."""
