"""Tasks of reasoning-gym: disjoint index ranges of one seed, shown by a stand-in and by the package itself."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from benchmark.config import build
from benchmark.errors import ConfigError, DataError, LeakError
from benchmark.tasks.dataset import Dataset, Exemplar
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.reasoning_gym import INDEX_RANGE, ReasoningGymDataset, _generate
from benchmark.types import Example

CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset" / "gsm_symbolic.yaml"


@dataclass
class StandIn:
    """Item i is drawn from seed + i, as the package does; every third question repeats the one before."""

    seed: int
    size: int
    distinct: int | None = None

    def __getitem__(self, index: int) -> dict[str, Any]:
        assert 0 <= index < self.size
        number = self.seed + index
        number -= number % 3 == 2
        if self.distinct:
            number %= self.distinct
        worked = f"Count to {number}.\n#### {number}"
        return {"question": f"What is {number}?", "answer": str(number), "metadata": {"answer_cot": worked}}


@pytest.fixture
def gym(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Puts the stand-in in the package's place; what was asked of it."""
    asked: list[tuple[str, dict[str, Any]]] = []

    def create(name: str, **settings: Any) -> StandIn:
        asked.append((name, settings))
        if name != "counting":
            raise ValueError(f"Dataset '{name}' not registered")
        return StandIn(**settings)

    module = ModuleType("reasoning_gym")
    module.create_dataset = create  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "reasoning_gym", module)
    _generate.cache_clear()
    return asked


def dataset(**changes: Any) -> ReasoningGymDataset:
    plain = ReasoningGymDataset("counted", "counting", GeneratedAnswer(), (), 20, 5, 10)
    return replace(plain, **changes)


def loaded(made: ReasoningGymDataset) -> dict[str, tuple[Example, ...]]:
    splits = made.load()
    splits.test.unseal()
    return {"pool": splits.pool, "validation": splits.validation, "test": splits.test.open()}


def indices(rows: tuple[Example, ...]) -> list[int]:
    return [int(row.id.rpartition("-")[2]) for row in rows]


Gym = list[tuple[str, dict[str, Any]]]


def test_every_split_has_an_index_range_of_its_own(gym: Gym) -> None:
    rows = loaded(dataset())
    assert {split: len(part) for split, part in rows.items()} == {"pool": 20, "validation": 5, "test": 10}
    assert {split: {index // INDEX_RANGE for index in indices(part)} for split, part in rows.items()} == {
        "test": {0},
        "validation": {1},
        "pool": {2},
    }
    assert gym == [("counting", {"seed": 0, "size": 3 * INDEX_RANGE})]


def test_a_question_that_was_drawn_already_is_passed_over(gym: Gym) -> None:
    rows = loaded(dataset())
    assert indices(rows["test"]) == [0, 1, 3, 4, 6, 7, 9, 10, 12, 13]
    questions = [row.question for part in rows.values() for row in part]
    assert len(set(questions)) == len(questions) == 35


def test_a_question_of_one_split_is_passed_over_in_the_next(gym: Gym) -> None:
    """Few distinct questions: the ranges overlap in content, though not in indices."""
    rows = loaded(dataset(settings={"distinct": 60}))
    questions = [row.question for part in rows.values() for row in part]
    assert len(set(questions)) == len(questions) == 35


def test_an_exemplar_is_never_drawn(gym: Gym) -> None:
    exemplar = Exemplar("What is  3?", "It is 3.", "3")
    assert "What is 3?" in {row.question for row in loaded(dataset())["test"]}
    assert "What is 3?" not in {row.question for row in loaded(dataset(exemplars=(exemplar,)))["test"]}


def test_the_test_split_does_not_depend_on_the_other_sizes(gym: Gym) -> None:
    assert loaded(dataset(pool_size=3, validation_size=50))["test"] == loaded(dataset())["test"]


def test_two_seeds_share_no_item(gym: Gym) -> None:
    first, second = (
        {row.question for part in loaded(dataset(generation_seed=seed)).values() for row in part} for seed in (0, 1)
    )
    assert not first & second
    assert dataset().fingerprint() != dataset(generation_seed=1).fingerprint()


def test_the_worked_solution_is_the_rationale_without_its_last_line(gym: Gym) -> None:
    assert loaded(dataset())["test"][1].rationale is None
    assert loaded(dataset(rationale="answer_cot"))["test"][1].rationale == "Count to 1."
    assert loaded(dataset(rationale="absent"))["test"][1].rationale is None


def test_the_test_split_is_sealed(gym: Gym) -> None:
    with pytest.raises(LeakError):
        dataset().load().test.open()


def test_too_few_questions_are_refused(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.tasks.reasoning_gym.INDEX_RANGE", 100)
    with pytest.raises(DataError, match=r"dataset\.pool_size=50: counting has only \d+ more questions"):
        dataset(settings={"distinct": 30}, pool_size=50).load()


@pytest.mark.parametrize("size", [0, INDEX_RANGE + 1])
def test_a_size_outside_the_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"pool_size={size} must be at least 1 and at most {INDEX_RANGE}"):
        dataset(pool_size=size)


def test_an_unknown_task_or_setting_is_refused(gym: Gym) -> None:
    with pytest.raises(DataError, match=r"dataset\.source=nonsense cannot be made by reasoning-gym: .*not registered"):
        dataset(source="nonsense").load()
    with pytest.raises(DataError, match="unexpected keyword argument 'nonsense'"):
        dataset(settings={"nonsense": 1}).load()


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    _generate.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'distillation-benchmark\[reasoning-gym\]'"):
        dataset().load()


# --- the package itself ----------------------------------------------------------------------------------------------


@pytest.fixture
def symbolic() -> ReasoningGymDataset:
    pytest.importorskip("reasoning_gym")
    _generate.cache_clear()
    built = build(yaml.safe_load(CONF.read_text(encoding="utf-8")), "dataset", Dataset)
    assert isinstance(built, ReasoningGymDataset)
    return built


def test_gsm_symbolic(symbolic: ReasoningGymDataset) -> None:
    rows = loaded(symbolic)
    assert {split: len(part) for split, part in rows.items()} == {"pool": 2000, "validation": 200, "test": 500}
    folded = [" ".join(row.question.split()).casefold() for part in rows.values() for row in part]
    assert len(set(folded)) == 2700
    assert not set(folded) & {" ".join(each.question.split()).casefold() for each in symbolic.exemplars}
    for row in rows["pool"]:
        assert symbolic.task.is_correct(row, row.answer)
        assert row.rationale
        assert "####" not in row.rationale


def test_other_tasks_with_numbers_as_answers(symbolic: ReasoningGymDataset) -> None:
    for source in ("leg_counting", "gcd"):
        made = replace(symbolic, name=source, source=source, rationale=None, pool_size=30, validation_size=5)
        assert len(loaded(made)["pool"]) == 30
    with pytest.raises(DataError, match="task generated_answer cannot read the gold answer"):
        replace(symbolic, source="time_intervals").load()


def test_it_is_the_same_in_every_process(symbolic: ReasoningGymDataset) -> None:
    code = (
        "import yaml; from benchmark.config import build; from benchmark.tasks.dataset import Dataset;"
        f"print(build(yaml.safe_load(open({str(CONF)!r})), 'dataset', Dataset).fingerprint())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == symbolic.fingerprint()
