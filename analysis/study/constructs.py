"""What people rate in an explanation: five constructs of Honey, I Shrunk the Language Model (Hendriks et al., 2025).

The names and meanings are confirmed (a drawing in the authors' repository); the statements and the words at the ends of
the scale are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

LOWEST, HIGHEST = 1, 5
"""The scale of a rating: whole numbers from the lowest to the highest."""
ANCHORS = ("disagree strongly", "disagree", "neither", "agree", "agree strongly")
"""What the numbers of the scale mean, from the lowest on."""


@dataclass(frozen=True)
class Construct:
    """One thing that people rate."""

    name: str
    """Its name, as in tables and files."""
    statement: str
    """What a participant agrees or disagrees with."""


CONSTRUCTS = (
    Construct("plausibility", "The explanation is logical and sound, and does not contradict itself."),
    Construct("understandability", "I understand the explanation as a reply to this question."),
    Construct("completeness", "The explanation names all that matters, precisely and in enough detail."),
    Construct("satisfaction", "The explanation satisfies me as a reason for the answer."),
    Construct("contrastiveness", "The explanation says why this answer is chosen and not another one."),
)
NAMES = tuple(construct.name for construct in CONSTRUCTS)
QUALITY = "quality"
"""The mean of the five ratings of one explanation by one person."""
