"""The one Lightning module that every method trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch

from benchmark.contract import Loss, PositionFunction, RememberingLoss, Signal
from benchmark.student import ranks
from benchmark.student.batch import MicroBatch, Step
from benchmark.student.monitors import StepMonitors
from benchmark.student.settings import Optimization
from benchmark.student.stream import FitState
from benchmark.student.student import Student
from benchmark.tasks.guard import raise_refused

COUNTS = ("steps", "tokens", "response_tokens")


class StudentModule(pl.LightningModule):
    """Runs one optimiser step per batch of the loader.

    Optimisation is manual because a loss is a mean over the whole step: the loader hands over all its micro-batches
    with denominators already counted, so the gradient does not depend on how the step is cut.
    """

    def __init__(
        self,
        student: Student,
        loss: Loss,
        optimization: Optimization,
        state: FitState,
        log_every_n_steps: int,
        compiles: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = student.network
        self.student = student
        self.loss = loss
        self.optimization = optimization
        self.state = state
        self.log_every_n_steps = log_every_n_steps
        self.compiles = compiles
        self.vocabulary = min((model.vocabulary for model in state.frozen.values()), default=None)
        self.steps = 0
        self.tokens = 0
        self.response_tokens = 0

    def hidden(self, batch: MicroBatch) -> torch.Tensor:
        """[N, width]: the last hidden state at each position that predicts a response token."""
        return self.student.hidden(batch)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, vocabulary]: logits in float32, over the tokens that the student shares with all frozen models."""
        return self.student.logits(hidden)[:, : self.vocabulary]

    def negative_log_likelihoods(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """[N]: negative log-likelihoods of the tokens in nats, float32, over the same vocabulary as `logits`."""
        return self.student.negative_log_likelihoods(hidden, tokens, self.vocabulary)

    def over_positions(
        self, function: PositionFunction, hidden: torch.Tensor, *signals: torch.Tensor | Signal
    ) -> torch.Tensor:
        """[N] or [N, k]: the function's values at all positions, chunk by chunk, over the same vocabulary."""
        return self.student.over_positions(function, hidden, *signals, vocabulary=self.vocabulary)

    def weighted_sums(
        self,
        function: PositionFunction,
        hidden: torch.Tensor,
        factors: torch.Tensor,
        *signals: torch.Tensor | Signal,
    ) -> torch.Tensor:
        """[k]: per column the sum of the function's values times `factors` [N, k], over the same vocabulary."""
        vocabulary, compiles = self.vocabulary, self.compiles
        return self.student.weighted_sums(function, hidden, factors, *signals, vocabulary=vocabulary, compiles=compiles)

    def output_embedding(self) -> torch.Tensor:
        """[vocabulary, width]: the student's own output embedding, over the same vocabulary; it gets gradients."""
        return self.student.output_embedding()[: self.vocabulary]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW as configured."""
        return self.optimization.optimiser(self.network)

    def transfer_batch_to_device(self, batch: Step, device: torch.device, dataloader_idx: int) -> Step:
        """The step on the training device."""
        return batch.to(device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the numbers of steps and tokens so far."""
        checkpoint["trained"] = {name: getattr(self, name) for name in COUNTS}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the numbers of steps and tokens."""
        for name in COUNTS:
            setattr(self, name, checkpoint["trained"][name])

    def training_step(self, batch: Step, batch_idx: int) -> None:
        """Runs one optimiser step over all its micro-batches.

        Raises ValueError if no token belongs to a term of the loss, FloatingPointError if the loss or the norm of the
        gradient is not finite.
        """
        seed = int(self.state.rng("dropout", self.state.step).integers(2**63))
        if self.device.type == "cpu":  # `manual_seed` formats a stack trace per unused accelerator: 5 % of a small step
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)
        optimiser = self.optimizers()
        assert isinstance(optimiser, pl.core.optimizer.LightningOptimizer)
        if batch.fresh_optimiser:
            optimiser.optimizer.state.clear()
        learning_rate = self.optimization.learning_rate_at(batch.progress)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate
        is_logged = bool(self.trainer.loggers) and self.state.step % self.log_every_n_steps == 0
        monitors = StepMonitors()
        self.state.monitors = monitors if is_logged else None
        values: dict[str, float] = {}
        with ranks.each_alone():
            for micro_batch in ranks.own_share(batch.micro_batches):
                terms = self.loss.values(micro_batch, self, self.state)
                raise_refused()  # before the step is saved, so that a later attempt cannot go on from it
                if not terms:
                    raise ValueError(f"no token of optimiser step {self.state.step} belongs to a term of the loss")
                self.manual_backward(torch.stack(list(terms.values())).sum())
                for name, value in terms.items():
                    values[name] = values.get(name, 0.0) + float(value.detach())
        values = ranks.summed(values)
        total = sum(values.values())
        if total != total or abs(total) == float("inf"):
            raise FloatingPointError(self._complaint(f"the loss is {total}", batch, values))
        ranks.sum_gradients(self.network)
        if self.optimization.gradient_clip is not None:
            norm = clipped(self.network, self.optimization.gradient_clip)
            if not torch.isfinite(norm):
                raise FloatingPointError(self._complaint(f"the gradient's norm is {norm}", batch, values))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if isinstance(self.loss, RememberingLoss):
            self.state.loss_memory.value = self.loss.remembered(self.state.memory, values, self.state)
        self.steps += 1
        self.tokens += batch.tokens
        self.response_tokens += batch.response_tokens
        if is_logged:
            numbers = {f"train/{name}": value for name, value in values.items()}
            numbers |= {"train/loss": total, "train/learning_rate": learning_rate, "round": self.state.round_index}
            numbers |= monitors.means()
            for logger in self.trainer.loggers:
                logger.log_metrics(numbers, step=self.state.steps_before + self.state.step)

    def _complaint(self, what: str, batch: Step, values: Mapping[str, float]) -> str:
        """What was not finite, with all that one needs to look for the reason."""
        ids = list(dict.fromkeys(example.group for each in batch.micro_batches for example in each.examples))
        with torch.no_grad():
            largest = max(float(self.logits(self.hidden(each)).abs().max()) for each in batch.micro_batches)
        return (
            f"{what} at optimiser step {self.state.step}, terms {values}, largest logit {largest:g}, examples "
            f"{', '.join(ids[:8])}{', ...' if len(ids) > 8 else ''}; try a lower optimization.learning_rate"
        )


def clipped(network: torch.nn.Module, most: float) -> torch.Tensor:
    """The norm of the network's gradient, which is scaled down in place if it is larger than `most`, or not finite."""
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if not norm <= most:  # a product with 1 would read and write every gradient for nothing
        torch.nn.utils.clip_grads_with_norm_(network.parameters(), most, norm)
    return norm
