"""Builds the dataclasses that a composed config names by `_target_`, and checks every key; there is no registry."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import json
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pydantic
import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from benchmark.errors import ConfigError

COMPOSING_ERRORS = (ConfigError, HydraException, OmegaConfBaseException, yaml.YAMLError)
"""The errors that composing a config may raise."""


def nearest(name: str, valid: Iterable[object]) -> str:
    """The end of an error message: the closest valid name, or all valid names; empty if there are none."""
    names = sorted(str(option) for option in valid)
    return _closest(name, names) or (f"; valid: {', '.join(names)}" if names else "")


def _closest(name: str, names: Sequence[str]) -> str:
    """The end of an error message: the closest name, or nothing."""
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def count_of(name: str, value: str) -> int:
    """The number that an argument `name=value` gives. Raises ConfigError if it is no whole number from 1 on."""
    if not value.isdecimal() or int(value) < 1:
        raise ConfigError(f"{name}={value} must be a whole number from 1 on")
    return int(value)


def build(node: Any, at: str, expected: Any) -> Any:
    """The component that a config node describes.

    Args:
        node: a mapping with `_target_`, the import path of a dataclass, and its settings.
        at: the node's path in the config, for error messages.
        expected: the protocol or class that the component must be.

    Raises:
        ConfigError: for an unknown key (with the nearest one), a wrong type, a missing setting, a value that the
            dataclass itself refuses, or a component of the wrong kind.
    """
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ConfigError(f"{at}: names no _target_, so there is nothing to build")
    component = _fill(_locate(node["_target_"], at), node, at)
    kinds = tuple(kind for kind in _members(expected) if _can_be_checked(kind))
    if kinds and not isinstance(component, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ConfigError(f"{at}: {type(component).__name__} is not a {names}")
    return component


def _can_be_checked(kind: Any) -> bool:
    return getattr(kind, "_is_runtime_protocol", False) or dataclasses.is_dataclass(kind)


def leaf(hint: Any, value: Any, at: str) -> Any:
    """A plain value, strictly checked against its type hint; `at` is its path in the config.

    Raises ConfigError with the value and the expected type.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{at}={value}: input should be a finite number")
    try:
        return pydantic.TypeAdapter(hint).validate_json(json.dumps(value), strict=True)
    except pydantic.PydanticSchemaGenerationError as error:  # a protocol: only a component can be one
        raise ConfigError(f"{at}={value!r}: components belong here, each with its _target_") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        message = first["msg"][0].lower() + first["msg"][1:]
        raise ConfigError(f"{at}={value!r}: {message}{_closest(value, _literals(hint))}") from error


def _fill(cls: type, node: Mapping[str, Any], at: str) -> Any:
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for key in node:
        if key != "_target_" and key not in fields:
            raise ConfigError(f"{at}.{key}: {cls.__name__} has no such setting{nearest(key, fields)}")
    values = {name: _value(hints[name], node[name], f"{at}.{name}") for name in fields if name in node}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ConfigError(f"{at}.{name} is missing, and {cls.__name__} has no default for it")
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{at}: {error}") from error


def _value(hint: Any, value: Any, at: str) -> Any:
    if isinstance(value, Mapping) and "_target_" in value:
        return build(value, at, hint)
    members = _members(hint)
    plain = next((m for m in members if isinstance(m, type) and dataclasses.is_dataclass(m)), None)
    if isinstance(value, Mapping) and plain is not None:
        return _fill(plain, value, at)
    mapping = next((member for member in members if typing.get_origin(member) is Mapping), None)
    if mapping is not None and isinstance(value, Mapping) and any(isinstance(item, Mapping) for item in value.values()):
        inner = typing.get_args(mapping)[1]
        return {str(name): _value(inner, item, f"{at}.{name}") for name, item in value.items()}
    sequence = next((member for member in members if typing.get_origin(member) is tuple), None)
    if sequence is not None and isinstance(value, Sequence) and any(isinstance(item, Mapping) for item in value):
        inner = typing.get_args(sequence)[0]
        return tuple(_value(inner, item, f"{at}[{i}]") for i, item in enumerate(value))
    return leaf(_plain_alternatives(hint), value, at)


