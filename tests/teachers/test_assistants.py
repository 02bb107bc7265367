"""Assistants without weights: what they write and believe, what is counted, and that none marks a cell as gold."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from benchmark.axes.format import AnswerOnly, RationaleThenAnswer
from benchmark.axes.schedule import TwoStages
from benchmark.contract import Context
from benchmark.errors import ConfigError, DataError, LeakError
from benchmark.planning.checks import check
from benchmark.tasks.dataset import Splits
from benchmark.tasks.generated import GeneratedDataset
from benchmark.tasks.guard import gold_closed
from benchmark.teachers.answer_key import answer_key
from benchmark.teachers.assistants import RecordedAssistant, SimulatedAssistant
from benchmark.teachers.simulated_roles import Judgement
from benchmark.types import Example, Request, Span, TrainingExample
from methods.judges import PTrue, Solution
from methods.ta_in_the_loop import KeepTrusted, StudentDoubt
from tests.corridor.corridor_parts import miniature, run
from tests.methods.selection_context import Asked
from tests.rehearsals.mentor import SoftLabels, WithMentor
from tests.rehearsals.scripted import assert_same
from tests.teachers.test_simulated import chain_sums, within

SUMS = chain_sums(600)
ROWS = SUMS.load().pool
TASK = SUMS.task


def explain(row: Example, given: str = "", temperature: float = 0.0) -> Request:
    request = RationaleThenAnswer().request(row.without_gold(), "rationale_and_answer", TASK, given)
    return replace(request, temperature=temperature)


def solution(row: Example, answer: str) -> Solution:
    return Solution(row.without_gold(), row.rationale, answer)


def trust_in(solutions: Sequence[Solution], model: Any) -> list[float]:
    return PTrue().confidences(solutions, cast(Context, Asked(model)))


# --- what a simulated one writes and believes ------------------------------------------------------------------------


def test_it_answers_the_prompts_of_formats_and_goes_on_from_begun_replies() -> None:
    model = SimulatedAssistant().assist(SUMS)
    for row in ROWS[:40]:
        whole = f"{row.rationale}#{row.answer}"
        direct = AnswerOnly().request(row.without_gold(), "answer", TASK)
        begun = [row.rationale.partition(";")[0], str(row.rationale), ""]  # type: ignore[union-attr]
        asks = [explain(row, given) for given in begun]
        now = RationaleThenAnswer().request(row.without_gold(), "answer_given", TASK, begun[0])
        replies = model.generate([direct, now, *asks])
        assert [reply.text for [reply] in replies[:2]] == [row.answer, row.answer]
        assert [given + reply.text for given, [reply] in zip(begun, replies[2:], strict=True)] == [whole] * 3


def test_greedy_samples_are_equal_and_other_keys_give_other_samples() -> None:
    model = SimulatedAssistant(wrong_step_rate=0.5).assist(SUMS)
    greedy = model.generate([explain(row) for row in ROWS[:200]], samples=3)
    assert all(len({reply.text for reply in of_row}) == 1 for of_row in greedy)
    warm = [explain(row, temperature=0.7) for row in ROWS[:200]]
    first, again = model.generate(warm, 2, "one"), model.generate(warm, 2, "one")
    assert first == again
    assert sum(a != b for a, b in zip(first, model.generate(warm, 2, "other"), strict=True)) > 100
    wrong = sum(not of_row[0].text.endswith(f"#{row.answer}") for row, of_row in zip(ROWS, greedy, strict=False))
    assert within(wrong, 200, 0.5)


def test_its_work_is_counted() -> None:
    model = SimulatedAssistant().assist(SUMS)
    replies = [reply for of_row in model.generate([explain(row) for row in ROWS[:7]], 2) for reply in of_row]
    assert model.usage.calls == 14
    assert model.usage.completion_tokens == sum(reply.completion_tokens for reply in replies)
    assert model.generate([]) == model.target_log_probabilities([]) == []
    assert model.usage.calls == 14


@pytest.mark.parametrize(("accept", "reject"), [(0.0, 0.0), (0.2, 0.1), (0.5, 0.4)])
def test_its_verdicts_are_as_often_wrong_as_set(accept: float, reject: float) -> None:
    model = SimulatedAssistant(verify=Judgement(accept, reject)).assist(SUMS)
    right = trust_in([solution(row, row.answer) for row in ROWS], model)
    wrong = trust_in([solution(row, str(int(row.answer) + 1)) for row in ROWS], model)
    for found, mean in ((right, 1 - reject), (wrong, accept)):
        assert abs(sum(found) / len(found) - mean) < 4 * math.sqrt(0.25 / len(found)) * (0 < mean < 1) + 1e-5


@pytest.mark.parametrize("auroc", [0.5, 0.78, 0.95])
def test_a_judge_has_the_set_area_under_the_curve_and_is_calibrated(auroc: float) -> None:
    """Among as many right as wrong solutions."""
    model = SimulatedAssistant(judge_auroc=auroc).assist(SUMS)
    right = trust_in([solution(row, row.answer) for row in ROWS], model)
    wrong = trust_in([solution(row, str(int(row.answer) + 1)) for row in ROWS], model)
    above = np.mean(np.array(right)[:, None] > np.array(wrong)) + np.mean(np.array(right)[:, None] == wrong) / 2
    assert abs(above - auroc) < 4 * math.sqrt(auroc * (1 - auroc) / len(ROWS)) + 1e-9
    everything, labels = np.array(right + wrong), np.array([1.0] * len(right) + [0.0] * len(wrong))
    for low in (0.0, 0.25, 0.5, 0.75):
        inside = (everything >= low) & (everything < low + 0.25)
        if inside.sum() > 50:
            assert abs(labels[inside].mean() - everything[inside].mean()) < 4 * math.sqrt(0.25 / inside.sum())
    with pytest.raises(ValueError, match=r"judge_auroc=1.0 must be from 0.5 to below 1, or null"):
        SimulatedAssistant(judge_auroc=1.0)


def test_the_chances_of_both_verdicts_add_up_to_one() -> None:
    model = SimulatedAssistant(verify=Judgement(0.3, 0.3)).assist(SUMS)
    prompt = f"{ROWS[0].question}\n{solution(ROWS[0], ROWS[0].answer).text}\nIs this solution right?"
    [[reply]] = model.generate([Request("verdict", prompt, ROWS[0].id, continuations=("Yes", "no."))])
    assert sum(map(math.exp, reply.continuation_log_probabilities or ())) == pytest.approx(1)


@pytest.mark.parametrize(
    ("prompt", "word", "words"),
    [("{q}\nAnswer: 1\nRight?", "perhaps", "verdicts only"), ("How are you?", "True", "finds no question")],
)
def test_what_it_cannot_weigh_is_refused(prompt: str, word: str, words: str) -> None:
    request = Request("verdict", prompt.format(q=ROWS[0].question), ROWS[0].id, continuations=(word,))
    with pytest.raises(ConfigError, match=words):
        SimulatedAssistant().assist(SUMS).generate([request])


def test_it_knows_no_probability_of_a_text() -> None:
    example = TrainingExample("g", "solution", ROWS[0].question, (Span("1+1=2"),))
    with pytest.raises(ConfigError, match=r"log-probabilities of a text, such as '1\+1=2'; it weighs verdicts only"):
        SimulatedAssistant().assist(SUMS).target_log_probabilities([example])


def test_the_key_is_closed_to_parts_and_open_to_the_model_that_it_makes() -> None:
    key, model, row = answer_key(SUMS), SimulatedAssistant().assist(SUMS), ROWS[0]
    with gold_closed("selection", declares_gold=False):
        [[reply]] = model.generate([explain(row)])
        [trust] = trust_in([solution(row, row.answer)], model)
    assert (reply.text, trust > 0.99) == (f"{row.rationale}#{row.answer}", True)
    for read in (
        key.solve,
        lambda question: key.argue(question, "1"),
        lambda question: key.right_steps(question, ["1"]),
    ):
        with pytest.raises(LeakError, match="selection part"), gold_closed("selection", declares_gold=False):
            read(row.without_gold())


# --- in cells --------------------------------------------------------------------------------------------------------


def test_a_cell_with_a_simulated_assistant_is_not_marked_as_using_gold(tmp_path: Path) -> None:
    cell = miniature(
        "assistant=simulated", schedule=TwoStages(0.4), selection=StudentDoubt(samples=2), weighting=KeepTrusted()
    )
    check(cell)
    ran = run(cell, tmp_path / "one")
    assert ran.result["uses_gold"] is False
    computed = ran.history[-1].computed
    weighed, doubted = 12, 40 - ran.history[0].annotated  # every solution is read once
    assert sum(usage.calls for name, usage in computed.items() if name.startswith("assistant")) == weighed + doubted
    assert_same(ran, run(replace(cell, dataset=OtherGold(**vars(cell.dataset))), tmp_path / "other"))


class OtherGold(GeneratedDataset):
    """The dataset with every gold answer of the pool replaced by the next question's; what models know stays."""

    def load(self) -> Splits:
        splits = super().load()
        following = (*splits.pool[1:], splits.pool[0])
        pool = tuple(replace(row, answer=other.answer) for row, other in zip(splits.pool, following, strict=True))
        return replace(splits, pool=pool)


