"""Where a cell was computed, as far as its numbers depend on it; equal settings may round otherwise elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.records.schema import Provenance

LIBRARIES = ("torch", "transformers")
"""The packages that compute a student; another version may round otherwise."""


@dataclass(frozen=True)
class Machine:
    """What rounding depends on. A field is None where the record does not tell it, as an older one.

    Two computers of one kind are one machine here, and nothing names them.
    """

    processor: str | None
    """The CPU or GPU, with its instruction sets and the variant of torch's code that ran there."""
    device: str | None
    """The kind of device in torch, such as `cpu` or `cuda`."""
    threads: int | None
    """Threads per operation, among which sums are shared out; None on a GPU, where they change nothing."""
    torch: str | None
    """The version of torch."""
    transformers: str | None
    """The version of transformers."""

    def words(self) -> dict[str, str]:
        """Property -> what it is in words, for those that are known; the processor is always among them."""
        unknown = "an unknown processor" if self.device in (None, "cpu") else f"an unknown {self.device} device"
        words = {"processor": self.processor or unknown}
        if self.threads is not None:
            words["threads"] = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return words | {name: f"{name} {getattr(self, name)}" for name in LIBRARIES if getattr(self, name) is not None}


NOTHING_KNOWN = Machine(None, None, None, None, None)
"""The machine of a record without provenance."""


def machine_of(provenance: Provenance) -> Machine:
    """The machine of which a record tells."""
    device = provenance.device.partition(":")[0] if provenance.device else None
    return Machine(
        processor=provenance.computed_on,
        device=device,
        threads=provenance.threads if device in (None, "cpu") else None,
        **{name: provenance.packages.get(name) for name in LIBRARIES},
    )


def counted(machines: Iterable[Machine]) -> list[tuple[Machine, int]]:
    """Each machine with the number of its cells, the commonest first."""
    counts = Counter(machines)
    return sorted(counts.items(), key=lambda pair: (-pair[1], *pair[0].words().values()))


def varying_properties(machines: Iterable[Machine]) -> set[str]:
    """The keys of `Machine.words` whose words are not the same for all machines."""
    words = [machine.words() for machine in set(machines)]
    return {name for known in words for name in known if len({other.get(name) for other in words}) > 1}
