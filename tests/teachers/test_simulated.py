"""The simulated teacher: set rates, calibration, and that it sees nothing but the prompt and the question's id."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.errors import ConfigError
from benchmark.evaluation.reference import teacher_accuracy
from benchmark.tasks.dataset import Exemplar
from benchmark.tasks.generated import GeneratedDataset
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.tasks.jsonl import JsonlDataset
from benchmark.tasks.multiple_choice import MultipleChoice
from benchmark.tasks.trait_choice import solve as solve_traits
from benchmark.teachers import prompts as prompts_package
from benchmark.teachers.prompts import PromptLibrary
from benchmark.teachers.replies import split_answer
from benchmark.teachers.simulated import SimulatedTeacher
from benchmark.types import Example, Reply

POOL = 4000
TEMPLATE = Path(prompts_package.__file__).with_name("few_shot_cot.j2")


def chain_sums(pool_size: int = POOL, exemplars: bool = True) -> GeneratedDataset:
    shots = (Exemplar("4+3-5", "4+3=7;7-5=2.", "2"), Exemplar("1-8+5", "1-8=-7;-7+5=-2.", "-2"))
    return GeneratedDataset(
        name="chain_sum",
        generator="benchmark.tasks.chain_sum",
        task=GeneratedAnswer(),
        exemplars=shots if exemplars else (),
        pool_size=pool_size,
        validation_size=5,
        test_size=5,
    )


def trait_choices(pool_size: int = 1500) -> GeneratedDataset:
    plain = GeneratedDataset(
        name="trait_choice",
        generator="benchmark.tasks.trait_choice",
        task=MultipleChoice(heading="\n", item="{choice}", separator=","),
        exemplars=(),
        pool_size=pool_size,
        validation_size=5,
        test_size=1,
        generation_seed=99,
    )
    splits = plain.load()
    worked = splits.validation[0]
    shot = Exemplar(worked.question, f"{worked.rationale}.", worked.answer, worked.choices)
    return replace(plain, exemplars=(shot,), generation_seed=0)


def pair_searches(pool_size: int = 1900) -> GeneratedDataset:
    return GeneratedDataset(
        name="pair_search",
        generator="benchmark.tasks.pair_search",
        task=GeneratedAnswer(),
        exemplars=(Exemplar("3 8 5 9 1=14?", "5+9=14.", "9"),),
        pool_size=pool_size,
        validation_size=5,
        test_size=5,
    )


def ask_all(
    teacher: SimulatedTeacher,
    dataset: GeneratedDataset,
    examples: Sequence[Example],
    samples: int = 1,
    library: PromptLibrary | None = None,
) -> list[list[Reply]]:
    """Every reply to every example, through the real template."""
    library, door = library or PromptLibrary(), teacher.open(dataset)

    async def everything() -> list[list[Reply]]:
        requests = [library.render("few_shot_cot", example.without_gold(), dataset) for example in examples]
        return [await door.reply(request, samples) for request in requests]

    return asyncio.run(everything())


def first_replies(teacher: SimulatedTeacher, dataset: GeneratedDataset) -> list[tuple[Example, Reply]]:
    pool = dataset.load().pool
    return [(example, replies[0]) for example, replies in zip(pool, ask_all(teacher, dataset, pool), strict=True)]


def read(dataset: GeneratedDataset, example: Example, reply: Reply) -> tuple[str | None, str | None]:
    rationale, answer = split_answer(reply.text)
    return rationale, None if answer is None else dataset.task.parse(example.without_gold(), answer)


def within(count: int, total: int, rate: float, sigmas: float = 4.0) -> bool:
    """Whether a count of a binomial variable is within that many standard deviations; exact at rates 0 and 1."""
    return abs(count - total * rate) <= sigmas * math.sqrt(total * rate * (1 - rate)) + 1e-9


def chain_is_valid(rationale: str) -> bool:
    return all(eval(step.partition("=")[0]) == int(step.partition("=")[2]) for step in rationale.split(";"))


def wrong_steps(rationale: str) -> int:
    return sum(eval(step.partition("=")[0]) != int(step.partition("=")[2]) for step in rationale.split(";"))


@pytest.mark.parametrize(("step", "answer"), [(0.0, 0.0), (0.3, 0.0), (0.0, 1.0), (1.0, 0.0)])
def test_given_the_answer_it_writes_the_reasoning_alone(step: float, answer: float) -> None:
    dataset = chain_sums()
    pool, library = dataset.load().pool, PromptLibrary()
    teacher = SimulatedTeacher(wrong_step_rate=step, wrong_answer_rate=answer, malformed_rate=1.0)
    door = teacher.open(dataset)
    wrong = 0
    for example in pool:
        request = library.render("rationalise", example.without_gold(), dataset, gold=example.answer)
        [reply] = asyncio.run(door.reply(request, 1))
        assert (reply.finish, reply.confidence, split_answer(reply.text)) == ("stop", None, (reply.text, None))
        wrong += not chain_is_valid(reply.text)
    assert within(wrong, len(pool), step)
    assert asyncio.run(teacher.open(dataset).reply(replace(request, prompt="Q: 1+1\nWhy:"), 1))[0].finish == "not_asked"


# --- rates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "answer"), [(0.0, 0.0), (0.03, 0.02), (0.2, 0.0), (0.0, 0.2), (0.25, 0.15), (1.0, 0.0), (0.0, 1.0)]
)
def test_wrong_step_and_wrong_answer_rates_are_met(step: float, answer: float) -> None:
    dataset = chain_sums()
    teacher = SimulatedTeacher(wrong_step_rate=step, wrong_answer_rate=answer)
    with_wrong_step = with_right_reasoning_and_wrong_answer = 0
    for example, reply in first_replies(teacher, dataset):
        rationale, said = read(dataset, example, reply)
        assert rationale is not None
        assert said is not None
        if not chain_is_valid(rationale):
            with_wrong_step += 1
        elif said != example.answer:
            with_right_reasoning_and_wrong_answer += 1
    assert within(with_wrong_step, POOL, step)
    assert within(with_right_reasoning_and_wrong_answer, POOL, answer)


def test_a_wrong_step_is_one_step_and_is_carried_through_to_the_stated_answer() -> None:
    dataset = chain_sums()
    for example, reply in first_replies(SimulatedTeacher(wrong_step_rate=1.0), dataset):
        rationale, said = read(dataset, example, reply)
        assert rationale is not None
        steps = [step.split("=") for step in rationale.split(";")]
        assert wrong_steps(rationale) == 1
        starts = [re.match(r"-?\d+", left)[0] for left, _ in steps]  # type: ignore[index]
        assert starts[1:] == [result for _, result in steps[:-1]]
        assert said == steps[-1][1] != example.answer
        terms = starts[0] + "".join(left[len(start) :] for (left, _), start in zip(steps, starts, strict=True))
        assert terms == example.question


def test_a_wrong_answer_keeps_the_right_reasoning() -> None:
    dataset = chain_sums()
    for example, reply in first_replies(SimulatedTeacher(wrong_answer_rate=1.0), dataset):
        rationale, said = read(dataset, example, reply)
        assert rationale == example.rationale
        assert said not in (None, example.answer)


def test_both_kinds_of_error_on_multiple_choice() -> None:
    dataset = trait_choices()
    teacher = SimulatedTeacher(wrong_step_rate=0.3, wrong_answer_rate=0.2)
    wrong_reasoning = wrong_answer = 0
    rows = first_replies(teacher, dataset)
    for example, reply in rows:
        rationale, said = read(dataset, example, reply)
        assert said in (example.choices or ())
        right_reasoning, right_answer = solve_traits(example.without_gold())
        assert right_answer == example.answer
        if rationale != right_reasoning:
            wrong_reasoning += 1
            asked = example.question.removesuffix("?")
            assert f"{said}:{asked}" in (rationale or "").split(";")  # the wrong lookup leads to what is stated
            assert said != example.answer
        elif said != example.answer:
            wrong_answer += 1
    assert within(wrong_reasoning, len(rows), 0.3)
    assert within(wrong_answer, len(rows), 0.2)


@pytest.mark.parametrize(("malformed", "empty"), [(0.1, 0.0), (0.0, 0.1), (0.3, 0.4), (1.0, 0.0), (0.0, 1.0)])
def test_malformed_and_empty_rates_are_met(malformed: float, empty: float) -> None:
    dataset = chain_sums()
    rows = first_replies(SimulatedTeacher(malformed_rate=malformed, empty_rate=empty), dataset)
    silent = [reply for _, reply in rows if reply.text == ""]
    speaking = [(example, reply) for example, reply in rows if reply.text]
    without_clause = [(e, r) for e, r in speaking if "The answer is" not in r.text]
    assert within(len(silent), len(rows), empty)
    assert within(len(without_clause), len(speaking), malformed)
    for example, reply in without_clause:
        rationale, answer = split_answer(reply.text)
        assert answer is None
        assert (rationale or "").startswith(str(example.rationale))  # the reasoning is there, the clause is not
    assert all(reply.completion_tokens == 0 for reply in silent)
    assert all(split_answer(reply.text) == (None, None) for reply in silent)


@pytest.mark.parametrize(
    "settings",
    [
        {"wrong_step_rate": -0.1},
        {"wrong_answer_rate": 1.1},
        {"malformed_rate": 2.0},
        {"wrong_step_rate": 0.6, "wrong_answer_rate": 0.5},
        {"trace_rate": -0.1},
        {"unclosed_trace_rate": 1.1},
        {"trace_rate": 0.6, "unclosed_trace_rate": 0.5},
        {"overconfidence": 0.0},
        {"confidence_concentration": -1.0},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        SimulatedTeacher(**settings)


# --- calibration ---------------------------------------------------------------------------------------------------


def confidence_and_outcome(teacher: SimulatedTeacher, samples: int = 3) -> list[tuple[float, bool]]:
    dataset = chain_sums()
    pool = dataset.load().pool
    pairs = []
    for example, replies in zip(pool, ask_all(teacher, dataset, pool, samples), strict=True):
        for reply in replies:
            assert reply.confidence is not None
            assert 0 <= reply.confidence <= 1
            pairs.append((reply.confidence, read(dataset, example, reply)[1] == example.answer))
    return pairs


def calibration_gap(pairs: Sequence[tuple[float, bool]]) -> float:
    return sum(confidence - right for confidence, right in pairs) / len(pairs)


@pytest.mark.parametrize("concentration", [1.0, 4.0, 20.0])
def test_confidence_is_calibrated_in_every_bin(concentration: float) -> None:
    teacher = SimulatedTeacher(
        wrong_step_rate=0.2, wrong_answer_rate=0.15, confidence_concentration=concentration, overconfidence=1.0
    )
    pairs = confidence_and_outcome(teacher)
    assert abs(calibration_gap(pairs)) <= 4 * math.sqrt(0.25 / len(pairs))
    assert abs(sum(right for _, right in pairs) / len(pairs) - 0.65) <= 4 * math.sqrt(0.65 * 0.35 / len(pairs))
    filled = 0
    for low in range(10):
        inside = [pair for pair in pairs if low <= pair[0] * 10 < low + 1 or (low == 9 and pair[0] == 1)]
        if len(inside) >= 50:
            filled += 1
            spread = math.sqrt(sum(c * (1 - c) for c, _ in inside)) / len(inside)
            assert abs(calibration_gap(inside)) <= 4 * spread + 1e-3, f"bin {low / 10}"
    assert filled >= 5


def test_above_one_it_is_overconfident_and_below_one_underconfident() -> None:
    settings = {"wrong_step_rate": 0.3, "confidence_concentration": 4.0}
    boasting = confidence_and_outcome(SimulatedTeacher(**settings, overconfidence=3.0), 1)
    honest = confidence_and_outcome(SimulatedTeacher(**settings, overconfidence=1.0), 1)
    modest = confidence_and_outcome(SimulatedTeacher(**settings, overconfidence=0.3), 1)
    # Only what is reported changes, never what is right.
    assert [right for _, right in boasting] == [right for _, right in honest] == [right for _, right in modest]
    sure = [pair for pair in boasting if pair[0] > 0.9]
    assert len(sure) > 500
    assert calibration_gap(sure) > 0.04
    assert calibration_gap(boasting) > calibration_gap(honest) + 0.02
    unsure = [pair for pair in boasting if pair[0] < 0.1]
    assert calibration_gap(unsure) < -0.02
    assert calibration_gap([pair for pair in modest if pair[0] > 0.7]) < -0.05
    for (reported, _), (truth, _) in zip(boasting, honest, strict=True):
        if 1e-9 < truth < 1 - 1e-9:
            assert math.isclose(
                math.log(reported / (1 - reported)), 3 * math.log(truth / (1 - truth)), rel_tol=1e-3
            ) or (reported in (0.0, 1.0) or reported > 1 - 1e-9)


def test_a_teacher_without_errors_is_certain() -> None:
    assert {reply.confidence for _, reply in first_replies(SimulatedTeacher(), chain_sums(50))} == {1.0}


# --- traces --------------------------------------------------------------------------------------------------------

NOISY = SimulatedTeacher(wrong_step_rate=0.3, wrong_answer_rate=0.2, malformed_rate=0.1, empty_rate=0.05)
TRACE = re.compile(r"<think>\n([^\n]*)\n</think>\n\n(.*)", re.DOTALL)


@pytest.mark.parametrize(
    ("closed", "unclosed"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.2), (0.5, 0.3), (0.6, 0.4), (1.0, 0.0), (0.0, 1.0)]
)
@pytest.mark.parametrize("plain", [SimulatedTeacher(), NOISY], ids=["right", "noisy"])
def test_rates_of_traces_are_met_and_nothing_else_changes(
    closed: float, unclosed: float, plain: SimulatedTeacher
) -> None:
    dataset = pair_searches(1000)
    usual = first_replies(plain, dataset)
    thinking = first_replies(replace(plain, trace_rate=closed, unclosed_trace_rate=unclosed), dataset)
    with_trace = without_end = 0
    for (example, before), (_, now) in zip(usual, thinking, strict=True):
        assert now.confidence == before.confidence
        assert now.completion_tokens == math.ceil(len(now.text.encode()) / 4)
        if now.finish == "length":
            without_end += 1
            trace = now.text.removeprefix("<think>\n")
            assert "think>" not in trace
        elif found := TRACE.fullmatch(now.text):
            with_trace += 1
            trace = found[1]
            assert (found[2], now.finish) == (before.text, before.finish)
        else:
            assert now == before
            continue
        *_, right, check = trace.split(";")  # right even where the reply is not
        assert right == f"{example.rationale} yes"
        assert check.endswith(" ok")
    assert within(with_trace, len(usual), closed)
    assert within(without_end, len(usual), unclosed)


def test_samples_think_in_other_ways_and_the_same_sample_always_in_one() -> None:
    dataset = pair_searches(300)
    pool = dataset.load().pool
    replies = ask_all(SimulatedTeacher(trace_rate=1.0), dataset, pool, 4)
    assert replies == ask_all(SimulatedTeacher(trace_rate=1.0), dataset, pool, 4)
    assert sum(len({reply.text for reply in of_question}) > 1 for of_question in replies) > 290
    other = ask_all(SimulatedTeacher(trace_rate=1.0, seed=1), dataset, pool, 4)
    assert sum(a != b for a, b in zip(replies, other, strict=True)) > 290


def test_given_the_answer_it_thinks_too() -> None:
    dataset = pair_searches(40)
    example = dataset.load().pool[0]
    request = PromptLibrary().render("rationalise", example.without_gold(), dataset, gold=example.answer)
    [reply] = asyncio.run(SimulatedTeacher(trace_rate=1.0).open(dataset).reply(request, 1))
    found = TRACE.fullmatch(reply.text)
    assert found is not None
    assert found[2] == example.rationale


@pytest.mark.parametrize("rate", ["trace_rate", "unclosed_trace_rate"])
def test_a_dataset_without_traces_is_refused_and_one_that_has_some_is_named(rate: str) -> None:
    with pytest.raises(ConfigError, match=rf"{rate}=0\.1.*dataset=chain_sum has no traces.*dataset=pair_search"):
        SimulatedTeacher(**{rate: 0.1}).open(chain_sums(20))
    SimulatedTeacher().open(chain_sums(20))
    SimulatedTeacher(**{rate: 0.1}).open(pair_searches(20))


def test_without_traces_replies_are_those_that_they_always_were() -> None:
    dataset = chain_sums(200)
    replies = [reply for row in ask_all(NOISY, dataset, dataset.load().pool, 3) for reply in row]
    seen = [(reply.text, reply.finish, round(reply.confidence or 0.0, 6)) for reply in replies]
    assert (
        hashlib.sha256(repr(seen).encode()).hexdigest()
        == "cd6b10347b8340783c8f6d2291d55f9fcc2448d3acc34807f7a3ac169841d804"
    )


# --- independence --------------------------------------------------------------------------------------------------


def test_replies_do_not_depend_on_the_order_of_calls_or_on_what_else_was_asked() -> None:
    dataset = chain_sums(200)
    pool = dataset.load().pool
    forward = dict(zip([e.id for e in pool], ask_all(NOISY, dataset, pool, 3), strict=True))
    backward = dict(zip([e.id for e in reversed(pool)], ask_all(NOISY, dataset, pool[::-1], 3), strict=True))
    assert forward == backward
    alone = ask_all(NOISY, dataset, pool[7:8], 1)[0]
    assert alone == forward[pool[7].id][:1]  # fewer samples are a prefix of more


def test_samples_differ_and_so_do_seeds() -> None:
    dataset = chain_sums(300)
    pool = dataset.load().pool
    replies = ask_all(NOISY, dataset, pool, 4)
    assert sum(len({reply.text for reply in of_question}) > 1 for of_question in replies) > 250
    other = ask_all(replace(NOISY, seed=1), dataset, pool, 4)
    assert sum(a != b for a, b in zip(replies, other, strict=True)) > 250
    errors = [[split_answer(r.text)[1] != e.answer for r in rs] for e, rs in zip(pool, replies, strict=True)]
    both_wrong = sum(first and second for first, second, *_ in errors)
    assert both_wrong < 0.55 * sum(row[0] for row in errors) + 40  # the errors of two samples are drawn apart


def test_the_text_of_the_dataset_beyond_the_prompt_is_not_used() -> None:
    """What it says is about the question that stands last, so a prompt that shows another one is not answered."""
    dataset = chain_sums(40)
    asked, shown, *_ = dataset.load().pool
    request = PromptLibrary().render("few_shot_cot", shown.without_gold(), dataset)
    [reply] = asyncio.run(SimulatedTeacher().open(dataset).reply(replace(request, question_id=asked.id), 1))
    assert (reply.text, reply.finish) == ("", "not_asked")
    assert reply.prompt_tokens > 0  # the broken prompt was sent all the same


def test_a_question_that_stands_among_the_exemplars_only_is_not_answered() -> None:
    dataset = chain_sums(40)
    asked, shown, *_ = dataset.load().pool
    request = PromptLibrary().render("few_shot_cot", shown.without_gold(), dataset)
    prompt = f"Q: {asked.question}\nA: hm. The answer is 1.\n\n{request.prompt}"
    [reply] = asyncio.run(
        SimulatedTeacher().open(dataset).reply(replace(request, prompt=prompt, question_id=asked.id), 1)
    )
    assert reply.finish == "not_asked"


# --- corrupted templates and parsers --------------------------------------------------------------------------------


def corrupted(folder: Path, change: Callable[[str], str]) -> PromptLibrary:
    """The real template after a change, as a method's own folder would override it."""
    text = TEMPLATE.read_text()
    changed = change(text)
    assert changed != text
    (folder / "few_shot_cot.j2").write_text(changed)
    return PromptLibrary((folder,))


