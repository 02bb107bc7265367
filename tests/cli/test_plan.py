"""`mode=plan`: what would run, at what cost and for how long, and nothing done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmark.console.heartbeat import duration
from benchmark.planning.amounts import Estimate
from benchmark.planning.expected_cost import admitted_questions
from benchmark.planning.plan_table import COLUMNS, _marked
from benchmark.planning.worst_case import WorstCases
from benchmark.student import hardware
from benchmark.teachers.ledger import Budget
from benchmark.teachers.prompts import prompt_library_for
from benchmark.teachers.teacher import estimated_tokens
from tests.records.small_records import complete_record, failed_record

Run = Callable[..., Any]
PLAN = ("-m", "mode=plan", "references=false")


def table(done: Any) -> list[dict[str, str]]:
    """The rows of the printed table, the totals last."""
    assert done.status == 0, done.err
    assert not done.err
    lines = [line.strip("| ").split("|") for line in done.out.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    assert cells[0] == [name for name in COLUMNS if name in cells[0]]
    return [dict(zip(cells[0], line, strict=True)) for line in cells[2:]]


def number(shown: str) -> float:
    """A value without its mark."""
    return float(shown.strip("~≤").replace(",", ""))


def costs(row: dict[str, str]) -> list[str]:
    return [row["calls"], row["tokens"], row["USD"]]


def files(folder: Path) -> dict[str, int]:
    """Everything below a folder, with the time of its last change."""
    return {str(path): path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def rewritten(results: Any, **values: Any) -> None:
    """Sets values of the only record: `train_seconds` stands for `train.seconds`, and so on."""
    record = results.record()
    for name, value in values.items():
        part, _, key = name.partition("_")
        match part:
            case "train":
                record["train"][key] = value
            case "test":
                record["test"][0][key] = value
            case _:
                record[name] = value
    (results.path / record["cell_id"] / "record.json").write_text(json.dumps(record))


# --- costs ------------------------------------------------------------------------------------------------------------


def test_the_numbers_of_a_cell_in_closed_form(command: Run, cell: Run, miniature: tuple[str, ...]) -> None:
    overrides = (*miniature, "dataset.pool_size=16", "budget.questions=8", "annotation.samples=3")
    made = cell(overrides)
    prompts = prompt_library_for([made.method.annotation])
    rendered = [
        prompts.render("few_shot_cot", row.without_gold(), made.dataset).prompt for row in made.dataset.load().pool
    ]
    prompt_tokens = 3 * sum(map(estimated_tokens, rendered)) / 2  # the budget buys half of the pool
    completion_tokens = 24 * (8 + 9 + 9) // 3  # the three exemplars take 29, 35 and 33 bytes

    row, total = table(command(*overrides, "mode=plan"))
    assert (row["method"], row["dataset"], row["student"], row["seed"], row["state"]) == (
        "rationale_then_answer+annotation.samples=3", "chain_sum", "tiny", "1", "to run",
    )  # fmt: skip
    assert row["calls"] == "~24"
    assert row["tokens"] == f"~{round(prompt_tokens) + completion_tokens:,}"
    assert row["USD"] == f"~{(round(prompt_tokens) * 1.0 + completion_tokens * 3.0) / 1e6:.2g}"
    assert costs(total) == costs(row)
    assert total["method"] == "total of 1 to run"


def test_what_is_planned_is_what_is_charged(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    overrides = (*miniature, "budget.questions=20", "+budget.calls=25", "annotation.samples=3")
    row, _ = table(command(*overrides, "mode=plan"))
    assert row["calls"] == "~24"  # a ninth question could take the calls above 25
    command(*overrides)
    charged = results.record()["rounds"][0]["charged"]["teacher"]
    assert charged["calls"] == 24
    tokens = charged["prompt_tokens"] + charged["completion_tokens"]
    assert float(row["tokens"].strip("~").replace(",", "")) == pytest.approx(tokens, rel=0.1)


@pytest.mark.parametrize(
    ("budget", "pool", "most", "mean", "bought"),
    [
        (Budget(questions=20), 40, 3, 3.0, 20),
        (Budget(questions=50), 40, 3, 3.0, 40),
        (Budget(calls=25), 40, 3, 3.0, 8),
        (Budget(calls=25), 40, 3, 1.5, 15),  # 14 questions cost 21 calls, so that a 15th may cost 3, and a 16th not
        (Budget(calls=3), 40, 3, 3.0, 1),
        (Budget(questions=5, calls=30), 40, 3, 3.0, 5),
        (Budget(calls=25), 40, 0, 0.0, 40),
        (Budget(calls=30), 100, 1, 0.1, 100),
    ],
)
def test_how_many_questions_a_budget_admits(budget: Budget, pool: int, most: int, mean: float, bought: int) -> None:
    costs = ({"questions": 1, "calls": calls} for calls in (most, mean))
    assert admitted_questions(budget, pool, *costs) == bought


@pytest.mark.parametrize("dataset", ["chain_sum", "trait_choice"])
def test_a_rehearsed_reply_can_be_read_so_that_nothing_is_asked_again(
    dataset: str, command: Run, miniature: tuple[str, ...]
) -> None:
    several = ("annotation=self_consistent_cot", "annotation.samples=3", f"dataset={dataset}")
    assert table(command(*PLAN, *miniature, *several))[0]["calls"] == "~60"


def test_who_asks_no_teacher_pays_none(command: Run, miniature: tuple[str, ...]) -> None:
    rows = table(command("-m", *miniature, "mode=plan", "method=gold_answers,answer_only"))
    assert [(row["method"], row["calls"]) for row in rows[:-1]] == [
        ("gold_answers", "-"), ("answer_only", "~20"), ("untrained", "-"),
    ]  # fmt: skip
    assert costs(rows[0]) == costs(rows[2]) == ["-"] * 3
    assert "varied" not in rows[0]  # the names tell all
    assert costs(rows[-1]) == costs(rows[1])


def test_human_labels_are_no_calls(command: Run, miniature: tuple[str, ...]) -> None:
    both, _ = table(command(*miniature, "mode=plan", "method=step_by_step_human_labels"))
    assert both["calls"] == "~20"
    asked, _ = table(command(*miniature, "mode=plan", "method=gold_answers", "pool=covered"))
    assert costs(asked) == ["0", "0", "0.00"]


def test_a_pool_that_is_covered_in_part(command: Run, write_svamp: Run, sum_rows: Run, tmp_path: Path) -> None:
    spoken = [{"id": row["id"], "rationale": "r", "answer": "1"} for row in sum_rows("train", 12)]
    overrides = (
        "-m",
        *write_svamp(tmp_path / "data", teacher=spoken),
        "mode=plan",
        "~budget.questions",
        "+budget.calls=99",
    )
    rows = table(command(*overrides, "pool=covered,all", "references=false"))
    assert rows[0]["calls"].strip("~") in {str(count) for count in range(8, 13)}  # four of 24 are validation
    assert rows[0]["USD"] == "0.00"
    assert rows[1]["state"] == "impossible"


PARTS = """
    from dataclasses import dataclass
    from benchmark.axes.annotation import FewShotCot

    @dataclass(frozen=True)
    class AsksTwice(FewShotCot):
        def most_requests(self, question, context):
            return 4 * super().most_requests(question, context)

        async def annotate(self, pick, context, ask):
            await super().annotate(pick, context, ask)
            return await super().annotate(pick, context, ask)

    @dataclass(frozen=True)
    class AsksTheStudent(AsksTwice):
        async def annotate(self, pick, context, ask):
            context.student.generate([])
            return await super().annotate(pick, context, ask)
