"""The teacher store: nothing is bought twice, what is replayed is what was bought, and damage costs one reply."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from benchmark.buying.meter import Answered, Meter, QuestionMeter, Supplier
from benchmark.errors import ConfigError, TeacherError
from benchmark.teachers.__main__ import main
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.store import TeacherStore
from benchmark.teachers.store_key import key_of, stored_request, teacher_identity
from benchmark.teachers.stored_reply import StoredReply
from benchmark.teachers.stored_teacher import StoredTeacher
from benchmark.teachers.teacher import Price, Unanswered
from benchmark.types import Contrast, Reply, Request, Usage
from tests.teachers.store_buyer import CountingTeacher, asked

ASK = Request("few_shot_cot", "Q: 1+1 A:", "q1", 16, 0.7, "So")
PRICE = Price(2.0, 10.0)


@dataclass
class Shop:
    """A store file and a counting teacher, as every test uses them."""

    folder: Path
    messages: list[str] = field(default_factory=list)
    opened: list[TeacherStore] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.folder / "store.sqlite"

    @property
    def counter(self) -> Path:
        return self.folder / "counter"

    @property
    def asked(self) -> list[str]:
        return asked(self.counter)

    def store(self, path: Path | None = None) -> TeacherStore:
        self.opened.append(TeacherStore(path or self.path, self.messages.append))
        return self.opened[-1]

    def teacher(self, buyer: str = "me", identity: Any = "scripted", **settings: Any) -> StoredTeacher:
        return StoredTeacher(CountingTeacher(self.counter, **settings), identity, "scripted", self.store(), buyer)

    def get(self, request: Request = ASK, samples: int = 1, **settings: Any) -> list[Reply]:
        return asyncio.run(self.teacher(**settings).reply(request, samples))

    def change(self, statement: str, *values: Any) -> None:
        """Writes to the database behind the store's back."""
        with sqlite3.connect(self.path) as database:
            database.execute(statement, values)
        database.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    for store in made.opened:
        store.close()


# --- replays -------------------------------------------------------------------------------------------------------


def test_a_replay_equals_what_was_bought_in_every_bit(shop: Shop) -> None:
    bought = shop.get(samples=3)
    assert shop.get(samples=3) == bought == shop.get(samples=5)[:3]
    assert [type(number) for number in bought[0].token_ids or ()] == [int, int]
    assert len(shop.asked) == 5  # only the two new samples were asked for


def test_texts_of_every_kind_come_back(shop: Shop) -> None:
    texts = ["", "\0", "ä\u2028\n", "\ud800", '"\\', "x" * 100_000]
    store = shop.store()
    rows = {
        key_of([n]): StoredReply([n], Reply(text, confidence=0.1 + 0.2), "t", "now") for n, text in enumerate(texts)
    }
    store.put(rows)
    assert store.lookup(rows.keys()) == rows


def test_only_missing_samples_are_bought_and_their_numbers_stay(shop: Shop) -> None:
    first = shop.get(samples=4)
    keys = [key_of(stored_request("scripted", ASK, sample)) for sample in range(4)]
    for sample in (0, 2):
        shop.change("DELETE FROM replies WHERE key = ?", bytes.fromhex(keys[sample]))
    again = shop.get(samples=4)
    assert [one == other for one, other in zip(first, again, strict=True)] == [False, True, False, True]
    assert [reply.text[0] for reply in again] == ["0", "1", "2", "3"]
    assert [line[-1] for line in shop.asked] == ["0", "1", "2", "3", "0", "2"]


@dataclass
class FailsOnce:
    """A teacher whose sample number 1 fails the first time, and before all others."""

    asked: list[int] = field(default_factory=list)

    async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
        self.asked.append(first)
        if first == 1 and self.asked.count(1) == 1:
            raise TeacherError("no answer")
        await asyncio.sleep(0.01)
        return [Reply(f"reply {first}", "stop", 5, 2)] * samples


