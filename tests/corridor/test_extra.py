"""Further test sets: opened at the end, asked like the cell's own, counted apart, and without a trace in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.axes.annotation import FewShotCot
from benchmark.contract import AskModels, Context
from benchmark.errors import ConfigError
from benchmark.evaluation.accuracy import Evaluation, evaluate
from benchmark.planning.checks import check
from benchmark.records.record_parts import TestScore
from benchmark.running import examination
from benchmark.tasks.dataset import Exemplar, Splits, TestSplit
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.overlap import overlap_of
from benchmark.types import Annotation, Example, Pick, Question
from tests.corridor.corridor_parts import Rounds, miniature, run

LONG = "evaluation.extra=[chain_sum_long]"
TASK = GeneratedAnswer()
ROWS = tuple(Example(f"other-{i}", f"{i}+1+1", str(i + 2)) for i in range(5))


@dataclass(frozen=True)
class Other:
    """A dataset of nothing but test questions; whoever reads its other splits fails."""

    rows: tuple[Example, ...] = ROWS
    name: str = "other"
    task: GeneratedAnswer = TASK
    exemplars: tuple[Exemplar, ...] = ()

    def load(self) -> Splits:
        untouchable: Any = None
        return Splits(untouchable, untouchable, TestSplit(self.rows))

    def fingerprint(self) -> str:
        return repr(self.rows)


def with_other(*overrides: str, rows: tuple[Example, ...] = ROWS, **parts: Any) -> Any:
    return replace(miniature(*overrides, **parts), extra_datasets=(Other(rows),))


def test_further_test_sets_are_opened_after_the_cells_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[list[str]] = []
    sealed: list[bool] = []
    test = Other().load().test
    monkeypatch.setattr(Other, "load", lambda self: Splits((), (), test))

    def told(student: Any, examples: Sequence[Example], *rest: Any) -> Evaluation:
        judged.append([example.id for example in examples])
        sealed.append(test._sealed)
        return evaluate(student, examples, *rest)

    monkeypatch.setattr(examination, "evaluate", told)
    cell = with_other(schedule=Rounds())
    run(cell, tmp_path)
    splits = cell.dataset.load()
    splits.test.unseal()
    validation, own = ([example.id for example in rows] for rows in (splits.validation, splits.test.open()))
    assert judged == [validation, validation, validation, own, [row.id for row in ROWS]]
    assert sealed == [True, True, True, True, False]


def test_an_entry_agrees_with_its_predictions_and_counts_apart(tmp_path: Path) -> None:
    ran = run(miniature(LONG), tmp_path)
    own, extra = ran.result["test"]
    rows = ran.table("predictions-chain_sum_long")
    assert (own["dataset"], extra["dataset"], extra["metric"]) == ("chain_sum", "chain_sum_long", "accuracy")
    assert own["n"] == len(ran.table("predictions")) == 8
    assert extra["n"] == len(rows) == 500
    assert extra["value"] == pytest.approx(sum(row["correct"] for row in rows) / 500)
    assert extra["reasoning_accuracy"] == 0
    assert extra["questions_seen_in_pool"] == 0
    assert "questions_seen_in_pool" not in own
    counters = ran.result["counters"]
    assert counters["unparsed_answers/chain_sum_long"] == sum(row["answer"] is None for row in rows) > 8
    assert counters["truncated_answers/chain_sum_long"] == sum(row["truncated"] for row in rows) > 8
    assert counters["unparsed_answers"] <= 8
    assert counters["truncated_answers"] <= 8
    assert ran.result["teacher_reference"]["n"] == 8


class Generous(GeneratedAnswer):
    """Shows another question than the cell's own task would, and takes every answer."""

    def show(self, question: Question) -> str:
        return f"{question.text}+"

    def is_correct(self, example: Example, answer: str | None) -> bool:
        return True


def test_a_further_test_set_is_asked_and_read_as_its_own_task_says(tmp_path: Path) -> None:
    cell = replace(miniature(), extra_datasets=(Other(task=Generous()),))
    ran = run(cell, tmp_path)
    own, extra = ran.result["test"]
    assert own["value"] < extra["value"] == 1.0
    shorter = run(with_other(), tmp_path / "shorter").table("predictions-other")
    longer = ran.table("predictions-other")
    assert [row["prompt_tokens"] for row in longer] == [row["prompt_tokens"] + 1 for row in shorter]


