"""Divergences between a student's and a teacher's next-token distributions: pure functions, one value per position.

Every function takes natural log-probabilities `log_q` of the student and `log_p` of the teacher, both [..., tokens],
and returns [...] values in nats. A value is the true divergence, 0 where both are equal: it keeps what is constant for
the student, such as the teacher's entropy. A teacher may give a token no probability at all (-inf): `floored` first.

Weights, masks and means are not here: the engine multiplies each value by its factor in the step's loss.
"""

from __future__ import annotations

import math
from typing import get_args

import torch

from methods.tails import Tail


def softened(log_probabilities: torch.Tensor, temperature: float) -> torch.Tensor:
    """[..., tokens]: the log-probabilities of `softmax(logits / temperature)`, from those at temperature 1."""
    if temperature == 1:
        return log_probabilities
    return torch.log_softmax(log_probabilities / temperature, dim=-1)


def floored(log_probabilities: torch.Tensor) -> torch.Tensor:
    """The same, at least -10,000: a probability of 0 in any number type, without the NaN of 0 times infinity."""
    return log_probabilities.clamp(min=-1e4)


def entropy(log_p: torch.Tensor) -> torch.Tensor:
    """[...]: the entropy in nats."""
    return -(log_p.exp() * log_p).sum(-1)


# --- Kullback-Leibler and its mixtures -------------------------------------------------------------------------------


def kl(log_a: torch.Tensor, log_b: torch.Tensor) -> torch.Tensor:
    """[...]: KL(a, b), the sum of a (log a - log b)."""
    return (log_a.exp() * (log_a - log_b)).sum(-1)


def forward_kl(log_q: torch.Tensor, log_p: torch.Tensor) -> torch.Tensor:
    """KL(p, q): the student must cover whatever the teacher finds probable."""
    return kl(log_p, log_q)


def reverse_kl(log_q: torch.Tensor, log_p: torch.Tensor) -> torch.Tensor:
    """KL(q, p): the student must not put probability where the teacher has none."""
    return kl(log_q, log_p)


def symmetric_kl(log_q: torch.Tensor, log_p: torch.Tensor, forward_weight: float) -> torch.Tensor:
    """The forward KL times its weight, and the reverse KL times the rest of 1."""
    return forward_weight * forward_kl(log_q, log_p) + (1 - forward_weight) * reverse_kl(log_q, log_p)


def jensen_shannon(
    log_q: torch.Tensor, log_p: torch.Tensor, teacher_weight: float, normalised: bool = False
) -> torch.Tensor:
    """The generalised divergence b KL(p, m) + (1 - b) KL(q, m), where m = b p + (1 - b) q and b is `teacher_weight`.

    At 0 it is the forward KL, at 1 the reverse KL, as in Agarwal et al. (2024) and TRL. Beside the ends it is close
    to 0, so that the ends are no limits: `normalised` divides by b (1 - b), which makes them limits.
    """
    if teacher_weight == 0:
        return forward_kl(log_q, log_p)
    if teacher_weight == 1:
        return reverse_kl(log_q, log_p)
    log_m = mixed(log_p, log_q, teacher_weight)
    value = teacher_weight * kl(log_p, log_m) + (1 - teacher_weight) * kl(log_q, log_m)
    return value / (teacher_weight * (1 - teacher_weight)) if normalised else value


def skew_forward_kl(log_q: torch.Tensor, log_p: torch.Tensor, skew: float) -> torch.Tensor:
    """KL(p, a p + (1 - a) q) with a = `skew` (DistiLLM, Ko et al., 2024); at most -log a."""
    return kl(log_p, mixed(log_p, log_q, skew))


def skew_reverse_kl(log_q: torch.Tensor, log_p: torch.Tensor, skew: float, mixture_learns: bool = True) -> torch.Tensor:
    """KL(q, (1 - a) p + a q) with a = `skew` (DistiLLM, Ko et al., 2024); at most -log a.

    Without `mixture_learns`, no gradient goes through the mixture, as in the released code of DistiLLM-2.
    """
    return kl(log_q, mixed(log_q if mixture_learns else log_q.detach(), log_p, skew))


