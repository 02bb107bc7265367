"""Which options of the group `format` can ask the student in given roles, for the refusal of one that cannot."""

from __future__ import annotations

import importlib
from collections.abc import Collection

import yaml

from benchmark.config_folder import CONF


def formats_with(roles: Collection[str]) -> list[str]:
    """The names of the options in `conf/format/` whose class has all the roles; options of other folders are left out.

    A class that sets its roles only as it is made counts as having none.
    """
    found = []
    for file in sorted((CONF / "format").glob("*.yaml")):
        module, _, name = yaml.safe_load(file.read_text(encoding="utf-8"))["_target_"].rpartition(".")
        known = getattr(getattr(importlib.import_module(module), name), "roles", ())
        if isinstance(known, Collection) and set(roles) <= set(known):
            found.append(file.stem)
    return found
