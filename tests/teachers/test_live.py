"""A live teacher against a server that fails as its script says: exact numbers of requests, retries and tokens."""

from __future__ import annotations

import asyncio
import json
import random
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("openai")

from benchmark.axes.annotation import FewShotCot
from benchmark.buying.meter import TEACHER, Meter, QuestionMeter, Supplier
from benchmark.buying.purchase import SeparableContext, buy_in_rank_order
from benchmark.cell.identity import cell_id
from benchmark.errors import ConfigError, TeacherError
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.teachers.ledger import Budget, Ledger
from benchmark.teachers.live import LiveTeacher
from benchmark.teachers.openai_compatible import OpenAICompatibleTeacher
from benchmark.teachers.pacing import Clock, back_off_seconds
from benchmark.teachers.replies import until_stop
from benchmark.teachers.store import TeacherStore
from benchmark.teachers.stored_teacher import StoredTeacher
from benchmark.teachers.teacher import Price, Teacher, estimated_tokens
from benchmark.teachers.traffic import Traffic
from benchmark.types import Pick, PlannedRequest, Question, Reply, Request, Usage
from tests.corridor.corridor_parts import miniature
from tests.teachers.fault_server import TEXT, FaultServer, Step, error, serving, words

ASK = Request("few_shot_cot", "Q: What is two and two?\nA:", "q1")
KEY = "sk-very-secret-0123456789"
VARIABLE = "BENCHMARK_TEST_TEACHER_KEY"
TODAY = 1_800_000_000.0
PRICE = Price(1.0, 2.0)
PROMPT, COMPLETION = words(ASK.prompt), words(TEXT)


@dataclass
class Hours:
    """A clock that goes only by sleeping, and chance that always takes the most."""

    time: float = 0.0
    waits: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)

    def clock(self) -> Clock:
        return Clock(lambda: self.time, lambda: TODAY + self.time, self.sleep, lambda least, most: most)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serving() as running:
        yield running


@pytest.fixture
def hours() -> Hours:
    return Hours()


def teacher(server: FaultServer, **settings: Any) -> OpenAICompatibleTeacher:
    return OpenAICompatibleTeacher(**{"name": "live", "base_url": server.url, "model": "small"} | settings)


def opened(server: FaultServer, hours: Hours, **settings: Any) -> LiveTeacher:
    return teacher(server, **settings).open_with(hours.clock())


@dataclass
class SmallContext:
    """As much of a context as a few-shot annotation needs."""

    teachers: tuple[str, ...] = ("live",)
    task: GeneratedAnswer = field(default_factory=GeneratedAnswer)
    notes: dict[str, float] = field(default_factory=dict)

    def apart(self) -> SmallContext:
        return self

    def note(self, **counts: float) -> None:
        assert not counts

    def prompt(self, role: str, question: Question, temperature: float = 0.0) -> Request:
        return Request(role, f"Q: {question.text}\nA:", question.id, temperature=temperature)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TeacherStore]:
    kept = TeacherStore(tmp_path / "store", print)
    yield kept
    kept.close()


@dataclass(frozen=True)
class SmallCell:
    """As much of a cell as asks one question: the books, and the store between them and the teacher."""

    live: LiveTeacher
    store: TeacherStore
    ledger: Ledger = field(default_factory=Ledger)

    def request(self, request: Request = ASK) -> Reply:
        """One reply. What the question got and what was paid for nothing is booked, also where it fails then."""
        supplier = Supplier.behind_store(StoredTeacher(self.live, "live", "live", self.store, "me"), PRICE)
        question = QuestionMeter(Meter({"live": supplier}, self.ledger))
        try:
            [reply] = asyncio.run(question("live", request))
        finally:
            question.meter.commit(question.asked)
            question.meter.settle()
        return reply

    def assert_booked(self, charged: Usage, spent: Usage, store: dict[str, int]) -> None:
        """All that is in the ledger and in the store."""
        assert self.ledger == Ledger({TEACHER: charged}, {TEACHER: spent})
        assert self.store.counts() == store

    def assert_nothing_booked(self, failure: type[Exception]) -> None:
        """The question failed: the ledger is empty, and the store knows of the failure alone."""
        assert self.ledger == Ledger()
        assert self.store.counts() == {"replies": 0, f"attempts: failed: {failure.__name__}": 1}


def cost(prompt: int, completion: int) -> Usage:
    """One call at `PRICE`."""
    return PRICE.priced(Usage(1, prompt, completion))


WHOLE, FREE = cost(PROMPT, COMPLETION), cost(0, 0)
"""What a good reply costs, by the server's own count, and one that is charged no tokens."""


def asked(live: LiveTeacher, request: Request = ASK, samples: int = 1) -> list[Reply]:
    return asyncio.run(live.reply(request, samples))


def assert_books_agree(live: LiveTeacher, server: FaultServer, replies: list[Reply] | None = None) -> None:
    """Requests and tokens: the server's count, the traffic's and, where there are replies, theirs."""
    traffic = live.traffic
    assert traffic.requests == server.requests
    assert (traffic.prompt_tokens, traffic.completion_tokens) == (server.prompt_tokens, server.completion_tokens)
    if replies is not None:
        paid = sum((Price().with_waste(reply) for reply in replies), start=Usage())
        assert (paid.prompt_tokens, paid.completion_tokens) == (server.prompt_tokens, server.completion_tokens)


@pytest.mark.parametrize(
    ("script", "settings", "failure"),
    [
        pytest.param([Step(broken=True)] * 3, {"max_retries": 2}, TeacherError, id="given up"),
        pytest.param([Step(broken=True), error(400)], {}, ConfigError, id="refused after waste"),
        pytest.param([Step(broken=True), error(429, retry_after="999")], {}, TeacherError, id="too long a wait"),
    ],
)
def test_what_a_server_charged_for_nothing_at_all_is_spent(
    script: list[Step],
    settings: dict[str, Any],
    failure: type[Exception],
    server: FaultServer,
    hours: Hours,
    store: Any,
) -> None:
    server.script = script
    cell = SmallCell(opened(server, hours, **settings), store)
    with pytest.raises(failure):
        cell.request()
    assert server.prompt_tokens > 0
    paid = PRICE.priced(Usage(0, server.prompt_tokens, server.completion_tokens))
    assert cell.ledger == Ledger({}, {TEACHER: paid})
    assert_books_agree(cell.live, server)


