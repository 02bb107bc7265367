"""TA-in-the-loop through the corridor: two stages of one budget, two judgements by one assistant, no gold."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from benchmark.axes.annotation import FewShotCot
from benchmark.axes.schedule import TwoStages
from benchmark.contract import Context
from benchmark.errors import ConfigError
from benchmark.planning.checks import check
from benchmark.running.cell_models import load_models
from benchmark.student.source import TinyStudent
from benchmark.types import Question, Request, Round, RoundLog
from methods.judges import PTrue, Solution
from methods.ta_in_the_loop import KeepTrusted, StudentDoubt
from tests.cases import cases
from tests.corridor.corridor_parts import Watched
from tests.methods.selection_context import Asked, CountingStudent
from tests.rehearsals.scripted import (
    Fate,
    HeardAnnotator,
    HeardSelection,
    OtherGold,
    Ran,
    Script,
    ScriptedTeacher,
    assert_asked_in_one_go,
    assert_same,
    assert_survives_json,
    calls_of,
    fingerprint,
    live_through,
    miniature,
    number_of,
    run,
    spread,
    true_answer,
    true_steps,
)

POOL, BUDGET, SAMPLES = 80, 50, 5
FULL = (f"dataset.pool_size={POOL}", f"budget.questions={BUDGET}")
SMALL = ("budget.questions=6", "dataset.pool_size=12", "dataset.validation_size=2", "dataset.test_size=2")


# --- the cast --------------------------------------------------------------------------------------------------------


def teacher_says(request: Request, sample: int) -> str:
    """Right about two questions in three."""
    shown = request.prompt.rpartition("Q: ")[2].partition("\n")[0]
    answer = int(true_answer(shown)) + (number_of(request.question_id) % 3 == 0)
    return f"{';'.join(true_steps(shown))} The answer is {answer}."


def student_says(request: Request, sample: int) -> str:
    """Sure about even questions; about odd ones never of the same mind, and at first wrong about every other."""
    number = number_of(request.question_id)
    answer = int(true_answer(request.prompt)) + (sample + (number % 4 == 1)) * (number % 2)
    return f"{';'.join(true_steps(request.prompt))}#{answer}"


def assistant_believes(prompt: str, verdict: str) -> float:
    """Four to one in favour of what is right, and one to four against what is not."""
    [shown, *_] = prompt.splitlines()
    right = f"Answer: {true_answer(shown)}\n" in prompt
    return math.log(0.8 if right == (verdict == "True") else 0.2)


@dataclass
class Cast:
    """The parts and models of one cell; without scripts the tiny student and a tiny assistant speak."""

    fate: Fate = field(default_factory=Fate)
    overrides: tuple[str, ...] = FULL
    dataset: Any = None
    scripted: bool = True

    def __post_init__(self) -> None:
        self.teacher = ScriptedTeacher("teacher", teacher_says, fate=self.fate)
        self.student = Script(student_says if self.scripted else None, fate=self.fate)
        self.assistant = Script(believes=assistant_believes if self.scripted else None, fate=self.fate)
        self.picks = HeardSelection(StudentDoubt(samples=SAMPLES))
        self.rows = HeardAnnotator(FewShotCot())
        self.curriculum = Watched()

    def run(self, folder: Path) -> Ran:
        cell = miniature(
            *self.overrides,
            teacher=self.teacher,
            schedule=TwoStages(0.2),
            selection=self.picks,
            annotation=self.rows,
            weighting=KeepTrusted(),
            curriculum=self.curriculum,
        )
        return run(replace(cell, dataset=self.dataset or cell.dataset), folder, self.student, self.assistant)


@pytest.fixture(scope="module")
def ta(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cast, Ran]:
    cast_ = Cast()
    return cast_, cast_.run(tmp_path_factory.mktemp("ta"))


@pytest.fixture(scope="module")
def assistant_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with its tokenizer, as a finished cell leaves one; random, so that its verdicts vary."""
    source = TinyStudent("assistant", 16, 32, 1, 2, initializer_range=0.3, max_length=192, max_new_tokens=8)
    folder = tmp_path_factory.mktemp("assistant")
    source.network(7).save_pretrained(folder)
    source.tokenizer().save_pretrained(folder)
    return folder


