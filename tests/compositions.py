"""Hydra composes a config from some thirty files, and tests ask for the same configs hundreds of times."""

from __future__ import annotations

import copy
import os
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock


@contextmanager
def composed_once() -> Iterator[None]:
    """Composes a config once per process; whoever asks for it again gets a copy of its own.

    A config that reads a folder outside the repository is composed anew every time: tests write such folders.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    compose, kept = ConfigLoaderImpl._load_configuration_impl, dict[Hashable, Any]()

    def composed(loader: Any, *, overrides: Sequence[str], **asked: Any) -> Any:
        if not _reads_the_repository_alone(loader, overrides):
            return compose(loader, overrides=list(overrides), **asked)
        key = (tuple(overrides), *sorted(asked.items()), _setting(loader))
        if key not in kept:
            kept[key] = compose(loader, overrides=list(overrides), **asked)
        config = copy.deepcopy(kept[key])
        config.hydra.runtime.cwd = os.getcwd()
        return config

    with mock.patch.object(ConfigLoaderImpl, "_load_configuration_impl", composed):
        yield


def _reads_the_repository_alone(loader: Any, overrides: Sequence[str]) -> bool:
    from benchmark.app import CONF

    elsewhere = [path for path in _sources(loader) if not path.startswith(("pkg://", "structured://"))]
    named = any("hydra.searchpath" in override for override in overrides)
    return not named and {path.removeprefix("file://") for path in elsewhere} <= {str(CONF)}


def _setting(loader: Any) -> Hashable:
    """What a config holds of how Hydra was started, beside what was asked for."""
    from hydra import version
    from hydra.core.utils import JobRuntime

    return (*_sources(loader), version.getbase(), JobRuntime.instance().get("name"))


def _sources(loader: Any) -> list[str]:
    return [str(source.path) for source in loader.get_search_path().get_path()]
