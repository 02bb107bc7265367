"""Where students come from: the tiny one, Hugging Face folders, and what is said when they cannot be had."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import GatedRepoError
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from benchmark.errors import ConfigError
from benchmark.student.source import PretrainedStudent, StudentSource
from tests.student.student_parts import TINY, characters, gpt2


def row_of(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().ravel() for weight in network.parameters()])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny student."""
    folder = tmp_path_factory.mktemp("saved")
    TINY.network(1).save_pretrained(folder)
    characters().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    copy = tmp_path / "model"
    copy.mkdir()
    for file in saved.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def student_in(path: Path | str | None) -> PretrainedStudent:
    return PretrainedStudent("from_folder", None if path is None else str(path), max_length=64, max_new_tokens=8)


# --- the tiny student ------------------------------------------------------------------------------------------------


def test_the_tiny_student_follows_from_its_seed_alone() -> None:
    torch.manual_seed(1)
    one = row_of(TINY.network(1))
    torch.manual_seed(2)
    after = torch.rand(3)
    torch.manual_seed(2)
    two = row_of(TINY.network(1))
    assert torch.equal(one, two)
    assert torch.equal(torch.rand(3), after)  # and it draws nothing from the process-wide generator
    others = [row_of(TINY.network(seed)) for seed in (0, 2, 3)]
    assert all((one - other).abs().max() > 0.01 for other in others)


def test_the_tiny_students_sizes_are_those_asked_for_and_impossible_ones_are_refused() -> None:
    network = TINY.network(1)
    config = network.config
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (16, 2, 2)
    assert config.max_position_embeddings == TINY.max_length
    assert network.get_input_embeddings().num_embeddings == len(TINY.tokenizer())
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    assert network.lm_head.weight.std().item() == pytest.approx(TINY.initializer_range, rel=0.1)
    TINY.check()
    with pytest.raises(ValueError, match=r"hidden_size=15 is not a multiple of twice attention_heads=2"):
        replace(TINY, hidden_size=15)
    with pytest.raises(ValueError, match="layers=0"):
        replace(TINY, layers=0)
    with pytest.raises(ValueError, match="room for a prompt"):
        replace(TINY, max_new_tokens=TINY.max_length)


@pytest.fixture(scope="module")
def reloaded(saved: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(saved)


def test_every_printable_character_comes_back_and_has_a_token_of_its_own(reloaded: PreTrainedTokenizerBase) -> None:
    text = string.printable[:95] + "\n"
    for tokenizer in (TINY.tokenizer(), reloaded):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert len(set(ids)) == len(text) == 96
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text
        assert not set(ids) & set(tokenizer.all_special_ids)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(text=st.text("".join(c for c in string.printable[:95] if c not in "<>") + "\n", max_size=30))
def test_texts_round_trip_also_after_saving(reloaded: PreTrainedTokenizerBase, text: str) -> None:
    for tokenizer in (TINY.tokenizer(), reloaded):
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert len(ids) == len(text) + 1
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert reloaded(text)["input_ids"] == TINY.tokenizer()(text)["input_ids"]


def test_a_saved_tokenizer_keeps_its_special_tokens(reloaded: PreTrainedTokenizerBase) -> None:
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "unk_token_id"):
        assert getattr(reloaded, name) == getattr(TINY.tokenizer(), name)
    assert len({reloaded.pad_token_id, reloaded.bos_token_id, reloaded.eos_token_id, reloaded.unk_token_id}) == 4


# --- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_gives_its_weights_in_float32_whatever_the_seed(folder: Path) -> None:
    source = student_in(folder)
    assert isinstance(source, StudentSource)
    source.check()
    assert torch.equal(row_of(source.network(1)), row_of(TINY.network(1)))
    assert torch.equal(row_of(source.network(2)), row_of(TINY.network(1)))
    TINY.network(1).to(torch.bfloat16).save_pretrained(folder)
    assert {weight.dtype for weight in source.network(1).parameters()} == {torch.float32}


def test_eos_pads_where_a_tokenizer_has_no_padding_token(folder: Path) -> None:
    tokenizer = characters()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    loaded = student_in(folder).tokenizer()
    assert loaded.pad_token_id == loaded.eos_token_id == tokenizer.eos_token_id


def test_a_tokenizer_without_eos_is_refused(folder: Path) -> None:
    tokenizer = characters()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match=f"student.path={folder}: its tokenizer has no EOS token"):
        student_in(folder).tokenizer()


def refusal(path: Path | str | None) -> str:
    with pytest.raises(ConfigError) as caught:
        student_in(path).check()
    return str(caught.value)


