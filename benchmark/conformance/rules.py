"""What every method must keep to, on every dataset that it claims: one function for each rule, which raises `Broken`.

A method meets a dataset, or the plan refuses the pair for something that the method requires. Where they meet, a
miniature cell obeys its budgets, keeps off gold that it did not declare, keeps off test, gives the same result twice,
changes with its seed, and resumes. A method that breaks one of these rules has a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from benchmark.cell.cell import Cell
from benchmark.components import canonical
from benchmark.conformance.candidate import Candidate
from benchmark.conformance.miniature import QUESTIONS
from benchmark.conformance.observed import (
    Observed,
    another_question,
    fingerprint,
    nonsense_gold,
    nonsense_gold_in_every_other_row,
    observe,
    observe_after_death,
)
from benchmark.contract import ExplainingFormat, Requirements
from benchmark.planning.worst_case import annotation_context
from benchmark.student.frozen import NoAssistant
from benchmark.student.load import load_student
from benchmark.tasks.dataset import Splits
from benchmark.teachers.assistants import RecordedAssistant, SimulatedAssistant
from benchmark.teachers.ledger import Budget

STEPS_OF_DEATH = (1, 5)
"""The optimiser steps in which a cell is killed, to see it resume."""


class Broken(Exception):
    """A method breaks a rule; the message is one line that says how."""


Rule = Callable[[Candidate], None]


def _must(holds: bool, why: str) -> None:
    if not holds:
        raise Broken(why)


def _must_be_alike(seen: Observed, other: Observed, why: str) -> None:
    _must_lack(other.traces.unlike(seen.traces), why)


def _must_lack(moved: set[str], why: str) -> None:
    _must(not moved, f"{why}: {', '.join(sorted(moved))} moved")


# --- which datasets a method claims ----------------------------------------------------------------------------------


class Reason(NamedTuple):
    """When a requirement is not met, and the words of the plan that say so."""

    unmet: Callable[[Requirements, Cell, Splits], bool]
    words: str


def _lacks_assistant(cell: Cell) -> bool:
    return isinstance(cell.assistant, NoAssistant)


def _lacks_distributions(needs: Requirements, cell: Cell) -> bool:
    """A miniature cell has a distribution teacher where its method wants one; its assistant writes text only."""
    given = {"teacher"} if cell.own_distribution_teacher is not None else set()
    return bool(needs.distributions - given)


DRAWING_ROLE = "few_shot_cot"
"""The role in which the simulated teacher of a miniature cell errs at random; in others it makes no mistake."""
REASONS: Mapping[str, Reason] = {
    "gold": Reason(lambda needs, cell, splits: False, "every dataset has gold answers"),
    "gold_rationale": Reason(
        lambda needs, cell, splits: needs.gold_rationale and not any(row.rationale for row in splits.pool),
        "it needs human rationales, and the dataset has none",
    ),
    "choices": Reason(
        lambda needs, cell, splits: needs.choices and not all(row.choices for row in splits.pool),
        "it works for multiple-choice questions only",
    ),
    "teacher_roles": Reason(
        lambda needs, cell, splits: any(
            needs.teacher_roles - set(teacher.roles or needs.teacher_roles) for teacher in cell.teachers.values()
        ),
        "it asks the teacher in the role",
    ),
    "student_roles": Reason(
        lambda needs, cell, splits: bool(needs.student_roles - cell.method.format.roles),
        "it asks the student in the role",
    ),
    "annotation_kinds": Reason(
        lambda needs, cell, splits: bool(needs.annotation_kinds - cell.method.annotation.kinds),
        "it needs annotations of kind",
    ),
    "teachers": Reason(lambda needs, cell, splits: needs.teachers > len(cell.teachers), "it asks"),
    "assistant": Reason(
        lambda needs, cell, splits: cell.uses_assistant and _lacks_assistant(cell), "it needs an assistant"
    ),
    "assistant_verdicts": Reason(lambda needs, cell, splits: False, "it asks the assistant how probable a verdict is"),
    "assistant_likelihoods": Reason(
        lambda needs, cell, splits: (
            needs.assistant_likelihoods and isinstance(cell.used_assistant, SimulatedAssistant | RecordedAssistant)
        ),
        "it asks the assistant how probable a text is",
    ),
    "assistant_roles": Reason(
        lambda needs, cell, splits: False, "a template that is missing is a mistake of the method"
    ),
    "teacher_probabilities": Reason(
        lambda needs, cell, splits: (
            needs.teacher_probabilities
            and not all(teacher.capabilities.shows_probabilities for teacher in cell.teachers.values())
        ),
        "it reads the teacher's probabilities",
    ),
    "distributions": Reason(lambda needs, cell, splits: _lacks_distributions(needs, cell), "its loss compares"),
    "explanations": Reason(
        lambda needs, cell, splits: needs.explanations and not isinstance(cell.method.format, ExplainingFormat),
        "it asks the student for explanations",
    ),
}
"""Per requirement the only reason for which the plan may refuse a method a dataset."""


def claims_or_refuses(tried: Candidate) -> None:
    """The plan accepts the method on the dataset, or refuses it for what the method requires."""
    cell, refusal = tried.cell, tried.refusal
    needs, splits = cell.needs, cell.dataset.load()
    unmet = [reason.words for reason in REASONS.values() if cell.method.trains() and reason.unmet(needs, cell, splits)]
    if refusal is None:
        _must(not unmet, f"it is accepted, although {'; '.join(unmet)}")
        return
    said, _, why = str(refusal).partition(": ")
    _must(said == f"{cell.method.name} on {cell.dataset.name}", f"it is refused, and not by the plan: {refusal}")
    _must(bool(unmet), f"it is refused for nothing that the method requires: {refusal}")
    for reason in why.split("; it "):
        known = f"it {reason.removeprefix('it ')}".startswith(tuple(unmet))
        _must(known, f"it is refused for more than what it requires: {reason}")


# --- budgets ---------------------------------------------------------------------------------------------------------


def keeps_a_budget_of_questions(tried: Candidate) -> None:
    """It buys at most the budgeted questions, and each of them is booked."""
    seen = tried.run()
    if not seen.cell.method.trains():
        _must(seen.result["rounds"] == [] and seen.traces.annotations == [], "it trains nothing and buys all the same")
        return
    annotated = seen.result["rounds"][-1]["annotated"]
    questions = [entry["questions"] for entry in seen.charged.values()]  # of teachers and of people, often the same
    asked = len({request.question_id for request, _ in seen.watch.replies})
    _must(0 < annotated <= QUESTIONS, f"it annotated {annotated} questions; the budget is {QUESTIONS}")
    _must(len(seen.bought()) <= annotated, f"it wrote about {len(seen.bought())} questions and booked {annotated}")
    _must(asked <= annotated, f"it asked the teacher about {asked} questions and booked {annotated}")
    booked = f"{annotated} questions were bought, and the ledger's lines hold {questions}"
    _must(max(questions) <= annotated <= sum(questions), booked)


def keeps_a_budget_of_calls_and_pays_for_every_reply(tried: Candidate) -> None:
    """Every reply is charged, and a budget of calls is never exceeded."""
    cell = tried.cell
    splits = cell.dataset.load()
    context = annotation_context(cell, splits)
    planned = [cell.method.annotation.most_requests(row.without_gold(), context) for row in splits.pool]
    budget = 8 * max(sum(request.samples for request in requests) for requests in planned) + 3
    of_calls = observe(replace(cell, budget=Budget(questions=None, calls=budget)))
    for seen in (tried.run(), of_calls):
        given, charged = len(set(seen.watch.replies)), seen.charged_calls
        _must(charged == given, f"the teacher gave {given} replies, and {charged:g} calls were charged")
        declared = bool(cell.needs.teacher_roles)
        _must(bool(given) == declared, f"it declares teacher roles: {declared}; the teacher gave {given} replies")
    _must(of_calls.charged_calls <= budget, f"it charged {of_calls.charged_calls:g} calls; the budget is {budget}")


# --- gold ------------------------------------------------------------------------------------------------------------


def declares_gold_if_it_reads_gold(tried: Candidate) -> None:
    """Other gold answers in the pool change a method that declares them, and no other."""
    seen = tried.run()
    declared = seen.result["uses_gold"]
    _must(declared == seen.cell.needs.gold, "the record and its requirements differ about gold")
    if declared:
        half = observe(tried.cell, pool=nonsense_gold_in_every_other_row)
        _must("weights" in half.traces.unlike(seen.traces), "it declares gold answers and does not use them")
    else:
        nonsense = observe(tried.cell, pool=nonsense_gold)
        _must_be_alike(seen, nonsense, "it reads gold answers without declaring it; with other gold answers")


# --- test ------------------------------------------------------------------------------------------------------------


def does_not_feel_the_gold_of_test(tried: Candidate) -> None:
    """Other gold answers in the test split change nothing."""
    _must_be_alike(tried.run(), observe(tried.cell, test=nonsense_gold), "with other gold answers of the test split")


def does_not_feel_the_questions_of_test(tried: Candidate) -> None:
    """Other test questions change the answers to them, and nothing else."""
    others = observe(tried.cell, test=another_question)
    _must_lack(others.traces.unlike(tried.run().traces) - {"predictions"}, "with other test questions")


def opens_test_once_and_last(tried: Candidate) -> None:
    """The test split is opened once, when weights and annotations are final."""
    seen, opened = tried.run(), tried.run().watch.state_at_opening
    _must(len(opened) == 1, f"the test split was opened {len(opened)} times")
    final = [(seen.traces.weights, len(seen.traces.annotations))]
    _must(opened == final, "the test split was opened before weights and annotations were final")


# --- the same result twice -------------------------------------------------------------------------------------------


def gives_the_same_after_another_cell(tried: Candidate) -> None:
    """A part keeps nothing between cells of one process."""
    seen, again = tried.run(), tried.again()
    _must_be_alike(seen, again, "after another cell in the same process")
    _must(again.watch.replies == seen.watch.replies, "after another cell it asks the teacher for other replies")


def gives_the_same_in_a_new_process(tried: Candidate) -> None:
    """Neither the hash seed nor the order of cells changes a result. `Candidate.elsewhere` must be set."""
    assert tried.elsewhere is not None
    _must_lack(tried.elsewhere.unlike(tried.run().traces), "in a new process, with another hash seed")


# --- seeds -----------------------------------------------------------------------------------------------------------


def changes_with_its_seed(tried: Candidate) -> None:
    """Another seed gives another student, and training moves its weights."""
    plain = tried.cell
    seen, other = tried.run(), observe(replace(plain, seed=plain.seed + 1))
    alike = {"weights", "log_probabilities"} - other.traces.unlike(seen.traces)
    _must(not alike, f"with another seed {', '.join(sorted(alike))} are the same")
    for observed in (seen, other):
        untouched = observed.traces.weights == initial_weights(observed.cell)
        _must(untouched != observed.cell.method.trains(), "training leaves the initial weights as they were")


def changes_with_the_data_seed_what_is_bought_at_random(tried: Candidate) -> None:
    """A teacher that draws from it gives other replies; then, and only then, may anything else change."""
    plain, moved = tried.cell, tried.moved("data_seed=123")
    seen, other = tried.run(), observe(moved)
    asks = any(request.role == DRAWING_ROLE for request, _ in seen.watch.replies)
    if asks and canonical(plain.teacher) != canonical(moved.teacher):
        same = "with another data_seed the teacher draws other replies, and the annotations are the same"
        _must("annotations" in other.traces.unlike(seen.traces), same)
    elif not seen.watch.random_purchases:
        _must_be_alike(seen, other, "with another data_seed, from which nothing was drawn")


def initial_weights(cell: Cell) -> str:
    """A hash of the weights before any training."""
    return fingerprint(load_student(cell.student, cell.seed, cell.trainer, cell.optimization.precision))


# --- resume ----------------------------------------------------------------------------------------------------------


def resumes(tried: Candidate, at_step: int) -> None:
    """A cell that died in that optimiser step goes on, ends the same, and pays for nothing twice."""
    seen, resumed = tried.run(), observe_after_death(tried.cell, at_step)
    _must_be_alike(seen, resumed, f"after a death in step {at_step}")
    _must(resumed.watch.replies == seen.watch.replies, "the teacher was asked again for what was paid for")
    for name in ("rounds", "counters"):
        _must(resumed.result[name] == seen.result[name], f"after a death in step {at_step} the record's {name} differ")


def resumes_after_its_first_step(tried: Candidate) -> None:
    """As `resumes`, at step 1."""
    resumes(tried, STEPS_OF_DEATH[0])


def resumes_in_the_middle(tried: Candidate) -> None:
    """As `resumes`, at step 5."""
    resumes(tried, STEPS_OF_DEATH[1])


RULES: Mapping[str, Rule] = {
    "keeps a budget of questions": keeps_a_budget_of_questions,
    "keeps a budget of calls, pays for every reply": keeps_a_budget_of_calls_and_pays_for_every_reply,
    "declares gold if it reads gold": declares_gold_if_it_reads_gold,
    "does not feel the gold answers of test": does_not_feel_the_gold_of_test,
    "does not feel the questions of test": does_not_feel_the_questions_of_test,
    "opens test once, and last": opens_test_once_and_last,
    "gives the same after another cell": gives_the_same_after_another_cell,
    "gives the same in a new process": gives_the_same_in_a_new_process,
    "changes with its seed": changes_with_its_seed,
    "changes with data_seed only what is bought at random": changes_with_the_data_seed_what_is_bought_at_random,
    "resumes after a death in its first step": resumes_after_its_first_step,
    "resumes after a death in the middle": resumes_in_the_middle,
}
"""What a report calls a rule -> the rule, for a dataset that the method claims."""
