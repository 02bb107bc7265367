"""Where a white-box loss gets the teacher's distributions: from the teacher in every step, from memory, or from disk.

A stored signal belongs to fixed text. It is found again by the example and by the tokens of its prompt and target,
never by the number of a step (docs/methods/white_box.md, "Stored signals").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, get_args, runtime_checkable

from benchmark.contract import DataPolicy, KeptSignals, Preparation, Signal, StepState
from benchmark.types import TrainingExample
from methods.tails import Tail

if TYPE_CHECKING:
    import numpy as np
    import torch

    from benchmark.student.batch import MicroBatch

Rows = tuple["torch.Tensor | Signal", ...]
Pair = tuple["torch.Tensor", "torch.Tensor"]
FLOAT_BYTES = 4


@runtime_checkable
class TeacherSignal(Protocol):
    """Where the teacher's distributions come from. All are natural log-probabilities at temperature 1."""

    @property
    def stored(self) -> bool:
        """Whether it is computed before training, for text that is known then."""
        ...

    def prepare(self, examples: Sequence[TrainingExample], preparation: Preparation) -> Any:
        """What `rows` reads in `StepState.prepared`."""
        ...

    def rows(self, batch: MicroBatch, state: StepState) -> Rows:
        """Signals for `StepModel.weighted_sums`, each with one row per target token of the batch.

        Raises ValueError that names an example without a stored signal.
        """
        ...

    def pair(self, log_q: torch.Tensor, theirs: Sequence[torch.Tensor], temperature: float) -> Pair:
        """([n, classes] of the student, [n, classes] of the teacher), in nats at this temperature, to compare.

        `log_q` are the student's [n, vocabulary] log-probabilities at temperature 1, `theirs` n rows of each signal.
        """
        ...

    def entropy_and_likeliest(self, theirs: Sequence[torch.Tensor]) -> Pair:
        """([n] the teacher's entropy in nats, as far as the signal knows it, [n] its most likely tokens)."""
        ...

    def refuse_temperature(self, temperature: float) -> None:
        """Raises ValueError for a temperature at which the signal does not know the teacher's distribution."""
        ...

    def refuse_dropping(self, divergence: str) -> None:
        """Raises ValueError if it would leave both distributions without a part, for a divergence that needs all."""
        ...


class Whole:
    """What signals with the whole distribution share."""

    def pair(self, log_q: torch.Tensor, theirs: Sequence[torch.Tensor], temperature: float) -> Pair:
        """See `TeacherSignal`: both over the whole vocabulary."""
        from methods.divergences import floored, softened

        [log_p] = theirs
        return softened(log_q, temperature), softened(floored(log_p), temperature)

    def entropy_and_likeliest(self, theirs: Sequence[torch.Tensor]) -> Pair:
        """See `TeacherSignal`: of the whole distribution."""
        from methods.divergences import entropy, floored

        [log_p] = theirs
        return entropy(floored(log_p)), log_p.argmax(-1)

    def refuse_temperature(self, temperature: float) -> None:
        """Refuses nothing."""

    def refuse_dropping(self, divergence: str) -> None:
        """Refuses nothing."""


@dataclass(frozen=True)
class LiveSignal(Whole):
    """The teacher reads the text of every step."""

    @property
    def stored(self) -> bool:
        """False."""
        return False

    def prepare(self, examples: Sequence[TrainingExample], preparation: Preparation) -> None:
        """Prepares nothing."""

    def rows(self, batch: MicroBatch, state: StepState) -> Rows:
        """The teacher's distributions, made on demand."""
        return (state.frozen["teacher"].distributions(batch),)