# --- what is sent and read --------------------------------------------------------------------------------------------


def test_it_is_a_teacher(server: FaultServer) -> None:
    assert isinstance(teacher(server), Teacher)


def test_texts_that_end_a_request_go_to_raw_completion_alone(server: FaultServer, hours: Hours) -> None:
    request = replace(ASK, stop=("\nQ:", "END"))
    for api, own, sent in (
        ("completions", (), ["\nQ:", "END"]),
        ("completions", ("END", "."), ["END", ".", "\nQ:"]),
        ("chat", (), None),
        ("chat", (".",), ["."]),
    ):
        asked(opened(server, hours, api=api, stop=own), request)
        assert server.bodies[-1].get("stop") == sent


def test_a_chat_that_restates_its_question_is_read_behind_it(server: FaultServer, hours: Hours) -> None:
    server.script = [
        Step(texts=["Sure!\n\nQ: What is two and two?\nA: Four."]),
        Step(texts=["Q: What is two and two?\nA: Four. The answer is 4.\n\nQ: And three?"]),
        Step(texts=["The answer is 4.\n\nQ: What is two and two?\nA: The answer is 5."]),
        Step(texts=["Four. The answer is 4."]),
    ]
    live = opened(server, hours, logprobs=True)
    request = replace(ASK, stop=("\nQ:",))
    replies = [until_stop(asked(live, request)[0], request) for _ in range(4)]  # as `Supplier.deliver` does
    assert [reply.text for reply in replies] == [
        "Four.",
        "Four. The answer is 4.\n",
        "The answer is 4.\n",
        "Four. The answer is 4.",
    ]
    assert [reply.finish for reply in replies] == ["stop"] * 4
    assert [reply.log_probability is None for reply in replies] == [True, True, True, False]
    assert sum(reply.completion_tokens for reply in replies) == server.completion_tokens


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_server_that_writes_on_is_read_up_to_the_first_text_that_ends_the_request(
    api: str, server: FaultServer, hours: Hours, store: Any
) -> None:
    server.script = [Step(texts=["Four. END\nQ: and 5?\nA: END"], finish="length")]
    cell = SmallCell(opened(server, hours, api=api, logprobs=True), store)
    request = replace(ASK, stop=("\nQ:", "END"))
    reply = cell.request(request)
    assert (reply.text, reply.finish, reply.log_probability) == ("Four. ", "stop", None)
    assert reply.completion_tokens == server.completion_tokens
    assert cell.request(request) == reply  # so it is final, and in the store
    assert server.requests == 1


def test_a_chat_sends_all_settings(server: FaultServer, hours: Hours) -> None:
    live = opened(server, hours, top_p=0.9, stop=("\nQ:",), system_prompt="Be brief.", max_tokens=77)
    replies = asked(live, replace(ASK, temperature=0.7))
    assert server.bodies == [
        {
            "model": "small",
            "temperature": 0.7,
            "max_tokens": 77,
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ASK.prompt}],
            "top_p": 0.9,
            "stop": ["\nQ:"],
        }
    ]
    assert server.paths == ["/v1/chat/completions"]
    assert [(reply.text, reply.finish, reply.log_probability) for reply in replies] == [(TEXT, "stop", None)]
    assert_books_agree(live, server, replies)


def test_a_raw_completion_goes_on_from_the_begun_reply(server: FaultServer, hours: Hours) -> None:
    live = opened(server, hours, api="completions", token_cap_name="max_completion_tokens")
    replies = asked(live, replace(ASK, prefix=" Two and", max_new_tokens=5))
    assert server.bodies == [
        {
            "model": "small",
            "temperature": 0.0,
            "max_completion_tokens": 5,
            "prompt": "Q: What is two and two?\nA: Two and",
        }
    ]
    assert server.paths == ["/v1/completions"]
    assert replies[0].text == TEXT
    assert_books_agree(live, server, replies)


def test_a_chat_cannot_go_on_from_a_begun_reply(server: FaultServer, hours: Hours) -> None:
    with pytest.raises(ConfigError, match=r"few_shot_cot.*api=completions"):
        asked(opened(server, hours), replace(ASK, prefix="Two"))
    assert server.requests == 0


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_log_probabilities_are_summed(api: str, server: FaultServer, hours: Hours) -> None:
    [reply] = asked(opened(server, hours, api=api, logprobs=True))
    assert reply.log_probability == -0.5 * words(TEXT)
    assert reply.completion_tokens == words(TEXT)


@pytest.mark.parametrize("logprobs", [False, True])
def test_samples_in_one_request_share_its_tokens_exactly(logprobs: bool, hours: Hours) -> None:
    texts = ("one", "one two three four five", "one two three")
    with serving(texts=texts) as server:
        live = opened(server, hours, n_per_request=True, logprobs=logprobs)
        replies = asked(live, samples=3)
    assert [reply.text for reply in replies] == [*texts]
    assert server.requests == 1
    assert server.bodies[0]["n"] == 3
    assert [(reply.prompt_tokens, reply.shares_prompt) for reply in replies] == [
        (server.prompt_tokens, shared) for shared in (False, True, True)
    ]
    if logprobs:
        assert [reply.completion_tokens for reply in replies] == [1, 5, 3]
    assert_books_agree(live, server, replies)


def test_samples_in_requests_of_their_own_are_charged_one_by_one(server: FaultServer, hours: Hours) -> None:
    live = opened(server, hours)
    replies = asked(live, samples=3)
    assert server.requests == 3
    assert all("n" not in body for body in server.bodies)
    assert len({reply.prompt_tokens for reply in replies}) == 1
    assert_books_agree(live, server, replies)


def test_a_server_that_ignores_n_is_named_and_booked(server: FaultServer, hours: Hours) -> None:
    server.script = [Step(obeys_n=False)]
    live = opened(server, hours, n_per_request=True)
    with pytest.raises(ConfigError, match=r"3 samples .*n_per_request=false"):
        asked(live, samples=3)
    assert server.requests == 1
    assert_books_agree(live, server)


