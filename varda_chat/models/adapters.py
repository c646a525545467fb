"""Adapter checkpoints: a base model's LoRA and the memory's parts, merged with the base into one file that a chat maps.

An adapter checkpoint is a directory with

- config.json: the final model's configuration, and ``"base": {"name", "revision", "sha256"}``
- memory.safetensors: the memory's parts as full tensors, named as in the final model
- adapter_config.json and adapter_model.safetensors: LoRA as PEFT saves it (may be missing)
- known_replies.jsonl: what the model may say by heart, with a line each (may be missing)
- tokenizer.json and other files of the final model, where they differ from the base's

Importing this module loads neither torch nor transformers; merging loads torch.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varda_chat.errors import CheckpointError
from varda_chat.models.bases import WEIGHTS, Base, base_of, check_digest, resolve_base, source_digest
from varda_chat.models.model_cache import (
    Entry,
    Progress,
    cached,
    directory_name,
    entries,
    intact,
    models_dir,
    remove,
    sha256_of,
)

if TYPE_CHECKING:
    import torch

MEMORY = "memory.safetensors"
LORA_CONFIG = "adapter_config.json"
LORA = "adapter_model.safetensors"
KNOWN_REPLIES = "known_replies.jsonl"
_COPIED = (
    KNOWN_REPLIES,
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
"""Taken from the adapter, else from the base."""
_SOURCES = ("config.json", MEMORY, LORA_CONFIG, LORA, "README.md", *_COPIED)
_UNSUPPORTED = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias", "target_parameters")
"""Settings of PEFT that change what a merge is, and that we do not train with."""


@dataclass(frozen=True)
class _Lora:
    """The settings of PEFT that a merge needs."""

    alpha: float
    transposed: bool
    """Whether the base's weights are (in, out), as GPT-2's are."""
    root: bool
    """Whether the scaling divides by the root of the rank."""

    def scaling(self, rank: int) -> float:
        return self.alpha / (math.sqrt(rank) if self.root else rank)


def base_needed(directory: Path) -> Base | None:
    """The base that the checkpoint in ``directory`` needs, or None for a complete model. Raises CheckpointError."""
    config = _read_json(directory / "config.json")
    return base_of(config["base"]) if "base" in config else None


def complete_checkpoint(
    directory: Path,
    base_directory: Path | None = None,
    on_progress: Progress | None = None,
    *,
    cache: Path | None = None,
    download: bool = True,
) -> Path:
    """``directory`` for a complete model; for an adapter, the directory it is merged into with its base.

    A merge in the cache is used without looking for the base, unless ``base_directory`` names one. Raises
    CheckpointError and StorageError as ``resolve_base`` and ``merged_checkpoint`` do.
    """
    base = base_needed(directory)
    if base is None:
        return directory
    if base_directory is None:
        found = find_merged(directory, base, cache=cache)
        if found is not None:
            return found.directory
    base_dir = resolve_base(base, base_directory, on_progress, cache=cache, download=download)
    return merged_checkpoint(directory, base_dir, on_progress, cache=cache)


def find_merged(adapter_dir: Path, base: Base, *, cache: Path | None = None) -> Entry | None:
    """The intact merge of an adapter with any accepted weights of ``base``, or None."""
    digest = adapter_digest(adapter_dir)
    found = (intact(_merged_dir(adapter_dir, digest, each, cache)) for each in base.digests)
    return next((entry for entry in found if entry is not None), None)


def adapter_digest(directory: Path) -> str:
    """A SHA-256 over all files of an adapter checkpoint that shape the merged model. Raises CheckpointError."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        if (directory / name).is_file():
            digest.update(f"{name} {sha256_of(directory / name)}\n".encode())
    return digest.hexdigest()


def merged_checkpoint(
    adapter_dir: Path, base_dir: Path, on_progress: Progress | None = None, *, cache: Path | None = None
) -> Path:
    """The directory, in the cache, of the adapter in ``adapter_dir`` merged with the base in ``base_dir``.

    LoRA is merged in float32; the base's weights are saved as bf16, the memory's parts as float32. Earlier merges of
    the same ``adapter_dir`` are deleted. Raises CheckpointError where the two do not fit or a file is damaged,
    StorageError where the disk refuses.
    """
    base = base_needed(adapter_dir)
    if base is None:
        raise CheckpointError(f"{adapter_dir} is a complete model, not an adapter.")
    base_digest = source_digest(base_dir)
    check_digest(base, base_dir, base_digest)
    digest = adapter_digest(adapter_dir)
    name = adapter_dir.resolve().name
    say = on_progress or (lambda _: None)

    def build(directory: Path) -> None:
        say(f"Merging {name} with {base.name} ...")
        _merge(adapter_dir, base_dir, directory)

    merged = cached(
        _merged_dir(adapter_dir, digest, base_digest, cache),
        build,
        kind="merged",
        name=name,
        sources={"adapter": digest, "base": base_digest, "adapter_dir": str(adapter_dir.resolve())},
        on_progress=on_progress,
    )
    for entry in merges_of(adapter_dir, cache):
        if entry.sources.get("adapter") != digest:
            remove(entry.directory)
    return merged


