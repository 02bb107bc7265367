"""Reads a student's text for lm-evaluation-harness, without the benchmark's own code.

`lm_eval_check.py` copies this file to the folder of the task; it needs only Python. The answer is the text after the
last marker of the format, or the whole text if the format has no marker, and it must be one number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SIGN_AND_CURRENCY = r"(?P<sign>[+-]?)(?:[$€£¥]\s*)?(?P<later_sign>(?<=[$€£¥ ])[+-])?"
NUMBER = re.compile(
    rf"{SIGN_AND_CURRENCY}(?P<digits>(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?|\.\d+)\s*[%$€£¥]?", re.ASCII
)
FULL_WIDTH = {code + 0xFEE0: code for code in map(ord, "0123456789.,+-")} | {0x2212: ord("-")}
GROUPS = re.compile(r"(?<=[0-9])(?:\{?,?\\[,!;: ]\}?|['’~\u2009\u202f\u00a0])(?=[0-9])")
STYLES = ("boxed", "text", "textbf", "textit", "textrm", "mathbf", "mathrm")
AROUND = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), *((f"\\{style}{{", "}") for style in STYLES))


def process_results(document: Mapping[str, str], results: list[str]) -> dict[str, float]:
    """`strict_accuracy`: 1.0 if the text's answer and the gold number differ by at most 1e-4, else 0.0."""
    said, gold = number(answer_of(results[0], document["marker"])), number(document["gold"])
    return {"strict_accuracy": float(said is not None and gold is not None and abs(said - gold) <= 1e-4)}


def answer_of(text: str, marker: str) -> str:
    """The text after the last `marker`, empty if it does not occur; the whole text if `marker` is empty."""
    if not marker:
        return text
    _, found, behind = text.rpartition(marker)
    return behind if found else ""


def number(text: str) -> float | None:
    """The number that the text is, apart from Markdown, LaTeX and one full stop; None if it is anything else."""
    text = text.translate(FULL_WIDTH).replace("{,}", ",").replace("\\$", "$").replace("\\%", "%")
    found = NUMBER.fullmatch(bare(GROUPS.sub(",", text)))
    if found is None or (found["sign"] and found["later_sign"]):
        return None
    return float(found["sign"] + (found["later_sign"] or "") + found["digits"].replace(",", ""))


def bare(text: str) -> str:
    """The text without white space, Markdown, LaTeX and a full stop around it, inside of LaTeX too."""
    text = text.strip().strip("*_`").strip().removesuffix(".").strip().strip("*_`").strip()
    for before, behind in AROUND:
        if text.startswith(before) and text.endswith(behind) and len(text) > len(before + behind):
            return bare(text[len(before) : -len(behind)])
    return text
