"""Several answers to one question: drawing them, and what a majority of them or the best of them would score."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmark.contract import Format, Task
from benchmark.evaluation.answer_path import follow, last_text
from benchmark.student.student import Student
from benchmark.types import Example, Reply, SampledAnswer


@dataclass(frozen=True)
class SampledAnswers:
    """Equally many answers per example, in the order of the examples."""

    per_example: tuple[tuple[SampledAnswer, ...], ...]

    @property
    def rows(self) -> tuple[SampledAnswer, ...]:
        """All answers, those of an example together."""
        return tuple(answer for answers in self.per_example for answer in answers)

    @property
    def majority_at(self) -> dict[str, float]:
        """The share of examples that a majority of the first m answers gets right, by m."""
        return self._by_size(lambda answers, m: float(majority_is_correct(answers[:m])))

    @property
    def pass_at(self) -> dict[str, float]:
        """The expected share of examples with a right answer among m of theirs, by m."""
        return self._by_size(lambda answers, m: pass_probability(len(answers), sum(a.correct for a in answers), m))

    def _by_size(self, value: Callable[[Sequence[SampledAnswer], int], float]) -> dict[str, float]:
        return {
            str(m): math.fsum(value(answers, m) for answers in self.per_example) / len(self.per_example)
            for m in sizes(len(self.per_example[0]))
        }


def draw(
    student: Student,
    examples: Sequence[Example],
    form: Format,
    task: Task,
    samples: int,
    temperature: float,
    max_new_tokens: int | None = None,
    advance: Callable[[int], None] = lambda rows: None,
) -> SampledAnswers:
    """`samples` walks along the answer path per example, every turn of each drawn anew.

    A draw depends on the student's seed, its request and its number alone. `advance` is told how many generations each
    batch finished.
    """
    questions = [example.without_gold() for example in examples]
    columns = []
    for sample in range(samples):
        key = f"evaluation sample {sample}"
        turns = follow(form.answer_path, student, questions, form, task, max_new_tokens, temperature, key, advance)
        columns.append([_read(*row, sample, form, task) for row in zip(examples, turns, strict=True)])
    return SampledAnswers(tuple(zip(*columns, strict=True)))


def _read(example: Example, replies: Sequence[Reply], sample: int, form: Format, task: Task) -> SampledAnswer:
    text = last_text(replies)
    answer = task.parse(example.without_gold(), form.read(text)[1])
    return SampledAnswer(
        example_id=example.id,
        sample=sample,
        text=text,
        answer=answer,
        correct=task.is_correct(example, answer),
        truncated=any(reply.finish == "length" for reply in replies),
        completion_tokens=sum(reply.completion_tokens for reply in replies),
    )


def sizes(samples: int) -> list[int]:
    """The powers of two up to the number of samples, and that number."""
    return sorted({samples} | {2**i for i in range(samples.bit_length())})


def majority_is_correct(answers: Iterable[SampledAnswer]) -> bool:
    """Whether the most frequent of the readable answers is right; of equally frequent ones the first decides.

    Answers are compared as parsed: a number, like an option, is then written in one way only.
    """
    readable = [answer for answer in answers if answer.answer is not None]
    votes = Counter(answer.answer for answer in readable)
    elected = max(votes, key=votes.__getitem__, default=None)  # of equals the first that was counted
    return any(answer.correct for answer in readable if answer.answer == elected)


def pass_probability(drawn: int, correct: int, m: int) -> float:
    """The share of all choices of m of the drawn answers that hold a correct one (Chen et al. 2021)."""
    return 1 - math.comb(drawn - correct, m) / math.comb(drawn, m)
