"""Depth pruning: which layers stay, that they compute what they did, that folders keep it, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

from benchmark.cell.identity import cell_id
from benchmark.errors import ConfigError, ModelError
from benchmark.student.generation import Draft, write
from benchmark.student.load import load_student
from benchmark.student.lora import Lora
from benchmark.student.pruned import PrunedStudent, evenly_spread
from benchmark.student.source import StudentSource
from tests.cells import composed_cell
from tests.corridor.corridor_parts import MINIATURE, SMALLEST_STUDENT, run
from tests.student.student_parts import CPU, T5, characters, sharpened

Run = Callable[..., Any]

TOTAL = 6
"""Layers of the larger models here."""
SIZES: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": TOTAL,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 192,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
WINDOWED = {"use_sliding_window": True, "sliding_window": 4}
GPT2_SIZES: dict[str, Any] = {
    "vocab_size": 100, "n_embd": 16, "n_layer": TOTAL, "n_head": 2, "n_positions": 192,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
}  # fmt: skip
CONFIGS = {
    "llama": lambda: LlamaConfig(**SIZES, tie_word_embeddings=False),
    "gpt2": lambda: GPT2Config(**GPT2_SIZES),
    "mistral": lambda: MistralConfig(**SIZES, sliding_window=None),
    "qwen2": lambda: Qwen2Config(**SIZES, **WINDOWED, max_window_layers=4),  # the last two layers have a window
    "qwen3": lambda: Qwen3Config(**SIZES, head_dim=8, tie_word_embeddings=True),
    "smollm3": lambda: SmolLM3Config(**SIZES, no_rope_layer_interval=3),  # layers 2 and 5 know no positions
}
IDS = torch.tensor([[5, 9, 20, 33, 7, 61, 12, 40, 18, 77, 30]])


def network_of(kind: str, seed: int = 0) -> PreTrainedModel:
    network = AutoModelForCausalLM.from_config(CONFIGS[kind](), attn_implementation="sdpa")
    return sharpened(network, seed, scale=0.2)


def saved(network: PreTrainedModel, folder: Path) -> Path:
    network.save_pretrained(folder)
    characters().save_pretrained(folder)
    return folder


def pruned(folder: Path | str | None, layers: int, keep: Any = "evenly", **settings: Any) -> PrunedStudent:
    path = None if folder is None else str(folder)
    return PrunedStudent("small", path, max_length=64, max_new_tokens=8, layers=layers, keep=keep, **settings)


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def larger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of six layers, once for each family."""
    return saved(network_of(request.param), tmp_path_factory.mktemp(request.param))


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return saved(network_of("llama"), tmp_path / "llama")


