"""What a student wrote for a test question, and what was read from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """One evaluated example: what the student wrote, what was read from it, and whether it is right."""

    example_id: str
    """The id of the test question."""
    prompt: str
    """The student's last prompt, before its chat template or line feed is added."""
    text: str
    """What the student wrote to that prompt."""
    rationale: str
    """The reasoning in what the student wrote; empty if its format writes none on the answer path."""
    answer: str | None
    """The answer read strictly, which decides the accuracy; None if there is none."""
    gold: str
    """The gold answer."""
    correct: bool
    """Whether `answer` is right; in a task with its own metric, see `grade`."""
    flexible_answer: str | None
    """The answer searched for in the whole text; None if none or several are found."""
    flexible_correct: bool
    """Whether `flexible_answer` is right."""
    truncated: bool
    """True if any generation of the answer was cut at the token cap."""
    prompt_tokens: int
    """Tokens that the student read, summed over all generations of the answer."""
    completion_tokens: int
    """Tokens that the student wrote, summed over all generations of the answer."""
    grade: float | None = None
    """How good the answer is, in [0, 1], by the task's own metric; None if the task has none."""
    reasoning_right: bool | None = None
    """Whether the rationale's steps are right; None if the dataset cannot check them or there are none."""
    option_scores: tuple[float, ...] | None = None
    """Score per option, in the question's order; set only where the likeliest option is the answer."""

    @property
    def outcome(self) -> str | None:
        """What became of the answer: the first that holds of `right`, `truncated`, `unread` (no answer) and `wrong`.

        None in a task with its own metric, whose answers are neither right nor wrong.
        """
        if self.grade is not None:
            return None
        if self.correct:
            return "right"
        if self.truncated:
            return "truncated"
        return "unread" if self.answer is None else "wrong"


@dataclass(frozen=True)
class SampledAnswer:
    """One of several answers that were sampled for a test question."""

    example_id: str
    """The id of the test question."""
    sample: int
    """Counts from 0 per question."""
    text: str
    """What the student wrote for the last role of the answer path."""
    answer: str | None
    """The answer read strictly; None if there is none."""
    correct: bool
    """Whether `answer` is right."""
    truncated: bool
    """True if any generation of the answer was cut at the token cap."""
    completion_tokens: int
    """Tokens that the student wrote, summed over all generations of the answer."""


@dataclass(frozen=True)
class Explanation:
    """What the student wrote when it was asked, after the test, to explain a test question; not part of any score."""

    example_id: str
    """The id of the test question."""
    question: str
    """The question as the dataset words it, so that people and other models can judge the row on its own."""
    context: str | None
    """A text that the question refers to; None if there is none."""
    choices: tuple[str, ...] | None
    """The options of a multiple-choice question; None otherwise."""
    prompt: str
    """The student's last prompt, before its chat template or line feed is added."""
    text: str
    """What the student wrote to that prompt."""
    explanation: str
    """The explanation in it."""
    answer: str | None
    """The student's answer in the test, which it may or may not explain; None if there is none."""
    correct: bool
    """Whether that answer is right."""
    truncated: bool
    """True if any generation of the explanation was cut at the token cap."""
    prompt_tokens: int
    """Tokens that the student read for the explanation; 0 where the test's own text explains."""
    completion_tokens: int
    """Tokens that the student wrote for the explanation; 0 where the test's own text explains."""
    words: int
    """Words of letters and digits in the explanation."""
    sentences: int
    """Sentences in it, as far as full stops, question and exclamation marks tell."""
    wrong_choices_named: int | None
    """Wrong choices that occur in it as whole words; None for a question without choices."""
    names_own_answer: bool | None
    """Whether the student's answer occurs in it as whole words; None without an answer."""
    rouge_l: float | None
    """F1 of ROUGE-L against the dataset's own rationale; None where there is none, or without the package."""
