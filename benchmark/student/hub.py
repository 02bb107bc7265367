"""Models on the hub: which paths are their ids, which of them lie on this disk, and where their config is."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from benchmark.console.hub_logs import quiet_hub
from benchmark.errors import ModelError


def is_hub_id(path: str) -> bool:
    """Whether the path can be the id of a model on the hub: it is no folder, and has no form that only a folder has."""
    return not (Path(path).is_dir() or path.startswith((".", "/", "~")) or path.count("/") > 1)


def in_cache(repository: str, revision: str) -> bool:
    """Whether config and weights are on this disk from an earlier download."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repository, "config.json", revision=revision)
    return isinstance(config, str) and any(Path(config).parent.glob("*.safetensors"))


def hub_file(repository: str, revision: str, slot: str) -> str:
    """The path of the model's config on this disk, fetched if need be. Raises ModelError if that fails."""
    file = _fetched(repository, revision)
    if isinstance(file, str):
        return file
    gated = ", whose licence must be accepted on its page of the hub by the account that is logged in here"
    raise ModelError(
        f"{slot}.path={repository} is neither a folder nor a model that can be fetched from the hub now "
        f"({type(file).__name__}{gated if type(file).__name__ == 'GatedRepoError' else ''}); without a network, give "
        f"the folder of a downloaded model as {slot}.path=FOLDER"
    ) from file


@lru_cache(maxsize=16)
def _fetched(repository: str, revision: str) -> str | Exception:
    """The path of the model's config on this disk, or the error; kept, so that a missing hub delays only once."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        with quiet_hub():
            return hf_hub_download(repository, "config.json", revision=revision)
    except (OSError, ValueError, HfHubHTTPError) as error:
        return error