def original(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def layers_of(network: Any) -> Sequence[torch.nn.Module]:
    layers: Sequence[torch.nn.Module] = (
        network.base_model.h if hasattr(network, "transformer") else network.model.layers
    )
    return layers


@torch.no_grad()
def logits(network: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    found: torch.Tensor = network.eval()(input_ids=ids, use_cache=False).logits
    return found


@contextmanager
def skipping(network: PreTrainedModel, stay: Sequence[int]) -> Iterator[None]:
    """The whole network, in which all other layers hand on what they were given."""
    skipped = [layer for number, layer in enumerate(layers_of(network)) if number not in stay]
    hooks = [layer.register_forward_hook(lambda _, given, __: given[0]) for layer in skipped]
    yield
    for hook in hooks:
        hook.remove()


# --- which layers stay -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "total", "stay"),
    [
        (1, 6, (0,)),
        (2, 6, (0, 5)),
        (3, 6, (0, 3, 5)),
        (3, 5, (0, 2, 4)),
        (6, 6, (0, 1, 2, 3, 4, 5)),
        (1, 1, (0,)),
        (4, 28, (0, 9, 18, 27)),
    ],
)
def test_evenly_keeps_both_ends_and_equal_distances(count: int, total: int, stay: tuple[int, ...]) -> None:
    assert evenly_spread(count, total) == stay


def test_no_distance_is_larger_than_another_by_more_than_one() -> None:
    for total in range(2, 40):
        for count in range(2, total + 1):
            stay = evenly_spread(count, total)
            gaps = {b - a for a, b in pairwise(stay)}
            assert (stay[0], stay[-1], len(stay)) == (0, total - 1, count)
            assert min(gaps) >= 1
            assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(("keep", "stay"), [("evenly", (0, 3, 5)), ("first", (0, 1, 2))])
def test_the_layers_that_stay_are_those_of_the_larger_model_and_so_is_the_rest(
    larger: Path, keep: str, stay: tuple[int, ...]
) -> None:
    whole, source = original(larger), pruned(larger, 3, keep)
    assert source.kept() == stay
    network = source.network(1)
    assert len(layers_of(network)) == network.config.num_hidden_layers == 3
    for mine, number in zip(layers_of(network), stay, strict=True):
        theirs = layers_of(whole)[number].state_dict()
        assert theirs.keys() == mine.state_dict().keys()
        assert all(torch.equal(weight, theirs[name]) for name, weight in mine.state_dict().items())
    names = [name for name in network.state_dict() if ".layers." not in name and ".h." not in name]
    assert len(names) >= 3  # embeddings, final norm and head at least
    assert all(torch.equal(network.state_dict()[name], whole.state_dict()[name]) for name in names)


@pytest.mark.parametrize("stay", [(0, 3, 5), (0, 1, 2), (0, 5), (0,)])
def test_it_computes_what_the_larger_model_does_without_the_other_layers(larger: Path, stay: tuple[int, ...]) -> None:
    """Positions, windows and layers without positions included: every layer stays what it was."""
    whole = original(larger)
    keep = "first" if stay == (0, 1, 2) else "evenly"
    with skipping(whole, stay):
        expected = logits(whole)
    assert torch.equal(logits(pruned(larger, len(stay), keep).network(1)), expected)
    assert not torch.allclose(logits(whole), expected, atol=0.01)


@pytest.mark.parametrize("keep", ["evenly", "first"])
def test_with_all_layers_it_is_the_larger_model(larger: Path, keep: str) -> None:
    network = pruned(larger, TOTAL, keep).network(1)
    assert torch.equal(logits(network), logits(original(larger)))
    assert network.config.to_dict() == original(larger).config.to_dict()


def test_lists_of_the_config_follow_their_layers(tmp_path: Path) -> None:
    windows = pruned(saved(network_of("qwen2"), tmp_path / "qwen2"), 3).network(1).config
    assert windows.layer_types == ["full_attention", "full_attention", "sliding_attention"]
    positions = pruned(saved(network_of("smollm3"), tmp_path / "smollm3"), 3).network(1).config
    assert positions.no_rope_layers == [1, 1, 0]


# --- writing and saving ----------------------------------------------------------------------------------------------


@torch.no_grad()
def test_with_a_cache_every_position_is_as_without(larger: Path) -> None:
    network: Any = pruned(larger, 3).network(1).eval()
    cache, found = None, []
    for token in IDS.T:
        out = network(input_ids=token[None], past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        found.append(out.logits[:, 0])
    assert len(cache.layers) == 3
    assert torch.allclose(torch.stack(found, 1), logits(network), atol=1e-4)


def test_texts_written_with_a_cache_are_those_without(larger: Path) -> None:
    network: Any = pruned(larger, 3).network(1).eval()
    settings = {"do_sample": False, "max_new_tokens": 20, "eos_token_id": 99, "pad_token_id": 0}
    mask = torch.ones_like(IDS)
    slow = network.generate(IDS, attention_mask=mask, use_cache=False, **settings)
    assert torch.equal(network.generate(IDS, attention_mask=mask, use_cache=True, **settings), slow)
    drafts = [Draft(IDS[0].tolist(), 20), Draft(IDS[0, :4].tolist(), 20)]
    write(load_student(pruned(larger, 3), 1, CPU, "32-true").network, drafts, frozenset({99}), 0, 8)
    assert drafts[0].tokens == [token for token in slow[0, IDS.shape[1] :].tolist() if token != 99]


def test_a_saved_and_loaded_one_computes_the_same_bits(larger: Path, tmp_path: Path) -> None:
    network = pruned(larger, 3).network(1)
    again = original(saved(network, tmp_path / "again"))
    assert torch.equal(logits(again), logits(network))
    assert again.config.num_hidden_layers == len(layers_of(again)) == 3
    assert torch.equal(logits(pruned(tmp_path / "again", 3).network(2)), logits(network))  # and pruning can go on
    assert torch.equal(logits(pruned(tmp_path / "again", 2).network(2)), logits(pruned(larger, 2).network(1)))


def test_adapters_are_for_the_layers_that_stay(larger: Path) -> None:
    pytest.importorskip("peft")
    source = pruned(larger, 2, lora=Lora(rank=2, alpha=4))
    source.check()
    network: Any = source.network(1)
    trained = [name for name, weight in network.named_parameters() if weight.requires_grad]
    assert trained
    assert {name.split(".")[4] for name in trained} == {"0", "1"}
    assert torch.allclose(logits(network), logits(pruned(larger, 2).network(1)), atol=1e-6)


# --- refusals --------------------------------------------------------------------------------------------------------


def refusal(source: PrunedStudent) -> str:
    with pytest.raises(ModelError) as checked:
        source.check()
    with pytest.raises(ModelError) as built:
        source.network(1)
    assert str(checked.value) == str(built.value)
    return str(checked.value)


@pytest.mark.parametrize("layers", [-1, 0, TOTAL + 1])
def test_a_number_of_layers_that_cannot_be_is_refused_with_both_numbers(llama: Path, layers: int) -> None:
    said = f"student.layers={layers}, but {llama} has 6 layers; give a number from 1 to 6"
    assert refusal(pruned(llama, layers)) == refusal(pruned(llama, layers, "first")) == said


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    folder = saved(T5.network(1), tmp_path)
    assert refusal(pruned(folder, 1)) == (
        f"student.path={folder} has an encoder (model_type='t5'), and only decoders are pruned here; give a "
        "decoder-only model, or train the whole model as a pretrained student, such as student=flan_t5_base"
    )


def change_config(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_layers_that_compute_by_their_number_are_refused(tmp_path: Path) -> None:
    folder = saved(network_of("gpt2"), tmp_path)
    change_config(folder, scale_attn_by_inverse_layer_idx=True)
    assert "has scale_attn_by_inverse_layer_idx=true in its config.json" in refusal(pruned(folder, 2))


def test_an_unknown_family_is_refused_with_those_that_are_known(llama: Path) -> None:
    change_config(llama, model_type="gemma")
    assert refusal(pruned(llama, 2)).endswith(
        "give a model of one of these types: gpt2, llama, mistral, qwen2, qwen3, smollm3"
    )


def test_what_a_pretrained_student_refuses_is_refused_here_too(llama: Path) -> None:
    with pytest.raises(ConfigError, match=r"student=small needs a model: give student\.path=FOLDER"):
        pruned(None, 2).check()
    with pytest.raises(ModelError, match=r"student\.max_length=193, but the window of .* has 192 tokens"):
        replace(pruned(llama, 2), max_length=193).check()
    (llama / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"without tokenizer\.json"):
        pruned(llama, 2).check()


def test_another_way_to_keep_layers_is_refused(command: Run) -> None:
    done = command("student=pruned", "student.keep=last", "mode=plan")
    assert done.status == 2
    assert done.complaint.startswith("student.keep='last': input should be 'evenly' or 'first'")


# --- in cells --------------------------------------------------------------------------------------------------------

SMALL = tuple(each for each in MINIATURE if each not in SMALLEST_STUDENT)


def choosing(folder: Path | str, *more: str) -> tuple[str, ...]:
    """The overrides of a small cell with a pruned student."""
    sizes = ("student.layers=3", "student.max_length=192", "optimization.precision=32-true")
    return (*SMALL, "student=pruned", f"student.path='{folder}'", *sizes, *more)


def test_ids_follow_content_and_settings_and_not_the_place(llama: Path, tmp_path: Path) -> None:
    def id_of(folder: Path, *more: str) -> str:
        return cell_id(composed_cell(choosing(folder, *more)))

    shutil.copytree(llama, tmp_path / "copy")
    whole = cell_id(composed_cell((*choosing(llama)[:-3], "student=qwen3_0_6b", *choosing(llama)[-2:])))
    mine, same = id_of(llama), ("student.name=qwen3_0_6b_3_layers_evenly",)
    assert mine == id_of(tmp_path / "copy") == id_of(llama, *same)
    others = {id_of(llama, "student.layers=2", *same), id_of(llama, "student.keep=first", *same), whole}
    saved(network_of("llama", seed=1), tmp_path / "copy")
    others.add(id_of(tmp_path / "copy"))
    assert len({mine, *others}) == 5
    assert pruned(llama, 3).fingerprint() != pruned(tmp_path / "copy", 3).fingerprint()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_cell_trains_one(kind: str, tmp_path: Path) -> None:
    cell = composed_cell(choosing(saved(network_of(kind), tmp_path / kind), "student.keep=first"))
    assert isinstance(cell.student, StudentSource)
    assert cell.student.name == "qwen3_0_6b_3_layers_first"
    cell.student.check()
    before = cell.student.network(1).state_dict()
    done = run(cell, tmp_path / "results")
    [finished] = done.history
    after = done.cell_run.student.network.state_dict()
    assert finished.optimiser_steps == 6
    assert after.keys() == before.keys()
    assert sum(not torch.equal(after[name], before[name]) for name in before) > 10
    assert len(done.table("predictions")) == 8


HEAL = "student.name=pruned"
DISTIL = (
    "student=smollm2_135m",
    "student.name=healed",
    "student.max_length=192",
    "optimization.precision=32-true",
)


def test_a_healed_student_is_the_start_of_other_cells(llama: Path, tmp_path: Path, command: Run, results: Any) -> None:
    heal = ("method=gold_answers", *choosing(llama, HEAL), "trainer.save_student=true")
    assert command(*heal).status == 0
    [healed] = results.records()
    folder = results.path / healed["cell_id"] / "student"
    assert original(folder).config.num_hidden_layers == 3
    distil = ("method=answer_only", *SMALL, *DISTIL, f"student.path={folder}")
    assert command(*distil).status == 0
    [record] = [each for each in results.records() if each["cell_id"] != healed["cell_id"]]
    assert [(row["slot"], row["cell_id"]) for row in record["prerequisites"]] == [("student", healed["cell_id"])]

    named = [each for each in heal if not each.startswith(("dataset.", "trainer."))]
    listed = ",".join(f'"{each}"' for each in named)
    both = ("-m", f"+prerequisites.healed=[{listed}]", *distil[:-1], "student.path=cell:healed", "references=false")
    done = command(*both)
    assert done.status == 0, done.err
    assert done.err.splitlines()[0] == "2 cells, 2 complete, 0 to run"  # the same two cells
