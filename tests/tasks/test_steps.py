"""Reasoning held against the worked solution: right as a whole, or wrong wherever anything in it was changed."""

from __future__ import annotations

import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from benchmark.config import build
from benchmark.contract import Task
from benchmark.errors import ConfigError
from benchmark.tasks import chain_sum, pair_search, trait_choice
from benchmark.tasks.chain_sum import ChainSums
from benchmark.tasks.dataset import Dataset
from benchmark.tasks.generated import GeneratedDataset
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.tasks.steps import StepCheck
from benchmark.types import Example, Question

CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset"
TASKS = pytest.mark.parametrize(
    "task", [chain_sum, ChainSums(7, 9), trait_choice, pair_search], ids=["short", "long", "traits", "pairs"]
)
SUM = Question("", "4+3-5")
LOOKUP = Question("", "big,hot?", ("ape", "fan", "ewe", "emu", "bed"))
CHAINS = chain_sum.examples(300, random.Random(5), set()) + ChainSums(7, 9).examples(300, random.Random(5), set())
LOOKUPS = trait_choice.examples(300, random.Random(5), set())


def from_conf(name: str) -> GeneratedDataset:
    built = build(yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8")), "dataset", Dataset)
    assert isinstance(built, GeneratedDataset)
    return built


def is_right(example: Example, rationale: str) -> bool:
    task = chain_sum if example.choices is None else trait_choice
    return task.check_steps(example.without_gold(), rationale).all_right


@TASKS
def test_a_worked_solution_is_right_and_a_wrong_one_wrong(task: ModuleType) -> None:
    for example in task.examples(500, random.Random(2), set()):
        question = example.without_gold()
        steps = task.check_steps(question, example.rationale)
        assert steps.all_right
        assert steps.written == steps.right == steps.needed == example.rationale.count(";") + 1
        rationale, _ = task.solve_wrongly(question, random.Random(example.id))
        wrong = task.check_steps(question, rationale)
        assert not wrong.all_right
        assert wrong.written == wrong.needed > wrong.right


@pytest.mark.parametrize(
    ("question", "rationale", "written", "right"),
    [
        (SUM, "4+3=7;7-5=2", 2, 2),
        (SUM, "4+3=7;7-5=3", 2, 1),  # a wrong result
        (SUM, "4+3=8;8-5=3", 2, 0),  # carried on rightly, from a wrong running total
        (SUM, "4+3=7;7-4=3", 2, 1),  # another term
        (SUM, "4+3=7;7+5=12", 2, 1),  # another sign
        (SUM, "7-5=2;4+3=7", 2, 0),
        (SUM, "4+3=7", 1, 1),
        (SUM, "7-5=2", 1, 0),
        (SUM, "4+3=7;7-5=2;2+0=2", 3, 2),
        (SUM, "4+3=7;;7-5=2", 3, 1),
        (SUM, "4+3=7;7-5=2;", 3, 2),
        (SUM, "so 4+3=7;7-5=2", 2, 1),
        (SUM, "", 0, 0),
        (SUM, " ", 0, 0),
        (LOOKUP, "ape:big;fan:hot;ewe:big,hot;emu:;bed:hot", 5, 5),
        (LOOKUP, "ape:big;fan:hot;ewe:hot,big;emu:;bed:hot", 5, 5),  # traits have no order
        (LOOKUP, "ape:big;fan:hot;ewe:big;emu:;bed:hot", 5, 4),
        (LOOKUP, "ape:big,big;fan:hot;ewe:big,hot;emu:;bed:hot", 5, 4),
        (LOOKUP, "ape:big;fan:hot;ewe:big,hot;emu;bed:hot", 5, 4),
        (LOOKUP, "ape:big;fan:hot;ewe:big,hot;emu:red;bed:hot", 5, 4),
        (LOOKUP, "fan:hot;ape:big;ewe:big,hot;emu:;bed:hot", 5, 3),  # in the order of the choices
    ],
)
def test_what_a_right_step_is(question: Question, rationale: str, written: int, right: int) -> None:
    task = chain_sum if question is SUM else trait_choice
    assert task.check_steps(question, rationale) == StepCheck(written, right, needed=2 if question is SUM else 5)


@pytest.mark.parametrize(
    ("question", "rationale"),
    [
        (SUM, " 4 + 3 = 7 ; 7 - 5 = 2 \n"),
        (SUM, "4+3=7;7-5=2."),
        (LOOKUP, "ape: big; fan: hot; ewe: big, hot; emu: ; bed: hot."),
    ],
)
def test_white_space_around_signs_and_a_final_full_stop_do_not_count(question: Question, rationale: str) -> None:
    task = chain_sum if question is SUM else trait_choice
    assert task.check_steps(question, rationale).all_right


def test_white_space_inside_of_a_number_counts() -> None:
    assert not chain_sum.check_steps(Question("", "9+9-5"), "9+9=1 8;18-5=13").all_right


@given(st.sampled_from(CHAINS), st.data())
def test_any_other_digit_makes_a_chain_wrong(example: Example, data: st.DataObject) -> None:
    text = str(example.rationale)
    place = data.draw(st.sampled_from([i for i, character in enumerate(text) if character.isdigit()]))
    digit = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != text[place]]))
    assert not is_right(example, text[:place] + digit + text[place + 1 :])