def test_the_same_request_is_sent_again_but_a_cell_asks_it_once(server: FaultServer, hours: Hours) -> None:
    live = opened(server, hours)
    asked(live)
    asked(live)
    assert server.requests == 2
    ledger = Ledger()
    meter = Meter({"live": Supplier(live, PRICE)}, ledger)
    question = QuestionMeter(meter)

    async def twice() -> None:
        assert await asyncio.gather(question("live", ASK), question("live", ASK))

    asyncio.run(twice())
    meter.commit(question.asked)
    assert server.requests == 3
    prompt, completion = words(ASK.prompt), words(TEXT)
    assert ledger.charged[TEACHER] == Usage(1, prompt, completion, (prompt + 2 * completion) / 1e6)
    assert_books_agree(live, server)


# --- faults that pass -------------------------------------------------------------------------------------------------

DATE = formatdate(TODAY + 20, usegmt=True)
PASSING = [
    pytest.param(error(429, Retry_After="7"), "rate limit", [7.5], 0, id="429, seconds"),
    pytest.param(error(429, Retry_After="0.25"), "rate limit", [0.75], 0, id="429, fraction of a second"),
    pytest.param(error(429, Retry_After=DATE), "rate limit", [20.5], 0, id="429, HTTP date"),
    pytest.param(error(429, Retry_After="0"), "rate limit", [0.5], 0, id="429, no seconds"),
    pytest.param(error(429, Retry_After="-5"), "rate limit", [0.5], 0, id="429, less than none"),
    pytest.param(error(429, Retry_After="soon"), "rate limit", [0.5], 0, id="429, unreadable"),
    pytest.param(error(429), "rate limit", [0.5], 0, id="429 without Retry-After"),
    pytest.param(error(503, Retry_After="3"), "server error", [3.5], 0, id="503, seconds"),
    pytest.param(error(500), "server error", [0.5], 0, id="500"),
    pytest.param(error(408), "time-out", [0.5], 0, id="408"),
    pytest.param(error(409), "conflict", [0.5], 0, id="409"),
    pytest.param(Step(hang=True), "time-out", [0.5], 1, id="hangs"),
    pytest.param(Step(cut=True), "connection cut", [0.5], 1, id="cut in mid-body"),
    *(
        pytest.param(Step(body=json.dumps(body).encode()), "error in the reply", [0.5], uncounted, id=f"200, {name}")
        for name, body, uncounted in (
            ("error", {"error": {"message": "busy"}}, 1),
            ("error as a text", {"error": "busy", "choices": []}, 1),
            ("error that costs nothing", {"error": {"message": "busy"}, "usage": {"prompt_tokens": 0}}, 0),
        )
    ),
]


@pytest.mark.parametrize(("step", "reason", "waits", "uncounted"), PASSING)
def test_a_fault_is_retried(
    step: Step,
    reason: str,
    waits: list[float],
    uncounted: int,
    server: FaultServer,
    hours: Hours,
    store: TeacherStore,
) -> None:
    server.script = [step]
    cell = SmallCell(opened(server, hours, timeout_seconds=0.3 if step.hang else 10.0), store)
    reply = cell.request()
    assert (reply.text, reply.finish) == (TEXT, "stop")
    assert server.requests == 2
    assert hours.waits == waits
    traffic = cell.live.traffic
    assert (traffic.retries, traffic.failures, traffic.uncounted_requests) == ({reason: 1}, {}, uncounted)
    cell.assert_booked(charged=WHOLE, spent=WHOLE, store={"replies": 1})
    assert_books_agree(cell.live, server, [reply])


def test_errors_in_replies_are_retried_and_what_they_cost_is_spent(
    server: FaultServer, hours: Hours, store: TeacherStore
) -> None:
    server.script = [Step(broken=True)]
    cell = SmallCell(opened(server, hours), store)
    reply = cell.request()
    assert (server.requests, hours.waits) == (2, [0.5])
    traffic = cell.live.traffic
    assert (traffic.retries, traffic.failures, traffic.uncounted_requests) == ({"error in the reply": 1}, {}, 0)
    cell.assert_booked(WHOLE, cost(2 * PROMPT, 2 * COMPLETION), {"replies": 1})
    assert_books_agree(cell.live, server, [reply])


def test_errors_in_replies_that_do_not_tell_their_cost_are_in_no_ledger(
    server: FaultServer, hours: Hours, store: TeacherStore
) -> None:
    server.script = [Step(broken=True, usage=False)]
    cell = SmallCell(opened(server, hours), store)
    cell.request()
    assert (server.requests, hours.waits) == (2, [0.5])
    traffic = cell.live.traffic
    assert (traffic.retries, traffic.failures, traffic.uncounted_requests) == ({"error in the reply": 1}, {}, 1)
    cell.assert_booked(charged=WHOLE, spent=WHOLE, store={"replies": 1})
    assert (server.prompt_tokens, server.completion_tokens) == (2 * PROMPT, 2 * COMPLETION)


def test_a_slow_first_byte_is_waited_for(server: FaultServer, hours: Hours, store: TeacherStore) -> None:
    server.script = [Step(delay=0.3)]
    cell = SmallCell(opened(server, hours, timeout_seconds=10.0), store)
    reply = cell.request()
    assert (server.requests, hours.waits, cell.live.traffic.retries) == (1, [], {})
    cell.assert_booked(charged=WHOLE, spent=WHOLE, store={"replies": 1})
    assert_books_agree(cell.live, server, [reply])


def test_waits_double_up_to_the_longest_and_charged_attempts_are_paid(server: FaultServer, hours: Hours) -> None:
    server.script = [Step(broken=True)] * 8
    live = opened(server, hours, max_retries=8)
    replies = asked(live)
    assert hours.waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert replies[0].prompt_tokens == words(ASK.prompt)
    assert replies[0].wasted_prompt_tokens == 8 * words(ASK.prompt)
    assert_books_agree(live, server, replies)


