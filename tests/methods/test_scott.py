"""SCOTT's contrastive decoding: what the teacher is told, what is kept, who is refused, and a cell from end to end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.cell.cell import Cell
from benchmark.cell.identity import cell_id
from benchmark.errors import ConfigError
from benchmark.planning.checks import check
from benchmark.planning.expected_cost import Rehearsal, completion_tokens_per_reply, expected_cost
from benchmark.teachers.prompts import PromptLibrary, folder_of
from benchmark.teachers.teacher import estimated_tokens
from benchmark.types import Contrast, Pick, PlannedRequest, Question, Reply, Request
from methods import scott
from methods.scott import ContrastiveDecoding
from tests.cell.test_context import context
from tests.corridor.corridor_parts import run
from tests.rehearsals.tensor_parts import model_folder

GENERATED = ("method=rationale_then_answer", "annotation=contrastive_decoding", "dataset=trait_choice")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model") / "teacher")


@pytest.fixture
def scott_cell(
    cell: Callable[..., Cell], miniature: tuple[str, ...], teacher: Path, tmp_path: Path
) -> Callable[..., Cell]:
    def of(*overrides: str) -> Cell:
        in_process = ("teacher=transformers", f"teacher.path={teacher}", "annotation.max_new_tokens=12")
        mine = (*GENERATED, *in_process, *miniature, f"results_dir={tmp_path}", "budget.questions=4", *overrides)
        return cell(mine)

    return of


@dataclass
class Script:
    """A metered door that says one thing and remembers what it was asked."""

    text: str = " Because it is big. "
    finish: str = "stop"
    asked: list[tuple[str, Request, int]] = field(default_factory=list)

    async def __call__(self, who: str, request: Request, samples: int = 1) -> list[Reply]:
        self.asked.append((who, request, samples))
        return [Reply(self.text, self.finish)] * samples


def seen_by(cell: Cell, **changes: Any) -> Any:
    rows = {row.id: row for row in cell.dataset.load().pool}
    changes = {"gold_rows": rows, "prompts": PromptLibrary((folder_of(scott.__file__),))} | changes
    return context("annotation", frozenset({"annotation"}), dataset=cell.dataset, **changes)


def annotated(cell: Cell, question: Question, script: Script, **changes: Any) -> Any:
    rows = cell.method.annotation.annotate(Pick(question, evidence={"rank": 1}), seen_by(cell, **changes), script)
    [row] = asyncio.run(rows)  # type: ignore[arg-type]
    return row


# --- the request ---------------------------------------------------------------------------------------------------


def test_the_teacher_is_told_the_gold_answer_against_a_wrong_one(scott_cell: Callable[..., Cell]) -> None:
    cell, script = scott_cell(), Script()
    drawn = set()
    for row in cell.dataset.load().pool:
        annotated(cell, row.without_gold(), script)
        who, request, samples = script.asked[-1]
        assert request.contrast is not None
        perturbed = request.contrast.prompt.rpartition("The answer is ")[2].removesuffix(".")
        assert (who, samples) == ("scripted", 1)
        assert request.prompt.endswith(f"\nA: The answer is {row.answer}.")
        assert request.contrast.prompt == request.prompt.removesuffix(f"{row.answer}.") + f"{perturbed}."
        assert perturbed in set(row.choices or ()) - {row.answer}
        assert (request.max_new_tokens, request.cap_is_final, request.temperature) == (12, True, 0.0)
        assert (request.contrast.weight, request.contrast.one_line) == (0.5, True)
        drawn.add((row.choices or ()).index(perturbed))
    assert drawn == {0, 1, 2, 3, 4}
    shown = cell.dataset.exemplars[0]
    assert f"A: The answer is {shown.answer}.\n{shown.rationale}\n\nQ: " in script.asked[0][1].prompt


def test_all_seeds_share_the_wrong_answers_and_data_seeds_do_not(scott_cell: Callable[..., Cell]) -> None:
    cell = scott_cell()
    rows = [row.without_gold() for row in cell.dataset.load().pool]

    def asked(**changes: Any) -> list[Request]:
        script = Script()
        for question in rows:
            annotated(cell, question, script, **changes)
        return [request for _, request, _ in script.asked]

    assert asked(seed=1) == asked(seed=2) == asked(seed=1)
    assert asked(data_seed=0) != asked(data_seed=1)


def test_an_empty_answer_needs_no_choices(scott_cell: Callable[..., Cell]) -> None:
    cell, script = scott_cell("annotation.perturbed_answer=empty", "dataset=chain_sum"), Script()
    check(cell)
    row = cell.dataset.load().pool[0]
    annotated(cell, row.without_gold(), script)
    [(_, request, _)] = script.asked
    assert request.contrast == Contrast(request.prompt.removesuffix(f" {row.answer}.") + ".", 0.5, one_line=True)


def test_what_is_planned_is_what_is_asked(scott_cell: Callable[..., Cell]) -> None:
    cell, script = scott_cell(), Script()
    question = cell.dataset.load().pool[3].without_gold()
    annotated(cell, question, script)
    [(who, request, samples)] = script.asked
    annotation: Any = cell.method.annotation
    assert annotation.most_requests(question, seen_by(cell)) == [PlannedRequest(who, request, samples)]


@pytest.mark.parametrize(("text", "rationale"), [(" Because. ", "Because."), ("", None), (" \n", None)])
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_the_reply_is_the_rationale_of_the_gold_answer(
    scott_cell: Callable[..., Cell], text: str, rationale: str | None, finish: str
) -> None:
    cell = scott_cell()
    row = cell.dataset.load().pool[0]
    found = annotated(cell, row.without_gold(), script := Script(text, finish))
    assert (found.kind, found.source, found.rationale, found.answer) == ("rationale", "scripted", rationale, row.answer)
    perturbed = found.evidence["perturbed_answer"]
    assert found.evidence == {"rank": 1, "gold_given": True, "finish": finish, "perturbed_answer": perturbed}
    assert f"The answer is {perturbed}." in script.asked[0][1].contrast.prompt  # type: ignore[union-attr]
    assert found.exchanges[0].request == script.asked[0][1]


@pytest.mark.parametrize(
    ("setting", "told"), [("weight=1.5", "weight=1.5"), ("weight=-1", "weight=-1"), ("max_new_tokens=0", "at least 1")]
)
def test_a_bad_setting_is_refused(scott_cell: Callable[..., Cell], setting: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        scott_cell(f"annotation.{setting}")


# --- who can write it ------------------------------------------------------------------------------------------------


def test_a_teacher_of_text_alone_is_refused_before_any_work(
    cell: Callable[..., Cell], miniature: tuple[str, ...], tmp_path: Path
) -> None:
    here = (*miniature, f"results_dir={tmp_path}")
    simulated = cell((*GENERATED, *here, "teacher=simulated"))
    with pytest.raises(ConfigError, match="teacher=simulated answers in text only; choose teacher=transformers"):
        check(simulated)
    live = (
        "teacher=openai_compatible",
        "teacher.base_url=http://localhost:1/v1",
        "teacher.model=m",
        "teacher.name=far",
    )
    with pytest.raises(ConfigError, match="teacher=far answers in text only; choose teacher=transformers"):
        check(cell((*GENERATED, *here, *live)))
    assert not list(tmp_path.iterdir())


def test_a_wrong_answer_needs_choices(scott_cell: Callable[..., Cell]) -> None:
    with pytest.raises(ConfigError, match="it works for multiple-choice questions only"):
        check(scott_cell("dataset=chain_sum"))


# --- a cell ----------------------------------------------------------------------------------------------------------


def test_a_cell_from_end_to_end_pays_for_both_rows_once(scott_cell: Callable[..., Cell], tmp_path: Path) -> None:
    cell = scott_cell("evaluation.validation_size=4", "dataset.test_size=4")
    check(cell)
    ran = run(cell, tmp_path / "one")
    rows = ran.table("annotations")
    assert len(rows) == 4
    model = cell.teacher.model()  # type: ignore[union-attr]
    [books] = ran.result["rounds"]
    prompts = written = 0
    for row in rows:
        [exchange] = json.loads(row["exchanges"])
        request, reply = exchange["request"], exchange["reply"]
        told, other = (model.encoder.prompts([text])[0] for text in (request["prompt"], request["contrast"]["prompt"]))
        assert reply["token_ids"] == slowly_written(model, told, other, 0.5, 12)
        prompts += len(told) + len(other)
        written += 2 * (len(reply["token_ids"]) - (reply["finish"] == "stop"))
    charged = books["charged"]["teacher"]
    assert (charged["calls"], charged["questions"]) == (4, 4)
    assert (charged["prompt_tokens"], charged["completion_tokens"]) == (prompts, written)
    assert ran.result["uses_gold"]
    again = run(cell, tmp_path / "two")
    assert again.table("annotations") == rows


@torch.no_grad()
def slowly_written(model: Any, told: list[int], other: list[int], weight: float, cap: int) -> list[int]:
    """The tokens of a reply and what ended it, from whole texts read anew for every token."""
    tokenizer, written = model.tokenizer, []
    ends = {tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids(["\n"])}
    while len(written) < cap:
        rows = [model.network(input_ids=torch.tensor([[*p, *written]])).logits[0, -1] for p in (told, other)]
        one, two = (torch.log_softmax(row.double(), dim=-1) for row in rows)
        by_itself = int(one.argmax())
        token = by_itself if by_itself in ends else int((one - weight * two).argmax())
        written.append(token)
        if token in ends:
            break
    return written


def test_a_plan_counts_both_prompts_and_both_replies(scott_cell: Callable[..., Cell]) -> None:
    cell = scott_cell("dataset.pool_size=16", "budget.questions=16")
    cost, per_reply = expected_cost(cell), completion_tokens_per_reply(cell.dataset)
    assert cost is not None
    assert per_reply is not None
    assert cost.calls.value == 16
    pool = [row.without_gold() for row in cell.dataset.load().pool]
    requests = [planned.request for row in pool for planned in ContrastiveDecoding().most_requests(row, seen_by(cell))]
    prompts = [text for request in requests for text in (request.prompt, request.contrast.prompt)]  # type: ignore[union-attr]
    assert cost.tokens.value == sum(map(estimated_tokens, prompts)) + round(2 * 16 * per_reply)


def test_scored_continuations_are_planned_as_read_and_not_written() -> None:
    rehearsal = Rehearsal(asked={("one", Request("judge", "Is it so?", "q1", continuations=(" yes", " no"))): 3})
    assert rehearsal.replies("one") == 0
    assert rehearsal.prompt_tokens("one") == 3 * sum(map(estimated_tokens, ("Is it so?", " yes", " no")))


def test_weight_and_perturbation_are_other_cells(scott_cell: Callable[..., Cell]) -> None:
    changes = ("annotation.weight=0.5", "annotation.weight=0.25", "annotation.perturbed_answer=empty")
    assert len({cell_id(scott_cell(change)) for change in changes}) == 3


def test_the_template_is_part_of_the_cell(scott_cell: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    cell = scott_cell()
    before = cell_id(cell)
    real = PromptLibrary.fingerprint
    monkeypatch.setattr(
        PromptLibrary, "fingerprint", lambda self, role: real(self, role) + ("!" if role == scott.ROLE else "")
    )
    assert cell_id(replace(cell)) != before
