"""The student explains test questions, after the test and apart from it, along the format's explanation path."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmark.contract import ExplainingFormat, Task
from benchmark.evaluation.answer_path import follow, last_text
from benchmark.evaluation.explanation_text import count_named, names, sentences, words
from benchmark.student.student import Student
from benchmark.tasks.rouge import rouge_absence, rouge_l
from benchmark.tasks.thinking import without_trace
from benchmark.types import Example, Explanation, Prediction, Reply


def explain(
    student: Student,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    form: ExplainingFormat,
    task: Task,
    max_new_tokens: int | None = None,
    advance: Callable[[int], None] = lambda rows: None,
) -> list[Explanation]:
    """One explanation per example, written greedily.

    Where the student explained itself in the test already (the explanation path is the answer path, and it wrote its
    answers), its text of the test is taken, and nothing is written.

    Args:
        student: the student that explains.
        examples: the test questions.
        predictions: the student's answers to them in the test, one by one.
        form: the format, which gives the explanation path and makes the requests.
        task: how a question is shown.
        max_new_tokens: the cap in tokens for requests that set none; None (the default) leaves it to the student.
        advance: called after each batch with the number of finished generations.
    """
    if form.explanation_path == form.answer_path and all(each.option_scores is None for each in predictions):
        turns = [[_said_in_the_test(prediction)] for prediction in predictions]
        advance(len(examples))
    else:
        questions = [example.without_gold() for example in examples]
        turns = follow(form.explanation_path, student, questions, form, task, max_new_tokens, advance=advance)
    has_rouge = rouge_absence() is None
    return [_explanation(*row, form, task, has_rouge) for row in zip(examples, predictions, turns, strict=True)]


def rouge_warning(examples: Sequence[Example]) -> str | None:
    """A line for the user where ROUGE-L will be missing though people explained these questions; None otherwise."""
    why = rouge_absence()
    if why is None or all(example.rationale is None for example in examples):
        return None
    return f"warning: people's explanations are not compared with the student's, as rouge_l needs {why}"


def _said_in_the_test(prediction: Prediction) -> Reply:
    return Reply(prediction.text, finish="length" if prediction.truncated else "stop")


def _explanation(
    example: Example,
    prediction: Prediction,
    replies: Sequence[Reply],
    form: ExplainingFormat,
    task: Task,
    has_rouge: bool,
) -> Explanation:
    said = last_text(replies[:-1])
    request = form.request(example.without_gold(), form.explanation_path[-1], task, said)
    text = form.read_explanation(without_trace(replies[-1].text)).strip()
    wrong = [choice for choice in example.choices or () if choice != example.answer]
    return Explanation(
        example_id=example.id,
        question=example.question,
        context=example.context,
        choices=example.choices,
        prompt=request.prompt,
        text=replies[-1].text,
        explanation=text,
        answer=prediction.answer,
        correct=prediction.correct,
        truncated=any(reply.finish == "length" for reply in replies),
        prompt_tokens=sum(reply.prompt_tokens for reply in replies),
        completion_tokens=sum(reply.completion_tokens for reply in replies),
        words=words(text),
        sentences=sentences(text),
        wrong_choices_named=count_named(text, wrong) if example.choices else None,
        names_own_answer=None if prediction.answer is None else names(text, prediction.answer),
        rouge_l=None if example.rationale is None or not has_rouge else rouge_l(example.rationale, text),
    )
