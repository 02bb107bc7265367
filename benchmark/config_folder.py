"""Where the configs of the benchmark lie."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent
CONF = next(path for path in (HERE / "conf", HERE.parent / "conf") if (path / "config.yaml").is_file())
"""Beside the package once installed from a wheel, beside the repository's top-level folders otherwise."""
