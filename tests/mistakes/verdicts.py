"""A pytest plugin for a run inside a copy of the source: what became of every test, and whose code it tried.

A mistake counts as found only where a test failed by assertion. A test that could not be collected, whose fixture
broke or that met another exception failed too, but says nothing of the mistake.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

PASSED, ASSERTED, SKIPPED = "passed", "failed by assertion", "skipped"
OURS = ("analysis", "benchmark", "hydra_plugins.benchmark_sweeper", "methods", "tests")
"""The packages whose code must be the copy's; `hydra_plugins` is shared with the plugins of others."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--verdicts", help="the JSON file that verdicts are written to")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--verdicts"):
        config.pluginmanager.register(Verdicts(Path(config.getoption("--verdicts")), config.rootpath))


class Verdicts:
    """Gathers one verdict per test, the last word of its phases that is not good; `errors` belong to no test."""

    def __init__(self, file: Path, copy: Path) -> None:
        self.file = file
        self.copy = copy
        self.tests: dict[str, str] = {}
        self.errors: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        verdict = _verdict(report, call)
        if self.tests.get(item.nodeid, PASSED) == PASSED:
            self.tests[item.nodeid] = verdict
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(f"{report.nodeid} cannot be collected: {report.longreprtext}")

    def pytest_sessionfinish(self) -> None:
        import benchmark  # where nothing has imported it, the answer to whose code was tried must still be right

        assert benchmark.__file__
        strangers = [
            f"{name} is not the copy's: {path}"
            for name, path in sorted(_ours().items())
            if not path.is_relative_to(self.copy)
        ]
        verdicts = {"benchmark": benchmark.__file__, "tests": self.tests, "errors": [*self.errors, *strangers]}
        self.file.write_text(json.dumps(verdicts, indent=2), encoding="utf-8")


def _ours() -> dict[str, Path]:
    """The files of the loaded modules of this repository, by name."""
    files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    return {
        name: Path(path).resolve()
        for name, path in files.items()
        if path and any(name == package or name.startswith(f"{package}.") for package in OURS)
    }


def _verdict(report: pytest.TestReport, call: pytest.CallInfo[Any]) -> str:
    if report.passed or call.excinfo is None:
        return PASSED
    if report.skipped:
        return SKIPPED
    if call.when == "call" and _is_assertion(call.excinfo.value):
        return ASSERTED
    return f"broke in its {call.when} by {call.excinfo.typename}: {call.excinfo.value}"


def _is_assertion(error: BaseException) -> bool:
    """Whether a test said no: by `assert`, by `pytest.raises` without the error, or by several of these at once."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_assertion(one) for one in error.exceptions)
    return isinstance(error, AssertionError | pytest.fail.Exception)
