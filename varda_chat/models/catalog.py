"""The models there are to choose from: those shipped, those in the data directory, and those that were used before."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

from varda_chat.config import paths
from varda_chat.errors import CheckpointError, StorageError
from varda_chat.text import one_line, sanitize

BUNDLED = ""
"""What the model that a chat opens where none is named is called in settings."""
DIRECTORY = "checkpoints"
"""Where in the data directory a person's own models are looked for."""
_USED = "models-used.json"
_MOST_USED = 12
_CARD_CHARACTERS = 20_000
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_LARGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class Model:
    """A model, as far as its files tell. ``source``: directory, hub id, a shipped model's name or BUNDLED;
    ``directory``: None where it must be fetched; ``bytes``: of the weights; ``card``: its title and first paragraph."""

    source: str
    name: str
    directory: Path | None
    bytes: int = 0
    parameters: int = 0
    card: tuple[str, ...] = ()

    @property
    def folder(self) -> Path | None:
        """``directory``, as the screens call it."""
        return self.directory


def known(data_dir: Path, also: Iterable[str] = ()) -> tuple[Model, ...]:
    """The shipped models, the one that is opened first, those of the data directory's ``checkpoints``, those used
    before, and ``also``."""
    opened = paths.default_checkpoint()
    shipped = [name for name, place in paths.shipped_checkpoints().items() if place != opened]
    directory = data_dir / DIRECTORY
    own = sorted(str(each.parent) for each in directory.glob("*/config.json")) if directory.is_dir() else []
    sources = dict.fromkeys([BUNDLED, *shipped, *own, *also, *_used(data_dir)])
    return tuple(
        model for model in map(look, sources) if model.directory is not None or _HUB_ID.fullmatch(model.source)
    )


def look(source: str) -> Model:
    """What the files of ``source`` tell; 0 and nothing of those that are not there."""
    if source == BUNDLED:
        return _of_directory(source, paths.default_checkpoint().name, paths.default_checkpoint())
    shipped = paths.shipped_checkpoints().get(source)
    if shipped is not None:
        return _of_directory(source, source, shipped)
    directory = paths.expanded(source)
    return _of_directory(source, directory.name, directory) if directory.is_dir() else Model(source, source, None)


def note_used(data_dir: Path, source: str) -> None:
    """Remember that ``source`` was used. Raises StorageError where that cannot be written."""
    from varda_chat.storage.files import make_private_directory, replace_file

    used = [source, *(each for each in _used(data_dir) if each != source)][:_MOST_USED]
    try:
        make_private_directory(data_dir)
        replace_file(data_dir / _USED, [json.dumps(used).encode()])
    except OSError as error:
        raise StorageError(f"That {source} was used could not be noted: {error.strerror}.") from error


def fingerprint(model: Model) -> str:
    """The fingerprint of the weights, read from their file; "" where there is none. Raises CheckpointError."""
    if model.directory is None:
        return ""
    from varda_chat.models.checkpoint import fingerprint_of_file

    complete = _complete(model.directory)
    return "" if complete is None else fingerprint_of_file(complete)


def _complete(directory: Path) -> Path | None:
    """Where the whole model of ``directory`` is: there, or, for an adapter, where it has been merged with its base;
    None for one that has not been yet. Raises CheckpointError."""
    from varda_chat.models.adapters import base_needed, find_merged

    if not (directory / "config.json").is_file():
        return directory
    base = base_needed(directory)
    if base is None:
        return directory
    merged = find_merged(directory, base)
    return None if merged is None else merged.directory


def _of_directory(source: str, name: str, directory: Path) -> Model:
    try:
        weights = (_complete(directory) or directory) / "model.safetensors"
    except CheckpointError:
        weights = directory / "model.safetensors"
    try:
        size = weights.stat().st_size
        parameters = _parameters(weights)
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError):
        size = parameters = 0
    return Model(source, one_line(name, 60), directory, size, parameters, _card(directory))


def _parameters(weights: Path) -> int:
    """How many numbers a safetensors file says that it holds."""
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _LARGEST_HEADER:
            raise ValueError("no safetensors file")
        header = json.loads(file.read(length))
    return sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def _card(directory: Path) -> tuple[str, ...]:
    """The model card's title and first paragraph, as far as it has them."""
    try:
        with (directory / "README.md").open(encoding="utf-8", errors="replace") as file:
            text = sanitize(file.read(_CARD_CHARACTERS))
    except OSError:
        return ()
    if text.startswith("---\n"):
        text = text.partition("\n---\n")[2]
    blocks = [" ".join(block.split()) for block in text.split("\n\n")]
    return tuple(one_line(block.lstrip("# "), 500) for block in blocks if block and not block.startswith("|"))[:2]


def _used(data_dir: Path) -> list[str]:
    with suppress(OSError, ValueError):
        found = json.loads((data_dir / _USED).read_text("utf-8"))
        if isinstance(found, list):
            return [each for each in found if isinstance(each, str)]
    return []
