"""Encoder-decoders, adapters and padded vocabularies: trained, asked, scored and exported as any other student."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from benchmark.axes.loss import CrossEntropy
from benchmark.conformance.observed import observe_after_death, observe_bare
from benchmark.errors import ConfigError
from benchmark.student.batch import collate
from benchmark.student.encoding import behind
from benchmark.student.export import export
from benchmark.student.fit import fit
from benchmark.student.load import load_student
from benchmark.student.lora import Lora
from benchmark.student.source import PretrainedStudent
from benchmark.student.student import Student
from benchmark.student.target_scores import EVERY_TOKEN
from benchmark.types import Contrast, Request, Span, TrainingExample
from tests.corridor.corridor_parts import fingerprint, miniature, run
from tests.student.student_parts import CPU, T5, TINY, characters, context_of, method_of, optimization_of, sums

pytest.importorskip("peft")

LORA = Lora(rank=4, alpha=8)


def saved(network: Any, folder: Path, tokenizer: Any = None) -> str:
    network.save_pretrained(folder)
    (tokenizer or characters()).save_pretrained(folder)
    return str(folder)


def sharpened(network: Any) -> Any:
    """Larger weights, so that greedy texts of an untrained model differ from prompt to prompt."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(3.0 if weight.ndim > 1 else 1.0)
    return network


@pytest.fixture
def t5(tmp_path: Path) -> PretrainedStudent:
    return PretrainedStudent("t5", saved(sharpened(T5.network(1)), tmp_path / "t5", T5.tokenizer()), 64, 16)


@pytest.fixture
def llama(tmp_path: Path) -> PretrainedStudent:
    return PretrainedStudent("llama", saved(TINY.network(1), tmp_path / "llama", TINY.tokenizer()), 64, 16)


def load(source: Any) -> Student:
    return load_student(source, 1, CPU, "32-true")


def trained(student: Student, steps: int) -> Student:
    method = method_of()
    optimization = optimization_of(max_steps=steps, learning_rate=1e-2)
    fit(student, sums(8), method, context_of(student, method), optimization, CPU)
    return student


# --- encoder-decoder -------------------------------------------------------------------------------------------------


def test_greedy_text_is_that_of_transformers_generate(t5: PretrainedStudent) -> None:
    student = load(t5)
    prompts = ["1+1", "12+34+5", "7", "1+2+3+4+5+6+7+8"]
    ours = student.generate([Request("answer", prompt, str(i)) for i, prompt in enumerate(prompts)])
    network = AutoModelForSeq2SeqLM.from_pretrained(str(t5.path))
    for prompt, [reply] in zip(prompts, ours, strict=True):
        ids = student.tokenizer(prompt, return_tensors="pt").input_ids
        expected = network.generate(input_ids=ids, do_sample=False, max_new_tokens=16)[0, 1:]
        assert student.tokenizer.decode(expected, skip_special_tokens=True) == reply.text
    assert len({reply.text for [reply] in ours}) > 1


def test_rows_that_end_early_leave_the_others_as_they_are(t5: PretrainedStudent) -> None:
    student = load(t5)
    requests = [Request("answer", "1+" * i + "1", str(i), max_new_tokens=1 + 3 * i) for i in range(5)]
    together = [reply for [reply] in student.generate(requests)]
    alone = [student.generate([request])[0][0] for request in requests]
    assert together == alone


def test_a_begun_reply_is_read_by_the_decoder(t5: PretrainedStudent) -> None:
    """As in training, where it is part of the target: the encoder reads the prompt alone. Lengths differ in a batch."""
    student = load(t5)
    begun = ["", "4", "the answer", "is 12 and so", "a b "]
    requests = [Request("answer", f"{i}+1", str(i), prefix=prefix) for i, prefix in enumerate(begun)]
    network = AutoModelForSeq2SeqLM.from_pretrained(str(t5.path))
    texts = []
    for request, [reply] in zip(requests, student.generate(requests), strict=True):
        prompt = student.tokenizer(request.prompt, return_tensors="pt").input_ids
        ids = student.tokenizer(request.prefix.rstrip(" "), add_special_tokens=False).input_ids
        inputs = torch.tensor([[network.config.decoder_start_token_id, *ids]])
        output = network.generate(prompt, decoder_input_ids=inputs, do_sample=False, max_new_tokens=16)
        texts.append(student.tokenizer.decode(output[0, inputs.shape[1] :], skip_special_tokens=True))
        assert reply.text == behind(request.prefix, texts[-1])
        assert reply.prompt_tokens == prompt.shape[1] + len(ids)
    plain = student.generate([replace(request, prefix="") for request in requests])
    assert [text == reply.text for text, [reply] in zip(texts, plain, strict=True)] == [True] + [False] * 4