@dataclass(frozen=True)
class DenseSignal(Whole):
    """All log-probabilities of the cell's examples, in memory; each cell computes its own."""

    most_gb: float = 8.0
    """The most memory that they may fill, in 10^9 bytes: 4 bytes per target token and token of the vocabulary."""

    def __post_init__(self) -> None:
        if not self.most_gb > 0:
            raise ValueError(f"most_gb={self.most_gb} must be above 0")

    @property
    def stored(self) -> bool:
        """True."""
        return True

    def prepare(self, examples: Sequence[TrainingExample], preparation: Preparation) -> KeptSignals:
        """The log-probabilities of these and of earlier examples. Raises ValueError where they need too much memory."""
        teacher = preparation.frozen["teacher"]

        def compute(batch: MicroBatch) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
            return teacher.over_positions(_unchanged, teacher.hidden(batch)).cpu().numpy(), {}

        size = FLOAT_BYTES * teacher.vocabulary
        return preparation.keep_in_memory("teacher", examples, compute, size, self.most_gb)

    def rows(self, batch: MicroBatch, state: StepState) -> Rows:
        """The batch's distributions; each chunk goes to the student's device when it is compared."""
        return (DenseRows(kept_for(batch, state), batch.tokens.device),)


@dataclass(frozen=True)
class DenseRows:
    """A `Signal` of rows that stay where they are until a chunk is asked for."""

    of_examples: Sequence[np.ndarray]
    """[tokens, vocabulary] float32 of each example."""
    device: torch.device
    """Where chunks are wanted."""

    def __len__(self) -> int:
        return sum(map(len, self.of_examples))

    def at(self, positions: slice) -> torch.Tensor:
        """[n, vocabulary] natural log-probabilities at these positions."""
        import torch

        found, first = [], 0
        for rows in self.of_examples:
            part = rows[max(0, positions.start - first) : max(0, positions.stop - first)]
            found.append(torch.from_numpy(part))
            first += len(rows)
        return torch.cat(found).to(self.device)


