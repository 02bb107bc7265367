"""Several sampled answers per question, and the scores of their majority and of the best of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmark.contract import Format, Task
from benchmark.evaluation.answer_path import follow, last_text
from benchmark.student.student import Student
from benchmark.tasks.thinking import without_trace
from benchmark.types import Example, Reply, SampledAnswer


@dataclass(frozen=True)
class SampledAnswers:
    """Sampled answers to a set of examples."""

    per_example: tuple[tuple[SampledAnswer, ...], ...]
    """For each example, in order, the same number of answers."""

    @property
    def rows(self) -> tuple[SampledAnswer, ...]:
        """All answers, example by example."""
        return tuple(answer for answers in self.per_example for answer in answers)

    @property
    def majority_at(self) -> dict[str, float]:
        """For each m, the share of examples, in [0, 1], for which the majority of the first m answers is right."""
        return self._by_size(lambda answers, m: float(majority_is_correct(answers[:m])))

    @property
    def pass_at(self) -> dict[str, float]:
        """For each m, the expected share of examples, in [0, 1], with a right answer among m of their answers."""
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
    """Samples answers to all examples along the format's answer path.

    A sampled reply depends only on the student's seed, the request and the number of the sample.

    Args:
        student: the student that writes.
        examples: the examples to answer.
        form: the format, which gives the answer path and makes the requests.
        task: how a question is shown and an answer read.
        samples: the number of answers per example, at least 1.
        temperature: the sampling temperature, above 0.
        max_new_tokens: the cap in tokens for requests that set none; None (the default) leaves it to the student.
        advance: called after each batch with the number of finished generations; does nothing by default.
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
    answer = task.parse(example.without_gold(), form.read(without_trace(text))[1])
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
    """The numbers m for which scores are computed: the powers of two up to `samples`, and `samples` itself."""
    return sorted({samples} | {2**i for i in range(samples.bit_length())})


def majority_is_correct(answers: Iterable[SampledAnswer]) -> bool:
    """Whether the most frequent readable answer is right; of equally frequent answers the first one counts.

    Answers are compared as parsed, so that equal numbers, or equal options, have equal texts. False if no answer is
    readable.
    """
    readable = [answer for answer in answers if answer.answer is not None]
    votes = Counter(answer.answer for answer in readable)
    elected = max(votes, key=votes.__getitem__, default=None)  # of equals the first that was counted
    return any(answer.correct for answer in readable if answer.answer == elected)


def pass_probability(drawn: int, correct: int, m: int) -> float:
    """The probability that m answers, picked at random from `drawn` with `correct` right ones, include a right one.

    This is pass@k with k = m (Chen et al., 2021).
    """
    return 1 - math.comb(drawn - correct, m) / math.comb(drawn, m)