"""
OPTIONS = {
    f"annotation/{name}": f"_target_: plug_plan_annotators.{target}\nsamples: 1\ntemperature: 0.0\n"
    for name, target in (("asks_twice", "AsksTwice"), ("asks_the_student", "AsksTheStudent"))
}


def test_a_request_that_is_repeated_is_paid_once(
    command: Run, plugin: Run, miniature: tuple[str, ...], results: Any
) -> None:
    folder = plugin({"plug_plan_annotators.py": PARTS}, OPTIONS)
    row, _ = table(command(folder, *miniature, "annotation=asks_twice", "mode=plan"))
    assert row["calls"] == "~20"
    command(folder, *miniature, "annotation=asks_twice")
    assert results.record()["rounds"][0]["charged"]["teacher"]["calls"] == 20


def test_what_cannot_be_rehearsed_is_bounded_by_its_worst_case(
    command: Run, plugin: Run, miniature: tuple[str, ...]
) -> None:
    folder = plugin({"plug_plan_annotators.py": PARTS}, OPTIONS)
    done = command(*PLAN, folder, *miniature, "annotation=asks_the_student,few_shot_cot")
    bounded, estimated, total = table(done)
    assert bounded["calls"] == "≤80"
    assert total["calls"] == "≤100"
    most, expected, both = (number(row["tokens"]) for row in (bounded, estimated, total))
    assert 4 * expected < most < 8 * expected  # each of 20 questions as dear as the dearest, and four times
    assert both == pytest.approx(most + expected, abs=1)
    assert [row["tokens"][0] for row in (bounded, estimated, total)] == ["≤", "~", "≤"]
    assert number(bounded["USD"]) > 4 * number(estimated["USD"]) > 0
    assert "≤ at most" in done.out
    free = ("teacher.price.usd_per_million_prompt_tokens=0", "teacher.price.usd_per_million_completion_tokens=0")
    row, _ = table(command(*PLAN, folder, *miniature, *free, "annotation=asks_the_student", "+budget.calls=30"))
    assert (row["calls"], row["USD"]) == ("≤28", "0.00")


def test_a_budget_of_tokens_or_dollars_is_planned_and_held(
    command: Run, miniature: tuple[str, ...], results: Any
) -> None:
    for limit, unit in (("tokens=700", "tokens"), ("usd=0.0009", "usd")):
        overrides = (*miniature, "budget.questions=null", f"budget.{limit}")
        row, _ = table(command(*overrides, "mode=plan"))
        done = command(*overrides)
        assert f"budget.{unit} ends the purchase after" in done.err
        [record] = [record for record in results.records() if record["budget"][unit]]
        charged = record["rounds"][0]["charged"]["teacher"]
        used = {"tokens": charged["prompt_tokens"] + charged["completion_tokens"], "usd": charged["usd"]}
        assert 0.8 * record["budget"][unit] < used[unit] <= record["budget"][unit]
        assert number(row["calls"]) == pytest.approx(charged["calls"], abs=2)
        assert number(row["tokens"]) == pytest.approx(used["tokens"], rel=0.2)


def test_a_budget_in_dollars_needs_a_price(command: Run, miniature: tuple[str, ...]) -> None:
    free = ("teacher.price.usd_per_million_prompt_tokens=0", "teacher.price.usd_per_million_completion_tokens=0")
    done = command(*miniature, *free, "budget.usd=1", "mode=plan")
    assert "budget.usd=1.0 limits nothing, since teacher.price is 0" in done.out + done.err


def test_a_chat_that_would_have_to_go_on_from_a_begun_reply_is_refused(
    command: Run, miniature: tuple[str, ...]
) -> None:
    live = ("teacher=openai_compatible", "teacher.base_url=http://localhost:1/v1", "teacher.model=m")
    overrides = (*miniature, "dataset=trait_choice", "annotation=counterfactual", *live)
    done = command(*overrides)
    assert "a chat cannot continue a reply that is begun, which the prompt justify asks for" in done.complaint
    for other in ("teacher.api=completions", "annotation.begin_in=prompt"):
        assert "begun" not in command(*overrides, other, "mode=plan").out


@pytest.mark.parametrize(
    ("limit", "told"), [("tokens=9", r"budget\.tokens=9, .* \d+ tokens"), ("usd=1e-6", r"usd=1e-06, .* US dollars")]
)
def test_a_budget_below_the_cheapest_question_is_impossible(
    limit: str, told: str, command: Run, miniature: tuple[str, ...]
) -> None:
    done = command(*miniature, "budget.questions=null", f"budget.{limit}")
    assert done.status == 2
    assert re.search(told, done.complaint)


def test_a_budget_that_the_first_question_exceeds_is_told_with_its_numbers(
    command: Run, cell: Run, miniature: tuple[str, ...]
) -> None:
    limited = (*miniature, "budget.questions=null", "budget.tokens=100000")
    made = cell(limited)
    splits = made.dataset.load()
    cheapest = min(WorstCases(made, splits).of(row.without_gold()).tokens for row in splits.pool)
    done = command(*limited[:-1], f"budget.tokens={cheapest}")  # no other question may cost as little
    assert done.status == 2
    ends = f"error: budget.tokens ends the purchase after 0 questions: 0 of {cheapest} are used, and the next question"
    assert re.search(rf"^{re.escape(ends)} may cost \d+; raise the limit to at least that$", done.err, re.MULTILINE)
    assert "Traceback" not in done.err


def test_a_bar_tells_what_was_bought_and_not_what_was_planned(command: Run, miniature: tuple[str, ...]) -> None:
    done = command(*miniature, "budget.questions=null", "budget.tokens=700")
    [bought] = re.findall(r"ends the purchase after (\d+) questions", done.err)
    assert re.search(rf"^[0-9:]+  annotating +{bought} in", done.err, re.MULTILINE)


# --- states and times -------------------------------------------------------------------------------------------------


def test_what_is_complete_costs_nothing_any_more(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    sweep = ("-m", *miniature, "method=answer_only,gold_answers")
    assert command(*sweep, "seed=1").status == 0
    before = files(results.path)
    rows = table(command(*sweep, "seed=1,2", "mode=plan"))
    assert [(row["method"], row["seed"], row["state"]) for row in rows[:-1]] == [
        ("answer_only", "1", "complete"), ("answer_only", "2", "to run"),
        ("gold_answers", "1", "complete"), ("gold_answers", "2", "to run"),
        ("untrained", "1", "complete"), ("untrained", "2", "to run"),
    ]  # fmt: skip
    assert [*costs(rows[0]), rows[0]["time"]] == ["-"] * 4
    assert rows[-1]["method"] == "total of 3 to run"
    assert costs(rows[-1]) == costs(rows[1])
    assert files(results.path) == before

    alone, total = table(command(*miniature, "method=answer_only", "mode=plan"))
    assert alone["state"] == "complete"
    assert [total["method"], *costs(total), total["time"]] == ["total of 0 to run", "0", "0", "0.00", "0 s"]


def test_failed_and_damaged_cells_are_to_run_again(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    command("-m", *miniature, "seed=1,2", "references=false")
    failed = json.dumps(failed_record().as_json())
    for record, content in zip(results.records(), [failed, "{"], strict=True):
        (results.path / record["cell_id"] / "record.json").write_text(content)
    rows = table(command(*PLAN, *miniature, "seed=1,2"))
    assert {row["state"] for row in rows[:-1]} == {"failed before", "damaged"}
    assert rows[-1]["method"] == "total of 2 to run"
    assert rows[-1]["calls"] == "~40"


def test_a_time_is_not_known_without_a_finished_cell(command: Run, miniature: tuple[str, ...]) -> None:
    done = command(*PLAN, *miniature)
    row, total = table(done)
    assert row["time"] == total["time"] == "?"
    assert "? not known" in done.out


def test_the_same_work_takes_the_same_time(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    command(*miniature, "method=gold_answers")
    rewritten(results, seconds=3900.0)
    rows = table(command(*PLAN, *miniature, "method=gold_answers", "seed=2,3", "optimization.learning_rate=0.01"))
    assert [row["time"] for row in rows] == ["~1 h 05 min", "~1 h 05 min", "~2 h 10 min"]


def test_other_work_is_scaled_by_steps_batch_and_questions(
    command: Run, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "instruction_sets", lambda: ("avx512_bf16",))  # others are warned of bf16-mixed
    command(*miniature, "method=gold_answers")  # 4 steps, 8 validation and 16 test questions
    rewritten(results, seconds=3900.0, train_seconds=40.0, test_seconds_per_answer=2.0)
    batch = results.record()["config"]["optimization"]["batch_size"]
    plans = [
        ("method=answer_only", 40 + (8 + 16) * 2),
        ("optimization.max_steps=12", 120 + (8 + 16) * 2),
        (f"optimization.batch_size={2 * batch}", 80 + (8 + 16) * 2),
        ("evaluation.validation_size=3", 40 + (3 + 16) * 2),
        ("dataset.test_size=100", 40 + (8 + 100) * 2),
        ("method=untrained", 16 * 2),
    ]
    for override, seconds in plans:
        row, _ = table(command(*PLAN, *miniature, "method=gold_answers", override))
        assert row["time"] == f"~{duration(seconds)}", override
    for other in ("student.hidden_size=32", "optimization.precision=bf16-mixed"):
        row, _ = table(command(*PLAN, *miniature, "method=gold_answers", other))
        assert row["time"] == "?", other


def test_an_untrained_student_says_nothing_of_training(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    command(*miniature, "method=untrained")
    known, unknown, total = table(command(*PLAN, *miniature, "method=untrained,gold_answers", "seed=2"))
    assert known["time"].startswith("~")
    assert unknown["time"] == "?"
    assert total["time"] == f"{known['time']} + ?"


def test_a_record_that_tells_no_time_is_no_judge(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    folder = results.path / "0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(complete_record(folder.name).as_json()))
    row, _ = table(command(*PLAN, *miniature))
    assert row["time"] == "?"


ROUNDS = """
    from dataclasses import dataclass
    from benchmark.axes.schedule import OneShot
    from benchmark.types import Round

    @dataclass(frozen=True)
    class Rounds(OneShot):
        how: str

        def next_round(self, history):
            if history and self.how == "by_notes":
                history[-1].notes["gain"]
            done = len(history) == 3 and self.how != "endless"
            return None if done else Round(len(history), 1 / 3)