def mixed(log_a: torch.Tensor, log_b: torch.Tensor, share_of_a: float) -> torch.Tensor:
    """The log-probabilities of a mixture, from probabilities: `logaddexp` says the same and takes twice as long.

    Where both probabilities underflow, it is the logarithm of the smallest number; such tokens add nothing to a sum.
    """
    if share_of_a == 0:
        return log_b
    if share_of_a == 1:
        return log_a
    mixture = share_of_a * log_a.exp() + (1 - share_of_a) * log_b.exp()
    return mixture.clamp(min=torch.finfo(mixture.dtype).tiny).log()


def adaptive_kl(log_q: torch.Tensor, log_p: torch.Tensor, head_mass: float = 0.5) -> torch.Tensor:
    """Forward and reverse KL, weighted by where the two distributions are apart (AKL, Wu et al., 2024).

    The head is the teacher's likeliest tokens up to a mass of `head_mass`, at least one; the gap |p - q| in the head,
    as a share of the whole gap, is the weight of the forward KL. Without any gap both weigh one half. The weights have
    no gradient.
    """
    p, q = log_p.detach().exp(), log_q.detach().exp()
    sorted_p, order = p.sort(dim=-1, descending=True)
    is_head = sorted_p.cumsum(-1) <= head_mass
    is_head[..., 0] = True
    gap = (p - q).abs().gather(-1, order)  # in the teacher's order, as the head is
    whole = gap.sum(-1)
    of_head = torch.where(whole > 0, (gap * is_head).sum(-1) / whole.clamp(min=torch.finfo(gap.dtype).tiny), 0.5)
    return of_head * forward_kl(log_q, log_p) + (1 - of_head) * reverse_kl(log_q, log_p)


def token_wise_kl(log_q: torch.Tensor, log_p: torch.Tensor) -> torch.Tensor:
    """Both KL directions, weighted token by token by which of the two models is surer of it (ToDi, 2025).

    A token's forward part weighs sigmoid(log p - log q), its reverse part the rest of 1; weights have no gradient.
    """
    gap = log_p - log_q
    weight = torch.sigmoid(gap.detach())
    return (weight * log_p.exp() * gap - (1 - weight) * log_q.exp() * gap).sum(-1)


# --- other distances -------------------------------------------------------------------------------------------------


def total_variation(log_q: torch.Tensor, log_p: torch.Tensor) -> torch.Tensor:
    """Half the sum of |p - q|, in [0, 1]."""
    return (log_p.exp() - log_q.exp()).abs().sum(-1) / 2


