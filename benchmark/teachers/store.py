"""The teacher store: one SQLite file that keeps every bought reply, for all cells and processes of a host.

Three tables: `replies`, final outcomes by the hash of their request; `attempts`, what was paid for or failed and is
never replayed; `claims`, requests that a process is buying at this moment.
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

from benchmark.teachers.database import connect, open_database, told
from benchmark.teachers.store_key import canonical_json
from benchmark.teachers.stored_reply import Damaged, StoredReply, from_columns, now, reply_of, to_columns
from benchmark.types import Reply

LEASE_SECONDS = 60.0
"""How long a claim stands that nobody renews: its process is dead, or on another host, or stopped."""
COLUMNS = "key, request, reply, teacher, created, buyer, checksum"
ATTEMPT_COLUMNS = "key, outcome, teacher, reply, created, buyer, payment"


@dataclass(frozen=True)
class Attempt:
    """A call that led to no final outcome: `outcome` says why, `reply` is what came back or was charged, if anything.

    `payment` is the mark under which `buyer` paid for it; empty where it cost nothing.
    """

    outcome: str
    teacher: str
    reply: Reply | None = None
    buyer: str = ""
    payment: str = ""


class TeacherStore:
    """An open store. Keys are those of `key_of`; `say` is told of every damaged row.

    A connection belongs to the thread that opened it; any number of processes may have the same file open.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        """Raises ConfigError for a file that is no store or cannot be opened; makes a new one where there is none."""
        self.path = path
        self.say = say
        self.owner = uuid.uuid4().hex
        self._database = open_database(path)
        self._closing = Event()
        self._renewal: Thread | None = None

    def close(self) -> None:
        """Gives back every claim and closes the file."""
        if self._renewal is not None:
            self._closing.set()
            self._renewal.join()
            with self._writing() as database:
                database.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))
        self._database.close()

    def lookup(self, keys: Collection[str]) -> dict[str, StoredReply]:
        """The stored replies of those keys that have one. A damaged row is told, and is gone afterwards."""
        found = {}
        for key in keys:
            reply = self._row(key)
            if isinstance(reply, Damaged):
                self._drop_damaged(key)
            elif reply is not None:
                found[key] = reply
        return found

    def claim(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that the caller must buy now: not stored, and claimed by nobody who is alive.

        A claim is given back by `put`, `log` or `release`.
        """
        self._keep_renewing()
        with self._writing() as database:
            free = {key for key in keys if self._is_free(database, key)}
            claims = [(bytes.fromhex(key), self.owner, _here(), os.getpid(), _lease_end()) for key in free]
            database.executemany("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?)", claims)
        return free

    def put(self, replies: Mapping[str, StoredReply]) -> dict[str, StoredReply]:
        """Keeps replies and gives back the claims on them; returns what stands now.

        A reply that is there already stands: the other one came too late and is logged as an attempt.
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
        """Gives back claims of this process on requests that led to nothing."""
        with self._writing() as database:
            rows = [(bytes.fromhex(key), self.owner) for key in keys]
            database.executemany("DELETE FROM claims WHERE key = ? AND owner = ?", rows)

    def log(self, attempts: Mapping[str, Attempt]) -> None:
        """Counts calls that led to no final outcome, and gives back the claims of this process on them."""
        with self._writing() as database:
            for key, attempt in attempts.items():
                _log(database, key, attempt)
                database.execute("DELETE FROM claims WHERE key = ? AND owner = ?", (bytes.fromhex(key), self.owner))

    def payments(self, buyer: str, teacher: str) -> dict[str, Reply]:
        """What a buyer paid for calls to a teacher that led to no final outcome, by the marks of the payments."""
        chosen = "SELECT payment, reply FROM attempts WHERE buyer = ? AND teacher = ? AND payment <> '' ORDER BY rowid"
        with told(self.path):
            rows = self._database.execute(chosen, (buyer, teacher)).fetchall()
        return {payment: reply_of(reply) for payment, reply in rows}

    def counts(self) -> dict[str, int]:
        """How many replies there are, and how many attempts of every outcome (`attempts: length`)."""
        with told(self.path):
            [replies] = self._database.execute("SELECT COUNT(*) FROM replies").fetchone()
            outcomes = self._database.execute(
                "SELECT outcome, COUNT(*) FROM attempts GROUP BY outcome ORDER BY outcome"
            )
            return {"replies": replies} | {f"attempts: {outcome}": count for outcome, count in outcomes}

    def every(self) -> Iterator[tuple[str, StoredReply | Damaged]]:
        """All rows in the order in which they were bought, damaged ones included."""
        with told(self.path):
            for row in self._database.execute(f"SELECT {COLUMNS} FROM replies ORDER BY rowid"):
                yield row[0].hex(), from_columns(row)

    def _row(self, key: str) -> StoredReply | Damaged | None:
        address = bytes.fromhex(key)
        with told(self.path):
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
        """A thread of its own renews the claims: a model in this process keeps the event loop busy for long."""
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
        with told(self.path):
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
    """Whether a claim is kept by somebody who is alive, as far as can be told from here."""
    return expires > time.time() and (host != _here() or _runs(pid))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def _here() -> str:
    """The host; where containers count their processes apart, the container."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _lease_end() -> float:
    return time.time() + LEASE_SECONDS
