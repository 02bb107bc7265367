"""Splits that are carved in groups: what belongs together stays together, and nothing leaks by a shared premise."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmark.config import build
from benchmark.errors import ConfigError, DataError
from benchmark.tasks.dataset import Dataset
from benchmark.tasks.jsonl import JsonlDataset
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.types import Example

PREMISE = r"(?s)^Premise: (.*)\nHypothesis: "
LABELS = ["entailment", "neutral", "contradiction"]


def pair(premise: int, number: int, split: str = "v", **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{split}-{premise}-{number}",
        "question": f"Premise: Scene {premise}.\nHypothesis: Guess {split}{number}.",
        "choices": LABELS,
        "answer": LABELS[number % 3],
    } | changes


def write(folder: Path, **splits: Sequence[Mapping[str, Any]]) -> Path:
    (folder / "nli").mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        (folder / "nli" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def dataset(folder: Path, **settings: Any) -> JsonlDataset:
    chosen = {"pool": "validation", "validation_size": 12, "together": PREMISE, **settings}
    return JsonlDataset("nli", "nli", MultipleChoice(), (), str(folder), **chosen)


def premises(rows: Sequence[Example]) -> set[str]:
    return {row.question.partition("\n")[0] for row in rows}


def ids(rows: Sequence[Example]) -> list[str]:
    return [row.id for row in rows]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 premises with three hypotheses each, and a test split with 5 other ones."""
    pool = [pair(premise, number) for premise in range(20) for number in range(3)]
    return write(tmp_path, validation=pool, test=[pair(premise, 0, "t") for premise in range(100, 105)])


@pytest.mark.parametrize("split_seed", range(5))
@pytest.mark.parametrize("size", [3, 12, 13, 14, 45])
def test_a_premise_is_never_on_both_sides(folder: Path, split_seed: int, size: int) -> None:
    splits = dataset(folder, split_seed=split_seed, validation_size=size).load()
    assert len(splits.validation) == size // 3 * 3  # whole groups of three, as many as fit
    assert len(splits.pool) == 60 - size // 3 * 3
    assert not premises(splits.pool) & premises(splits.validation)
    assert splits.left_out == 0


def test_rows_are_spread_over_both_sides_where_nothing_holds_them_together(folder: Path) -> None:
    splits = dataset(folder, together=None).load()
    assert len(splits.validation) == 12
    assert premises(splits.pool) & premises(splits.validation)


def test_a_smaller_validation_split_is_part_of_a_larger_one(folder: Path) -> None:
    small, large = (set(ids(dataset(folder, validation_size=size).load().validation)) for size in (10, 20))
    assert small < large


def test_the_order_of_the_file_is_kept_and_the_seed_alone_decides(folder: Path) -> None:
    splits = dataset(folder).load()
    order = {f"v-{premise}-{number}": 3 * premise + number for premise in range(20) for number in range(3)}
    for rows in (splits.pool, splits.validation):
        assert [order[key] for key in ids(rows)] == sorted(order[key] for key in ids(rows))
    assert ids(dataset(folder, split_seed=1).load().validation) != ids(splits.validation)
    assert dataset(folder, split_seed=1).fingerprint() != dataset(folder).fingerprint()


def test_what_shares_a_premise_with_the_test_split_is_left_out_and_counted(folder: Path) -> None:
    write(folder, test=[pair(3, 7, "t"), pair(11, 7, "t"), pair(100, 0, "t")])
    splits = dataset(folder).load()
    splits.test.unseal()
    assert ids(splits.test.open()) == ["t-3-7", "t-11-7", "t-100-0"]
    assert splits.left_out == 6
    assert len(splits.pool) + len(splits.validation) == 54
    assert not (premises(splits.pool) | premises(splits.validation)) & premises(splits.test.open())


def test_white_space_and_letter_case_make_no_other_premise(folder: Path) -> None:
    question = "Premise: SCENE  3.\nHypothesis: Guess t7."
    write(folder, test=[pair(3, 7, "t", question=question)])
    assert dataset(folder).load().left_out == 3


def test_a_validation_file_is_kept_apart_from_test_and_the_pool_from_both(folder: Path) -> None:
    write(
        folder,
        dev=[pair(0, 5, "d"), pair(50, 5, "d"), pair(100, 5, "d")],  # of the pool, its own, of the test split
        train=[pair(premise, number) for premise in (0, 1, 100) for number in range(3)],
    )
    splits = dataset(folder, pool="train", validation="dev", validation_size=None).load()
    assert ids(splits.validation) == ["d-0-5", "d-50-5"]
    assert premises(splits.pool) == {"Premise: Scene 1."}
    assert splits.left_out == 7  # one of dev; three by the test split's premise, three by the validation split's


