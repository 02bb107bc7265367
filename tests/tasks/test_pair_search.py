"""Pair search: one pair and no other, no answer by size alone, and traces whose every step is true."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from benchmark.tasks import chain_sum, pair_search
from benchmark.tasks.generated import GeneratedDataset
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.steps import StepCheck
from benchmark.types import Example, Question

CONF = Path(__file__).resolve().parents[2] / "conf"
KNOWN = Question("", "3 8 5 9 1=14?")
ALL = pair_search.examples(2076, random.Random(1), set())


def numbers_of(text: str) -> tuple[list[int], int]:
    """The numbers and the target of a question."""
    assert re.fullmatch(r"\d( \d){4}=\d{1,2}\?", text)
    numbers, target = text.rstrip("?").split("=")
    return [int(number) for number in numbers.split()], int(target)


def is_true(equation: str) -> bool:
    """Whether a sum or a difference of two numbers has the result that it states."""
    first, sign, second, result = re.fullmatch(r"(\d+)([+-])(\d+)=(\d+)", equation).groups()  # type: ignore[union-attr]
    return int(first) + (1 if sign == "+" else -1) * int(second) == int(result)


def dataset(generator: str = "benchmark.tasks.pair_search") -> GeneratedDataset:
    return GeneratedDataset("pairs", generator, GeneratedAnswer(), (), pool_size=5, validation_size=5, test_size=5)


def test_one_pair_of_positions_adds_up_and_its_larger_number_is_the_answer() -> None:
    for example in ALL:
        numbers, target = numbers_of(example.question)
        [(first, second)] = [pair for pair in combinations(numbers, 2) if sum(pair) == target]
        assert first != second
        assert (example.rationale, example.answer) == (f"{first}+{second}={target}", str(max(first, second)))


def test_size_alone_does_not_tell_the_answer() -> None:
    """Neither does the place of a number nor how often it is right: what ignores the sums stays below one half."""
    right = Counter(example.answer for example in ALL)
    assert max(right.values()) < 0.25 * len(ALL)
    hits = Counter[str]()
    for example in ALL:
        numbers, target = numbers_of(example.question)
        fit = [number for number in numbers if target / 2 < number <= target]
        hits["largest that fits"] += str(max(fit)) == example.answer
        hits["smallest that fits"] += str(min(fit)) == example.answer
        hits["likeliest that fits"] += max(map(str, fit), key=right.__getitem__) == example.answer
        hits.update(f"place {i}" for i in range(5) if str(numbers[i]) == example.answer)
    assert max(hits.values()) < 0.5 * len(ALL), hits
    assert all(abs(hits[f"place {i}"] / len(ALL) - 0.2) < 0.04 for i in range(5))


def test_questions_that_differ_only_in_the_order_of_their_numbers_are_equal() -> None:
    keys = {(tuple(sorted(numbers)), target) for numbers, target in (numbers_of(row.question) for row in ALL)}
    assert len(keys) == len(ALL) == len({row.id for row in ALL})
    taken = {"9 1 3 5 8=14?", "9 1 3 5 8", "no question", ""}  # the first in another order than any exemplar
    left = pair_search.examples(2075, random.Random(2), taken)
    assert "pair_search/1 3 5 8 9=14" not in {row.id for row in left}
    with pytest.raises(ValueError, match="at most 0 questions left, not 1"):
        pair_search.examples(1, random.Random(3), taken)


def test_a_wrong_solution_is_one_false_sum_of_a_pair_of_the_question() -> None:
    for example in ALL:
        rationale, answer = pair_search.solve_wrongly(example.without_gold(), random.Random(example.id))
        numbers, target = numbers_of(example.question)
        first, second, result = map(int, re.split(r"[+=]", rationale))
        assert result == target
        assert not is_true(rationale)
        assert (first, second) in set(combinations(numbers, 2))
        assert answer == str(max(first, second)) != example.answer


@pytest.mark.parametrize(
    ("rationale", "written", "right"),
    [
        ("5+9=14", 1, 1),
        ("9+5=14", 1, 1),  # a sum has no order
        (" 9 + 5 = 14. ", 1, 1),
        ("5+9=15", 1, 0),
        ("14=5+9", 1, 0),
        ("8+5=13", 1, 0),  # true, and not the pair
        ("6+8=14", 1, 0),  # true, and not of the question
        ("5+9=14;9+5=14", 2, 1),
        ("3+8=11 no;5+9=14 yes", 2, 0),  # the search is no proof
        ("", 0, 0),
    ],
)
def test_what_a_right_proof_is(rationale: str, written: int, right: int) -> None:
    assert pair_search.check_steps(KNOWN, rationale) == StepCheck(written, right, needed=1)


# --- traces -----------------------------------------------------------------------------------------------------------


def steps_of(example: Example, seed: int) -> list[tuple[str, str]]:
    """(equation, verdict) of every step of a trace."""
    trace = pair_search.think(example.without_gold(), random.Random(seed))
    return [(equation, verdict) for equation, _, verdict in (step.partition(" ") for step in trace.split(";"))]


def test_a_trace_has_true_dead_ends_then_the_pair_once_and_a_check_of_it() -> None:
    for example in ALL:
        numbers, target = numbers_of(example.question)
        pairs = {f"{first}+{second}={first + second}" for first, second in combinations(numbers, 2)}
        for seed in range(3):
            steps = steps_of(example, seed)
            *dead_ends, (found, yes), (check, ok) = steps
            assert (found, yes, ok) == (example.rationale, "yes", "ok")
            assert {verdict for _, verdict in dead_ends} <= {"no"}
            assert all(is_true(equation) for equation, _ in steps)
            tried = [equation for equation, _ in dead_ends]
            assert set(tried) <= pairs
            assert len(set(tried)) == len(tried)
            assert not any(equation.endswith(f"={target}") for equation in tried)
            assert check.startswith(f"{target}-{example.answer}=")


def test_the_number_of_dead_ends_is_drawn_and_equal_draws_give_equal_traces() -> None:
    counts = Counter(len(steps_of(example, seed)) - 2 for example in ALL[:200] for seed in range(10))
    assert set(counts) == set(range(10))
    assert all(count > 100 for count in counts.values())
    known = Example("", KNOWN.text, "9")
    assert steps_of(known, 4) == steps_of(known, 4)
    assert len({tuple(steps_of(known, seed)) for seed in range(80)}) == 10


def test_the_longest_trace_needs_the_room_that_the_page_names() -> None:
    class From:
        """Draws one given number."""

        def __init__(self, drawn: int) -> None:
            self.drawn = drawn

        def randrange(self, below: int) -> int:
            return self.drawn % below

    longest = Question("", "4 6 7 8 9=10?")
    traces = [pair_search.think(longest, From(begin)) for begin in range(10)]  # type: ignore[arg-type]
    others = [pair_search.think(row.without_gold(), random.Random(i)) for row in ALL for i in range(10)]
    assert max(map(len, others)) <= max(map(len, traces)) == 110
    target = f"<think>\n{max(traces, key=len)}\n</think>\n\n4+6=10#6"
    page = (CONF.parent / "docs" / "datasets.md").read_text(encoding="utf-8")
    assert f"at most {len(target)} characters" in page
    [room] = map(int, re.findall(r"dataset=pair_search .*student\.max_new_tokens=(\d+)", page))
    tiny = yaml.safe_load((CONF / "student" / "tiny.yaml").read_text(encoding="utf-8"))
    assert tiny["max_new_tokens"] < len(target) < room
    assert max(len(row.question) for row in ALL) + 2 + room <= tiny["max_length"]  # 2: the marks around a prompt


def test_a_dataset_thinks_where_its_generator_does(monkeypatch: pytest.MonkeyPatch) -> None:
    thinking = dataset()
    assert thinking.has_traces
    assert thinking.think(KNOWN, random.Random(7)) == pair_search.think(KNOWN, random.Random(7))
    other = dataset(chain_sum.__name__)
    assert not other.has_traces
    assert other.think(Question("", "4+3-5"), random.Random(7)) is None
    monkeypatch.delattr(pair_search, "think")
    assert (thinking.has_traces, thinking.think(KNOWN, random.Random(7))) == (False, None)
