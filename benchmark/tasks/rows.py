"""Reads the fields of a row by their types; datasets (from files and from the hub) and recordings share it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeGuard

from benchmark.errors import DataError
from benchmark.tasks.dataset import folded
from benchmark.tasks.shortened import shortened
from benchmark.tasks.steps import SEPARATOR

Number = int | float | Decimal
Answer = str | bool | Number
"""An answer as a file or the hub states it."""


@dataclass(frozen=True)
class Options:
    """The options of a multiple-choice question, as a row states them."""

    texts: tuple[str, ...]
    """The texts of the options."""
    labels: tuple[str, ...] = ()
    """Their labels in the same order, such as `A` to `E`; empty if the row has none."""

    def labelled(self, label: str) -> str | None:
        """The text of the option with this label; None if no option has it."""
        return dict(zip(self.labels, self.texts, strict=False)).get(label)


@dataclass(frozen=True)
class Fields:
    """The fields of one row. Every method raises DataError with the place, the field, its value and what to write.

    Null is the same as a field that is left out.
    """

    where: str
    """The place of the row, such as `FILE, line N`."""
    values: Mapping[str, Any]
    """The row by the names of its fields."""

    def id(self) -> str:
        """The id, a text that is not empty."""
        value = self.values.get("id")
        instead = f'write it as text: "{shortened(value)}"' if is_whole_number(value) else ""
        return self._filled_text("id", instead)

    def question(self) -> str:
        """The question's text."""
        return self._filled_text("question")

    def optional_text(self, name: str) -> str | None:
        """A text, as it is; None for null."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self._refusal(f"{name!r}", value, "a text or null")
        return self._encodable(f"{name!r}", value)

    def rationale(self) -> str | None:
        """The rationale: a text as it is, or a list of steps as one text; None for null."""
        value = self.values.get("rationale")
        if value is None or isinstance(value, str):
            return self.optional_text("rationale")
        if not (_is_list(value) and value and all(isinstance(step, str) and step.strip() for step in value)):
            raise self._refusal("'rationale'", value, "a text, null or a list of texts that are not blank")
        return self._encodable("'rationale'", joined_steps(value))

    def answer(self) -> Answer | None:
        """The answer as it was written; None for null. `answer_text` makes it a text."""
        value = self.values.get("answer")
        if isinstance(value, str):
            return self._encodable("'answer'", value)
        if value is None or isinstance(value, bool) or is_number(value):
            return value
        raise self._refusal("'answer'", value, "a text, a number, true or false")

    def gold_answer(self, options: Options | None) -> str:
        """The gold answer; the text of one of the options if there are any.

        `answer` is the text or label of an option; in its absence, `answerKey` is a label.
        """
        answer = self.answer()
        if answer is None and self.values.get("answerKey") is not None:
            return self._option_of_key(options)
        if answer is None or answer == "":
            raise self._refusal("'answer'", answer, "a text that is not empty", "a number, true and false are read too")
        return answer_text(answer) if options is None else self._option_of_answer(options, answer)

    def options(self) -> Options | None:
        """The options; None for null. Two may have one text, as in CommonsenseQA, but not one label."""
        value = self.values.get("choices")
        if value is None:
            return None
        if _is_list(value) and value and not any(isinstance(choice, Mapping) for choice in value):
            return Options(tuple(map(self._choice, value)))
        labels, texts = _columns(value)
        if not (_is_list(labels) and _is_list(texts) and texts):
            needed = "null or a list of texts, of numbers or of objects with 'label' and 'text'"
            raise self._refusal("'choices'", value, needed)
        if len(labels) != len(texts):
            numbers = f"{len(labels)} labels and {len(texts)} texts"
            raise self._refusal("'choices'", value, "one label for each text", f"it has {numbers}")
        options = Options(
            tuple(map(self._choice, texts)), tuple(self._label("a label of 'choices'", label) for label in labels)
        )
        if len(set(options.labels)) < len(options.labels):
            raise self._refusal("'choices'", value, "options whose labels differ")
        return options

    def sample(self) -> str:
        """The name of a sample: a number's digits or a text; `0` for null."""
        value = self.values.get("sample")
        if value is None:
            return "0"
        if isinstance(value, str):
            return self._encodable("'sample'", value)
        if not is_whole_number(value):
            raise self._refusal("'sample'", value, "a whole number or a text")
        return str(value)

    def _filled_text(self, name: str, instead: str = "") -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or not value:
            raise self._refusal(f"{name!r}", value, "a text that is not empty", instead)
        return self._encodable(f"{name!r}", value)

    def _choice(self, value: Any) -> str:
        if isinstance(value, str) and value.strip():
            return self._encodable("'choices'", value)
        if isinstance(value, bool) or is_number(value):
            return answer_text(value)
        raise self._refusal("each of 'choices'", value, "a text that is not blank, a number, true or false")

    def _label(self, subject: str, value: Any) -> str:
        if is_whole_number(value):
            return str(value)
        if isinstance(value, str) and value.strip():
            return self._encodable(subject, value)
        raise self._refusal(subject, value, "a text that is not blank or a whole number")

    def _option_of_key(self, options: Options | None) -> str:
        key = self._label("'answerKey'", self.values["answerKey"])
        if options is None or not options.labels:
            needed = "left out, as the choices have no labels"
            raise self._refusal("'answerKey'", key, needed, "write the right answer's text as 'answer'")
        text = options.labelled(key)
        if text is None:
            raise self._refusal("'answerKey'", key, f"one of the labels {shortened(list(options.labels))}")
        return text

    def _option_of_answer(self, options: Options, answer: Answer) -> str:
        text, labelled = answer_text(answer, options.texts), options.labelled(answer_text(answer))
        meant = {option for option in (text, labelled) if option in options.texts}
        if not meant:
            choices = shortened(list(options.texts))
            labels = f" or their labels {shortened(list(options.labels))}" if options.labels else ""
            said = f"answer {shortened(answer)} is not among the choices {choices}{labels}"
            raise DataError(f"{self.where}: {said}; write one of them")
        if len(meant) > 1:
            raise DataError(
                f"{self.where}: answer {shortened(answer)} is the text of one choice and the label of another, "
                f"{shortened(labelled)}; leave 'answer' out and write the label as 'answerKey'"
            )
        return meant.pop()

    def _encodable(self, subject: str, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = f"{text[error.start]!r}, half of a surrogate pair, in {shortened(text)}"
            raise DataError(f"{self.where}: {subject} holds {half}; write the whole character") from error
        return text

    def _refusal(self, subject: str, value: Any, needed: str, instead: str = "") -> DataError:
        return DataError(
            f"{self.where}: {subject} must be {needed}, but is {shortened(value)}{'; ' if instead else ''}{instead}"
        )


def _columns(choices: Any) -> tuple[Any, Any]:
    """(labels, texts) of options in one of the two ways that CommonsenseQA and ARC write them; else (None, None)."""
    if isinstance(choices, Mapping):
        return choices.get("label"), choices.get("text")
    if _is_list(choices) and all(isinstance(choice, Mapping) for choice in choices):
        return [choice.get("label") for choice in choices], [choice.get("text") for choice in choices]
    return None, None


# --- types -----------------------------------------------------------------------------------------------------------


def _is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)


