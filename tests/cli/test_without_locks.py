"""A results folder on a file system without file locks is refused before any work."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

fcntl = pytest.importorskip("fcntl")
Run = Callable[..., Any]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], ids=errno.errorcode.get)
@pytest.mark.parametrize("sweep", [(), ("-m", "seed=1,2")], ids=["alone", "sweep"])
def test_one_sentence_before_any_work(
    number: int,
    sweep: tuple[str, ...],
    command: Run,
    miniature: tuple[str, ...],
    results: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(descriptor: Any, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    done = command(*sweep, *miniature)
    reason = "flock is not implemented" if number == errno.ENOSYS else os.strerror(number)
    assert done.status == 2
    assert done.complaint.startswith(
        f"results_dir=results is on a file system without file locks ({reason}), so that two commands could train one "
        "cell at once; give a results_dir on another one"
    )
    assert list(results.path.iterdir()) == []
    monkeypatch.undo()


def test_locks_leave_no_trace(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    assert command(*miniature, "method=untrained").status == 0
    assert not list(results.path.glob(".*probe*"))
