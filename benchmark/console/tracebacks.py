"""Whether the user wants the traceback of an unexpected error, and not only its line."""

from __future__ import annotations

from contextvars import ContextVar

TRACEBACKS: ContextVar[bool] = ContextVar("tracebacks", default=False)
"""True where the user has set HYDRA_FULL_ERROR=1. The command line itself always sets it, for Hydra."""