def test_a_server_that_asks_for_no_wait_is_waited_for_as_one_that_says_nothing(
    server: FaultServer, hours: Hours
) -> None:
    server.script = [error(429, Retry_After="0")] * 6
    asked(opened(server, hours))
    assert (server.requests, hours.waits) == (7, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0])


def test_waits_are_drawn_from_none_to_a_most_that_doubles_up_to_the_longest() -> None:
    mosts = [back_off_seconds(retry, Clock(draw=lambda least, most: most)) for retry in range(9)]
    assert mosts == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    for retry, most in enumerate(mosts):
        waits = [back_off_seconds(retry, Clock()) for _ in range(1000)]
        assert 0.0 <= min(waits) < 0.1 * most
        assert 0.9 * most < max(waits) <= most
        assert 300 < sum(wait < most / 2 for wait in waits) < 700


def bought_from(live: LiveTeacher, budget: Budget, store: Path) -> Ledger:
    """The books after three questions."""
    kept, ledger = TeacherStore(store, print), Ledger()
    meter = Meter({"live": Supplier.behind_store(StoredTeacher(live, "live", "live", kept, "me"), PRICE)}, ledger)
    bought = buy_in_rank_order(PICKS, FewShotCot(), cast(SeparableContext, SmallContext()), meter, budget, 1.0, 0)
    kept.close()
    assert len(bought) == len(PICKS)
    return ledger


PICKS = [Pick(Question(f"q{number}", f"{number} and {number}?")) for number in range(3)]
FIRST = SmallContext().prompt("few_shot_cot", PICKS[0].question)
WASTEFUL = [*[Step(broken=True)] * 60, Step(), error(500), Step(broken=True)]


def test_what_a_server_wastes_is_spent_and_not_charged(server: FaultServer, hours: Hours, tmp_path: Path) -> None:
    server.script = list(WASTEFUL)
    live = opened(server, hours, max_retries=60)
    ledger = bought_from(live, Budget(questions=3), tmp_path / "store")
    charged, spent = ledger.charged[TEACHER], ledger.spent[TEACHER]
    assert (charged.calls, spent.calls, server.requests) == (3, 3, 65)
    assert (spent.prompt_tokens, spent.completion_tokens) == (server.prompt_tokens, server.completion_tokens)
    assert (charged.prompt_tokens, charged.completion_tokens) == (3 * words(FIRST.prompt), 3 * words(TEXT))
    for usage in (charged, spent):
        assert usage.usd == pytest.approx((usage.prompt_tokens + 2 * usage.completion_tokens) / 1e6)
    assert_books_agree(live, server)


def test_what_is_bought_from_a_server_at_once_is_what_one_after_the_other_gives(tmp_path: Path) -> None:
    budget = Budget(tokens=900)
    picks = [Pick(Question(f"q{n}", f"{n} " + "and 1 " * (1 + n * 7 % 13))) for n in range(60)]
    found = set()
    for run in range(20):
        with serving() as server:
            chance = random.Random(run)
            server.script = [Step(delay=chance.uniform(0, 0.01)) for _ in picks] if run else []
            live = opened(server, Hours(), max_tokens=20, concurrency=32 if run else 1)
            kept, ledger = TeacherStore(tmp_path / f"store {run}", print), Ledger()
            meter = Meter(
                {"live": Supplier.behind_store(StoredTeacher(live, "live", "live", kept, "me"), PRICE, 32)}, ledger
            )
            bought = buy_in_rank_order(
                picks, FewShotCot(), cast(SeparableContext, SmallContext()), meter, budget, 1.0, 0
            )
            kept.close()
        charged = ledger.charged[TEACHER]
        assert not budget.exceeded(charged)
        assert ledger.spent == ledger.charged
        assert (charged.calls, charged.prompt_tokens) == (server.requests, server.prompt_tokens)
        assert charged.completion_tokens == server.completion_tokens
        found.add((repr(bought), repr(ledger)))
    assert len(found) == 1
    assert 10 < charged.questions < 50


def test_no_budget_counts_what_a_server_wastes(server: FaultServer, hours: Hours, tmp_path: Path) -> None:
    server.script = list(WASTEFUL)
    live = opened(server, hours, max_retries=60, max_tokens=20)
    worst = live.most(PlannedRequest("live", FIRST))
    ledger = bought_from(live, Budget(tokens=3 * worst.tokens), tmp_path / "store")
    assert ledger.spent[TEACHER].tokens > worst.tokens > ledger.charged[TEACHER].tokens


def test_a_refused_prompt_costs_nothing_and_the_cell_goes_on(server: FaultServer, hours: Hours, tmp_path: Path) -> None:
    server.script = [error(400, "flagged", "invalid_prompt")]
    ledger = bought_from(opened(server, hours), Budget(questions=3), tmp_path / "store")
    charged = ledger.charged[TEACHER]
    assert server.requests == charged.calls == charged.questions == 3
    assert (charged.prompt_tokens, charged.completion_tokens) == (2 * words(FIRST.prompt), 2 * words(TEXT))
    assert ledger.spent == ledger.charged


def test_faults_of_one_sample_leave_the_others_alone(server: FaultServer, hours: Hours) -> None:
    server.script = [error(500), error(429), Step(broken=True)]
    live = opened(server, hours)
    replies = asked(live, samples=4)
    assert [reply.text for reply in replies] == [TEXT] * 4
    assert server.requests == 7
    assert live.traffic.retries == {"server error": 1, "rate limit": 1, "error in the reply": 1}
    assert_books_agree(live, server, replies)


# --- faults that stay -------------------------------------------------------------------------------------------------


def test_it_gives_up_after_the_last_retry_and_what_was_charged_is_counted(
    server: FaultServer, hours: Hours, store: TeacherStore
) -> None:
    server.script = [error(500, "on fire"), Step(broken=True), error(500, "still on\nfire")]
    live = opened(server, hours, max_retries=2)
    cell = SmallCell(live, store)
    with pytest.raises(TeacherError) as raised:
        cell.request()
    assert str(raised.value) == (
        f"teacher=live at {server.url} gave no answer, asked 3 times: server error (HTTP 500: still on fire); "
        "replies bought so far are kept, and the same command resumes"
    )
    assert server.requests == 3
    assert live.traffic.retries == {"server error": 1, "error in the reply": 1}
    assert live.traffic.failures == {"server error": 1}
    assert cell.ledger == Ledger({}, {TEACHER: PRICE.priced(Usage(0, server.prompt_tokens, server.completion_tokens))})
    assert_books_agree(live, server)


