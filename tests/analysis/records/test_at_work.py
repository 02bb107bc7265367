"""Cells that a process is working on, seen from their locks."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from analysis.records.at_work import cells_at_work

HOLD = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_held_lock_is_a_cell_at_work_until_its_process_dies(tmp_path: Path) -> None:
    locks = tmp_path / ".locks"
    locks.mkdir()
    (locks / "old.lock").touch()
    before = time.time()
    command = [sys.executable, "-c", HOLD, str(locks / "abc.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        found = cells_at_work(tmp_path)
        assert set(found) == {"abc"}
        assert before - 1 < found["abc"] < time.time() + 1
        holder.kill()
    assert cells_at_work(tmp_path) == {}


def test_looking_takes_no_lock_away_and_changes_no_time(tmp_path: Path) -> None:
    path = tmp_path / ".locks" / "abc.lock"
    with FileLock(path):
        began = path.stat().st_mtime_ns
        assert set(cells_at_work(tmp_path)) == {"abc"}
        assert path.stat().st_mtime_ns == began
    cells_at_work(tmp_path)
    try:
        with FileLock(path, timeout=0):
            pass
    except Timeout:
        raise AssertionError("looking kept the lock") from None


def test_a_folder_without_locks_has_no_cell_at_work(tmp_path: Path) -> None:
    assert cells_at_work(tmp_path) == {}
