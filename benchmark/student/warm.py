"""Tiny students with weights that we pretrained, and that come with the package."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import ModelError
from benchmark.student.source import FromScratch, Overlong, TinyStudent, refuse_window

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WIDE = TinyStudent(
    name="tiny_warm",
    hidden_size=64,
    intermediate_size=128,
    layers=2,
    attention_heads=4,
    initializer_range=0.1,
    max_length=192,
    max_new_tokens=96,
)
"""The network of `student=tiny_warm`: that of `student=tiny`."""
NARROW = replace(WIDE, name="tiny_warm_narrow", hidden_size=32, intermediate_size=64, attention_heads=2)
"""Half as wide, with heads of the same width: the smaller student where sizes are compared."""
SHAPES = {shape.hidden_size: shape for shape in (WIDE, NARROW)}
"""Width -> the network that weights of this width belong to."""
FOLDER = Path(__file__).parent


def weights_of(shape: TinyStudent) -> Path:
    """The file of a network's weights, made by `python -m benchmark.pretraining`; the card beside it says from what."""
    return FOLDER / shape.name / "model.safetensors"


@dataclass(frozen=True)
class WarmStudent(FromScratch):
    """The tiny decoder, pretrained on easier questions than the generated datasets ask; the same for every seed."""

    name: str
    """The name in tables."""
    max_length: int
    """The window in tokens: prompt and response together."""
    max_new_tokens: int
    """The most tokens of a reply whose request sets no cap."""
    hidden_size: int = field(default=64, metadata={"identity": False})  # the hash of the weights identifies it
    """The network's width, 64 or 32: for these there are weights."""
    overlong: Overlong = "refuse"
    """What happens to prompts and targets that do not fit: the cell is refused, or they are cut and counted."""
    licence: str = field(default="unknown", metadata={"identity": False})
    """The licence of the model."""

    def __post_init__(self) -> None:
        refuse_window(self.max_length, self.max_new_tokens)
        if self.hidden_size not in SHAPES:
            widths = ", ".join(map(str, sorted(SHAPES)))
            raise ValueError(f"hidden_size={self.hidden_size}: there are pretrained weights of width {widths} only")

    @property
    def weights(self) -> Path:
        """The file of the weights."""
        return weights_of(SHAPES[self.hidden_size])

    def check(self) -> None:
        """Raises ModelError if the package came without the weights."""
        if not self.weights.is_file():
            raise ModelError(
                f"student={self.name} needs {self.weights}, which is missing; install the package again, or make the "
                f"file with python -m benchmark.pretraining --width {self.hidden_size}"
            )

    def fingerprint(self) -> str:
        """A hash of the weights."""
        self.check()
        return _hash(self.weights, self.weights.stat().st_mtime_ns)

    def has_encoder(self) -> bool:
        """False: prompt and response are one sequence."""
        return False

    def network(self, seed: int) -> PreTrainedModel:
        """The pretrained decoder; `seed` changes nothing."""
        from safetensors.torch import load_model

        self.check()
        shape = SHAPES[self.hidden_size]
        network = replace(shape, max_length=self.max_length, max_new_tokens=self.max_new_tokens).network(seed)
        load_model(network, str(self.weights))
        return network


@lru_cache(maxsize=4)
def _hash(path: Path, _: int) -> str:
    from benchmark.records.contents import file_hash

    return file_hash(path)
