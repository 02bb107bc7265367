"""Low-rank adapters (Hu et al., 2021), through peft: the pretrained weights stay, small matrices beside them learn."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from benchmark.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Lora:
    """`alpha / rank` scales what the adapters add. They are float32; `base_dtype` is that of the weights that stay.

    There is no dropout, as everywhere: equal seeds must give equal numbers however a step is cut.
    """

    rank: int
    alpha: int
    target_modules: str = "all-linear"
    base_dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0:
            raise ValueError(f"rank={self.rank} must be at least 1, alpha={self.alpha} above 0")

    def check(self) -> None:
        """Raises ConfigError where peft is not installed."""
        if importlib.util.find_spec("peft") is None:
            raise ConfigError(
                "student.lora needs peft, which is not installed: pip install 'distillation-benchmark[peft]'"
            )

    def attach(self, network: PreTrainedModel) -> PreTrainedModel:
        """The network with fresh adapters, which alone are trained; their first matrix is drawn at random."""
        import peft

        kind = "SEQ_2_SEQ_LM" if network.config.is_encoder_decoder else "CAUSAL_LM"
        config = peft.LoraConfig(
            task_type=kind, r=self.rank, lora_alpha=self.alpha, lora_dropout=0.0, target_modules=self.target_modules
        )
        return cast("PreTrainedModel", peft.get_peft_model(network, config))


def merged(network: Any) -> Any:
    """The network with its adapters added into the weights, in place; one without adapters as it is."""
    return network.merge_and_unload() if hasattr(network, "merge_and_unload") else network
