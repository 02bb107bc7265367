"""A choice inside of a choice (`loss/data_policy=on_policy`): its label, sweeps over it, its reference, its errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.cell.identity import cell_id

Run = Callable[..., Any]

PARTS = """
    from dataclasses import dataclass, field
    from benchmark.axes.data_policy import FixedData
    from benchmark.axes.loss import CrossEntropy
    from benchmark.axes.selection import RandomSelection

    @dataclass(frozen=True)
    class OnPolicy(FixedData):
        share: float = 0.5

    @dataclass(frozen=True)
    class Divergence(CrossEntropy):
        beta: float = 0.5

    @dataclass(frozen=True)
    class Judge:
        strict: bool = False

    @dataclass(frozen=True)
    class Judged(RandomSelection):
        judge: Judge = field(default_factory=Judge)
"""
CONFIGS = {
    "loss/jsd": "defaults:\n  - data_policy: fixed\n\n_target_: plug_nested.Divergence\nbeta: 0.5\n",
    "loss/data_policy/on_policy": "_target_: plug_nested.OnPolicy\nshare: 0.5\n",
    "selection/judged": "defaults:\n  - judge: mild\n\n_target_: plug_nested.Judged\n",
    "selection/judge/mild": "_target_: plug_nested.Judge\nstrict: false\n",
    "selection/judge/strict": "_target_: plug_nested.Judge\nstrict: true\n",
    "method/on_policy_jsd": """
        # @package _global_
        defaults:
          - override /selection: judged
          - override /selection/judge: strict
          - override /loss: jsd
          - override /loss/data_policy: on_policy
        method: on_policy_jsd
        """.replace("\n        ", "\n").lstrip(),
}
PLAIN, PRESET = "rationale_then_answer", "on_policy_jsd"


@pytest.fixture
def search(plugin: Run) -> str:
    """The override that adds the nested groups of these tests."""
    return str(plugin({"plug_nested.py": PARTS}, CONFIGS))


LABELS = [
    ("loss/data_policy=fixed", PLAIN),
    ("loss/data_policy=on_policy", f"{PLAIN}+loss/data_policy=on_policy"),
    (
        "loss/data_policy=on_policy loss.data_policy.share=1",
        f"{PLAIN}+loss/data_policy=on_policy+loss.data_policy.share=1",
    ),
    ("loss=jsd", f"{PLAIN}+loss=jsd"),
    ("loss=jsd loss/data_policy=on_policy", f"{PLAIN}+loss=jsd+loss/data_policy=on_policy"),
    ("loss=jsd loss.beta=0.1", f"{PLAIN}+loss=jsd+loss.beta=0.1"),
    ("selection=judged selection/judge=strict", f"{PLAIN}+selection=judged+selection/judge=strict"),
    ("method=on_policy_jsd", PRESET),
    ("method=on_policy_jsd loss/data_policy=fixed", f"{PRESET}+loss/data_policy=fixed"),
    ("method=on_policy_jsd selection/judge=mild", f"{PRESET}+selection/judge=mild"),
]


@pytest.mark.parametrize(("overrides", "label"), LABELS)
def test_a_nested_choice_has_a_short_label(overrides: str, label: str, search: str, cell: Run) -> None:
    made = cell((search, *overrides.split()))
    assert made.method.name == label
    assert made.describe() == f"{label} on chain_sum, student tiny, seed 1"


def test_a_preset_makes_nested_choices(search: str, cell: Run) -> None:
    made = cell((search, "method=on_policy_jsd"))
    assert made.method.selection.judge.strict is True
    assert made.method.loss.data_policy.share == 0.5


def test_a_nested_choice_is_the_cell_of_its_settings(search: str, cell: Run) -> None:
    chosen, spelt, plain = (
        cell_id(cell((search, *overrides)))
        for overrides in (
            ["loss/data_policy=on_policy"],
            ["loss.data_policy._target_=plug_nested.OnPolicy", "+loss.data_policy.share=0.5"],
            [],
        )
    )
    assert chosen == spelt != plain


def test_a_sweep_over_a_nested_choice(search: str, command: Run, miniature: tuple[str, ...], results: Any) -> None:
    done = command("-m", search, *miniature, "loss/data_policy=fixed,on_policy")
    assert done.status == 0, done.err
    assert {record["method"] for record in results.records()} == {
        PLAIN, f"{PLAIN}+loss/data_policy=on_policy", "untrained",
    }  # fmt: skip
    plan = command("-m", search, *miniature, "loss/data_policy=fixed,on_policy", "mode=plan")
    assert "varied" not in plan.out
    assert plan.out.count("| complete ") == 3


@pytest.mark.parametrize(
    "choice",
    [
        ("selection=judged", "selection/judge=mild,strict"),
        ("method=on_policy_jsd", "selection/judge=mild,strict"),
        ("selection=judged", "selection/judge=choice(strict)", "selection.judge.strict=choice(true,false)"),
    ],
)
def test_the_untrained_reference_of_a_nested_choice_is_kept(
    choice: tuple[str, ...], search: str, command: Run, miniature: tuple[str, ...], results: Any, monkeypatch: Any
) -> None:
    from benchmark.sweep import Sweep

    monkeypatch.setattr(Sweep, "launch", lambda *_: [])
    monkeypatch.setattr(Sweep, "report", lambda _: None)
    done = command("-m", search, *miniature, *choice)
    assert done.status == 0, done.err
    [manifest] = (results.path / ".manifests").iterdir()
    methods = [row["method"] for row in json.loads(manifest.read_text())["cells"]]
    assert (len(methods), methods.count("untrained")) == (3, 1)


WRONG = [
    (["loss/data_policy=on_polcy"], "loss/data_policy=on_polcy: there is no such option; did you mean 'on_policy'?"),
    (["loss/data_polcy=fixed"], "loss/data_polcy: there is no such group; did you mean 'loss/data_policy'?"),
    (["los/data_policy=fixed"], "los/data_policy: there is no such group; did you mean 'loss/data_policy'?"),
    (["selection/judge=mild"], "selection/judge: the chosen selection has no such choice"),
    (["loss/data_policy=null"], "loss/data_policy=null: every cell needs one option of loss/data_policy"),
    (
        ["loss/data_policy=on_policy", "loss.data_policy.shar=1"],
        "loss.data_policy.shar: there is no such setting; did you mean 'share'?",
    ),
    (
        ["loss/data_policy=on_policy", "+loss.data_policy.shar=1"],
        "loss.data_policy.shar: OnPolicy has no such setting; did you mean 'share'?",
    ),
]


@pytest.mark.parametrize(("overrides", "said"), WRONG)
@pytest.mark.parametrize("sweep", [(), ("-m",)])
def test_an_error_in_a_nested_choice_names_the_nearest(
    overrides: list[str], said: str, sweep: tuple[str, ...], search: str, command: Run, miniature: tuple[str, ...]
) -> None:
    done = command(*sweep, search, *miniature, *overrides)
    assert done.status == 2
    assert done.complaint.startswith(said)


def test_an_error_in_a_swept_nested_choice_names_the_nearest(
    search: str, command: Run, miniature: tuple[str, ...]
) -> None:
    done = command("-m", search, *miniature, "loss/data_policy=fixed,on_polcy")
    assert "loss/data_policy=on_polcy: there is no such option; did you mean 'on_policy'?" in done.complaint
    done = command("-m", search, *miniature, "loss/data_polcy=fixed,on_policy")
    assert "loss/data_polcy: there is no such group; did you mean 'loss/data_policy'?" in done.complaint
    done = command("-m", search, *miniature, "selection=judged,judged", "selection/judge=mild")
    assert done.complaint == (
        "selection/judge: the chosen selection has no such choice (where only some swept options of 'selection' have "
        "it, write selection/judge=choice(OPTION))"
    )


def test_help_and_completion_know_nested_groups(command: Run, run_cli: Run, search: str, repository: Path) -> None:
    assert "loss/data_policy: adaptive_replay, contrastive_pairs, fixed" in command("--help").out
    done = run_cli("-sc", "query=bash", COMP_LINE="benchmark loss/data_policy=")
    assert "loss/data_policy=fixed" in done.stdout
