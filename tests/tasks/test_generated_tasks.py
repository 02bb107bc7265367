"""The generated tasks: worked solutions against independent computation, and draws that can be relied on."""

import random
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations, pairwise
from types import ModuleType

import pytest

from benchmark.tasks import chain_sum, pair_search, trait_choice
from benchmark.types import Example, Question

ALL = (chain_sum, trait_choice, pair_search)
TASKS = pytest.mark.parametrize("task", ALL, ids=[task.__name__.rpartition(".")[2] for task in ALL])
COUNT = 5000
PAIR_QUESTIONS = 2076
"""How many questions of pair search there are."""


@pytest.fixture(scope="module")
def sums() -> list[Example]:
    return chain_sum.examples(COUNT, random.Random(1), set())


@pytest.fixture(scope="module")
def lookups() -> list[Example]:
    return trait_choice.examples(COUNT, random.Random(1), set())


@pytest.fixture(scope="module")
def searches() -> list[Example]:
    return pair_search.examples(PAIR_QUESTIONS, random.Random(1), set())


def steps_of(rationale: str) -> list[tuple[int, str, int]]:
    """The start, the signed term and the result of each step of a chain."""
    found = re.finditer(r"(?:^|;)(-?\d+)([+-]\d)=(-?\d+)(?=;|$)", rationale)
    return [(int(step[1]), step[2], int(step[3])) for step in found]


def assert_is_chain(question: str, rationale: str, answer: str) -> None:
    """The chain uses the terms of the question in order, every step starts where the last one ended."""
    steps = steps_of(rationale)
    assert len(steps) == rationale.count("=")
    assert str(steps[0][0]) + "".join(term for _, term, _ in steps) == question
    assert all(before[2] == after[0] for before, after in pairwise(steps))
    assert str(steps[-1][2]) == answer


def matches_of(rationale: str) -> dict[str, list[str]]:
    """The traits that a lookup writes behind each choice."""
    return {choice: found.split(",") if found else [] for choice, found in (s.split(":") for s in rationale.split(";"))}


def test_chain_sums_are_right(sums: list[Example]) -> None:
    for example in sums:
        assert int(example.answer) == eval(example.question)
        assert_is_chain(example.question, example.rationale or "", example.answer)
        assert all(start + int(term) == result for start, term, result in steps_of(example.rationale or ""))


def test_chain_sums_have_all_lengths_equally_often(sums: list[Example]) -> None:
    lengths = Counter(len(re.findall(r"\d", example.question)) for example in sums)
    assert all(abs(lengths[length] - COUNT / 4) < 150 for length in (3, 4, 5, 6))


def test_wrong_chain_sum_has_one_wrong_step_and_carries_it_on(sums: list[Example]) -> None:
    for example in sums:
        rationale, answer = chain_sum.solve_wrongly(example.without_gold(), random.Random(example.id))
        assert answer != example.answer
        assert_is_chain(example.question, rationale, answer)
        assert sum(start + int(term) != result for start, term, result in steps_of(rationale)) == 1


def test_known_solutions() -> None:
    assert chain_sum.solve(Question("", "4+3-5")) == ("4+3=7;7-5=2", "2")
    assert chain_sum.solve(Question("", "1-0-9+8")) == ("1-0=1;1-9=-8;-8+8=0", "0")
    question = Question("", "big,hot?", ("ape", "fan", "ewe", "emu", "bed"))
    assert trait_choice.solve(question) == ("ape:big;fan:hot;ewe:big,hot;emu:;bed:hot", "ewe")


def test_no_trait_and_no_pair_of_traits_is_special() -> None:
    table = trait_choice.TRAITS_OF
    assert len(set(table.values())) == len(table) == len(set(trait_choice.THINGS))
    assert not set(table) & set(trait_choice.TRAITS)
    for size in (1, 2):
        seen = Counter(group for traits in table.values() for group in combinations(traits, size))
        assert len(set(seen.values())) == 1


def test_exactly_one_choice_has_both_traits_and_the_rationale_says_so(lookups: list[Example]) -> None:
    for example in lookups:
        asked, choices = example.question[:-1].split(","), example.choices or ()
        truth = {choice: [t for t in asked if t in trait_choice.TRAITS_OF[choice]] for choice in choices}
        assert len(truth) == len(choices) == 5
        assert sorted(map(len, truth.values())) == [0, 1, 1, 1, 2]
        assert len(truth[example.answer]) == 2
        assert list(matches_of(example.rationale or "").items()) == list(truth.items())


def test_chance_is_one_in_five(lookups: list[Example]) -> None:
    places = Counter((example.choices or ()).index(example.answer) for example in lookups)
    assert all(abs(places[place] - COUNT / 5) < 120 for place in range(5))
    assert max(Counter(example.answer for example in lookups).values()) < COUNT / 20