@dataclass(frozen=True)
class TopKSignal:
    """The k largest log-probabilities with the mass of the others, on disk, shared by all cells of a results folder."""

    k: int = 64
    """How many tokens are kept at each position; a smaller vocabulary is kept whole. 8 k + 4 bytes per position."""
    tail: Tail = "bucket"
    """What becomes of the others: one class (`bucket`), nothing (`drop`), or nothing and the kept ones add up to 1
    (`renormalise`, the only one that allows a temperature beside 1)."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k={self.k} must be at least 1")
        if self.tail not in get_args(Tail):
            raise ValueError(f"tail={self.tail!r} must be one of {', '.join(get_args(Tail))}")

    @property
    def stored(self) -> bool:
        """True."""
        return True

    def prepare(self, examples: Sequence[TrainingExample], preparation: Preparation) -> KeptSignals:
        """What the results folder holds of these examples, after what is missing was computed and written.

        The record's notes get means over all target tokens: the mass of the tail, and the teacher's entropy that one
        bucket hides (in nats).
        """
        import numpy as np

        teacher = preparation.frozen["teacher"]
        k = min(self.k, teacher.vocabulary)
        row = np.dtype([("tokens", "<i4", (k,)), ("log_probabilities", "<f4", (k,)), ("log_tail", "<f4")])

        def compute(batch: MicroBatch) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
            found = teacher.over_positions(partial(likeliest, k=k), teacher.hidden(batch)).cpu().numpy()
            rows = np.empty(len(found), row)
            rows["tokens"], rows["log_probabilities"], rows["log_tail"] = (
                found[:, :k],
                found[:, k : 2 * k],
                found[:, -2],
            )
            return rows, {"tail_mass": np.exp(found[:, -2]), "hidden_entropy": found[:, -1]}

        return preparation.keep_on_disk("teacher", examples, compute, {"k": k, "temperature": 1.0}, row)

    def rows(self, batch: MicroBatch, state: StepState) -> Rows:
        """([N, k] ids of the kept tokens, [N, k] their log-probabilities, [N] the log mass of the others)."""
        import numpy as np
        import torch

        rows = np.concatenate(kept_for(batch, state))
        names, device = ("tokens", "log_probabilities", "log_tail"), batch.tokens.device
        ids, kept, tail = (torch.from_numpy(np.ascontiguousarray(rows[name])).to(device) for name in names)
        return ids.long(), kept, tail

    def pair(self, log_q: torch.Tensor, theirs: Sequence[torch.Tensor], temperature: float) -> Pair:
        """See `TeacherSignal`: over the kept tokens, and one class more with `bucket`."""
        from methods.divergences import floored, on_kept_tokens, softened

        kept, log_p, log_tail = theirs
        ours, others = on_kept_tokens(log_q, kept, floored(log_p), self.tail, log_tail)
        return softened(ours, temperature), softened(others, temperature)

    def entropy_and_likeliest(self, theirs: Sequence[torch.Tensor]) -> Pair:
        """See `TeacherSignal`: the entropy with all other tokens in one class, whatever `tail` says."""
        import torch

        from methods.divergences import entropy, floored

        kept, log_p, log_tail = theirs
        classes = torch.cat([log_p, log_tail[:, None]], -1)
        return entropy(floored(classes)), kept.gather(-1, log_p.argmax(-1, keepdim=True))[:, 0]

    def refuse_temperature(self, temperature: float) -> None:
        """The sum over kept tokens of p^(1/T) is known, that over the others is not: only a ratio of kept tokens is."""
        if temperature != 1 and self.tail != "renormalise":
            raise ValueError(
                f"temperature={temperature} with loss.signal.tail={self.tail}: the mass of the tokens left out is "
                "known at temperature 1 only; choose loss.signal.tail=renormalise, which is exact over the kept "
                "tokens, or loss/signal=dense, loss/signal=live, or temperature=1 (in a curriculum's stages too)"
            )

    def refuse_dropping(self, divergence: str) -> None:
        """See `TeacherSignal`."""
        if self.tail == "drop":
            raise ValueError(
                f"loss.signal.tail=drop with {divergence}: over distributions that do not add up to 1 it is smallest "
                "where student and teacher differ; choose loss.signal.tail=bucket or renormalise"
            )


def likeliest(log_p: torch.Tensor, k: int) -> torch.Tensor:
    """[n, 2 k + 2]: ids of the k likeliest tokens, their log-probabilities, and two numbers about all other tokens.

    These are the logarithm of their mass, and the entropy that is lost if they become one class, in nats. Ids are exact
    in float32 up to 16 million tokens.

    Args:
        log_p: [n, vocabulary] natural log-probabilities.
        k: at most the vocabulary.
    """
    import torch

    from methods.divergences import entropy, floored

    values, tokens = log_p.topk(k)
    rest = log_p.scatter(-1, tokens, -torch.inf)
    log_tail = rest.logsumexp(-1)
    hidden = entropy(floored(rest)) - entropy(floored(log_tail[:, None]))
    return torch.cat([tokens.to(values.dtype), values, log_tail[:, None], hidden[:, None]], -1)


def _unchanged(log_p: torch.Tensor) -> torch.Tensor:
    return log_p


def kept_for(batch: MicroBatch, state: StepState) -> list[np.ndarray]:
    """Per example of a batch its stored rows. Raises ValueError for one without, or with another number of tokens."""
    if state.prepared is None:
        raise ValueError("no teacher signal was prepared for this fit; a loss around another must hand on `prepare`")
    found: list[np.ndarray] = state.prepared.of(batch.examples)
    for example, rows, tokens in zip(batch.examples, found, batch.split(batch.tokens), strict=True):
        if len(rows) != len(tokens):
            raise ValueError(
                f"the stored signal of an example of group {example.group!r} has {len(rows)} rows for {len(tokens)} "
                "target tokens; it was made with another tokenizer or window"
            )
    return found


def refuse_other_text(signal: TeacherSignal, policy: DataPolicy) -> None:
    """Raises ValueError for a stored signal with a data policy that may train on text nobody knows before."""
    if signal.stored and getattr(policy, "writes_text", True):
        raise ValueError(
            f"{type(signal).__name__} is computed before training, and the data policy {type(policy).__name__} writes "
            "new text in training; choose loss/signal=live, or loss/data_policy=fixed"
        )