def test_samples_beside_one_that_fails_are_waited_for_and_kept(shop: Shop) -> None:
    unsteady = FailsOnce()
    teacher = StoredTeacher(cast(Any, unsteady), "scripted", "scripted", shop.store(), "me")
    with pytest.raises(TeacherError):
        asyncio.run(teacher.deliver(ASK, 4))
    deliveries = asyncio.run(teacher.deliver(ASK, 4))
    assert [delivery.reply.text for delivery in deliveries] == [f"reply {n}" for n in range(4)]
    assert sorted(unsteady.asked) == [0, 1, 1, 2, 3]
    assert sum(map(teacher.book, deliveries)) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"role": "other"},
        {"prompt": "Q: 1+2 A:"},
        {"max_new_tokens": 17},
        {"max_new_tokens": None},
        {"temperature": 0.8},
        {"prefix": "so"},
        {"cap_is_final": True},
    ],
)
def test_another_request_is_bought(shop: Shop, change: dict[str, Any]) -> None:
    shop.get()
    shop.get(replace(ASK, **change))
    assert len(shop.asked) == 2


def test_another_teacher_is_bought(shop: Shop) -> None:
    shop.get()
    shop.get(identity="other")
    assert len(shop.asked) == 2


def test_what_no_reply_depends_on_is_no_other_request(shop: Shop) -> None:
    cold = replace(ASK, temperature=0)
    shop.get(cold)
    shop.get(replace(cold, temperature=0.0, question_id="q2"), buyer="another cell", delay=0.01)
    assert len(shop.asked) == 1


def test_every_field_of_a_request_is_accounted_for() -> None:
    """A new field of `Request` must be put into the key, or be named here with a reason."""
    whole = (
        replace(ASK, stop=("Q:",)),
        replace(ASK, contrast=Contrast("Q: 1+1 A: 3")),
        replace(ASK, continuations=("2",)),
    )
    of_request = {name for request in whole for name in stored_request("t", request, 0)} - {"teacher", "sample"}
    assert set(asdict(ASK)) - of_request == {"question_id"}


def test_the_identity_of_a_teacher_leaves_out_what_changes_no_reply(tmp_path: Path) -> None:
    from benchmark.teachers.in_process import TransformersTeacher
    from tests.corridor.corridor_parts import miniature
    from tests.rehearsals.tensor_parts import model_folder

    dataset = miniature().dataset
    one, other = model_folder(tmp_path / "one"), model_folder(tmp_path / "other", seed=6)
    moved = model_folder(tmp_path / "moved")
    teacher = TransformersTeacher("t", str(one), 512, 8)
    same = replace(teacher, path=str(moved), batch_size=3, price=PRICE, licence="mit", accelerator="cpu")
    assert teacher_identity(same, dataset) == teacher_identity(teacher, dataset)
    for changed in (
        replace(teacher, path=str(other)),
        replace(teacher, seed=1),
        replace(teacher, max_new_tokens=9),
        replace(teacher, precision="bf16-mixed"),
        replace(teacher, name="u"),
    ):
        assert teacher_identity(changed, dataset) != teacher_identity(teacher, dataset)


def test_a_model_in_this_process_is_replayed_as_it_wrote(shop: Shop) -> None:
    from benchmark.teachers.in_process import TransformersTeacher
    from tests.corridor.corridor_parts import miniature
    from tests.rehearsals.tensor_parts import model_folder

    dataset = miniature().dataset
    teacher = TransformersTeacher("t", str(model_folder(shop.folder / "model")), 512, 8, accelerator="cpu")
    identity, request = teacher_identity(teacher, dataset), replace(ASK, cap_is_final=True)
    opened = teacher.open(dataset)
    live = asyncio.run(opened.reply(request, 4))
    assert asyncio.run(opened.reply(request, 2, first=2)) == live[2:]
    store = shop.store()
    bought = asyncio.run(StoredTeacher(opened, identity, "t", store, "me").reply(request, 4))
    replayed = asyncio.run(StoredTeacher(CountingTeacher(shop.counter), identity, "t", store, "you").reply(request, 4))
    assert live == bought == replayed
    assert replayed[0].token_ids
    assert shop.asked == []


# --- what is final -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("finish", ["length", "content_filter", "not_asked", "other"])
def test_what_is_not_final_is_delivered_and_counted_and_asked_again(shop: Shop, finish: str) -> None:
    assert shop.get(finish=finish)[0] != shop.get(finish=finish)[0]
    assert shop.store().counts() == {"replies": 0, f"attempts: {finish}": 2}
    final = shop.get()
    assert shop.get(finish=finish) == final
    assert len(shop.asked) == 3


def test_a_cap_that_is_part_of_the_recipe_is_final(shop: Shop) -> None:
    request = replace(ASK, cap_is_final=True)
    assert shop.get(request, finish="length") == shop.get(request, finish="length")
    shop.get(replace(request, prompt="other"), finish="content_filter")
    assert shop.store().counts() == {"replies": 1, "attempts: content_filter": 1}


