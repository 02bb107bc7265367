"""What differs between decoder-only and encoder-decoder students: how a batch is read, and how a text is continued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from benchmark.student.batch import MicroBatch


class Continuation(Protocol):
    """Texts that are being written, one row each."""

    def next_logits(self) -> torch.Tensor:
        """[rows, vocabulary]: the logits of every row's next token."""
        ...

    def extend(self, tokens: Sequence[int]) -> None:
        """Takes the token that every row has chosen."""
        ...

    def keep(self, rows: torch.Tensor) -> None:
        """Goes on with these rows only."""
        ...


class Architecture(Protocol):
    """How one kind of network is used."""

    def hidden(self, network: Any, batch: MicroBatch) -> torch.Tensor:
        """[N, width]: what the output embedding takes, at each position that predicts a response token."""
        ...

    def whole_logits(self, network: Any, batch: MicroBatch) -> torch.Tensor:
        """[N, vocabulary]: the same positions by the network's own way from tokens to logits."""
        ...

    def continuation(self, network: Any, prompts: Sequence[Sequence[int]], padding_id: int) -> Continuation:
        """Rows that go on behind the prompts."""
        ...


def architecture_of(network: Any) -> Architecture:
    """The architecture that a network's config names."""
    return EncoderDecoder() if network.config.is_encoder_decoder else DecoderOnly()


def plain(network: Any) -> Any:
    """The transformers model itself: adapters (LoRA) stand inside of its layers, and a wrapper around it."""
    return network.get_base_model() if hasattr(network, "get_base_model") else network


# --- decoder-only ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DecoderOnly:
    """Prompt and response are one sequence."""

    def hidden(self, network: Any, batch: MicroBatch) -> torch.Tensor:
        """[N, width]: the last hidden state at each position that predicts a response token."""
        # Padding stands on the right of a causal model, so no position looks at it; without a mask attention is faster.
        body = plain(network).base_model(input_ids=batch.input_ids, use_cache=False)
        states: torch.Tensor = body.last_hidden_state
        return states[batch.rows, batch.columns]

    def whole_logits(self, network: Any, batch: MicroBatch) -> torch.Tensor:
        """[N, vocabulary]."""
        logits: torch.Tensor = plain(network)(input_ids=batch.input_ids, use_cache=False).logits
        return logits[batch.rows, batch.columns]

    def continuation(self, network: Any, prompts: Sequence[Sequence[int]], padding_id: int) -> Continuation:
        """Rows padded on the left, so that the next token of every row is predicted at the same column."""
        device, width = network.device, max(map(len, prompts))
        tokens = [[padding_id] * (width - len(prompt)) + [*prompt] for prompt in prompts]
        mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        return _CausalContinuation(
            plain(network), torch.tensor(tokens, device=device), torch.tensor(mask, device=device)
        )


class _CausalContinuation:
    def __init__(self, network: Any, tokens: torch.Tensor, mask: torch.Tensor) -> None:
        self.network = network
        self.tokens = tokens
        self.mask = mask
        self.positions = (mask.cumsum(1) - 1).clamp(min=0)
        self.cache: Any = None

    def next_logits(self) -> torch.Tensor:
        out = self.network(
            input_ids=self.tokens,
            attention_mask=self.mask,
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache = out.past_key_values
        logits: torch.Tensor = out.logits
        return logits[:, -1]

    def extend(self, tokens: Sequence[int]) -> None:
        self.tokens = torch.tensor(tokens, device=self.tokens.device)[:, None]
        self.positions = self.positions[:, -1:] + 1
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)

    def keep(self, rows: torch.Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.tokens, self.mask, self.positions = self.tokens[rows], self.mask[rows], self.positions[rows]


# --- encoder-decoder -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EncoderDecoder:
    """The prompt is encoded, the response is decoded behind a start token (T5)."""

    def hidden(self, network: Any, batch: MicroBatch) -> torch.Tensor:
        """[N, width]: the decoder's last hidden state at each position that predicts a response token."""
        model = plain(network)
        prompts, mask, decoder_ids, columns = self._split(model, batch)
        encoded = model.get_encoder()(input_ids=prompts, attention_mask=mask).last_hidden_state
        decoded = model.get_decoder()(
            input_ids=decoder_ids, encoder_hidden_states=encoded, encoder_attention_mask=mask, use_cache=False
        )
        states: torch.Tensor = decoded.last_hidden_state[batch.rows, columns]
        return states * model.model_dim**-0.5 if getattr(model.config, "scale_decoder_outputs", False) else states

    def whole_logits(self, network: Any, batch: MicroBatch) -> torch.Tensor:
        """[N, vocabulary]."""
        model = plain(network)
        prompts, mask, decoder_ids, columns = self._split(model, batch)
        logits: torch.Tensor = model(input_ids=prompts, attention_mask=mask, decoder_input_ids=decoder_ids).logits
        return logits[batch.rows, columns]

    def _split(self, model: Any, batch: MicroBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """(encoder input [B, P], its mask, decoder input [B, R], the decoder's column of each response token [N])."""
        lengths = batch.prompt_lengths
        width = int(lengths.max())
        mask = (torch.arange(width, device=lengths.device) < lengths[:, None]).long()
        columns = batch.columns - lengths[batch.rows] + 1
        decoder_ids = batch.input_ids.new_full((len(lengths), int(columns.max()) + 1), _start_token(model))
        behind = columns > 0  # in column 0 stands the start token
        decoder_ids[batch.rows[behind], columns[behind]] = batch.input_ids[batch.rows[behind], batch.columns[behind]]
        return batch.input_ids[:, :width], mask, decoder_ids, columns

    def continuation(self, network: Any, prompts: Sequence[Sequence[int]], padding_id: int) -> Continuation:
        """Prompts encoded once, padded on the right."""
        model, device, width = plain(network), network.device, max(map(len, prompts))
        tokens = torch.tensor([[*p] + [padding_id] * (width - len(p)) for p in prompts], device=device)
        mask = torch.tensor([[1] * len(p) + [0] * (width - len(p)) for p in prompts], device=device)
        return _DecodedContinuation(model, model.get_encoder()(input_ids=tokens, attention_mask=mask), mask)


class _DecodedContinuation:
    def __init__(self, network: Any, encoded: Any, mask: torch.Tensor) -> None:
        self.network = network
        self.encoded = encoded
        self.mask = mask
        self.tokens = torch.full((len(mask), 1), _start_token(network), device=mask.device)
        self.cache: Any = None

    def next_logits(self) -> torch.Tensor:
        out = self.network(
            encoder_outputs=self.encoded,
            attention_mask=self.mask,
            decoder_input_ids=self.tokens,
            past_key_values=self.cache,
            use_cache=True,
        )
        self.cache = out.past_key_values
        logits: torch.Tensor = out.logits
        return logits[:, -1]

    def extend(self, tokens: Sequence[int]) -> None:
        self.tokens = torch.tensor(tokens, device=self.tokens.device)[:, None]

    def keep(self, rows: torch.Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.tokens, self.mask = self.tokens[rows], self.mask[rows]
        self.encoded.last_hidden_state = self.encoded.last_hidden_state[rows]


def _start_token(model: Any) -> int:
    return int(model.config.decoder_start_token_id)