@pytest.mark.parametrize("error", [{"message": f"upstream is\n busy, {KEY}"}, f"busy, {KEY}"], ids=["message", "text"])
def test_an_error_in_a_reply_is_told_in_the_servers_words_without_the_key(
    error: Any, server: FaultServer, hours: Hours, store: TeacherStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    server.script = [Step(body=json.dumps({"error": error}).encode())] * 3
    live = opened(server, hours, max_retries=2, api_key_variable=VARIABLE)
    cell = SmallCell(live, store)
    with pytest.raises(TeacherError) as raised:
        cell.request()
    words_ = r"asked 3 times: error in the reply \(HTTP 200: (upstream is )?busy, \[key\]\); replies bought so far"
    assert re.search(words_, str(raised.value))
    assert KEY not in str(raised.value)
    assert server.requests == live.traffic.uncounted_requests == 3
    assert live.traffic.retries == {"error in the reply": 2}
    assert live.traffic.failures == {"error in the reply": 1}
    cell.assert_nothing_booked(TeacherError)


def test_after_a_failure_the_other_samples_are_not_bought(server: FaultServer, hours: Hours) -> None:
    server.script = [error(400, "no such thing")]
    live = opened(server, hours, concurrency=1)
    with pytest.raises(ConfigError):
        asked(live, samples=20)
    assert server.requests <= 2


def test_a_server_that_is_down_is_named(hours: Hours) -> None:
    with serving() as server:
        pass
    live = opened(server, hours, max_retries=1)
    with pytest.raises(TeacherError, match=rf"{re.escape(server.url)} gave no answer, asked 2 times: no connection"):
        asked(live)
    assert live.traffic == Traffic(requests=2, retries=live.traffic.retries, failures=live.traffic.failures)
    assert (live.traffic.retries, live.traffic.failures) == ({"no connection": 1}, {"no connection": 1})


def test_a_wait_beyond_patience_ends_it(server: FaultServer, hours: Hours, store: TeacherStore) -> None:
    server.script = [error(429, Retry_After="3600")]
    cell = SmallCell(opened(server, hours, longest_wait_seconds=60.0), store)
    with pytest.raises(TeacherError, match=r"asks to wait 3600 s, longer than teacher\.longest_wait_seconds=60"):
        cell.request()
    assert (server.requests, hours.waits) == (1, [])
    cell.assert_nothing_booked(TeacherError)


FINAL = [
    pytest.param({}, error(401, "bad"), ConfigError, ["asks for a key", "api_key_variable"], "key", id="401, no key"),
    pytest.param(
        {"api_key_variable": VARIABLE},
        error(401, f"Incorrect API key: {KEY}"),
        ConfigError,
        ["refuses the key", VARIABLE],
        "key",
        id="401, wrong key",
    ),
    pytest.param(
        {"api_key_variable": VARIABLE}, error(403), ConfigError, ["HTTP 403", VARIABLE], "key", id="403, wrong key"
    ),
    pytest.param(
        {"model": "smal"},
        error(404, "The model `smal` does not exist"),
        ConfigError,
        ["no model 'smal'; it has large, small"],
        "not found",
        id="404, unknown model",
    ),
    pytest.param({}, error(404), ConfigError, ["/v1", "teacher.api=completions"], "not found", id="404, wrong path"),
    *(
        pytest.param(
            {"model": "smal"},
            error(status, "smal is not a valid model ID"),
            ConfigError,
            ["no model 'smal'; it has large, small", f"HTTP {status}: smal is not a valid model ID"],
            "not found",
            id=f"{status}, unknown model",
        )
        for status in (400, 422)
    ),
    pytest.param(
        {"model": "smal"},
        error(400, "This model's maximum context length is 4096 tokens"),
        ConfigError,
        ["window of smal"],
        "context overflow",
        id="400, context overflow of a model that is not listed",
    ),
    pytest.param(
        {},
        error(400, "This model's maximum context length is 4096 tokens", "context_length_exceeded"),
        ConfigError,
        ["few_shot_cot prompt of question 'q1' and 512 new tokens", "4096", "teacher.max_tokens"],
        "context overflow",
        id="400, context overflow",
    ),
    pytest.param(
        {},
        error(400, "the request exceeds the available context size. try increasing it"),
        ConfigError,
        ["window of small"],
        "context overflow",
        id="400, context overflow in other words",
    ),
    pytest.param(
        {"api_key_variable": VARIABLE},
        error(400, f"unknown\nargument {KEY} " + "x" * 500),
        ConfigError,
        ["HTTP 400", "unknown argument [key]"],
        "HTTP 400",
        id="400, anything else",
    ),
    pytest.param({}, error(422, "no"), ConfigError, ["HTTP 422"], "HTTP 422", id="422"),
    pytest.param(
        {}, error(429, "quota", "insufficient_quota"), TeacherError, ["no credit left"], "no credit", id="no credit"
    ),
]


@pytest.mark.parametrize(("settings", "step", "kind", "words_", "reason"), FINAL)
def test_what_no_retry_cures_is_told_in_one_line(
    settings: dict[str, Any],
    step: Step,
    kind: type[Exception],
    words_: list[str],
    reason: str,
    server: FaultServer,
    hours: Hours,
    store: TeacherStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import traceback

    monkeypatch.setenv(VARIABLE, KEY)
    server.script = [step]
    live = opened(server, hours, **settings)
    cell = SmallCell(live, store)
    with pytest.raises(kind) as raised:
        cell.request()
    message = str(raised.value)
    assert all(word in message for word in [*words_, server.url, "teacher=live"]), message
    assert "\n" not in message
    assert len(message) < 700
    assert (server.requests, hours.waits, live.traffic.retries) == (1, [], {})
    assert live.traffic.failures == {reason: 1}
    cell.assert_nothing_booked(kind)
    assert_books_agree(live, server)
    text = "".join(traceback.format_exception(raised.value))
    assert KEY not in text
    assert "openai" not in text.replace("openai_compatible", "")


def test_a_server_without_a_list_of_models(server: FaultServer, hours: Hours) -> None:
    server.script, server.models = [error(404, "model not found")], None
    with pytest.raises(ConfigError, match=r"does not know /chat/completions or the model 'small'.*model not found"):
        asked(opened(server, hours))
    server.script = [error(400, "temperature is too high")]
    with pytest.raises(ConfigError, match=r"refuses the request \(HTTP 400: temperature is too high\)"):
        asked(opened(server, hours))


@pytest.mark.parametrize(
    ("api", "system_prompt", "asked", "cap"),
    [
        pytest.param("chat", None, ASK, 512, id="the teacher's cap"),
        pytest.param("chat", "Be brief.", ASK, 512, id="a system prompt"),
        pytest.param("chat", None, replace(ASK, max_new_tokens=40), 40, id="the request's cap"),
        pytest.param("completions", None, replace(ASK, prefix=" Two and two"), 512, id="a begun reply"),
    ],
)
def test_what_does_not_fit_into_the_window_is_not_sent(
    api: str,
    system_prompt: str | None,
    asked: Request,
    cap: int,
    server: FaultServer,
    hours: Hours,
    store: TeacherStore,
) -> None:
    """Some servers cut such a prompt and say nothing."""
    prompt = estimated_tokens((system_prompt or "") + asked.prompt + asked.prefix)
    settings = {"api": api, "system_prompt": system_prompt}
    cell = SmallCell(opened(server, hours, **settings, context_window=prompt + cap - 1), store)
    with pytest.raises(ConfigError) as raised:
        cell.request(asked)
    assert str(raised.value) == (
        f"teacher=live at {server.url}: the few_shot_cot prompt of question 'q1' and {cap} new tokens do not fit into "
        f"the window of small (about {prompt} tokens of prompt, teacher.context_window={prompt + cap - 1}); lower "
        "teacher.max_tokens, serve the model with a longer window, or choose another one"
    )
    assert (server.requests, cell.live.traffic.requests) == (0, 0)
    cell.assert_nothing_booked(ConfigError)
    assert cell.live.traffic.failures == {"context overflow": 1}
    roomy = SmallCell(opened(server, hours, **settings, context_window=prompt + cap), store)
    assert roomy.request(asked).text == TEXT
    assert server.requests == 1


# --- replies that are final but not whole -----------------------------------------------------------------------------

AZURE_REFUSAL = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}}


