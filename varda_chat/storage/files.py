"""Private files that survive a crash: directories 0700, files 0600, flushed to disk, replaced all or nothing.

Imports nothing heavy.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from varda_chat.errors import StorageError
from varda_chat.storage.regular import BINARY, check_regular

DATABASE = "memory.db"
INDEX = "memory.faiss"
LOCK = "memory.lock"
BACKUPS = "backups"
COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the end of the name."""
_OWN = re.compile(r"(?:memory\.(?:db|faiss|lock|suspect)|sessions\.db|history\.jsonl)(?:[.-].*)?", re.IGNORECASE)
"""Names of a profile's own files, with their companions and what is set aside of them."""
UNFINISHED = ".varda-*.new"
"""Names of files that ``replace_file`` had not finished when a kill came."""
_OWN_BACKUP = re.compile(r"memory-.*\.db(?:[.-].*)?", re.IGNORECASE)


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


def make_private_directory(directory: Path) -> None:
    """Create ``directory`` and its missing parents as 0700, or tighten ``directory`` to that. Raises OSError."""
    if not directory.is_dir():
        for parent in reversed(directory.parents):
            if not parent.exists():
                parent.mkdir(mode=0o700, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        to_disk(directory.parent)
    with suppress(PermissionError):  # another user's directory, which we may yet be allowed to write
        if directory.stat().st_mode & 0o077:
            directory.chmod(0o700)


def make_private_file(path: Path) -> None:
    """Create an empty ``path`` as 0600 where there is none, else tighten it. Raises OSError."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        # not opened: closing a database by another way than SQLite's drops the locks this process has on it
        with suppress(PermissionError):
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)


def refuse_links(directory: Path) -> None:
    """Raise StorageError where a file of the memory in ``directory`` is a link, NotRegularError where it is a pipe or a
    device: what it leads to is not ours to write."""
    database = directory / DATABASE
    files = (database, *(beside(database, ending) for ending in COMPANIONS), directory / LOCK)
    for path in (*files, directory / BACKUPS):
        if path.is_symlink():
            raise StorageError(f"{path} is a link; the files of a memory lie in its own folder. Move it there.")
    for path in files:
        check_regular(path)


def check_target(path: Path) -> None:
    """Raise StorageError where a file that a person asks for must not be written as ``path``: over a file of a memory,
    a directory or a device. Raises OSError as ``stat`` does."""
    directory = path.parent.resolve()
    of_backups = directory.name == BACKUPS
    home = directory.parent if of_backups else directory
    if any((home / name).exists() for name in (DATABASE, LOCK, "sessions.db")):
        names = _OWN_BACKUP if of_backups else _OWN
        if names.fullmatch(path.name):
            raise StorageError(f"{path} belongs to a memory; choose another file to write to.")
    check_regular(path)


def replace_file(path: Path, chunks: Iterable[Any], *, temporary: Path | None = None) -> None:
    """Write ``chunks`` of bytes as ``path``, 0600; a crash leaves the old file or the new. A link at ``path`` is
    replaced, not followed.

    temporary: a name of our own to write under until the file is whole, of which what a kill left is cleared; None for
    one in the same directory that nothing can have. Raises OSError.
    """
    if temporary is None:
        temporary = path.with_name(UNFINISHED.replace("*", secrets.token_hex(16)))
    else:
        temporary.unlink(missing_ok=True)  # left by a kill, or a link put there
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | BINARY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    to_disk(path.parent)


def to_disk(path: Path) -> None:
    """Make what was written to the file ``path``, or renamed and removed in the directory ``path``, durable;
    directories where the platform can open them. Raises OSError."""
    is_directory = path.is_dir()
    try:
        # Windows flushes only what is open for writing, and opens no directory
        handle = os.open(path, os.O_RDONLY if is_directory else os.O_RDWR)
    except PermissionError:
        if is_directory:
            return
        raise
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