def test_what_is_learnt_and_how_it_scores_does_not_change(tmp_path: Path) -> None:
    plain, extra = (run(cell, tmp_path / str(i)) for i, cell in enumerate((miniature(), miniature(LONG))))
    scores = [{**ran.result["test"][0], **dict.fromkeys(TestScore.TIMES)} for ran in (plain, extra)]
    assert scores[0] == scores[1]
    assert plain.table("predictions") == extra.table("predictions")
    assert extra.result["counters"].items() >= plain.result["counters"].items()
    assert extra.result["rounds"] == plain.result["rounds"]


def test_cut_prompts_are_counted_apart(tmp_path: Path) -> None:
    longer = tuple(Example(f"long-{i}", "+".join("1" * 20), "20") for i in range(3))
    room = ("student.overlong=truncate", "student.max_length=24")
    ran = run(with_other(*room, rows=longer), tmp_path)
    assert ran.result["counters"]["truncated_prompts"] == 0
    assert ran.result["counters"]["truncated_prompts/other"] == 3


@dataclass(frozen=True)
class AsksAnother(FewShotCot):
    """Annotates another question than the one it was given."""

    async def annotate(self, pick: Pick, context: Context, ask: AskModels) -> Sequence[Annotation]:
        rows = await super().annotate(pick, context, ask)
        return [replace(row, question=replace(row.question, text="7+7+7")) for row in rows]


def test_questions_of_the_pool_are_counted_and_asked_all_the_same(tmp_path: Path) -> None:
    pool = miniature().dataset.load().pool
    seen = tuple(replace(row, id=f"seen-{i}", question=f" {row.question}\n") for i, row in enumerate(pool[:3]))
    rows = (*seen, Example("made-up", "7+7+7", "21"), Example("new", "1+1+1+1+1+1+1", "7"))
    for annotation, count in ((FewShotCot(), 3), (AsksAnother(), 4)):
        ran = run(with_other(rows=rows, annotation=annotation), tmp_path / str(count))
        entry = ran.result["test"][1]
        assert (entry["n"], entry["questions_seen_in_pool"]) == (5, count)
        assert (entry["pool_overlap"]["exact"], entry["learnt_overlap"]["exact"]) == (3, count)
        assert ran.result["test"][0]["learnt_overlap"] == {"exact": 0, "near": 0, "any": 0, "short": 8, "covered": 0.0}


def test_other_choices_make_another_question() -> None:
    learnt = [Question("1", "Big,  hot?", ("ape", "bee")), Question("2", "Where?", context="A sea.")]
    asked = [
        Question("a", "big, hot?", ("Bee", "ape")),
        Question("b", "big, hot?", ("ape", "cat")),
        Question("c", "where?", context="a sea."),
        Question("d", "where?"),
    ]
    assert [overlap_of([question], learnt).exact for question in asked] == [1, 0, 1, 0]


# --- what the plan refuses -----------------------------------------------------------------------------------------


def test_questions_that_leave_no_room_for_an_answer_are_refused(tmp_path: Path) -> None:
    cell = miniature(LONG, "student.max_length=24", f"results_dir={tmp_path}")
    with pytest.raises(
        ConfigError, match=r": \d+ prompts of evaluation.extra=chain_sum_long are longer than 16 tokens"
    ):
        check(cell)
    check(miniature(LONG, "student.max_length=27", f"results_dir={tmp_path}"))
    check(miniature(LONG, "student.max_length=24", "student.overlong=truncate", f"results_dir={tmp_path}"))
    untrained = miniature(LONG, "method=untrained", "student.max_length=24", f"results_dir={tmp_path}")
    with pytest.raises(ConfigError, match=r"evaluation\.extra=chain_sum_long are longer"):
        check(untrained)


def test_a_format_for_choices_refuses_a_test_set_without_them(tmp_path: Path) -> None:
    from benchmark.axes.format import AnswerOnly
    from benchmark.contract import Requirements

    class Chooses(AnswerOnly):
        def requires(self) -> Requirements:
            return Requirements(choices=True)

    where = ("dataset=trait_choice", f"results_dir={tmp_path}")
    check(miniature(*where, format=Chooses()))
    for method in ("answer_only", "untrained"):
        cell = miniature(*where, LONG, f"method={method}", format=Chooses())
        with pytest.raises(ConfigError, match=r"multiple-choice questions only.*evaluation\.extra=chain_sum_long"):
            check(cell)
    check(miniature(*where, LONG))


def test_a_test_set_that_cannot_be_made_is_refused_with_its_name(tmp_path: Path) -> None:
    cell = miniature("evaluation.extra=[svamp]", f"data_dir={tmp_path / 'nowhere'}", f"results_dir={tmp_path}")
    with pytest.raises(ConfigError, match=r"evaluation.extra, svamp: .*train.jsonl does not exist"):
        check(cell)