def merges_of(adapter_dir: Path, cache: Path | None = None) -> list[Entry]:
    """All intact merges of what was in ``adapter_dir`` when they were made."""
    place = str(adapter_dir.resolve())
    return [each for each in entries(cache) if each.kind == "merged" and each.sources.get("adapter_dir") == place]


def _merged_dir(adapter_dir: Path, adapter: str, base: str, cache: Path | None) -> Path:
    return models_dir(cache) / directory_name("merged", adapter_dir.resolve().name, adapter, base)


def _merge(adapter_dir: Path, base_dir: Path, directory: Path) -> None:
    """Write the merged model to ``directory``."""
    from safetensors.torch import save_file

    config = _read_json(adapter_dir / "config.json")
    config["varda_base"] = config.pop("base")
    weights = _merged_weights(adapter_dir, base_dir)
    save_file(weights, directory / WEIGHTS, metadata={"format": "pt"})
    (directory / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for name in _COPIED:
        place = next((each for each in (adapter_dir, base_dir) if (each / name).is_file()), None)
        if place is not None:
            shutil.copyfile(place / name, directory / name)
    if (adapter_dir / "README.md").is_file():
        shutil.copyfile(adapter_dir / "README.md", directory / "README.md")


def _merged_weights(adapter_dir: Path, base_dir: Path) -> dict[str, torch.Tensor]:
    import torch

    weights = _tensors(base_dir / WEIGHTS)
    for module, delta in _deltas(adapter_dir).items():
        name = f"{module}.weight"
        if name not in weights:
            raise CheckpointError(f"{adapter_dir / LORA} changes {module}, which the base in {base_dir} does not have.")
        if weights[name].shape != delta.shape:
            raise CheckpointError(
                f"{adapter_dir / LORA} does not fit the base in {base_dir}: {name} is {tuple(weights[name].shape)}, "
                f"its change {tuple(delta.shape)}."
            )
        weights[name] = weights[name].float() + delta
    for name, tensor in weights.items():
        weights[name] = tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor
    return weights | {name: tensor.float() for name, tensor in _tensors(adapter_dir / MEMORY).items()}


def _deltas(adapter_dir: Path) -> dict[str, torch.Tensor]:
    """What LoRA adds to the weight of each module, in float32: scaling * B (out, r) @ A (r, in)."""
    if not (adapter_dir / LORA).is_file():
        return {}
    lora = _lora_settings(adapter_dir / LORA_CONFIG)
    halves: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in _tensors(adapter_dir / LORA).items():
        module, _, half = key.removesuffix(".weight").removeprefix("base_model.model.").rpartition(".")
        if half not in ("lora_A", "lora_B") or tensor.ndim != 2 or not key.startswith("base_model.model."):
            raise CheckpointError(f"{adapter_dir / LORA} holds {key}, which is no LoRA weight of a linear layer.")
        halves.setdefault(module, {})[half] = tensor.float()
    deltas = {}
    for module, pair in halves.items():
        if len(pair) != 2 or pair["lora_B"].shape[1] != pair["lora_A"].shape[0]:
            raise CheckpointError(f"{adapter_dir / LORA} is damaged: the two halves of {module} do not fit.")
        delta = pair["lora_B"] @ pair["lora_A"]
        deltas[module] = (delta.T if lora.transposed else delta) * lora.scaling(pair["lora_A"].shape[0])
    return deltas


def _lora_settings(path: Path) -> _Lora:
    config = _read_json(path)
    used = [name for name in _UNSUPPORTED if config.get(name)]
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or used:
        what = used[0] if used else "another method than LoRA without biases"
        raise CheckpointError(f"{path} cannot be merged: it uses {what}.")
    alpha = config.get("lora_alpha")
    if not isinstance(alpha, int | float):
        raise CheckpointError(f"{path} has no lora_alpha.")
    return _Lora(float(alpha), bool(config.get("fan_in_fan_out")), bool(config.get("use_rslora")))


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except Exception as error:  # safetensors raises a class of its own, straight from Rust
        text = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise CheckpointError(f"The weights in {path} cannot be read: {text}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{path} cannot be read: it holds no JSON object.")
    return dict(found)
