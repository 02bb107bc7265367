"""Hydra composes a config from some thirty files, and tests ask for the same configs hundreds of times."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock


@contextmanager
def composed_once() -> Iterator[None]:
    """Composes a config once per process; whoever asks for it again gets a copy of its own.

    A config that reads a folder outside the repository is composed anew every time: tests write such folders. What is
    composed anew reads each file of the repository once per process, and merges the same options once.
    """
    from hydra._internal import defaults_list
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.config_repository import ConfigRepository

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

    with (
        mock.patch.object(ConfigLoaderImpl, "_load_configuration_impl", composed),
        mock.patch.object(
            ConfigLoaderImpl,
            "_compose_config_from_defaults_list",
            _merged_once(ConfigLoaderImpl._compose_config_from_defaults_list),
        ),
        mock.patch.object(ConfigRepository, "load_config", _read_once(ConfigRepository.load_config)),
        mock.patch.object(
            defaults_list, "_create_interpolation_map", _where_needed(defaults_list._create_interpolation_map)
        ),
    ):
        yield


def _read_once(load: Callable[..., Any]) -> Callable[..., Any]:
    """Hydra's reading of one option, which parses a file of the repository or of a package once."""
    from hydra.core.object_type import ObjectType

    kept = dict[Hashable, Any]()

    def read(repository: Any, config_path: str) -> Any:
        source = repository._find_object_source(config_path=config_path, object_type=ObjectType.CONFIG)
        if source is None or not _is_fixed(source):
            return load(repository, config_path=config_path)
        key = (source.scheme(), source.path, source.provider, config_path)
        if key not in kept:
            kept[key] = load(repository, config_path=config_path)
        return copy.deepcopy(kept[key])

    return read


def _merged_once(merge: Callable[..., Any]) -> Callable[..., Any]:
    """Hydra's merging of the chosen options, to which it then applies the settings of the command line."""
    kept = dict[Hashable, Any]()

    def merged(loader: Any, *, defaults: Sequence[Any], repo: Any) -> Any:
        sources = [(source.scheme(), source.path, source.provider) for source in repo.get_sources()]
        if not all(source.scheme() == "structured" or _is_fixed(source) for source in repo.get_sources()):
            return merge(loader, defaults=defaults, repo=repo)
        key = (*sources, *map(repr, defaults))
        if key not in kept:
            kept[key] = merge(loader, defaults=defaults, repo=repo)
        return copy.deepcopy(kept[key])

    return merged


def _is_fixed(source: Any) -> bool:
    """Whether nobody writes to the files of a source of options while tests run."""
    from benchmark.app import CONF

    return source.scheme() == "pkg" or (source.scheme() == "file" and source.path == str(CONF))


def _where_needed(all_choices: Callable[..., Any]) -> Callable[..., Any]:
    """Hydra's table of all choices, which only `- group: ${other}` reads, and which Hydra makes for every option."""

    def choices(overrides: Any, defaults_list: Sequence[Any], self_added: bool) -> Any:
        read = any(not default.is_self() and default.is_interpolation() for default in defaults_list)
        return all_choices(overrides, defaults_list, self_added) if read else None

    return choices


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