def test_a_failed_call_is_counted_without_its_message_and_frees_the_request(shop: Shop) -> None:
    class Failing(CountingTeacher):
        async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
            raise TimeoutError("no answer for key sk-secret")

    teacher = shop.teacher()
    with pytest.raises(TimeoutError):
        asyncio.run(replace(teacher, teacher=Failing(shop.counter)).reply(ASK, 2))
    assert teacher.store.counts() == {"replies": 0, "attempts: failed: TimeoutError": 2}
    assert len(asyncio.run(teacher.reply(ASK, 2))) == 2
    assert b"sk-secret" not in b"".join(path.read_bytes() for path in shop.folder.glob("store.sqlite*"))


# --- the books -----------------------------------------------------------------------------------------------------


def meter_of(teacher: StoredTeacher) -> Meter:
    return Meter({"scripted": Supplier.behind_store(teacher, PRICE)}, Ledger())


def ask_all(meter: Meter, *requests: tuple[Request, int]) -> list[list[Reply]]:
    """What one question asks, booked."""
    return ask_and_commit(meter, *requests)[0]


def ask_and_commit(meter: Meter, *requests: tuple[Request, int]) -> tuple[list[list[Reply]], list[Answered]]:
    question = QuestionMeter(meter)

    async def turns() -> list[list[Reply]]:
        return [await question("scripted", request, samples) for request, samples in requests]

    meter.begin()
    return asyncio.run(turns()), meter.commit(question.asked)


def test_what_the_store_held_is_charged_and_not_spent(shop: Shop) -> None:
    other = replace(ASK, prompt="other")
    first, second = meter_of(shop.teacher("one")), meter_of(shop.teacher("two"))
    bought = ask_all(first, (ASK, 2), (other, 1), (ASK, 1))
    assert first.ledger.spent == first.ledger.charged
    assert first.ledger.total().calls == len(shop.asked) == 3
    assert ask_all(second, (ASK, 2), (other, 1), (ASK, 1)) == bought
    assert second.ledger.charged == first.ledger.charged
    assert second.ledger.spent == {}
    ask_all(second, (ASK, 4))
    assert second.ledger.spent["teacher"] == PRICE.of(Reply("", "stop", 9, 5)) + PRICE.of(Reply("", "stop", 9, 6))
    assert len(shop.asked) == 5


def test_what_was_paid_for_before_a_death_is_spent_and_never_twice(shop: Shop) -> None:
    """The mark of the buyer outlives the process; what the journal holds is not booked again."""
    other = replace(ASK, prompt="other")
    died = meter_of(shop.teacher())
    _, [journaled] = ask_and_commit(died, (ASK, 1))
    ask_all(died, (other, 2))

    went_on = meter_of(shop.teacher())
    went_on.remember([journaled])
    went_on.ledger.charged = {"teacher": PRICE.of(journaled.replies[0])}
    went_on.ledger.spent = dict(went_on.ledger.charged)
    ask_all(went_on, (ASK, 1), (other, 2), (replace(ASK, question_id="the same text"), 1))
    assert went_on.ledger.spent == died.ledger.spent
    assert went_on.ledger.spent["teacher"].calls == len(shop.asked) == 3
    assert went_on.ledger.charged["teacher"].calls == 4


def test_what_no_question_took_is_settled_once(shop: Shop) -> None:
    """Replies that are not final are in no store, and a question that never comes to its turn books nothing."""
    died = meter_of(shop.teacher(finish="length"))
    _, [journaled] = ask_and_commit(died, (ASK, 2))
    died.begin()
    asyncio.run(QuestionMeter(died)("scripted", replace(ASK, prompt="other"), 3))
    meter_of(shop.teacher("somebody else", finish="length"))

    went_on = meter_of(shop.teacher(finish="length"))
    went_on.remember([journaled])
    lost = 3 * PRICE.of(Reply("", "stop", len("other"), 4)).prompt_tokens
    payments = went_on.settle()
    assert len(payments) == 3
    spent = went_on.ledger.spent["teacher"]
    assert replace(spent, usd=0.0) == Usage(3, lost, 3 + 4 + 5)
    assert spent.usd == pytest.approx(PRICE.priced(spent).usd)
    assert went_on.settle() == []
    assert died.settle() == payments
    assert died.ledger.spent["teacher"].calls == len(shop.asked) == 5

    later = meter_of(shop.teacher())
    later.remember([journaled])
    later.has_settled(payments)
    assert later.settle() == []


