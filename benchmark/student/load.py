"""Loads a student: takes the network from its source to its device and checks what the engine assumes about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benchmark.errors import ModelError
from benchmark.student.architecture import architecture_of, plain
from benchmark.student.attention import attend_end_to_end
from benchmark.student.batch import collate
from benchmark.student.encoding import EncodedExample
from benchmark.student.hardware import device_of
from benchmark.student.model_checks import refuse_beyond_window, refuse_more_tokens
from benchmark.student.settings import Precision, TrainerSettings, settled
from benchmark.student.source import StudentSource
from benchmark.student.student import Student
from benchmark.types import TrainingExample

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_student(source: StudentSource, seed: int, settings: TrainerSettings, precision: Precision) -> Student:
    """Loads the initial student, or another local model.

    Raises ModelError if the engine cannot use the model: `max_length` exceeds its window, it embeds fewer tokens than
    its tokenizer has, or it computes its logits in a way that the loss does not reproduce. `PretrainedStudent.check`
    finds the first two before any work; here they are for sources of other kinds.
    """
    network = initial_network(source, seed, settings)
    window = getattr(network.config, "max_position_embeddings", None)
    refuse_beyond_window(source.max_length, window, source.slot, source.name)
    tokenizer = source.tokenizer()
    embeddings: Any = network.get_input_embeddings()
    refuse_more_tokens(len(tokenizer), embeddings.weight.shape[0], f"{source.slot}={source.name}")
    student = Student(
        network=network,
        tokenizer=tokenizer,
        max_length=source.max_length,
        max_new_tokens=source.max_new_tokens,
        seed=seed,
        batch_size=settings.evaluation_rows(sum(weight.numel() for weight in network.parameters())),
        autocast=torch.bfloat16 if settled(precision) == "bf16-mixed" else None,
    )
    _refuse_other_heads(student, source.slot)
    return student


def initial_network(source: StudentSource, seed: int, settings: TrainerSettings) -> PreTrainedModel:
    """The network before any training, on the cell's device, without dropout."""
    network = source.network(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # equal seeds must give equal numbers on every batch split
    attend_end_to_end(plain(network))
    network.to(device_of(settings.accelerator))  # type: ignore[arg-type]  # its decorator hides the signature
    return network


def _row(prompt: tuple[int, ...], target: tuple[int, ...]) -> EncodedExample:
    example = TrainingExample(str(prompt), "", "", ())
    return EncodedExample(example, prompt, target, (1.0,) * len(target), ("",) * len(target), False)


@torch.inference_mode()
def _refuse_other_heads(student: Student, slot: str) -> None:
    """Raises ModelError if the network's own logits are not what the output embedding makes of its hidden states.

    The loss uses the output embedding alone, so such a model would train wrongly. The check compares two rows of
    different lengths, so that it also finds a network whose rows influence each other when stored as one sequence.
    """
    network, eos = student.network, int(student.tokenizer.eos_token_id)
    rows = [_row((eos, 0), (1, 2, eos)), _row((3, 4, 5, 6), (7, eos))]
    [batch] = collate(rows, {}, student.padding_id, micro_batch_tokens=12).to(network.device).micro_batches
    plain_logits = student.logits(student.hidden(batch))
    # Blown up to about 100, because a cap is the identity near 0, where the logits of an untrained model are.
    factor = 100 / plain_logits.abs().max().clamp(min=1e-9)
    head: Any = plain(network).get_output_embeddings()
    blow_up = head.register_forward_hook(lambda _, __, logits: logits * factor)
    try:
        whole = architecture_of(network).whole_logits(network, batch).float()
        ours = student.logits(student.hidden(batch))
    finally:
        blow_up.remove()
    if not torch.allclose(whole, ours, rtol=1e-2, atol=1e-1):
        raise ModelError(
            f"{type(network).__name__} changes its logits after the output embedding (by soft-capping or scaling), or "
            f"uses an attention that this engine does not reproduce; choose another {slot}"
        )
