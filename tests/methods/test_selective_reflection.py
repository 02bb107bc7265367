"""SRD's ranking: ranks and their fusion by hand, overlap and surprise, and the pass over the examples.

Numbers in docstrings are those of the checklist in docs/methods/selective_reflection.md.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from benchmark.records.journal import Journal
from benchmark.running.pool_pass import PoolPasses
from benchmark.student.student import Student
from benchmark.types import Request, Round, Stage
from methods.selective_reflection import (
    SelectiveReflection,
    easiest_first,
    rouge_of_signs,
    rouge_of_words,
    surprise_of,
)
from tests.cells import Silent
from tests.methods.reflection_parts import Scripted, Small, by_signs, graded, groups_of, played
from tests.student.student_parts import (
    CPU,
    characters,
    context_of,
    example,
    fresh_student,
    method_of,
    optimization_of,
    shared_student,
    student_of,
    sums,
)

OVERLAP = {"a": 0.9, "b": 0.5, "c": 0.5, "d": 0.1}
SURPRISE = {"a": 1.0, "b": 3.0, "c": 2.0, "d": 4.0}
UNTIED_OVERLAP = dict(zip("abcdef", (0.3, 0.9, 0.2, 0.7, 0.5, 0.1), strict=True))
UNTIED_SURPRISE = dict(zip("abcdef", (2.0, 1.5, 0.5, 4.0, 3.0, 1.0), strict=True))


# --- ranks and their fusion ------------------------------------------------------------------------------------------


def test_ranks_are_fused_as_by_hand_and_ties_come_out_in_the_documented_order() -> None:
    """1: b and c have the same score, and c has the lower surprise."""
    found = easiest_first(OVERLAP, SURPRISE)
    assert found["group"] == ["a", "c", "b", "d"]
    assert found["score"] == pytest.approx([2 / 61, 1 / 63 + 1 / 62, 1 / 62 + 1 / 63, 2 / 64], abs=1e-12)
    assert found["overlap_rank"] == [1, 3, 2, 4]
    assert found["surprise_rank"] == [1, 2, 3, 4]
    assert (found["overlap"], found["surprise"]) == ([0.9, 0.5, 0.5, 0.1], [1.0, 2.0, 3.0, 4.0])
    backwards = easiest_first(dict(reversed(OVERLAP.items())), dict(reversed(SURPRISE.items())))
    assert backwards == found
    even = easiest_first({"a": 0.1, "b": 0.9}, {"a": 1.0, "b": 1.0})
    assert (even["group"], even["surprise_rank"]) == (["b", "a"], [1, 2])  # equal surprise keeps the order by overlap


def test_more_overlap_or_less_surprise_never_comes_later() -> None:
    """2."""
    order = easiest_first(UNTIED_OVERLAP, UNTIED_SURPRISE)["group"]
    for name in UNTIED_OVERLAP:
        for better in (
            easiest_first({**UNTIED_OVERLAP, name: 0.95}, UNTIED_SURPRISE),
            easiest_first(UNTIED_OVERLAP, {**UNTIED_SURPRISE, name: 0.1}),
        ):
            assert better["group"].index(name) <= order.index(name)


def test_only_ranks_count() -> None:
    """3."""
    squared = {name: value**2 for name, value in UNTIED_OVERLAP.items()}
    tenfold = {name: 10 * value for name, value in UNTIED_SURPRISE.items()}
    assert easiest_first(squared, tenfold)["score"] == easiest_first(UNTIED_OVERLAP, UNTIED_SURPRISE)["score"]


def test_one_signal_alone_is_a_ranking_by_it_and_ties_follow_the_ids() -> None:
    by_overlap = easiest_first(OVERLAP, SURPRISE, "overlap", 60)
    assert by_overlap["group"] == ["a", "b", "c", "d"]  # b and c tie, and surprise has no say
    assert by_overlap["score"] == pytest.approx([1 / 61, 1 / 62, 1 / 63, 1 / 64])
    even = dict.fromkeys(OVERLAP, 1.0)
    assert easiest_first(OVERLAP, even, "surprise")["group"] == ["a", "b", "c", "d"]
    assert easiest_first(dict.fromkeys(OVERLAP, 0.0), SURPRISE, "surprise")["group"] == ["a", "c", "b", "d"]


def test_the_constant_decides_how_much_a_first_place_counts() -> None:
    """Ranks (1, 4) against (2, 2): without a constant 1 + 1/4 wins over 1, with 60 it does not."""
    overlap = {"first": 0.9, "second": 0.8, "x": 0.7, "y": 0.6}
    surprise = {"first": 4.0, "second": 2.0, "x": 1.0, "y": 3.0}
    assert easiest_first(overlap, surprise, constant=0)["group"].index("first") == 1  # behind x: 1 + 1/3
    assert easiest_first(overlap, surprise, constant=0)["group"].index("second") == 2
    order = easiest_first(overlap, surprise, constant=60)["group"]
    assert order.index("second") < order.index("first")


def test_a_signal_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 4 groups are no numbers, such as 'b'"):
        easiest_first(OVERLAP, {**SURPRISE, "b": float("nan")})


# --- overlap and surprise --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "reference", "expected"),
    [("4+3=7", "4+3=7", 1.0), ("", "7", 0.0), ("7", "", 0.0), ("abc", "xyz", 0.0), ("axbycz", "abc", 2 * 3 / 9)],
)
def test_overlap_of_signs_by_hand(said: str, reference: str, expected: float) -> None:
    assert rouge_of_signs(said, reference) == pytest.approx(expected)


def test_overlap_of_signs_equals_the_definition_of_a_common_subsequence() -> None:
    @cache
    def longest(a: str, b: str) -> int:
        if not a or not b:
            return 0
        return longest(a[1:], b[1:]) + 1 if a[0] == b[0] else max(longest(a[1:], b), longest(a, b[1:]))

    for a, b in (("3+4=7;7-5=2", "7-5=2;4+3=7"), ("1+1=2", "2+1=3;3+1=4"), ("998877", "789")):
        assert rouge_of_signs(a, b) == pytest.approx(2 * longest(a, b) / (len(a) + len(b)))


@pytest.mark.parametrize(
    ("said", "reference", "expected"),
    [
        ("The cats are running.", "the cat runs", 2 * 3 / 7),  # 2 / 7 without the stemmer
        ("-3 + 4", "3 4", 1.0),  # signs are no words
        ("", "a cat", 0.0),
        ("a cat", "", 0.0),
    ],
)
def test_overlap_of_words_is_that_of_the_package_with_its_stemmer(said: str, reference: str, expected: float) -> None:
    rouge = pytest.importorskip("rouge_score.rouge_scorer")
    theirs = rouge.RougeScorer(["rougeL"], use_stemmer=True).score(reference, said)["rougeL"].fmeasure
    assert rouge_of_words(said, reference) == theirs
    assert theirs == pytest.approx(expected)


def test_surprise_is_the_mean_over_the_text_and_leaves_eos_out() -> None:
    assert surprise_of((-1.0, -3.0, -50.0)) == 2.0
    assert surprise_of((-4.0,)) == 4.0  # nothing else is left of a target that was cut


def test_surprise_equals_cross_entropy_of_one_sequence_and_padding_does_not_matter() -> None:
    """7, in the engine's float32."""
    from torch.nn.functional import cross_entropy

    student = shared_student()
    short, long = example("s", "1+2=", "3;4"), example("l", "1+2+3+4+5=", "3;6;10;15 and some more")
    [row] = student.encoder.examples([short])
    logits = student.network(input_ids=torch.tensor([[*row.prompt, *row.target]])).logits[0]
    of_text = logits[len(row.prompt) - 1 : -2].float()  # the last one predicts EOS
    expected = float(cross_entropy(of_text, torch.tensor(row.target[:-1]), reduction="mean").detach())
    [alone] = student.target_log_probabilities([short])
    padded, _ = student.target_log_probabilities([short, long])
    assert surprise_of(alone) == pytest.approx(expected, abs=1e-5)
    assert surprise_of(padded) == pytest.approx(expected, abs=1e-5)


