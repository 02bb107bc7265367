"""Optional packages: why one cannot be imported."""

from __future__ import annotations

import importlib.util


def absence(package: str) -> str | None:
    """Why an optional package cannot be imported, after `PACKAGE, which `; None if it can.

    A folder in the working directory with the package's name looks like a package to Python, and holds none.
    """
    found = importlib.util.find_spec(package)
    if found is None:
        return "is not installed"
    if found.origin is None:
        folders = ", ".join(map(str, found.submodule_search_locations or ()))
        return f"is not installed: {folders} is a folder of that name, and not the package"
    return None
