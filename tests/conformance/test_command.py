"""`python -m benchmark check-method NAME`: a report on any preset, one line a check, and nothing kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.conformance.rules import RULES

KEEPS_STATE = """
from dataclasses import dataclass

from benchmark.axes.selection import RandomSelection
from benchmark.types import Pick

SEEN = []


@dataclass(frozen=True)
class Remembers(RandomSelection):
    '''Ranks in another order every time.'''

    def rank(self, pool, context):
        SEEN.append(context.round.index)
        turn = len(SEEN) % len(pool)
        return [Pick(question) for question in (*pool[turn:], *pool[:turn])]
"""
READS_GOLD = """
from dataclasses import dataclass

from benchmark.axes.selection import RandomSelection
from benchmark.tasks.chain_sum import solve


@dataclass(frozen=True)
class Solves(RandomSelection):
    '''Ranks by the answer that it works out with the engine's own solver.'''

    def rank(self, pool, context):
        return sorted(super().rank(pool, context), key=lambda pick: solve(pick.question))
"""
ON_ONE = "dataset=chain_sum"


def preset(name: str, target: str) -> dict[str, str]:
    return {
        f"selection/{name}": f"_target_: {target}\n",
        f"method/{name}": f"# @package _global_\ndefaults:\n  - override /selection: {name}\nmethod: {name}\n",
    }


@pytest.fixture
def check(command: Callable[..., Any]) -> Callable[..., Any]:
    """Runs `check-method` in this process, in an empty folder."""
    return lambda *arguments: command("check-method", *arguments)


def lines_of(out: str, said: str) -> list[str]:
    """The lines of a report that say `ok` or `failed`, without that word."""
    return [line.removeprefix(said).strip() for line in out.splitlines() if line.startswith(f"{said} ")]


def test_a_method_that_keeps_the_contract_has_a_line_for_every_rule(check: Callable[..., Any], tmp_path: Path) -> None:
    done = check("answer_only", ON_ONE)
    assert (done.status, done.err) == (0, "")
    assert lines_of(done.out, "failed") == []
    ok = lines_of(done.out, "ok")
    assert {f"chain_sum: {rule}" for rule in RULES} <= set(ok)
    assert len(ok) == len(RULES) + 3
    assert done.out.splitlines()[-1] == f"method=answer_only: {len(ok)} checks ok, 0 failed"
    assert list(tmp_path.iterdir()) == []


def test_a_preset_outside_the_repository_that_keeps_state_fails_and_the_report_says_where(
    check: Callable[..., Any], plugin: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(*_: Any) -> None:
        raise RuntimeError("no second process here")

    monkeypatch.setattr("benchmark.conformance.command.traces_of_a_new_process", unable)
    searched = plugin({"remembering.py": KEEPS_STATE}, preset("remembers", "remembering.Remembers"))
    done = check("remembers", searched, ON_ONE)
    assert done.status == 1
    [again] = [line for line in lines_of(done.out, "failed") if "after another cell" in line]
    assert again.startswith("chain_sum: gives the same after another cell: after another cell in the same process: ")
    assert again.endswith("moved")
    assert "weights" in again
    assert "gives the same in a new process: it failed there: no second process here" in lines_of(done.out, "failed")
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_a_preset_that_cannot_run_has_one_line_that_says_why(
    check: Callable[..., Any], plugin: Callable[..., str]
) -> None:
    searched = plugin({"solving.py": READS_GOLD}, preset("solves", "solving.Solves"))
    done = check("solves", searched, ON_ONE)
    assert done.status == 1
    [line] = lines_of(done.out, "failed")
    assert line.startswith("chain_sum: runs: LeakError: the selection part solved a question without declaring it; ")


def test_a_dataset_that_the_plan_refuses_is_said_with_the_reason(check: Callable[..., Any]) -> None:
    done = check("human_rationale", "dataset=svamp")
    assert done.status == 1
    refused, none = done.out.splitlines()[:2]
    assert refused.startswith("ok      svamp: is claimed, or refused for what the method requires: refused: ")
    assert "it needs human rationales" in refused
    assert none.startswith("failed  claims at least one dataset: the plan refuses every dataset that was tried")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("answer_onyl",), "method=answer_onyl: there is no such option; did you mean 'answer_only'?"),
        ((), "check-method needs the name of a preset: python -m benchmark check-method NAME"),
        (("method=answer_only",), "check-method needs the name of a preset: "),
        (("answer_only", "seed=3"), "check-method sets seed itself; leave seed=3 out"),
        (("answer_only", "dataset=chain_smu"), "dataset=chain_smu: check-method tries "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_input_is_one_line(check: Callable[..., Any], arguments: tuple[str, ...], complaint: str) -> None:
    done = check(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.complaint.startswith(complaint)


def test_the_help_names_the_command(command: Callable[..., Any]) -> None:
    assert "python -m benchmark check-method NAME" in command("--help").out


def test_an_interrupted_check_says_that_it_keeps_nothing(
    check: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.conformance.command.check_method", stopped)
    done = check("answer_only")
    assert (done.status, done.err) == (130, "interrupted; checks keep nothing, and the same command begins anew\n")