def _plain_alternatives(hint: Any) -> Any:
    """The hint without protocols, which only components can fulfil; the whole hint if it has nothing else."""
    plain = tuple(member for member in _members(hint) if not getattr(member, "_is_protocol", False))
    return typing.Union[plain] if plain else hint  # noqa: UP007 - the members are known only now


def _members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a union; for any other hint the hint alone."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def _literals(hint: Any) -> list[str]:
    """The texts that a hint lists as its only values."""
    literals = [member for member in _members(hint) if typing.get_origin(member) is typing.Literal]
    return [value for member in literals for value in typing.get_args(member) if isinstance(value, str)]


def _locate(path: str, at: str) -> type:
    module, _, name = path.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{at}._target_: cannot import {path!r} ({error})") from error
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise ConfigError(f"{at}._target_: {path} is not a dataclass")
    return cls


def explain(error: Exception, groups: Iterable[str], sweeping: bool = False) -> str:
    """One line that explains one of `COMPOSING_ERRORS`; errors of Hydra or OmegaConf get the nearest valid name.

    `groups` are the names of all config groups. `sweeping` adds a hint for settings that only some swept options have.
    """
    from hydra.errors import MissingConfigException, OverrideParseException
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue

    if isinstance(error, ConfigError):
        return str(error)
    cause = error.__cause__
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem_mark.name}, line {error.problem_mark.line + 1}: {error.problem}"
    key = getattr(error, "full_key", None)
    if key and isinstance(error, MissingMandatoryValue):
        return f"Missing mandatory value: {key}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return f"{group}={name}: there is no such option{nearest(name, error.options or ())}"
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)) and "/" in str(cause.key):
        return f"{cause.key}: there is no such group{nearest(str(cause.key), groups)}"
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)):
        siblings = [key for key in (cause.parent_node or ()) if key not in ("hydra", "_target_")]
        hint = nearest(str(cause.key), siblings)
        return f"{cause.full_key}: there is no such setting{hint}{_swept_hint(cause.full_key) if sweeping else ''}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: {error.message.splitlines()[0]}{_quoting_hint(error.override)}"
    found = re.match(r"(?:In '([^']+)': )?Could not override '([^']+)'", str(error))
    if found:
        if found[1] and f"@{found[1].partition('/')[0]}." in found[2]:
            return f"{found[1]}.yaml: a preset must begin with the line '# @package _global_'"
        where = f" (in conf/{found[1]}.yaml)" if found[1] else ""
        if found[2] in groups:  # a group that only other options have
            outer = found[2].rpartition("/")[0]
            hint = f" (where only some swept options of {outer!r} have it, write {found[2]}=choice(OPTION))"
            return f"{found[2]}: the chosen {outer} has no such choice{where}{hint if sweeping else ''}"
        return f"{found[2].split('@')[0]}: there is no such group{nearest(found[2], groups)}{where}"
    return " ".join(str(error).split())


def _quoting_hint(override: str) -> str:
    """A hint for a value with characters that Hydra's grammar keeps for itself, such as `=` in a path."""
    key, _, value = override.partition("=")
    if not value or value[0] in "'\"" or (value.isascii() and not set(value) & set("=()[]{}$~&;#! ")):
        return ""
    return f"; a value with such characters needs quotes for Hydra inside of quotes for the shell: '{key}=\"{value}\"'"


def _swept_hint(key: str | None) -> str:
    """A hint: Hydra first composes without the swept keys, so a setting of only a swept option looks unknown to it."""
    if key and "." in key:
        return f" (where only some swept options of {key.split('.')[0]!r} have it, write {key}=choice(VALUE))"
    return ""