def alpha_beta(log_q: torch.Tensor, log_p: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    """The alpha-beta divergence (Cichocki et al., 2011; ABKD, Wang et al., 2025), with its limits at 0.

    (1, 0) is the forward KL, (0, 1) the reverse KL, (1/2, 1/2) four times the squared Hellinger distance. The limits
    divide by alpha or beta squared, which the released code of ABKD does not.
    """
    if alpha == 0 and beta == 0:
        return ((log_p - log_q) ** 2).sum(-1) / 2
    if beta == 0:
        return _limit(log_q, log_p, alpha)
    if alpha == 0:
        return _limit(log_p, log_q, beta)
    if alpha == -beta:
        gap = alpha * (log_q - log_p)
        return (gap + torch.exp(-gap) - 1).sum(-1) / alpha**2
    total = alpha + beta
    products = torch.exp(torch.logsumexp(alpha * log_p + beta * log_q, -1))
    of_p, of_q = (torch.exp(torch.logsumexp(total * log, -1)) for log in (log_p, log_q))
    return -(products - alpha / total * of_p - beta / total * of_q) / (alpha * beta)


def _limit(log_other: torch.Tensor, log_own: torch.Tensor, power: float) -> torch.Tensor:
    """The sum of a^power log(a^power / b^power) - a^power + b^power, over power squared; a is `log_own`."""
    own, other = power * log_own, power * log_other
    return (own.exp() * (own - other) - own.exp() + other.exp()).sum(-1) / power**2


def concrete_score(log_q: torch.Tensor, log_p: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Half the variance of log q - log p, where tokens weigh softmax(student's logits / temperature) (CSD, 2025).

    The weights have no gradient. A constant added to one model's logits changes nothing.
    """
    weights = torch.softmax(log_q.detach() / temperature, dim=-1)
    gap = log_q - log_p
    centred = gap - (weights * gap).sum(-1, keepdim=True)
    return (weights * centred**2).sum(-1) / 2


# --- targets between student and teacher -----------------------------------------------------------------------------


def interpolated(log_q: torch.Tensor, log_p: torch.Tensor, teacher_share: float | torch.Tensor) -> torch.Tensor:
    """[..., tokens]: TAID's target (Shing et al., 2025), softmax((1 - t) student's logits + t teacher's logits).

    t is `teacher_share`. It has no gradient.
    """
    return torch.log_softmax((1 - teacher_share) * log_q.detach() + teacher_share * log_p, dim=-1)


def alpha_mixture(log_q: torch.Tensor, log_p: torch.Tensor, alpha: float, teacher_share: float) -> torch.Tensor:
    """[..., tokens]: AMiD's mixture of both (2025), normalised; with gradient.

    It is proportional to (l p^((1 - a) / 2) + (1 - l) q^((1 - a) / 2))^(2 / (1 - a)), with l = `teacher_share`: at
    a = -1 the arithmetic mean, at a = 1 the geometric one.
    """
    if alpha == 1:
        return torch.log_softmax(teacher_share * log_p + (1 - teacher_share) * log_q, dim=-1)
    power = (1 - alpha) / 2
    powers = torch.logaddexp(power * log_p + math.log(teacher_share), power * log_q + math.log1p(-teacher_share))
    return torch.log_softmax(powers / power, dim=-1)


# --- a teacher of which only the likeliest tokens are known ----------------------------------------------------------


def on_kept_tokens(
    log_q: torch.Tensor, kept: torch.Tensor, log_p: torch.Tensor, tail: Tail, log_tail: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both distributions over the k kept tokens, to compare by any divergence: (student's, teacher's).

    `drop` leaves both as they are, so that neither adds up to 1; `renormalise` makes both add up to 1 over the kept
    tokens; `bucket` adds one class for all other tokens ([..., k + 1]), by which no divergence of Csiszar's kind gets
    larger than the dense one. With k = vocabulary, all three are the dense distributions.

    Args:
        log_q: [..., vocabulary] of the student.
        kept: [..., k] ids of the kept tokens.
        log_p: [..., k] of the teacher at these tokens.
        tail: what becomes of the other tokens.
        log_tail: [...] log mass of the teacher's other tokens, if it was measured; otherwise it is what is missing to
            1, of which rounding leaves little where it is small.
    """
    if tail not in get_args(Tail):
        raise ValueError(f"tail={tail!r} must be one of {', '.join(get_args(Tail))}")
    ours = log_q.gather(-1, kept)
    if tail == "drop" or kept.shape[-1] == log_q.shape[-1]:
        return ours, log_p
    if tail == "renormalise":
        return torch.log_softmax(ours, dim=-1), torch.log_softmax(log_p, dim=-1)
    least = math.log(torch.finfo(log_p.dtype).eps)
    theirs = _rest(log_p) if log_tail is None else log_tail[..., None].clamp(min=least)
    return torch.cat([ours, _rest(ours)], dim=-1), torch.cat([log_p, theirs], dim=-1)


def _rest(log_kept: torch.Tensor) -> torch.Tensor:
    """[..., 1]: the logarithm of what is missing to 1, at least the smallest step that the number type knows."""
    missing = 1 - log_kept.exp().sum(-1, keepdim=True)
    return missing.clamp(min=torch.finfo(log_kept.dtype).eps).log()
