"""The base of `tiny_warm`: made the same twice, described by its card, and shipped."""

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
from benchmark.student.warm import SHAPE, WEIGHTS, WarmStudent
from tests.cells import composed_cell

WARM = WarmStudent("tiny_warm", max_length=192, max_new_tokens=96)


def row_of(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().ravel() for weight in network.parameters()])


def trained(path: Path, seed: int, max_steps: int) -> bytes:
    """The weights' file after a few steps, whatever the state of the global generators."""
    torch.manual_seed(seed)
    threads = torch.get_num_threads()
    student = pretrained(replace(SETTINGS, max_steps=max_steps))
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
    pretrained(replace(SETTINGS, max_steps=60), lambda step, loss: losses.append(loss))
    assert len(losses) == 60
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_the_card_describes_the_weights_beside_it() -> None:
    """Hash, settings, texts: a change of any of them without a new base, or without its card, fails here."""
    card = WEIGHTS.with_name("README.md").read_text(encoding="utf-8")
    assert card == card_of(file_hash(WEIGHTS))


def test_every_seed_begins_with_the_shipped_weights() -> None:
    assert isinstance(WARM, StudentSource)
    WARM.check()
    one, two = (row_of(WARM.network(seed)) for seed in (1, 2))
    assert torch.equal(one, two)
    cold = SHAPE.network(1)
    assert one.shape == row_of(cold).shape
    assert not torch.equal(one, row_of(cold))
    assert {weight.dtype for weight in WARM.network(1).parameters()} == {torch.float32}


def test_it_has_the_shape_and_the_tokens_of_the_tiny_student() -> None:
    tiny = composed_cell(("student=tiny",)).student
    assert isinstance(tiny, TinyStudent)
    assert replace(SHAPE, name="tiny", licence=tiny.licence) == tiny
    assert composed_cell(("student=tiny_warm",)).student == replace(WARM, licence="Apache-2.0")
    assert WARM.tokenizer() is tiny.tokenizer()


def test_a_longer_window_is_a_setting() -> None:
    """Rotary positions have no weights, so that the base serves any window."""
    assert replace(WARM, max_length=400).network(1).config.max_position_embeddings == 400


def test_other_weights_are_another_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = WARM.fingerprint()
    assert shipped == file_hash(WEIGHTS)
    other = tmp_path / "model.safetensors"
    save_model(SHAPE.network(1), str(other))
    monkeypatch.setattr(warm, "WEIGHTS", other)
    assert WARM.fingerprint() == file_hash(other) != shipped


def test_absent_weights_are_said_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "WEIGHTS", tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"which is missing; .*python -m benchmark\.pretraining"):
        WARM.check()
