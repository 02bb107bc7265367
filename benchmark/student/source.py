"""Where a student comes from: made from scratch, or taken from a Hugging Face folder or the hub."""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from benchmark.errors import ConfigError, ModelError
from benchmark.random_streams import stream_seed
from benchmark.student.chat_template import TEMPLATE_DATE, fix_date, refuse_no_date
from benchmark.student.folder_checks import refuse_absent_modules, refuse_unusable_files
from benchmark.student.hub import hub_file, in_cache, is_hub_id
from benchmark.student.lora import Lora
from benchmark.student.model_checks import (
    Stamps,
    load_tokenizer,
    refuse_beyond_window,
    refuse_misfit,
    stamps_of,
    window_of,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Overlong = Literal["refuse", "truncate"]


@runtime_checkable
class StudentSource(Protocol):
    """The source of a student (an option in `conf/student`) or of another local model (assistant, teacher)."""

    slot: ClassVar[str]
    """The config group that the model belongs to, for error messages."""

    @property
    def name(self) -> str:
        """The name in tables."""
        ...

    @property
    def max_length(self) -> int:
        """The window in tokens: prompt and response together."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """The most tokens of a reply whose request sets no cap."""
        ...

    @property
    def overlong(self) -> Overlong:
        """What happens to prompts and targets that do not fit: the cell is refused, or they are cut and counted."""
        ...

    def has_encoder(self) -> bool:
        """Whether the prompt goes into an encoder."""
        ...

    def check(self) -> None:
        """Raises ModelError, before any work, if the model is not available."""
        ...

    def fingerprint(self) -> str:
        """Identifies weights and tokenizer; empty for a model that settings and seed determine."""
        ...

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer; it has an EOS and a padding token."""
        ...

    def network(self, seed: int) -> PreTrainedModel:
        """The network before training; `seed` determines all random weights."""
        ...


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Random weights or adapters made inside the block depend on `seed` alone; other random streams do not change."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed("student", seed) % 2**63)
        yield


class FromScratch:
    """A student with random weights, with one token per character."""

    slot: ClassVar[str] = "student"

    def check(self) -> None:
        """Does nothing: such a student is always available."""

    def fingerprint(self) -> str:
        """Empty: settings and seed determine the weights."""
        return ""

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """One token per printable ASCII character and line feed."""
        return character_tokenizer()


@dataclass(frozen=True)
class TinyStudent(FromScratch):
    """A decoder of about 0.1 million parameters on characters, with random weights; the default student."""

    name: str
    """The name in tables."""
    hidden_size: int
    """The width of hidden states; a multiple of twice `attention_heads`."""
    intermediate_size: int
    """The width inside feed-forward layers."""
    layers: int
    """Number of layers."""
    attention_heads: int
    """Number of attention heads per layer."""
    initializer_range: float
    """Standard deviation of the random weights."""
    max_length: int
    """The window in tokens: prompt and response together."""
    max_new_tokens: int
    """The most tokens of a reply whose request sets no cap."""
    overlong: Overlong = "refuse"
    """What happens to prompts and targets that do not fit: the cell is refused, or they are cut and counted."""
    licence: str = field(default="unknown", metadata={"identity": False})
    """The licence of the model."""

    def __post_init__(self) -> None:
        refuse_small(self, "hidden_size", "intermediate_size", "layers", "attention_heads")
        refuse_window(self.max_length, self.max_new_tokens)
        if self.hidden_size % (2 * self.attention_heads):
            raise ValueError(
                f"hidden_size={self.hidden_size} is not a multiple of twice attention_heads={self.attention_heads}, "
                "which rotary positions need"
            )

    def has_encoder(self) -> bool:
        """False: prompt and response are one sequence."""
        return False

    def network(self, seed: int) -> PreTrainedModel:
        """A Llama-shaped decoder with random weights."""
        from transformers import LlamaConfig, LlamaForCausalLM

        tokenizer = self.tokenizer()
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_hidden_layers=self.layers,
            num_attention_heads=self.attention_heads,
            num_key_value_heads=self.attention_heads,
            initializer_range=self.initializer_range,
            max_position_embeddings=self.max_length,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        with drawing(seed):
            return LlamaForCausalLM(config)


@lru_cache(maxsize=1)
def character_tokenizer() -> PreTrainedTokenizerBase:
    """One token per printable ASCII character and line feed, with BOS before every text."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<bos>", "<eos>", "<unk>"]
    characters = [*string.printable[:95], "\n"]
    vocabulary = {token: i for i, token in enumerate([*special, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


@dataclass(frozen=True)
class PretrainedStudent:
    """A pretrained model in a Hugging Face folder or on the hub, decoder-only or encoder-decoder.

    Code that comes with the model is never run.
    """

    slot: ClassVar[str] = "student"
    """The config group that the model belongs to, for error messages."""
    name: str
    """The name in tables."""
    path: str | None = field(metadata={"identity": False})
    """A folder, or the model's id on the hub; null must be replaced on the command line."""
    max_length: int
    """The window in tokens: prompt and response together."""
    max_new_tokens: int
    """The most tokens of a reply whose request sets no cap."""
    overlong: Overlong = "refuse"
    """What happens to prompts and targets that do not fit: the cell is refused, or they are cut and counted."""
    revision: str = field(default="main", metadata={"identity": False})
    """Branch, tag or commit on the hub."""
    lora: Lora | None = None
    """Adapters to train in place of the pretrained weights; null trains all weights."""
    template_date: str = TEMPLATE_DATE
    """Today (YYYY-MM-DD) for a chat template that reads the clock: its prompts must not differ from day to day."""
    licence: str = field(default="unknown", metadata={"identity": False})
    """The licence of the model."""

    def __post_init__(self) -> None:
        refuse_window(self.max_length, self.max_new_tokens)
        refuse_no_date(self.template_date)

    def check(self) -> None:
        """Raises ConfigError without a path or peft, and ModelError if the model cannot be used.

        The hub does not give it, a file is missing or cut, it needs code of its own, adapters are for layers that it
        does not have, `max_length` is beyond its window, or its tokenizer is no help: it has no EOS, it has more tokens
        than the model, or its chat template cannot make a prompt.
        """
        config, setting = self._configuration_file(), f"{self.slot}.path={self.path}"
        refuse_unusable_files(config.parent, setting)
        if self.lora is not None:
            self.lora.check()
            refuse_absent_modules(config.parent, self.lora.names, f"{self.slot}.lora.target_modules, {setting}")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            if config.parent == Path(self.path or "") and not (config.parent / name).is_file():
                raise ModelError(
                    f"{self.slot}.path={self.path} is a folder without {name}; save the tokenizer there too"
                )
        _look_into(self, config.parent, stamps_of(sorted(filter(Path.is_file, config.parent.iterdir()))))

    def settled(self) -> Self:
        """The same, with a number for every setting that the model itself may answer."""
        return self

    def window(self) -> int | None:
        """The tokens that the model has positions for; None if their number has no end."""
        return window_of(self._configuration_file().parent, f"{self.slot}.path={self.path}")

    def fingerprint(self) -> str:
        """A hash of the folder's weights and tokenizer, or `path@commit` for a model on the hub."""
        config = self._configuration_file()
        if Path(self.path or "").is_dir():
            return _folder_hash(config.parent, self.slot)
        return f"{self.path}@{config.parent.name}"

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's own tokenizer; EOS is its padding token if it has none, and its chat template has a fixed date.

        Raises ModelError without EOS, or if transformers cannot load it.
        """
        setting = f"{self.slot}.path={self.path}"
        tokenizer = load_tokenizer(str(self.path), self.revision, setting)
        fix_date(tokenizer, self.template_date, setting)
        return tokenizer

    def network(self, seed: int) -> PreTrainedModel:
        """The pretrained weights in float32; with `lora` in `lora.base_dtype`, and `seed` determines the adapters."""
        network = self._pretrained()
        if self.lora is None:
            return network
        with drawing(seed):
            return self.lora.attach(network)

    def _pretrained(self) -> PreTrainedModel:
        """The network without adapters."""
        import torch
        from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

        kind = AutoModelForSeq2SeqLM if self.has_encoder() else AutoModelForCausalLM
        dtype = torch.float32 if self.lora is None else getattr(torch, self.lora.base_dtype)
        network: PreTrainedModel = kind.from_pretrained(
            str(self.path), revision=self.revision, dtype=dtype, trust_remote_code=False
        )
        _say_whether_tied(network)
        return network

    def download(self) -> str | None:
        """A sentence that says what a run would download from the hub; None for nothing. Does not use the network."""
        if self.path is None or not is_hub_id(self.path) or in_cache(self.path, self.revision):
            return None
        return (
            f"{self.slot}={self.name} is not on this disk: a run downloads {self.path} (revision {self.revision}) from "
            f"the hub; licence: {self.licence}"
        )

    def has_encoder(self) -> bool:
        """Whether the model's config says `is_encoder_decoder`."""
        config = json.loads(self._configuration_file().read_text(encoding="utf-8"))
        return bool(config.get("is_encoder_decoder", False))

    def _configuration_file(self) -> Path:
        if self.path is None:
            raise ConfigError(
                f"{self.slot}={self.name} needs a model: give {self.slot}.path=FOLDER or {self.slot}.path=HUB_ID"
            )
        if Path(self.path).is_dir():
            if not (Path(self.path) / "config.json").is_file():
                raise ModelError(
                    f"{self.slot}.path={self.path} has no config.json, so it is not a Hugging Face model folder"
                )
            return Path(self.path) / "config.json"
        if not is_hub_id(self.path):
            raise ModelError(f"{self.slot}.path={self.path}: there is no such folder")
        return Path(hub_file(self.path, self.revision, self.slot))


@lru_cache(maxsize=16)
def _look_into(source: PretrainedStudent, folder: Path, stamps: Stamps) -> None:
    """Looks at window and tokenizer once per process; with new `stamps` again. Raises ModelError as `check` does."""
    setting = f"{source.slot}.path={source.path}"
    refuse_beyond_window(source.settled().max_length, window_of(folder, setting), source.slot, str(source.path))
    refuse_misfit(source.tokenizer(), folder, setting)


def _say_whether_tied(network: PreTrainedModel) -> None:
    """Corrects `tie_word_embeddings`: every T5's config says True, which would overwrite T5 1.1's output embedding."""
    head: Any = network.get_output_embeddings()  # type: ignore[no-untyped-call]
    embeddings: Any = network.get_input_embeddings()
    if head is not None and head.weight is not embeddings.weight:
        network.config.tie_word_embeddings = False


def refuse_small(settings: object, *names: str) -> None:
    """Raises ValueError if a setting with one of these names is below 1."""
    for name in names:
        if getattr(settings, name) < 1:
            raise ValueError(f"{name}={getattr(settings, name)} must be at least 1")


def refuse_window(max_length: int, max_new_tokens: int) -> None:
    """Raises ValueError if `max_new_tokens` is below 1 or leaves no room for a prompt in `max_length`."""
    if not 1 <= max_new_tokens < max_length:
        raise ValueError(
            f"max_new_tokens={max_new_tokens} must be at least 1 and leave room for a prompt in max_length={max_length}"
        )


def _folder_hash(folder: Path, slot: str) -> str:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelError(f"{slot}.path={folder} holds no *.safetensors weights")
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
    files = [*weights, *(folder / name for name in names if (folder / name).is_file())]
    return _content_hash(stamps_of(files))


@lru_cache(maxsize=16)
def _content_hash(stamps: Stamps) -> str:
    """The files' names and bytes; size and time are in the key so that a changed file is read again."""
    digest = hashlib.sha256()
    for file, _, _ in stamps:
        digest.update(Path(file).name.encode())
        with open(file, "rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
