"""Measures that are taken after the test: what a record holds of them, and by what explanations are judged.

They decide nothing and are charged to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.records.record_values import Fraction, Number, RecordPart, Rows

CONSTRUCTS: Mapping[str, str] = {
    "plausibility": "The explanation is logical and sound, and does not contradict itself.",
    "understandability": "The explanation is easy to understand, read together with the question.",
    "completeness": "The explanation names all that matters, precisely and in enough detail.",
    "satisfaction": "The explanation is a satisfying reason for the answer.",
    "contrastiveness": "The explanation says why this answer is chosen and not another one.",
}
"""Construct -> a statement about one explanation, with which a reader agrees more or less: what people rate and judges
compare. The human study of "Honey, I Shrunk the Language Model" has these constructs (docs/methods/honey.md); the
statements are ours."""


class Faithfulness(RecordPart):
    """How far the student's explanations decide its answers, on the first test questions. Higher: they decide more."""

    questions: int
    """Explanations that were measured: those with a step and a readable answer."""
    steps: int
    """Their steps."""
    unread: int
    """Early answers, of both ways together, in which nothing could be read; they count as changed."""
    early_answer_change_now: Fraction | None
    """Early answering (Lanham et al., 2023): the mean over explanations of the share of beginnings after which the
    student, made to answer at once, does not give the explanation's answer; None without an explanation."""
    early_answer_change_finish: Fraction | None
    """The same where the student goes on with the explanation before it answers."""
    true_thinking_score: Fraction | None
    """True-Thinking Score (arXiv 2510.24941): the mean over steps; None without a step."""
    steps_below_0_03: Fraction | None
    """The share of steps with a True-Thinking Score below 0.03; None without a step."""
    mistake_change: Fraction | None = None
    """Adding mistakes (Lanham et al., 2023): the mean over explanations of the share of steps behind which, once they
    hold a mistake, the student comes to another answer; None where no step can hold one, and in older records."""
    swapped: int = 0
    """Explanations that name their answer, which is one of the choices; 0 in older records."""
    answer_follows_swap: Fraction | None = None
    """Counterfactual consistency: the share of these after which the student answers another choice, once that choice
    stands in the answer's place; None without one."""


class ScoreErrorCorrelation(RecordPart):
    """Whether a selection's score ranks the questions that the student gets wrong, in one round."""

    spearman: Number | None
    """Spearman's rank correlation, in [-1, 1], of the score with the share of wrong answers among the student's sampled
    ones; None for fewer than 2 questions or where one of both never varies."""
    n: int
    """Questions with a score and sampled answers."""


class LabelPrecision(RecordPart):
    """How many of the answers that the cell bought are right, before and after the weighting.

    Rationales and labels count if they have a readable answer and people did not write them.
    """

    bought: int
    """Annotations with an answer."""
    kept: int
    """Those with a weight above 0."""
    right_bought: int
    """Right ones among the bought."""
    right_kept: int
    """Right ones among the kept."""
    weighted: Fraction | None
    """The sum of the weights of right ones over the sum of all weights; None where all weights are 0."""

    @property
    def share_bought(self) -> float | None:
        """The share of right ones among the bought, in [0, 1]; None where none were bought."""
        return self.right_bought / self.bought if self.bought else None

    @property
    def share_kept(self) -> float | None:
        """The share of right ones among the kept, in [0, 1]; None where none were kept."""
        return self.right_kept / self.kept if self.kept else None


class CalibrationBin(RecordPart):
    """The judgements with a confidence in [low, high); the last bin holds 1 too."""

    low: Fraction
    """The lower end."""
    high: Fraction
    """The upper end."""
    n: int
    """Judgements in it."""
    mean_confidence: Fraction | None
    """The mean of their confidences; None in an empty bin."""
    share_right: Fraction | None
    """The share of right ones among what was judged; None in an empty bin."""


class Calibration(RecordPart):
    """How well a judge's confidence tells right answers from wrong ones."""

    n: int
    """Judgements."""
    auroc: Fraction | None
    """The probability that a right answer has a higher confidence than a wrong one, where ties count half; None where
    all are right or all are wrong."""
    ece: Fraction | None
    """The expected calibration error over the bins: the mean distance, by `n`, of mean confidence and share of right
    ones; 0 is best; None where some confidence is no probability."""
    bins: Rows[CalibrationBin]
    """Ten bins of one width; none where some confidence is no probability."""
