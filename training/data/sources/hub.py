"""A dataset of the Hugging Face hub, or a directory in its layout, read by the ``datasets`` library, row by row."""

from __future__ import annotations

import hashlib
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from training.data.sources.documents import BadLines, Document, Source, Split
from training.data.sources.fetching import checksum
from training.data.sources.own_text import document_of
from training.data.sources.wikitext import CHECKSUMS
from varda_chat.config.installer import install_command
from varda_chat.errors import DataError

_SPLITS: Final[dict[str, Split]] = {
    "train": "train", "validation": "validation", "valid": "validation", "dev": "validation", "test": "test",
}  # fmt: skip


def hub_source(name: str, say: Callable[[str], None]) -> Any:
    """The source ``OWNER/DATASET`` or ``OWNER/DATASET/CONFIG``, or a local directory. Raises DataError."""
    parts = name.split("/")
    config: str | None = None
    if not Path(name).is_dir() and len(parts) == 3:
        name, config = "/".join(parts[:2]), parts[2]
    say(f"Reading {name} by the datasets library …")
    found = _loaded(name, config)
    licence = str(next(iter(found.values())).info.license or "see the dataset's page")
    official = {_SPLITS[split] for split in found if split in _SPLITS}
    stamp = hashlib.blake2b(repr([(s, d._fingerprint) for s, d in found.items()]).encode(), digest_size=8).hexdigest()
    return Source(
        name=Path(name).name if Path(name).is_dir() else name, licence=licence, attribution=f"Hugging Face hub: {name}",
        files=(), read=lambda bad: _documents(found, name, bad),
        open_splits=tuple(s for s in ("train", "validation", "test") if s == "train" or s not in official), stamp=stamp,
    )  # fmt: skip


def _loaded(name: str, config: str | None) -> Any:
    """The splits of a dataset by name, mapped from files on disk."""
    try:
        import datasets
    except ImportError as error:
        how = install_command("varda-chat[hub]")
        raise DataError(f"Datasets of the hub need the datasets library: {how}.") from error
    datasets.disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return datasets.load_dataset(name, config)
    except Exception as error:  # the library raises dozens of classes, of other libraries too
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"The dataset {name} cannot be had ({reason[:200]}).") from error


def reachable() -> bool:
    """Whether the hub answers, so that nobody waits for retries without a network."""
    try:
        socket.create_connection(("huggingface.co", 443), timeout=5).close()
    except OSError:
        return False
    return True


def wikitext_from_hub(directory: Path, name: str = "Salesforce/wikitext", config: str | None = "wikitext-2-v1") -> None:
    """Write WikiText-2's files into ``directory`` from the hub, where each line is a row and blank ones are empty.
    Raises DataError where they are not what they were."""
    found = _loaded(name, config)
    directory.mkdir(parents=True, exist_ok=True)
    for path, split in zip(map(directory.joinpath, CHECKSUMS), ("train", "validation", "test"), strict=True):
        part = path.with_name(path.name + ".part")
        with part.open("w", encoding="utf-8", newline="") as file:
            file.writelines(row["text"] or " \n" for row in found[split])
        if checksum(part) != CHECKSUMS[path.name]:
            part.unlink()
            raise DataError(f"{name} on the hub is not what it was: {path.name} has another SHA-256. It was not kept.")
        part.replace(path)


def _documents(found: Any, name: str, bad: BadLines) -> Iterator[Document]:
    for split, rows in found.items():
        for number, row in enumerate(rows, 1):
            key = f"{split}-{number}"
            try:
                yield document_of(key, row, _SPLITS.get(split))
            except (ValueError, TypeError, KeyError, AttributeError, StopIteration) as error:
                bad.note(f"{name} ({split})", number, f"neither text nor dialogue ({error})")