@given(st.sampled_from(CHAINS + LOOKUPS), st.data())
def test_a_step_left_out_repeated_or_moved_makes_reasoning_wrong(example: Example, data: st.DataObject) -> None:
    steps = str(example.rationale).split(";")
    one, other = data.draw(st.tuples(*[st.integers(0, len(steps) - 1)] * 2))
    swapped = list(steps)
    swapped[one], swapped[other] = steps[other], steps[one]
    for changed in (steps[:one] + steps[one + 1 :], [*steps[: one + 1], *steps[one:]], swapped):
        if changed != steps:
            assert not is_right(example, ";".join(changed))


@given(st.sampled_from(LOOKUPS), st.data())
def test_a_trait_more_or_less_makes_a_lookup_wrong(example: Example, data: st.DataObject) -> None:
    steps = [step.split(":") for step in str(example.rationale).split(";")]
    place, trait = data.draw(st.integers(0, len(steps) - 1)), data.draw(st.sampled_from(trait_choice.TRAITS))
    traits = [name for name in steps[place][1].split(",") if name]
    changed = [name for name in traits if name != trait] if trait in traits else [*traits, trait]
    steps[place][1] = ",".join(changed)
    assert not is_right(example, ";".join(":".join(step) for step in steps))


@given(st.sampled_from(CHAINS + LOOKUPS), st.text(max_size=30))
def test_any_other_text_is_checked_and_wrong(example: Example, text: str) -> None:
    assume(text.strip() not in (example.rationale, f"{example.rationale}."))
    assert not is_right(example, text)


def test_a_dataset_checks_where_its_generator_does(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = from_conf("chain_sum")
    checked = dataset.check_steps(SUM, "4+3=7;7-5=3")
    assert checked == StepCheck(2, 1, 2)
    monkeypatch.delattr(chain_sum, "check_steps")
    assert dataset.check_steps(SUM, "4+3=7;7-5=2") is None


# --- longer chains -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chain_sum", "dcbe6479f54dae7aab38b47f1a2eacc8b9e6ddfdbe94fa0da46689f68885cbc1"),
        ("trait_choice", "ecf1c978c23e39f61600b9c3c5f6b8b53b4521e3e0cbdf9479f26e0eda9318ab"),
        ("chain_sum_long", "064e4c68d5a475d9429483d232bedb5c8d19aac46fc429dd0865d91dbcac13cc"),
        ("pair_search", "1e75bc42aed5db3feed90ff99f5a561fa4f4103fc6ee17af0465debff11ceda1"),
    ],
)
def test_the_rows_are_those_that_they_always_were(name: str, content: str) -> None:
    assert from_conf(name).fingerprint() == content