def test_greedy_decoding_is_sampling_at_temperature_0_01() -> None:
    """8: the released code samples at 0.01, which is greedy in all but name."""
    student = shared_student()
    prompts = [f"{i}+{i}=" for i in range(12)]
    greedy = student.generate([Request("reflect", prompt, "q", 8) for prompt in prompts])
    cold = student.generate([Request("reflect", prompt, "q", 8, temperature=0.01) for prompt in prompts])
    assert [reply.text for [reply] in greedy] == [reply.text for [reply] in cold]


# --- the pass over the examples --------------------------------------------------------------------------------------


def test_the_order_of_the_examples_changes_nothing() -> None:
    """4: everything is joined by the group, never by the position."""
    examples = [*sums(11), *(example(f"q{i}", f"{i}, why?", f"it is {i}") for i in range(11))]
    method = method_of(by_signs())
    tables = []
    for seed in range(3):
        shuffled = random.Random(seed).sample(examples, len(examples)) if seed else examples
        context = context_of(student_of(shared_student().network), method).for_axis("curriculum")
        [first, *_] = played(by_signs(), shuffled, context)
        rows = zip(*(first.memory[name] for name in ("group", "score", "overlap", "overlap_rank")), strict=True)
        tables.append(list(rows))
        assert {each.group for each in first.examples} == set(first.memory["group"][:2])
        assert [each for each in shuffled if each.group in groups_of(first)] == list(first.examples)
    assert tables[0] == tables[1] == tables[2]