ENDS = [
    pytest.param(Step(finish="length"), TEXT, "length", WHOLE, id="cut at the cap"),
    *(
        pytest.param(Step(finish=reason), TEXT, "length", WHOLE, id=f"cut at the cap, {reason}")
        for reason in ("max_tokens", "MAX_TOKENS")
    ),
    pytest.param(Step(finish="content_filter"), "", "content_filter", WHOLE, id="reply filtered"),
    pytest.param(Step(refusal="I cannot help"), "", "content_filter", WHOLE, id="refused"),
    *(
        pytest.param(error(400, "flagged", code), "", "content_filter", FREE, id=f"prompt refused, {code}")
        for code in ("content_filter", "content_policy_violation", "invalid_prompt", "ResponsibleAIPolicyViolation")
    ),
    *(
        pytest.param(
            Step(400, body=json.dumps({"error": {"code": "400", inner: AZURE_REFUSAL}}).encode()),
            "",
            "content_filter",
            FREE,
            id=f"prompt refused, {inner}",
        )
        for inner in ("innererror", "inner_error")
    ),
    pytest.param(Step(finish=None), TEXT, "stop", WHOLE, id="no reason given"),
    *(
        pytest.param(Step(finish=reason), TEXT, "stop", WHOLE, id=f"ended by itself, {reason}")
        for reason in ("eos", "eos_token", "end_turn", "stop_sequence", "STOP")
    ),
    pytest.param(Step(finish="tool_calls"), TEXT, "other", WHOLE, id="a reason that says neither"),
    pytest.param(Step(texts=("",)), "", "stop", cost(PROMPT, 0), id="says nothing"),
]


@pytest.mark.parametrize(("step", "text", "finish", "paid"), ENDS)
def test_how_a_reply_ended(
    step: Step, text: str, finish: str, paid: Usage, server: FaultServer, hours: Hours, store: TeacherStore
) -> None:
    server.script = [step]
    cell = SmallCell(opened(server, hours), store)
    reply = cell.request()
    assert (reply.text, reply.finish) == (text, finish)
    assert (server.requests, cell.live.traffic.retries, cell.live.traffic.failures) == (1, {}, {})
    outcome = "empty" if finish == "stop" else finish
    kept = {"replies": 1} if finish == "stop" and text else {"replies": 0, f"attempts: {outcome}": 1}
    cell.assert_booked(charged=paid, spent=paid, store=kept)
    assert_books_agree(cell.live, server, [reply])


def test_a_reply_that_is_cut_at_a_cap_of_the_recipe_is_kept(
    server: FaultServer, hours: Hours, store: TeacherStore
) -> None:
    server.script = [Step(finish="length")]
    cell = SmallCell(opened(server, hours), store)
    reply = cell.request(replace(ASK, max_new_tokens=COMPLETION, cap_is_final=True))
    assert (reply.text, reply.finish) == (TEXT, "length")
    assert (server.requests, cell.live.traffic.retries, cell.live.traffic.failures) == (1, {}, {})
    cell.assert_booked(charged=WHOLE, spent=WHOLE, store={"replies": 1})
    assert_books_agree(cell.live, server, [reply])


