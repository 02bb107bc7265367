"""What a part may see and draw: gold by declaration, random numbers by name, and the plain choice on every axis."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from benchmark.axes.annotation import FewShotCot, HumanLabels, Together
from benchmark.axes.curriculum import Shuffled
from benchmark.axes.format import AnswerOnly
from benchmark.axes.schedule import NoTraining, OneShot
from benchmark.axes.selection import RandomSelection
from benchmark.axes.weighting import UniformWeighting
from benchmark.cell.context import CellContext, PartContext
from benchmark.errors import LeakError
from benchmark.random_streams import stream, stream_seed
from benchmark.student.student import Student
from benchmark.tasks.dataset import Exemplar
from benchmark.tasks.generated import GeneratedDataset
from benchmark.tasks.generated_answer import GeneratedAnswer
from benchmark.teachers.prompts import PromptLibrary
from benchmark.types import Pick, Question, Reply, Request, Round, RoundLog, TrainingExample

DATASET = GeneratedDataset(
    name="chain_sum",
    generator="benchmark.tasks.chain_sum",
    task=GeneratedAnswer(),
    exemplars=(Exemplar("4+3-5", "4+3=7;7-5=2.", "2"),),
    pool_size=40,
    validation_size=5,
    test_size=5,
)
POOL = DATASET.load().pool


def context(axis: str = "selection", gold_axes: frozenset[str] = frozenset(), **changes: Any) -> PartContext:
    return of_cell(gold_axes, **changes).for_axis(axis)


def of_cell(gold_axes: frozenset[str] = frozenset(), **changes: Any) -> CellContext:
    whole = CellContext(
        dataset=DATASET,
        format=AnswerOnly(),
        student=cast(Student, None),
        local_assistant=None,
        teachers=("scripted",),
        loss_settings={},
        prompts=PromptLibrary(),
        seed=1,
        data_seed=0,
        round=Round(0, 1.0),
        history=(),
        gold_rows={row.id: row for row in POOL},
        gold_axes=gold_axes,
    )
    return replace(whole, **changes)


class Script:
    """A metered door that says what it is told to and remembers what it was asked."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.asked: list[tuple[Request, int]] = []

    async def __call__(self, who: str, request: Request, samples: int = 1) -> list[Reply]:
        self.asked.append((request, samples))
        return [Reply(text, "stop", 1, 1, 0.9) for text in self.texts[:samples]]


# --- annotators ----------------------------------------------------------------------------------------------------


def test_few_shot_cot_keeps_every_reply_right_or_wrong_or_unread() -> None:
    script = Script("1+1=2. The answer is 2.", "Hm. The answer is two.", "", "No clause here")
    here = context("annotation")
    pick = Pick(POOL[0].without_gold(), evidence={"why": "random"})
    rows = asyncio.run(FewShotCot(samples=4).annotate(pick, here, script))
    assert dict(here.notes) == {}
    assert [(row.rationale, row.answer) for row in rows] == [
        ("1+1=2.", "2"),
        ("Hm.", None),
        (None, None),
        ("No clause here", None),
    ]
    assert [row.sample for row in rows] == [0, 1, 2, 3]
    assert len({row.id for row in rows}) == 4
    [(request, samples)] = script.asked
    assert (request.role, request.temperature, request.question_id, samples) == ("few_shot_cot", 0.0, POOL[0].id, 4)
    for row in rows:
        assert (row.kind, row.source, row.weight, row.reason) == ("rationale", "scripted", 1.0, "")
        assert row.evidence == {"why": "random", "confidence": 0.9, "finish": "stop"}
        assert row.exchanges[0].request == request


