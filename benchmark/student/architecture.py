"""What differs between decoder-only and encoder-decoder students: how a batch is read, and how a text is continued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from benchmark.student.attention import Rows, attends_end_to_end
from benchmark.student.batch import MicroBatch
from benchmark.student.cache import growing_cache, joined

PROMPT_TOKENS_AT_ONCE = 2048
"""The most prompt tokens that one forward pass reads (at least one prompt), so that its values fit the CPU's cache."""
NO_MASK = torch.ones(1, 1, 1, 1, dtype=torch.bool)
"""transformers uses a mask with four dimensions as it is; without one it would build a mask of all token pairs."""


@dataclass(frozen=True)
class Branches:
    """Token ids of one prompt, the beginning of a reply, and several possible endings of that reply."""

    prompt: tuple[int, ...]
    begun: tuple[int, ...]
    """The beginning of the reply, which all endings share."""
    endings: tuple[tuple[int, ...], ...]

    @property
    def stem(self) -> tuple[int, ...]:
        """Prompt and begun reply: the tokens before every ending."""
        return (*self.prompt, *self.begun)


class Continuation(Protocol):
    """A batch of texts that a network is writing, one text per row."""

    def next_logits(self) -> torch.Tensor:
        """[rows, vocabulary]: the logits of each row's next token, in the network's precision."""
        ...

    def extend(self, tokens: Sequence[int]) -> None:
        """Appends one token to every row; `tokens` holds one id per row."""
        ...

    def keep(self, rows: torch.Tensor) -> None:
        """Keeps only the rows with these indices, [rows to keep]; the other rows leave the batch."""
        ...


class Architecture(Protocol):
    """How one kind of network reads a batch and continues a text."""

    def hidden(self, network: Any, batch: MicroBatch) -> torch.Tensor:
        """[N, width]: the input of the output embedding at each position that predicts a response token."""
        ...

    def whole_logits(self, network: Any, batch: MicroBatch) -> torch.Tensor:
        """[N, vocabulary]: logits of the network's own forward pass at the same positions as `hidden`."""
        ...

    def continuation(self, network: Any, prompts: Sequence[Sequence[int]], padding_id: int) -> Continuation:
        """Starts one row per prompt; `prompts` holds token ids without padding."""
        ...

    def before_endings(self, network: Any, texts: Sequence[Branches], padding_id: int) -> torch.Tensor:
        """[N, width]: the last hidden state before each token of each ending, text by text, ending by ending."""
        ...

    def states(self, network: Any, texts: Sequence[Sequence[int]], padding_id: int) -> torch.Tensor:
        """[texts, longest, width]: the last hidden state at each token of each text; padding is on the right."""
        ...


def architecture_of(network: Any) -> Architecture:
    """`EncoderDecoder` if the network's config says `is_encoder_decoder`, else `DecoderOnly`."""
    return EncoderDecoder() if network.config.is_encoder_decoder else DecoderOnly()


def plain(network: Any) -> Any:
    """The transformers model without the wrapper of peft; LoRA adapters stay inside its layers."""
    return network.get_base_model() if hasattr(network, "get_base_model") else network


def output_matrix(network: Any) -> torch.Tensor | None:
    """[rows, width]: the matrix that makes logits; None where there is more, such as a bias or an adapter."""
    head = plain(network).get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.bias is not None:
        return None
    weight: torch.Tensor = head.weight
    return weight


