"""Divergences against closed forms, finite differences and TRL; numbers in docstrings are of our page's list."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from methods.divergences import (
    adaptive_kl,
    alpha_beta,
    alpha_mixture,
    concrete_score,
    entropy,
    floored,
    forward_kl,
    interpolated,
    jensen_shannon,
    kl,
    on_kept_tokens,
    reverse_kl,
    skew_forward_kl,
    skew_reverse_kl,
    softened,
    symmetric_kl,
    token_wise_kl,
    total_variation,
)

Divergence = Callable[[Tensor, Tensor], Tensor]
ALL: dict[str, Divergence] = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "symmetric_kl": partial(symmetric_kl, forward_weight=0.3),
    "jensen_shannon": partial(jensen_shannon, teacher_weight=0.5),
    "jensen_shannon_0.1": partial(jensen_shannon, teacher_weight=0.1, normalised=True),
    "total_variation": total_variation,
    "skew_forward_kl": partial(skew_forward_kl, skew=0.1),
    "skew_reverse_kl": partial(skew_reverse_kl, skew=0.1),
    "adaptive_kl": adaptive_kl,
    "token_wise_kl": token_wise_kl,
    "alpha_beta": partial(alpha_beta, alpha=0.2, beta=0.7),
    "alpha_beta_negative": partial(alpha_beta, alpha=0.5, beta=-0.5),
    "alpha_beta_zero": partial(alpha_beta, alpha=0.0, beta=0.0),
    "concrete_score": concrete_score,
}
every = pytest.mark.parametrize("name", ALL)
TOKENS = 17


def pairs(count: int = 1000, spread: float = 2.0, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Logits of students and teachers, float64."""
    chance = torch.Generator().manual_seed(seed)
    s, z = (spread * torch.randn(count, TOKENS, generator=chance, dtype=torch.float64) for _ in range(2))
    return s, z


def logs(*logits: Tensor) -> list[Tensor]:
    return [torch.log_softmax(each, -1) for each in logits]


def gradient(divergence: Divergence, s: Tensor, z: Tensor) -> Tensor:
    """Of the sum, in the student's logits."""
    s = s.clone().requires_grad_()
    divergence(*logs(s, z)).sum().backward()
    assert s.grad is not None
    return s.grad


# --- values ----------------------------------------------------------------------------------------------------------


@every
def test_it_is_zero_for_equal_models_and_never_below(name: str) -> None:
    """1."""
    s, z = logs(*pairs())
    assert ALL[name](z, z).abs().max() < 1e-12
    assert ALL[name](s, z).min() > -1e-12
    assert ALL[name](s, z).shape == (1000,)


@every
def test_a_constant_added_to_all_logits_changes_nothing(name: str) -> None:
    """2."""
    s, z = pairs(50)
    assert torch.allclose(ALL[name](*logs(s + 7, z - 3)), ALL[name](*logs(s, z)), atol=1e-12, rtol=1e-10)


