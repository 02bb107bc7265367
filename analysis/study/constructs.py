"""How people rate an explanation: on a scale, by the statements that judges read too."""

from __future__ import annotations

from benchmark.records.schema import CONSTRUCTS

LOWEST, HIGHEST = 1, 5
"""The scale of a rating: whole numbers from the lowest to the highest."""
ANCHORS = ("disagree strongly", "disagree", "neither", "agree", "agree strongly")
"""What the numbers of the scale mean, from the lowest on."""
NAMES = tuple(CONSTRUCTS)
"""The constructs in the order in which they are asked about."""
QUALITY = "quality"
"""The mean of the five ratings of one explanation by one person."""
