"""What is averaged, what is not, and what every table holds."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.output.tables import Table, TableRow, build_table
from analysis.records.load import load_records
from tests.analysis.record_files import cost, make_record, write_record, write_small_sweep


def table_of(results: Path, *records: dict[str, Any]) -> Table:
    for record in records:
        write_record(results, record)
    return build_table(load_records(results))


def rows_by_name(table: Table, block: int = 0) -> dict[str, TableRow]:
    rows = {row.name: row for row in table.blocks[block].rows}
    assert len(rows) == len(table.blocks[block].rows), "two rows share a name"
    return rows


def test_means_gaps_and_references_of_a_small_sweep(results: Path) -> None:
    write_small_sweep(results)
    rows = rows_by_name(table_of(results))
    assert list(rows) == ["untrained student", "teacher itself", "answer_only", "elad", "gold_answers"]
    elad = rows["elad"]
    mean = (0.90 + 0.91 + 0.93) / 3
    assert elad.mean == pytest.approx(mean)
    assert elad.gap_closed == pytest.approx((mean - 0.01) / (0.95 - 0.01))
    assert (elad.num_seeds, elad.seeds, elad.teacher_questions, elad.uses_gold) == (3, "1 2 3", 1000, False)
    assert rows["teacher itself"].mean == pytest.approx(0.95)
    assert rows["gold_answers"].uses_gold
    assert (rows["gold_answers"].human_questions, rows["gold_answers"].teacher_questions) == (1000, 0)


def test_different_budgets_are_never_averaged(results: Path) -> None:
    budgets = [{"questions": questions, "calls": None, "tokens": None, "usd": None} for questions in (100, 1000)]
    records = [make_record("elad", 0.2 + 0.3 * i, seed, budget=b) for i, b in enumerate(budgets) for seed in (1, 2)]
    rows = rows_by_name(table_of(results, *records))
    assert [name for name in rows if name.startswith("elad")] == [
        "elad [budget.questions=100]",
        "elad [budget.questions=1000]",
    ]
    assert rows["elad [budget.questions=100]"].mean == pytest.approx(0.2)
    assert rows["elad [budget.questions=1000]"].budget_questions == 1000


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"config": {"optimization": {"learning_rate": 0.01}}}, "elad [optimization.learning_rate=0.01]"),
        ({"config": {"loss": {"beta": 0.5}}}, "elad [loss.beta=0.5]"),
        ({"data_seed": 7, "config": {"data_seed": 7}}, "elad [data_seed=7]"),
    ],
)
def test_a_scientific_setting_makes_another_row(results: Path, change: dict[str, Any], name: str) -> None:
    rows = rows_by_name(table_of(results, make_record("elad", 0.5), make_record("elad", 0.9, seed=2, **change)))
    assert rows[name].mean == pytest.approx(0.9)
    assert rows[name].num_seeds == 1


@pytest.mark.parametrize("change", [{"trainer": {"devices": 4}}, {"logger": {"csv": False}}, {"mode": "x"}])
def test_execution_settings_make_no_row(results: Path, change: dict[str, Any]) -> None:
    rows = rows_by_name(table_of(results, make_record("elad"), make_record("elad", seed=2, config=change)))
    assert rows["elad"].num_seeds == 2


def test_test_sets_of_different_size_are_not_averaged(results: Path) -> None:
    small = make_record("elad", 0.5, seed=2)
    small["test"][0]["n"] = 50
    rows = rows_by_name(table_of(results, make_record("elad"), small))
    assert {"elad [test_examples=50]", "elad [test_examples=500]"} < set(rows)


def test_settings_that_names_leave_out_are_in_a_note(results: Path) -> None:
    other = make_record(
        "elad",
        budget={"questions": 10, "calls": None, "tokens": None, "usd": None},
        config={"optimization": {"max_steps": 9}},
    )
    table = table_of(results, make_record("elad"), other)
    assert "The rows of elad also differ in optimization.max_steps." in table.notes


def test_results_of_changed_code_are_never_averaged(results: Path) -> None:
    records = [
        make_record("elad", value, config={"sources": {"methods.elad": code}})
        for value, code in ((0.5, "aa"), (0.9, "bb"))
    ]
    table = table_of(results, *records)
    names = [name for name in rows_by_name(table) if name.startswith("elad")]
    assert names == ["elad [sources.methods.elad=aa]", "elad [sources.methods.elad=bb]"]


def test_methods_without_a_teacher_are_in_every_teachers_block(results: Path) -> None:
    records = [make_record("elad", teacher=teacher) for teacher in ("simulated", "recorded")]
    table = table_of(results, *records, make_record("gold_answers", 0.3), make_record("untrained", 0.1))
    assert [block.key.teacher for block in table.blocks] == ["recorded", "simulated"]
    for index in range(2):
        assert list(rows_by_name(table, index)) == ["untrained student", "teacher itself", "elad", "gold_answers"]


def test_a_block_of_methods_without_teacher_stands_alone(results: Path) -> None:
    table = table_of(results, make_record("gold_answers", 0.3))
    assert [block.key.teacher for block in table.blocks] == [None]


def test_missing_references_are_rows_that_say_not_run(results: Path) -> None:
    table = table_of(results, make_record("elad", teacher_reference=None))
    rows = rows_by_name(table)
    assert (rows["untrained student"].mean, rows["teacher itself"].mean) == (None, None)
    assert rows["elad"].gap_closed is None
    assert any("add method=untrained" in note for note in table.notes)


@pytest.mark.parametrize("untrained", [0.95, 0.99])
def test_no_gap_where_the_teacher_is_not_better(results: Path, untrained: float) -> None:
    table = table_of(results, make_record("elad"), make_record("untrained", untrained))
    assert rows_by_name(table)["elad"].gap_closed is None


def test_the_gap_is_held_against_the_very_teacher_that_was_asked(results: Path) -> None:
    weak: dict[str, Any] = {"config": {"teacher": {"error_rate": 0.5}}}
    reference = {"split": "test", "metric": "accuracy", "value": 0.5, "n": 500}
    unmeasured = make_record("srd", 0.25, teacher_reference=None, config={"teacher": {"error_rate": 0.9}})
    records = [
        make_record("elad", 0.475),
        make_record("elad", 0.25, **weak, teacher_reference=reference),
        make_record("untrained", 0.0),
        unmeasured,
    ]
    rows = rows_by_name(table_of(results, *records))
    assert rows["elad [teacher.error_rate=0.05]"].gap_closed == pytest.approx(0.475 / 0.95)
    assert rows["elad [teacher.error_rate=0.5]"].gap_closed == pytest.approx(0.5)
    assert rows["srd"].gap_closed is None
    assert rows["teacher itself [teacher.error_rate=0.5]"].mean == pytest.approx(0.5)


def test_a_teacher_of_distributions_is_a_row_of_its_own_and_the_bound_of_its_students(results: Path) -> None:
    shown = {"split": "test", "metric": "accuracy", "value": 0.8, "n": 500, "of": 500, "distributions_of": "big"}
    config = {"distribution_teacher": {"name": "big"}, "format": {"name": "rationale_then_answer"}}
    white_box: dict[str, Any] = {"config": config, "teacher_reference": shown}
    records = [
        make_record("elad", 0.38),
        make_record("jsd", 0.4, **white_box),
        make_record("gold_answers", 0.2, **white_box),
        make_record("untrained", 0.0),
    ]
    rows = rows_by_name(table_of(results, *records))
    assert (rows["teacher itself"].mean, rows["teacher itself: big"].mean) == (0.95, 0.8)
    assert rows["elad"].gap_closed == pytest.approx(0.38 / 0.95)
    assert rows["jsd"].gap_closed == pytest.approx(0.5)
    assert rows["gold_answers"].gap_closed == pytest.approx(0.25)


def test_two_formats_are_two_bounds(results: Path) -> None:
    def record(method: str, score: float, bound: float) -> dict[str, Any]:
        shown = {"split": "test", "metric": "accuracy", "value": bound, "n": 500, "of": 500, "distributions_of": "big"}
        return make_record(method, score, config={"distribution_teacher": {"name": "big"}}, teacher_reference=shown)

    rows = rows_by_name(table_of(results, record("a", 0.4, 0.8), record("b", 0.3, 0.5), make_record("untrained", 0.0)))
    assert rows["teacher itself: big [format.name=a]"].mean == 0.8
    assert rows["a"].gap_closed == pytest.approx(0.5)
    assert rows["b"].gap_closed == pytest.approx(0.6)


def test_the_untrained_student_of_other_data_is_no_reference(results: Path) -> None:
    other_data = make_record("untrained", 0.1, config={"dataset": {"max_terms": 9}})
    assert rows_by_name(table_of(results, make_record("elad"), other_data))["elad"].gap_closed is None


def test_the_untrained_student_does_not_split_by_what_it_cannot_use(results: Path) -> None:
    later = {
        "budget": {"questions": 9, "calls": None, "tokens": None, "usd": None},
        "config": {"optimization": {"max_steps": 9}, "data_seed": 7},
    }
    records = [make_record("untrained", 0.1, 1), make_record("untrained", 0.3, 2, data_seed=7, **later)]
    rows = rows_by_name(table_of(results, make_record("elad", 0.575), *records))
    assert rows["untrained student"].mean == pytest.approx(0.2)
    assert rows["elad"].gap_closed == pytest.approx(0.5)


def test_a_teacher_that_answered_only_some_questions_is_said(results: Path) -> None:
    reference = make_record("elad")["teacher_reference"] | {"n": 400, "of": 500}
    notes = table_of(results, make_record("elad", teacher_reference=reference)).notes
    assert any("answered 400 of 500 questions" in note for note in notes)


def test_several_test_sets_are_several_blocks(results: Path) -> None:
    record = make_record("elad")
    record["test"].append(record["test"][0] | {"dataset": "trait_choice", "value": 0.2})
    table = table_of(results, record)
    assert [(block.key.test_dataset, rows_by_name(table, i)["elad"].mean) for i, block in enumerate(table.blocks)] == [
        ("chain_sum", 0.9),
        ("trait_choice", 0.2),
    ]
    assert rows_by_name(table, 1)["teacher itself"].mean is None


def test_an_unknown_price_is_unknown_and_not_zero(results: Path) -> None:
    record = make_record("elad")
    record["rounds"][0]["charged"] = {"teacher": cost(1000, usd=None)}
    assert rows_by_name(table_of(results, record))["elad"].teacher_usd is None


def test_sources_without_a_column_are_in_a_note(results: Path) -> None:
    record = make_record("elad")
    record["rounds"][0]["charged"]["assistant"] = cost(5)
    assert any("assistant" in note for note in table_of(results, record).notes)


def test_few_seeds_are_said(results: Path) -> None:
    notes = table_of(results, make_record("elad")).notes
    assert any("fewer than 3 seeds" in note for note in notes)
    assert any("one seed has no interval" in note for note in notes)


def test_the_order_of_the_records_changes_nothing(results: Path) -> None:
    write_small_sweep(results)
    records = load_records(results)
    expected = build_table(records)
    for seed in range(5):
        shuffled = random.Random(seed).sample(records.complete, len(records.complete))
        table = build_table(replace(records, complete=tuple(shuffled), failed=records.failed[::-1]))
        assert table == expected


def test_every_number_traces_to_records(results: Path) -> None:
    written = {record["cell_id"] for record in write_small_sweep(results)}
    frame = table_of(results).frame
    shown = {cell_id for ids in frame["record_ids"] for cell_id in ids.split()}
    failed = {cell.names.cell_id for cell in load_records(results).failed}
    assert shown | failed == written


def with_reasoning(record: dict[str, Any], right: float | None, wrong: float | None) -> dict[str, Any]:
    record["test"][0] |= {"reasoning_accuracy": right, "right_answer_wrong_reasoning": wrong}
    return record


def test_reasoning_is_averaged_over_seeds_and_absent_where_a_record_does_not_tell_it(results: Path) -> None:
    told = [with_reasoning(make_record("elad", 0.9, seed), seed / 10, 0.5) for seed in (1, 2)]
    partly = [with_reasoning(make_record("srd", 0.5, seed), 0.0, wrong) for seed, wrong in ((1, None), (2, 0.4))]
    table = table_of(results, *told, *partly, make_record("answer_only", 0.3))
    rows = rows_by_name(table)
    assert (rows["elad"].reasoning_accuracy, rows["elad"].right_answer_wrong_reasoning) == pytest.approx((0.15, 0.5))
    assert (rows["srd"].reasoning_accuracy, rows["srd"].right_answer_wrong_reasoning) == (0.0, None)
    for name in ("answer_only", "teacher itself"):
        assert (rows[name].reasoning_accuracy, rows[name].right_answer_wrong_reasoning) == (None, None)
    assert {"reasoning_accuracy", "right_answer_wrong_reasoning"} <= set(table.frame.columns)
    assert any(note.startswith("right reasoning = ") for note in table.notes)


def test_many_answers_cut_at_the_cap_are_in_a_note_but_for_the_untrained_student(results: Path) -> None:
    fine, cut, untrained = make_record("answer_only"), make_record("srd"), make_record("untrained")
    for record, count in ((fine, 25), (cut, 211), (untrained, 400)):
        record["test"][0]["truncated_answers"] = count
    notes = [note for note in table_of(results, fine, cut, untrained).notes if "cut at the cap" in note]
    assert [note.partition(": student")[0] for note in notes] == ["chain_sum"]
    assert "42% of the answers of srd were cut" in notes[0]


def with_outcomes(record: dict[str, Any], right: int, truncated: int, **also: int) -> dict[str, Any]:
    """A record that tells the outcomes of its 500 answers; the rest is wrong."""
    counts = {"right": right, "truncated": truncated, "unread": 0, "wrong": 500 - right - truncated}
    record["test"][0] |= {"outcomes": counts, "truncated_answers": truncated, **also}
    return record


def test_cut_answers_are_pooled_over_seeds_and_unknown_where_a_record_does_not_tell(results: Path) -> None:
    told = [with_outcomes(make_record("elad", 0.5, seed), 250, cut) for seed, cut in ((1, 20), (2, 30), (3, 100))]
    mixed = [with_outcomes(make_record("srd", 0.5, 1), 250, 20), make_record("srd", 0.5, 2)]
    none = [with_outcomes(make_record("answer_only", 0.5), 250, 0)]
    table = table_of(results, *told, *mixed, *none)
    rows = rows_by_name(table)
    assert rows["elad"].cut_share == pytest.approx(150 / 1500)
    assert (rows["srd"].cut_share, rows["teacher itself"].cut_share, rows["answer_only"].cut_share) == (None, None, 0)
    assert "cut_share" in table.frame.columns


def test_the_note_and_the_column_of_cut_answers_say_the_same(results: Path) -> None:
    """Answers that were right before they were cut are in neither, unless a record tells no outcomes."""
    mostly_right = with_outcomes(make_record("answer_only", 0.9), 450, 10, truncated_answers=300)
    cut = with_outcomes(make_record("srd", 0.5), 250, 60, truncated_answers=300)
    older = make_record("elad")
    older["test"][0]["truncated_answers"] = 300
    table = table_of(results, mostly_right, cut, older)
    notes = [note for note in table.notes if "raise student.max_new_tokens" in note]
    assert {name: row.cut_share for name, row in rows_by_name(table).items() if row.role == "method"} == {
        "answer_only": pytest.approx(0.02),
        "srd": pytest.approx(0.12),
        "elad": None,
    }
    assert len(notes) == 2
    assert "12% of the answers of srd were cut at the cap of tokens and are not right; raise" in "".join(notes)
    assert "60% of the answers of elad were cut at the cap of tokens; raise" in "".join(notes)


def test_test_questions_that_the_pool_holds_are_in_a_note(results: Path) -> None:
    record = make_record("elad")
    extra = record["test"][0] | {"dataset": "svamp", "questions_seen_in_pool": 0}
    record["test"].append(extra)
    assert not any("in the pool" in note for note in table_of(results, record).notes)
    other = make_record("srd")
    other["test"].append(extra | {"questions_seen_in_pool": 12})
    notes = table_of(results, other).notes
    assert any(
        "tested on svamp" in n and "up to 12 of the test questions are in the pool of chain_sum" in n for n in notes
    )


def test_what_pool_and_purchase_hold_of_a_test_set_is_in_a_note_that_takes_the_most(results: Path) -> None:
    def overlap(exact: int, near: int) -> dict[str, Any]:
        return {"exact": exact, "near": near, "any": 400, "short": 9, "covered": 0.25}

    older, clean, leaky = make_record("elad", 0.5, 1), make_record("elad", 0.5, 2), make_record("elad", 0.5, 3)
    clean["test"][0] |= {"pool_overlap": overlap(0, 0), "learnt_overlap": overlap(0, 0)}
    assert not any("word for word" in note for note in table_of(results, older, clean).notes)
    leaky["test"][0] |= {"pool_overlap": overlap(0, 2), "learnt_overlap": overlap(3, 12)}
    [note] = [note for note in table_of(results, leaky).notes if "word for word" in note]
    assert note.endswith(
        "the pool of chain_sum and what was bought hold up to 3 of 500 test questions word for word, and 70 % or more "
        "of the wording of up to 12; the pool alone 0 and 2."
    )
