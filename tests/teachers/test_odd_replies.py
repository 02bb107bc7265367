"""Replies as real servers give them: traces, empty texts, unknown forms; how often each kind is asked and paid for."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("openai")

from benchmark.buying.meter import TEACHER, Meter, QuestionMeter, Supplier
from benchmark.buying.reply_counts import ReplyCounts
from benchmark.errors import ConfigError, TeacherError
from benchmark.teachers.completions import read_answer
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.live import UNKNOWN_IN_A_ROW
from benchmark.teachers.openai_compatible import OpenAICompatibleTeacher
from benchmark.teachers.pacing import Clock
from benchmark.teachers.replies import rationale_with_trace, split_answer
from benchmark.teachers.store import TeacherStore
from benchmark.teachers.store_key import key_of, stored_request, teacher_identity
from benchmark.teachers.stored_reply import StoredReply, now
from benchmark.teachers.stored_teacher import StoredTeacher
from benchmark.teachers.teacher import Price
from benchmark.types import Json, Reply, Request, Thinking, Usage
from tests.teachers.fault_server import FaultServer, Step, serving

ASK = Request("few_shot_cot", "Q: What is two and two?\nA:", "q1")
KEY = "sk-very-secret-0123456789"
DEFAULT = "Two and two make four. The answer is 4."
"""What the server says if nothing else is scripted."""
TRACE, TEXT = "Hmm, 2+2. Is it 5? No, 4.", "Two and two make four. The answer is 4."
USAGE = {"prompt_tokens": 7, "completion_tokens": 30}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serving() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TeacherStore]:
    kept = TeacherStore(tmp_path / "store", print)
    yield kept
    kept.close()


def chat(message: Json, finish: str | None = "stop", **more: Json) -> Step:
    """The server's reply with one message, as it stands."""
    body = {"choices": [{"index": 0, "message": message, "finish_reason": finish, **more}], "usage": USAGE}
    return Step(body=json.dumps(body).encode())


@dataclass
class Buyer:
    """Cells that ask the same question one after the other, each with books of its own, and share a store."""

    server: FaultServer
    store: TeacherStore
    settings: dict[str, Any] = field(default_factory=dict)

    def ask(self, request: Request = ASK, samples: int = 1, thinking: Thinking = "strip") -> tuple[list[Reply], Meter]:
        """The replies that an annotator gets, and the meter with what they cost."""
        teacher = OpenAICompatibleTeacher("live", self.server.url, "small", **self.settings)
        opened = StoredTeacher(teacher.open_with(_patient()), "live", "live", self.store, "me")
        meter = Meter({"live": Supplier.behind_store(opened, Price(), thinking=thinking)}, Ledger())
        question = QuestionMeter(meter)
        try:
            return asyncio.run(question("live", request, samples)), meter
        finally:
            meter.commit(question.asked)
            meter.settle()


def rationale_and_answer(reply: Reply) -> tuple[str | None, str | None]:
    """As an annotator reads a reply."""
    said, answer = split_answer(reply.text)
    return rationale_with_trace(reply, said), answer


def _patient() -> Clock:
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    return Clock(sleep=sleep)


# --- traces -----------------------------------------------------------------------------------------------------------


def thinking_part(trace: Json) -> Json:
    return {"type": "thinking", "thinking": trace}


THOUGHTS = {
    "tags": {"content": f"<think>\n{TRACE}\n</think>\n\n{TEXT}"},
    "a closing tag alone": {"content": f"{TRACE}\n</think>\n\n{TEXT}"},
    "tags of another family": {"content": f"[THINK]{TRACE}[/THINK]{TEXT}"},
    "a field": {"content": TEXT, "reasoning_content": TRACE},
    "a field with another name": {"content": TEXT, "reasoning": TRACE},
    "a list of details": {"content": TEXT, "reasoning_details": [{"type": "reasoning.text", "text": TRACE}]},
    "parts": {"content": [thinking_part(TRACE), {"type": "text", "text": TEXT}]},
    "parts in parts": {"content": [thinking_part([{"type": "text", "text": TRACE}]), {"type": "text", "text": TEXT}]},
    "the channels of gpt-oss": {
        "content": f"<|channel|>analysis<|message|>{TRACE}<|end|><|start|>assistant<|channel|>final<|message|>{TEXT}"
    },
    "channels without their marks": {"content": f"{TRACE}assistantfinal{TEXT}"},
    "a field with tags": {"content": TEXT, "reasoning": f"<think>\n{TRACE}\n</think>"},
    "a summary": {
        "content": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": TRACE}]},
            {"type": "output_text", "text": TEXT},
        ]
    },
}