def test_a_begun_reply_is_contrasted_behind_both_prompts(t5: PretrainedStudent) -> None:
    student = load(t5)
    plain = [Request("answer", f"{i}+1", str(i), prefix="so " * i) for i in range(4)]
    against = [replace(request, contrast=Contrast("9", 0.0)) for request in plain]
    for [one], [other] in zip(student.generate(plain), student.generate(against), strict=True):
        assert one.text == other.text
        assert other.completion_tokens == 2 * one.completion_tokens
    [[strong]] = student.generate([replace(plain[3], contrast=Contrast("9", 1.0))])
    assert strong.text != student.generate(plain[3:])[0][0].text


def test_scores_are_those_of_transformers_own_loss(t5: PretrainedStudent) -> None:
    student = load(t5)
    scores = student.target_log_probabilities(sums(6))
    network = AutoModelForSeq2SeqLM.from_pretrained(str(t5.path))
    for example, score in zip(sums(6), scores, strict=True):
        ids = student.tokenizer(example.prompt, return_tensors="pt").input_ids
        target = [*student.tokenizer(example.target_text, add_special_tokens=False).input_ids]
        labels = torch.tensor([[*target, student.tokenizer.eos_token_id]])
        with torch.inference_mode():
            expected = float(network(input_ids=ids, labels=labels).loss)
        assert -sum(score) / len(score) == pytest.approx(expected, rel=1e-5)
        assert len(score) == labels.shape[1]


@pytest.mark.parametrize("tokens", [1, 40])
def test_the_gradient_does_not_depend_on_the_micro_batch_size(tokens: int) -> None:
    """In double precision, where only a mistake could make a difference; prompts of unequal length are padded."""
    student = load(T5)
    student.network.double()
    examples = [TrainingExample(str(i), "answer", "1+" * i + "1", (Span("2" * (9 - i)),)) for i in range(8)]

    def gradient(micro_batch_tokens: int) -> torch.Tensor:
        student.network.zero_grad()
        step = collate(student.encoder.examples(examples), EVERY_TOKEN, student.padding_id, micro_batch_tokens)
        for batch in step.micro_batches:
            logits = student.network.get_output_embeddings()(student.hidden(batch))
            (
                batch.scale["all"] * torch.nn.functional.cross_entropy(logits, batch.tokens, reduction="none")
            ).sum().backward()
        return torch.cat([weight.grad.ravel() for weight in student.network.parameters() if weight.grad is not None])

    assert torch.allclose(gradient(10**6), gradient(tokens), rtol=1e-9, atol=1e-12)


def test_it_learns_by_heart_and_its_folder_says_the_same_without_us(tmp_path: Path) -> None:
    student = trained(load(T5), 200)
    requests = [Request("answer", row.prompt, row.group) for row in sums(8)]
    texts = [reply.text for [reply] in student.generate(requests)]
    assert texts == [row.target_text for row in sums(8)]
    export(student, tmp_path, "")
    network, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    for request, text in zip(requests, texts, strict=True):
        output = network.generate(**tokenizer(request.prompt, return_tensors="pt"), do_sample=False, max_new_tokens=16)
        assert tokenizer.decode(output[0], skip_special_tokens=True) == text


def test_tied_embeddings_with_scaled_decoder_outputs_are_reproduced(tmp_path: Path) -> None:
    """T5 1.0 scales before its output embedding; 1.1 does not."""
    network = T5.network(1)
    plain_scores = load(T5).target_log_probabilities(sums(2))
    network.config.scale_decoder_outputs = True
    source = PretrainedStudent("t5", saved(network, tmp_path, T5.tokenizer()), 64, 16)
    assert AutoModelForSeq2SeqLM.from_pretrained(tmp_path).config.scale_decoder_outputs
    assert load(source).target_log_probabilities(sums(2)) != plain_scores  # and loading has compared the two ways


@pytest.fixture
def t5_v1_1(tmp_path: Path) -> PretrainedStudent:
    """A folder as the hub's T5 1.1 and Flan-T5 are: an output embedding of its own, and a config that says untied."""
    folder = Path(saved(sharpened(T5.network(1)), tmp_path / "t5_v1_1", T5.tokenizer()))
    weights = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    weights["lm_head.weight"] = torch.randn(weights["shared.weight"].shape, generator=generator)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    del config["scale_decoder_outputs"]
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    return PretrainedStudent("t5_v1_1", str(folder), 64, 16)


def test_an_output_embedding_of_its_own_stays_apart_and_learns_apart(
    t5_v1_1: PretrainedStudent, tmp_path: Path
) -> None:
    """transformers 5 calls every T5 tied: whatever ties anew by the config would overwrite one matrix by the other."""
    given = load_file(Path(str(t5_v1_1.path)) / "model.safetensors")
    student = load(t5_v1_1)
    student.network.tie_weights()
    heads = {"shared.weight": student.network.shared.weight, "lm_head.weight": student.network.lm_head.weight}
    assert all(torch.equal(weight, given[name]) for name, weight in heads.items())

    ids = student.tokenizer("1+2+3", return_tensors="pt").input_ids
    theirs = AutoModelForSeq2SeqLM.from_pretrained(str(t5_v1_1.path))
    assert torch.equal(*(network(input_ids=ids, decoder_input_ids=ids).logits for network in (student.network, theirs)))

    trained(student, 2)
    moved = {name: weight.detach() - given[name] for name, weight in heads.items()}
    assert all(change.abs().max() > 1e-4 for change in moved.values())
    assert not torch.allclose(*moved.values())

    export(student, tmp_path / "out", "")
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out")
    assert not again.config.scale_decoder_outputs
    student.network.eval()
    assert torch.equal(*(network(input_ids=ids, decoder_input_ids=ids).logits for network in (student.network, again)))
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is False


