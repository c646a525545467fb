"""Loads checkpoints: a directory in Hugging Face layout, or a hub id, with a clear error for each way that can fail."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from varda_chat.config.defaults import LOADING_MINI
from varda_chat.config.paths import base_directory, bundled_checkpoint, default_checkpoint, shipped_checkpoints
from varda_chat.errors import CheckpointError
from varda_chat.models.adapters import KNOWN_REPLIES, base_needed, complete_checkpoint
from varda_chat.models.chat_format import ChatFormat, chat_format_of
from varda_chat.models.gpt2 import VardaGPTAssociative
from varda_chat.models.gpt2_configuration import VardaGPTConfig
from varda_chat.models.known_replies import KnownReplies, known_replies_of
from varda_chat.models.limits import check_weights, checked_config
from varda_chat.models.model_cache import MANIFEST, Progress, intact

WEIGHTS = "model.safetensors"
_HUB_FILES = ["*.json", KNOWN_REPLIES, "*.safetensors", "merges.txt", "README.md"]


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model with its chat format. ``fingerprint`` names the weights: vectors of another are never searched.
    ``known_replies``: what it may say by heart, None for a model that knows nothing so."""

    model: VardaGPTAssociative
    chat: ChatFormat
    name: str
    fingerprint: str
    known_replies: KnownReplies | None = None

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())


def load_checkpoint(source: str | Path, on_progress: Progress | None = None) -> Checkpoint:
    """Load ``source``, in evaluation mode, on the CPU; an adapter is merged with its base first, once. Raises
    CheckpointError."""
    import struct

    directory = named = _local_directory(source)
    try:
        config = checked_config(named)
        directory = complete_checkpoint(named, base_directory(), on_progress, download=False)
        if directory != named:
            config = checked_config(directory)
        kind = _architecture(config.get("model_type"))
        if kind is None:
            raise CheckpointError(f"{source} is not a varda-chat model: its config.json names another kind.")
        model_class, dtype = kind
        check_weights(directory, config)
        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        chat = chat_format_of(tokenizer)
        model, report = model_class.from_pretrained(
            directory, local_files_only=True, dtype=dtype, output_loading_info=True, use_safetensors=True
        )
        if report["missing_keys"]:
            raise CheckpointError(f"The checkpoint in {directory} lacks weights ({sorted(report['missing_keys'])[0]}).")
        model.eval()
        known = known_replies_of(model, chat, directory)
    except CheckpointError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise CheckpointError(f"The checkpoint in {directory} cannot be read: {_first_line(error)}") from error
    except Exception as error:
        # tokenizers and safetensors raise classes of their own, straight from Rust
        if type(error).__module__.split(".")[0] not in {
            "builtins",
            "huggingface_hub",
            "safetensors",
            "safetensors_rust",
        }:
            raise
        raise CheckpointError(f"The checkpoint in {directory} cannot be read: {_first_line(error)}") from error
    if tokenizer.get_vocab_size() > model.config.vocab_size:
        raise CheckpointError(
            f"The checkpoint in {directory} cannot be used: its tokenizer knows more tokens than the model."
        )
    name = named.resolve().name if named.name == str(source) or Path(source).expanduser().is_dir() else str(source)
    return Checkpoint(model, chat, name, _recorded_fingerprint(directory) or fingerprint(model), known)


def load_default(on_progress: Progress | None = None) -> tuple[Checkpoint, str]:
    """The default model, or mini where its base cannot be had; and a line that says so, "" for none."""
    chosen = default_checkpoint()
    try:
        return load_checkpoint(chosen, on_progress), ""
    except CheckpointError as error:
        if chosen == bundled_checkpoint() or base_needed(chosen) is None:
            raise
        reason = _first_line(error)
    if on_progress is not None:
        on_progress(LOADING_MINI)
    return load_checkpoint(bundled_checkpoint()), f"Using the small model, mini: {reason}"


def _architecture(model_type: object) -> tuple[Any, torch.dtype] | None:
    """The class of a ``model_type`` and what its weights are computed in; None for one that is not ours."""
    if model_type == VardaGPTConfig.model_type:
        return VardaGPTAssociative, torch.float32
    if model_type == "varda_llama":
        from varda_chat.models.llama import VardaLlamaAssociative

        return VardaLlamaAssociative, torch.bfloat16
    if model_type == "varda_qwen2":
        from varda_chat.models.qwen2 import VardaQwenAssociative

        return VardaQwenAssociative, torch.bfloat16
    if model_type == "varda_qwen3":
        from varda_chat.models.qwen3 import VardaQwen3Associative

        return VardaQwen3Associative, torch.bfloat16
    return None


def fingerprint(model: VardaGPTAssociative) -> str:
    """A hash of all weights (hexadecimal, 16 digits)."""
    return _digest(model.state_dict())


def fingerprint_of_file(directory: Path) -> str:
    """The ``fingerprint`` of the model in ``directory``, without building it. Raises CheckpointError."""
    from safetensors.torch import load_file

    recorded = _recorded_fingerprint(directory)
    if recorded:
        return recorded
    try:
        weights = load_file(directory / WEIGHTS)
    except Exception as error:  # safetensors raises a class of its own, straight from Rust
        raise CheckpointError(f"The weights in {directory} cannot be read: {_first_line(error)}") from error
    for embeddings in ("transformer.wte.weight", "model.embed_tokens.weight"):
        if embeddings in weights:  # a head that shares the embeddings' weights is not saved
            weights.setdefault("lm_head.weight", weights[embeddings])
    return _digest(weights)


def _recorded_fingerprint(directory: Path) -> str:
    """The fingerprint of a merged model in the cache, whose manifest has the digest of its weights: hashing them again
    would take most of the time of loading it. "" for any other directory."""
    entry = intact(directory) if (directory / MANIFEST).exists() else None
    if entry is None or entry.kind != "merged" or WEIGHTS not in entry.files:
        return ""
    return entry.files[WEIGHTS][1][:16]


def _digest(weights: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _local_directory(source: str | Path) -> Path:
    """The directory of ``source``, fetched from the hub where it is no directory here."""
    try:
        path = shipped_checkpoints().get(str(source)) or Path(source).expanduser()
        if path.is_dir():
            return path
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"The checkpoint folder {source} cannot be used: {_first_line(error)}") from error
    if isinstance(source, Path) or path.is_absolute() or str(source).count("/") != 1 or str(source).startswith("."):
        raise CheckpointError(f"There is no checkpoint folder {source}.")
    return fetched(source)


def fetched(source: str | Path) -> Path:
    """The directory ``source``, or that of the hub repository ``source``, fetched or from the hub's cache. Raises
    CheckpointError."""
    if Path(source).expanduser().is_dir():
        return Path(source).expanduser()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(source), allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"There is no folder {source}, and the model hub could not give it ({_first_line(error)}). "
            "Give a local folder, or try again with a network."
        ) from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
