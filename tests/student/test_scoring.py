"""Log-probabilities of targets under the student."""

from __future__ import annotations

import pytest
import torch

from benchmark.types import Request, Span, TrainingExample
from tests.student.student_parts import NETWORKS, characters, example, shared_student, slow_nats, student_of, sums


def rows() -> list[TrainingExample]:
    """Unequal lengths, groups of several, spans and weights that must not matter, and rows out of order by length."""
    return [
        example("g0", "a rather long prompt", "short"),
        example("g1", "1+1=", Span("2", weight=0.0), Span(" of course", weight=-1.0), weight=0.5),
        example("g0", "b", "a target that is longer than its prompt", task="rationale"),
        example("g2", "", ""),
        *sums(5),
    ]


@pytest.mark.parametrize("kind", NETWORKS)
def test_log_probabilities_are_those_of_single_unpadded_sequences_eos_last(kind: str) -> None:
    student = shared_student(kind)
    encoded = student.encoder.examples(rows())
    for row, found in zip(encoded, student.target_log_probabilities(rows()), strict=True):
        expected = -torch.stack(slow_nats(student.network, row))
        assert len(found) == len(row.target)
        assert row.target[-1] == student.tokenizer.eos_token_id
        assert torch.allclose(torch.tensor(found), expected, rtol=1e-4, atol=1e-5)


def test_probabilities_of_all_continuations_by_one_token_sum_to_one() -> None:
    """Scores of `x` before EOS, over every x, are one distribution together with the rest of the vocabulary."""
    student = shared_student()
    letters = [example("g", "which?", chr(code)) for code in range(32, 127)]
    first = torch.tensor([scores[0] for scores in student.target_log_probabilities(letters)]).exp().sum()
    [eos_first] = student.target_log_probabilities([example("g", "which?", "")])
    [newline] = student.target_log_probabilities([example("g", "which?", "\n")])
    others = [student.tokenizer.convert_tokens_to_ids(name) for name in ("<pad>", "<bos>", "<unk>")]
    [ids] = student.encoder.prompts(["which?"])
    logits = student.network(input_ids=torch.tensor([ids])).logits[0, -1].float()
    special = torch.softmax(logits, -1)[others].sum()
    whole = first + torch.tensor([eos_first[0], newline[0]]).exp().sum() + special
    assert whole.item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_log_probabilities_do_not_depend_on_batch_size_or_order(batch_size: int) -> None:
    student = shared_student()
    expected = student.target_log_probabilities(rows())
    other = student_of(student.network, student.tokenizer, batch_size=batch_size)
    for found in (other.target_log_probabilities(rows()), other.target_log_probabilities(rows()[::-1])[::-1]):
        for one, two in zip(found, expected, strict=True):
            assert one == pytest.approx(two, rel=1e-4, abs=1e-5)


def test_equal_examples_all_get_their_scores() -> None:
    student = shared_student()
    one, two = sums(2)
    copied = example(one.group, one.prompt, *one.target)
    first, second, third = student.target_log_probabilities([one, two, copied])
    assert first == pytest.approx(third)
    assert len(second) == 2


def test_the_same_object_given_twice_gets_its_scores_twice() -> None:
    one, two = sums(2)
    first, second, third = shared_student().target_log_probabilities([one, two, one])
    assert first == pytest.approx(third)
    assert len(first) == len(second) == 2


def test_no_examples_give_no_scores() -> None:
    assert shared_student().target_log_probabilities([]) == []


def test_scores_are_those_of_greedy_generation() -> None:
    """The greedy text has, at each of its tokens, the highest probability of any single character."""
    student = student_of(shared_student().network, characters(), max_new_tokens=4)
    [[reply]] = student.generate([Request("answer", "go", "q")])
    [best] = student.target_log_probabilities([example("g", "go", reply.text)])
    rivals = [example("g", "go", chr(code)) for code in range(32, 127)]
    assert best[0] == pytest.approx(max(scores[0] for scores in student.target_log_probabilities(rivals)))


@pytest.mark.parametrize("training", [True, False])
def test_scoring_leaves_mode_and_gradients_as_they_were(training: bool) -> None:
    student = shared_student()
    student.network.train(training)
    try:
        student.target_log_probabilities(sums(2))
        assert student.network.training is training
        assert all(weight.grad is None for weight in student.network.parameters())
    finally:
        student.network.eval()