def test_signals_of_a_group_are_means_over_its_examples_and_one_prompt_is_answered_once() -> None:
    examples = [
        example("q1", "a", "xxxx"),
        example("q1", "a", "xxyy"),
        example("q2", "b", "zz"),
        example("q3", "c", "x"),
    ]
    student = Scripted(lambda prompt: "xxxx", lambda each: [-float(len(each.target_text)), -2.0, -99.0])
    context = Small(student)
    [stage] = played(by_signs(partitions=3, kept=1), examples, context)
    table = dict(
        zip(stage.memory["group"], zip(stage.memory["overlap"], stage.memory["surprise"], strict=True), strict=True)
    )
    assert table["q1"] == pytest.approx(((1 + 0.5) / 2, 3.0))
    assert table["q2"] == pytest.approx([0.0, 2.0])
    assert student.asked == ["a", "b", "c"]
    assert context.notes == {"empty_references": 0, "reflected": 4, "empty_answers": 0}


def test_an_empty_answer_overlaps_nothing_and_an_empty_reference_is_left_out_and_counted() -> None:
    """12."""
    examples, context = graded(8)
    context.student.says = lambda prompt: "" if prompt == "0" else "x"
    blank = [example("q8", "8", ""), example("q9", "9", " \n"), example("q1", "1b", "")]
    stages = played(by_signs(), [*blank, *examples], context)
    memory = stages[0].memory
    assert set(memory["group"]) == {f"q{i}" for i in range(8)}
    assert memory["overlap"][memory["group"].index("q0")] == 0.0
    assert np.isfinite([*memory["overlap"], *memory["surprise"], *memory["score"]]).all()
    assert (context.notes["empty_references"], context.notes["empty_answers"]) == (3, 1)
    assert all(each.target_text.strip() for stage in stages for each in stage.examples)
    with pytest.raises(ValueError, match="no training example has a target text"):
        played(by_signs(), blank, context)


