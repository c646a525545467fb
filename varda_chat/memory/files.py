"""Private files that survive a crash: folders 0700, files 0600, replacement of a file all or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from varda_chat.errors import StorageError

DATABASE = "memory.db"
INDEX = "memory.faiss"
LOCK = "memory.lock"
BACKUPS = "backups"
COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the end of the name."""


def utc_stamp() -> str:
    """The time now for file names, such as ``20260729T181500Z``."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def unused(path: Path) -> Path:
    """``path``, or where it exists the first of ``name-2.ext``, ``name-3.ext``, ... that does not."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def beside(path: Path, ending: str) -> Path:
    """The file whose name is ``path``'s with ``ending`` after it."""
    return path.with_name(path.name + ending)


def make_private_folder(folder: Path) -> None:
    """Create ``folder`` and its missing parents as 0700, or tighten ``folder`` to that. Raises OSError."""
    if not folder.is_dir():
        for parent in reversed(folder.parents):
            if not parent.exists():
                parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)
    with suppress(PermissionError):  # another user's folder, which we may yet be allowed to write
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)


def make_private_file(path: Path) -> None:
    """Create an empty ``path`` as 0600 where there is none, else tighten it. Raises OSError."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        # not opened: closing a database by another way than SQLite's drops the locks this process has on it
        with suppress(PermissionError):
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)


def refuse_links(folder: Path) -> None:
    """Raise StorageError where a file of the memory in ``folder`` is a link: what it leads to is not ours to write."""
    database = folder / DATABASE
    for path in (database, *(beside(database, ending) for ending in COMPANIONS), folder / LOCK, folder / BACKUPS):
        if path.is_symlink():
            raise StorageError(f"{path} is a link; the files of a memory lie in its own folder. Move it there.")


def sync_folder(folder: Path) -> None:
    """Make renames and removals in ``folder`` durable (where the platform can open a folder)."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(path: Path, chunks: Iterable[Any]) -> None:
    """Write ``chunks`` of bytes as ``path``, 0600; a crash leaves the old file or the new. Raises OSError."""
    temporary = beside(path, ".new")
    temporary.unlink(missing_ok=True)  # left by a kill, or a link put there
    try:
        make_private_file(temporary)
        with temporary.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
