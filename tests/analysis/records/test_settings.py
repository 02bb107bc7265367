"""Which settings split rows, and how they are named."""

from __future__ import annotations

from analysis.records.settings import describe, distinguishing_keys, settings_of


def test_only_the_seed_is_left_out() -> None:
    identity = {"seed": 1, "data_seed": 3, "budget": {"questions": 100}, "sources": {"methods.elad": "ab"}}
    assert settings_of(identity) == {"data_seed": "3", "budget.questions": "100", "sources.methods.elad": '"ab"'}


def test_nested_settings_keep_their_types() -> None:
    settings = settings_of({"loss": {"beta": 1, "kind": "1", "layers": [1, 2], "extra": {}}})
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