def test_long_chains_are_longer_than_any_short_one_and_fit_the_tiny_student() -> None:
    dataset, short = from_conf("chain_sum_long"), from_conf("chain_sum")
    splits, known = dataset.load(), {len(row.question) for row in short.load().pool}
    splits.test.unseal()
    rows = [*splits.pool, *splits.validation, *splits.test.open()]
    assert {(len(row.question) + 1) // 2 for row in rows} == {7, 8, 9}
    assert min(len(row.question) for row in rows) > max(known)
    for row in rows:
        assert eval(row.question) == int(row.answer)
    tiny = yaml.safe_load((CONF.parent / "student" / "tiny.yaml").read_text(encoding="utf-8"))
    longest, answer = dataset.solve(Question("", "0-9-9-9-9-9-9-9-9"))
    assert len(f"{longest}#{answer}") == 79 < tiny["max_new_tokens"]
    assert len("0-9-9-9-9-9-9-9-9") + 2 + tiny["max_new_tokens"] <= tiny["max_length"]  # 2: the marks around a prompt


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fewest_terms": 1}, "dataset.generator: fewest_terms=1 and most_terms=9: a chain sum has at least 2 terms"),
        ({"most_terms": 6}, "fewest_terms=7 and most_terms=6: .* most_terms is not below fewest_terms"),
        ({"most_terms": "nine"}, "dataset.generator.most_terms='nine'"),
        ({"most_terms": 9.0}, "dataset.generator.most_terms=9.0"),
        ({"most_term": 9}, "dataset.generator.most_term: ChainSums has no such setting; did you mean 'most_terms'"),
        ({"_target_": "benchmark.teachers.ledger.Budget"}, "dataset.generator.fewest_terms: Budget has no such"),
    ],
)
def test_a_wrong_setting_of_a_generator_is_refused_before_anything_is_drawn(changes: object, reason: str) -> None:
    node = yaml.safe_load((CONF / "chain_sum_long.yaml").read_text(encoding="utf-8"))
    node["generator"] |= changes
    with pytest.raises(ConfigError, match=reason):
        build(node, "dataset", Dataset)


@pytest.mark.parametrize(
    ("generator", "reason"),
    [
        (5, "dataset.generator=5: input should be a valid string"),
        ("no.such", "generator='no.such' is not a module"),
        ({"_target_": "benchmark.teachers.ledger.Budget", "questions": 5}, "Budget is not a Generator"),
    ],
)
def test_a_generator_is_a_module_or_a_component(generator: object, reason: str) -> None:
    node = yaml.safe_load((CONF / "chain_sum_long.yaml").read_text(encoding="utf-8")) | {"generator": generator}
    with pytest.raises(ConfigError, match=reason):
        build(node, "dataset", Dataset)


# --- steps of any text -----------------------------------------------------------------------------------------------

ANY_TEXT = st.text(st.one_of(st.sampled_from(" ;.\n!?3ab"), st.characters(exclude_categories=["Cs"])), max_size=60)
ALL_TASKS = pytest.mark.parametrize("family", [GeneratedAnswer(), MultipleChoice()], ids=["numbers", "choices"])


@ALL_TASKS
@given(text=ANY_TEXT, data=st.data())
def test_steps_join_to_the_text_and_the_first_ones_to_a_beginning_of_it(family: Task, text: str, data: Any) -> None:
    steps = family.steps(text)
    assert family.join(steps) == text
    assert all(steps)
    first = steps[: data.draw(st.integers(0, len(steps)))]
    assert text.startswith(family.join(first))
    assert family.steps(family.join(first)) == first


@ALL_TASKS
@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", []),
        ("4+3=7;7-5=2", ["4+3=7", ";7-5=2"]),
        ("4+3=7; 7-5=2.", ["4+3=7", "; 7-5=2."]),
        ("He has 3.5 m. He cuts 1 m!\n\nSo 2.5 m.", ["He has 3.5 m.", " He cuts 1 m!", "\n\nSo 2.5 m."]),
        ("one line\nanother line\n", ["one line", "\nanother line\n"]),
        (";begins and ends;", [";begins and ends;"]),
    ],
)
def test_steps_begin_after_semicolons_lines_and_sentences(family: Task, text: str, steps: list[str]) -> None:
    assert family.steps(text) == steps


@TASKS
def test_a_worked_solution_has_as_many_steps_as_its_check_counts(task: ModuleType) -> None:
    for example in task.examples(100, random.Random(3), set()):
        steps = GeneratedAnswer().steps(example.rationale)
        needed = task.check_steps(example.without_gold(), example.rationale).needed
        assert len(steps) == needed
        for begun in range(1, needed + 1):
            checked = task.check_steps(example.without_gold(), GeneratedAnswer().join(steps[:begun]))
            assert checked.written == checked.right == begun
