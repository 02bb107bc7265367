"""Looks at a model's folder before any work: are its files whole, does transformers know it, are the layers there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmark.config import nearest
from benchmark.errors import ModelError, in_a_line

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How the small file begins that Git leaves in place of a large one."""
INDEX = "model.safetensors.index.json"
OBJECTS = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    INDEX,
)
"""The files that must each be a JSON object where they are there."""
LONGEST_HEADER_BYTES = 100_000_000
"""What the format of safetensors allows."""


def refuse_unusable_files(folder: Path, setting: str) -> None:
    """Raises ModelError, naming `setting` and the file, for a file that is not whole, and for code from outside.

    Not whole are a Git LFS pointer, a cut file of weights or of JSON, and an index whose files are missing. Reads no
    weights.
    """
    for file in sorted((*folder.glob("*.json"), *folder.glob("*.safetensors"))):
        with file.open("rb") as content:
            if content.read(len(LFS_POINTER)) == LFS_POINTER:
                raise ModelError(
                    f"{setting}: {file.name} is a Git LFS pointer of {file.stat().st_size} bytes and not the file "
                    "itself; run `git lfs pull` in the folder, or download the file"
                )
    objects = {name: _object(folder / name, setting) for name in OBJECTS}
    lacking = sorted(name for name in _parts(objects[INDEX]) if not (folder / name).is_file())
    if lacking:
        raise ModelError(f"{setting}: {INDEX} names {', '.join(lacking)}, which {_are(lacking)} not there")
    for file in sorted(folder.glob("*.safetensors")):
        _header(file, setting)
    _refuse_foreign_code(objects["config.json"], objects["tokenizer_config.json"], setting)


def refuse_absent_modules(folder: Path, wanted: Sequence[str], setting: str) -> None:
    """Raises ModelError for a name that no layer of the model ends in, with the nearest name that there is.

    Does nothing for a folder without weights, such as that of a model that is not downloaded yet.
    """
    layers = sorted(_layers(folder, setting))
    names = {name.rpartition(".")[2] for name in layers}
    for name in wanted if layers else ():
        if not any(layer == name or layer.endswith(f".{name}") for layer in layers):
            raise ModelError(f"{setting}: no layer of the model is called {name!r}{nearest(name, names)}")


def rows_of(folder: Path, endings: tuple[str, ...], setting: str) -> int | None:
    """The number of rows of the matrix whose name ends in one of these; None if the weights have no such matrix."""
    for file in sorted(folder.glob("*.safetensors")):
        for name, tensor in _header(file, setting).items():
            shape = tensor.get("shape", ())
            if len(shape) == 2 and name.endswith(tuple(f".{ending}" for ending in endings)):
                return int(shape[0])
    return None


def _layers(folder: Path, setting: str) -> Iterator[str]:
    """The names of the layers with a matrix of weights."""
    for file in folder.glob("*.safetensors"):
        for name, tensor in _header(file, setting).items():
            if name.endswith(".weight") and len(tensor.get("shape", ())) == 2:
                yield name.removesuffix(".weight")


def _parts(index: dict[str, Any]) -> set[str]:
    """The files of weights that an index names."""
    return set(index.get("weight_map", {}).values())


def _header(file: Path, setting: str) -> dict[str, Any]:
    """Name -> type, shape and place of every tensor. Raises ModelError if the file is cut or no such file."""
    size = file.stat().st_size
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        try:
            if length > min(LONGEST_HEADER_BYTES, size):
                raise ValueError("its header is longer than the file")
            header: dict[str, Any] = json.loads(content.read(length))
            header.pop("__metadata__", None)
            end = 8 + length + max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{setting}: {file.name} of {size:,} bytes is no file of safetensors; download it again"
            ) from error
    if size < end:
        raise ModelError(f"{setting}: {file.name} is cut: it has {size:,} of {end:,} bytes; download it again")
    return header


def _refuse_foreign_code(config: dict[str, Any], tokenizer: dict[str, Any], setting: str) -> None:
    """Raises ModelError for a model or tokenizer that transformers knows only by code in the folder.

    A folder may bring code for older versions of transformers: what the installed one knows is loaded without it.
    """
    if "auto_map" in config and not _is_known(config):
        raise _foreign(setting, "model", f"model_type={config.get('model_type')!r}", "config.json")
    if "AutoTokenizer" in (tokenizer.get("auto_map") or {}) and not _is_known_tokenizer(tokenizer):
        name = f"tokenizer_class={tokenizer.get('tokenizer_class')!r}"
        raise _foreign(setting, "tokenizer", name, "tokenizer_config.json")


def _foreign(setting: str, what: str, name: str, file: str) -> ModelError:
    return ModelError(
        f"{setting}: its {what} ({name}) is known by code in the folder alone (auto_map in {file}), and code that "
        "comes with a model is never run; choose a model that transformers has itself"
    )


def _is_known(config: dict[str, Any]) -> bool:
    from transformers import CONFIG_MAPPING

    return config.get("model_type") in CONFIG_MAPPING


def _is_known_tokenizer(tokenizer: dict[str, Any]) -> bool:
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    name = tokenizer.get("tokenizer_class")
    return isinstance(name, str) and re.fullmatch(r"\w+", name) is not None and bool(tokenizer_class_from_name(name))


def _object(file: Path, setting: str) -> dict[str, Any]:
    """The JSON object in a file; empty if there is no file. Raises ModelError if it holds none."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # of JSON, or of UTF-8
        raise ModelError(f"{setting}: {file.name} cannot be read ({in_a_line(error)}); download it again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{setting}: {file.name} holds no JSON object; download it again")
    return content


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
