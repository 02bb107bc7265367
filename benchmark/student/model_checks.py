"""What a model's config and tokenizer say before its weights are read: its window, its tokens, its chat template."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import ModelError, in_a_line
from benchmark.student.chat_template import in_chat
from benchmark.student.folder_checks import rows_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

EMBEDDINGS = ("embed_tokens.weight", "shared.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")
"""How the names of input embeddings end, in the families of models that transformers has."""

Stamps = tuple[tuple[str, int, int], ...]
"""Path, size and time of files."""


def stamps_of(files: Iterable[Path]) -> Stamps:
    """What changes when one of the files does."""
    return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)


def load_tokenizer(path: str, revision: str, setting: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or of the hub; EOS is its padding token if it has none.

    Raises ModelError, naming `setting`, if transformers cannot load it, or if it has no EOS.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            path, revision=revision, trust_remote_code=False
        )
    except MemoryError:
        raise
    except Exception as error:  # transformers raises a dozen kinds, and its tokenizers a bare Exception
        raise ModelError(
            f"{setting}: transformers cannot load its tokenizer ({in_a_line(error)}); download its files again"
        ) from error
    if tokenizer.eos_token_id is None:
        raise ModelError(f"{setting}: its tokenizer has no EOS token, so no answer would end")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def refuse_misfit(tokenizer: PreTrainedTokenizerBase, folder: Path, setting: str) -> None:
    """Raises ModelError if the tokenizer has more tokens than the model, or if its template can make no prompt."""
    refuse_more_tokens(len(tokenizer), _embedded_tokens(folder, setting), setting)
    if tokenizer.chat_template:
        in_chat(tokenizer, "1+1")


def refuse_more_tokens(tokens: int, rows: int | None, setting: str) -> None:
    """Raises ModelError if a tokenizer has more tokens than a model has embeddings; None as `rows`: not known."""
    if rows is not None and tokens > rows:
        raise ModelError(
            f"{setting}: its tokenizer has {tokens} tokens, but the model embeds {rows}; they do not belong together"
        )


def refuse_beyond_window(max_length: int, window: int | None, slot: str, model: str) -> None:
    """Raises ModelError for a `max_length` that the model has no positions for; None as `window`: it has no end."""
    if window is not None and max_length > window:
        raise ModelError(
            f"{slot}.max_length={max_length}, but the window of {model} has {window} tokens; give "
            f"{slot}.max_length={window} or less"
        )


def window_of(folder: Path, setting: str) -> int | None:
    """How many tokens the model has positions for; None where that has no end, as with relative positions.

    Raises ModelError if transformers cannot read the config.
    """
    window = getattr(_text_config(folder, setting), "max_position_embeddings", None)
    return window if isinstance(window, int) and window > 0 else None  # XLNet says -1


def _embedded_tokens(folder: Path, setting: str) -> int | None:
    """How many tokens the model embeds: as its weights say, or else its config; None where neither does."""
    rows = rows_of(folder, EMBEDDINGS, setting)
    if rows is not None:
        return rows
    stated = getattr(_text_config(folder, setting), "vocab_size", None)
    return stated if isinstance(stated, int) else None


def config_of(folder: Path, setting: str) -> Any:
    """The model's config as transformers reads it. Raises ModelError, naming `setting`, if transformers cannot."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except MemoryError:
        raise
    except Exception as error:  # a wrong value may raise anything in the classes of transformers
        raise ModelError(f"{setting}: transformers cannot read its config.json ({in_a_line(error)})") from error


def _text_config(folder: Path, setting: str) -> Any:
    return config_of(folder, setting).get_text_config(decoder=True)