def pretrained(folder: Path) -> tuple[str, ...]:
    return (
        "assistant=pretrained",
        f"assistant.path={folder}",
        "assistant.max_length=192",
        "assistant.max_new_tokens=8",
    )


# --- budget and stages -----------------------------------------------------------------------------------------------


def test_ten_calls_warm_up_and_forty_follow(ta: tuple[Cast, Ran]) -> None:
    cast_, ran = ta
    assert [log.charged["teacher"].calls for log in ran.history] == [10, 50]
    assert [log.annotated for log in ran.history] == [10, 50]
    assert [(log.round.share, log.round.warmup, log.round.restart) for log in ran.history] == [
        (0.2, True, True),
        (0.8, False, False),
    ]
    asked = [request.question_id for request in cast_.teacher.books.asked]
    assert len(asked) == len(set(asked)) == BUDGET
    booked, answered = ran.history[-1].charged["teacher"], cast_.teacher.books.answered
    assert booked.usd == pytest.approx(answered.usd)
    assert replace(booked, questions=0, usd=answered.usd) == answered


def test_the_schedule_is_a_function_of_history() -> None:
    log = RoundLog(Round(0, 0.3), 3, {}, {}, {}, {}, {})
    schedule = TwoStages(0.3)
    assert schedule.next_round(()) == Round(0, 0.3, warmup=True, steps_share=0.3)
    assert schedule.next_round([log]) == Round(1, 0.7, restart=False, steps_share=0.7)
    assert TwoStages(0.3, restart=True).next_round([log]) == Round(1, 0.7)
    assert schedule.next_round([log, log]) is None


def test_the_warmed_student_is_asked_and_goes_on(ta: tuple[Cast, Ran]) -> None:
    cast_, ran = ta
    initial, warmed = (seen["weights"] for seen in cast_.curriculum.log)
    assert {heard.weights for heard in cast_.student.heard} == {warmed}
    assert len({initial, warmed, fingerprint(ran.cell_run.student)}) == 3


def test_the_work_of_student_and_assistant_is_booked_by_what_it_was_for(ta: tuple[Cast, Ran]) -> None:
    _, ran = ta
    first, second = (row["computed"] for row in ran.result["rounds"])
    left = POOL - 10
    assert {name: usage["calls"] for name, usage in first.items()} == {"assistant/weighting": 10}
    assert {name: usage["calls"] for name, usage in second.items()} == {
        "student/selection": left * SAMPLES,
        "assistant/selection": left,
        "assistant/weighting": BUDGET,
    }
    assert all(usage["prompt_tokens"] >= 5 * usage["calls"] for usage in second.values())  # five: the shortest question
    assert second["student/selection"]["completion_tokens"] > 0
    assert second["assistant/selection"]["completion_tokens"] == 0


# --- what is chosen and kept -----------------------------------------------------------------------------------------


def test_the_warm_up_is_random_and_the_rest_goes_to_what_the_student_is_in_doubt_about(ta: tuple[Cast, Ran]) -> None:
    cast_, _ = ta
    warm, later = cast_.picks.picks[:POOL], cast_.picks.picks[POOL:]
    assert all(pick.evidence == {} and pick.score is None for pick in warm)
    doubt = [number_of(pick.question.id) % 2 for pick in later]
    assert doubt == sorted(doubt, reverse=True)
    for pick in later:
        unsure = number_of(pick.question.id) % 2
        assert (
            SAMPLES * pick.evidence["disagreement"] == len(set(pick.evidence["answers"])) == (SAMPLES if unsure else 1)
        )
    unsure_about = [pick for pick in later if pick.evidence["disagreement"] > 0.2]
    trust = [pick.evidence["confidence"] for pick in unsure_about]
    assert trust == sorted(trust)
    assert {round(value, 9) for value in trust} == {0.2, 0.8}
    for pick in unsure_about:
        right = pick.evidence["usual"] == true_answer(pick.question.text)
        assert pick.evidence["confidence"] == pytest.approx(0.8 if right else 0.2)