def test_an_overlap_of_words_that_would_be_0_everywhere_is_refused() -> None:
    pytest.importorskip("rouge_score")
    student = Scripted(lambda prompt: "猫", lambda each: [-1.0, -1.0])
    words = SelectiveReflection(partitions=2, kept=1)
    with pytest.raises(ValueError, match=r"none of the 4 targets has a word .*choose curriculum.overlap=signs"):
        played(words, [example(f"q{i}", "?", "猫") for i in range(4)], Small(student))
    some = Small(student)
    played(words, [example("q1", "?", "a cat"), *(example(f"q{i}", "?", "猫") for i in range(2, 5))], some)
    assert some.notes["references_without_words"] == 3
    signs = played(by_signs(partitions=2, kept=1), [example(f"q{i}", "?", "猫") for i in range(4)], Small(student))
    assert signs[0].memory["overlap"] == [1.0] * 4


def test_words_need_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("methods.selective_reflection.absence", lambda package: "is not installed")
    with pytest.raises(ValueError, match=r"rouge-score, which is not installed: .*or choose curriculum.overlap=signs"):
        SelectiveReflection()
    SelectiveReflection(overlap="signs")
    SelectiveReflection(order="random")
    SelectiveReflection(partitions=1, kept=1)  # these do not look at any text


def test_what_the_student_knows_fills_the_first_half() -> None:
    """13: half of the examples is what it was trained on, half is random signs."""
    from benchmark.student.fit import fit

    letters = np.random.default_rng(0)
    words = ["".join(letters.choice(list("abcdefghijklmnopqrstuvwxyz"), 4)) for _ in range(72)]
    copies = [example(f"q{2 * i}", f"copy {words[i]}", words[i]) for i in range(24)]
    noise = [example(f"q{2 * i + 1}", f"copy {words[24 + i]}", words[48 + i]) for i in range(24)]
    student, method = fresh_student(), method_of()
    optimization = optimization_of(max_steps=400, batch_size=24, learning_rate=1e-2)
    fit(student, copies, method, context_of(student, method), optimization, CPU)
    mixed = [each for pair in zip(copies, noise, strict=True) for each in pair]
    stages = played(by_signs(), mixed, context_of(student, method).for_axis("curriculum"))
    known = {each.group for each in copies}
    assert len(groups_of(stages[1])) == 24
    assert len(known & set(groups_of(stages[1]))) >= 0.95 * 24


def passes_of(student: Student, folder: Path, loss_settings: Mapping[str, float] | None = None) -> Any:
    """A context whose student saves its passes, as in a cell that trains."""
    state = SimpleNamespace(models=SimpleNamespace(student=student, assistant=None), phase="training")
    passes = PoolPasses(Journal.open(folder, "cell", print), cast(Any, Silent()), cast(Any, state))
    return Small(passes.student(Round(0, 1.0)), loss_settings or {})


def test_a_saved_pass_holds_for_its_weights_and_its_settings_and_for_every_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """14."""
    student, computed = student_of(shared_student().network, characters()), []
    for name in ("generate", "target_log_probabilities"):
        real = getattr(Student, name)

        def counting(self: Student, *arguments: Any, real: Any = real, name: str = name) -> Any:
            computed.append(name)
            return real(self, *arguments)

        monkeypatch.setattr(Student, name, counting)

    def first_stage(curriculum: SelectiveReflection, **loss: float) -> Stage:
        computed.clear()
        return played(curriculum, sums(8), passes_of(student, tmp_path, loss))[0]

    before = first_stage(by_signs())
    assert computed == ["generate", "target_log_probabilities"]
    assert first_stage(by_signs(), temperature=2.0).memory == before.memory
    assert computed == []
    assert first_stage(by_signs(signals="surprise")).memory != before.memory
    assert computed == []  # an ablation reads the same pass
    first_stage(by_signs(max_new_tokens=3))
    assert computed == ["generate"]
    with torch.no_grad():
        next(iter(student.network.parameters())).mul_(1.25)
    try:
        first_stage(by_signs())
        assert computed == ["generate", "target_log_probabilities"]
    finally:
        with torch.no_grad():
            next(iter(student.network.parameters())).div_(1.25)