def test_adapters_leave_an_output_embedding_of_its_own_alone(t5_v1_1: PretrainedStudent, tmp_path: Path) -> None:
    given = load_file(Path(str(t5_v1_1.path)) / "model.safetensors")
    export(trained(load(replace(t5_v1_1, lora=LORA)), 2), tmp_path / "out", "")
    merged = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(merged[name], given[name]) for name in ("shared.weight", "lm_head.weight"))


def test_a_whole_cell_of_an_encoder_decoder(tmp_path: Path) -> None:
    cell = replace(miniature(), student=T5)
    one, two = run(cell, tmp_path / "1"), run(cell, tmp_path / "2")
    assert fingerprint(one.cell_run.student) == fingerprint(two.cell_run.student)
    assert one.result["train"]["optimiser_steps"] == 6


# --- adapters --------------------------------------------------------------------------------------------------------


def gpt2(folder: Path) -> PretrainedStudent:
    config = GPT2Config(vocab_size=len(characters()), n_embd=32, n_layer=2, n_head=2, n_positions=64)
    return PretrainedStudent("gpt2", saved(GPT2LMHeadModel(config), folder), 64, 16)


@pytest.mark.parametrize("kind", ["llama", "t5", "gpt2"])
def test_only_adapters_learn_and_their_merged_folder_answers_the_same(
    kind: str, llama: PretrainedStudent, t5: PretrainedStudent, tmp_path: Path
) -> None:
    source = replace({"llama": llama, "t5": t5, "gpt2": gpt2(tmp_path / "gpt2")}[kind], lora=LORA)
    student = load(source)
    before = {name: weight.detach().clone() for name, weight in student.network.named_parameters()}
    trained(student, 60)
    moved = {name for name, weight in student.network.named_parameters() if not torch.equal(weight, before[name])}
    assert moved
    assert all("lora_" in name for name in moved)
    requests = [Request("answer", row.prompt, row.group) for row in sums(8)]
    scores, texts = student.target_log_probabilities(sums(8)), [reply.text for [reply] in student.generate(requests)]
    export(student, tmp_path / "out", "")
    again = load(replace(source, path=str(tmp_path / "out"), lora=None))
    assert not any("lora_" in name for name, _ in again.network.named_parameters())
    assert [reply.text for [reply] in again.generate(requests)] == texts
    for one, other in zip(scores, again.target_log_probabilities(sums(8)), strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_adapters_start_as_nothing_and_by_the_seed(llama: PretrainedStudent) -> None:
    source, base = replace(llama, lora=LORA), load(llama)
    one, same, other = (load_student(source, seed, CPU, "32-true") for seed in (1, 1, 2))
    assert one.target_log_probabilities(sums(4)) == base.target_log_probabilities(sums(4))
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)


def test_a_bfloat16_base_keeps_float32_adapters(llama: PretrainedStudent) -> None:
    student = load(replace(llama, lora=replace(LORA, base_dtype="bfloat16")))
    kinds = {("lora_" in name, weight.dtype) for name, weight in student.network.named_parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}


def test_a_killed_fit_of_adapters_goes_on(llama: PretrainedStudent, tmp_path: Path) -> None:
    cell = replace(miniature("trainer.checkpoint_minutes=0"), student=replace(llama, lora=LORA))
    whole = observe_bare(cell)
    resumed = observe_after_death(cell, at_step=4)
    assert not resumed.traces.unlike(whole.traces)


def test_without_peft_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, llama: PretrainedStudent) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'distillation-benchmark\[peft\]'"):
        replace(llama, lora=LORA).check()


# --- padded vocabularies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_model_with_more_rows_than_tokens_trains_and_answers(kind: str, tmp_path: Path) -> None:
    source = {"llama": TINY, "t5": T5}[kind]
    network = source.network(1)
    network.resize_token_embeddings(len(source.tokenizer()) + 7)
    padded = PretrainedStudent("padded", saved(network, tmp_path, source.tokenizer()), 64, 16)
    student = trained(load(padded), 200)
    requests = [Request("answer", row.prompt, row.group) for row in sums(8)]
    assert [reply.text for [reply] in student.generate(requests)] == [row.target_text for row in sums(8)]


def test_a_loss_of_cross_entropy_knows_every_row(t5: PretrainedStudent) -> None:
    assert CrossEntropy().requires().distributions == frozenset()
    [score] = load(t5).target_log_probabilities([TrainingExample("q", "answer", "1", (Span(""),))])
    assert len(score) == 1  # EOS alone
