"""Stored signals of a teacher: the live one's numbers, found by example and tokens, computed once for all cells."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import benchmark.student.signal_store as stores
from benchmark.app import CONF
from benchmark.axes.data_policy import AdaptiveReplay, ContrastivePairs, OwnText, TeacherText
from benchmark.cell.cell import Cell
from benchmark.config import build
from benchmark.contract import Preparation, StepModel, StepState
from benchmark.errors import ConfigError, DataError
from benchmark.planning.checks import check
from benchmark.student.batch import MicroBatch, collate
from benchmark.student.frozen import Frozen
from benchmark.student.kept_signals import Workplace
from benchmark.student.module import StudentModule
from benchmark.student.prepared import StudentBatches
from benchmark.student.stream import FitState
from benchmark.student.student import Student
from benchmark.types import Term, TrainingExample
from methods.divergences import entropy, on_kept_tokens
from methods.teacher_signals import DenseSignal, LiveSignal, TeacherSignal, TopKSignal, likeliest
from methods.white_box import NEED_WHOLE, Divergence, ForwardKL, WhiteBox
from tests.corridor.corridor_parts import UNSEEN, Killed, Ran, Rounds, fingerprint, miniature, run
from tests.rehearsals.tensor_parts import ONE_GROUP, Around, WorkedSolutions, close, gradient_of, live_teacher, outcome
from tests.student.student_parts import characters, fresh_student, llama, method_of, optimization_of, student_of, sums

VOCABULARY = len(characters())
OPTIONS = sorted(path.stem for path in (CONF / "loss/divergence").glob("*.yaml"))
EXAMPLES = sums(10)


def divergence(name: str) -> Divergence:
    """The divergence of an option file."""
    found: Divergence = build(yaml.safe_load((CONF / f"loss/divergence/{name}.yaml").read_text()), name, Divergence)
    return found


@pytest.fixture(scope="module")
def student() -> Student:
    return fresh_student()


@pytest.fixture(scope="module")
def frozen(student: Student) -> Frozen:
    """A teacher whose logits have more rows than there are tokens."""
    network = llama(VOCABULARY, seed=2)
    network.resize_token_embeddings(VOCABULARY + 3, mean_resizing=False)
    network.requires_grad_(False)
    return Frozen(student_of(network, student.tokenizer), VOCABULARY, "weights 2")


def preparation(student: Student, frozen: Frozen, folder: Path | None, **changes: Any) -> StudentBatches:
    place = Workplace(folder, **{"maker": "a cell round 0", **changes})
    return StudentBatches(student, {"teacher": frozen}, 200, None, place)


def batch_of(student: Student, examples: Sequence[TrainingExample], terms: Mapping[str, Term]) -> MicroBatch:
    [batch] = collate(student.encoder.examples(examples), terms, student.padding_id, 10**9).micro_batches
    return batch


def trained(
    loss: WhiteBox,
    student: Student,
    frozen: Frozen,
    folder: Path | None,
    examples: Sequence[TrainingExample] = EXAMPLES,
) -> tuple[dict[str, float], torch.Tensor]:
    """(values of the terms, gradient) of a step on the examples."""
    prepared = loss.prepare(EXAMPLES, preparation(student, frozen, folder))
    state = FitState(10, student, lambda *key: np.random.default_rng(0), {"teacher": frozen}, step=4, prepared=prepared)
    state.settings = loss.settings
    module = StudentModule(student, method_of(loss=loss).loss, optimization_of(), state, 1)
    terms = loss.terms({"all": Term(frozenset({"*answer*"}))}, loss.settings)
    student.network.zero_grad()
    values = loss.values(batch_of(student, examples, terms), module, state)
    torch.stack(list(values.values())).sum().backward()  # type: ignore[no-untyped-call]
    return {name: float(value.detach()) for name, value in values.items()}, gradient_of(student.network)


# --- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIONS)
def test_the_whole_vocabulary_gives_the_value_and_gradient_of_the_live_teacher(
    name: str, student: Student, frozen: Frozen, tmp_path: Path
) -> None:
    other = {"distillation_weight": 0.7}
    live, gradient = trained(WhiteBox(divergence(name), **other), student, frozen, None)
    assert live["all/distillation"] > 1e-3
    signals: list[TeacherSignal] = [DenseSignal()]
    tails = ["bucket", "renormalise", *([] if isinstance(divergence(name), NEED_WHOLE) else ["drop"])]
    signals += [TopKSignal(k=VOCABULARY, tail=tail) for tail in tails]  # type: ignore[arg-type]
    for signal in signals:
        values, of_signal = trained(WhiteBox(divergence(name), signal=signal, **other), student, frozen, tmp_path)
        assert values == pytest.approx(live, rel=1e-5, abs=1e-6), signal
        assert close(of_signal, gradient), signal
        assert float(gradient.abs().max()) > 1e-3


@pytest.mark.parametrize("signal", [DenseSignal(), TopKSignal(k=VOCABULARY, tail="renormalise")])
def test_so_it_does_at_another_temperature(
    signal: TeacherSignal, student: Student, frozen: Frozen, tmp_path: Path
) -> None:
    live, gradient = trained(WhiteBox(temperature=2.0), student, frozen, None)
    values, of_signal = trained(WhiteBox(temperature=2.0, signal=signal), student, frozen, tmp_path)
    assert values == pytest.approx(live, rel=1e-5)
    assert close(of_signal, gradient)


@pytest.mark.parametrize("tail", ["bucket", "renormalise", "drop"])
def test_a_few_tokens_give_what_the_rule_for_the_tail_says(
    tail: Any, student: Student, frozen: Frozen, tmp_path: Path
) -> None:
    found, _ = trained(WhiteBox(signal=TopKSignal(k=4, tail=tail)), student, frozen, tmp_path)
    batch = batch_of(student, EXAMPLES, {})
    with torch.no_grad():
        log_q = student.logits(student.hidden(batch)).double().log_softmax(-1)
    log_p = frozen.logits(frozen.hidden(batch)).double().log_softmax(-1)
    values, kept = log_p.topk(4)
    by_hand = ForwardKL()(*on_kept_tokens(log_q, kept, values, tail), torch.tensor([0.4])).mean()
    assert found["all/distillation"] == pytest.approx(float(by_hand), rel=1e-4)
    live, _ = trained(WhiteBox(), student, frozen, None)
    assert abs(live["all/distillation"] - found["all/distillation"]) > 1e-3


def test_renormalised_tokens_are_those_of_any_temperature() -> None:
    """The teacher's distribution at temperature T, restricted to the kept tokens, from its numbers at temperature 1."""
    z, s = torch.randn(2, 5, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values, kept = z.log_softmax(-1).topk(6)
    signal = TopKSignal(k=6, tail="renormalise")
    ours, theirs = signal.pair(s.log_softmax(-1), (kept, values, torch.zeros(5)), 3.0)
    for found, logits in ((ours, s), (theirs, z)):
        whole = (logits / 3).softmax(-1).gather(-1, kept)
        assert torch.allclose(found.exp(), whole / whole.sum(-1, keepdim=True), atol=1e-12)


def test_what_is_known_of_the_tail_by_hand() -> None:
    p = torch.tensor([[0.5, 0.1, 0.3, 0.1], [0.97, 0.01, 0.01, 0.01]], dtype=torch.float64)
    found = likeliest(p.log(), 2)
    assert found[0, :2].tolist() == [0, 2]
    assert found[:, 4].exp().tolist() == pytest.approx([0.2, 0.02])
    merged = torch.tensor([[0.5, 0.3, 0.2], [0.97, 0.01, 0.02]], dtype=torch.float64)
    lost = entropy(p.log()) - entropy(merged.log())
    assert found[:, 5].tolist() == pytest.approx(lost.tolist())
    assert likeliest(p.log(), 4)[:, 8:].tolist() == [[-torch.inf, 0.0]] * 2


def test_a_measured_tail_is_kept_where_rounding_would_leave_nothing_of_it() -> None:
    log_p = torch.tensor([0.7, 0.3 - 1e-6, 0.9e-6, 0.1e-6]).log()
    found = likeliest(log_p[None], 2)
    _, theirs = TopKSignal(k=2).pair(log_p[None], (found[:, :2].long(), found[:, 2:4], found[:, 4]), 1.0)
    assert float(theirs[0, -1].exp()) == pytest.approx(1e-6, rel=1e-3)


# --- what a signal belongs to ----------------------------------------------------------------------------------------


def test_a_signal_belongs_to_example_and_tokens_whatever_the_order_the_batch_and_the_weight(
    student: Student, frozen: Frozen, tmp_path: Path
) -> None:
    signal = TopKSignal(k=5)
    made = signal.prepare(EXAMPLES, preparation(student, frozen, tmp_path))
    one_by_one = replace(preparation(student, frozen, tmp_path / "other"), micro_batch_tokens=1)
    other = signal.prepare(EXAMPLES[::-1], one_by_one)
    changed = [replace(each, weight=0.5) for each in EXAMPLES]
    again = signal.prepare(changed[3:] + changed[:3], preparation(student, frozen, tmp_path, maker="another cell"))
    for example, lighter in zip(EXAMPLES, changed, strict=True):
        [rows], [from_other], [from_again] = made.of([example]), other.of([example]), again.of([lighter])
        assert np.array_equal(rows, from_again)
        assert np.array_equal(rows["tokens"], from_other["tokens"])
        assert np.allclose(rows["log_probabilities"], from_other["log_probabilities"], atol=1e-5)
    whole, _ = trained(WhiteBox(signal=signal), student, frozen, tmp_path)
    reversed_, _ = trained(WhiteBox(signal=signal), student, frozen, tmp_path, EXAMPLES[::-1])
    assert reversed_ == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("signal", [DenseSignal(), TopKSignal(k=5)])
@pytest.mark.parametrize("what", ["prompt", "target", "example"])
def test_a_step_on_text_that_was_not_prepared_is_refused_by_name_and_the_next_preparation_computes_it(
    what: str, signal: Any, student: Student, frozen: Frozen, tmp_path: Path
) -> None:
    changes = {
        "prompt": {"prompt": EXAMPLES[0].prompt + " "},
        "target": {"target": EXAMPLES[1].target},
        "example": {"group": "another"},
    }
    other = replace(EXAMPLES[0], **changes[what])
    name = f"{other.group} as {other.task}"
    why = "at all" if what == "example" else "with this prompt and target"
    with pytest.raises(ValueError, match=rf"example {name} was not prepared {why}.*choose loss/signal=live"):
        trained(WhiteBox(signal=signal), student, frozen, tmp_path, [other])
    notes: dict[str, float] = {}
    first = signal.prepare(EXAMPLES, preparation(student, frozen, tmp_path))
    place = preparation(student, frozen, tmp_path, maker="a cell round 1", note=notes.update)
    signal.prepare([*EXAMPLES, other], replace(place, earlier=first))
    tokens = len(student.encoder.examples([other])[0].target)
    assert notes["signal_positions_computed"] == tokens


def test_another_teacher_has_a_folder_of_its_own_and_another_tokenizer_is_refused(
    student: Student, frozen: Frozen, tmp_path: Path
) -> None:
    signal = TopKSignal(k=5)
    signal.prepare(EXAMPLES, preparation(student, frozen, tmp_path))
    signal.prepare(EXAMPLES, preparation(student, replace(frozen, fingerprint="weights 3"), tmp_path))
    TopKSignal(k=6).prepare(EXAMPLES, preparation(student, frozen, tmp_path))
    folders = sorted(tmp_path.iterdir())
    assert len(folders) == 3
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    assert {(each["teacher"], each["k"]) for each in manifests} == {
        ("weights 2", 5),
        ("weights 2", 6),
        ("weights 3", 5),
    }
    assert {each["precision"] for each in manifests} == {"float32"}
    templated = characters()
    templated.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    with pytest.raises(DataError, match=r"do not fit this cell: chat_template is None there and '[0-9a-f]{64}' here"):
        signal.prepare(
            EXAMPLES,
            preparation(student, replace(frozen, model=replace(frozen.model, tokenizer=templated)), tmp_path),
        )
    larger = characters()
    larger.add_tokens(["<think>"])
    with pytest.raises(DataError, match=r"tokenizer is '[0-9a-f]{64}' there and '[0-9a-f]{64}' here"):
        signal.prepare(
            EXAMPLES, preparation(student, replace(frozen, model=replace(frozen.model, tokenizer=larger)), tmp_path)
        )


def test_without_a_results_folder_or_a_fingerprint_nothing_is_written(student: Student, frozen: Frozen) -> None:
    with pytest.raises(ValueError, match="no results folder"):
        TopKSignal().prepare(EXAMPLES, preparation(student, frozen, None))
    with pytest.raises(ValueError, match="without a fingerprint"):
        TopKSignal().prepare(EXAMPLES, preparation(student, replace(frozen, fingerprint=""), Path("nowhere")))
    assert not Path("nowhere").exists()


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_disk_and_memory_grow_with_k_and_not_with_the_vocabulary(
    student: Student, frozen: Frozen, tmp_path: Path
) -> None:
    batch = batch_of(student, EXAMPLES, {})
    for k in (3, 9):
        signal, folder = TopKSignal(k=k), tmp_path / str(k)
        prepared = signal.prepare(EXAMPLES, preparation(student, frozen, folder))
        rows = signal.rows(batch, FitState(1, student, lambda *key: None, prepared=prepared))  # type: ignore[arg-type,return-value]
        numbers = sum(each.numel() for each in rows if isinstance(each, torch.Tensor))
        assert numbers == len(batch.tokens) * (2 * k + 1)
        [path] = folder.glob("*/*/rows.npy")
        assert path.stat().st_size - 256 <= len(batch.tokens) * (8 * k + 4) <= path.stat().st_size


def test_memory_is_refused_with_both_numbers_before_the_teacher_reads_anything(
    student: Student, frozen: Frozen
) -> None:
    tokens = len(batch_of(student, EXAMPLES, {}).tokens)
    needed = tokens * VOCABULARY * 4 / 1e9
    usage = frozen.model.usage
    DenseSignal(most_gb=needed * 1.01).prepare(EXAMPLES, preparation(student, frozen, None))
    assert frozen.model.usage.calls - usage.calls == len(EXAMPLES)
    small = DenseSignal(most_gb=needed * 0.99)
    usage = frozen.model.usage
    with pytest.raises(ValueError, match=rf"{tokens} target tokens fill {needed:.2g} GB.*choose loss/signal=top_k"):
        small.prepare(EXAMPLES, preparation(student, frozen, None))
    assert frozen.model.usage == usage


def test_progress_names_every_example_once_and_those_that_were_there(
    student: Student, frozen: Frozen, tmp_path: Path
) -> None:
    seen: list[tuple[str, int | None, int, int]] = []

    @contextmanager
    def bar(description: str, total: int | None) -> Iterator[Any]:
        counts = [0, 0]

        def advance(units: int, *, earlier: bool = False) -> None:
            counts[earlier] += units

        yield advance
        seen.append((description, total, *counts))  # type: ignore[arg-type]

    for examples in (EXAMPLES[:4], EXAMPLES):
        TopKSignal(k=3).prepare(examples, preparation(student, frozen, tmp_path, bar=bar))
    assert seen == [("teacher signals", 4, 4, 0), ("teacher signals", 10, 6, 4)]


# --- in a cell -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched(Around):
    """Counts what the teacher reads in preparations and in steps; dies in a step if it is told to."""

    dies_in_round: int | None = None
    prepared: list[int] = field(default_factory=list, metadata=UNSEEN)
    in_steps: list[int] = field(default_factory=list, metadata=UNSEEN)

    def prepare(self, examples: Sequence[TrainingExample], preparation: Preparation) -> Any:
        teacher: Any = preparation.frozen["teacher"]
        calls = _forwards(teacher)
        before = len(calls)
        assert isinstance(self.inner, WhiteBox)
        made = self.inner.prepare(examples, preparation)
        self.prepared.append(len(calls) - before)
        return made

    def values(self, batch: MicroBatch, student: StepModel, state: StepState) -> Mapping[str, torch.Tensor]:
        if self.dies_in_round == len(self.prepared) - 1 and state.step == 1:
            raise Killed
        teacher: Any = state.frozen["teacher"]
        before = len(_forwards(teacher))
        found = super().values(batch, student, state)
        self.in_steps.append(len(_forwards(teacher)) - before)
        return found


def _forwards(teacher: Frozen) -> list[None]:
    """One entry per forward pass of the teacher's network since this was called first."""
    network: Any = teacher.model.network
    if not hasattr(network, "counted_forwards"):
        network.counted_forwards = []
        network.base_model.register_forward_pre_hook(lambda *_: network.counted_forwards.append(None))
    found: list[None] = network.counted_forwards
    return found


def cell_of(teacher: Path, signal: TeacherSignal, *overrides: str, **watched: Any) -> Cell:
    loss = Watched(WhiteBox(distillation_weight=0.7, signal=signal), **watched)
    settings = (*live_teacher(teacher), "trainer.micro_batch_tokens=150", *overrides)
    return miniature(*settings, annotation=WorkedSolutions(), schedule=Rounds(), loss=loss)


@pytest.fixture(scope="module")
def live(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(cell_of(teacher, LiveSignal()), tmp_path_factory.mktemp("live"))


@pytest.mark.parametrize("signal", [DenseSignal(), TopKSignal(k=VOCABULARY)])
def test_a_cell_trains_as_with_a_live_teacher_which_its_steps_do_not_ask(
    teacher: Path, live: Ran, tmp_path: Path, signal: TeacherSignal
) -> None:
    cell = cell_of(teacher, signal)
    ran = run(cell, tmp_path)
    pairs = zip(ran.cell_run.student.network.parameters(), live.cell_run.student.network.parameters(), strict=True)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in pairs)
    assert fingerprint(ran.cell_run.student) != fingerprint(
        run(cell_of(teacher, LiveSignal(), "seed=2"), tmp_path / "o").cell_run.student
    )
    loss: Any = cell.method.loss
    assert len(loss.in_steps) >= 18
    assert set(loss.in_steps) == {0}
    assert len(loss.prepared) == 3
    assert all(loss.prepared)
    rounds = ran.result["rounds"]
    assert rounds[-1]["computed"]["teacher/training"]["calls"] == 12  # every example once, in three rounds
    assert live.result["rounds"][-1]["computed"]["teacher/training"]["calls"] > 12
    assert ran.result["seconds_by_phase"]["preparation"] > 0
    assert "preparation" not in live.result["seconds_by_phase"]
    notes = [round_["notes"] for round_ in rounds]
    computed = [note["signal_positions_computed"] for note in notes]
    assert sum(computed) == notes[-1]["signal_positions"]


def test_another_cell_of_the_results_folder_computes_nothing_and_the_record_says_so(
    teacher: Path, tmp_path: Path
) -> None:
    first = run(cell_of(teacher, TopKSignal(k=4)), tmp_path / "first")
    cell = cell_of(teacher, TopKSignal(k=4, tail="renormalise"), "optimization.learning_rate=1e-3")
    folder = tmp_path / ".teacher_signals"
    (tmp_path / "first/.teacher_signals").rename(folder)
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*.npy"))
    for index in folder.glob("*/*/index.json"):  # the tests call every cell "cell"
        index.write_text(index.read_text().replace('"maker": "cell ', '"maker": "another '))
    ran = run(cell, tmp_path)
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*.npy")) == before
    loss: Any = cell.method.loss
    assert loss.prepared == [0, 0, 0]
    assert "teacher/training" not in ran.result["rounds"][-1]["computed"]
    ours, theirs = ran.result["rounds"][-1]["notes"], first.result["rounds"][-1]["notes"]
    assert ours == {**theirs, "signal_positions_computed": 0}
    assert 0.01 < ours["signal_tail_mass"] < 1
    assert 0 < ours["signal_hidden_entropy"] < np.log(VOCABULARY - 4)


def test_a_cell_that_is_killed_in_a_preparation_or_a_step_computes_and_books_nothing_twice(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "PART_BYTES", 1)  # a part per batch
    whole = outcome(run(cell_of(teacher, TopKSignal(k=4), ONE_GROUP), tmp_path / "whole"))
    add, batches = stores.Writer.add, []

    def dying(self: Any, *found: Any) -> None:
        add(self, *found)
        batches.append(len(self.store.places))
        if len(batches) == 2:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(stores.Writer, "add", dying)
        with pytest.raises(Killed):  # in the first round's preparation, behind its second batch
            run(cell_of(teacher, TopKSignal(k=4), ONE_GROUP), tmp_path / "killed")
    with pytest.raises(Killed):  # in the third round, with everything prepared and nothing of the round saved
        run(cell_of(teacher, TopKSignal(k=4), ONE_GROUP, dies_in_round=2), tmp_path / "killed")
    cell = cell_of(teacher, TopKSignal(k=4), ONE_GROUP)
    again = outcome(run(cell, tmp_path / "killed"))
    loss: Any = cell.method.loss
    assert loss.prepared == [0]
    assert again == whole


# --- what the plan refuses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [OwnText(), TeacherText(), ContrastivePairs(), AdaptiveReplay()])
@pytest.mark.parametrize("signal", [DenseSignal(), TopKSignal()])
def test_a_policy_that_writes_text_is_refused_with_what_to_choose(policy: Any, signal: Any) -> None:
    name = f"data policy {type(policy).__name__} writes new text in training; choose loss/signal=live, or"
    with pytest.raises(ValueError, match=name):
        WhiteBox(data_policy=policy, signal=signal)
    WhiteBox(data_policy=policy)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("method=gkd", "loss/signal=top_k"), "data policy OwnText writes new text in training"),
        (("loss/signal=top_k", "loss.temperature=2"), r"temperature=2.0 with loss\.signal\.tail=bucket.*renormalise"),
        (("loss/signal=top_k", "loss.signal.tail=rest"), r"loss\.signal\.tail='rest'"),
        (("loss/signal=top_k", "loss.signal.k=0"), "k=0 must be at least 1"),
        (("loss/signal=dense", "loss.signal.most_gb=0"), "must be above 0"),
        (("method=rkl", "loss/signal=top_k", "loss.signal.tail=drop"), "tail=drop with ReverseKL"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(teacher: Path, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        miniature("method=fkl", *live_teacher(teacher), *overrides)


def test_a_curriculum_that_changes_the_temperature_is_refused_in_the_plan(teacher: Path) -> None:
    pytest.importorskip("rouge_score")
    settings = ("method=fkl", "curriculum=selective_reflection", *live_teacher(teacher), "loss/signal=top_k")
    parts = {"annotation": WorkedSolutions()}
    with pytest.raises(
        ConfigError, match=r"SelectiveReflection would train a stage with temperature=2\.0: .*tail=bucket"
    ):
        check(miniature(*settings, **parts))
    check(miniature(*settings, "loss.signal.tail=renormalise", **parts))
    check(miniature(*settings, "curriculum.temperature_end=1", **parts))


def test_the_options_choose_the_signals(teacher: Path) -> None:
    for name, kind in {"live": LiveSignal, "dense": DenseSignal, "top_k": TopKSignal}.items():
        cell = miniature("method=fkl", *live_teacher(teacher), f"loss/signal={name}")
        assert cell.method.loss.signal == kind()  # type: ignore[attr-defined]
        assert cell.method.name == ("fkl" if name == "live" else f"fkl+loss/signal={name}")
