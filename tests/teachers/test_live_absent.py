"""Without the package `openai` nothing of a live teacher works but its config, and that says what to install."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]


def test_a_missing_package_is_refused_before_any_work(
    command: Run, results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "openai" else find(name, *rest)
    )
    done = command(
        "teacher=openai_compatible",
        "teacher.base_url=http://127.0.0.1:1/v1",
        "teacher.model=small",
        f"results_dir={results.path}",
    )
    assert done.status == 2
    assert done.complaint.endswith(
        'needs the package openai, which is not installed: pip install "distillation-benchmark[openai]"'
    )
    assert results.cells() == set()
