"""A cache of model directories that can be rebuilt: each is written whole or not at all, and checked when it is reused.

An entry is built in a temporary directory beside its final place, gets a manifest with the size and SHA-256 of each of
its files, is flushed to disk and renamed. One process builds an entry; others wait for it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from varda_chat.config import paths
from varda_chat.errors import CheckpointError, StorageError
from varda_chat.storage.files import to_disk

MANIFEST = "manifest.json"
_FORMAT = 1

Progress = Callable[[str], None]
"""Called with one sentence for each step that takes time."""


@dataclass(frozen=True)
class Entry:
    """A cached directory as its manifest describes it.

    ``kind``: "base" or "merged"; ``name``: of the model; ``sources``: what it was built from, such as digests;
    ``files``: (bytes, SHA-256) of each.
    """

    directory: Path
    kind: str
    name: str
    sources: Mapping[str, str]
    files: Mapping[str, tuple[int, str]]

    @property
    def bytes(self) -> int:
        return sum(size for size, _ in self.files.values())


def models_dir(cache: Path | None = None) -> Path:
    """Where entries are kept: ``models`` in ``cache``, by default in the user's cache directory."""
    return (paths.cache_dir() if cache is None else cache) / "models"


def directory_name(kind: str, name: str, *digests: str) -> str:
    """The name of an entry's directory: what it is, and the beginnings of the digests it was built from."""
    plain = "".join(each if each.isalnum() or each in "_-" else "-" for each in name).strip("-")[:40]
    return "-".join([kind, plain or "model", *(digest[:16] for digest in digests)])


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal. Raises CheckpointError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error


def read_entry(directory: Path) -> Entry:
    """The entry in ``directory``; sizes are checked, digests are not. Raises CheckpointError for a damaged one."""
    manifest = directory / MANIFEST
    try:
        found: Any = json.loads(manifest.read_text(encoding="utf-8"))
        if found["format"] != _FORMAT:
            raise CheckpointError(f"{manifest} has a format that this version does not know.")
        files = {str(name): (int(each["bytes"]), str(each["sha256"])) for name, each in found["files"].items()}
        sources = {str(key): str(value) for key, value in found["sources"].items()}
        entry = Entry(directory, str(found["kind"]), str(found["name"]), sources, files)
    except FileNotFoundError as error:
        raise CheckpointError(f"{manifest} is missing.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{manifest} cannot be read.") from error
    for name, (size, _) in files.items():
        try:
            actual = (directory / name).stat().st_size
        except OSError as error:
            raise CheckpointError(f"{directory / name} is missing.") from error
        if actual != size:
            raise CheckpointError(f"{directory / name} has {actual:,} bytes, not {size:,}.")
    return entry


def intact(directory: Path) -> Entry | None:
    """The entry in ``directory``, or None where it is missing or damaged."""
    try:
        return read_entry(directory)
    except CheckpointError:
        return None


def verify(directory: Path) -> Entry:
    """Read every byte of the entry in ``directory``. Raises CheckpointError where a file differs from the manifest."""
    entry = read_entry(directory)
    for name, (_, digest) in entry.files.items():
        if sha256_of(directory / name) != digest:
            raise CheckpointError(f"{directory / name} is damaged: its SHA-256 is not the manifest's.")
    return entry


def entries(cache: Path | None = None) -> list[Entry]:
    """The intact entries, by name of directory."""
    return [entry for entry in map(intact, directories(cache)) if entry is not None]


def cached(
    directory: Path,
    build: Callable[[Path], None],
    *,
    kind: str,
    name: str,
    sources: Mapping[str, str],
    on_progress: Progress | None = None,
) -> Path:
    """``directory``, where it is intact, else after ``build`` has filled it.

    ``build`` gets an empty directory to write files into. Raises StorageError where the disk refuses, and what
    ``build`` raises; neither leaves anything behind.
    """
    if intact(directory) is not None:
        return directory
    say = on_progress or (lambda _: None)
    with _writing(directory):
        _make_private(directory.parent)
        with _locked(directory, say):
            if intact(directory) is not None:  # another process was faster
                return directory
            _remove_temporary(directory)
            if directory.exists():
                say(f"Rebuilding the cached copy of {name}. {_damage(directory)}")
            temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", suffix=".new", dir=directory.parent))
            try:
                build(temporary)
                _finish(temporary, kind, name, sources)
                _discard(directory)
                temporary.rename(directory)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            to_disk(directory.parent)
    return directory


def remove(directory: Path, on_progress: Progress | None = None) -> None:
    """Delete an entry, damaged or not, and what killed processes left of it. Raises StorageError."""
    with _writing(directory), _locked(directory, on_progress or (lambda _: None)):
        _remove_temporary(directory)
        _discard(directory)


def directories(cache: Path | None = None) -> list[Path]:
    """The directory of each entry, intact, damaged, or begun by a process that was killed."""
    root = models_dir(cache)
    names = {each.name for each in (root.iterdir() if root.is_dir() else ()) if each.is_dir()}
    return sorted({root / (name[1:].rsplit(".", 2)[0] if name.startswith(".") else name) for name in names})


def bytes_used(directory: Path) -> int:
    """Bytes on disk of the entry in ``directory``, whatever its state."""
    places = [directory, *directory.parent.glob(f".{directory.name}.*.*")]
    return sum(path.stat().st_size for place in places for path in place.rglob("*") if path.is_file())


def _finish(directory: Path, kind: str, name: str, sources: Mapping[str, str]) -> None:
    """Write the manifest and flush everything to disk."""
    files = {}
    for path in sorted(directory.iterdir()):
        files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    manifest = {"format": _FORMAT, "kind": kind, "name": name, "sources": dict(sources), "files": files}
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    for path in directory.iterdir():
        to_disk(path)
    to_disk(directory)


def _make_private(directory: Path) -> None:
    """Create ``directory`` and its missing parents, for this user only: the data directory may be among them."""
    for place in (*reversed(directory.parents), directory):
        if not place.exists():
            place.mkdir(mode=0o700, exist_ok=True)


def _discard(directory: Path) -> None:
    """Delete ``directory``, renamed first, so that no half of it is ever found under its name."""
    if directory.exists():
        trash = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", suffix=".old", dir=directory.parent))
        directory.rename(trash / directory.name)
        shutil.rmtree(trash, ignore_errors=True)


def _remove_temporary(directory: Path) -> None:
    """Delete what a killed process left of this entry; only its lock's holder may."""
    for ending in ("new", "old"):
        for path in directory.parent.glob(f".{directory.name}.*.{ending}"):
            shutil.rmtree(path, ignore_errors=True)


def _damage(directory: Path) -> str:
    try:
        read_entry(directory)
    except CheckpointError as error:
        return str(error)
    return ""


@contextmanager
def _locked(directory: Path, say: Progress) -> Iterator[None]:
    """Hold the entry's lock, which the system releases however this process ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(directory.with_name(f".{directory.name}.lock"), mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("Waiting for another varda-chat, which is preparing the same model.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """Turn what the disk refuses into a StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{directory} could not be written: {error.strerror or error}.") from error
    except Exception as error:
        # safetensors raises a class of its own, straight from Rust, for a full disk too
        if type(error).__name__ != "SafetensorError":
            raise
        raise StorageError(f"{directory} could not be written: {str(error).splitlines()[0]}.") from error
