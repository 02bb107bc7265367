"""Chat templates: the same prompt on every day, and one line where a template cannot make the prompt."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from benchmark.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEMPLATE_DATE = "2024-07-26"
"""Today, for every template that asks: any constant would do; this one is the fallback of Llama 3's own template."""
_CLOCK = re.compile(r"strftime_now\s*\(\s*(?P<quote>['\"])(?P<format>.*?)(?P=quote)\s*\)")
_OTHER_CLOCK = re.compile(r"\bstrftime_now\s*\(")


def refuse_no_date(template_date: str) -> None:
    """Raises ValueError for a text that is no date."""
    try:
        date.fromisoformat(template_date)
    except ValueError as error:
        raise ValueError(f"template_date={template_date!r} is no date, such as {TEMPLATE_DATE}") from error


def fix_date(tokenizer: PreTrainedTokenizerBase, template_date: str, setting: str) -> None:
    """Writes a date into the tokenizer's chat template in place of the clock, so that a saved tokenizer has it too.

    Raises ModelError if the template reads the clock in a way in which no date can be written.
    """
    templates: Any = tokenizer.chat_template
    fixed: Any
    if isinstance(templates, dict):  # several, by name
        fixed = {name: _dated(template, template_date, setting) for name, template in templates.items()}
    else:
        fixed = _dated(templates or "", template_date, setting) or None
    if fixed != templates:
        tokenizer.chat_template = fixed


def _dated(template: str, template_date: str, setting: str) -> str:
    day = datetime.fromisoformat(template_date)
    dated = _CLOCK.sub(lambda found: repr(day.strftime(found["format"])), template)
    if _OTHER_CLOCK.search(dated):
        raise ModelError(
            f"{setting}: its chat template reads the clock (strftime_now) with a computed format, so that its prompts "
            "differ from day to day; write a constant into the template"
        )
    return dated


def in_chat(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """A prompt as the only turn of a user, up to the first token of the reply.

    Raises ModelError if the template refuses that, for example because it demands a system prompt.
    """
    turns = [{"role": "user", "content": text}]
    try:
        return str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
    except MemoryError:
        raise
    except Exception as error:  # a template may raise anything; Jinja has five kinds of its own
        said = " ".join(str(error).split())
        raise ModelError(
            f"the chat template of {tokenizer.name_or_path} cannot make a prompt of one turn by a user "
            f"({type(error).__name__}: {said}); mend the template, or remove it for plain prompts"
        ) from error
