"""Silences the hub's client libraries, which log every retry; our own error message says what failed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Shows only errors of these libraries inside the block; afterwards restores their log levels."""
    logs = [logging.getLogger(package) for package in ("huggingface_hub", "datasets")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
