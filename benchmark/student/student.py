"""The student at work: one network with its tokenizer, as the corridor and the methods use it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, Self

import torch

from benchmark.contract import PositionFunction, Signal
from benchmark.random_streams import stream
from benchmark.student import ranks
from benchmark.student.architecture import architecture_of, output_matrix, plain
from benchmark.student.batch import MicroBatch
from benchmark.student.compilation import not_compiled
from benchmark.student.embedding import encode_texts, mean_states
from benchmark.student.encoding import Encoder, behind
from benchmark.student.fitting import FittedRequest, fit_requests
from benchmark.student.generation import Draft, Opponent, write
from benchmark.student.options import OptionRequest, encode, log_probabilities
from benchmark.student.over_positions import over_positions
from benchmark.student.precision import projections_cast
from benchmark.student.target_scores import target_log_probabilities
from benchmark.student.token_loss import negative_log_likelihoods
from benchmark.student.weighted_sums import Summand, weighted_sums
from benchmark.tasks.stopping import has_ended, kept
from benchmark.types import Reply, Request, TrainingExample, Usage

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from benchmark.student.mixing import Partner

_ONE_AT_A_TIME = RLock()
"""Held while a network is in evaluation mode: how torch computes is set for all threads of the process together."""


@dataclass
class Student:
    """A network that works on text (`generate`, `target_log_probabilities`) and on tensors (`hidden`, `logits`)."""

    network: PreTrainedModel
    """The transformers model, perhaps wrapped by peft."""
    tokenizer: PreTrainedTokenizerBase
    """The model's tokenizer; it has an EOS and a padding token."""
    max_length: int
    """The window in tokens: prompt and response together."""
    max_new_tokens: int
    """The most tokens of a reply whose request sets no cap."""
    seed: int
    """The seed of random numbers in generation."""
    batch_size: int
    """The most rows in a batch outside training."""
    autocast: torch.dtype | None = None
    """The type of matrix products outside training; None for float32."""
    counters: Counter[str] = field(default_factory=Counter)
    """By name, how many prompts and examples were cut, and how many prompt tokens are unknown."""
    usage: Usage = field(default_factory=Usage)
    """Calls and tokens that the network read and wrote outside its own training."""

    @property
    def encoder(self) -> Encoder:
        """The encoder that turns text into this student's tokens."""
        return Encoder(self.tokenizer, self.max_length, bool(self.network.config.is_encoder_decoder))

    @property
    def padding_id(self) -> int:
        """The token id that fills short rows; it is always masked."""
        return int(self.tokenizer.pad_token_id)

    def apart(self) -> Self:
        """The same network with separate, empty counts of its work."""
        return replace(self, counters=Counter(), usage=Usage())

    def book(self, usage: Usage, counts: Counter[str]) -> None:
        """Adds work that a copy made by `apart` did."""
        self.usage += usage
        self.counters.update(counts)

    def cut_counts(self, request: Request) -> Counter[str]:
        """What one reply to the request adds to `counters`; computes nothing."""
        if request.continuations:
            return Counter({"truncated_option_prompts": int(encode(self.encoder, [_options(request)])[0].truncated)})
        return fit_requests(self.encoder, [request], self.max_new_tokens)[0].counts

    @property
    def parameters(self) -> int:
        """Number of weights, adapters included."""
        return sum(weight.numel() for weight in self.network.parameters())

    def hidden(self, batch: MicroBatch) -> torch.Tensor:
        """[N, width]: the last hidden state at each position that predicts a response token."""
        return architecture_of(self.network).hidden(self.network, batch)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, vocabulary]: logits in float32, from hidden states [N, width]."""
        return self.projected(hidden).float()

    def negative_log_likelihoods(
        self, hidden: torch.Tensor, tokens: torch.Tensor, vocabulary: int | None = None
    ) -> torch.Tensor:
        """[N]: negative log-likelihoods of the tokens in nats, float32, from hidden states [N, width].

        The softmax covers the first `vocabulary` token ids, or all if it is None.
        """
        return negative_log_likelihoods(self.projected(hidden)[:, :vocabulary], tokens)

    def log_probabilities(self, hidden: torch.Tensor, vocabulary: int | None = None) -> torch.Tensor:
        """[n, vocabulary]: natural log-probabilities in float32, from hidden states [n, width].

        The softmax covers the first `vocabulary` token ids, or all if it is None.
        """
        return torch.log_softmax(self.projected(hidden)[:, :vocabulary], dim=-1, dtype=torch.float32)

    def over_positions(
        self,
        function: PositionFunction,
        hidden: torch.Tensor,
        *signals: torch.Tensor | Signal,
        vocabulary: int | None = None,
    ) -> torch.Tensor:
        """[N] or [N, k]: the function's values at all positions, chunk by chunk, from hidden states [N, width].

        The log-probabilities cover the first `vocabulary` token ids, or all if it is None.
        """
        head: Any = plain(self.network).get_output_embeddings()
        covered = vocabulary or len(head.weight)
        return over_positions(
            partial(self.log_probabilities, vocabulary=vocabulary), covered, function, hidden, signals
        )

    def weighted_sums(
        self,
        function: PositionFunction,
        hidden: torch.Tensor,
        factors: torch.Tensor,
        *signals: torch.Tensor | Signal,
        vocabulary: int | None = None,
        compiles: bool = False,
    ) -> torch.Tensor:
        """[k]: per column the sum of the function's values times `factors` [N, k], from hidden states [N, width].

        The log-probabilities cover the first `vocabulary` token ids, or all if it is None. With `compiles`, softmax,
        function and gradient are compiled together.
        """
        matrix = output_matrix(self.network)
        if matrix is None:
            return (self.over_positions(function, hidden, *signals, vocabulary=vocabulary) * factors).sum(0)
        return weighted_sums(Summand(function, factors, signals, compiles), hidden, matrix[:vocabulary])

    def output_embedding(self) -> torch.Tensor:
        """[rows, width]: the matrix that makes logits. Raises ValueError for an output layer that is more than one."""
        matrix = output_matrix(self.network)
        if matrix is None:
            raise ValueError(
                "the output layer has a bias or an adapter, so that a fused loss cannot read it; choose loss=white_box"
            )
        return matrix

    def projected(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, vocabulary]: logits in the precision of the product, from hidden states [N, width]."""
        head: Any = plain(self.network).get_output_embeddings()
        logits: torch.Tensor = head(hidden)
        return logits

    def generate(
        self,
        requests: Sequence[Request],
        samples: int = 1,
        key: str = "",
        advance: Callable[[int], None] = lambda rows: None,
    ) -> list[list[Reply]]:
        """`samples` replies per request, in order. Prompts that do not fit the window are cut and counted.

        A written reply has its `log_probability`; a request with continuations gets their log-probabilities. Above
        temperature 0, replies also depend on `key`: another key gives other replies to the same request, for example at
        another moment of training. `advance` is called after each batch with the number of finished replies.
        """
        if not requests:
            return []
        replies = self.replies(
            [(request, sample) for request in requests for sample in range(samples)], key, advance, True
        )
        return [replies[i : i + samples] for i in range(0, len(replies), samples)]

    def replies(
        self,
        wanted: Sequence[tuple[Request, int]],
        key: str = "",
        advance: Callable[[int], None] = lambda rows: None,
        log_probabilities: bool = False,
    ) -> list[Reply]:
        """One reply per (request, number of the sample), in order; a reply does not depend on the other requests.

        `key` and `advance` are as in `generate`. `log_probabilities` adds `Reply.log_probability`.
        """
        to_write = [each for each in wanted if not each[0].continuations]
        to_score = [request for request, _ in wanted if request.continuations]
        written = iter(self._written(to_write, key, advance, log_probabilities) if to_write else [])
        scored = iter(self.score(to_score) if to_score else [])
        advance(len(to_score))
        return [next(scored if request.continuations else written) for request, _ in wanted]

    def mixed_text(self, requests: Sequence[Request], partner: Partner, key: str = "") -> list[Reply]:
        """One reply per request, each token drawn from the mixture with the partner; `log_probability` is its, too.

        Raises ValueError for a request that is not at temperature 1, or has a contrast or continuations.
        """
        if any(one.temperature != 1 or one.contrast or one.continuations for one in requests):
            raise ValueError("text of two models is drawn at temperature 1, without contrasts and continuations")
        return self._written([(request, 0) for request in requests], key, lambda rows: None, True, partner)

    def _written(
        self,
        wanted: Sequence[tuple[Request, int]],
        key: str,
        advance: Callable[[int], None],
        log_probabilities: bool,
        partner: Partner | None = None,
    ) -> list[Reply]:
        fits = fit_requests(self.encoder, [request for request, _ in wanted], self.max_new_tokens)
        drafts = [
            self._draft(request, fitted, sample, key, log_probabilities)
            for (request, sample), fitted in zip(wanted, fits, strict=True)
        ]
        if partner is not None:
            partner.joins(drafts, [request for request, _ in wanted], self.max_new_tokens)
        with self.evaluation(), nullcontext() if partner is None else partner.ready():
            eos_ids = frozenset({self._eos_id})
            rest = (eos_ids, self.padding_id, self.batch_size, advance, partner)
            ranks.write_split(drafts, lambda share: write(self.network, share, *rest))
        if partner is not None:
            partner.book(drafts)
        texts = self.encoder.texts([self._visible(draft) for draft in drafts])
        found = [self._reply(*row) for row in zip([request for request, _ in wanted], texts, drafts, strict=True)]
        self._book(found)
        return found

    def score(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply per request, with the natural log-probability that a reply begins with each of its continuations.

        Tokens that the continuations share are read, and counted, once.
        """
        options = [_options(request) for request in requests]
        lengths = [each.tokens for each in encode(self.encoder, options)]
        scores = self.option_log_probabilities(options)  # EOS last, which is no part of a beginning
        return [
            Reply("", prompt_tokens=length, continuation_log_probabilities=tuple(sum(row[:-1]) for row in of_question))
            for length, of_question in zip(lengths, scores, strict=True)
        ]

    @property
    def _eos_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    def _book(self, replies: Sequence[Reply]) -> None:
        self.usage += Usage(
            calls=len(replies),
            prompt_tokens=sum(reply.prompt_tokens for reply in replies),
            completion_tokens=sum(reply.completion_tokens for reply in replies),
        )

    def _visible(self, draft: Draft) -> list[int]:
        """The tokens to decode, with a token that ended a line: its text may begin before the line feed."""
        return draft.tokens if draft.end in (None, self._eos_id) else [*draft.tokens, draft.end]

    def _reply(self, request: Request, written: str, draft: Draft) -> Reply:
        """The reply that a draft holds; a contrasted draft counts the tokens of both rows."""
        text = kept(request, written)
        end = () if draft.end is None else (draft.end,)
        return Reply(
            text=behind(request.prefix, text),
            finish="stop" if draft.finished else "length",
            prompt_tokens=draft.tokens_read,
            completion_tokens=draft.rows * len(draft.tokens),
            token_ids=(*draft.tokens, *end),
            log_probability=self._log_probability(text, draft) if written.startswith(text) else None,
            seconds=draft.seconds,
        )

    def _log_probability(self, text: str, draft: Draft) -> float | None:
        """Natural log-probability of the text's tokens, without those that stopped it; None if none was asked for."""
        if draft.nats is None:
            return None
        counts = range(len(draft.tokens) if draft.stopped else 0)
        kept = bisect_left(counts, len(text), key=lambda n: len(self._decoded(draft.tokens[:n]))) if counts else None
        # What a batch changes lies far below a thousandth, and a reply should be the same in any company.
        return round(sum(draft.nats[:kept]), 3)

    def _decoded(self, tokens: Sequence[int]) -> str:
        return self.encoder.texts([list(tokens)])[0]

    def _draft(self, request: Request, fitted: FittedRequest, sample: int, key: str, log_probabilities: bool) -> Draft:
        self.counters.update(fitted.counts)
        words = (request.role, request.prompt, request.prefix, key, sample)
        return Draft(
            fitted.prompt,
            begun=fitted.begun,
            limit=fitted.room,
            temperature=request.temperature,
            chance=stream("generation", self.seed, *words) if request.temperature > 0 else None,
            opponent=self._opponent(request, fitted),
            nats=[] if log_probabilities else None,
            holds_stop=self._stopped_by(request) if request.stop else None,
        )

    def _stopped_by(self, request: Request) -> Callable[[Sequence[int]], bool]:
        """Says whether tokens end in a stop text. Once one did not end the reply, the whole text is read every time."""
        longest = max(len(text.encode()) for text in request.stop)  # a token holds at least a byte
        reads_all = False

        def stopped(tokens: Sequence[int]) -> bool:
            nonlocal reads_all
            reads_all = reads_all or any(text in self._decoded(tokens[-longest:]) for text in request.stop)
            return reads_all and has_ended(request, self._decoded(tokens))

        return stopped

    def _opponent(self, request: Request, fitted: FittedRequest) -> Opponent | None:
        if request.contrast is None or fitted.opponent is None:
            return None
        ends = self.encoder.line_end_ids if request.contrast.one_line else frozenset[int]()
        return Opponent(fitted.opponent, request.contrast.weight, ends)

    def target_log_probabilities(self, examples: Sequence[TrainingExample]) -> list[tuple[float, ...]]:
        """Natural log-probability of every target token given the prompt and the target before it, EOS last."""
        encoded = self.encoder.examples(examples)
        self.counters["truncated_scored_examples"] += sum(example.truncated for example in encoded)
        self.usage += Usage(calls=len(encoded), prompt_tokens=sum(example.length for example in encoded))
        device, rows = torch.device(self.network.device), (self.padding_id, self.batch_size)

        def nats(batch: MicroBatch) -> torch.Tensor:
            return self.negative_log_likelihoods(self.hidden(batch), batch.tokens)

        with self.evaluation(), torch.inference_mode():
            return ranks.split(encoded, lambda share: target_log_probabilities(nats, share, *rows, device))

    def option_log_probabilities(
        self, requests: Sequence[OptionRequest], advance: Callable[[int], None] = lambda questions: None
    ) -> list[tuple[tuple[float, ...], ...]]:
        """The natural log-probabilities of the tokens in which options may differ, per question and option, EOS last.

        `advance` is called after each batch with the number of finished questions.
        """
        encoded = encode(self.encoder, requests)
        self.counters["truncated_option_prompts"] += sum(each.truncated for each in encoded)
        self.usage += Usage(calls=len(encoded), prompt_tokens=sum(each.tokens for each in encoded))
        with self.evaluation():
            nats = self.negative_log_likelihoods
            rest = (self.padding_id, self.batch_size, advance)
            return ranks.split(encoded, lambda share: log_probabilities(self.network, nats, share, *rest))

    def embeddings(self, texts: Sequence[str]) -> np.ndarray:
        """[texts, width] float32: per text the mean of the last hidden states over its tokens, without a chat template.

        An encoder-decoder reads texts with its encoder. Texts that are longer than the window lose their end, which is
        counted. Raises ValueError for a text without any token.
        """
        encoded = encode_texts(self.encoder, texts)
        self.counters["truncated_embedded_texts"] += sum(each.truncated for each in encoded)
        self.usage += Usage(calls=len(encoded), prompt_tokens=sum(len(each.ids) for each in encoded))
        with self.evaluation():
            return mean_states(self.network, encoded, self.padding_id, self.batch_size)

    @contextmanager
    def evaluation(self, compiled: bool = False) -> Iterator[None]:
        """Sets evaluation mode and evaluation precision inside the block; afterwards restores the earlier mode.

        Waits while another thread is in such a block. `compiled` leaves compiled layers compiled.
        """
        with _ONE_AT_A_TIME:
            training = self.network.training
            self.network.train(False)
            try:
                with ExitStack() as around:
                    if not compiled:
                        around.enter_context(not_compiled())
                    if self.autocast is not None:
                        around.enter_context(projections_cast(self.network, self.autocast))
                        around.enter_context(torch.autocast(self.network.device.type, dtype=self.autocast))
                    yield
            finally:
                self.network.train(training)


def _options(request: Request) -> OptionRequest:
    return OptionRequest(request.question_id, request.prompt, request.prefix, request.continuations)
