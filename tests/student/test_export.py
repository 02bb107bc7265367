"""Loading a student for work, what is refused then, and the folder that it leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
)

from benchmark.errors import ConfigError
from benchmark.student.export import export
from benchmark.student.fit import fit
from benchmark.student.load import initial_network, load_student
from benchmark.student.source import PretrainedStudent
from benchmark.types import Request
from tests.student.student_parts import (
    CPU,
    TINY,
    characters,
    context_of,
    fresh_student,
    method_of,
    optimization_of,
    sharpened,
    sums,
)

SIZES: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def saved(network: PreTrainedModel, folder: Path, max_length: int = 64) -> PretrainedStudent:
    """A source that reads the network from a folder, with the character tokenizer beside it."""
    network.save_pretrained(folder)
    characters().save_pretrained(folder)
    return PretrainedStudent("saved", str(folder), max_length=max_length, max_new_tokens=8)


# --- loading ---------------------------------------------------------------------------------------------------------


def test_the_loaded_student_has_the_sources_weights_and_limits() -> None:
    student = load_student(TINY, 5, replace(CPU, evaluation_batch_size=7), "bf16-mixed")
    expected = TINY.network(5).state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in student.network.state_dict().items())
    assert (student.max_length, student.max_new_tokens, student.batch_size, student.seed) == (64, 16, 7, 5)
    assert student.autocast == torch.bfloat16
    assert load_student(TINY, 5, CPU, "32-true").autocast is None


def test_a_window_longer_than_the_models_is_refused_with_both_sizes(tmp_path: Path) -> None:
    source = saved(TINY.network(1), tmp_path, max_length=65)
    with pytest.raises(ConfigError, match=r"student.max_length=65, but the window of saved has 64 tokens"):
        load_student(source, 1, CPU, "32-true")
    load_student(replace(source, max_length=64), 1, CPU, "32-true")


def test_an_accelerator_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"trainer.accelerator=gpu, but .*; use trainer.accelerator=auto"):
        initial_network(TINY, 1, replace(CPU, accelerator="gpu"))


def gemma2(cap: float | None = 30.0) -> PreTrainedModel:
    config = Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=cap)
    return Gemma2ForCausalLM(config)


def granite() -> PreTrainedModel:
    return GraniteForCausalLM(GraniteConfig(**SIZES, logits_scaling=8.0))


def test_soft_capped_logits_are_refused_where_the_cap_already_bends_them(tmp_path: Path) -> None:
    source = saved(sharpened(gemma2(), scale=3.0), tmp_path)
    with pytest.raises(ConfigError, match=r"Gemma2ForCausalLM changes its logits after the output embedding"):
        load_student(source, 1, CPU, "32-true")


def test_soft_capped_logits_are_refused_also_while_they_are_still_small(tmp_path: Path) -> None:
    """An untrained Gemma 2: its logits are near 0, where the cap is the identity; training would soon leave that."""
    with pytest.raises(ConfigError, match=r"Gemma2ForCausalLM changes its logits"):
        load_student(saved(gemma2(), tmp_path), 1, CPU, "32-true")


def test_scaled_logits_are_refused_however_small(tmp_path: Path) -> None:
    source = saved(sharpened(granite(), scale=1e-3), tmp_path)
    with pytest.raises(ConfigError, match=r"GraniteForCausalLM changes its logits"):
        load_student(source, 1, CPU, "32-true")


def test_the_same_architecture_without_a_cap_is_served(tmp_path: Path) -> None:
    load_student(saved(gemma2(cap=None), tmp_path), 1, CPU, "32-true")


def with_dropout(kind: str) -> PreTrainedModel:
    if kind == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(vocab_size=100, n_embd=16, n_layer=1, n_head=2, n_positions=64, resid_pdrop=0.5, attn_pdrop=0.5)
        )
    return OPTForCausalLM(
        OPTConfig(
            vocab_size=100,
            hidden_size=16,
            ffn_dim=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=64,
            word_embed_proj_dim=16,
            dropout=0.5,
            attention_dropout=0.5,
            pad_token_id=0,
        )
    )


@pytest.mark.parametrize("kind", ["gpt2", "opt"])
def test_dropout_is_off_in_training_whatever_the_folder_says(kind: str, tmp_path: Path) -> None:
    """Weights after a fit must not depend on how steps are cut, which any dropout would make them."""
    source = saved(with_dropout(kind), tmp_path)
    results = []
    for tokens in (10**6, 1):
        student = load_student(source, 1, CPU, "32-true")
        method = method_of()
        optimization = optimization_of(max_steps=3)
        settings = replace(CPU, micro_batch_tokens=tokens)
        fit(student, sums(8), method, context_of(student, method), optimization, settings)
        results.append(torch.cat([weight.detach().ravel() for weight in student.network.parameters()]))
    assert torch.allclose(*results, atol=1e-4)


# --- export ----------------------------------------------------------------------------------------------------------


def test_the_exported_folder_writes_the_same_greedy_text_in_plain_transformers_and_here(tmp_path: Path) -> None:
    student = fresh_student()
    method = method_of()
    optimization = optimization_of(max_steps=100, learning_rate=1e-2)
    fit(student, sums(8), method, context_of(student, method), optimization, CPU)
    export(student, tmp_path, "the card")
    assert {file.name for file in tmp_path.iterdir()} >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "README.md",
    }
    assert (tmp_path / "README.md").read_text() == "the card"
    requests = [Request("answer", row.prompt, row.group) for row in sums(8)]
    ours = [row[0] for row in student.generate(requests)]
    assert len({reply.text for reply in ours}) > 2

    network = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for request, reply in zip(requests, ours, strict=True):
        ids = tokenizer(f"{request.prompt}\n", return_tensors="pt")
        output = network.generate(
            input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], do_sample=False, max_new_tokens=16
        )
        assert tokenizer.decode(output[0, ids["input_ids"].shape[1] :], skip_special_tokens=True) == reply.text

    source = PretrainedStudent("exported", str(tmp_path), max_length=64, max_new_tokens=16)
    source.check()
    again = load_student(source, student.seed, CPU, "32-true")
    assert [row[0] for row in again.generate(requests)] == ours
