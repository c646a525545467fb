"""Connections to a SQLite database: durable for its one writer, harmless for readers; what their errors mean, and
indexes that a flipped bit has parted from their tables."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from varda_chat.errors import MemoryDamagedError, StorageError
from varda_chat.storage.files import beside, make_private_file, to_disk
from varda_chat.storage.regular import check_regular

BUSY_SECONDS = 5.0
"""How long a statement waits for another connection's lock."""

WAY_OUT = "or chat with --incognito, which stores nothing, or on another disk with --data-dir."
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Connection(sqlite3.Connection):
    """One for which damage is sqlite3.DatabaseError, also where SQLite's message quotes damaged bytes."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError as error:
            damage = sqlite3.DatabaseError("a name in its schema is no text")
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage from error


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open ``path`` for writing, creating it 0600: a COMMIT that returns is on the disk, a deleted text is
    not.

    Usable from any thread, by one at a time. Raises NotRegularError, OSError and sqlite3.Error.
    """
    check_regular(path)
    make_private_file(path)
    to_disk(path.parent)
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, factory=Connection)
    db.text_factory = _text
    try:
        # where the file system has no shared memory, this leaves a journal, which is as durable
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")  # macOS' fsync does not reach the disk without it
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        db.close()
        raise
    return db


def connect_reader(path: Path, *, in_use: bool = False) -> sqlite3.Connection:
    """Open ``path`` for reading, leaving no new file beside it; ``in_use`` where this process is writing it.

    Raises sqlite3.Error, also where there is no such file; NotRegularError, OSError.
    """
    check_regular(path)
    # a reader of a database in WAL mode makes the companions it needs, unless told that nothing changes the
    # file; and without companions nobody has it open
    quiet = not in_use and not any(beside(path, ending).exists() for ending in ("-wal", "-journal"))
    mode = "mode=ro&immutable=1" if quiet else "mode=ro"
    db = sqlite3.connect(
        f"{path.resolve().as_uri()}?{mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )
    db.text_factory = _text
    return db


def connect_copy(path: Path | None) -> sqlite3.Connection:
    """A copy in RAM of ``path`` as it is now, an empty one where it is None. Raises sqlite3.Error."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=Connection)
    copy.text_factory = _text
    try:
        if path is not None:
            with closing(connect_reader(path)) as source:
                source.backup(copy)
        copy.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        copy.close()
        raise
    return copy


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")  # one broken character must not hide a whole memory


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block, durably, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite has already rolled back after some errors
            with suppress(sqlite3.Error):  # the first error is the one to tell
                db.execute("ROLLBACK")
        raise


def is_damage(error: sqlite3.Error) -> bool:
    """Whether ``error`` says that the file is not an intact database."""
    return error_code(error) in _DAMAGE


def error_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code of ``error``, 0 for one that Python raised."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


@contextmanager
def disk_errors(what: str, name: str = "memory.db") -> Iterator[None]:
    """Turn what the disk refuses to the database ``name`` into one line: ``what`` ("The turn was not stored") and why.

    Raises StorageError, or MemoryDamagedError where the database turns out not to be intact.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise MemoryDamagedError(
                f"{what}: {name} is damaged ({error}). Start varda-chat again to have it set aside and saved."
            ) from error
        if not isinstance(error, sqlite3.OperationalError):
            raise
        raise StorageError(f"{what}: {_reason_of_sqlite(error, name)}") from error
    except OSError as error:
        raise StorageError(f"{what}: {_reason_of_os(error)}") from error


def _reason_of_sqlite(error: sqlite3.Error, name: str) -> str:
    code = error_code(error)
    if code == sqlite3.SQLITE_FULL:
        return f"the disk is full. Free some space and try again, {WAY_OUT}"
    if code == sqlite3.SQLITE_IOERR:
        return f"the disk did not take it ({error}). It may be full or failing: free some space, {WAY_OUT}"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return f"{name} cannot be opened for it ({error}). Check the permissions of its folder, {WAY_OUT}"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another program is using {name}. Close it and try again."
    return f"{error}."


def _reason_of_os(error: OSError) -> str:
    if error.errno in _FULL:
        return f"the disk is full. Free some space and try again, {WAY_OUT}"
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in _REFUSED:
        return f"{error.strerror}{where}. Check the permissions of the folder, {WAY_OUT}"
    return f"{error.strerror or error}{where}."


def full_check(db: sqlite3.Connection) -> str | None:
    """Compare every page and index of an open database; what is wrong with it, None where nothing is. Raises
    sqlite3.Error."""
    finding = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
    return None if finding == "ok" else finding


def mend_indexes(db: sqlite3.Connection, name: str) -> tuple[str | None, list[str]]:
    """Rebuild the indexes of ``db`` where they are not what its tables make them.

    Returns what is wrong beyond that, None where nothing is, and what to tell the person. ``name``: of the file.
    """
    try:
        finding = full_check(db)
        if finding is None:
            return None, []
        db.execute("REINDEX")
        beyond = full_check(db)
    except sqlite3.DatabaseError as error:
        if not (is_damage(error) or isinstance(error, sqlite3.IntegrityError)):
            raise
        beyond = str(error)
    if beyond is not None:
        return beyond, []
    return None, [f"{name}: an index did not agree with its table ({finding}) and was rebuilt."]