# --- decoder-only ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DecoderOnly:
    """The network reads prompt and response as one sequence."""

    def hidden(self, network: Any, batch: MicroBatch) -> torch.Tensor:
        """[N, width]: the last hidden state at each position that predicts a response token."""
        body = plain(network).base_model
        if attends_end_to_end(body):
            return self._end_to_end(body, batch)
        # Padding stands on the right of a causal model, so no position looks at it; without a mask attention is faster.
        states: torch.Tensor = body(input_ids=batch.input_ids, use_cache=False).last_hidden_state
        return states[batch.rows, batch.columns]

    def _end_to_end(self, body: Any, batch: MicroBatch) -> torch.Tensor:
        rows = Rows.of(batch.attention_mask)
        tokens, positions = batch.input_ids.flatten()[rows.places], rows.positions
        states: torch.Tensor = body(
            input_ids=tokens[None], position_ids=positions[None], attention_mask=NO_MASK, use_cache=False, rows=rows
        ).last_hidden_state
        lengths = batch.attention_mask.sum(1)
        return states[0, (lengths.cumsum(0) - lengths)[batch.rows] + batch.columns]

    def whole_logits(self, network: Any, batch: MicroBatch) -> torch.Tensor:
        """[N, vocabulary]: logits of the network's own forward pass at the same positions as `hidden`."""
        logits: torch.Tensor = plain(network)(input_ids=batch.input_ids, use_cache=False).logits
        return logits[batch.rows, batch.columns]

    def continuation(self, network: Any, prompts: Sequence[Sequence[int]], padding_id: int) -> Continuation:
        """One row per prompt, padded on the left, so that all rows predict their next token at the last column."""
        return _CausalContinuation(plain(network), *_padded_left(prompts, padding_id, network.device))

    def before_endings(self, network: Any, texts: Sequence[Branches], padding_id: int) -> torch.Tensor:
        """[N, width]; reads each stem once; every ending continues from a copy of its stem's keys and values."""
        body: Any = plain(network).base_model
        tokens, mask = _padded_left([text.stem for text in texts], padding_id, network.device)
        stems = body(input_ids=tokens, attention_mask=mask, position_ids=_positions(mask), use_cache=True)
        endings, owners = _endings(texts, network.device)
        states: torch.Tensor = stems.last_hidden_state[owners, -1:]
        tokens, behind = _padded_right([ending[:-1] for ending in endings], padding_id, network.device)
        if tokens.shape[1]:
            stems.past_key_values.batch_select_indices(owners)
            mask = torch.cat([mask[owners], behind], dim=1)
            read = body(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=_positions(mask)[:, -tokens.shape[1] :],
                past_key_values=stems.past_key_values,
                use_cache=True,
            )
            states = torch.cat([states, read.last_hidden_state], dim=1)
        rows, columns = _cells([0] * len(endings), endings, network.device)
        return states[rows, columns]

    def states(self, network: Any, texts: Sequence[Sequence[int]], padding_id: int) -> torch.Tensor:
        """[texts, longest, width]: of the whole network."""
        tokens, mask = _padded_right(texts, padding_id, network.device)
        body: Any = plain(network).base_model
        read = body(input_ids=tokens, attention_mask=mask, position_ids=_positions(mask), use_cache=False)
        states: torch.Tensor = read.last_hidden_state
        return states