def test_ties_are_broken_by_the_seed_and_not_by_the_order_of_the_dataset(ta: tuple[Cast, Ran]) -> None:
    cast_, _ = ta
    sure = [number_of(pick.question.id) for pick in cast_.picks.picks[POOL:] if pick.evidence["disagreement"] == 0.2]
    assert sure != sorted(sure)
    assert sure != sorted(sure, reverse=True)


def test_the_most_trusted_seventy_percent_are_kept_and_the_others_were_paid(ta: tuple[Cast, Ran]) -> None:
    _, ran = ta
    rows = ran.table("annotations")
    for of_round, kept in ((rows[:10], 7), (rows[10:], 28)):  # the second round leaves the first one's verdicts alone
        places = {}
        for row in of_round:
            found = re.fullmatch(r"judge's confidence ([\d.]+), place (\d+) of (\d+)", row["reason"])
            assert found
            places[int(found[2])] = (float(found[1]), row["weight"])
            assert int(found[3]) == len(of_round)
        confidences, weights = zip(*(places[place] for place in sorted(places)), strict=True)
        assert list(confidences) == sorted(confidences, reverse=True)
        assert list(weights) == [1.0] * kept + [0.0] * (len(of_round) - kept)
    assert ran.result["counters"]["dropped_annotations"] == 15
    assert ran.history[-1].charged["teacher"].questions == BUDGET


def test_the_filter_drops_what_is_wrong_before_it_drops_what_is_right(ta: tuple[Cast, Ran]) -> None:
    rows = ta[1].table("annotations")
    for of_round in (rows[:10], rows[10:]):
        verdicts = [(row["answer"] == true_answer(row["question"]), row["weight"]) for row in of_round]
        assert verdicts.count((True, 0.0)) == 0 or verdicts.count((False, 1.0)) == 0
        assert verdicts.count((False, 0.0)) > 0


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_a_share_to_keep_is_a_share(share: float) -> None:
    with pytest.raises(ValueError, match=f"share={share}"):
        KeepTrusted(share=share)


def test_student_and_teacher_are_judged_by_the_same_words(tmp_path: Path) -> None:
    """Where both write the same solution, the assistant reads the same prompt."""
    prompts: list[str] = []

    def believes(prompt: str, verdict: str) -> float:
        prompts.append(prompt)
        return assistant_believes(prompt, verdict)

    cast_ = Cast(overrides=SMALL)
    cast_.assistant.believes = believes
    cast_.run(tmp_path)
    bought = cast_.rows.rows[1:]  # behind the warm-up
    alike = [row for row in bought if row.evidence["usual"] == row.answer]
    assert alike
    for row in alike:
        shared = f"{row.question.text}\n{Solution.of(row).text}\nIs this solution right? True or False:"
        assert prompts.count(shared) == 4  # two words for the student's, two for the teacher's


def solutions_of(*pairs: tuple[str, str]) -> list[Solution]:
    return [Solution(Question(f"q-{shown}", shown), None, answer) for shown, answer in pairs]


def test_the_confidence_is_the_share_of_one_word_and_a_prompt_is_read_once() -> None:
    scores = {"1+1": {"True": math.log(0.3), "False": math.log(0.1)}, "1+2": {"True": -900.0, "False": -6.0}}
    student = CountingStudent(lambda request, sample: "", lambda request, word: scores[request.prompt[:3]][word])
    confidences = PTrue().confidences(solutions_of(("1+1", "2"), ("1+2", "9")), cast(Context, Asked(student)))
    assert confidences == [pytest.approx(0.75), 0.0]
    assert [(request.prompt[:3], request.continuations) for request, _ in student.asked] == [
        ("1+1", ("True", "False")),
        ("1+2", ("True", "False")),
    ]


def test_evidence_survives_json(ta: tuple[Cast, Ran]) -> None:
    cast_, _ = ta
    assert_survives_json(cast_.picks.picks)
    assert_survives_json(cast_.rows.rows)


def test_it_reads_no_gold(ta: tuple[Cast, Ran], tmp_path: Path) -> None:
    cast_, ran = ta
    other = Cast(dataset=OtherGold(ran.cell_run.cell.dataset))
    assert_same(ran, other.run(tmp_path))
    assert other.picks.picks == cast_.picks.picks
    assert ran.result["uses_gold"] is False


