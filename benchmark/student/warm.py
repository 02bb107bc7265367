"""The tiny student with weights that we pretrained, and that come with the package."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import ModelError
from benchmark.student.source import FromScratch, Overlong, TinyStudent, refuse_window

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WEIGHTS = Path(__file__).with_name("tiny_warm") / "model.safetensors"
"""Made by `python -m benchmark.pretraining`; the card beside it says from what."""
SHAPE = TinyStudent(
    name="tiny_warm",
    hidden_size=64,
    intermediate_size=128,
    layers=2,
    attention_heads=4,
    initializer_range=0.1,
    max_length=192,
    max_new_tokens=96,
)
"""The network that the weights belong to: that of `student=tiny`."""


@dataclass(frozen=True)
class WarmStudent(FromScratch):
    """The tiny decoder, pretrained on easier questions than the generated datasets ask; the same for every seed."""

    name: str
    """The name in tables."""
    max_length: int
    """The window in tokens: prompt and response together."""
    max_new_tokens: int
    """The most tokens of a reply whose request sets no cap."""
    overlong: Overlong = "refuse"
    """What happens to prompts and targets that do not fit: the cell is refused, or they are cut and counted."""
    licence: str = field(default="unknown", metadata={"identity": False})
    """The licence of the model."""

    def __post_init__(self) -> None:
        refuse_window(self.max_length, self.max_new_tokens)

    def check(self) -> None:
        """Raises ModelError if the package came without the weights."""
        if not WEIGHTS.is_file():
            raise ModelError(
                f"student={self.name} needs {WEIGHTS}, which is missing; install the package again, or make the file "
                "with python -m benchmark.pretraining"
            )

    def fingerprint(self) -> str:
        """A hash of the weights."""
        self.check()
        return _hash(WEIGHTS, WEIGHTS.stat().st_mtime_ns)

    def has_encoder(self) -> bool:
        """False: prompt and response are one sequence."""
        return False

    def network(self, seed: int) -> PreTrainedModel:
        """The pretrained decoder; `seed` changes nothing."""
        from dataclasses import replace

        from safetensors.torch import load_model

        self.check()
        network = replace(SHAPE, max_length=self.max_length, max_new_tokens=self.max_new_tokens).network(seed)
        load_model(network, str(WEIGHTS))
        return network


@lru_cache(maxsize=4)
def _hash(path: Path, _: int) -> str:
    from benchmark.records.contents import file_hash

    return file_hash(path)