def test_what_a_failed_request_was_charged_is_settled_and_is_no_call(shop: Shop) -> None:
    class Refuses(CountingTeacher):
        async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
            raise TeacherError("no answer") from Unanswered(9, 4)

    meter = meter_of(replace(shop.teacher(), teacher=Refuses(shop.counter)))
    with pytest.raises(TeacherError):
        ask_all(meter, (ASK, 2))
    assert meter.ledger.spent == {}
    assert len(meter.settle()) == 2
    assert meter.ledger.spent == {"teacher": PRICE.priced(Usage(0, 18, 8))}
    assert meter.ledger.charged == {}


def test_samples_of_one_request_share_a_prompt_however_they_were_bought(shop: Shop) -> None:
    class Together(CountingTeacher):
        async def reply(self, request: Request, samples: int, first: int = 0) -> list[Reply]:
            one, *others = await super().reply(request, samples, first)
            return [one, *(replace(other, shares_prompt=True) for other in others)]

    def meter(buyer: str) -> Meter:
        sharing = replace(shop.teacher(buyer), samples_share_a_request=True, teacher=Together(shop.counter))
        return meter_of(sharing)

    prompt, before, after, alone = len(ASK.prompt), meter("one"), meter("two"), meter("three")
    ask_all(before, (ASK, 2))
    assert before.ledger.spent["teacher"] == before.ledger.charged["teacher"] == PRICE.priced(Usage(2, prompt, 7))
    ask_all(after, (ASK, 5))
    assert after.ledger.charged["teacher"] == PRICE.priced(Usage(5, prompt, 25))
    assert after.ledger.spent["teacher"] == PRICE.priced(Usage(3, prompt, 18))
    ask_all(alone, (replace(ASK, prompt=ASK.prompt[::-1]), 5))
    assert alone.ledger.charged == after.ledger.charged == alone.ledger.spent

    apart = meter_of(shop.teacher("four"))  # as if a server had to be asked for every sample
    ask_all(apart, (ASK, 5))
    assert apart.ledger.charged["teacher"] == PRICE.priced(Usage(5, 5 * prompt, 25))

    twice = meter("five")
    ask_all(twice, (ASK, 2), (ASK, 5))  # two requests, two prompts
    assert twice.ledger.charged["teacher"] == PRICE.priced(Usage(5, 2 * prompt, 25))


def test_a_store_of_the_first_version_is_brought_up_to_date_with_all_its_replies(shop: Shop) -> None:
    bought = shop.get(samples=3)
    shop.opened.pop().close()
    shop.change("DROP INDEX attempts_of_buyer")
    for column in ("buyer", "payment"):
        shop.change(f"ALTER TABLE attempts DROP COLUMN {column}")
    shop.change("INSERT INTO attempts VALUES (x'00', 'length', 'scripted', NULL, 'then')")
    shop.change("PRAGMA user_version = 1")
    assert shop.get(samples=3) == bought
    assert shop.store().counts() == {"replies": 3, "attempts: length": 1}
    assert shop.store().payments("me", "scripted") == {}
    assert len(shop.asked) == 3


def test_a_teacher_that_costs_nothing_to_ask_is_never_spent(shop: Shop) -> None:
    meter = Meter({"scripted": Supplier(CountingTeacher(shop.counter), PRICE)}, Ledger())
    ask_all(meter, (ASK, 3))
    assert meter.ledger.total().calls == 3
    assert meter.ledger.spent == {}
    meter.remember([Answered("scripted", ASK, (Reply("x"),), (None,))])


# --- several processes ---------------------------------------------------------------------------------------------

BUYER = Path(__file__).with_name("store_buyer.py")


def start(shop: Shop, questions: int, delay: float, seed: int) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2]
    arguments = [str(shop.path), str(shop.counter), str(questions), str(delay), str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(BUYER), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, str]:
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    got: dict[str, str] = json.loads(out)
    return got


def test_processes_that_fill_one_store_buy_no_question_twice(shop: Shop) -> None:
    buyers = [start(shop, 40, 0.02, seed) for seed in range(3)]
    got = [finish(buyer) for buyer in buyers]
    assert got[0] == got[1] == got[2]
    assert len(got[0]) == 40
    assert Counter(shop.asked) == Counter(f"q{n} {sample}" for n in range(40) for sample in range(2))
    assert shop.store().counts() == {"replies": 80}