def test_only_the_first_rows_of_a_test_file_count(folder: Path) -> None:
    write(folder, test=[pair(100, 0, "t"), pair(3, 7, "t")])
    assert dataset(folder, test_size=1).load().left_out == 0
    assert dataset(folder).load().left_out == 3


def test_equal_questions_stay_together_without_being_told(folder: Path) -> None:
    """A question that is there twice would otherwise be refused under some seeds: it is in pool and validation."""
    twice = [pair(n, 0) for n in range(9)] + [pair(n, 0, id=f"again-{n}") for n in range(9)]
    write(folder, validation=twice)
    for seed in range(6):
        splits = dataset(folder, together=None, validation_size=7, split_seed=seed).load()
        assert len(splits.validation) == 6
        assert {key.rpartition("-")[0][-1] for key in ids(splits.validation) if key.startswith("v")} == {
            key[-1] for key in ids(splits.validation) if key.startswith("again")
        }


def test_a_record_says_how_many_rows_were_left_out(command: Callable[..., Any], results: Any, tmp_path: Path) -> None:
    rows = [pair(premise, number) for premise in range(12) for number in range(3)]
    write(tmp_path / "data", validation=rows, test=[pair(3, 7, "t"), pair(100, 0, "t")])
    (tmp_path / "data" / "nli").rename(tmp_path / "data" / "anli1")
    done = command(
        "dataset=anli", f"data_dir={tmp_path / 'data'}", "dataset.validation_size=6", "method=gold_answers",
        "budget.questions=8", "optimization.max_steps=4", "student.max_new_tokens=16", "trainer.save_student=false",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert results.record()["counters"]["left_out_rows"] == 3


# --- a test split that is carved from the pool ------------------------------------------------------------------------


def carved(folder: Path, **settings: Any) -> JsonlDataset:
    return dataset(folder, **{"test": None, "test_size": 9, **settings})


def test_three_splits_of_one_file(folder: Path) -> None:
    splits = carved(folder).load()
    splits.test.unseal()
    parts = (splits.pool, splits.validation, splits.test.open())
    assert [len(part) for part in parts] == [39, 12, 9]
    assert len({key for part in parts for key in ids(part)}) == 60
    assert len(set[str]().union(*map(premises, parts))) == sum(len(premises(part)) for part in parts)
    assert splits.left_out == 0


# The first 3 of a PCG64 permutation of 20, seeded by sha256 of '["test"]'.
GOLDEN = ["12", "17", "3"]


def test_the_test_questions_hang_on_nothing_but_the_file(folder: Path) -> None:
    def tested(**settings: Any) -> list[str]:
        test = carved(folder, **settings).load().test
        test.unseal()
        return ids(test.open())

    first = tested()
    assert first == tested(split_seed=7) == tested(validation_size=30)
    assert set(first) < set(tested(test_size=15))
    assert sorted({key.split("-")[1] for key in first}) == GOLDEN


@pytest.mark.parametrize(("size", "message"), [(0, "test_size=0"), (2, "test_size=2"), (60, "test_size=60")])
def test_a_test_size_that_cannot_be_carved_is_refused(folder: Path, size: int, message: str) -> None:
    with pytest.raises(DataError, match=f"dataset.{message} cannot be drawn from 60 rows of nli/validation"):
        carved(folder, test_size=size).load()


def test_a_validation_size_too_small_for_any_group_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="validation_size=2 cannot be drawn from 60 rows"):
        dataset(folder, validation_size=2).load()


# --- settings that make no sense --------------------------------------------------------------------------------------


def test_a_question_without_the_pattern_is_named(folder: Path) -> None:
    write(folder, test=[pair(100, 0, "t"), pair(101, 0, "t", question="No premise at all")])
    with pytest.raises(DataError, match=r"together=.* finds nothing in the question of 't-101-0'"):
        dataset(folder).load()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"together": "Premise: .*"}, "must be a regular expression with one group"),
        ({"together": "(Premise): (.*)"}, "must be a regular expression with one group"),
        ({"together": "(Premise"}, "is not a regular expression"),
        ({"test": None}, "give test"),
    ],
)
def test_settings_are_refused_in_one_line(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    node = {
        "_target_": "benchmark.tasks.jsonl.JsonlDataset",
        "name": "nli",
        "folder": "nli",
        "task": {"_target_": "benchmark.tasks.multiple_choice.MultipleChoice"},
        "exemplars": [],
        "data_dir": str(tmp_path),
        "validation_size": 3,
    }
    with pytest.raises(ConfigError, match=message) as refusal:
        build(node | settings, "dataset", Dataset)
    assert "\n" not in str(refusal.value)