@pytest.mark.parametrize("message", THOUGHTS.values(), ids=THOUGHTS.keys())
def test_a_trace_stands_apart_however_it_is_sent(message: Json, server: FaultServer, store: TeacherStore) -> None:
    server.script = [chat(message)]
    buyer = Buyer(server, store)
    rationales = {}
    for thinking in ("strip", "keep", "only"):
        [reply], meter = buyer.ask(thinking=thinking)
        assert (reply.text, reply.trace, reply.thinking) == (TEXT, TRACE, thinking)
        rationales[thinking] = rationale_and_answer(reply)
        assert meter.reply_counts == {"live": ReplyCounts(replies=1, with_trace=1)}
        charged = Usage(1, USAGE["prompt_tokens"], USAGE["completion_tokens"])
        assert meter.ledger.charged == {TEACHER: charged}, "the tokens of the trace are booked whatever becomes of it"
    assert rationales == {
        "strip": ("Two and two make four.", "4"),
        "keep": (f"<think>\n{TRACE}\n</think>\n\nTwo and two make four.", "4"),
        "only": (TRACE, "4"),
    }
    assert server.requests == 1, "another policy buys nothing"


def test_parts_without_a_trace_are_joined(server: FaultServer, store: TeacherStore) -> None:
    server.script = [chat({"content": [{"type": "text", "text": "Two and two make four. "}, "The answer is 4."]})]
    [reply], meter = Buyer(server, store).ask()
    assert (reply.text, reply.trace, meter.reply_counts["live"].with_trace) == (TEXT, None, 0)


@pytest.mark.parametrize("thinking", ["strip", "keep", "only"])
@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_a_reply_that_stands_in_the_field_of_the_trace_alone_is_read(
    name: str, thinking: Thinking, server: FaultServer, store: TeacherStore
) -> None:
    server.script = [chat({"content": None, name: f"{TRACE} The answer is 4."})]
    [reply], meter = Buyer(server, store).ask(thinking=thinking)
    assert rationale_and_answer(reply) == (TRACE, "4")
    assert meter.reply_counts == {"live": ReplyCounts(replies=1, with_trace=1, unclosed_traces=1)}
    Buyer(server, store).ask()
    assert server.requests == 1


def test_a_whole_output_in_the_field_of_the_trace_is_taken_apart(server: FaultServer, store: TeacherStore) -> None:
    server.script = [chat({"content": None, "reasoning_content": f"{TRACE}\n</think>\n\n{TEXT}"})]
    [reply], _ = Buyer(server, store).ask()
    assert (reply.text, reply.trace) == (TEXT, TRACE)


UNENDED = {
    "a tag": chat({"content": f"<think>\n{TRACE}, so that the answer is 5."}, "length"),
    "a tag, though it ended": chat({"content": f"<think>\n{TRACE} The answer is 5."}),
    "a field": chat({"content": "", "reasoning_content": f"{TRACE} The answer is 5."}, "length"),
}


@pytest.mark.parametrize("step", UNENDED.values(), ids=UNENDED.keys())
@pytest.mark.parametrize("thinking", ["strip", "keep", "only"])
def test_a_trace_that_never_ends_gives_neither_rationale_nor_answer(
    step: Step, thinking: Thinking, server: FaultServer, store: TeacherStore
) -> None:
    server.script = [step]
    [reply], meter = Buyer(server, store).ask(thinking=thinking)
    assert rationale_and_answer(reply) == (None, None)
    counts = meter.reply_counts["live"]
    assert (counts.with_trace, counts.unclosed_traces, counts.empty) == (1, 1, 0)


# --- empty replies ----------------------------------------------------------------------------------------------------

EMPTY = {
    "null": {"role": "assistant", "content": None},
    "no content": {"role": "assistant"},
    "an empty text": {"content": ""},
    "white space": {"content": " \n"},
    "no parts": {"content": []},
    "empty tags": {"content": "<think>\n\n</think>\n\n"},
    "a call of a tool": {"content": None, "tool_calls": [{"id": "1"}]},
}