@every
def test_the_order_of_the_vocabulary_changes_nothing(name: str) -> None:
    """9."""
    s, z = logs(*pairs(50))
    order = torch.randperm(TOKENS, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(ALL[name](s[:, order], z[:, order]), ALL[name](s, z), atol=1e-12)


def test_the_values_are_the_closed_forms() -> None:
    s, z = logs(*pairs(40))
    q, p = s.exp(), z.exp()
    assert torch.allclose(forward_kl(s, z), (p * (p / q).log()).sum(-1))
    assert torch.allclose(reverse_kl(s, z), (q * (q / p).log()).sum(-1))
    assert torch.allclose(total_variation(s, z), (p - q).abs().sum(-1) / 2)
    m = 0.1 * p + 0.9 * q
    assert torch.allclose(skew_forward_kl(s, z, 0.1), (p * (p / m).log()).sum(-1))
    m = 0.9 * p + 0.1 * q
    assert torch.allclose(skew_reverse_kl(s, z, 0.1), (q * (q / m).log()).sum(-1))
    assert torch.allclose(alpha_beta(s, z, 0.5, 0.5), 4 * (1 - (p * q).sqrt().sum(-1)))  # 7
    a, b = 0.2, 0.7
    by_hand = -(p**a * q**b - a / (a + b) * p ** (a + b) - b / (a + b) * q ** (a + b)).sum(-1) / (a * b)
    assert torch.allclose(alpha_beta(s, z, a, b), by_hand)
    assert torch.allclose(symmetric_kl(s, z, 0.3), 0.3 * forward_kl(s, z) + 0.7 * reverse_kl(s, z))
    assert torch.allclose(entropy(z), torch.distributions.Categorical(logits=z).entropy())
    expected = torch.distributions.kl_divergence(*(torch.distributions.Categorical(logits=x) for x in (z, s)))
    assert torch.allclose(kl(z, s), expected)


def test_bounds() -> None:
    """5 and 6."""
    s, z = logs(*pairs(500, spread=20))
    for b in (0.1, 0.5, 0.9):
        assert jensen_shannon(s, z, b).max() <= -b * math.log(b) - (1 - b) * math.log(1 - b) + 1e-12
    for a in (0.1, 0.5):
        assert skew_forward_kl(s, z, a).max() <= -math.log(a) + 1e-12
        assert skew_reverse_kl(s, z, a).max() <= -math.log(a) + 1e-12
    assert total_variation(s, z).max() <= 1 + 1e-12


def test_jensen_shannon_between_its_ends() -> None:
    """4 and 5."""
    s, z = logs(*pairs(100, spread=1))
    assert torch.equal(jensen_shannon(s, z, 0.0), forward_kl(s, z))
    assert torch.equal(jensen_shannon(s, z, 1.0), reverse_kl(s, z))
    near, far = jensen_shannon(s, z, 1e-4, normalised=True), jensen_shannon(s, z, 1 - 1e-4, normalised=True)
    assert ((near - forward_kl(s, z)).abs() <= 0.02 * forward_kl(s, z)).all()
    assert ((far - reverse_kl(s, z)).abs() <= 0.02 * reverse_kl(s, z)).all()
    assert torch.allclose(jensen_shannon(s, z, 0.5), jensen_shannon(z, s, 0.5))
    # DistiLLM and SRD name the student's weight, 0.9: the same loss at a teacher's weight of 0.1.
    q, p = s.exp(), z.exp()
    m = 0.1 * p + 0.9 * q
    distillm = 0.1 * (p * (p / m).log()).sum(-1) + 0.9 * (q * (q / m).log()).sum(-1)
    assert torch.allclose(jensen_shannon(s, z, 0.1), distillm)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_it_equals_trl(beta: float) -> None:
    """4: with labels, mean over tokens, in float64."""
    trl = pytest.importorskip("trl.experimental.gkd", reason="TRL is not installed")
    s, z = pairs(24)
    labels = torch.tensor([[-100] * 5 + [1] * 19])
    theirs = trl.GKDTrainer.generalized_jsd_loss(s[None], z[None], labels=labels, beta=beta, reduction="batchmean")
    ours = jensen_shannon(*logs(s, z), beta)[5:].mean()
    assert float(ours) == pytest.approx(float(theirs), abs=1e-6)


def test_skew_ends_and_exact_zeros() -> None:
    """6."""
    s, z = logs(*pairs(20))
    assert torch.equal(skew_forward_kl(s, z, 0.0), forward_kl(s, z))
    assert torch.equal(skew_reverse_kl(s, z, 0.0), reverse_kl(s, z))
    assert skew_forward_kl(s, z, 1.0).abs().max() < 1e-12
    blind = torch.log_softmax(s.masked_fill(torch.arange(TOKENS) < 3, -math.inf), -1)
    assert skew_forward_kl(blind, z, 0.1).isfinite().all()
    assert forward_kl(blind, z).isinf().all()


@pytest.mark.parametrize(
    "name", ["forward_kl", "jensen_shannon", "skew_forward_kl", "skew_reverse_kl", "token_wise_kl"]
)
def test_a_teacher_without_probability_for_a_token_gives_no_nan(name: str) -> None:
    s, z = pairs(20)
    z[:, :3] = -math.inf
    floor = floored(torch.log_softmax(z, -1))
    assert torch.allclose(floor.exp().sum(-1), torch.ones(20, dtype=torch.float64))
    assert ALL[name](*logs(s), floor).isfinite().all()
    assert gradient(lambda q, p: ALL[name](q, floored(p)), s, z).isfinite().all()


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_alpha_beta_limits(power: float) -> None:
    """7: fails where the limits divide by alpha or beta and not by its square."""
    s, z = logs(*pairs(50, spread=0.5))
    for limit, near in (
        ((power, 0.0), (power, 1e-6)),
        ((0.0, power), (1e-6, power)),
        ((power, -power), (power, -power + 1e-6)),
        ((0.0, 0.0), (1e-4, 1e-4)),
    ):
        assert torch.allclose(alpha_beta(s, z, *limit), alpha_beta(s, z, *near), rtol=1e-3, atol=1e-6)
    assert torch.allclose(alpha_beta(s, z, 1.0, 1e-7), forward_kl(s, z), rtol=1e-4, atol=1e-6)
    assert torch.allclose(alpha_beta(s, z, 1.0, 0.0), forward_kl(s, z), rtol=1e-10)
    assert torch.allclose(alpha_beta(s, z, 0.0, 1.0), reverse_kl(s, z), rtol=1e-10)


def test_mixtures_contain_the_others() -> None:
    """8."""
    s, z = logs(*pairs(50))
    assert torch.allclose(kl(z, alpha_mixture(s, z, -1.0, 0.1)), skew_forward_kl(s, z, 0.1))
    assert torch.allclose(kl(s, alpha_mixture(s, z, -1.0, 0.9)), skew_reverse_kl(s, z, 0.1))
    for share in (0.2, 0.7):
        assert torch.allclose(alpha_mixture(s, z, 1.0, share), interpolated(s, z, share))


def test_adaptive_weights() -> None:
    """9: by hand; a token that crosses the head's mass belongs to the tail, but the first one to the head."""
    p, q = torch.tensor([0.1, 0.3, 0.2, 0.4]), torch.tensor([0.4, 0.2, 0.3, 0.1])
    s, z = q.log(), p.log()
    of_head = 0.3 / 0.8  # the gaps are 0.3, 0.1, 0.1, 0.3, and only the last token is in the head
    expected = of_head * forward_kl(s, z) + (1 - of_head) * reverse_kl(s, z)
    assert float(adaptive_kl(s, z, 0.5)) == pytest.approx(float(expected), rel=1e-6)
    of_head = 0.4 / 0.8
    expected = of_head * forward_kl(s, z) + (1 - of_head) * reverse_kl(s, z)
    assert float(adaptive_kl(s, z, 0.71)) == pytest.approx(float(expected), rel=1e-6)


# --- gradients -------------------------------------------------------------------------------------------------------


def closed_forms(s: Tensor, z: Tensor) -> dict[str, tuple[Divergence, Tensor]]:
    """Name -> (divergence, its gradient in the student's logits by hand)."""
    q, p = torch.softmax(s, -1), torch.softmax(z, -1)

    def through(h: Tensor) -> Tensor:
        return q * (h - (q * h).sum(-1, keepdim=True))

    m, skew_f, skew_r = 0.3 * p + 0.7 * q, 0.1 * p + 0.9 * q, 0.9 * p + 0.1 * q
    a, b = 0.2, 0.7
    weights = torch.softmax(s, -1)
    gap = s - z
    return {
        "forward": (forward_kl, q - p),
        "reverse": (reverse_kl, through((q / p).log())),
        "jensen_shannon": (partial(jensen_shannon, teacher_weight=0.3), 0.7 * through((q / m).log())),
        "total_variation": (total_variation, 0.5 * through((q - p).sign())),
        "skew_forward": (partial(skew_forward_kl, skew=0.1), -0.9 * through(p / skew_f)),
        "skew_reverse": (partial(skew_reverse_kl, skew=0.1), through((q / skew_r).log() - 0.1 * q / skew_r)),
        "alpha_beta": (
            partial(alpha_beta, alpha=a, beta=b),
            through((q ** (a + b - 1) - p**a * q ** (b - 1)) / a),
        ),
        "concrete_score": (concrete_score, weights * (gap - (weights * gap).sum(-1, keepdim=True))),  # 10
        "interpolated": (
            lambda log_q, log_p: kl(interpolated(log_q, log_p, 0.4), log_q),
            q - torch.softmax(0.6 * s + 0.4 * z, -1),
        ),
    }


@pytest.mark.parametrize("name", closed_forms(*pairs(1)))
def test_the_gradient_is_the_closed_form(name: str) -> None:
    """3, 8 and 10."""
    s, z = pairs(30)
    divergence, expected = closed_forms(s, z)[name]
    assert (gradient(divergence, s, z) - expected).abs().max() < 1e-10


@pytest.mark.parametrize(
    "name",
    ["forward_kl", "reverse_kl", "symmetric_kl", "jensen_shannon", "skew_forward_kl", "skew_reverse_kl", "alpha_beta"],
)
def test_finite_differences_agree(name: str) -> None:
    """3."""
    s, z = pairs(3)
    assert torch.autograd.gradcheck(lambda logits: ALL[name](*logs(logits, z)), s.requires_grad_())


def test_weights_of_mixed_losses_have_no_gradient() -> None:
    """9: the gradient of AKL is the weighted one of its parts."""
    s, z = pairs(1)
    f, r = gradient(forward_kl, s, z), gradient(reverse_kl, s, z)
    value, of_f, of_r = (float(d(*logs(s, z))) for d in (adaptive_kl, forward_kl, reverse_kl))
    weight = (value - of_r) / (of_f - of_r)
    assert torch.allclose(gradient(adaptive_kl, s, z), weight * f + (1 - weight) * r)


# --- temperature -----------------------------------------------------------------------------------------------------


def test_temperature() -> None:
    """11: softening log-probabilities is softening logits; with tau squared the gradient keeps its size."""
    s, z = pairs(20)
    assert torch.allclose(softened(torch.log_softmax(s, -1), 2.5), torch.log_softmax(s / 2.5, -1))
    log = torch.log_softmax(s, -1)
    assert softened(log, 1.0) is log
    for tau in (2.0, 1000.0):
        found = gradient(lambda q, p, tau=tau: tau**2 * forward_kl(softened(q, tau), softened(p, tau)), s, z)
        by_hand = tau * (torch.softmax(s / tau, -1) - torch.softmax(z / tau, -1))
        assert torch.allclose(found, by_hand)
    centred = [each - each.mean(-1, keepdim=True) for each in (s, z)]
    assert torch.allclose(found, (centred[0] - centred[1]) / TOKENS, rtol=0.02, atol=1e-3)


def test_precision() -> None:
    """16."""
    s, z = pairs(50)
    exact = {name: divergence(*logs(s, z)) for name, divergence in ALL.items()}
    for name, divergence in ALL.items():
        found = divergence(*logs(s.float(), z.float()))
        assert torch.allclose(found.double(), exact[name], rtol=1e-5, atol=1e-5), name
    huge = [each.float() * 1e4 for each in (s, z)]
    for name in ("forward_kl", "reverse_kl", "jensen_shannon", "skew_forward_kl", "total_variation"):
        assert ALL[name](*logs(*huge)).isfinite().all(), name
        assert gradient(ALL[name], *huge).isfinite().all(), name


# --- top-k -----------------------------------------------------------------------------------------------------------

OF_CSISZAR = ["forward_kl", "reverse_kl", "jensen_shannon", "total_variation", "skew_forward_kl", "skew_reverse_kl"]


def kept(log_p: Tensor, k: int) -> tuple[Tensor, Tensor]:
    values, ids = log_p.topk(k, dim=-1)
    return ids, values


@pytest.mark.parametrize("tail", ["drop", "renormalise", "bucket"])
@pytest.mark.parametrize("name", OF_CSISZAR)
def test_all_tokens_kept_is_dense(name: str, tail: str) -> None:
    """19."""
    s, z = logs(*pairs(30))
    ids, values = kept(z, TOKENS)
    ours = ALL[name](*on_kept_tokens(s, ids, values, tail))  # type: ignore[arg-type]
    assert torch.allclose(ours, ALL[name](s, z), atol=1e-12)


@pytest.mark.parametrize("name", OF_CSISZAR)
def test_a_bucket_never_makes_it_larger(name: str) -> None:
    """19: the data processing inequality; and more tokens never make it smaller."""
    s, z = logs(*pairs(300))
    found = [ALL[name](*on_kept_tokens(s, *kept(z, k), "bucket")) for k in (2, 5, 12)] + [ALL[name](s, z)]
    for fewer, more in pairwise(found):
        assert (fewer <= more + 1e-12).all()


def test_the_rules_for_the_tail_by_hand() -> None:
    q, p = torch.tensor([0.5, 0.3, 0.1, 0.1]), torch.tensor([0.2, 0.6, 0.1, 0.1])
    s, ids = q.log(), torch.tensor([1, 0])
    theirs = p[ids].log()
    for tail, ours, other in (
        ("drop", [0.3, 0.5], [0.6, 0.2]),
        ("renormalise", [0.375, 0.625], [0.75, 0.25]),
        ("bucket", [0.3, 0.5, 0.2], [0.6, 0.2, 0.2]),
    ):
        found = on_kept_tokens(s, ids, theirs, tail)  # type: ignore[arg-type]
        assert found[0].exp().tolist() == pytest.approx(ours)
        assert found[1].exp().tolist() == pytest.approx(other)
    with pytest.raises(ValueError, match="tail='rest' must be one of drop, renormalise, bucket"):
        on_kept_tokens(s, ids, theirs, "rest")  # type: ignore[arg-type]


def test_a_student_sure_of_the_kept_tokens_gives_no_nan() -> None:
    s = torch.tensor([[40.0, 0.0, 0.0, 0.0]], requires_grad=True)
    theirs = torch.tensor([[0.9, 0.05]]).log()
    value = forward_kl(*on_kept_tokens(torch.log_softmax(s, -1), torch.tensor([[0, 1]]), theirs, "bucket"))
    value.sum().backward()
    assert value.isfinite().all()
    assert s.grad is not None
    assert s.grad.isfinite().all()