def test_what_is_wrong_with_a_folder_is_said_with_the_path_and_the_fix(folder: Path, tmp_path: Path) -> None:
    assert refusal(None) == "student=from_folder needs a model: give student.path=FOLDER or student.path=HUB_ID"
    assert refusal(tmp_path / "nowhere") == f"student.path={tmp_path / 'nowhere'}: there is no such folder"
    assert refusal("~/nowhere") == "student.path=~/nowhere: there is no such folder"
    assert "there is no such folder" in refusal("models/of/mine")
    assert f"student.path={tmp_path} has no config.json" in refusal(tmp_path)
    (folder / "tokenizer_config.json").unlink()
    assert refusal(folder) == (
        f"student.path={folder} is a folder without tokenizer_config.json; save the tokenizer there too"
    )
    (folder / "tokenizer.json").unlink()
    assert "without tokenizer.json; save the tokenizer there too" in refusal(str(folder) + "/")


def test_a_folder_without_weights_is_refused_with_what_is_missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=rf"student.path={folder} holds no \*.safetensors weights"):
        student_in(folder).fingerprint()


def test_a_hub_id_without_a_network_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []

    def offline(repository: str, file: str, revision: str) -> str:
        asked.append((repository, file, revision))
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    for name in ("someone/model", "model"):
        text = refusal(name)
        assert text.startswith(f"student.path={name} is neither a folder nor a model that can be fetched from the hub")
        assert "give the folder of a downloaded model as student.path=FOLDER" in text
        with pytest.raises(ConfigError, match=name):
            student_in(name).fingerprint()
    assert set(asked) == {("someone/model", "config.json", "main"), ("model", "config.json", "main")}


def test_a_hub_that_is_away_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def offline(*_: Any, **__: Any) -> str:
        asked.append(1)
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    assert refusal("someone/far-model") == refusal("someone/far-model")
    assert asked == [1]


def test_a_gated_model_is_refused_with_what_to_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    def gated(*_: Any, **__: Any) -> str:
        raise GatedRepoError("no", response=Mock(headers={}))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", gated)
    assert "whose licence must be accepted on its page of the hub" in refusal("someone/gated-model")


def test_what_a_run_would_download_is_what_no_disk_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    source = replace(student_in("someone/model"), licence="MIT")
    where = "a run downloads someone/model (revision main) from the hub"
    said = f"student=from_folder is not on this disk: {where}; licence: MIT"
    assert source.download() == said
    snapshot = tmp_path / "models--someone--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--someone--model" / "refs").mkdir()
    (tmp_path / "models--someone--model" / "refs" / "main").write_text("abc")
    (snapshot / "config.json").touch()
    assert source.download() == said  # the weights are still missing
    (snapshot / "model.safetensors").touch()
    assert source.download() is None
    assert student_in(tmp_path).download() is None
    assert student_in("/no/such/folder").download() is None
    assert student_in(None).download() is None


def test_a_hub_model_is_named_by_the_commit_of_its_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "snapshots" / "abc123" / "config.json"
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(config))
    source = student_in("someone/other-model")
    assert source.fingerprint() == "someone/other-model@abc123"


# --- fingerprints ----------------------------------------------------------------------------------------------------


def test_a_fingerprint_follows_the_content_and_not_the_place(folder: Path, saved: Path) -> None:
    assert student_in(folder).fingerprint() == student_in(saved).fingerprint()
    assert TINY.fingerprint() == ""
    TINY.network(2).save_pretrained(folder)
    assert student_in(folder).fingerprint() != student_in(saved).fingerprint()


def change_json(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_a_fingerprint_sees_another_config_or_vocabulary(folder: Path) -> None:
    seen = {student_in(folder).fingerprint()}
    change_json(folder / "config.json", rms_norm_eps=0.5)
    seen.add(student_in(folder).fingerprint())
    change_json(folder / "tokenizer.json", truncation=None, padding=None, normalizer={"type": "Lowercase"})
    seen.add(student_in(folder).fingerprint())
    assert len(seen) == 3


def test_a_fingerprint_sees_another_chat_template(folder: Path) -> None:
    """It changes every prompt, and so every number."""
    before = student_in(folder).fingerprint()
    tokenizer = characters()
    tokenizer.chat_template = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    tokenizer.save_pretrained(folder)
    assert student_in(folder).tokenizer().chat_template
    assert student_in(folder).fingerprint() != before


def test_a_fingerprint_sees_another_eos_token(folder: Path) -> None:
    before = student_in(folder).fingerprint()
    change_json(folder / "tokenizer_config.json", eos_token="#")
    assert student_in(folder).tokenizer().eos_token == "#"
    assert student_in(folder).fingerprint() != before


def test_another_architecture_loads_from_its_folder_just_as_well(tmp_path: Path) -> None:
    network = gpt2(len(characters()))
    network.save_pretrained(tmp_path)
    characters().save_pretrained(tmp_path)
    source = student_in(tmp_path)
    source.check()
    assert torch.equal(row_of(source.network(1)), row_of(network))
