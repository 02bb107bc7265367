"""Low-rank adapters (LoRA; Hu et al., 2021), by peft: small added matrices train, pretrained weights stay fixed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from benchmark.errors import ConfigError
from benchmark.extras import absence

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class Lora:
    """Settings of the adapters, which are float32.

    There is no dropout: equal seeds must give equal numbers, no matter how a step is cut into micro-batches.
    """

    rank: int
    """The rank of the added matrices."""
    alpha: int
    """`alpha / rank` scales what the adapters add."""
    target_modules: str | tuple[str, ...] = ALL_LINEAR
    """Which layers get adapters, as in peft: `all-linear`, a list of names such as `[q_proj, v_proj]`, one name, or a
    regular expression for whole paths."""
    base_dtype: Literal["float32", "bfloat16"] = "float32"
    """The type of the pretrained weights, which stay fixed."""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0:
            raise ValueError(f"rank={self.rank} must be at least 1, alpha={self.alpha} above 0")

    @property
    def names(self) -> tuple[str, ...]:
        """The layers that are named one by one; empty for `all-linear` and for a regular expression."""
        if isinstance(self.target_modules, tuple):
            return self.target_modules
        is_name = self.target_modules != ALL_LINEAR and re.fullmatch(r"\w+", self.target_modules)
        return (self.target_modules,) if is_name else ()

    def check(self) -> None:
        """Raises ConfigError if peft is not installed."""
        if (why := absence("peft")) is not None:
            raise ConfigError(f"student.lora needs peft, which {why}: pip install 'distillation-benchmark[peft]'")

    def attach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Adds new adapters to the network; only they are trained. Their first matrix is random, the second is zero."""
        import peft

        kind = "SEQ_2_SEQ_LM" if network.config.is_encoder_decoder else "CAUSAL_LM"
        # peft takes a single text for a regular expression
        modules = list(self.names) if self.names else str(self.target_modules)
        config = peft.LoraConfig(
            task_type=kind, r=self.rank, lora_alpha=self.alpha, lora_dropout=0.0, target_modules=modules
        )
        return cast("PreTrainedModel", peft.get_peft_model(network, config))


def merged(network: Any) -> Any:
    """Adds the adapters into the weights, in place, and returns the network; without adapters it changes nothing."""
    return network.merge_and_unload() if hasattr(network, "merge_and_unload") else network
