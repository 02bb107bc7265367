"""A frozen model reads its own prompts: its numbers are those of the model alone, whatever the student's layout is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmark.student.batch import MicroBatch, collate
from benchmark.student.frozen import Frozen
from benchmark.student.scratch import TinyEncoderDecoder
from benchmark.student.student import Student
from benchmark.types import Span, TrainingExample
from tests.student.student_parts import PLAIN, characters, llama, sharpened, student_of

CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}{% if add_generation_prompt %}<me>{% endif %}"
)
EXAMPLES = [
    TrainingExample("a", "answer", "3+4", (Span("7"),)),
    TrainingExample("b", "answer", "12-5-1", (Span("12-5=7;"), Span("7-1=6#6", name="end"))),
    TrainingExample("c", "answer", "1", (Span("one and one"),), weight=0.5),
]


def decoder(template: str | None = None, max_length: int = 64, seed: int = 7) -> Student:
    tokenizer = characters()
    tokenizer.chat_template = template
    return student_of(llama(len(tokenizer), seed=seed), tokenizer, max_length)


def encoder_decoder(seed: int = 3) -> Student:
    source = TinyEncoderDecoder("t5", 16, 32, 1, 2, max_length=64, max_new_tokens=16)
    return student_of(sharpened(source.network(seed), seed, 0.3), characters())


MODELS = {
    "decoder": decoder,
    "decoder in a chat": lambda: decoder(CHAT),
    "encoder-decoder": encoder_decoder,
}


def batch_of(student: Student, examples: list[TrainingExample]) -> MicroBatch:
    rows = student.encoder.examples(examples)
    [batch] = collate(rows, PLAIN, student.padding_id, micro_batch_tokens=10**6).micro_batches
    return batch


def through_the_door(frozen: Frozen, batch: MicroBatch) -> dict[str, list[float]]:
    """Group -> log-probabilities of its target tokens, as a loss gets them."""
    nats = (-frozen.negative_log_likelihoods(frozen.hidden(batch), batch.tokens)).tolist()
    found: dict[str, list[float]] = {}
    for row, value in zip(batch.example_of.tolist(), nats, strict=True):
        found.setdefault(batch.examples[row].group, []).append(value)
    return found


def prompt_by_hand(name: str, text: str) -> list[int]:
    """Token ids of a prompt, spelt out for each layout: 4 is the first character's id, 1 and 2 are BOS and EOS."""
    letters = {token: number for token, number in characters().get_vocab().items()}
    spelt = {"decoder": f"{text}\n", "decoder in a chat": f"<user>{text}<end><me>", "encoder-decoder": text}[name]
    ids = [letters[sign] for sign in spelt]
    return ids if name == "decoder in a chat" else [1, *ids]


@torch.no_grad()
def alone(name: str, model: Student, example: TrainingExample) -> list[float]:
    """The model's own log-probabilities of one target, from transformers alone and without any batch."""
    [(target, _)] = model.encoder.targets([example])
    prompt = prompt_by_hand(name, example.prompt)
    if name == "encoder-decoder":
        logits = model.network(
            input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([[0, *target[:-1]]])
        ).logits[0]
    else:
        logits = model.network(input_ids=torch.tensor([[*prompt, *target]])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits.float(), -1)[range(len(target)), target].tolist()


@pytest.mark.parametrize("theirs", MODELS)
@pytest.mark.parametrize("ours", MODELS)
def test_a_frozen_model_reads_the_students_targets_behind_its_own_prompts(ours: str, theirs: str) -> None:
    student, model = MODELS[ours](), MODELS[theirs]()
    found = through_the_door(Frozen(model, len(student.tokenizer)), batch_of(student, EXAMPLES))
    for example in EXAMPLES:
        assert found[example.group] == pytest.approx(alone(theirs, model, example), abs=2e-4)


def test_a_decoder_teacher_under_an_encoder_decoder_student_reads_its_own_prompt() -> None:
    """The silent misreading: on the student's prompt, which has no line feed, the same teacher says something else."""
    student, teacher = encoder_decoder(), decoder()
    batch, frozen = batch_of(student, EXAMPLES), Frozen(teacher, 100)
    right = through_the_door(frozen, batch)
    for example, values in zip(EXAMPLES, teacher.target_log_probabilities(EXAMPLES), strict=True):
        assert right[example.group] == pytest.approx(values, abs=2e-4)
    with torch.no_grad():
        wrong = -teacher.negative_log_likelihoods(teacher.hidden(batch), batch.tokens)
    read = torch.tensor([value for group in dict.fromkeys(e.group for e in batch.examples) for value in right[group]])
    assert float((wrong - read).abs().mean()) > 0.1  # nats per token


def test_order_places_and_scales_of_the_tokens_stay() -> None:
    student = encoder_decoder()
    batch = batch_of(student, EXAMPLES)
    own = Frozen(decoder(), 100)._rendered(batch)
    assert own.examples == batch.examples
    assert own.input_ids[own.rows, own.columns + 1].tolist() == batch.tokens.tolist()
    for name in ("rows", "tokens", "example_of", "group_of", "span_of"):
        assert torch.equal(getattr(own, name), getattr(batch, name)), name
    assert own.scale is batch.scale


def test_a_batch_in_the_models_own_layout_stays_as_it_is() -> None:
    student = decoder(CHAT)
    batch = batch_of(student, EXAMPLES)
    own = Frozen(student, 100)._rendered(batch)
    for name, value in vars(batch).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(getattr(own, name), value), name


def test_what_is_read_is_counted_as_the_model_reads_it() -> None:
    model = decoder(CHAT)
    Frozen(model, 100).hidden(batch_of(encoder_decoder(), EXAMPLES))
    read = sum(len(prompt_by_hand("decoder in a chat", each.prompt)) for each in EXAMPLES)
    written = sum(len(each.target_text) + 1 for each in EXAMPLES)
    assert (model.usage.calls, model.usage.prompt_tokens) == (3, read + written)


def test_tokens_that_the_student_wrote_and_cut_targets_are_read_as_they_are() -> None:
    example = TrainingExample("a", "answer", "3+4", (Span("7"),), token_ids=(9, 8, 7))
    student, model = encoder_decoder(), decoder()
    batch = batch_of(student, [example])
    prompt = prompt_by_hand("decoder", "3+4")
    with torch.no_grad():
        logits = model.network(input_ids=torch.tensor([[*prompt, 9, 8, 7]])).logits[0, len(prompt) - 1 : -1]
    values = torch.log_softmax(logits.float(), -1)[range(3), [9, 8, 7]].tolist()
    assert through_the_door(Frozen(model, 100), batch)["a"] == pytest.approx(values, abs=2e-4)


def test_a_small_window_cuts_the_beginning_of_prompts_and_counts_them() -> None:
    model, long = decoder(max_length=16), replace(EXAMPLES[0], prompt="1+2+3+4+5+6+7+8+9")
    frozen = Frozen(model, 100)
    own = frozen._rendered(batch_of(encoder_decoder(), [long, EXAMPLES[0]]))
    assert sorted(own.prompt_lengths.tolist()) == [5, 14]
    assert model.counters == {"truncated_training_prompts": 1}
    with pytest.raises(ValueError, match="a target of 19 tokens leaves no room for a prompt in a window of 16"):
        frozen.hidden(batch_of(encoder_decoder(), [replace(long, target=(Span("a" * 18),))]))
