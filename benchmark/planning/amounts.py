"""Amounts that a plan expects: calls, tokens, US dollars and seconds, with what is known of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A sum of expected amounts."""

    value: float = 0.0
    at_most: bool = False
    """True if a summand is an upper bound."""
    unknown: bool = False
    """True if a summand is unknown, and so missing from `value`."""

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.value + other.value, self.at_most or other.at_most, self.unknown or other.unknown)


UNKNOWN = Estimate(unknown=True)


@dataclass(frozen=True)
class ExpectedCost:
    """What a cell is expected to buy from its teachers; `tokens` counts prompts and replies together."""

    calls: Estimate = Estimate()
    tokens: Estimate = Estimate()
    usd: Estimate = Estimate()

    def __add__(self, other: ExpectedCost) -> ExpectedCost:
        return ExpectedCost(self.calls + other.calls, self.tokens + other.tokens, self.usd + other.usd)