@pytest.mark.parametrize("rationale", [False, True])
def test_human_labels_are_the_datasets_own(rationale: bool) -> None:
    declared = context("annotation", frozenset({"annotation"}))
    script = Script()
    annotator = HumanLabels(rationale=rationale)
    [row] = asyncio.run(annotator.annotate(Pick(POOL[3].without_gold()), declared, script))
    assert (row.kind, row.source, row.answer) == ("gold", "human", POOL[3].answer)
    assert row.rationale == (POOL[3].rationale if rationale else None)
    assert script.asked == []
    assert annotator.most_requests(POOL[3].without_gold(), declared) == []
    assert annotator.requires().gold
    assert annotator.requires().gold_rationale is rationale


def test_together_writes_all_in_order() -> None:
    both = Together((HumanLabels(), FewShotCot(samples=2)))
    script = Script("a. The answer is 1.", "b. The answer is 2.")
    declared = context("annotation", frozenset({"annotation"}))
    rows = asyncio.run(both.annotate(Pick(POOL[0].without_gold()), declared, script))
    assert [(row.kind, row.sample) for row in rows] == [("gold", 0), ("rationale", 0), ("rationale", 1)]
    [planned] = both.most_requests(POOL[0].without_gold(), declared)
    assert (planned.who, planned.samples, planned.holds) == ("scripted", 2, ())
    assert [planned.request] == [request for request, _ in script.asked]
    needs = both.requires()
    assert needs.gold
    assert needs.teacher_roles == {"few_shot_cot"}


# --- gold ----------------------------------------------------------------------------------------------------------


def test_gold_without_a_declaration_is_a_leak_on_every_axis() -> None:
    for axis in ("schedule", "selection", "annotation", "weighting", "curriculum", "format", "loss", ""):
        with pytest.raises(LeakError, match=f"the {axis} part"):
            context(axis).gold(POOL[0].without_gold())


def test_human_labels_without_declared_gold_raise() -> None:
    annotator = HumanLabels()
    with pytest.raises(LeakError, match="annotation"):
        asyncio.run(annotator.annotate(Pick(POOL[0].without_gold()), context("annotation"), Script()))


def test_a_declaration_counts_for_its_own_axis_alone() -> None:
    declared = of_cell(frozenset({"weighting"}))
    assert declared.for_axis("weighting").gold(POOL[2].without_gold()) == POOL[2]
    with pytest.raises(LeakError):
        declared.for_axis("selection").gold(POOL[2].without_gold())


def test_gold_of_questions_outside_the_pool_is_not_there() -> None:
    declared = context("selection", frozenset({"selection"}))
    with pytest.raises(KeyError):
        declared.gold(DATASET.load().validation[0].without_gold())


@pytest.mark.parametrize("name", ["dataset", "gold_rows", "prompts", "splits"])
def test_what_the_engine_keeps_is_no_part_of_a_context(name: str) -> None:
    with pytest.raises(
        LeakError, match=rf"^the curriculum part reached for context.{name}, .*Requirements\(gold=True\)"
    ):
        getattr(context("curriculum", frozenset({"curriculum"})), name)


def test_another_name_that_a_context_lacks_says_where_its_names_are_listed() -> None:
    with pytest.raises(AttributeError, match=r"no 'techer'; `Context` in benchmark/contract/axes\.py"):
        getattr(context(), "techer")  # noqa: B009


def test_nothing_that_a_context_holds_is_a_row_or_a_dataset() -> None:
    held = vars(context("annotation", frozenset({"annotation"})))
    assert not [name for name, value in held.items() if isinstance(value, GeneratedDataset | Mapping) and value]


# --- random numbers ------------------------------------------------------------------------------------------------


def draw(made: Any) -> tuple[float, ...]:
    return tuple(made.random(4))


def test_streams_differ_by_seed_axis_round_and_key() -> None:
    here = context()
    streams = {
        "here": here.rng("order"),
        "key": here.rng("other"),
        "number": here.rng("order", 1),
        "text": here.rng("order", "1"),
        "none": here.rng(),
        "axis": context("weighting").rng("order"),
        "round": context(round=Round(1, 0.5)).rng("order"),
        "seed": context(seed=2).rng("order"),
        "data": here.data_rng("order"),
        "data key": here.data_rng("other"),
        "data axis": context("weighting").data_rng("order"),
        "data seed": context(data_seed=1).data_rng("order"),
    }
    drawn = {name: draw(made) for name, made in streams.items()}
    assert len(set(drawn.values())) == len(drawn)


