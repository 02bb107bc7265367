"""A tiny encoder-decoder made from scratch; `TinyStudent` is the tiny decoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmark.student.source import FromScratch, Overlong, drawing, refuse_small, refuse_window

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class TinyEncoderDecoder(FromScratch):
    """A T5 of about 0.2 million parameters on characters, with random weights."""

    name: str
    """The name in tables."""
    hidden_size: int
    """The width of hidden states; a multiple of `attention_heads`."""
    intermediate_size: int
    """The width inside feed-forward layers."""
    layers: int
    """Number of layers in the encoder, and in the decoder."""
    attention_heads: int
    """Number of attention heads per layer."""
    max_length: int
    """The window in tokens: prompt and response together."""
    max_new_tokens: int
    """The most tokens of a reply whose request sets no cap."""
    overlong: Overlong = "refuse"
    """What happens to prompts and targets that do not fit: the cell is refused, or they are cut and counted."""
    licence: str = field(default="unknown", metadata={"identity": False})
    """The licence of the model."""

    def __post_init__(self) -> None:
        refuse_small(self, "hidden_size", "intermediate_size", "layers", "attention_heads")
        refuse_window(self.max_length, self.max_new_tokens)
        if self.hidden_size % self.attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} is not a multiple of attention_heads={self.attention_heads}"
            )

    def has_encoder(self) -> bool:
        """True: the prompt goes into an encoder."""
        return True

    def network(self, seed: int) -> PreTrainedModel:
        """A T5 with random weights, gated GELU and unscaled outputs, as in T5 1.1.

        Unlike T5 1.1, it has one embedding for input and output: transformers 5 ties the two in every T5 that it makes.
        """
        from transformers import T5Config, T5ForConditionalGeneration

        tokenizer = self.tokenizer()
        config = T5Config(  # type: ignore[call-arg]  # its parent's settings are not in its signature
            vocab_size=len(tokenizer),
            d_model=self.hidden_size,
            d_kv=self.hidden_size // self.attention_heads,
            d_ff=self.intermediate_size,
            num_layers=self.layers,
            num_heads=self.attention_heads,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            tie_word_embeddings=False,
            decoder_start_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        with drawing(seed):
            return T5ForConditionalGeneration(config)