def test_wrong_lookup_mixes_up_two_choices(lookups: list[Example]) -> None:
    for example in lookups:
        rationale, answer = trait_choice.solve_wrongly(example.without_gold(), random.Random(example.id))
        wrong, right = matches_of(rationale), matches_of(example.rationale or "")
        assert answer != example.answer
        assert tuple(wrong) == example.choices
        assert [choice for choice, found in wrong.items() if len(found) == 2] == [answer]
        assert {choice for choice in right if right[choice] != wrong[choice]} == {answer, example.answer}


@TASKS
def test_examples_are_distinct_solved_from_the_question_alone_and_avoid_taken(task: ModuleType) -> None:
    taken = set[str]()
    rows = [row for _ in range(2) for row in task.examples(1000, random.Random(3), taken)]
    assert len({row.id for row in rows}) == len(taken) == 2000
    for row in rows:
        assert task.solve(row.without_gold()) == (row.rationale, row.answer)


@TASKS
def test_same_seed_same_examples_in_every_process(task: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"import random, {task.__name__} as task; print(task.examples(200, random.Random(7), {{'a', 'b'}}))"
    for salt in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", salt)
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert other.stdout.strip() == str(task.examples(200, random.Random(7), set()))


def test_order_and_wording_make_no_new_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HALF_RIGHT", "UNRELATED"):
        monkeypatch.setattr(trait_choice, name, 0)
    rows = trait_choice.examples(105, random.Random(1), set())  # all there are
    texts = {f"{row.question}\n{','.join(row.choices or ())}\n" for row in rows[:60]} | {"big,red?", "else"}
    assert {row.id for row in trait_choice.examples(45, random.Random(2), texts)} == {row.id for row in rows[60:]}


@TASKS
def test_exhausted_space_is_an_error_that_names_what_is_left(task: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"has at most \d+ questions left, not 1000000000"):
        task.examples(10**9, random.Random(1), set())
    small = {chain_sum: {"LENGTHS": (2,)}, trait_choice: {"HALF_RIGHT": 0, "UNRELATED": 0}, pair_search: {}}[task]
    for name, value in small.items():
        monkeypatch.setattr(task, name, value)
    taken, size = set[str](), {chain_sum: 200, trait_choice: 105, pair_search: PAIR_QUESTIONS}[task]
    for left in (size, 0):
        with pytest.raises(ValueError, match=f"at most {left} questions left, not {left + 1}"):
            task.examples(left + 1, random.Random(1), taken)
        assert len(task.examples(left, random.Random(1), taken)) == left
    assert len(taken) == size


# --- arguments for a given answer ------------------------------------------------------------------------------------


@TASKS
def test_an_argument_for_the_right_answer_is_the_solution(task: ModuleType) -> None:
    for example in task.examples(200, random.Random(1), set()):
        assert task.argue(example.without_gold(), example.answer) == example.rationale


def test_an_argument_for_a_wrong_sum_is_a_chain_to_it_with_one_wrong_step(sums: list[Example]) -> None:
    for example in sums[:500]:
        for slip in (-12, -1, 4):
            given = str(int(example.answer) + slip)
            rationale = chain_sum.argue(example.without_gold(), given)
            assert_is_chain(example.question, rationale, given)
            wrong = [
                step for step in rationale.split(";") if eval(step.partition("=")[0]) != int(step.partition("=")[2])
            ]
            assert len(wrong) == 1
            assert chain_sum.ChainSums(3, 6).argue(example.without_gold(), given) == rationale


def test_an_argument_for_a_wrong_choice_gives_it_both_traits(lookups: list[Example]) -> None:
    for example in lookups[:500]:
        asked = example.question.removesuffix("?").split(",")
        for given in example.choices or ():
            found = matches_of(trait_choice.argue(example.without_gold(), given))
            assert list(found) == list(example.choices or ())
            assert [choice for choice, traits in found.items() if traits == asked] == [given]


def test_an_argument_for_a_wrong_number_is_a_false_proof_with_it(searches: list[Example]) -> None:
    for example in searches[:500]:
        *numbers, target = map(int, re.findall(r"\d+", example.question))
        for pair in combinations(numbers, 2):
            given = max(pair)
            first, second, total = map(int, re.findall(r"\d+", pair_search.argue(example.without_gold(), str(given))))
            assert (max(first, second), total) == (given, target)
            assert (first + second == target) == (str(given) == example.answer)


@pytest.mark.parametrize(("task", "answer"), [(chain_sum, "blue"), (trait_choice, "sun"), (pair_search, "77")])
def test_what_cannot_be_an_answer_is_refused(task: ModuleType, answer: str) -> None:
    [example] = task.examples(1, random.Random(1), set())
    with pytest.raises(ValueError, match=answer):
        task.argue(example.without_gold(), answer)