@pytest.mark.parametrize("message", EMPTY.values(), ids=EMPTY.keys())
def test_an_empty_reply_is_paid_once_quoted_and_never_replayed(
    message: Json, server: FaultServer, store: TeacherStore
) -> None:
    server.script = [chat(message)]
    buyer = Buyer(server, store)
    [reply], meter = buyer.ask()
    assert (reply.text, server.requests) == ("", 1), "asking again at once would be paid again"
    counts = meter.reply_counts["live"]
    assert (counts.replies, counts.empty, counts.lost) == (1, 1, 1)
    assert meter.ledger.charged == meter.ledger.spent == {TEACHER: Usage(1, 7, 30)}
    assert '"finish_reason": "stop"' in counts.example
    assert store.counts() == {"replies": 0, "attempts: empty": 1}
    [better], _ = buyer.ask()
    assert better.text, "the next cell asks again"
    assert server.requests == 2


def test_an_empty_reply_that_an_older_version_kept_is_taken_out(server: FaultServer, store: TeacherStore) -> None:
    stored = stored_request("live", ASK, 0)
    store.put({key_of(stored): StoredReply(stored, Reply("", "stop", 7, 30), "live", now(), "somebody")})
    [reply], meter = Buyer(server, store).ask()
    assert (reply.text, server.requests) == ("Two and two make four. The answer is 4.", 1)
    assert store.counts() == {"replies": 1, "attempts: empty": 1}
    assert meter.ledger.spent[TEACHER].calls == 1


def test_a_closed_trace_without_a_reply_is_asked_again(server: FaultServer, store: TeacherStore) -> None:
    server.script = [chat({"content": f"<think>{TRACE}</think>"})]
    Buyer(server, store).ask()
    [better], _ = Buyer(server, store).ask()
    assert (better.text, server.requests, store.counts()) == (DEFAULT, 2, {"replies": 1, "attempts: empty": 1})


def test_a_chat_is_kept_whole_and_cut_where_it_is_read(server: FaultServer, store: TeacherStore) -> None:
    whole = "Sure.\n\nQ: How many are two and two?\nA: The answer is 4."
    server.script = [chat({"content": whole})]
    [reply], _ = Buyer(server, store).ask(replace(ASK, stop=("\nQ:",)))
    assert reply.text.strip() == "Sure."
    [(_, stored)] = store.every()
    assert isinstance(stored, StoredReply)
    assert stored.reply.text == whole, "a later reader may make more of it"


# --- what providers say of a refusal ----------------------------------------------------------------------------------

MODERATED = {
    "Azure": (400, {"error": {"code": "content_filter"}}),
    "a type": (400, {"error": {"code": None, "type": "content_policy_violation"}}),
    "OpenRouter": (403, {"error": {"code": 403, "message": "flagged", "metadata": {"flagged_input": "two"}}}),
    "Alibaba": (400, {"error": {"code": "data_inspection_failed"}}),
    "Zhipu": (400, {"error": {"code": "1301"}}),
}


@pytest.mark.parametrize(("status", "body"), MODERATED.values(), ids=MODERATED.keys())
def test_a_moderated_prompt_costs_its_own_question(
    status: int, body: Json, server: FaultServer, store: TeacherStore
) -> None:
    server.script = [Step(status, body=json.dumps(body).encode())]
    [reply], meter = Buyer(server, store).ask()
    assert (reply.text, reply.finish, server.requests) == ("", "content_filter", 1)
    assert meter.reply_counts["live"].refused == 1


@pytest.mark.parametrize("finish", ["SAFETY", "RECITATION", "content_filter: PROHIBITED_CONTENT", "content_filter"])
def test_a_moderated_reply_is_refused_and_not_empty(finish: str, server: FaultServer, store: TeacherStore) -> None:
    server.script = [chat({"role": "assistant"}, finish)]
    [reply], meter = Buyer(server, store).ask()
    counts = meter.reply_counts["live"]
    assert (reply.finish, counts.refused, counts.empty, server.requests) == ("content_filter", 1, 0, 1)


def test_an_error_inside_of_a_choice_is_sent_again(server: FaultServer, store: TeacherStore) -> None:
    server.script = [chat({"content": ""}, "error", error={"code": 502, "message": "provider is down"})]
    [reply], _ = Buyer(server, store).ask()
    assert (reply.text, server.requests) == (DEFAULT, 2)


