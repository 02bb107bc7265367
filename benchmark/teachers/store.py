"""The teacher store: one SQLite file that keeps every bought reply, for all cells and processes of a host.

Three tables: `replies` holds final replies by the hash of their request; `attempts` holds calls that were paid for or
failed, and are never replayed; `claims` holds requests that a process is buying now.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread

from benchmark.teachers.database import connect, one_line_errors, open_database
from benchmark.teachers.store_key import canonical_json
from benchmark.teachers.stored_reply import Damaged, StoredReply, from_columns, now, reply_of, to_columns
from benchmark.types import Reply

LEASE_SECONDS = 60.0
"""Seconds after which a claim that is not renewed expires: its process is stopped or cannot be reached."""
COLUMNS = "key, request, reply, teacher, created, buyer, checksum"
ATTEMPT_COLUMNS = "key, outcome, teacher, reply, created, buyer, payment"


@dataclass(frozen=True)
class Attempt:
    """A call that brought no final reply; it is kept for the books, but never replayed."""

    outcome: str
    """Why: a `Reply.finish`, or `failed: ERROR`, `bought twice`, `damaged`."""
    teacher: str
    """The teacher's name, for people."""
    reply: Reply | None = None
    """What came back or was charged; None if nothing."""
    buyer: str = ""
    """Mark of the cell that paid; empty if it cost nothing."""
    payment: str = ""
    """Id of the payment; empty if it cost nothing."""


