"""A model in this process: what waits together is one batch, a sample is the same in any company, the bill is exact."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.buying.meter import TEACHER, Meter, QuestionMeter, Supplier, worst_case
from benchmark.errors import ConfigError
from benchmark.student.encoding import Encoder
from benchmark.student.student import Student
from benchmark.teachers.gathering import Gatherer
from benchmark.teachers.in_process import TransformersTeacher
from benchmark.teachers.ledger import Ledger
from benchmark.teachers.live import LiveTeacher
from benchmark.teachers.openai_compatible import OpenAICompatibleTeacher
from benchmark.teachers.pacing import Clock
from benchmark.teachers.recorded import Replay
from benchmark.teachers.replies import thought_apart
from benchmark.teachers.simulated import SimulatedTeacher
from benchmark.teachers.store import TeacherStore
from benchmark.teachers.store_key import key_of, stored_request, teacher_identity
from benchmark.teachers.stored_teacher import StoredTeacher
from benchmark.teachers.teacher import OpenTeacher, Price
from benchmark.types import Contrast, PlannedRequest, Reply, Request, Span, TrainingExample, Usage
from tests.corridor.corridor_parts import miniature
from tests.rehearsals.tensor_parts import TEACHER as SMALL_MODEL
from tests.rehearsals.tensor_parts import model_folder

PRICE = Price(2.0, 10.0)
CONTRASTED = Request("why", "Q: 1+1 A: 2", "q1", 9, cap_is_final=True, contrast=Contrast("Q: 1+1 A: 11", 0.5))
SCORED = Request("judge", "Q: is 1+1=2?", "q1", continuations=("yes", "no", "not at all"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model") / "teacher")


@pytest.fixture
def teacher(folder: Path) -> TransformersTeacher:
    return TransformersTeacher("t", str(folder), 128, 8, accelerator="cpu", price=PRICE)


@pytest.fixture
def opened(teacher: TransformersTeacher) -> OpenTeacher:
    return teacher.open(miniature().dataset)


@dataclass
class Work:
    """What the model was really given: the requests of every batch."""

    batches: list[list[tuple[Request, int]]]

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    done = Work([])
    real = Student.replies

    def replies(self: Student, wanted: Sequence[tuple[Request, int]], *rest: Any, **more: Any) -> list[Reply]:
        done.batches.append(list(wanted))
        return real(self, wanted, *rest, **more)

    monkeypatch.setattr(Student, "replies", replies)
    return done


def request_for(text: str, temperature: float = 0.0, **fields: Any) -> Request:
    return Request("few_shot_cot", f"Q: {text} A:", "q1", temperature=temperature, **fields)


def together(opened: OpenTeacher, requests: Sequence[Request], samples: int = 1) -> list[list[Reply]]:
    async def all_of_them() -> list[list[Reply]]:
        return await asyncio.gather(*(opened.reply(each, samples) for each in requests))

    return asyncio.run(all_of_them())


# --- gathering -----------------------------------------------------------------------------------------------------


def test_what_is_asked_at_once_is_one_batch_with_the_replies_of_one_by_one(opened: OpenTeacher, work: Work) -> None:
    requests = [request_for("12+3" * (i % 4) + str(i), temperature=i % 3 / 2) for i in range(9)]
    requests += [replace(CONTRASTED, prompt=f"Q: {i} A:") for i in range(3)]
    gathered = together(opened, requests, samples=2)
    assert work.sizes == [24]
    alone = [asyncio.run(opened.reply(each, 2)) for each in requests]
    assert work.sizes == [24] + [2] * 12
    assert gathered == alone == together(opened, requests[::-1], samples=2)[::-1]
    assert len({reply.text for row in gathered for reply in row}) > 9


def test_who_asks_some_turns_later_is_waited_for(opened: OpenTeacher, work: Work) -> None:
    async def late(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await opened.reply(request_for(str(turns)), 1)

    async def everybody() -> None:
        await asyncio.gather(*map(late, range(0, 30, 5)))

    asyncio.run(everybody())
    assert work.sizes == [6]


def test_buyers_in_a_row_keep_the_batch_full(opened: OpenTeacher, work: Work) -> None:
    """As in a purchase: whoever has a reply asks the next question at once."""

    async def buyer(name: int) -> None:
        for number in range(3):
            await opened.reply(request_for(f"{name}{number}"), 1)

    async def everybody() -> None:
        await asyncio.gather(*map(buyer, range(5)))

    asyncio.run(everybody())
    assert work.sizes == [5, 5, 5]


def test_a_sample_that_is_known_is_not_written_again(opened: OpenTeacher, work: Work) -> None:
    warm = request_for("7", temperature=1.0)
    whole = asyncio.run(opened.reply(warm, 5))
    assert asyncio.run(opened.reply(warm, 2, first=3)) == whole[3:]
    assert work.batches[1] == [(warm, 3), (warm, 4)]
    assert len({reply.text for reply in whole}) == 5


def test_it_says_how_many_requests_are_worth_being_in_flight(teacher: TransformersTeacher) -> None:
    assert replace(teacher, batch_size=7).concurrency == 7


def test_a_failure_reaches_everybody_who_waited_and_nobody_later() -> None:
    broken = [True]

    def answer(requests: Sequence[int]) -> list[int]:
        if broken.pop() if broken else False:
            raise RuntimeError("out of memory")
        return [10 * request for request in requests]

    gather = Gatherer(answer)

    async def everybody() -> list[Any]:
        failed = await asyncio.gather(gather(1), gather(2), return_exceptions=True)
        return [*map(str, failed), *await asyncio.gather(gather(3), gather(4))]

    assert asyncio.run(everybody()) == ["out of memory", "out of memory", 30, 40]


def test_who_has_gone_is_not_answered_and_does_not_hold_up_the_others() -> None:
    seen: list[list[int]] = []

    def answer(requests: Sequence[int]) -> list[int]:
        seen.append(list(requests))
        return list(requests)

    gather = Gatherer(answer)

    async def one_leaves() -> list[int]:
        leaver, stayer = asyncio.create_task(gather(1)), asyncio.create_task(gather(2))
        await asyncio.sleep(0)
        leaver.cancel()
        return [await stayer]

    async def all_break_off() -> None:
        asyncio.create_task(gather(5))  # noqa: RUF006
        await asyncio.sleep(0)

    async def ask_again() -> int:
        return await gather(3)

    assert asyncio.run(one_leaves()) == [2]
    asyncio.run(all_break_off())
    assert asyncio.run(ask_again()) == 3  # another loop, as every purchase has one of its own
    assert seen == [[2], [3]]


# --- log-probabilities ---------------------------------------------------------------------------------------------


def slow_nats(model: Student, prompt: str, text: str, last: bool = False) -> list[float]:
    """Of every token of the text behind the prompt."""
    return nats_of(model, prompt, model.tokenizer(text, add_special_tokens=False)["input_ids"])


def nats_of(model: Student, prompt: str, target: Sequence[int]) -> list[float]:
    """Of every token behind the prompt, from one pass over both together."""
    ids = model.tokenizer(f"{prompt}\n")["input_ids"]
    with torch.no_grad():
        logits = model.network(input_ids=torch.tensor([[*ids, *target]])).logits[0].double()
    rows = torch.log_softmax(logits[len(ids) - 1 : -1], dim=-1)
    return [float(row[token]) for row, token in zip(rows, target, strict=True)]


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_reply_tells_its_log_probability_at_temperature_one(
    teacher: TransformersTeacher, opened: OpenTeacher, temperature: float
) -> None:
    asked = request_for("3+4", temperature, max_new_tokens=6)
    [reply] = asyncio.run(opened.reply(asked, 1))
    assert reply.completion_tokens > 2
    assert reply.log_probability == pytest.approx(sum(slow_nats(teacher.model(), asked.prompt, reply.text)), abs=2e-3)


@pytest.mark.parametrize("length", [1, 2, 4])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_reply_ends_before_the_first_text_that_stops_it(
    teacher: TransformersTeacher, opened: OpenTeacher, temperature: float, length: int
) -> None:
    requests = [request_for(f"{i}+4", temperature, max_new_tokens=24) for i in range(6)]

    async def all_at_once(wanted: Sequence[Request]) -> list[Reply]:
        return [reply for [reply] in await asyncio.gather(*(opened.reply(each, 1) for each in wanted))]

    whole = asyncio.run(all_at_once(requests))
    stops = [reply.text[len(reply.text) // 2 :][:length] for reply in whole]
    assert all(stops)
    stopping = [replace(each, stop=("never", stop)) for each, stop in zip(requests, stops, strict=True)]
    shorter = 0
    for each, before, stop, reply in zip(requests, whole, stops, asyncio.run(all_at_once(stopping)), strict=True):
        assert reply.text == before.text.partition(stop)[0]
        assert reply.finish == "stop"
        assert reply.completion_tokens <= before.completion_tokens
        shorter += reply.completion_tokens < before.completion_tokens
        model, ids = teacher.model(), list(reply.token_ids or ())
        kept = next(n for n in range(len(ids)) if len(model.tokenizer.decode(ids[:n], True)) == len(reply.text))
        assert reply.log_probability == pytest.approx(sum(nats_of(model, each.prompt, ids[:kept])), abs=2e-3)
    assert shorter > 3


def test_continuations_are_scored_as_they_would_begin_a_reply(
    teacher: TransformersTeacher, opened: OpenTeacher
) -> None:
    begun = replace(SCORED, prefix="I say ")
    [reply] = asyncio.run(opened.reply(begun, 1))
    expected = [
        sum(slow_nats(teacher.model(), SCORED.prompt, f"I say {text}")[len("I say ") :])
        for text in SCORED.continuations
    ]
    assert reply.continuation_log_probabilities == pytest.approx(expected, abs=1e-4)
    example = TrainingExample("g", "t", SCORED.prompt, (Span("yes"),))
    [with_eos] = teacher.model().target_log_probabilities([example])
    [plain] = asyncio.run(opened.reply(SCORED, 1))
    assert plain.continuation_log_probabilities is not None
    assert plain.continuation_log_probabilities[0] == pytest.approx(sum(with_eos[:-1]), abs=1e-4)
    assert (reply.text, reply.finish, reply.log_probability) == ("", "stop", None)


def test_continuations_asked_at_once_are_scored_together_and_alike(
    opened: OpenTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    real = Student.score
    monkeypatch.setattr(Student, "score", lambda self, requests: sizes.append(len(requests)) or real(self, requests))
    requests = [replace(SCORED, prompt=f"Q: is 1+{i}=2?" * (1 + i % 3)) for i in range(5)]
    gathered = together(opened, requests)
    assert sizes == [5]
    for [one], each in zip(gathered, requests, strict=True):
        [alone] = asyncio.run(opened.reply(each, 1))
        assert one.continuation_log_probabilities == pytest.approx(alone.continuation_log_probabilities, abs=1e-5)
        assert one.prompt_tokens == alone.prompt_tokens


def test_the_chances_of_all_next_characters_add_up_to_one(teacher: TransformersTeacher, opened: OpenTeacher) -> None:
    """With a vocabulary of characters, what no continuation covers is what cannot be written: special tokens."""
    tokenizer = teacher.model().tokenizer
    texts = tuple(token for token in tokenizer.get_vocab() if token not in tokenizer.all_special_tokens)
    [reply] = asyncio.run(opened.reply(replace(SCORED, continuations=texts), 1))
    with torch.no_grad():
        ids = tokenizer(f"{SCORED.prompt}\n", return_tensors="pt")["input_ids"]
        chances = torch.softmax(teacher.model().network(input_ids=ids).logits[0, -1].double(), dim=-1)
    special = sum(float(chances[i]) for i in tokenizer.all_special_ids)
    assert sum(map(math.exp, reply.continuation_log_probabilities or ())) + special == pytest.approx(1, abs=1e-5)


# --- what is paid ---------------------------------------------------------------------------------------------------


def bill(opened: OpenTeacher, *requests: Request) -> Usage:
    meter = Meter({"t": Supplier(opened, PRICE)}, Ledger())
    for each in requests:
        meter.begin()
        question = QuestionMeter(meter)
        asyncio.run(question("t", each))
        most = worst_case([PlannedRequest("t", each)], meter.suppliers, 0)
        assert question.cost.calls == most.calls
        assert question.cost.prompt_tokens <= most.prompt_tokens
        assert question.cost.completion_tokens <= most.completion_tokens
        meter.commit(question.asked)
    return meter.ledger.charged[TEACHER]


def tokens_of(text: str) -> int:
    return 1 + len(text) + 1  # <bos>, characters, line feed


def test_a_contrast_is_charged_like_two_requests(opened: OpenTeacher) -> None:
    [reply] = asyncio.run(opened.reply(CONTRASTED, 1))
    written = len(reply.token_ids or ()) - (reply.finish == "stop")
    assert written > 2
    prompts = tokens_of(CONTRASTED.prompt) + tokens_of("Q: 1+1 A: 11")
    usd = (prompts * 2.0 + 2 * written * 10.0) / 1e6
    assert bill(opened, CONTRASTED, CONTRASTED) == Usage(1, prompts, 2 * written, pytest.approx(usd))


def test_scores_are_charged_for_what_is_read_and_nothing_written(opened: OpenTeacher) -> None:
    read = tokens_of(SCORED.prompt) + len("yes") + len("no") + len("not at all")
    assert bill(opened, SCORED) == Usage(1, read, 0, pytest.approx(read * 2.0 / 1e6))


@pytest.mark.parametrize(
    "overlong",
    [
        request_for("1" * 130),
        request_for("1" * 100, max_new_tokens=30),
        replace(CONTRASTED, contrast=Contrast("1" * 130)),
        replace(SCORED, continuations=("yes", "1" * 130)),
    ],
)
def test_a_prompt_beyond_the_window_is_refused_before_it_is_paid(
    opened: OpenTeacher, work: Work, overlong: Request
) -> None:
    meter = Meter({"t": Supplier(opened, PRICE)}, Ledger())
    with pytest.raises(
        ConfigError, match=r"teacher=t: the .* tokens, which leaves no room .*max_length=128"
    ) as refusal:
        asyncio.run(QuestionMeter(meter)("t", overlong))
    assert "\n" not in str(refusal.value)
    assert work.batches == []
    assert meter.ledger.charged.get(TEACHER, Usage()) == Usage()


# --- the store ------------------------------------------------------------------------------------------------------


def test_the_keys_of_requests_that_any_teacher_answers_are_those_of_before() -> None:
    plain = Request("few_shot_cot", "Q: 1+1 A:", "q1", 16, 0.7, "So")
    assert key_of(stored_request("t", plain, 0)) == "7697295b181978405e8e9da29fa97c8e412cf481f0f28138239605769a5ebabe"


def test_contrast_and_continuations_are_part_of_the_key() -> None:
    given = Contrast("other", 1)
    requests = [
        Request("r", "p", "q"),
        *(
            Request("r", "p", "q", contrast=contrast)
            for contrast in (given, Contrast("others", 1), Contrast("other", 0.5))
        ),
        Request("r", "p", "q", contrast=replace(given, one_line=True)),
        *(Request("r", "p", "q", continuations=texts) for texts in (("a", "b"), ("b", "a"), ("a", "b", ""))),
    ]
    assert len({key_of(stored_request("t", each, 0)) for each in requests}) == len(requests)
    same = Request("r", "p", "q", contrast=Contrast("other", 1.0))
    assert key_of(stored_request("t", same, 0)) == key_of(stored_request("t", requests[1], 0))


@pytest.mark.parametrize("asked", [CONTRASTED, SCORED], ids=["contrast", "continuations"])
def test_what_was_bought_is_replayed_in_every_bit(
    teacher: TransformersTeacher, opened: OpenTeacher, work: Work, tmp_path: Path, asked: Request
) -> None:
    store = TeacherStore(tmp_path / "store.sqlite", lambda line: None)
    identity = teacher_identity(teacher, miniature().dataset)
    try:
        buyers = [StoredTeacher(opened, identity, "t", store, buyer) for buyer in ("me", "you")]
        bought, replayed = (asyncio.run(buyer.reply(asked, 1)) for buyer in buyers)
        assert bought == replayed
        assert len(work.batches) <= 1
        assert store.counts()["replies"] == 1
    finally:
        store.close()


def test_a_request_cannot_ask_for_both() -> None:
    with pytest.raises(ValueError, match="ask twice"):
        replace(CONTRASTED, continuations=("a",))


def test_a_begun_reply_shortens_what_is_written_and_is_not_refused(opened: OpenTeacher) -> None:
    whole = request_for("1" * 95, max_new_tokens=20)
    [reply] = asyncio.run(opened.reply(replace(whole, prefix="2" * 20), 1))
    assert reply.prompt_tokens + reply.completion_tokens <= 128 < reply.prompt_tokens + 20
    with pytest.raises(ConfigError, match="leaves no room"):
        asyncio.run(opened.reply(replace(whole, prefix="2" * 40), 1))


# --- teachers of text alone -----------------------------------------------------------------------------------------


def text_only() -> list[OpenTeacher]:
    dataset = miniature().dataset
    live = OpenAICompatibleTeacher("far", "http://localhost:1/v1", "model")
    return [
        SimulatedTeacher(name="simulated").open(dataset),
        Replay("taped", {"q1": ("said",)}, {"q1": "1+1"}),
        LiveTeacher(live, Clock()),
    ]


@pytest.mark.parametrize("asked", [CONTRASTED, SCORED], ids=["contrast", "continuations"])
def test_teachers_of_text_alone_refuse_in_one_line_before_any_work(asked: Request) -> None:
    for teacher, name in zip(text_only(), ("simulated", "taped", "far"), strict=True):
        with pytest.raises(ConfigError, match=f"teacher={name} answers in text only; choose") as refusal:
            asyncio.run(teacher.reply(asked, 1))
        assert "\n" not in str(refusal.value)
        if isinstance(teacher, LiveTeacher):
            assert teacher.traffic.requests == 0


# --- traces -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "begins"),
    [
        ("{% for m in messages %}{{ m.content }}{% endfor %}\n<think>\n", True),
        ("{% for m in messages %}{{ m.content }}{% endfor %}\n[THINK]", True),
        ("{% for m in messages %}{{ m.content }}{% endfor %}\n<think>\n\n</think>\n\n", False),
        ("{% for m in messages %}{{ m.content }}{% endfor %}\n", False),
        (None, False),
    ],
)
def test_a_trace_that_the_chat_template_opened_has_its_tag(template: str | None, begins: bool, tmp_path: Path) -> None:
    tokenizer = copy.deepcopy(SMALL_MODEL.tokenizer())
    tokenizer.chat_template = template
    folder = model_folder(tmp_path / "model", tokenizer=tokenizer)
    teacher = TransformersTeacher("thinker", str(folder), 512, 8, accelerator="cpu")
    [reply] = asyncio.run(teacher.open(miniature().dataset).reply(Request("few_shot_cot", "Q: 1+1", "q"), 1))
    assert reply.text.startswith("<think>\n") == begins
    apart = thought_apart(reply, "strip")
    if begins:
        assert (apart.text, reply.finish) == ("", "length"), "cut in the middle of the trace: there is no reply"
        assert apart.trace


def test_tags_that_are_special_tokens_stay_in_the_text() -> None:
    tokenizer = copy.deepcopy(SMALL_MODEL.tokenizer())
    tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]", "<|call|>"]})
    encoder = Encoder(tokenizer, 512)
    ids = [int(tokenizer.convert_tokens_to_ids(token)) for token in ("[THINK]", "1", "[/THINK]", "<|call|>", "2")]
    [text] = encoder.texts([[*ids, int(tokenizer.eos_token_id)]])
    assert "".join(text.split()) == "[THINK]1[/THINK]2"
    plain = copy.deepcopy(SMALL_MODEL.tokenizer())
    assert Encoder(plain, 512).texts([[*plain("1+1")["input_ids"], int(plain.eos_token_id)]]) == [
        plain.decode(plain("1+1")["input_ids"], skip_special_tokens=True)
    ]
