"""Leakage-adjusted simulatability: does an explanation help to guess what the student answered?

Hase, Zhang, Xie and Bansal, *Leakage-Adjusted Simulatability*, Findings of EMNLP 2020, arXiv 2010.04119. A simulator
guesses the student's answer from question and explanation, from the question alone, and from the explanation alone. An
explanation that gives it away alone leaks. The score is the gain by the explanation, averaged over leaking and other
explanations with equal weight. The paper's simulators are fine-tuned language models; ours is a linear model on words,
trained within seconds on the cell's other explanations, so that numbers of the two are not comparable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

FOLDS = 5
FEATURES = 2**16
LONGEST = 3
"""Words in a row that are one feature, at most."""
_WORD = re.compile(r"\w+|[^\w\s]")
CHOICE, OTHER = "<this>", "<other>"


@dataclass(frozen=True)
class Explained:
    """One explained question with choices."""

    question: str
    """Context and question."""
    choices: tuple[str, ...]
    """Its options."""
    answer: str
    """The student's answer, one of the choices."""
    explanation: str
    """The student's explanation."""


@dataclass(frozen=True)
class Simulatability:
    """How well a simulator guesses the student's answers. All values are shares, in [0, 1], but for the score."""

    score: float
    """Leakage-adjusted simulatability, in [-1, 1]: 0 is no help, higher is better."""
    from_both: float
    """Right guesses from question and explanation."""
    from_question: float
    """Right guesses from the question alone."""
    leaking: float
    """Explanations that give the answer away without the question."""
    questions: int
    """How many explained questions were guessed."""


def simulatability(rows: Sequence[Explained]) -> Simulatability | None:
    """Guesses each answer by simulators trained on the other folds; None for fewer rows than two per fold.

    Folds are every fifth row, so that nothing is drawn. Needs scikit-learn.
    """
    if len(rows) < 2 * FOLDS:
        return None
    options = [(row, choice) for row in rows for choice in row.choices]
    asked = [_question_words(row, choice) for row, choice in options]
    explained = [_explanation_words(row, choice) for row, choice in options]
    both = _right(rows, [[*words, *more] for words, more in zip(asked, explained, strict=True)])
    question = _right(rows, asked)
    leaks = _right(rows, explained)
    gain = both.astype(float) - question.astype(float)
    groups = [gain[leaks], gain[~leaks]]
    score = float(np.mean([group.mean() for group in groups if group.size]))
    return Simulatability(score, float(both.mean()), float(question.mean()), float(leaks.mean()), len(rows))


def _right(rows: Sequence[Explained], words: Sequence[Sequence[str]]) -> np.ndarray:
    """Which answers are guessed: the choice that a logistic regression, trained on the other folds, finds likeliest.

    `words` has the words of each choice, row by row.
    """
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression

    hashed = HashingVectorizer(analyzer=lambda found: found, n_features=FEATURES, binary=True, norm="l2")
    features = hashed.transform(words)
    chosen = np.array([choice == row.answer for row in rows for choice in row.choices])
    ends = np.cumsum([len(row.choices) for row in rows])
    fold_of = np.repeat(np.arange(len(rows)) % FOLDS, np.diff(ends, prepend=0))
    scores = np.empty(len(chosen))
    for fold in range(FOLDS):
        tested = fold_of == fold
        model = LogisticRegression(C=10.0, solver="liblinear").fit(features[~tested], chosen[~tested])
        scores[tested] = model.decision_function(features[tested])
    of_rows = zip(np.split(chosen, ends[:-1]), np.split(scores, ends[:-1]), strict=True)
    return np.array([is_answer[np.argmax(score)] for is_answer, score in of_rows])


def _question_words(row: Explained, choice: str) -> list[str]:
    """The choice's words, alone and beside each word of the question, and the question with its choices masked."""
    of_choice = _words(choice)
    asked = _words(row.question)
    pairs = [f"{one}|{other}" for one in set(of_choice) for other in set(asked)]
    return [
        *(f"c:{word}" for word in of_choice),
        *(f"p:{pair}" for pair in pairs),
        *_masked("q", row.question, row, choice),
    ]


def _explanation_words(row: Explained, choice: str) -> list[str]:
    return _masked("e", row.explanation, row, choice)


def _masked(kind: str, text: str, row: Explained, choice: str) -> list[str]:
    """Words in a row around the choice's mentions, how often and where it is named, and which of its words occur."""
    named = _with_mentions(_words(text), row.choices, choice)
    places = [place for place, word in enumerate(named) if word == CHOICE]
    mentions = [place for place, word in enumerate(named) if word in (CHOICE, OTHER)]
    found = [f"{kind}:{' '.join(words)}" for words in _in_a_row(named) if CHOICE in words]
    found.append(f"{kind}#{min(len(places), 3)}")
    if places:
        found += [f"{kind}:first"] * (mentions[0] == places[0]) + [f"{kind}:last"] * (mentions[-1] == places[-1])
        found += [f"{kind}:alone"] * (len(places) == len(mentions))
    shared = set(_words(choice)) & set(_words(text))
    return [*found, *(f"{kind}:shares" for _ in range(min(len(shared), 3)))]


def _with_mentions(words: list[str], choices: Sequence[str], choice: str) -> list[str]:
    """The words with this choice as `CHOICE` and the others as `OTHER`; longer choices are found first."""
    for option in sorted(dict.fromkeys(choices), key=lambda each: -len(_words(each))):
        wanted, name = _words(option), CHOICE if option == choice else OTHER
        place = 0
        while wanted and place <= len(words) - len(wanted):
            if words[place : place + len(wanted)] == wanted:
                words = [*words[:place], name, *words[place + len(wanted) :]]
            place += 1
    return words


def _in_a_row(words: Sequence[str]) -> Iterator[Sequence[str]]:
    for length in range(1, LONGEST + 1):
        for place in range(len(words) - length + 1):
            yield words[place : place + length]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
