"""Which settings split rows, and how they are named."""

from __future__ import annotations

from analysis.settings import describe, distinguishing_keys, scientific_settings

BUDGET = {"questions": 100, "calls": None}


def test_seed_and_execution_are_left_out() -> None:
    config = {"seed": 1, "trainer": {"n": 2}, "logger": {}, "results_dir": "a", "data_dir": "b", "mode": "run"}
    assert scientific_settings(config, BUDGET, 3) == {
        "budget.questions": "100",
        "budget.calls": "null",
        "data_seed": "3",
    }


def test_parts_that_a_cell_cannot_use_are_left_out() -> None:
    config = {"teacher": {"name": "a"}, "optimization": {"max_steps": 9}, "format": "short", "student": "tiny"}
    without_teacher = scientific_settings(config, BUDGET, 0, asks_teacher=False)
    assert {"teacher.name", "optimization.max_steps"} & set(without_teacher) == {"optimization.max_steps"}
    untrained = scientific_settings(config, BUDGET, 0, asks_teacher=False, trains=False)
    assert set(untrained) == {"format", "student"}


def test_nested_settings_keep_their_types() -> None:
    settings = scientific_settings({"loss": {"beta": 1, "kind": "1", "layers": [1, 2], "extra": {}}}, BUDGET, 0)
    assert settings["loss.beta"] != settings["loss.kind"]
    assert (settings["loss.layers"], settings["loss.extra"]) == ("[1, 2]", "{}")


def test_the_budget_names_rows_before_anything_else() -> None:
    variants = [{"budget.questions": "100", "a": "1"}, {"budget.questions": "200", "a": "2"}]
    assert distinguishing_keys(variants) == ("budget.questions",)


def test_as_few_keys_as_needed() -> None:
    variants = [{"long_key": "1", "b": "1"}, {"long_key": "1", "b": "2"}, {"long_key": "2", "b": "1"}]
    assert distinguishing_keys(variants) == ("b", "long_key")
    assert distinguishing_keys(variants[:1]) == ()


def test_absent_and_null_are_different_words() -> None:
    variants: list[dict[str, str]] = [{}, {"a": "null"}]
    assert distinguishing_keys(variants) == ("a",)
    assert [describe(settings, ("a",)) for settings in variants] == ["a=unset", "a=null"]


def test_long_values_stay_different_when_cut() -> None:
    words = "You are a careful teacher of sums. " * 5
    shown = {describe({"prompt": f'"{words}{end}"'}, ("prompt",)) for end in "ab"}
    assert len(shown) == 2
    assert max(map(len, shown)) < 60