def test_json_that_is_sent_as_plain_text_is_read(server: FaultServer, store: TeacherStore) -> None:
    step = chat({"content": TEXT})
    server.script = [replace(step, headers={"Content-Type": "text/plain"})]
    [reply], _ = Buyer(server, store).ask()
    assert (reply.text, server.requests) == (TEXT, 1)


def test_tokens_of_a_trace_that_stand_in_the_total_alone_are_booked(server: FaultServer, store: TeacherStore) -> None:
    body = {
        "choices": [{"message": {"content": TEXT}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 905},
    }
    server.script = [Step(body=json.dumps(body).encode())]
    _, meter = Buyer(server, store).ask()
    assert meter.ledger.charged[TEACHER] == Usage(1, 100, 805)


# --- unknown forms ----------------------------------------------------------------------------------------------------

UNKNOWN = {
    "a part that nobody knows": chat({"content": [{"type": "hologram", "data": "4"}]}),
    "a number as content": chat({"content": 4}),
    "a text as message": chat("four"),
    "a choice without a text": Step(body=json.dumps({"choices": [{"index": 0}], "usage": USAGE}).encode()),
    "no choices": Step(body=json.dumps({"choices": [], "usage": USAGE}).encode()),
    "another protocol": Step(body=json.dumps({"output": [{"content": [{"text": TEXT}]}], "usage": USAGE}).encode()),
    "a list": Step(body=b"[]"),
    "a text": Step(body=b'"four"'),
    "half a JSON": Step(body=b'{"choices": ['),
    "no text at all": Step(body=b"\xff\xfe"),
    "a lone surrogate": chat({"content": f"\ud83d {TEXT}"}),
    "a lone surrogate in the trace": chat({"content": TEXT, "reasoning": "\udc00"}),
}


@pytest.mark.parametrize("step", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_reply_of_an_unknown_form_costs_its_own_question_and_is_not_paid_again(
    step: Step, server: FaultServer, store: TeacherStore
) -> None:
    server.script = [step]
    buyer = Buyer(server, store)
    [reply], meter = buyer.ask()
    assert (reply.text, reply.finish, server.requests) == ("", "unreadable", 1)
    counts = meter.reply_counts["live"]
    assert (counts.unreadable, counts.lost) == (1, 1)
    assert counts.example
    assert counts.example.isascii()
    assert store.counts() == {"replies": 0, "attempts: unreadable": 1}
    if b"usage" in (step.body or b""):
        assert meter.ledger.charged == meter.ledger.spent == {TEACHER: Usage(1, 7, 30)}
    else:
        assert meter.is_estimated
    json.dumps([reply.said, reply.text]).encode()


@pytest.mark.parametrize("step", [UNKNOWN["another protocol"], UNKNOWN["a list"], UNKNOWN["a lone surrogate"]])
def test_a_few_unknown_forms_in_a_row_end_the_purchase(step: Step, server: FaultServer, store: TeacherStore) -> None:
    server.script = [step] * 40
    requests = [replace(ASK, prompt=f"Q: {number}?\nA:", question_id=str(number)) for number in range(40)]
    teacher = OpenAICompatibleTeacher("live", server.url, "small")
    live = teacher.open_with(_patient())

    async def everything() -> list[Any]:
        return await asyncio.gather(*(live.reply(request, 1) for request in requests), return_exceptions=True)

    outcomes = asyncio.run(everything())
    assert server.requests == UNKNOWN_IN_A_ROW == 3, "37 of the 40 questions are not paid for"
    refusals = [each for each in outcomes if isinstance(each, ConfigError)]
    assert len(refusals) == 38
    assert len(set(map(str, refusals))) == 1
    assert "3 replies in a row have an unknown form" in str(refusals[0])
    assert live.traffic.failures == {"unknown form": 1}


def test_unknown_forms_between_good_replies_end_nothing(server: FaultServer, store: TeacherStore) -> None:
    odd, good = UNKNOWN["a list"], Step()
    server.script = [good, odd, odd, good, odd, odd, good]
    buyer = Buyer(server, store, {"concurrency": 1})
    replies, meter = buyer.ask(samples=7)
    assert [reply.finish for reply in replies].count("unreadable") == 4
    assert (server.requests, meter.reply_counts["live"].unreadable) == (7, 4)


def test_what_is_quoted_is_short_and_without_the_key(
    server: FaultServer, store: TeacherStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER_KEY", KEY)
    server.script = [Step(body=json.dumps({"answer": f"Bearer {KEY} {'x' * 5000}"}).encode())]
    [reply], _ = Buyer(server, store, {"api_key_variable": "TEACHER_KEY"}).ask()
    assert "Bearer [key] xxx" in reply.said
    assert KEY not in reply.said
    assert len(reply.said) < 400


# --- errors with status 200 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [
        b"<!doctype html><title>Welcome</title>",
        b"\n  <html><body>Sign in</body></html>",
        b"\xef\xbb\xbf<?xml version='1.0'?><html/>",
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
def test_a_web_page_gets_the_hint_of_the_address(
    page: bytes, kind: str, server: FaultServer, store: TeacherStore
) -> None:
    server.script = [Step(headers={"Content-Type": kind}, body=page)]
    with pytest.raises(ConfigError, match=r"page of HTML.*most addresses end in /v1"):
        Buyer(server, store).ask()
    assert server.requests == 1


@pytest.mark.parametrize(("code", "requests"), [(400, 1), (404, 1), (429, 2), (502, 2)])
def test_an_error_with_status_200_is_sent_again_only_where_that_can_help(
    code: int, requests: int, server: FaultServer, store: TeacherStore
) -> None:
    server.script = [Step(body=json.dumps({"error": {"message": "out of order", "code": code}}).encode())]
    if requests == 1:
        with pytest.raises(ConfigError, match=r"refuses the request \(HTTP 200: out of order"):
            Buyer(server, store).ask()
    else:
        Buyer(server, store).ask()
    assert server.requests == requests


# --- what a server says of a request that it refuses ------------------------------------------------------------------

REFUSED = {
    "param": (400, {"error": {"message": "Unsupported value", "param": "temperature"}}, "temperature"),
    "in words": (400, {"error": {"message": "Unrecognized request argument supplied: top_p"}}, "top_p"),
    "a list of details": (422, {"detail": [{"loc": ["body", "temperature"], "msg": "not permitted"}]}, "temperature"),
    "in quotes": (400, {"error": {"message": "Unsupported parameter: 'stop'"}}, "stop"),
}


@pytest.mark.parametrize(("status", "body", "parameter"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("models", [("small",), ("another",), None])
def test_a_refused_parameter_names_its_setting(
    status: int, body: Json, parameter: str, models: Any, server: FaultServer, store: TeacherStore
) -> None:
    server.script, server.models = [Step(status, body=json.dumps(body).encode())], models
    settings = {"top_p": 0.9, "stop": ("\n\n",)}
    with pytest.raises(ConfigError, match=rf"teacher\.parameter_names\.{parameter}=null leaves {parameter} out"):
        Buyer(server, store, settings).ask()
    Buyer(server, store, {**settings, "parameter_names": {parameter: None}}).ask()
    assert parameter in server.bodies[0]
    assert parameter not in server.bodies[1]
    Buyer(server, store, {**settings, "parameter_names": {parameter: "another_name"}}).ask(
        replace(ASK, question_id="2")
    )


def test_a_refused_cap_names_its_other_name(server: FaultServer, store: TeacherStore) -> None:
    said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    server.script = [Step(400, body=json.dumps({"error": {"message": said, "param": "max_tokens"}}).encode())]
    with pytest.raises(ConfigError, match=r"teacher\.token_cap_name=max_completion_tokens"):
        Buyer(server, store).ask()
    Buyer(server, store, {"parameter_names": {"max_tokens": "max_output_tokens"}}).ask()
    assert server.bodies[-1]["max_output_tokens"] == 512
    assert "max_tokens" not in server.bodies[-1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"temprature": None}, r"'temprature', which is never sent; did you mean 'temperature'\?"),
        ({"temperature": "top_p"}, "'top_p', which is empty, taken or there twice"),
        ({"temperature": "model"}, "'model', which is empty, taken or there twice"),
        ({"temperature": " "}, "' ', which is empty, taken or there twice"),
    ],
)
def test_impossible_names_are_refused(names: dict[str, str | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OpenAICompatibleTeacher("live", "http://host/v1", "small", parameter_names=names)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "no such field"}, "no such field"),
        ({"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}, "field required"),
        ({"error": "bad request"}, "bad request"),
        ({"errors": ["a", "b"]}, '["a", "b"]'),
        ("plain words", "plain words"),
        ({}, "{}"),
    ],
)
def test_the_body_of_an_error_is_quoted_as_it_is(
    body: Json, words: str, server: FaultServer, store: TeacherStore
) -> None:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    server.script = [Step(422, body=raw)]
    with pytest.raises(ConfigError) as raised:
        Buyer(server, store).ask()
    assert words in str(raised.value)


def test_nothing_more_is_sent_after_the_first_refusal(server: FaultServer) -> None:
    server.script = [Step(400, body=b'{"error": {"message": "no", "param": "temperature"}}') for _ in range(40)]
    live = OpenAICompatibleTeacher("live", server.url, "small").open_with(_patient())

    async def everything() -> list[Any]:
        asked = (live.reply(replace(ASK, question_id=str(number)), 1) for number in range(40))
        return await asyncio.gather(*asked, return_exceptions=True)

    outcomes = asyncio.run(everything())
    assert all(isinstance(each, ConfigError) for each in outcomes)
    assert server.requests == 1


@pytest.mark.parametrize(("broken", "error"), [(Step(503), TeacherError), (Step(cut=True), TeacherError)])
def test_a_server_that_never_answered_is_not_tried_by_every_question(
    broken: Step, error: type[Exception], server: FaultServer
) -> None:
    server.script = [broken] * 400
    live = OpenAICompatibleTeacher("live", server.url, "small", max_retries=2).open_with(_patient())

    async def everything() -> list[Any]:
        asked = (live.reply(replace(ASK, question_id=str(number)), 1) for number in range(40))
        return await asyncio.gather(*asked, return_exceptions=True)

    outcomes = asyncio.run(everything())
    assert {type(each) for each in outcomes} == {error}
    assert server.requests == 3, "the first question has tried what its retries allow"


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}", f"{KEY}\r\n", "sk two", f"{KEY}\u200b", "sk-é", f"{KEY}\x00"])
def test_a_key_that_no_request_can_carry_is_refused_before_anything_is_sent(
    key: str, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.environ", {**os.environ, "TEACHER_KEY": key})  # which may hold what a shell cannot set
    teacher = OpenAICompatibleTeacher("live", server.url, "small", api_key_variable="TEACHER_KEY")
    with pytest.raises(ConfigError, match="key in the environment variable TEACHER_KEY has white space") as raised:
        teacher.open_with(_patient())
    assert key.strip() not in str(raised.value)
    assert server.requests == 0


# --- pure reading -----------------------------------------------------------------------------------------------------


def test_one_bad_choice_of_several_leaves_the_others(tmp_path: Path) -> None:
    payload = {
        "choices": [{"message": {"content": TEXT}}, {"message": 5}, {"message": {"content": "\ud800"}}],
        "usage": USAGE,
    }
    answer = read_answer(payload, ASK.prompt, 3, 100)
    assert [reply.finish for reply in answer.replies] == ["stop", "unreadable", "unreadable"]
    assert not answer.is_unreadable
    assert sum(reply.completion_tokens for reply in answer.replies) == USAGE["completion_tokens"]


@pytest.mark.parametrize("logprobs", [5, {"content": [{"token": "a"}]}, {"content": [{"logprob": None}]}, "x"])
def test_odd_log_probabilities_cost_no_reply(logprobs: Json) -> None:
    payload = {"choices": [{"message": {"content": TEXT}, "logprobs": logprobs}], "usage": USAGE}
    [reply] = read_answer(payload, ASK.prompt, 1, 100).replies
    assert (reply.text, reply.log_probability) == (TEXT, None)


# --- replies that were bought before these settings existed -----------------------------------------------------------


def test_replies_that_were_bought_before_keep_their_keys() -> None:
    def key(**settings: Any) -> str:
        teacher = OpenAICompatibleTeacher("live", "http://h/v1", "small", **settings)
        identity = teacher_identity(teacher, cast("Any", None))
        return key_of(stored_request(identity, Request("few_shot_cot", "Q: x\nA:", "q"), 0))

    before = "7eac32d38526d79626f6f35fc2a7e1ee44329f1d9e35b0f6ca01412273b8e1ff"
    assert {key(), key(thinking="only"), key(parameter_names={"temperature": "heat"})} == {before}
    assert key(parameter_names={"temperature": None}) != before