def test_missing_usage_is_estimated_and_marked(server: FaultServer, hours: Hours, store: TeacherStore) -> None:
    server.script = [Step(), Step(usage=False)]
    cell = SmallCell(opened(server, hours), store)
    [counted], reply = asked(cell.live), cell.request()
    assert (counted.tokens_are_estimated, reply.tokens_are_estimated) == (False, True)
    traffic, estimate = cell.live.traffic, cost(estimated_tokens(ASK.prompt), estimated_tokens(TEXT))
    assert (server.requests, traffic.requests, traffic.estimated_requests, traffic.retries) == (2, 2, 1, {})
    cell.assert_booked(charged=estimate, spent=estimate, store={"replies": 1})
    assert (server.prompt_tokens, server.completion_tokens) == (2 * PROMPT, 2 * COMPLETION)


# --- limits -----------------------------------------------------------------------------------------------------------


def _gather(live: LiveTeacher, count: int) -> list[list[Reply]]:
    async def everything() -> list[list[Reply]]:
        requests = [replace(ASK, question_id=str(number)) for number in range(count)]
        return await asyncio.gather(*(live.reply(request, 1) for request in requests))

    return asyncio.run(everything())


def test_no_more_requests_are_in_flight_than_allowed(hours: Hours) -> None:
    with serving(latency=0.03) as server:
        live = opened(server, hours, concurrency=4)
        replies = [reply for each in _gather(live, 24) for reply in each]
        assert server.most_in_flight == 4
        assert_books_agree(live, server, replies)


def test_requests_that_are_told_the_same_wait_do_not_come_back_at_once(server: FaultServer, hours: Hours) -> None:
    live = teacher(server).open_with(replace(hours.clock(), draw=Clock().draw))
    asked(live)  # a server that was not heard yet is asked little at once
    server.script = [error(429, Retry_After="7")] * 32
    _gather(live, 32)
    assert server.requests == 65
    assert min(hours.waits) >= 7.0
    assert len(set(hours.waits)) == 32


@dataclass
class Starts:
    """A clock that stands still: a wait says when its request would have started."""

    at: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.at.append(seconds)

    def clock(self) -> Clock:
        return Clock(lambda: 0.0, lambda: TODAY, self.sleep, lambda least, most: most)


def test_requests_per_minute_are_kept_in_any_minute_and_in_order(server: FaultServer) -> None:
    starts = Starts()
    _gather(teacher(server, requests_per_minute=30.0).open_with(starts.clock()), 70)
    at = [0.0, *starts.at]
    assert at == sorted(at)
    assert max(sum(start <= other < start + 60 for other in at) for start in at) == 30
    assert server.requests == 70


def test_tokens_per_minute_count_prompt_and_cap_first_and_what_was_used_then(server: FaultServer, hours: Hours) -> None:
    live = opened(server, hours, tokens_per_minute=600.0, max_tokens=100)
    for _ in range(3):
        asked(live)
    used = words(ASK.prompt) + words(TEXT)
    assert hours.waits == pytest.approx([used / 10, used / 10])
    starts = Starts()
    live = teacher(server, tokens_per_minute=600.0, max_tokens=100).open_with(starts.clock())
    asked(live)  # the first request to a server goes alone
    _gather(live, 3)
    most = estimated_tokens(ASK.prompt) + 100
    assert starts.at == pytest.approx([used / 10, (used + most) / 10, (used + 2 * most) / 10])


def test_retries_are_within_the_limit_too(server: FaultServer, hours: Hours) -> None:
    server.script = [error(500)]
    asked(opened(server, hours, requests_per_minute=6.0))
    assert hours.waits == [0.5, 9.5]


# --- event loops ------------------------------------------------------------------------------------------------------


def test_every_event_loop_has_its_own_client_closed_at_its_end(server: FaultServer, hours: Hours) -> None:
    import gc

    live = opened(server, hours)
    clients: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            _gather(live, 3)
            clients.append(live._connection and live._connection.client)
        gc.collect()
    assert clients[0] is not clients[1]
    assert all(client.is_closed() for client in clients)


