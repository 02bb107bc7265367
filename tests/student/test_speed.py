"""What makes a student fast must not make it another one: end-to-end rows, a growing cache, weights cast once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from transformers import (
    AttentionInterface,
    DynamicCache,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from benchmark.errors import ConfigError
from benchmark.student import attention, load
from benchmark.student.architecture import DecoderOnly
from benchmark.student.attention import (
    END_TO_END,
    Rows,
    attend,
    attend_end_to_end,
    attend_from_one_token,
    attends_end_to_end,
)
from benchmark.student.batch import MicroBatch, collate
from benchmark.student.cache import BLOCK, GrowingLayer, growing_cache
from benchmark.student.compilation import layers_compiled
from benchmark.student.precision import projections_cast
from benchmark.student.token_loss import ROWS_AT_ONCE, negative_log_likelihoods
from benchmark.types import Request
from tests.student.student_parts import NETWORKS, PLAIN, characters, sharpened, student_of, tokens

VOCABULARY = 24


def batch_of_unequal_rows() -> MicroBatch:
    generator = torch.Generator().manual_seed(7)
    rows = [
        tokens(f"q{i}", torch.randint(3, VOCABULARY, (prompt,), generator=generator).tolist(), [4, 5, 6][:target])
        for i, (prompt, target) in enumerate([(1, 1), (9, 3), (30, 2), (4, 3), (2, 1)])
    ]
    [batch] = collate(rows, PLAIN, 0, micro_batch_tokens=10**6).micro_batches
    return batch


def both_ways(kind: str) -> tuple[PreTrainedModel, PreTrainedModel]:
    """The same network, attending end to end and over padded rows."""
    padded = NETWORKS[kind](VOCABULARY, 96)
    end_to_end = copy.deepcopy(padded)
    attend_end_to_end(end_to_end)
    assert attends_end_to_end(end_to_end)
    assert not attends_end_to_end(padded)
    return end_to_end, padded


# --- tokens end to end -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alone", [True, False])  # on a CPU, and on other devices
@pytest.mark.parametrize("kind", NETWORKS)
def test_end_to_end_rows_give_the_states_and_gradients_of_padded_ones(
    kind: str, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "_takes_rows_alone", lambda query, value: alone)
    batch, states, gradients = batch_of_unequal_rows(), [], []
    for network in both_ways(kind):
        hidden = DecoderOnly().hidden(network, batch)
        (hidden * torch.linspace(-1, 1, hidden.numel()).view_as(hidden)).sum().backward()
        states.append(hidden.detach())
        gradients.append([weight.grad for weight in network.parameters() if weight.grad is not None])
    torch.testing.assert_close(*states)
    assert len(gradients[0]) == len(gradients[1]) > 5
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_matrix_products_see_no_padding() -> None:
    network, _ = both_ways("llama")
    seen: list[torch.Size] = []
    network.model.layers[0].mlp.gate_proj.register_forward_hook(lambda _, given, __: seen.append(given[0].shape))
    batch = batch_of_unequal_rows()
    DecoderOnly().hidden(network, batch)
    assert seen == [(1, int(batch.attention_mask.sum()), 16)]


def test_rows_come_back_from_their_padded_form() -> None:
    rows = Rows.of(batch_of_unequal_rows().attention_mask)
    states = torch.randn(1, 2, len(rows.places), 3)
    padded = rows.padded(states)
    assert padded.shape == (5, 2, 32, 3)
    assert (padded.abs().sum((1, 3)) > 0).sum() == len(rows.places)
    torch.testing.assert_close(rows.end_to_end(padded.transpose(1, 2)), states.transpose(1, 2))
    assert rows.positions.tolist()[:3] == [0, 1, 0]


def test_layers_that_look_through_a_window_keep_padded_rows() -> None:
    sizes: dict[str, Any] = dict(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    windowed = MistralForCausalLM(MistralConfig(num_key_value_heads=1, sliding_window=4, **sizes))
    attend_end_to_end(windowed)
    assert not attends_end_to_end(windowed)
    whole = MistralForCausalLM(MistralConfig(num_key_value_heads=1, sliding_window=None, **sizes))
    attend_end_to_end(whole)
    assert attends_end_to_end(whole)


def test_a_network_that_mixes_up_its_rows_is_refused_when_it_is_loaded() -> None:
    def mixes(*states: Any, rows: Rows | None = None, **settings: Any) -> Any:
        return sdpa_attention_forward(*states, **settings)  # causal over all rows as if they were one

    tokenizer = characters()
    student = student_of(NETWORKS["llama"](len(tokenizer)), tokenizer)
    load._refuse_other_heads(student, "student")
    AttentionInterface.register(END_TO_END, mixes)
    try:
        with pytest.raises(ConfigError, match="uses an attention that this engine does not reproduce"):
            load._refuse_other_heads(student, "student")
    finally:
        AttentionInterface.register(END_TO_END, attend)


def test_a_saved_network_says_nothing_of_it(tmp_path: Any) -> None:
    network, _ = both_ways("llama")
    network.save_pretrained(tmp_path)
    assert "end_to_end" not in (tmp_path / "config.json").read_text()


# --- one token at a time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 3, 6])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_one_token_attends_as_sdpa_does(groups: int, scaling: float | None) -> None:
    generator = torch.Generator().manual_seed(5)
    query = torch.randn(4, 6, 1, 8, generator=generator)
    key, value = (torch.randn(4, groups, 11, 8, generator=generator) for _ in range(2))
    mask = torch.ones(4, 1, 1, 11, dtype=torch.bool)
    for row, padding in enumerate([0, 3, 10]):
        mask[row, ..., :padding] = False
    for seen in (mask, None):
        expected = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=seen, scale=scaling, enable_gqa=True
        )
        found = attend_from_one_token(query, key, value, seen, scaling)
        torch.testing.assert_close(found, expected.transpose(1, 2))


@pytest.mark.parametrize("kind", NETWORKS)
def test_tokens_written_in_bfloat16_have_the_logits_of_the_whole_text(kind: str) -> None:
    network, _ = both_ways(kind)
    ids = torch.randint(3, VOCABULARY, (2, 40), generator=torch.Generator().manual_seed(1))
    cache, one_by_one = growing_cache(network), []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        whole = network(input_ids=ids, use_cache=False).logits.float()
        for column in ids.T:
            one_by_one.append(network(input_ids=column[:, None], past_key_values=cache, use_cache=True).logits[:, 0])
    assert {layer.keys.dtype for layer in cache.layers} == {torch.bfloat16}  # float32 ones would be cast at every token
    written = torch.stack(one_by_one, dim=1).float()
    assert (written - whole).abs().mean() < 0.02 * whole.abs().mean()


# --- the cache -------------------------------------------------------------------------------------------------------


def test_a_growing_layer_holds_what_transformers_own_holds() -> None:
    ours, theirs = GrowingLayer(), DynamicCache().layer_class_to_replicate()
    for step, count in enumerate([5, 1, 1, BLOCK, 1, 3]):
        states = torch.randn(6 if step < 3 else 3, 2, count, 4)
        for layer in (ours, theirs):
            if step == 3:
                layer.batch_select_indices(torch.tensor([0, 2, 5]))
            layer.update(states, -states)
        torch.testing.assert_close(ours.keys, theirs.keys, rtol=0, atol=0)
        torch.testing.assert_close(ours.values, theirs.values, rtol=0, atol=0)
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_a_token_copies_nothing_while_there_is_room() -> None:
    layer = GrowingLayer()
    layer.update(torch.randn(2, 1, 3, 4), torch.randn(2, 1, 3, 4))
    before = layer.keys.data_ptr()
    for _ in range(BLOCK - 3):
        layer.update(torch.randn(2, 1, 1, 4), torch.randn(2, 1, 1, 4))
    assert layer.keys.data_ptr() == before
    layer.update(torch.randn(2, 1, 1, 4), torch.randn(2, 1, 1, 4))
    assert layer.keys.data_ptr() != before


def test_layers_with_a_window_stay_as_transformers_makes_them() -> None:
    config = MistralConfig(num_hidden_layers=2, sliding_window=4)
    network = type("Network", (), {"config": config})()
    assert not any(isinstance(layer, GrowingLayer) for layer in growing_cache(network).layers)


# --- weights cast once -----------------------------------------------------------------------------------------------


def t5(vocabulary: int) -> PreTrainedModel:
    config = T5Config(vocab_size=vocabulary, d_model=16, d_ff=32, d_kv=8, num_layers=2, num_heads=2)
    return sharpened(T5ForConditionalGeneration(config), scale=0.2)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
def test_weights_cast_once_give_the_bits_that_autocast_gives(kind: str) -> None:
    network = t5(VOCABULARY) if kind == "t5" else NETWORKS[kind](VOCABULARY, 96)
    ids = torch.tensor([[3, 4, 5, 6, 7]])
    inputs = {"input_ids": ids, "decoder_input_ids": ids} if kind == "t5" else {"input_ids": ids}
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        plain = network(**inputs).logits
        with projections_cast(network, torch.bfloat16):
            assert any(weight.dtype == torch.bfloat16 for weight in network.parameters())
            cast = network(**inputs).logits
    assert torch.equal(plain, cast)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_weights_themselves_are_put_back_tied_ones_too_whatever_happens(kind: str) -> None:
    network = NETWORKS[kind](VOCABULARY, 96)
    network.tie_weights()
    before = {
        name: (id(weight), weight.data_ptr()) for name, weight in network.named_parameters(remove_duplicate=False)
    }
    with pytest.raises(RuntimeError, match="on the way"), projections_cast(network, torch.bfloat16):
        raise RuntimeError("on the way")
    after = {name: (id(weight), weight.data_ptr()) for name, weight in network.named_parameters(remove_duplicate=False)}
    assert before == after
    assert all(weight.requires_grad for weight in network.parameters())


def test_a_bf16_student_writes_with_cast_weights_and_trains_on_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = characters()
    student = student_of(NETWORKS["llama"](len(tokenizer)), tokenizer)
    student.autocast = torch.bfloat16
    seen: set[torch.dtype] = set()
    projection = student.network.model.layers[0].mlp.gate_proj
    projection.register_forward_pre_hook(lambda module, _: seen.add(module.weight.dtype))
    student.generate([Request("answer", "1+1", "q")])
    assert seen == {torch.bfloat16}
    assert projection.weight.dtype == torch.float32


# --- the loss --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [1, ROWS_AT_ONCE, 2 * ROWS_AT_ONCE + 5])
def test_negative_log_likelihoods_are_cross_entropy_in_value_and_gradient(dtype: torch.dtype, count: int) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = (8 * torch.randn(count, 50, generator=generator)).to(dtype).requires_grad_()
    chosen = torch.randint(0, 50, (count,), generator=generator)
    scale = torch.linspace(-1, 2, count)
    ours = negative_log_likelihoods(logits, chosen)
    theirs = torch.nn.functional.cross_entropy(logits.float(), chosen, reduction="none")
    assert torch.equal(ours, theirs)
    gradients = [torch.autograd.grad((values * scale).sum(), logits)[0] for values in (ours, theirs)]
    assert torch.equal(*gradients)
    assert ours.dtype == torch.float32
    assert gradients[0].dtype == dtype


def test_only_the_shared_vocabulary_counts() -> None:
    student = student_of(NETWORKS["llama"](VOCABULARY))
    hidden, chosen = torch.randn(3, 16), torch.tensor([3, 4, 5])
    expected = torch.nn.functional.cross_entropy(student.logits(hidden)[:, :10], chosen, reduction="none")
    torch.testing.assert_close(student.negative_log_likelihoods(hidden, chosen, 10), expected)


# --- compiled layers -------------------------------------------------------------------------------------------------


def test_compiled_layers_train_the_same_and_write_as_they_were_written() -> None:
    torch.compiler.reset()
    compiled: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: Sequence[torch.Tensor]) -> Callable[..., Any]:
        compiled.append(len(inputs))
        return graph.forward

    tokenizer, batch = characters(), batch_of_unequal_rows()
    student = student_of(NETWORKS["llama"](len(tokenizer)), tokenizer)
    before, text = student.hidden(batch), student.generate([Request("answer", "1+1", "q")])
    with layers_compiled(student.network, backend=backend):
        torch.testing.assert_close(student.hidden(batch), before)
        graphs = len(compiled)
        assert 0 < graphs < 4  # one piece of code for all layers
        assert student.generate([Request("answer", "1+1", "q")]) == text
        assert len(compiled) == graphs
    student.hidden(batch)
    assert len(compiled) == graphs
    assert all(layer._compiled_call_impl is None for layer in student.network.model.layers)