def test_a_killed_process_loses_at_most_the_replies_in_flight(shop: Shop) -> None:
    victim = start(shop, 60, 0.05, 1)
    deadline = time.monotonic() + 60
    while len(shop.asked) < 30 and time.monotonic() < deadline:
        time.sleep(0.005)
    survivor = start(shop, 60, 0.0, 2)
    time.sleep(0.2)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert len(finish(survivor)) == 60
    times = Counter(shop.asked)
    assert set(times) == {f"q{n} {sample}" for n in range(60) for sample in range(2)}
    twice = [request for request, count in times.items() if count > 1]
    assert max(times.values()) <= 2
    assert len(twice) <= 4 * 2  # four questions of two samples were in flight
    assert shop.store().counts() == {"replies": 120}


def test_a_request_that_a_living_process_buys_is_waited_for(shop: Shop) -> None:
    key = key_of("request")
    one, other = shop.store(), shop.store()
    assert one.claim([key]) == {key}
    assert other.claim([key]) == one.claim([key]) == set()
    one.release([key])
    assert other.claim([key]) == {key}
    one.release([key])  # not its own
    assert one.claim([key]) == set()
    other.put({key: StoredReply("request", Reply("x"), "t", "now")})
    assert one.claim([key]) == set()  # there is nothing left to buy


def test_a_claim_ends_with_its_lease_or_its_process(shop: Shop) -> None:
    from benchmark.teachers.store import LEASE_SECONDS, _here

    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    now = time.time()
    claims = {
        "dead": (_here(), dead.pid, now + LEASE_SECONDS),
        "expired": ("another host", os.getpid(), now - 1),
        "remote": ("another host", dead.pid, now + LEASE_SECONDS),
        "alive": (_here(), os.getpid(), now + LEASE_SECONDS),
    }
    store = shop.store()
    for name, claim in claims.items():
        shop.change("INSERT INTO claims VALUES (?, 'somebody', ?, ?, ?)", bytes.fromhex(key_of(name)), *claim)
    keys = {key_of(name): name for name in claims}
    assert {keys[key] for key in store.claim(list(keys))} == {"dead", "expired"}


def test_claims_of_a_busy_process_are_renewed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.teachers.store.LEASE_SECONDS", 0.6)
    one, other = shop.store(), shop.store()
    one.claim([key_of("request")])
    time.sleep(1.5)  # as a model in this process would: nothing else gets a turn
    assert other.claim([key_of("request")]) == set()


def test_equal_requests_at_once_in_one_process_are_bought_once(shop: Shop) -> None:
    teacher = shop.teacher(delay=0.02)

    async def at_once() -> list[list[Reply]]:
        return list(await asyncio.gather(*(teacher.reply(replace(ASK, question_id=str(n)), 1) for n in range(5))))

    replies = asyncio.run(at_once())
    assert replies.count(replies[0]) == 5
    assert len(shop.asked) == 1


def test_a_reply_that_comes_too_late_gives_way_and_is_counted(shop: Shop) -> None:
    store, key = shop.store(), key_of("request")
    first, late = (StoredReply("request", Reply(text), "t", "now") for text in ("first", "late"))
    assert store.put({key: first}) == {key: first}
    assert store.put({key: late}) == {key: first} == store.lookup([key])
    assert store.counts() == {"replies": 1, "attempts: bought twice": 1}


# --- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("reply", '{"text": "another"}'),
        ("request", '{"prompt": "another"}'),
        ("reply", "{"),
        ("reply", 7),
        ("teacher", "another"),
        ("created", "another day"),
        ("checksum", b"\0"),
        ("checksum", "text"),
    ],
)
def test_a_damaged_row_is_told_and_bought_again(shop: Shop, column: str, value: Any) -> None:
    whole = shop.get(replace(ASK, prompt="whole"))
    shop.get()
    key = key_of(stored_request("scripted", ASK, 0))
    shop.change(f"UPDATE replies SET {column} = ? WHERE key = ?", value, bytes.fromhex(key))
    again = shop.get()
    assert len(shop.messages) == 1
    [line] = shop.messages
    assert line.startswith(f"{shop.path}: the reply to request {key[:16]} is damaged (")
    assert line.endswith("; it is bought again")
    assert (shop.get(), shop.get(replace(ASK, prompt="whole"))) == (again, whole)
    assert len(shop.asked) == 3
    assert len(shop.messages) == 1
    assert shop.store().counts() == {"replies": 2, "attempts: damaged": 1}


