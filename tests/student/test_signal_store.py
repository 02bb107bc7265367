"""The store of a teacher's signals on its own: whole files or none, one manifest, clear words for what is damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import benchmark.student.signal_store as stores
from benchmark.errors import DataError
from benchmark.student.signal_store import SignalKey, SignalStore
from benchmark.types import Usage

ROW = np.dtype([("tokens", "<i4", (2,)), ("log_tail", "<f4")])
MANIFEST = {"teacher": "abc", "tokenizer": "123", "k": 2}


def key(number: int) -> SignalKey:
    return SignalKey(f"question {number} as answer", f"hash {number}")


def rows(number: int) -> np.ndarray:
    """Another number of rows for each example, with numbers of its own."""
    found = np.zeros(number % 3 + 1, ROW)
    found["tokens"], found["log_tail"] = number, -number
    return found


def opened(folder: Path, maker: str = "cell round 0", **changes: object) -> SignalStore:
    return SignalStore.open(folder, {**MANIFEST, **changes}, ROW, maker)


def write(store: SignalStore, numbers: Sequence[int], usage: int = 1) -> None:
    with store.lock, store.writing() as writer:
        for number in numbers:
            writer.add([(key(number), rows(number), {"mass": 0.5 * len(rows(number))})], Usage(usage), Counter(cut=1))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_what_was_written_is_read_by_key_in_any_order(tmp_path: Path) -> None:
    write(opened(tmp_path), range(6))
    store = opened(tmp_path)
    for number in (4, 0, 5, 2):
        assert np.array_equal(store.rows(key(number)), rows(number))
    assert key(6) not in store
    assert store.others("question 4 as answer") == [key(4)]
    [part] = store.parts.values()
    assert (part.usage, part.counts) == (Usage(6), {"cut": 6})
    [mapped] = tmp_path.glob("*/rows.npy")
    assert isinstance(store.rows(key(4)), np.memmap)
    assert np.load(mapped, allow_pickle=False).dtype == ROW


def test_a_part_is_written_as_soon_as_it_is_large_or_the_last_one_long_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(opened(tmp_path / "at the end"), range(4))
    monkeypatch.setattr(stores, "PART_BYTES", 2 * ROW.itemsize)
    write(opened(tmp_path / "by size"), (1, 4, 7))  # two rows each
    monkeypatch.setattr(stores, "PART_BYTES", 10**9)
    monkeypatch.setattr(stores, "PART_SECONDS", 0.0)
    write(opened(tmp_path / "by time"), range(4))
    counts = [len(list((tmp_path / name).glob("*/index.json"))) for name in ("at the end", "by size", "by time")]
    assert counts == [1, 3, 4]


def add_and_stop(store: SignalStore) -> None:
    with store.lock, store.writing() as writer:
        writer.add([(key(1), rows(1), {})], Usage(1), Counter())
        raise KeyboardInterrupt


def test_what_was_added_before_an_error_is_kept_and_a_killed_writer_leaves_nothing_that_is_read(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        add_and_stop(store)
    left = tmp_path / ".writing-left"
    left.mkdir()
    (left / "rows.npy").write_bytes(b"half")
    again = opened(tmp_path)
    assert list(again.places) == [key(1)]
    assert [part.usage for part in again.work_before()] == [Usage(1)]
    assert opened(tmp_path, maker="another cell round 0").work_before() == []
    write(again, [2])
    assert not left.exists()


def test_another_tokenizer_is_refused_with_both_values_and_the_way_out(tmp_path: Path) -> None:
    write(opened(tmp_path), [1])
    before = files(tmp_path)
    with pytest.raises(DataError, match=r"tokenizer is '123' there and '999' here.*or remove .* and the next run"):
        opened(tmp_path, tokenizer="999")
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("cut rows", r"rows\.npy is damaged \(.*\); remove"),
        ("cut index", r"index\.json is damaged .*; remove"),
        ("no manifest", r"has lost its manifest\.json"),
        ("cut manifest", r"manifest\.json is damaged"),
        ("another row", r"holds int64, and not"),
        ("a pickle", r"rows\.npy is damaged"),
        ("fewer rows", r"has 1 rows, and index\.json names others"),
    ],
)
def test_a_damaged_store_is_refused_by_name_and_nothing_is_removed(tmp_path: Path, damage: str, message: str) -> None:
    write(opened(tmp_path), range(5))
    [part] = [path.parent for path in tmp_path.glob("*/index.json")]
    if damage == "cut rows":
        (part / "rows.npy").write_bytes((part / "rows.npy").read_bytes()[:-1])
    elif damage == "cut index":
        (part / "index.json").write_bytes((part / "index.json").read_bytes()[:-1])
    elif damage == "no manifest":
        (tmp_path / "manifest.json").unlink()
    elif damage == "cut manifest":
        (tmp_path / "manifest.json").write_text("{", encoding="utf-8")
    elif damage == "another row":
        np.save(part / "rows.npy", np.zeros(9, np.int64))
    elif damage == "a pickle":
        np.save(part / "rows.npy", np.array([{}]), allow_pickle=True)
    else:
        np.save(part / "rows.npy", rows(0))
    before = files(tmp_path)
    with pytest.raises(DataError, match=message):
        opened(tmp_path)
    assert files(tmp_path) == before


def test_changed_bytes_are_found_before_they_are_used(tmp_path: Path) -> None:
    write(opened(tmp_path), range(5))
    [path] = tmp_path.glob("*/rows.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    store = opened(tmp_path)
    with pytest.raises(DataError, match=r"rows\.npy has changed since it was written; remove"):
        store.check([key(3)])
    assert path.exists()


PROCESS = """
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
import numpy as np
import benchmark.student.signal_store as stores
from benchmark.types import Usage
from tests.student.test_signal_store import key, opened, rows

folder, locked = Path(sys.argv[1]), sys.argv[2] == "locked"
stores.PART_BYTES = 1
for number in range(40):
    store = opened(folder)
    with store.lock if locked else nullcontext():
        store.refresh()
        if key(number) not in store:
            writer = stores.Writer(store)
            writer.add([(key(number), rows(number), {})], Usage(1), Counter())
"""


@pytest.mark.parametrize("way", ["locked", "without heeding the lock"])
def test_two_processes_that_make_the_same_store_do_not_spoil_it(tmp_path: Path, way: str) -> None:
    both = [subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), way]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    store = opened(tmp_path)
    store.check([key(number) for number in range(40)])
    for number in range(40):
        assert np.array_equal(store.rows(key(number)), rows(number))
    assert len(store.parts) == 40  # each was written once
    assert {path.name for path in tmp_path.iterdir()} == {*store.parts, "manifest.json", ".lock"}
    assert json.loads((tmp_path / "manifest.json").read_text())["k"] == 2
