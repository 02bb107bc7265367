"""Whether Weights & Biases is installed, and whether somebody is logged in."""

from __future__ import annotations

import importlib.util

from analysis.records.load import ResultsError


def require_wandb(package: str) -> None:
    """Raises ResultsError, which says how to install it, if an optional package of W&B is missing.

    Runs lie in folders called `wandb`; such a folder in the working directory is not the package.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ResultsError(
            f"this needs the package {package}, which is not installed: pip install 'distillation-benchmark[wandb]'"
        )


def is_logged_in() -> bool:
    """Whether W&B has a key on this machine; asks no server."""
    import wandb

    wandb.setup(wandb.Settings(silent=True))  # otherwise the next call asks a server for the user's name
    return bool(wandb.login(prompt=False, verify=False))
