"""The SQLite file of the teacher store: makes it, opens it, and refuses files of another kind or version."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.errors import ConfigError

SCHEMA_VERSION = 2
BUSY_SECONDS = 60.0
"""Seconds that a process waits for another process's transaction; each takes milliseconds."""
SCHEMA = (
    """CREATE TABLE replies (
        key BLOB PRIMARY KEY, request TEXT NOT NULL, reply TEXT NOT NULL, teacher TEXT NOT NULL, created TEXT NOT NULL,
        buyer TEXT NOT NULL, checksum BLOB NOT NULL
    )""",
    """CREATE TABLE attempts (
        key BLOB NOT NULL, outcome TEXT NOT NULL, teacher TEXT NOT NULL, reply TEXT, created TEXT,
        buyer TEXT, payment TEXT
    )""",
    "CREATE INDEX attempts_of_buyer ON attempts (buyer)",
    """CREATE TABLE claims (
        key BLOB PRIMARY KEY, owner TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, expires REAL NOT NULL
    ) WITHOUT ROWID""",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
UPGRADES = {
    1: (
        "ALTER TABLE attempts ADD COLUMN buyer TEXT",
        "ALTER TABLE attempts ADD COLUMN payment TEXT",
        "CREATE INDEX attempts_of_buyer ON attempts (buyer)",
        "PRAGMA user_version = 2",
    ),
}
"""Version -> statements that turn a file into the next version; they change no reply."""


def open_database(path: Path) -> sqlite3.Connection:
    """A connection to a store; makes the file if there is none.

    Raises ConfigError for a file of another kind or version, and does not change that file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the teacher store {path} cannot be made ({error.strerror}); give another store_path"
        ) from error
    with one_line_errors(path):
        database = connect(path)
        try:
            if _version(database, path) != SCHEMA_VERSION:
                _make(database, path)
        except BaseException:
            database.close()
            raise
        return database


def connect(path: Path) -> sqlite3.Connection:
    """A connection that waits for other processes.

    A committed row survives the death of the process. A power cut can lose the last rows, which the system has not
    yet written to the disk: waiting for the disk would halve the rate of purchases.
    """
    database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA cache_size = -65536")  # 64 MiB: keys come in no order, so the index of a million must fit
    database.execute("PRAGMA wal_autocheckpoint = 4000")  # pages; its pages are written many times in between
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")  # a damaged byte must not lose its neighbours
    return database


@contextmanager
def one_line_errors(path: Path) -> Iterator[None]:
    """Turns an error of SQLite into a ConfigError: one line that says what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if "not a database" in str(error):
            raise ConfigError(f"{path} is no teacher store; give another store_path, or move the file away") from error
        if isinstance(error, sqlite3.OperationalError):
            raise ConfigError(
                f"the teacher store {path} cannot be used ({error}); check its disk and its permissions, or give "
                "another store_path"
            ) from error
        raise ConfigError(
            f"the teacher store {path} is damaged ({error}); save what can be read with `python -m benchmark.teachers "
            f"export --store {path} FILE`, move it away, and import FILE into a new one"
        ) from error


def _version(database: sqlite3.Connection, path: Path) -> int:
    """The version of the tables; 0 for an empty file. Raises ConfigError for another program's file or version."""
    [version] = database.execute("PRAGMA user_version").fetchone()
    [tables] = database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if version == 0 and tables:
        raise ConfigError(f"{path} is a database of another program; give another store_path")
    if version not in (0, *UPGRADES, SCHEMA_VERSION):
        raise ConfigError(
            f"the teacher store {path} has version {version}, and this program reads version {SCHEMA_VERSION}; export "
            "it with the program that wrote it, and import it into a new one"
        )
    return int(version)


def _make(database: sqlite3.Connection, path: Path) -> None:
    """Makes or upgrades the tables; several processes may do so at the same time."""
    _use_write_ahead_log(database)
    database.execute("BEGIN IMMEDIATE")
    while (version := _version(database, path)) != SCHEMA_VERSION:
        for statement in UPGRADES[version] if version else SCHEMA:
            database.execute(statement)
    database.execute("COMMIT")


def _use_write_ahead_log(database: sqlite3.Connection) -> None:
    """Repeats until it succeeds: SQLite does not wait here while another process does the same."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
