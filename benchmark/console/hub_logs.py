"""The hub's client libraries report every retry; one line of ours at the end says it all."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Only their errors show in here; afterwards they speak as before."""
    logs = [logging.getLogger(package) for package in ("huggingface_hub", "datasets")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