# --- a real assistant ------------------------------------------------------------------------------------------------


def test_without_an_assistant_it_is_refused() -> None:
    parts = Cast()
    cell = miniature(*FULL, teacher=parts.teacher, selection=StudentDoubt())
    with pytest.raises(ConfigError, match=r"it needs an assistant; give assistant=pretrained assistant\.path=FOLDER"):
        check(cell)
    with pytest.raises(ConfigError, match="it needs an assistant"):
        check(miniature(*FULL, teacher=parts.teacher, weighting=KeepTrusted()))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    cell = miniature(*FULL, *pretrained(tmp_path), teacher=Cast().teacher, weighting=KeepTrusted())
    with pytest.raises(ConfigError, match=r"assistant.path=.* has no config.json"):
        check(cell)


def test_a_model_in_a_folder_judges(tmp_path: Path, assistant_folder: Path) -> None:
    overrides = (*SMALL, *pretrained(assistant_folder))
    cast_ = Cast(overrides=overrides, scripted=False)
    ran = cast_.run(tmp_path)
    cell = ran.cell_run.cell
    check(cell)
    trust = [pick.evidence["confidence"] for pick in cast_.picks.picks[12:]]
    assert len(set(trust)) > 3
    assert all(0 < value < 1 for value in trust)
    computed = ran.result["rounds"][-1]["computed"]
    assert computed["assistant/selection"]["calls"] == 11
    assert computed["assistant/weighting"]["calls"] == 6
    # It is the folder's own model that judged, unchanged, and on a prompt that it could read whole.
    judge = load_models(cell).assistant
    assert judge is not None
    assert ran.cell_run.models.assistant is not None
    assert fingerprint(judge) == fingerprint(ran.cell_run.models.assistant)
    for row in cast_.rows.rows:
        context = Asked(judge)
        [again] = PTrue().confidences([Solution.of(row)], cast(Context, context))
        [reason] = [table["reason"] for table in ran.table("annotations") if table["id"] == row.id]
        assert reason.startswith(f"judge's confidence {again:.4f},")
    assert {name: n for name, n in ran.result["counters"].items() if name.startswith("assistant_") and n} == {}


# --- repeated and interrupted ----------------------------------------------------------------------------------------


def life(overrides: tuple[str, ...], folder: Path, fate: Fate, casts: list[Cast] | None = None) -> Ran:
    cast_ = Cast(fate, overrides, scripted=False)
    if casts is not None:
        casts.append(cast_)
    return cast_.run(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, assistant_folder: Path) -> tuple[partial[Ran], Ran, int]:
    of_folder = partial(life, (*SMALL, *pretrained(assistant_folder)))
    return of_folder, *calls_of(of_folder, tmp_path_factory.mktemp("whole"))


def test_two_runs_are_equal(whole: tuple[partial[Ran], Ran, int], tmp_path: Path) -> None:
    again, ran, _ = whole
    assert_same(ran, again(tmp_path, Fate()))


def test_a_death_in_every_call_changes_nothing(whole: tuple[partial[Ran], Ran, int], tmp_path: Path) -> None:
    """Calls to the teacher, to the student and to the assistant: in selection, annotation, weighting and evaluation."""
    again, ran, calls = whole
    casts: list[Cast] = []
    last, deaths = live_through(partial(again, casts=casts), tmp_path, Fate(always=True))
    assert deaths == calls - 1  # validation asks the same again in the second round
    assert_same(ran, last)
    asked = [request for cast_ in casts for request in cast_.teacher.books.asked]
    assert len(asked) == 2 * 6  # each once for nothing
    assert_asked_in_one_go(asked)


@pytest.mark.parametrize("many", cases([4, None], default=(4,)), ids=str)
def test_one_death_changes_nothing(many: int | None, whole: tuple[partial[Ran], Ran, int], tmp_path: Path) -> None:
    """At four calls from the first to the last, or at every one."""
    again, ran, calls = whole
    for at in spread(calls, many or calls):
        last, deaths = live_through(again, tmp_path / str(at), Fate(at=at))
        assert deaths == 1
        assert_same(ran, last)