def accuracy(dataset: GeneratedDataset, library: PromptLibrary) -> float:
    measured = teacher_accuracy(SimulatedTeacher().open(dataset), dataset, library, dataset.load().pool)
    assert measured is not None
    return float(measured["value"])


@pytest.mark.parametrize("make", [chain_sums, trait_choices, pair_searches])
def test_the_real_template_loses_nothing(make: Callable[[int], GeneratedDataset]) -> None:
    assert accuracy(make(200), PromptLibrary()) == 1.0


@pytest.mark.parametrize("make", [chain_sums, trait_choices])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: t.replace("Q: {{ shown }}\n", ""), id="no question"),
        pytest.param(lambda t: t.replace("{{ shown }}", "{{ question.id }}"), id="the id instead of the question"),
        pytest.param(lambda t: t[t.index("Q: {{ shown }}") :], id="no exemplars"),
        pytest.param(lambda t: t.replace("{{ answer_clause }} ", ""), id="no answer clause"),
        pytest.param(lambda t: t.replace("{{ answer_clause }}", "So it must be"), id="another answer clause"),
    ],
)
def test_a_corrupted_template_is_noticed(
    tmp_path: Path, make: Callable[[int], GeneratedDataset], change: Callable[[str], str]
) -> None:
    assert accuracy(make(60), corrupted(tmp_path, change)) == 0.0