def test_a_flipped_byte_in_the_file_costs_one_reply(shop: Shop) -> None:
    store = shop.store()
    rows = {key_of([n]): StoredReply([n], Reply(f"the text of {n}"), "t", "now") for n in range(50)}
    store.put(rows)
    store.close()
    shop.opened.remove(store)
    content = shop.path.read_bytes()
    assert content.count(b"the text of 17") == 1
    shop.path.write_bytes(content.replace(b"the text of 17", b"the te\xfft of 17"))
    found = shop.store().lookup(rows.keys())
    assert found.keys() == rows.keys() - {key_of([17])}
    assert len(shop.messages) == 1


@pytest.mark.parametrize("content", [b"no database at all, " * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"notes\.txt is no teacher store.*; give another store_path, or move the file away$"
    ):
        TeacherStore(path, print)
    assert path.read_bytes() == content


def test_databases_of_others_and_of_other_versions_are_refused_and_left_alone(tmp_path: Path) -> None:
    for name, statement, complaint in (
        ("other", "CREATE TABLE mine (x)", "is a database of another program; give another store_path"),
        ("later", "PRAGMA user_version = 99", "has version 99, and this program reads version 2; export it"),
    ):
        path = tmp_path / name
        with sqlite3.connect(path) as database:
            database.execute(statement)
        database.close()
        before = path.read_bytes()
        with pytest.raises(ConfigError, match=complaint):
            TeacherStore(path, print)
        assert path.read_bytes() == before


def test_a_place_where_no_store_can_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be used \(unable to open database file\)"):
        TeacherStore(tmp_path, print)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made"):
        TeacherStore(tmp_path / "file" / "store.sqlite", print)


def test_damage_of_the_whole_file_is_one_line_with_the_way_out(shop: Shop) -> None:
    store = shop.store()
    store.put({key_of([n]): StoredReply([n], Reply("x" * 500), "t", "now") for n in range(200)})
    store.close()
    shop.opened.remove(store)
    content = bytearray(shop.path.read_bytes())
    content[4096 * 2 :] = b"\xff" * (len(content) - 4096 * 2)
    shop.path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"the teacher store .* is damaged .*; save what can be read with `python -m"):
        shop.store().lookup([key_of([n]) for n in range(200)])


# --- export and import ---------------------------------------------------------------------------------------------


