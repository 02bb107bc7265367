"""Low-rank adapters (LoRA; Hu et al., 2021), by peft: small added matrices train, pretrained weights stay fixed."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from benchmark.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Lora:
    """Settings of the adapters, which are float32.

    There is no dropout: equal seeds must give equal numbers, no matter how a step is cut into micro-batches.
    """

    rank: int
    """The rank of the added matrices."""
    alpha: int
    """`alpha / rank` scales what the adapters add."""
    target_modules: str = "all-linear"
    """Which layers get adapters, in peft's notation."""
    base_dtype: Literal["float32", "bfloat16"] = "float32"
    """The type of the pretrained weights, which stay fixed."""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0:
            raise ValueError(f"rank={self.rank} must be at least 1, alpha={self.alpha} above 0")

    def check(self) -> None:
        """Raises ConfigError if peft is not installed."""
        if importlib.util.find_spec("peft") is None:
            raise ConfigError(
                "student.lora needs peft, which is not installed: pip install 'distillation-benchmark[peft]'"
            )

    def attach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Adds new adapters to the network; only they are trained. Their first matrix is random, the second is zero."""
        import peft

        kind = "SEQ_2_SEQ_LM" if network.config.is_encoder_decoder else "CAUSAL_LM"
        config = peft.LoraConfig(
            task_type=kind, r=self.rank, lora_alpha=self.alpha, lora_dropout=0.0, target_modules=self.target_modules
        )
        return cast("PreTrainedModel", peft.get_peft_model(network, config))


def merged(network: Any) -> Any:
    """Adds the adapters into the weights, in place, and returns the network; without adapters it changes nothing."""
    return network.merge_and_unload() if hasattr(network, "merge_and_unload") else network