def is_whole_number(value: Any) -> TypeGuard[int]:
    """Whether a value is a whole number; a truth value is none, though Python counts it as one."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> TypeGuard[Number]:
    """Whether a value is a number; truth values, NaN and infinity are none."""
    return is_whole_number(value) or (isinstance(value, float | Decimal) and math.isfinite(value))


# --- values as texts -------------------------------------------------------------------------------------------------

_MEANINGS = {True: ("yes", "true"), False: ("no", "false")}
_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_SENTENCE = re.compile(r"""[.!?:]["'”’»)\]}]*\Z""")


def answer_text(answer: Answer, choices: Sequence[str] = ()) -> str:
    """The answer as text. A number or truth value is the choice that says the same, if there is just one.

    Otherwise a number is its plain decimal text, and a truth value is `true` or `false`.
    """
    if isinstance(answer, str):
        return answer
    plain = str(answer).lower() if isinstance(answer, bool) else plain_number(answer)
    same = {choice for choice in choices if _says(choice, answer, plain)}
    return same.pop() if len(same) == 1 else plain


def plain_number(number: Number) -> str:
    """The number in decimal digits without exponent or needless zeros: `72` for 72.0, `0.0000001` for 1e-7."""
    if number == 0:
        return "0"
    digits = f"{Decimal(repr(number)) if isinstance(number, float) else Decimal(number):f}"
    return digits.rstrip("0").removesuffix(".") if "." in digits else digits


def joined_steps(steps: Sequence[str]) -> str:
    """The steps as one text: sentences with a space between them, others as the generated tasks write theirs.

    Steps are sentences if every one but the last ends like one.
    """
    steps = [step.strip() for step in steps]
    sentences = all(_SENTENCE.search(step) for step in steps[:-1])
    return (" " if sentences else SEPARATOR).join(steps)


def _says(choice: str, answer: bool | Number, plain: str) -> bool:
    text = folded(choice).removesuffix(".")
    if isinstance(answer, bool):
        return text in _MEANINGS[answer]
    return _PLAIN_NUMBER.fullmatch(text) is not None and plain_number(Decimal(text)) == plain