def test_a_store_travels_as_lines(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    bought = shop.get(samples=3)
    lines, other = shop.folder / "lines.jsonl", shop.folder / "other.sqlite"
    assert main(["export", "--store", str(shop.path), str(lines)]) == 0
    assert main(["import", "--store", str(other), str(lines)]) == 0
    assert main(["import", "--store", str(other), str(lines)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "export: 3 moved, 0 known, 0 conflicting, 0 damaged",
        "import: 3 moved, 0 known, 0 conflicting, 0 damaged",
        "import: 0 moved, 3 known, 0 conflicting, 0 damaged",
    ]
    moved = StoredTeacher(CountingTeacher(shop.counter), "scripted", "scripted", shop.store(other), "me")
    deliveries = asyncio.run(moved.deliver(ASK, 3))
    assert [delivery.reply for delivery in deliveries] == bought
    assert not any(delivery.payment for delivery in deliveries)
    assert len(shop.asked) == 3
    assert main(["export", "--store", str(other), str(shop.folder / "again.jsonl")]) == 0
    assert (shop.folder / "again.jsonl").read_bytes() == lines.read_bytes()


def test_damaged_and_conflicting_lines_are_told_and_the_rest_goes_on(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.get(samples=5)
    lines, other = shop.folder / "lines.jsonl", shop.folder / "other.sqlite"
    main(["export", "--store", str(shop.path), str(lines)])
    rows = lines.read_text(encoding="utf-8").splitlines()
    conflict = StoredReply(stored_request("scripted", ASK, 3), Reply("mine"), "t", "now")
    key = key_of(conflict.request)
    shop.store(other).put({key: conflict})
    rows[0] = rows[0][:40]
    rows[1] = rows[1].replace('"text": "1: ', '"text": "2: ')
    lines.write_bytes("\n".join([*rows, "[]", ""]).encode() + b"\xff\n")
    capsys.readouterr()
    assert main(["import", "--store", str(other), str(lines)]) == 1
    out, err = capsys.readouterr()
    assert out == "import: 2 moved, 0 known, 1 conflicting, 4 damaged\n"
    messages = err.splitlines()
    assert [line.split(" is damaged (")[0] for line in messages if "is damaged" in line] == [
        f"{lines}, line {number}" for number in (1, 2, 6, 7)
    ]
    assert f"{lines}: request {key[:16]} has another reply in {other}, which is kept" in messages
    assert shop.store(other).lookup([key]) == {key: conflict}


def test_a_damaged_row_is_left_out_of_an_export(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.get(samples=2)
    shop.change("UPDATE replies SET reply = '{}' WHERE rowid = 1")
    assert main(["export", "--store", str(shop.path), str(shop.folder / "lines")]) == 1
    out, err = capsys.readouterr()
    assert out == "export: 1 moved, 0 known, 0 conflicting, 1 damaged\n"
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["export", "--store", "none", "lines"],
            "error: there is no teacher store none; it usually lies in results_dir",
        ),
        (["count", "--store", "none"], "error: there is no teacher store none; it usually lies in results_dir"),
        (["import", "--store", "new", "none"], "error: there is no file none to import"),
    ],
)
def test_what_is_not_there_is_refused_and_nothing_is_made(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"{complaint}\n"
    assert not list(tmp_path.iterdir())


def test_a_store_is_counted(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.get(samples=2)
    shop.get(replace(ASK, prompt="other"), finish="length")
    assert main(["count", "--store", str(shop.path)]) == 0
    assert [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()] == [
        ["2", "replies"],
        ["1", "attempts: length"],
    ]


# --- cells -----------------------------------------------------------------------------------------------------------

MODULE = """
    import dataclasses
    import os
    import signal
    from dataclasses import dataclass, field
    from pathlib import Path
    from typing import ClassVar

    from benchmark.teachers.simulated import SimulatedTeacher


    @dataclass(frozen=True)
    class PaidTeacher(SimulatedTeacher):
        stored: ClassVar[bool] = True
        counter: str = field(default="", metadata={"identity": False})
        dies_at: int = field(default=-1, metadata={"identity": False})

        def open(self, dataset):
            return _Open(super().open(dataset), Path(self.counter), self.dies_at)


    @dataclass(frozen=True)
    class _Open:
        real: object
        counter: Path
        dies_at: int

        def covers(self, question_id):
            return self.real.covers(question_id)

        def most(self, request, held_tokens=0):
            return self.real.most(request, held_tokens)

        async def reply(self, ask, samples, first=0):
            with self.counter.open("a") as lines:
                lines.write("".join(f"{ask.question_id} {n}\\n" for n in range(first, first + samples)))
            if len(self.counter.read_text().splitlines()) == self.dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return await self.real.reply(ask, samples, first)
"""
YAML = """
    _target_: store_test_teacher.PaidTeacher
    name: paid
    wrong_step_rate: 0.1
    wrong_answer_rate: 0.0
    malformed_rate: 0.0
    empty_rate: 0.0
    confidence_concentration: 4.0
    overconfidence: 1.0
    seed: 0
    price: {usd_per_million_prompt_tokens: 1.0, usd_per_million_completion_tokens: 3.0}
    licence: unknown
    counter: ???
    dies_at: -1
"""


@pytest.fixture
def paid(plugin: Callable[..., str], miniature: tuple[str, ...], tmp_path: Path) -> tuple[str, ...]:
    """The overrides of a small cell whose teacher is behind the store."""
    elsewhere = plugin({"store_test_teacher.py": MODULE}, {"teacher/paid": YAML})
    return (elsewhere, "teacher=paid", f"teacher.counter={tmp_path / 'counter'}", *miniature)


def last_books(record: dict[str, Any]) -> tuple[Any, Any]:
    return record["rounds"][-1]["charged"], record["rounds"][-1]["spent"]


TEST_QUESTIONS_TOO = "evaluation.paid_teacher_accuracy=true"


def test_nobody_pays_for_test_questions_unless_told_to(
    paid: tuple[str, ...], command: Callable[..., Any], results: Any, tmp_path: Path
) -> None:
    counter = tmp_path / "counter"
    assert command(*paid).status == 0
    assert len(asked(counter)) == 20
    assert results.record()["teacher_reference"] is None


def test_a_second_sweep_calls_nobody_and_is_charged_alike(
    paid: tuple[str, ...], command: Callable[..., Any], results: Any, tmp_path: Path
) -> None:
    counter, store = tmp_path / "counter", f"store_path={tmp_path / 'store.sqlite'}"
    assert command(*paid, store, TEST_QUESTIONS_TOO).status == 0
    calls = asked(counter)
    assert len(calls) == len(set(calls)) == 20 + 16  # the budget, and the reference on the test set
    first = results.record()
    charged, spent = last_books(first)
    assert charged == spent
    assert (charged["teacher"]["calls"], charged["teacher"]["questions"]) == (20, 20)

    again = command(*paid, store, TEST_QUESTIONS_TOO, f"results_dir={tmp_path / 'second'}")
    assert again.status == 0
    second = type(results)(tmp_path / "second").record()
    assert asked(counter) == calls
    assert second["cell_id"] == first["cell_id"]
    assert last_books(second) == (charged, {})
    assert second["test"][0]["value"] == first["test"][0]["value"]
    assert not (tmp_path / "second" / "teacher_store.sqlite").exists()


def test_seeds_and_methods_share_what_is_bought(
    paid: tuple[str, ...], command: Callable[..., Any], results: Any, tmp_path: Path
) -> None:
    everything = ("budget.questions=40", "references=false")
    done = command("-m", *paid, *everything, "seed=1,2", "method=step_by_step,answer_only")
    assert done.status == 0, done.err
    calls = asked(tmp_path / "counter")
    assert len(calls) == len(set(calls)) == 40
    books = [last_books(record) for record in results.records()]
    assert len(books) == 4
    assert all(charged["teacher"]["calls"] == 40 for charged, _ in books)
    assert sum(spent.get("teacher", {}).get("calls", 0) for _, spent in books) == 40
    assert (results.path / "teacher_store.sqlite").exists()


def test_a_cell_that_was_killed_says_what_it_paid_in_all(
    paid: tuple[str, ...], run_cli: Callable[..., Any], command: Callable[..., Any], results: Any, tmp_path: Path
) -> None:
    path = os.environ["PYTHONPATH"]
    died = run_cli(*paid, f"results_dir={results.path}", "teacher.dies_at=8", PYTHONPATH=path)
    assert died.returncode == -signal.SIGKILL
    assert command(*paid, f"results_dir={results.path}").status == 0
    calls = Counter(asked(tmp_path / "counter"))
    assert sorted(calls.values())[-2:] == [1, 2]  # the reply in flight was lost, and no other
    charged, spent = last_books(results.record())
    assert charged == spent
    assert charged["teacher"]["calls"] == 20


def test_a_free_teacher_makes_no_store(command: Callable[..., Any], results: Any, miniature: tuple[str, ...]) -> None:
    assert command(*miniature).status == 0
    assert last_books(results.record())[1] == {}
    assert not (results.path / "teacher_store.sqlite").exists()


def test_a_store_that_cannot_be_used_is_refused_before_any_work(
    paid: tuple[str, ...], command: Callable[..., Any], results: Any, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no database " * 100)
    done = command(*paid, f"store_path={tmp_path / 'notes.txt'}")
    assert done.status == 2
    assert done.complaint.startswith(f"{tmp_path / 'notes.txt'} is no teacher store")
    done = command(*paid, "store_path=''")
    assert done.complaint == "store_path is empty; give a file, or null for teacher_store.sqlite in results_dir"
    assert not results.cells()


def test_a_plan_makes_no_store(paid: tuple[str, ...], command: Callable[..., Any], results: Any) -> None:
    assert command(*paid, "mode=plan").status == 0
    assert not (results.path / "teacher_store.sqlite").exists()


def test_where_the_store_lies_is_no_part_of_a_cell(cell: Callable[..., Any]) -> None:
    from benchmark.cell.identity import cell_id

    assert cell_id(cell(["store_path=elsewhere"])) == cell_id(cell([]))


def test_usage_adds_up() -> None:
    ledger = Ledger()
    ledger.spend("teacher", Usage(1, 2, 3, 0.5))
    ledger.spend("teacher", Usage(questions=1))
    assert ledger.spent == {"teacher": Usage(1, 2, 3, 0.5, 1)}
    assert ledger.charged == {}
