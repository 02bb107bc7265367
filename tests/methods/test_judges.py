"""Judges, and what a filter by one is worth: closed forms, and the thresholds of our page on TA-in-the-loop."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import rankdata

from benchmark.axes.format import RationaleThenAnswer
from benchmark.axes.weighting import KeepRandom, KeepRight
from benchmark.contract import Context
from benchmark.errors import ConfigError
from benchmark.planning.checks import check
from benchmark.random_streams import stream
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.teachers.assistants import SimulatedAssistant
from benchmark.types import Annotation, Question, Reply, Request, Round, TrainingExample
from methods.judges import Agreement, Likelihood, PTrue, Solution, Tuned
from methods.ranks import disagreement
from methods.ta_in_the_loop import KeepAboveThreshold, KeepTrusted, StudentDoubt, TrustAsWeight
from tests.corridor.corridor_parts import miniature
from tests.teachers.test_simulated import chain_sums

SUMS: Any = chain_sums(200)
ROWS = SUMS.load().pool


@dataclass
class Model:
    """A model that says and believes what a script says."""

    says: Callable[[Request, int], str] = lambda request, sample: "1+1=2#2"
    believes: Callable[[TrainingExample], tuple[float, ...]] = lambda example: (-1.0, 0.0)
    finds: Callable[[str, str], float] = lambda prompt, verdict: -1.0
    asked: Counter[Any] = field(default_factory=Counter)

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        self.asked.update(requests)
        return [[self._reply(request, sample) for sample in range(samples)] for request in requests]

    def _reply(self, request: Request, sample: int) -> Reply:
        if not request.continuations:
            return Reply(self.says(request, sample))
        return Reply(
            "", continuation_log_probabilities=tuple(self.finds(request.prompt, w) for w in request.continuations)
        )

    def target_log_probabilities(self, examples: Sequence[TrainingExample]) -> list[tuple[float, ...]]:
        return [self.believes(example) for example in examples]


@dataclass
class Room:
    """As much of a context as judges, filters and selections use."""

    assistant: Any = field(default_factory=Model)
    student: Any = field(default_factory=Model)
    annotations: Sequence[Annotation] = ()
    seed: int = 1
    round: Round = field(default_factory=lambda: Round(1, 0.8))
    task: Any = field(default_factory=GeneratedAnswer)
    format: Any = field(default_factory=RationaleThenAnswer)
    notes: Counter[str] = field(default_factory=Counter)

    def rng(self, *key: str | int) -> np.random.Generator:
        return stream("seed", self.seed, *key)

    def note(self, **counts: float) -> None:
        self.notes.update(cast(Any, counts))

    def gold(self, question: Question) -> Any:
        return next(row for row in ROWS if row.id == question.id)


def room(**parts: Any) -> Context:
    return cast(Context, Room(**parts))


def number(text: str) -> int:
    return int(text.rpartition("-")[2])


def solutions(count: int, answer: str = "2") -> list[Solution]:
    return [Solution(Question(f"q-{i}", f"{i}+1"), "because", answer) for i in range(count)]


def bought(solution: Solution, answer: str) -> Annotation:
    return Annotation(solution.question, "rationale", "teacher", "because", answer)


# --- judges ----------------------------------------------------------------------------------------------------------


def test_words_of_one_verdict_add_up_and_other_words_do_not_count() -> None:
    """T5 of the page: logits ln 3 and 0, whatever a third word has."""
    chances = {"True": 0.2, "Yes": 0.1, "False": 0.1}
    model = Model(finds=lambda prompt, verdict: math.log(chances[verdict]))
    [found] = PTrue(right=("True", "Yes")).confidences(solutions(1), room(assistant=model))
    assert found == pytest.approx(0.75)


def test_two_orders_take_out_a_preference_for_the_first_verdict() -> None:
    def prefers_the_first(prompt: str, verdict: str) -> float:
        return math.log(0.9 if prompt.rpartition("right? ")[2].startswith(verdict) else 0.1)

    context = room(assistant=Model(finds=prefers_the_first))
    assert PTrue().confidences(solutions(1), context) == [pytest.approx(0.9)]
    assert PTrue(both_orders=True).confidences(solutions(1), context) == [pytest.approx(0.5)]


def test_a_likelihood_is_per_token_and_its_end_does_not_count() -> None:
    tokens = {"q-0": (-1.0, -3.0, -50.0), "q-1": (-0.5, 0.0)}
    model = Model(believes=lambda example: tokens["q-0" if example.prompt.startswith("0+1") else "q-1"])
    found = Likelihood().confidences(solutions(2), room(assistant=model))
    assert found == [pytest.approx(math.exp(-2.0)), pytest.approx(math.exp(-0.5))]


def test_agreement_asks_each_question_once_and_counts_the_same_answers() -> None:
    model = Model(lambda request, sample: f"so#{2 if sample < 3 else 9}")
    asked = [*solutions(4), *solutions(4, "9"), Solution(Question("q-0", "0+1"), "because", None)]
    context = room(assistant=model)
    found = Agreement(5, 0.7).confidences(asked, context)
    assert found == [pytest.approx(0.6)] * 4 + [pytest.approx(0.4)] * 4 + [0.0]
    assert max(model.asked.values()) == 1
    assert Agreement().confidences(asked[:1], context) == [1.0]
    assert cast(Room, context).notes == {}  # the notes count the student's answers
    with pytest.raises(ValueError, match=r"samples=5 and temperature=0.0"):
        Agreement(5)


def test_a_tuned_judge_learns_which_judge_to_believe_and_in_which_direction() -> None:
    """One judge knows, one says the contrary, one always says the same; before anything is bought the mean counts."""

    class By:
        def __init__(self, sure: float) -> None:
            self.sure = sure

        def requires(self) -> Any:
            return PTrue().requires()

        def confidences(self, of: Sequence[Solution], context: Context) -> list[float]:
            noise = [stream("judge", str(self.sure), one.question.id, str(one.answer)).normal() for one in of]
            right = [one.answer == "2" for one in of]
            return [float(expit(self.sure * (1 if r else -1) + n)) for r, n in zip(right, noise, strict=True)]

    tuned = Tuned((By(2.0), By(-1.0), By(0.0)))
    asked = [*solutions(40), *solutions(40, "3")]
    before = tuned.confidences(asked, room())
    expected = np.mean([By(s).confidences(asked, room()) for s in (2.0, -1.0, 0.0)], axis=0)
    assert before == pytest.approx(expected)
    known = [bought(solution, "2") for solution in solutions(60)]
    student = Model(lambda request, sample: f"so#{2 if number(request.question_id) % 2 else 3}")
    after = tuned.confidences(asked, room(annotations=known, student=student))
    assert area(after, [True] * 40 + [False] * 40) > area(before, [True] * 40 + [False] * 40) + 0.05
    assert area(after, [True] * 40 + [False] * 40) > 0.95
    for same in ("so#2", "so#3"):  # answers that all agree, or all differ, teach nothing
        student = Model(partial(always, same))
        assert tuned.confidences(asked, room(annotations=known, student=student)) == pytest.approx(expected)


def always(text: str, request: Request, sample: int) -> str:
    return text


def area(scores: Sequence[float], right: Sequence[bool]) -> float:
    ranks, labels = rankdata(scores), np.array(right)
    return float((ranks[labels].sum() - labels.sum() * (labels.sum() + 1) / 2) / (labels.sum() * (~labels).sum()))


def test_a_logistic_regression_is_that_of_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    from methods.judges import _fitted

    chance = np.random.default_rng(0)
    known = chance.normal(size=(200, 2))
    agrees = (chance.random(200) < expit(known @ [1.0, -2.0])).astype(float)
    asked = chance.normal(size=(20, 2))
    scaled = (known - known.mean(axis=0)) / known.std(axis=0)
    model = linear_model.LogisticRegression(C=1.0, tol=1e-8).fit(scaled, agrees)
    expected = model.predict_proba((asked - known.mean(axis=0)) / known.std(axis=0))[:, 1]
    assert _fitted(known, agrees, asked, 1.0) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("assistant", "judge", "words"),
    [
        (
            "recorded",
            PTrue(),
            "the recording assistant=recorded_assistant does not hold; choose selection/judge=agreement",
        ),
        ("simulated", Likelihood(), "assistant=simulated_assistant has no weights to say"),
    ],
)
def test_what_an_assistant_cannot_tell_is_refused_in_the_plan(
    assistant: str, judge: Any, words: str, tmp_path: Any
) -> None:
    from tests.teachers.test_assistants import recording

    file = recording(tmp_path, miniature().dataset.load().pool)
    given = (f"assistant.file={file}",) if assistant == "recorded" else ()
    with pytest.raises(ConfigError, match=words):
        check(miniature(f"assistant={assistant}", *given, weighting=KeepTrusted(judge)))


# --- filters ---------------------------------------------------------------------------------------------------------


def annotated(seed: int, right_share: float = 0.7) -> list[Annotation]:
    """What a teacher writes about a hundred questions; it is wrong in the answer alone."""
    chance = np.random.default_rng(seed)
    rows = [ROWS[i] for i in chance.permutation(len(ROWS))[:100]]
    right = chance.permutation([True] * round(100 * right_share) + [False] * (100 - round(100 * right_share)))
    return [
        Annotation(
            row.without_gold(), "rationale", "teacher", row.rationale, row.answer if ok else str(int(row.answer) + 1)
        )
        for row, ok in zip(rows, right, strict=True)
    ]


def precision(weighting: Any, seed: int, auroc: float) -> float:
    rows = annotated(seed)
    judge = SimulatedAssistant(judge_auroc=auroc, seed=seed).assist(SUMS)
    weights = weighting.weigh(rows, [], room(assistant=judge, seed=seed, task=SUMS.task))
    kept = [row for row in rows if weights[row.id].value > 0]
    assert len(kept) == 70
    return float(np.mean([cast(Any, room()).gold(row.question).answer == row.answer for row in kept]))


def test_a_fair_judge_raises_the_share_of_right_labels_and_a_blind_one_does_not() -> None:
    """T7 of the page: an area of 0.78, kept 0.7, 20 seeds; a judge that knows nothing must show no gain."""
    fair = [precision(KeepTrusted(), seed, 0.78) for seed in range(20)]
    blind = [precision(KeepTrusted(), seed, 0.5) for seed in range(20)]
    drawn = [precision(KeepRandom(), seed, 0.5) for seed in range(20)]
    assert np.mean(fair) >= 0.8
    for found in (blind, drawn):
        assert abs(np.mean(found) - 0.7) < 2 * np.std(found) / math.sqrt(20) + 0.01


def test_a_threshold_weights_and_an_oracle() -> None:
    rows = annotated(1)
    context = room(assistant=SimulatedAssistant(judge_auroc=0.9).assist(SUMS), task=SUMS.task)
    sure = {row_id: weight.value for row_id, weight in TrustAsWeight().weigh(rows, [], context).items()}
    above = KeepAboveThreshold(threshold=0.6).weigh(rows, [], context)
    assert {row_id: weight.value for row_id, weight in above.items()} == {i: float(c >= 0.6) for i, c in sure.items()}
    assert all(weight.evidence["confidence"] == sure[row_id] for row_id, weight in above.items())
    right = KeepRight().weigh(rows, [], context)
    assert sum(weight.value for weight in right.values()) == 70
    assert KeepRight().requires().gold
    assert not KeepTrusted().requires().gold


def test_a_warm_up_need_not_be_filtered() -> None:
    rows = annotated(1)
    context = room(
        assistant=SimulatedAssistant(judge_auroc=0.9).assist(SUMS), task=SUMS.task, round=Round(0, 0.2, warmup=True)
    )
    for weighting, kept in ((KeepTrusted(filter_warmup=False), 100), (KeepTrusted(), 70)):
        assert sum(weight.value for weight in weighting.weigh(rows, [], context).values()) == kept
    everything = KeepAboveThreshold(threshold=1.0, filter_warmup=False).weigh(rows, [], context)
    assert sum(weight.value for weight in everything.values()) == 100


# --- the student's signal --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("samples", "least"), [(3, 0.75), (5, 0.80), (10, 0.85)])
def test_different_answers_see_where_the_student_mostly_fails(samples: int, least: float) -> None:
    """T3 of the page: success drawn from Beta(0.7, 0.7); simulated areas 0.82, 0.90 and 0.94."""
    chance = np.random.default_rng(samples)
    success = chance.beta(0.7, 0.7, 1000)
    answers = [
        ["right" if chance.random() < p else f"wrong {chance.integers(50)}" for _ in range(samples)] for p in success
    ]
    assert area([disagreement(each, "unique_share") for each in answers], [p < 0.5 for p in success]) >= least


def shaky_about_odd(request: Request, sample: int) -> str:
    return f"so#{sample if number(request.question_id) % 2 else 2}"


@pytest.mark.parametrize("direction", ["uncertain", "certain"])
def test_what_the_student_is_shaky_about_comes_first_or_last(direction: Any) -> None:
    """T8 of the page."""
    pool = [Question(f"q-{i}", f"{i}+1") for i in range(60)]
    context = room(student=Model(shaky_about_odd), assistant=Model())
    picks = StudentDoubt(direction=direction).rank(pool, context)
    odd = [number(pick.question.id) % 2 for pick in picks[:30]]
    assert np.mean(odd) == (1.0 if direction == "uncertain" else 0.0)


def test_equal_disagreement_goes_by_the_lower_confidence() -> None:
    """T4 of the page."""
    pool = [Question(f"q-{i}", f"{i}+1") for i in range(20)]
    trust = {f"{i}+1": 0.1 + 0.04 * i for i in range(20)}

    def finds(prompt: str, verdict: str) -> float:
        p = trust[prompt.partition("\n")[0]]
        return math.log(p if verdict == "True" else 1 - p)

    picks = StudentDoubt(alpha=1.0).rank(pool, room(assistant=Model(finds=finds)))
    assert [number(pick.question.id) for pick in picks] == list(range(20))
    assert logit(picks[0].evidence["confidence"]) == pytest.approx(logit(0.1))


def test_all_samples_can_be_judged() -> None:
    pool = [Question("q-1", "1+1")]
    says = Model(lambda request, sample: f"so#{2 if sample < 4 else 3}")

    def finds(prompt: str, verdict: str) -> float:
        right = 0.9 if "Answer: 2" in prompt else 0.1
        return math.log(right if verdict == "True" else 1 - right)

    model = Model(finds=finds)
    [usual] = StudentDoubt().rank(pool, room(student=says, assistant=model))
    [mean] = StudentDoubt(student_target="mean").rank(pool, room(student=says, assistant=model))
    assert usual.evidence["confidence"] == pytest.approx(0.9)
    assert mean.evidence["confidence"] == pytest.approx((4 * 0.9 + 0.1) / 5)