def test_losing_the_question_is_told_apart_from_losing_the_clause(tmp_path: Path) -> None:
    dataset = chain_sums(20)
    pool = dataset.load().pool
    lost = ask_all(
        SimulatedTeacher(), dataset, pool, library=corrupted(tmp_path, lambda t: t.replace("{{ shown }}", ""))
    )
    assert {reply.finish for [reply] in lost} == {"not_asked"}
    bare = ask_all(SimulatedTeacher(), chain_sums(20, exemplars=False), pool)
    assert {reply.finish for [reply] in bare} == {"stop"}
    assert all(split_answer(reply.text)[1] is None for [reply] in bare)


def test_a_corrupted_parser_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher speaks as the exemplars do, so a parser that looks for other words reads nothing."""
    from benchmark.tasks import closing

    dataset = chain_sums(60)
    monkeypatch.setattr(closing, "_CLAUSE", re.compile("(?P<the>result)(?P<heading>:)"))
    assert accuracy(dataset, PromptLibrary()) == 0.0


# --- doors ---------------------------------------------------------------------------------------------------------


def test_it_covers_every_split_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    dataset = chain_sums(20)
    splits = dataset.load()
    door = SimulatedTeacher().open(dataset)
    splits.test.unseal()
    assert all(door.covers(row.id) for row in (*splits.pool, *splits.validation, *splits.test.open()))
    assert not door.covers("svamp-1")
    other = JsonlDataset("svamp", "svamp", GeneratedAnswer(), (), str(tmp_path), validation_size=1)
    with pytest.raises(ConfigError, match="generated tasks only"):
        SimulatedTeacher().open(other)


def test_opening_the_teacher_leaves_the_cells_own_test_split_sealed() -> None:
    from benchmark.errors import LeakError

    dataset = chain_sums(20)
    splits = dataset.load()
    SimulatedTeacher().open(dataset)
    with pytest.raises(LeakError):
        splits.test.open()


def test_tokens_are_booked_from_the_texts() -> None:
    dataset = chain_sums(5)
    example = dataset.load().pool[0]
    request = PromptLibrary().render("few_shot_cot", example.without_gold(), dataset)
    [reply] = asyncio.run(SimulatedTeacher().open(dataset).reply(request, 1))
    assert reply.prompt_tokens == math.ceil(len(request.prompt.encode()) / 4)
    assert reply.completion_tokens == math.ceil(len(reply.text.encode()) / 4)
