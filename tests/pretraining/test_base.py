"""The bases of the tiny warm students: made the same twice, described by its card, and shipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_model

from benchmark.errors import ModelError
from benchmark.pretraining.card import card_of
from benchmark.pretraining.train import SETTINGS, pretrained
from benchmark.records.contents import file_hash
from benchmark.student import warm
from benchmark.student.source import StudentSource, TinyStudent
from benchmark.student.warm import NARROW, SHAPES, WIDE, WarmStudent, weights_of
from tests.cells import composed_cell

WARM = WarmStudent("tiny_warm", max_length=192, max_new_tokens=96)
SMALL = replace(WARM, name="tiny_warm_narrow", hidden_size=32)


def row_of(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().ravel() for weight in network.parameters()])


def trained(path: Path, seed: int, max_steps: int) -> bytes:
    """The weights' file after a few steps, whatever the state of the global generators."""
    torch.manual_seed(seed)
    threads = torch.get_num_threads()
    student = pretrained(settings=replace(SETTINGS, max_steps=max_steps))
    assert torch.get_num_threads() == threads
    save_model(student.network, str(path))
    return path.read_bytes()


def test_the_command_makes_equal_bytes_twice(tmp_path: Path) -> None:
    one, two = (trained(tmp_path / f"{seed}.safetensors", seed, max_steps=3) for seed in (1, 2))
    assert one == two
    assert trained(tmp_path / "more.safetensors", 1, max_steps=4) != one


@pytest.mark.slow
def test_the_loss_falls() -> None:
    losses: list[float] = []
    pretrained(settings=replace(SETTINGS, max_steps=60), report=lambda step, loss: losses.append(loss))
    assert len(losses) == 60
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


@pytest.mark.parametrize("shape", [WIDE, NARROW], ids=lambda shape: shape.name)
def test_the_card_describes_the_weights_beside_it(shape: TinyStudent) -> None:
    """Hash, settings, texts: a change of any of them without a new base, or without its card, fails here."""
    card = weights_of(shape).with_name("README.md").read_text(encoding="utf-8")
    assert card == card_of(shape, file_hash(weights_of(shape)))


@pytest.mark.parametrize("student", [WARM, SMALL], ids=lambda student: student.name)
def test_every_seed_begins_with_the_shipped_weights(student: WarmStudent) -> None:
    assert isinstance(student, StudentSource)
    student.check()
    one, two = (row_of(student.network(seed)) for seed in (1, 2))
    assert torch.equal(one, two)
    cold = SHAPES[student.hidden_size].network(1)
    assert one.shape == row_of(cold).shape
    assert not torch.equal(one, row_of(cold))
    assert {weight.dtype for weight in student.network(1).parameters()} == {torch.float32}


def test_a_width_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden_size=48: there are pretrained weights of width 32, 64 only"):
        replace(WARM, hidden_size=48)


def test_it_has_the_shape_and_the_tokens_of_the_tiny_student() -> None:
    tiny = composed_cell(("student=tiny",)).student
    assert isinstance(tiny, TinyStudent)
    assert replace(WIDE, name="tiny", licence=tiny.licence) == tiny
    for student in (WARM, SMALL):
        assert composed_cell((f"student={student.name}",)).student == replace(student, licence="Apache-2.0")
    assert WARM.tokenizer() is tiny.tokenizer()


def test_a_longer_window_is_a_setting() -> None:
    """Rotary positions have no weights, so that the base serves any window."""
    assert replace(WARM, max_length=400).network(1).config.max_position_embeddings == 400


def test_other_weights_are_another_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = WARM.fingerprint()
    assert shipped == file_hash(weights_of(WIDE)) != SMALL.fingerprint()
    other = tmp_path / "tiny_warm" / "model.safetensors"
    other.parent.mkdir()
    save_model(WIDE.network(1), str(other))
    monkeypatch.setattr(warm, "FOLDER", tmp_path)
    assert WARM.fingerprint() == file_hash(other) != shipped


def test_absent_weights_are_said_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "FOLDER", tmp_path)
    with pytest.raises(ModelError, match=r"which is missing; .*python -m benchmark\.pretraining"):
        WARM.check()