class _CausalContinuation:
    def __init__(self, network: Any, tokens: torch.Tensor, mask: torch.Tensor) -> None:
        self.network = network
        self.tokens = tokens
        self.mask = mask
        self.positions = _positions(mask)
        self.cache: Any = None

    def next_logits(self) -> torch.Tensor:
        if self.cache is not None:
            return self._read(slice(None), self.cache)
        logits, caches = [], []
        rows_at_once = max(1, PROMPT_TOKENS_AT_ONCE // self.tokens.shape[1])
        for start in range(0, len(self.tokens), rows_at_once):
            caches.append(growing_cache(self.network))
            logits.append(self._read(slice(start, start + rows_at_once), caches[-1]))
        self.cache = joined(caches)
        return torch.cat(logits)

    def _read(self, rows: slice, cache: Any) -> torch.Tensor:
        logits: torch.Tensor = self.network(
            input_ids=self.tokens[rows],
            attention_mask=self.mask[rows],
            position_ids=self.positions[rows],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
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
    """The encoder reads the prompt; the decoder writes the response after a start token (as in T5)."""

    def hidden(self, network: Any, batch: MicroBatch) -> torch.Tensor:
        """[N, width]: the decoder's last hidden state at each position that predicts a response token."""
        model = plain(network)
        prompts, mask, decoder_ids, columns = self._split(model, batch)
        encoded = model.get_encoder()(input_ids=prompts, attention_mask=mask).last_hidden_state
        return _decoded(model, decoder_ids, encoded, mask)[batch.rows, columns]

    def whole_logits(self, network: Any, batch: MicroBatch) -> torch.Tensor:
        """[N, vocabulary]: logits of the network's own forward pass at the same positions as `hidden`."""
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
        """One row per prompt; the prompts are padded on the right and encoded once."""
        model = plain(network)
        tokens, mask = _padded_right(prompts, padding_id, network.device)
        return _DecodedContinuation(model, model.get_encoder()(input_ids=tokens, attention_mask=mask), mask)

    def before_endings(self, network: Any, texts: Sequence[Branches], padding_id: int) -> torch.Tensor:
        """[N, width]; encodes each prompt once and decodes every ending together with the begun reply before it."""
        model, device = plain(network), network.device
        tokens, mask = _padded_right([text.prompt for text in texts], padding_id, device)
        encoded = model.get_encoder()(input_ids=tokens, attention_mask=mask).last_hidden_state
        endings, owners = _endings(texts, device)
        begun = [text.begun for text in texts for _ in text.endings]
        inputs = [(_start_token(model), *b, *ending[:-1]) for b, ending in zip(begun, endings, strict=True)]
        decoder_ids, _ = _padded_right(inputs, padding_id, device)
        rows, columns = _cells([len(b) for b in begun], endings, device)
        states = _decoded(model, decoder_ids, encoded[owners], mask[owners])
        return states[rows, columns]

    def states(self, network: Any, texts: Sequence[Sequence[int]], padding_id: int) -> torch.Tensor:
        """[texts, longest, width]: of the encoder."""
        tokens, mask = _padded_right(texts, padding_id, network.device)
        encoder: Any = plain(network).get_encoder()
        states: torch.Tensor = encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
        return states


class _DecodedContinuation:
    def __init__(self, network: Any, encoded: Any, mask: torch.Tensor) -> None:
        self.network = network
        self.encoded = encoded
        self.mask = mask
        self.tokens = torch.full((len(mask), 1), _start_token(network), device=mask.device)
        self.cache = growing_cache(network)

    def next_logits(self) -> torch.Tensor:
        out = self.network(
            encoder_outputs=self.encoded,
            attention_mask=self.mask,
            decoder_input_ids=self.tokens,
            past_key_values=self.cache,
            use_cache=True,
        )
        logits: torch.Tensor = out.logits
        return logits[:, -1]

    def extend(self, tokens: Sequence[int]) -> None:
        self.tokens = torch.tensor(tokens, device=self.tokens.device)[:, None]

    def keep(self, rows: torch.Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.tokens, self.mask = self.tokens[rows], self.mask[rows]
        self.encoded.last_hidden_state = self.encoded.last_hidden_state[rows]


def _decoded(model: Any, tokens: torch.Tensor, encoded: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """[rows, length, width]: the decoder's last hidden states, as the output embedding takes them."""
    decoded = model.get_decoder()(
        input_ids=tokens, encoder_hidden_states=encoded, encoder_attention_mask=mask, use_cache=False
    )
    states: torch.Tensor = decoded.last_hidden_state
    return states * model.model_dim**-0.5 if getattr(model.config, "scale_decoder_outputs", False) else states


def _start_token(model: Any) -> int:
    return int(model.config.decoder_start_token_id)


# --- rows of unequal length ------------------------------------------------------------------------------------------


def _padded_left(rows: Sequence[Sequence[int]], padding_id: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens, mask), both [rows, longest]."""
    width = max(map(len, rows))
    tokens = [[padding_id] * (width - len(row)) + [*row] for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(tokens, device=device), torch.tensor(mask, device=device)


def _padded_right(rows: Sequence[Sequence[int]], padding_id: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens, mask), both [rows, longest]."""
    width = max(map(len, rows))
    tokens = [[*row] + [padding_id] * (width - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    return torch.tensor(tokens, device=device), torch.tensor(mask, device=device)


def _positions(mask: torch.Tensor) -> torch.Tensor:
    """Each token's place in its own row, padding not counted."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def _endings(texts: Sequence[Branches], device: Any) -> tuple[list[tuple[int, ...]], torch.Tensor]:
    """(all endings in order, for each ending the index of its text)."""
    owners = [i for i, text in enumerate(texts) for _ in text.endings]
    return [ending for text in texts for ending in text.endings], torch.tensor(owners, device=device)


def _cells(starts: Sequence[int], endings: Sequence[Sequence[int]], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows, columns), each [N]: one position per ending token; ending i is in row i, from column `starts[i]` on."""
    cells = [(i, s + j) for i, (s, ending) in enumerate(zip(starts, endings, strict=True)) for j in range(len(ending))]
    rows, columns = torch.tensor(cells, device=device).T
    return rows, columns
