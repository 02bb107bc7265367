"""The seal of the test split, and the splits of every generated dataset that conf names."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.config import build
from benchmark.errors import DataError, LeakError
from benchmark.tasks.dataset import Dataset, Exemplar, TestSplit
from benchmark.tasks.generated import GeneratedDataset
from benchmark.types import Example

CONF = Path(__file__).resolve().parents[2] / "conf"
GENERATED = [
    path.stem
    for path in sorted((CONF / "dataset").glob("*.yaml"))
    if yaml.safe_load(path.read_text())["_target_"] == "benchmark.tasks.generated.GeneratedDataset"
]


def from_conf(name: str, **changes: Any) -> GeneratedDataset:
    node = yaml.safe_load((CONF / "dataset" / f"{name}.yaml").read_text())
    built = build(node, "dataset", Dataset)
    assert isinstance(built, GeneratedDataset)
    return replace(built, **changes)


def all_splits(dataset: GeneratedDataset) -> dict[str, tuple[Example, ...]]:
    splits = dataset.load()
    splits.test.unseal()
    return {"pool": splits.pool, "validation": splits.validation, "test": splits.test.open()}


def key_of(example: Example | Exemplar) -> tuple[str, tuple[str, ...]]:
    """What makes a question: the order of its options does not."""
    return example.question, tuple(sorted(example.choices or ()))


# --- the seal ------------------------------------------------------------------------------------------------------

ROWS = tuple(Example(f"t{i}", f"question {i}", str(i)) for i in range(5))


def test_reading_before_the_seal_is_broken_raises() -> None:
    split = TestSplit(ROWS)
    with pytest.raises(LeakError, match="before the student was final"):
        split.open()
    split.unseal()
    assert split.open() == ROWS


def test_size_and_counts_can_be_had_before_and_show_no_gold() -> None:
    split = TestSplit(ROWS)
    assert len(split) == 5
    seen: list[Any] = []

    def odd(questions: Any) -> list[bool]:
        seen.extend(questions)
        return [int(question.id[1:]) % 2 == 1 for question in questions]

    assert split.count(odd) == 2
    assert not any(hasattr(question, "answer") or hasattr(question, "rationale") for question in seen)
    with pytest.raises(LeakError):
        split.open()


def test_a_sealed_split_cannot_be_walked_through() -> None:
    split: Any = TestSplit(ROWS)
    with pytest.raises(TypeError):
        list(split)
    with pytest.raises(TypeError):
        split[0]


def test_every_load_is_sealed_anew() -> None:
    dataset = from_conf("chain_sum", pool_size=5, validation_size=5, test_size=5)
    dataset.load().test.unseal()
    with pytest.raises(LeakError):
        dataset.load().test.open()


# --- generated datasets --------------------------------------------------------------------------------------------


def test_there_are_generated_datasets_in_conf() -> None:
    assert {"chain_sum", "trait_choice"} <= set(GENERATED)


@pytest.fixture(params=GENERATED)
def dataset(request: pytest.FixtureRequest) -> GeneratedDataset:
    return from_conf(request.param)


def test_no_question_is_in_two_splits_nor_among_the_exemplars(dataset: GeneratedDataset) -> None:
    rows = all_splits(dataset)
    everything = [example for split in rows.values() for example in split]
    questions = Counter(key_of(example) for example in everything)
    shown = Counter(dataset.task.show(example.without_gold()) for example in everything)
    assert max(questions.values()) == max(shown.values()) == 1
    assert len({example.id for example in everything}) == len(everything)
    for exemplar in dataset.exemplars:
        assert key_of(exemplar) not in questions
        assert dataset.task.show(exemplar.as_question()) not in shown


def test_an_exemplar_is_kept_out_of_every_split(dataset: GeneratedDataset) -> None:
    """Whatever the exemplars are: those of conf may be absent by luck, so this takes some from the splits."""
    chosen = [split[3] for split in all_splits(dataset).values()]
    exemplars = tuple(Exemplar(row.question, f"{row.rationale}.", row.answer, row.choices) for row in chosen)
    again = all_splits(replace(dataset, exemplars=exemplars))
    questions = {key_of(example) for split in again.values() for example in split}
    assert not questions & {key_of(exemplar) for exemplar in exemplars}


def test_the_exemplars_of_conf_are_worked_out_rightly(dataset: GeneratedDataset) -> None:
    for exemplar in dataset.exemplars:
        rationale, answer = dataset.solve(exemplar.as_question())
        assert (exemplar.rationale, exemplar.answer) == (f"{rationale}.", answer)


def test_gold_is_the_worked_solution_and_the_task_reads_it(dataset: GeneratedDataset) -> None:
    for split in all_splits(dataset).values():
        for example in split:
            question = example.without_gold()
            assert dataset.solve(question) == (example.rationale, example.answer)
            assert dataset.task.parse(question, example.answer) == example.answer
            assert dataset.task.is_correct(example, example.answer)


def test_test_questions_depend_on_the_generation_seed_alone(dataset: GeneratedDataset) -> None:
    def asked(changed: GeneratedDataset) -> list[tuple[str, str, tuple[str, ...] | None]]:
        return [(row.id, row.question, row.choices) for row in all_splits(changed)["test"]]

    first = asked(dataset)
    assert asked(replace(dataset, pool_size=50, validation_size=20)) == first
    assert asked(replace(dataset, generation_seed=dataset.generation_seed + 1)) != first
    assert dataset.fingerprint() != replace(dataset, pool_size=50).fingerprint()


def test_a_wrong_solution_is_always_wrong_and_readable(dataset: GeneratedDataset) -> None:
    import random

    for example in all_splits(dataset)["validation"]:
        question = example.without_gold()
        _, answer = dataset.solve_wrongly(question, random.Random(example.id))
        assert dataset.task.parse(question, answer) == answer
        assert not dataset.task.is_correct(example, answer)


def test_more_questions_than_there_are_is_an_error_with_the_name_of_the_setting(dataset: GeneratedDataset) -> None:
    with pytest.raises(DataError, match=r"dataset\.test_size=1000000000000"):
        replace(dataset, test_size=10**12).load()
    with pytest.raises(ValueError, match="pool_size is 0"):
        replace(dataset, pool_size=0)


def test_trait_choice_cannot_be_guessed_from_its_options() -> None:
    """Place, option and its neighbours say nothing: every guess that ignores the question scores chance, 1 in 5."""
    dataset = from_conf("trait_choice", pool_size=8000, validation_size=1, test_size=2000)
    rows = all_splits(dataset)
    test, spread = rows["test"], 4 * math.sqrt(0.2 * 0.8 / len(rows["test"]))
    for place in range(5):
        hits = sum((row.choices or ())[place] == row.answer for row in test) / len(test)
        assert abs(hits - 0.2) <= spread
    wins = Counter(row.answer for row in rows["pool"])
    shows = Counter(choice for row in rows["pool"] for choice in row.choices or ())
    often = sum(max(row.choices or (), key=wins.__getitem__) == row.answer for row in test) / len(test)
    rate = sum(max(row.choices or (), key=lambda c: wins[c] / shows[c]) == row.answer for row in test) / len(test)
    assert often <= 0.2 + spread + 0.02
    assert rate <= 0.2 + spread + 0.02
    for order in (min, max):
        assert abs(sum(order(row.choices or ()) == row.answer for row in test) / len(test) - 0.2) <= spread + 0.02