class TeacherStore:
    """An open teacher store; keys come from `key_of`.

    Use it only in the thread that opened it. Any number of processes may open the same file.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        """Opens the file, or makes a new store; `say` receives a line per damaged row.

        Raises ConfigError if the file is no teacher store or cannot be opened.
        """
        self.path = path
        self.say = say
        self.owner = uuid.uuid4().hex
        self._database = open_database(path)
        self._closing = Event()
        self._renewal: Thread | None = None

    def close(self) -> None:
        """Releases all claims of this store object and closes the file."""
        if self._renewal is not None:
            self._closing.set()
            self._renewal.join()
            with self._writing() as database:
                database.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))
        self._database.close()

    def lookup(self, keys: Collection[str]) -> dict[str, StoredReply]:
        """Key -> stored reply, for keys that have one. A damaged row is reported with `say` and deleted."""
        found = {}
        for key in keys:
            reply = self._row(key)
            if isinstance(reply, Damaged):
                self._drop_damaged(key)
            elif reply is not None:
                found[key] = reply
        return found

    def claim(self, keys: Sequence[str]) -> set[str]:
        """Claims requests, and returns the keys that the caller must now buy.

        These are the keys without a stored reply and without a claim of another living process. `put`, `log` or
        `release` ends a claim.
        """
        self._keep_renewing()
        with self._writing() as database:
            free = {key for key in keys if self._is_free(database, key)}
            claims = [(bytes.fromhex(key), self.owner, _here(), os.getpid(), _lease_end()) for key in free]
            database.executemany("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?)", claims)
        return free

    def put(self, replies: Mapping[str, StoredReply]) -> dict[str, StoredReply]:
        """Stores final replies and releases the claims on them. Returns key -> the reply that the store now holds.

        If another process stored a reply earlier, that one is kept and returned; the new one is logged as an attempt.
        """
        late = []
        with self._writing() as database:
            for key, reply in replies.items():
                row = to_columns(key, reply)
                cursor = database.execute(f"INSERT OR IGNORE INTO replies ({COLUMNS}) VALUES (?,?,?,?,?,?,?)", row)
                if cursor.rowcount == 0:
                    late.append(key)
                    _log(database, key, Attempt("bought twice", reply.teacher, reply.reply))
                database.execute("DELETE FROM claims WHERE key = ?", (bytes.fromhex(key),))
        return {**replies, **self.lookup(late)}

    def release(self, keys: Collection[str]) -> None:
        """Releases claims of this process on requests that brought nothing to store."""
        with self._writing() as database:
            rows = [(bytes.fromhex(key), self.owner) for key in keys]
            database.executemany("DELETE FROM claims WHERE key = ? AND owner = ?", rows)

    def log(self, attempts: Mapping[str, Attempt]) -> None:
        """Stores calls that brought no final reply, and releases the claims of this process on them."""
        with self._writing() as database:
            for key, attempt in attempts.items():
                _log(database, key, attempt)
                database.execute("DELETE FROM claims WHERE key = ? AND owner = ?", (bytes.fromhex(key), self.owner))

    def payments(self, buyer: str, teacher: str) -> dict[str, Reply]:
        """Payment id -> reply, for calls to a teacher that this buyer paid for and that brought no final reply."""
        chosen = "SELECT payment, reply FROM attempts WHERE buyer = ? AND teacher = ? AND payment <> '' ORDER BY rowid"
        with one_line_errors(self.path):
            rows = self._database.execute(chosen, (buyer, teacher)).fetchall()
        return {payment: reply_of(reply) for payment, reply in rows}

    def discard(self, key: str, seen: StoredReply, outcome: str) -> None:
        """Takes a reply out of those that are replayed, and keeps it among the attempts with its outcome."""
        with self._writing() as database:
            if self._row(key) == seen:  # another process may have bought a better one since
                database.execute("DELETE FROM replies WHERE key = ?", (bytes.fromhex(key),))
                _log(database, key, Attempt(outcome, seen.teacher, seen.reply, seen.buyer))

    def counts(self) -> dict[str, int]:
        """Numbers of rows: under `replies`, and per outcome of attempts, such as `attempts: length`."""
        with one_line_errors(self.path):
            [replies] = self._database.execute("SELECT COUNT(*) FROM replies").fetchone()
            outcomes = self._database.execute(
                "SELECT outcome, COUNT(*) FROM attempts GROUP BY outcome ORDER BY outcome"
            )
            return {"replies": replies} | {f"attempts: {outcome}": count for outcome, count in outcomes}

    def every(self) -> Iterator[tuple[str, StoredReply | Damaged]]:
        """(key, reply) of all rows in the order of purchase; a damaged row comes as `Damaged`."""
        with one_line_errors(self.path):
            for row in self._database.execute(f"SELECT {COLUMNS} FROM replies ORDER BY rowid"):
                yield row[0].hex(), from_columns(row)

    def _row(self, key: str) -> StoredReply | Damaged | None:
        address = bytes.fromhex(key)
        with one_line_errors(self.path):
            row = self._database.execute(f"SELECT {COLUMNS} FROM replies WHERE key = ?", (address,)).fetchone()
        return None if row is None else from_columns((address, *row[1:]))

    def _drop_damaged(self, key: str) -> None:
        with self._writing() as database:
            damage = self._row(key)
            if not isinstance(damage, Damaged):
                return  # another process has bought it again since
            database.execute("DELETE FROM replies WHERE key = ?", (bytes.fromhex(key),))
            _log(database, key, Attempt("damaged", damage.teacher))
        self.say(f"{self.path}: the reply to request {key[:16]} is damaged ({damage.problem}); it is bought again")

    def _is_free(self, database: sqlite3.Connection, key: str) -> bool:
        address = (bytes.fromhex(key),)
        if database.execute("SELECT 1 FROM replies WHERE key = ?", address).fetchone():
            return False
        claim = database.execute("SELECT host, pid, expires FROM claims WHERE key = ?", address).fetchone()
        return claim is None or not _stands(*claim)

    def _keep_renewing(self) -> None:
        """Renews the claims in a separate thread, as a model in this process can block the event loop for minutes."""
        if self._renewal is None:
            self._renewal = Thread(target=self._renew, name="teacher store claims", daemon=True)
            self._renewal.start()

    def _renew(self) -> None:
        database = connect(self.path)
        while not self._closing.wait(LEASE_SECONDS / 3):
            try:
                database.execute("UPDATE claims SET expires = ? WHERE owner = ?", (_lease_end(), self.owner))
            except sqlite3.Error:
                continue  # the next turn comes before the lease ends
        database.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with one_line_errors(self.path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise


def _log(database: sqlite3.Connection, key: str, attempt: Attempt) -> None:
    reply = None if attempt.reply is None else canonical_json(asdict(attempt.reply))
    row = (bytes.fromhex(key), attempt.outcome, attempt.teacher, reply, now(), attempt.buyer, attempt.payment)
    database.execute(f"INSERT INTO attempts ({ATTEMPT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def _stands(host: str, pid: int, expires: float) -> bool:
    """Whether a claim is valid: not expired, and its process not known to be dead."""
    return expires > time.time() and (host != _here() or _runs(pid))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # a process of another user
    return True


def _here() -> str:
    """The host's name, with the process namespace, as containers number their processes separately."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _lease_end() -> float:
    return time.time() + LEASE_SECONDS
