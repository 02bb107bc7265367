"""A student made of another model by depth pruning: some decoder layers stay, the others are taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from benchmark.errors import ModelError
from benchmark.student.model_checks import config_of
from benchmark.student.source import PretrainedStudent

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Keep = Literal["evenly", "first"]

LAYERS_OF = {
    "gpt2": "h",
    "llama": "layers",
    "mistral": "layers",
    "qwen2": "layers",
    "qwen3": "layers",
    "smollm3": "layers",
}
"""Model type -> name of the list of layers in the network's body."""
PER_LAYER = ("layer_types", "no_rope_layers")
"""Settings of these models' configs that are lists with one entry per layer."""


@dataclass(frozen=True)
class PrunedStudent(PretrainedStudent):
    """The first or evenly spread layers of a pretrained decoder, with its embeddings, final norm, head and tokenizer.

    Nothing is trained here: a model without some of its layers writes badly until it is trained again.
    """

    layers: int = field(kw_only=True)
    """How many layers stay; from 1 to the number that the larger model has."""
    keep: Keep = field(default="evenly", kw_only=True)
    """`evenly`: the first, the last and others at equal distances between them; `first`: the first ones."""

    def check(self) -> None:
        """Raises ConfigError and ModelError as a pretrained student does, and ModelError as `kept` does."""
        super().check()
        self.kept()

    def kept(self) -> tuple[int, ...]:
        """The numbers that the layers which stay have in the larger model, from 0 on, in ascending order.

        Raises ModelError if the larger model has fewer layers, or is of a kind that cannot be pruned here: with an
        encoder, of an unknown model type, or with layers that compute by their number.
        """
        setting = f"{self.slot}.path={self.path}"
        config = config_of(self._configuration_file().parent, setting)
        _refuse_other_kinds(config, setting)
        total = int(config.num_hidden_layers)
        if not 1 <= self.layers <= total:
            raise ModelError(
                f"{self.slot}.layers={self.layers}, but {self.path} has {total} layers; give a number from 1 to {total}"
            )
        return evenly_spread(self.layers, total) if self.keep == "evenly" else tuple(range(self.layers))

    def _pretrained(self) -> PreTrainedModel:
        kept = self.kept()
        return prune(super()._pretrained(), kept)


def evenly_spread(count: int, total: int) -> tuple[int, ...]:
    """`count` of the numbers from 0 to `total` - 1, with both ends, at distances that differ by one at most; 0 for one.

    `count` must be from 1 to `total`.
    """
    gaps = max(count - 1, 1)
    return tuple((i * (total - 1) + gaps // 2) // gaps for i in range(count))


def prune(network: PreTrainedModel, kept: Sequence[int]) -> PreTrainedModel:
    """Takes all layers but those with these numbers out of a decoder, in place, and returns it.

    The layers that stay are numbered anew, as their keys and values are stored by number. The config says how many
    there are, and holds their entries of its lists.
    """
    from torch.nn import ModuleList

    body: Any = network.base_model
    config: Any = network.config
    name = LAYERS_OF[config.model_type]
    layers = ModuleList(getattr(body, name)[number] for number in kept)
    setattr(body, name, layers)
    for number, layer in enumerate(layers):
        numbered: list[Any] = [module for module in layer.modules() if hasattr(module, "layer_idx")]
        for module in numbered:
            module.layer_idx = number
    config.num_hidden_layers = len(layers)
    for setting in PER_LAYER:
        if (entries := getattr(config, setting, None)) is not None:
            setattr(config, setting, [entries[number] for number in kept])
    return network


def _refuse_other_kinds(config: Any, setting: str) -> None:
    """Raises ModelError for a model whose layers cannot be taken out, and says what to choose."""
    kind = config.model_type
    if config.is_encoder_decoder:
        raise ModelError(
            f"{setting} has an encoder (model_type={kind!r}), and only decoders are pruned here; give a decoder-only "
            "model, or train the whole model as a pretrained student, such as student=flan_t5_base"
        )
    if kind not in LAYERS_OF:
        raise ModelError(
            f"{setting} is of model_type={kind!r}, whose layers this benchmark does not know how to take out; give a "
            f"model of one of these types: {', '.join(LAYERS_OF)}"
        )
    if getattr(config, "scale_attn_by_inverse_layer_idx", False):
        raise ModelError(
            f"{setting} has scale_attn_by_inverse_layer_idx=true in its config.json, so that a layer with a new number "
            "would compute something else; give another model"
        )