def test_the_users_own_key_is_not_sent_to_a_server_that_needs_none(
    server: FaultServer, hours: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv(VARIABLE, "another")
    asked(opened(server, hours))
    asked(opened(server, hours, api_key_variable=VARIABLE))
    assert server.keys == ["Bearer none-needed", "Bearer another"]


def test_nothing_else_of_the_users_environment_is_sent_to_a_server_that_needs_no_key(
    server: FaultServer, hours: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-gateway: secret")
    monkeypatch.setenv("OPENAI_ORG_ID", "secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "secret")
    asked(opened(server, hours))
    [headers] = server.headers
    assert not [name for name, value in headers.items() if "secret" in value]
    assert headers["authorization"] == "Bearer none-needed"


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "127.0.0.1:8000"}, "base_url='127.0.0.1:8000' must begin with http"),
        ({"base_url": f"http://me:{KEY}@host/v1"}, "must not hold a user name"),
        ({"base_url": f"http://host/v1?key={KEY}"}, "must not hold a user name"),
        ({"api_key_variable": KEY}, "must be the name of an environment variable"),
        ({"api_key_variable": KEY.replace("-", "_")}, "must be the name of an environment variable"),
        ({"max_tokens": 0}, "max_tokens=0 must be above 0"),
        ({"context_window": 0}, "context_window=0 must be above 0"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"requests_per_minute": 0.0}, "requests_per_minute=0.0"),
        ({"tokens_per_minute": -1.0}, "tokens_per_minute=-1.0"),
        ({"timeout_seconds": 0.0}, "timeout_seconds=0.0"),
        ({"max_retries": -1}, "max_retries=-1"),
        ({"top_p": 1.5}, "top_p=1.5"),
        ({"api": "completions", "system_prompt": "Be brief."}, "system_prompt=null"),
    ],
)
def test_wrong_settings_are_refused_without_repeating_a_secret(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        OpenAICompatibleTeacher(**{"name": "live", "base_url": "http://host/v1", "model": "small"} | settings)
    assert KEY not in str(raised.value).replace("_", "-")


def test_a_variable_in_small_letters_is_taken_where_it_is_set(
    server: FaultServer, hours: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("my_key", KEY)
    asked(opened(server, hours, api_key_variable="my_key"))
    assert server.keys == [f"Bearer {KEY}"]


SCIENCE = [
    {"model": "large"},
    {"revision": "2"},
    {"api": "completions"},
    {"max_tokens": 1},
    {"top_p": 0.5},
    {"stop": ("\n",)},
    {"system_prompt": "Be brief."},
    {"logprobs": True},
    {"parameter_names": {"temperature": None}},
    {"thinking": "keep"},
]
ELSEWHERE = [
    {"base_url": "http://elsewhere/v1"},
    {"api_key_variable": VARIABLE},
    {"context_window": 4096},
    {"n_per_request": True},
    {"token_cap_name": "max_completion_tokens"},
    {"parameter_names": {"temperature": "heat"}},
    {"concurrency": 1},
    {"requests_per_minute": 1.0},
    {"tokens_per_minute": 1.0},
    {"timeout_seconds": 1.0},
    {"max_retries": 1},
    {"longest_wait_seconds": 1.0},
    {"price": Price(1.0, 1.0)},
    {"licence": "MIT"},
]


def test_what_changes_the_replies_is_the_identity_and_nothing_else() -> None:
    base = OpenAICompatibleTeacher("live", "http://host/v1", "small")
    cell = miniature()
    own = cell_id(replace(cell, teacher=base))
    named = {name for settings in [*SCIENCE, *ELSEWHERE] for name in settings} | {"name", "traffic", "left_out"}
    assert named == {each.name for each in fields(base)}
    for settings in SCIENCE:
        assert cell_id(replace(cell, teacher=replace(base, **settings))) != own, settings
    for settings in ELSEWHERE:
        assert cell_id(replace(cell, teacher=replace(base, **settings))) == own, settings


# --- the command line -------------------------------------------------------------------------------------------------


Run = Callable[..., Any]
LIVE = ("teacher=openai_compatible", "teacher.model=small", "teacher.max_retries=0")


def test_a_missing_variable_is_refused_before_any_work(
    command: Run, server: FaultServer, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    arguments = (*LIVE, f"teacher.base_url={server.url}", *miniature, f"results_dir={results.path}")
    for more in ((), ("mode=plan",)):
        done = command(*arguments, f"teacher.api_key_variable={VARIABLE}", *more)
        assert done.status == 2
        assert VARIABLE in done.complaint
    assert (server.requests, results.cells()) == (0, set())


@pytest.mark.parametrize(
    "more", [(), ("mode=plan",), ("mode=annotate",), ("-m", "seed=1,2"), ("-m", "seed=1,2", "mode=plan")], ids=" ".join
)
def test_a_key_in_place_of_its_variable_is_refused_without_repeating_it(
    more: tuple[str, ...], command: Run, server: FaultServer, miniature: tuple[str, ...], results: Any
) -> None:
    key = "hf_AbCdEfGh123"
    arguments = (*LIVE, f"teacher.base_url={server.url}", *miniature, f"results_dir={results.path}")
    done = command(*more, *arguments, f"teacher.api_key_variable={key}")
    assert done.status == 2
    assert "teacher: api_key_variable must be the name of an environment variable" in done.complaint
    assert key not in done.out + done.err
    assert (server.requests, [path for path in results.path.parent.rglob("*") if path.is_file()]) == (0, [])


@pytest.mark.parametrize("mode", ["run", "plan"])
def test_a_sweep_over_addresses_with_a_password_repeats_none(
    mode: str, command: Run, miniature: tuple[str, ...]
) -> None:
    addresses = "http://me:hunter2@a/v1,http://me:hunter3@b/v1"
    done = command("-m", *LIVE, *miniature, f"teacher.base_url={addresses}", f"mode={mode}")
    assert "base_url must not hold a user name" in done.out + done.err
    assert "hunter" not in done.out + done.err


def test_a_missing_address_is_refused_before_any_work(command: Run, results: Any) -> None:
    done = command("teacher=openai_compatible", f"results_dir={results.path}")
    assert done.status == 2
    assert "teacher.base_url=URL" in done.complaint


def test_a_plan_asks_no_server(command: Run, server: FaultServer, miniature: tuple[str, ...], results: Any) -> None:
    done = command(*LIVE, f"teacher.base_url={server.url}", *miniature, f"results_dir={results.path}", "mode=plan")
    assert (done.status, server.requests) == (0, 0), done.err


def test_a_server_that_is_down_is_one_line(command: Run, miniature: tuple[str, ...], results: Any) -> None:
    with serving() as server:
        pass
    done = command(*LIVE, f"teacher.base_url={server.url}", *miniature, f"results_dir={results.path}")
    assert done.status == 1
    assert "Traceback" not in done.err
    assert server.url in done.err.splitlines()[-1]


@pytest.mark.parametrize("mode", ["annotate", "run"])
def test_a_misspelt_model_is_one_line_with_the_servers_list(
    mode: str, command: Run, server: FaultServer, miniature: tuple[str, ...], results: Any
) -> None:
    server.script = [error(400, "smal is not a valid model ID")] * 40
    arguments = (*LIVE, "teacher.model=smal", f"teacher.base_url={server.url}", *miniature, f"mode={mode}")
    done = command(*arguments, f"results_dir={results.path}")
    assert done.status == (2 if mode == "run" else 1)
    assert "Traceback" not in done.out + done.err
    [line] = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert "no model 'smal'; it has large, small" in line


def test_a_cell_learns_from_a_live_teacher_and_the_key_is_nowhere(
    command: Run, miniature: tuple[str, ...], results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setenv(VARIABLE, KEY)
    logger = "wandb" if importlib.util.find_spec("wandb") else "csv"
    with serving() as server:
        arguments = (
            *LIVE,
            f"teacher.base_url={server.url}",
            f"teacher.api_key_variable={VARIABLE}",
            f"logger={logger}",
            *miniature,
            f"results_dir={results.path}",
        )
        done, shown = command(*arguments), command(*arguments, "--cfg", "job")
    assert done.status == 0, done.err
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert "HTTP Request" not in done.err
    record = results.record()
    charged = record["rounds"][-1]["charged"]["teacher"]
    assert charged["calls"] == 20 == server.requests
    assert VARIABLE in shown.out
    assert not [text for text in (done.out, done.err, shown.out, shown.err) if KEY in text]
    files = [path for path in results.path.parent.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