def test_a_stream_starts_anew_every_time() -> None:
    here = context()
    first = here.rng("order")
    first.random(100)
    assert draw(here.rng("order")) == draw(context().rng("order"))


def test_data_streams_know_neither_seed_nor_round() -> None:
    same = [context(seed=seed, round=Round(index, 0.5)) for seed in (1, 2, 3) for index in (0, 1)]
    assert len({draw(other.data_rng("order")) for other in same}) == 1


def test_stream_words_cannot_run_into_each_other() -> None:
    assert stream_seed("a", "b") != stream_seed("ab") != stream_seed("a,b")
    assert stream_seed(1) != stream_seed("1")
    assert stream_seed() != stream_seed("")
    assert stream_seed("a", "b") != stream_seed("b", "a")


# sha256 of '["seed",1,"selection",0,"order"]', its first 16 bytes; then numpy's PCG64.
GOLDEN_SEED = 140096486025317735856784872266816274409
GOLDEN_ORDER = [0, 6, 7, 4, 2, 3, 1, 5]


def test_streams_are_the_same_on_every_machine_and_in_every_version() -> None:
    """Golden: a change here changes every number of the benchmark."""
    assert stream_seed("seed", 1, "selection", 0, "order") == GOLDEN_SEED
    assert stream("seed", 1, "selection", 0, "order").permutation(8).tolist() == GOLDEN_ORDER


# --- the plain choices ---------------------------------------------------------------------------------------------


def test_random_selection_ranks_the_whole_pool_and_follows_the_seed() -> None:
    pool = [row.without_gold() for row in POOL]
    order = [pick.question.id for pick in RandomSelection().rank(pool, context())]
    assert sorted(order) == sorted(row.id for row in POOL)
    assert order != [row.id for row in POOL]
    assert order == [pick.question.id for pick in RandomSelection().rank(pool, context(data_seed=7))]
    assert order != [pick.question.id for pick in RandomSelection().rank(pool, context(seed=2))]
    assert order != [pick.question.id for pick in RandomSelection().rank(pool, context(round=Round(1, 1.0)))]
    assert RandomSelection().rank([], context()) == []


def test_every_place_is_as_likely_as_every_other() -> None:
    pool = [Question(str(i), str(i)) for i in range(5)]
    firsts = [RandomSelection().rank(pool, context(seed=seed))[0].question.id for seed in range(1000)]
    assert all(abs(firsts.count(str(i)) - 200) < 55 for i in range(5))


def test_schedules() -> None:
    log = RoundLog(Round(0, 1.0), 1, {}, {}, {}, {}, {})
    assert OneShot().next_round(()) == Round(0, 1.0)
    assert OneShot().next_round((log,)) is None
    assert NoTraining().next_round(()) is None


def test_uniform_weighting_and_shuffled_curriculum_change_nothing() -> None:
    assert UniformWeighting().weigh([], [], context("weighting")) == {}
    examples = [TrainingExample("g", "answer", "p", ())]
    stage = Shuffled().next_stage((), examples, context("curriculum"))
    assert stage is not None
    assert (stage.examples, stage.share, stage.shuffle, dict(stage.settings)) == (examples, 1.0, True, {})
    assert Shuffled().next_stage((stage,), examples, context("curriculum")) is None


def test_notes_of_all_axes_add_up() -> None:
    here = of_cell()
    here.for_axis("selection").note(dropped=2)
    here.for_axis("weighting").note(dropped=1, kept=4)
    assert dict(here.notes) == {"dropped": 3, "kept": 4}