def recording(folder: Path, rows: tuple[Example, ...]) -> str:
    path = folder / "recording.jsonl"
    lines = [
        {"id": row.id, "rationale": row.rationale, "answer": row.answer, "sample": n} for row in rows for n in "01"
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_a_recorded_assistant_is_a_mentor_and_marks_no_gold(tmp_path: Path) -> None:
    dataset = miniature().dataset
    overrides = ("assistant=recorded", f"assistant.file={recording(tmp_path, dataset.load().pool)}")
    cell = miniature(*overrides, annotation=WithMentor(samples=2))
    check(cell)
    ran = run(cell, tmp_path / "results")
    assert ran.result["uses_gold"] is False
    rows = [row for row in ran.table("annotations") if row["source"] == "assistant"]
    gold = {row.id: row for row in dataset.load().pool}
    assert len(rows) == 24
    for row in rows:
        assert (row["rationale"], row["answer"]) == (
            gold[row["question_id"]].rationale,
            gold[row["question_id"]].answer,
        )


def test_a_recording_that_lacks_questions_is_refused_before_any_work(tmp_path: Path) -> None:
    file = recording(tmp_path, miniature().dataset.load().pool[:30])
    cell = miniature("assistant=recorded", f"assistant.file={file}", annotation=WithMentor())
    with pytest.raises(DataError, match="does not cover 10 of the 40 questions"):
        check(cell)


def test_a_recording_has_no_probabilities_and_goes_on_from_nothing(tmp_path: Path) -> None:
    model = RecordedAssistant("old", file=recording(tmp_path, ROWS)).assist(SUMS)
    with pytest.raises(ConfigError, match="recording does not hold"):
        trust_in([solution(ROWS[0], "1")], model)
    with pytest.raises(ConfigError, match="cannot go on from a begun reply"):
        model.generate([explain(ROWS[0], "1+1=2")])


def test_a_loss_that_reads_distributions_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"assistant's distribution.*simulated_assistant writes text only"):
        check(miniature("assistant=simulated", loss=SoftLabels()))
