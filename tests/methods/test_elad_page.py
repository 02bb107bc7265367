"""What our page on ELAD says that can be false, on scripted students: its tests T1 to T10, with its thresholds."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest
from scipy.stats import rankdata

from benchmark.axes.format import RationaleThenAnswer
from benchmark.contract import STUDENT, Context
from benchmark.random_streams import stream
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.types import Annotation, Pick, Question, Reply, Request, Round
from methods.elad.revision import DropApproved, SingleCallRevision, StepwiseRevision
from methods.elad.selection import ExplanationUncertainty, StepUncertainty

ITEMS, EXPLANATIONS = 300, 5
Errs = Callable[[int, np.random.Generator], int]
"""(the number that is added, chance) -> by how much the student slips."""


# --- a student that adds, and slips by a rule ------------------------------------------------------------------------


def terms_of(shown: str) -> list[int]:
    return [int(term) for term in re.findall(r"\d", shown)]


def slips_at_sevens(term: int, chance: np.random.Generator) -> int:
    return int(chance.integers(1, 4)) if term == 7 and chance.random() < 0.5 else 0


def never(term: int, chance: np.random.Generator) -> int:
    return 0


@dataclass
class Adder:
    """Writes numbered steps, `2) 5+4=9`. It trusts the steps that it is given, and does the others in its head."""

    errs: Errs = slips_at_sevens
    answers_truly: bool = False
    """Whether its own explanations end in the right answer, whatever its steps say (a shortcut)."""
    in_its_head: bool = True
    """False: an early answer is the last number that is written."""
    noise: float = 0.0
    """How often an early answer is off by one."""
    asked: list[Request] = field(default_factory=list)

    def generate(self, requests: Sequence[Request], samples: int = 1, key: str = "") -> list[list[Reply]]:
        self.asked += requests
        return [[Reply(self._says(request, sample)) for sample in range(samples)] for request in requests]

    def _says(self, request: Request, sample: int) -> str:
        terms, given = terms_of(request.prompt), request.prefix.removesuffix("#")
        chance = stream("adder", request.question_id, given, sample if request.temperature > 0 else "greedy")
        if request.temperature > 0:
            return self._explanation(terms, chance)
        written = {int(i): int(c) - int(a) - int(b) for i, a, b, c in re.findall(r"(\d+)\) (\d+)\+(\d)=(\d+)", given)}
        if not self.in_its_head:
            last = re.findall(r"=(\d+)", given)
            total = int(last[-1]) if last else terms[0]
        else:
            total = sum(terms) + sum(
                written[i] if i in written else self.errs(terms[i], chance) for i in range(1, len(terms))
            )
        total += int(chance.random() < self.noise)
        return str(total) if request.prefix.endswith("#") else f"#{total}"

    def _explanation(self, terms: Sequence[int], chance: np.random.Generator) -> str:
        total, steps = terms[0], []
        for number, term in enumerate(terms[1:], 1):
            result = total + term + self.errs(term, chance)
            steps.append(f"{number}) {total}+{term}={result}")
            total = result
        return f"{';'.join(steps)}#{sum(terms) if self.answers_truly else total}"


@dataclass
class Room:
    """As much of a context as ELAD uses."""

    student: Any
    task: GeneratedAnswer = field(default_factory=GeneratedAnswer)
    format: RationaleThenAnswer = field(default_factory=RationaleThenAnswer)
    round: Round = field(default_factory=lambda: Round(1, 0.5))
    notes: Counter[str] = field(default_factory=Counter)
    teachers: tuple[str, ...] = ("tutor",)
    seed: int = 1

    def rng(self, *key: str | int) -> np.random.Generator:
        return stream("seed", self.seed, *key)

    def note(self, **counts: float) -> None:
        self.notes.update(cast(Any, counts))

    def prompt(self, role: str, question: Question, temperature: float = 0.0, **texts: Any) -> Request:
        lines = [f"{name}={text}" for name, text in texts.items()]
        return Request(role, "\n".join([question.text, *lines]), question.id)


def context(student: Any = None, **others: Any) -> Context:
    return cast(Context, Room(student or Adder(), **others))


def pool(count: int = ITEMS, lengths: Sequence[int] = (3, 4, 5, 6), seed: int = 0) -> list[Question]:
    chance = np.random.default_rng(seed)
    return [
        Question(f"q-{i}", "+".join(map(str, chance.integers(1, 10, chance.choice(lengths))))) for i in range(count)
    ]


def auroc(scores: Sequence[float], flawed: Sequence[bool]) -> float:
    ranks, labels = rankdata(scores), np.array(flawed)
    above = ranks[labels].sum() - labels.sum() * (labels.sum() + 1) / 2
    return float(above / (labels.sum() * (~labels).sum()))


def intra(questions: Sequence[Question], student: Adder, each: int, **settings: Any) -> list[float]:
    """The term within explanations, over `each` sampled explanations of every question."""
    here, uncertainty = context(student), StepUncertainty(**{"way": "now", **settings})
    asks = [replace(here.format.request(q, "rationale_and_answer", here.task), temperature=0.7) for q in questions]
    texts = student.generate(asks, each)
    explained = [(q, reply.text) for q, replies in zip(questions, texts, strict=True) for reply in replies]
    moves = uncertainty.moves(explained, here)
    return [uncertainty.of(moves[i : i + each]) for i in range(0, len(moves), each)]


def prone(questions: Sequence[Question], number: int = 7) -> list[bool]:
    return [number in terms_of(question.text)[1:] for question in questions]


# --- within explanations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["now", "finish"])
def test_steps_of_sound_questions_move_nothing_and_flawed_ones_are_seen(way: str) -> None:
    """T1: exactly 0 on sound questions; simulated areas under the curve 0.93 for one explanation, 1.00 for five."""
    questions = pool()
    flawed = prone(questions)
    for explanations, least in ((1, 0.85), (EXPLANATIONS, 0.97)):
        found = intra(questions, Adder(), explanations, way=way)
        assert {score for score, is_flawed in zip(found, flawed, strict=True) if not is_flawed} == {0.0}
        assert auroc(found, flawed) >= least


def test_leaving_a_step_out_sees_them_too() -> None:
    """T2: simulated 0.99 to 1.00."""
    questions = pool()
    assert auroc(intra(questions, Adder(), EXPLANATIONS, reading="removal"), prone(questions)) >= 0.95


def test_an_answer_that_reads_off_the_last_number_is_useless() -> None:
    """The hazard of section 4.1: on sound questions nearly every step moves such an answer."""
    questions = pool()
    found, flawed = intra(questions, Adder(in_its_head=False), EXPLANATIONS), prone(questions)
    sound = [score for score, is_flawed in zip(found, flawed, strict=True) if not is_flawed]
    assert np.mean(sound) > 0.6
    assert 0.3 < auroc(found, flawed) < 0.7


def test_right_answers_with_shaky_steps_are_picked_where_answers_alone_see_nothing() -> None:
    """T4: the shortcut student is always right; steps that add an 8 are corrupted seven times in ten."""
    questions = pool()
    student = Adder(lambda term, chance: int(term == 8 and chance.random() < 0.7), answers_truly=True)
    picks = ExplanationUncertainty(intra=StepUncertainty(way="now")).rank(questions, context(student))
    assert {pick.evidence["inter"] for pick in picks} == {0.0}
    assert np.mean(prone([pick.question for pick in picks[:30]], 8)) >= 0.9
    assert np.mean(prone(questions, 8)) < 0.5


def test_a_sum_over_steps_favours_long_questions_and_the_mean_does_not() -> None:
    """T5: with no slips both lengths give 0; with the same noise at every early answer, only the sum grows."""
    short, long = pool(150, (3,)), pool(150, (6,), seed=1)
    for questions in (short, long):
        assert set(intra(questions, Adder(never), 1)) == {0.0}
    noisy = [np.mean(intra(questions, Adder(never, noise=0.3), 1)) for questions in (short, long)]
    summed = [np.mean(intra(questions, Adder(never, noise=0.3), 1, reduce="sum")) for questions in (short, long)]
    assert summed[1] > 1.8 * summed[0]
    assert abs(noisy[1] - noisy[0]) < 0.1
    assert max(intra(long, Adder(never, noise=0.3), 1, reduce="max")) == 1.0


def test_soft_readings_have_closed_forms() -> None:
    """Open questions: 1 minus the chance of equal answers. Options answered at once: the divergence in bits."""
    uncertainty = StepUncertainty(soft=True, way="now")
    open_question, closed = Question("q", "1+1"), Question("q", "1+1", ("a", "b"))
    assert uncertainty._distance(open_question, {"1": 0.6, "2": 0.4}, {"1": 0.5, None: 0.5}) == pytest.approx(0.7)
    assert uncertainty._distance(closed, {"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}) == pytest.approx(1.0)
    assert uncertainty._distance(closed, {"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5}) == pytest.approx(0.0, abs=1e-9)
    middle = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert uncertainty._distance(closed, {"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 0.0}) == pytest.approx(middle - 0.5)


# --- both terms, and what is picked ----------------------------------------------------------------------------------


def test_ranks_are_mixed_so_that_no_scale_decides() -> None:
    """T6."""
    one, other = np.array([0.0, 0.2, 0.2, 0.9]), np.array([0.5, 0.0, 1.0, 0.5])
    selection = ExplanationUncertainty()
    assert np.array_equal(selection._combined(1000 * one, other), selection._combined(one, other))
    plain = ExplanationUncertainty(combine="sum")
    assert not np.array_equal(plain._combined(1000 * one, other), plain._combined(one, other))
    assert ExplanationUncertainty(combine="product")._combined(one, other).tolist() == [0.0, 0.0, 0.2, 0.45]


def test_picks_are_the_pool_once_and_its_order_changes_nothing() -> None:
    """T7."""
    questions, selection = pool(60), ExplanationUncertainty(intra=StepUncertainty(way="now"))
    picks = selection.rank(questions, context())
    assert sorted(pick.question.id for pick in picks) == sorted(question.id for question in questions)
    assert selection.rank(questions[::-1], context()) == picks
    reseeded = selection.rank(questions, context(seed=2))
    assert [pick.score for pick in reseeded] == [pick.score for pick in picks]
    assert [pick.question for pick in reseeded] != [pick.question for pick in picks]


def test_one_term_alone_asks_for_no_more_than_it_needs() -> None:
    student = Adder()
    selection = ExplanationUncertainty(alpha=0.0)
    picks = selection.rank(pool(20), context(student))
    assert {request.temperature for request in student.asked} == {0.7}
    inter = [pick.evidence["inter"] for pick in picks]
    assert inter == sorted(inter, reverse=True)
    steps_alone = ExplanationUncertainty(alpha=1.0, intra=StepUncertainty(way="now")).rank(pool(20), context())
    shaky = [pick.evidence["intra"] for pick in steps_alone]
    assert shaky == sorted(shaky, reverse=True)


def test_work_grows_with_the_pool_and_nothing_is_asked_twice() -> None:
    """Greedy requests are distinct: explanations of one question often begin alike."""
    counts = []
    for size in (40, 80):
        student = Adder()
        ExplanationUncertainty(intra=StepUncertainty(way="now")).rank(pool(size), context(student))
        greedy = [request for request in student.asked if request.temperature == 0]
        assert len(greedy) == len(set(greedy))
        counts.append(len(student.asked))
    assert 1.6 < counts[1] / counts[0] < 2.4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"inter": "variance"}, "inter='variance' must be one of entropy"),
        ({"combine": "max"}, "combine='max' must be one of rank_mean"),
        ({"alpha": 1.5}, "alpha=1.5 is no weight"),
        ({"explanations": 1}, "explanations=1 cannot differ"),
        ({"temperature": 0.0}, "temperature=0.0 gives the same answer every time"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ExplanationUncertainty(**settings)


# --- revision --------------------------------------------------------------------------------------------------------


@dataclass
class Tutor:
    """An exact teacher, and a student that is never asked. It can be made to mumble."""

    mumbles: int = 0
    """How many of its first replies cannot be read."""
    asked: list[Request] = field(default_factory=list)

    async def __call__(self, who: str, request: Request, samples: int = 1) -> list[Reply]:
        assert who != STUDENT
        self.asked.append(request)
        if len(self.asked) <= self.mumbles:
            return [Reply("Hm.")]
        texts = dict(line.partition("=")[::2] for line in request.prompt.splitlines()[1:])
        shown = request.prompt.partition("\n")[0]
        steps, answer = solved(terms_of(shown))
        if request.role == "few_shot_cot":
            return [Reply(f"{';'.join(steps)} The answer is {answer}.")]
        if request.role == "correct":
            return [Reply(corrected(texts["explanation"], texts["answer"], steps, answer))]
        accepted = [step for step in re.split(r";|(?<=\.)\s", texts["accepted"]) if step]
        following = [*steps[len(accepted) :], f"The answer is {answer}."]
        if request.role == "verify":
            return [Reply("Yes. It follows." if texts["line"].rstrip(".") == following[0].rstrip(".") else "no: wrong")]
        return [Reply(f"{';'.join(following[:-1])} {following[-1]}")]


def solved(terms: Sequence[int]) -> tuple[list[str], str]:
    totals = np.cumsum(terms)
    return [f"{a}+{b}={c}" for a, b, c in zip(totals, terms[1:], totals[1:], strict=False)], str(totals[-1])


def corrected(explanation: str, answer: str, steps: Sequence[str], right: str) -> str:
    said = explanation.split(";")
    flaw = next((i for i, step in enumerate(steps) if i >= len(said) or said[i] != step), None)
    if flaw is None and answer == right:
        return "Every step is right."
    flaw = len(steps) if flaw is None else flaw
    return f"Step {flaw + 1} is wrong.\n{';'.join(steps[flaw:])} The answer is {right}."


QUESTION = Question("q-0", "3+5+2+4")
STEPS, ANSWER = solved(terms_of(QUESTION.text))


def revised(annotator: Any, said: str, tutor: Tutor | None = None) -> tuple[Annotation, Tutor, Room]:
    room, tutor = Room(Adder()), tutor or Tutor()
    pick = Pick(QUESTION, 1.0, {"explanations": [said, "another"]})
    [row] = asyncio.run(annotator.annotate(pick, cast(Context, room), tutor))
    return row, tutor, room


def corrupt(position: int) -> list[str]:
    return [step if i < position else f"{step}9" for i, step in enumerate(STEPS)]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_the_first_flaw_is_found_and_what_stands_before_it_stays_to_the_letter(position: int) -> None:
    """T8: j calls for the steps up to the flaw at j (from 1), and one to finish."""
    said = corrupt(position)
    row, tutor, room = revised(StepwiseRevision(), f"{';'.join(said)}#99")
    assert row.evidence["flaws"] == [position]
    assert (row.rationale, row.answer, row.source) == (";".join(STEPS), ANSWER, "tutor")
    assert len(tutor.asked) == position + 2
    assert (room.notes["checked"], room.notes["flawed"], room.notes["flaw_index_sum"]) == (1, 1, position)
    assert (room.notes["written"], room.notes["survived"], row.evidence["kept_steps"]) == (3, position, position)


def test_a_right_explanation_stays_and_costs_a_call_for_each_step_and_one_for_the_answer() -> None:
    """T9."""
    row, tutor, room = revised(StepwiseRevision(), f"{';'.join(STEPS)}#{ANSWER}")
    assert (row.rationale, row.answer, row.source, row.evidence["flaws"]) == (";".join(STEPS), ANSWER, STUDENT, [])
    assert len(tutor.asked) == len(STEPS) + 1
    assert room.notes["flawed"] == 0


@pytest.mark.parametrize("annotator", [StepwiseRevision(), SingleCallRevision()], ids=["stepwise", "single call"])
def test_of_right_steps_with_a_wrong_answer_only_the_answer_changes(annotator: Any) -> None:
    """T10."""
    row, _, _ = revised(annotator, f"{';'.join(STEPS)}#7")
    assert (row.rationale, row.answer, row.evidence["flaws"]) == (";".join(STEPS), ANSWER, [len(STEPS)])


@pytest.mark.parametrize("position", [0, 1, 2, None])
def test_a_single_call_finds_the_flaw_and_keeps_the_steps_before(position: int | None) -> None:
    said = STEPS if position is None else corrupt(position)
    row, tutor, room = revised(SingleCallRevision(), f"{';'.join(said)}#{ANSWER if position is None else 99}")
    assert (row.rationale, row.answer) == (";".join(STEPS), ANSWER)
    assert row.evidence["flaws"] == ([] if position is None else [position])
    assert len(tutor.asked) == 1
    assert room.notes["survived"] == (len(STEPS) if position is None else position)


@pytest.mark.parametrize("annotator", [StepwiseRevision(), SingleCallRevision()], ids=["stepwise", "single call"])
def test_a_reply_that_cannot_be_read_is_asked_for_once_more_and_then_the_teacher_starts_anew(annotator: Any) -> None:
    once, tutor, room = revised(annotator, f"{';'.join(corrupt(1))}#99", Tutor(mumbles=1))
    assert (once.rationale, once.answer, room.notes["unread_replies"]) == (";".join(STEPS), ANSWER, 1)
    assert ["again=True" in request.prompt for request in tutor.asked] == [False, True] + [False] * (
        len(tutor.asked) - 2
    )
    row, tutor, room = revised(annotator, f"{';'.join(corrupt(1))}#99", Tutor(mumbles=2))
    assert (row.rationale, row.answer, row.evidence["from_scratch"]) == (";".join(STEPS), ANSWER, True)
    assert row.evidence["said"].startswith(STEPS[0])
    assert [request.role for request in tutor.asked][2:] == ["few_shot_cot"]
    assert len(row.exchanges) == len(tutor.asked) == 3
    assert dict(room.notes) == {"unread_replies": 2, "from_scratch": 1}


@pytest.mark.parametrize("annotator", [StepwiseRevision(), SingleCallRevision()], ids=["stepwise", "single call"])
def test_a_bare_answer_in_place_of_the_first_step_explains_nothing(annotator: Any) -> None:
    """A small teacher often rejects the first step and then states an answer alone."""

    @dataclass
    class Curt(Tutor):
        async def __call__(self, who: str, request: Request, samples: int = 1) -> list[Reply]:
            [reply] = await super().__call__(who, request, samples)
            if request.role in ("finish", "correct"):
                return [Reply(f"{'Step 1 is wrong.' if request.role == 'correct' else ''} The answer is {ANSWER}.")]
            return [reply]

    row, tutor, room = revised(annotator, f"{';'.join(corrupt(0))}#99", Curt())
    assert (row.rationale, row.evidence["from_scratch"], room.notes["unread_replies"]) == (";".join(STEPS), True, 2)
    assert tutor.asked[-1].role == "few_shot_cot"


def test_an_explanation_in_sentences_keeps_its_gaps() -> None:
    """Behind a kept sentence the teacher's text stands as the student's own next sentence would."""
    said = f"{STEPS[0]}. {STEPS[1]}. 10+4=15.#15"
    row, _, _ = revised(StepwiseRevision(), said)
    assert row.rationale == f"{STEPS[0]}. {STEPS[1]}. {STEPS[2]}"
    assert row.evidence["flaws"] == [2]


def test_a_full_stop_goes_where_the_explanation_goes_on() -> None:
    row, _, _ = revised(StepwiseRevision(), f"{STEPS[0]}.#8")
    assert (row.rationale, row.answer, row.evidence["flaws"]) == (";".join(STEPS), ANSWER, [1])


def test_approved_explanations_can_be_dropped() -> None:
    approved, _, _ = revised(StepwiseRevision(), f"{';'.join(STEPS)}#{ANSWER}")
    mended, _, _ = revised(StepwiseRevision(), f"{';'.join(corrupt(1))}#99")
    weights = DropApproved().weigh([approved, mended], [], context())
    assert {row_id: weight.value for row_id, weight in weights.items()} == {approved.id: 0.0}