"""


@pytest.mark.parametrize(("how", "shown"), [("three", "~2 min"), ("by_notes", "?"), ("endless", "?")])
def test_every_round_trains_and_validates(
    how: str, shown: str, command: Run, plugin: Run, miniature: tuple[str, ...], results: Any
) -> None:
    folder = plugin(
        {"plug_plan_rounds.py": ROUNDS}, {"schedule/rounds": f"_target_: plug_plan_rounds.Rounds\nhow: {how}\n"}
    )
    command(*miniature, "method=gold_answers")
    rewritten(results, train_seconds=10.0, test_seconds_per_answer=2.0)
    row, _ = table(command(*PLAN, folder, *miniature, "method=gold_answers", "schedule=rounds"))
    assert row["time"] == shown  # 3 times 10 s and 8 answers, then 16 answers


# --- what is impossible -----------------------------------------------------------------------------------------------


def reasons(done: Any) -> list[str]:
    return [line.removeprefix("- ") for line in done.out.splitlines() if line.startswith("- ")]


def test_impossible_cells_are_rows_with_their_reason(command: Run, miniature: tuple[str, ...]) -> None:
    done = command(
        "-m", *miniature, "mode=plan", "method=gold_answers,answer_only", "budget.questions=20,1000", "seed=1,2"
    )
    rows = table(done)
    impossible = [row for row in rows if row["state"] == "impossible"]
    assert len(rows) == 8 + 2 + 1
    assert sorted((row["method"], row["seed"]) for row in impossible) == [
        ("answer_only", "1"), ("answer_only", "2"), ("gold_answers", "1"), ("gold_answers", "2"),
    ]  # fmt: skip
    assert all([*costs(row), row["time"]] == ["-"] * 4 for row in impossible)
    assert {row["varied"] for row in impossible} == {"budget.questions=1000"}
    assert {row["varied"] for row in rows if row["method"] == "untrained"} == {""}
    assert rows[-1]["method"] == "total of 6 to run"
    assert rows[-1]["calls"] == "~40"
    first, second = reasons(done)
    assert first.startswith("gold_answers on chain_sum: budget.questions=1000, but the pool has 40 questions")
    assert "(2 of 10 cells, such as " in first
    assert second.startswith("answer_only on chain_sum: ")


def test_options_cannot_be_scored_where_there_are_none(command: Run, miniature: tuple[str, ...]) -> None:
    swept = ("dataset=chain_sum,trait_choice", "evaluation.option_likelihood=null,total,per_character")
    done = command(*PLAN, *miniature, *swept, "method=gold_answers")
    rows = table(done)[:-1]
    impossible = {row["varied"] for row in rows if row["state"] == "impossible"}
    assert len(rows) == 6
    assert impossible == {f"evaluation.option_likelihood={by}" for by in ("total", "per_character")}
    assert {row["dataset"] for row in rows if row["state"] == "impossible"} == {"chain_sum"}
    for reason in reasons(done):
        assert reason.startswith("gold_answers on chain_sum: evaluation.option_likelihood=")
        assert "questions of chain_sum (task generated_answer) have none" in reason
        assert "evaluation.option_likelihood=null" in reason


def test_a_cell_that_cannot_be_composed_is_named_as_the_command_names_it(
    command: Run, miniature: tuple[str, ...]
) -> None:
    done = command("-m", *miniature, "mode=plan", "method=gold_answers,rationale_then_anser", "seed=1,one")
    rows = table(done)
    named = [
        (row["method"], row["dataset"], row["student"], row["seed"]) for row in rows if row["state"] == "impossible"
    ]
    assert sorted(named) == [
        ("gold_answers", "chain_sum", "tiny", "one"),
        ("rationale_then_anser", "chain_sum", "tiny", "1"),
        ("rationale_then_anser", "chain_sum", "tiny", "one"),
        ("untrained", "chain_sum", "tiny", "one"),
    ]
    unread, unknown = sorted(reasons(done), reverse=True)
    assert unread.startswith("seed='one': input should be a valid integer (2 of 6 cells")
    assert "method=rationale_then_anser: there is no such option; did you mean 'rationale_then_answer'?" in unknown


REFUSED = [
    pytest.param(["optimization.learnin_rate=1"], "did you mean 'learning_rate'", id="misspelt key"),
    pytest.param(["+foo=1"], "foo: there is no such setting", id="added setting"),
    pytest.param(["budget.questions=1000"], "the pool has 40 questions", id="impossible everywhere"),
    pytest.param(["budget.questions=1000,2000"], "budget.questions=2000", id="impossible for several reasons"),
    pytest.param(["datset=svamp"], "did you mean 'dataset'", id="unknown group"),
    pytest.param(["mode=plann"], "'run', 'annotate' or 'plan'; did you mean 'plan'?", id="misspelt"),
    pytest.param(["mode=null"], "mode=None", id="no mode"),
    pytest.param(["results_dir=file/below"], "results_dir=file/below cannot be written", id="results in a file"),
]


@pytest.mark.parametrize("sweeping", [(), ("-m",)], ids=["one cell", "sweep"])
@pytest.mark.parametrize(("overrides", "said"), REFUSED)
def test_what_no_cell_survives_is_refused(
    overrides: list[str], said: str, sweeping: Sequence[str], command: Run, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    before = files(tmp_path)
    done = command(*sweeping, *miniature, "mode=plan", *overrides)
    assert done.status == 2
    if sweeping or "," not in overrides[0]:
        assert said in done.complaint
    assert not done.out
    assert files(tmp_path) == before


@pytest.mark.parametrize("swept", ["mode=run,plan", "mode=choice(plan)"])
def test_a_command_has_one_mode(swept: str, command: Run, miniature: tuple[str, ...], tmp_path: Path) -> None:
    done = command("-m", *miniature, "method=gold_answers", swept)
    assert done.status == 2
    assert done.complaint == f"{swept}: it cannot be swept; a command runs its cells, plans them or annotates ahead"
    assert not list(tmp_path.iterdir())


def test_a_cell_of_another_mode_is_refused(command: Run, plugin: Run, miniature: tuple[str, ...], results: Any) -> None:
    body = "# @package _global_\nmode: {}\n"
    folder = plugin({}, {"experiment/runs": body.format("run"), "experiment/plans": body.format("plan")})
    done = command("-m", folder, *miniature, "experiment=runs,plans")
    assert done.status == 2
    assert "mode=plan in a cell of a sweep with mode=run" in done.complaint
    assert not results.cells()


# --- nothing done -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_plan_leaves_nothing_behind(
    launcher: str, command: Run, miniature: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import benchmark.run_cell
    from benchmark.sweep import Sweep

    def launched(*_: Any) -> None:
        raise AssertionError("something was run")

    monkeypatch.setattr(benchmark.run_cell, "run_cell", launched)
    monkeypatch.setattr(Sweep, "launch", launched)
    rows = table(command("-m", f"hydra/launcher={launcher}", *miniature, "mode=plan", "seed=1,2"))
    assert [(row["method"], row["seed"]) for row in rows[:-1]] == [
        ("rationale_then_answer", "1"), ("rationale_then_answer", "2"), ("untrained", "1"), ("untrained", "2"),
    ]  # fmt: skip
    table(command(*miniature, "mode=plan"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["body", "params"])
def test_an_experiment_can_be_planned(
    where: str, command: Run, plugin: Run, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    grid = "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 1,2\n"
    mode = {"body": "mode: plan\n" + grid, "params": grid + "      mode: plan\n"}[where]
    folder = plugin({}, {"experiment/grid": "# @package _global_\n" + mode}, tmp_path / "elsewhere")
    assert len(table(command(folder, *miniature, "experiment=grid"))) == 2 + 2 + 1
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_equal_cells_are_one_row(command: Run, miniature: tuple[str, ...]) -> None:
    rows = table(command(*PLAN, *miniature, "method=gold_answers", "seed=1,1", "trainer.threads=1,null"))
    assert len(rows) == 1 + 1


# --- how numbers look -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 s"), (0.2, "1 s"), (89.0, "89 s"), (90.0, "2 min"), (3569.0, "59 min"), (3599.0, "1 h 00 min"),
        (3900.0, "1 h 05 min"), (360_000.0, "100 h 00 min"),
    ],
)  # fmt: skip
def test_a_duration_as_people_say_it(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("estimate", "shown"),
    [
        (Estimate(), "0"), (Estimate(1.0), "~1"), (Estimate(1.0, at_most=True), "≤1"), (Estimate(unknown=True), "?"),
        (Estimate(1.0) + Estimate(2.0, at_most=True), "≤3"), (Estimate(1.0) + Estimate(unknown=True), "~1 + ?"),
    ],
)  # fmt: skip
def test_marks(estimate: Estimate, shown: str) -> None:
    assert _marked(estimate, lambda value: f"{value:.0f}") == shown
