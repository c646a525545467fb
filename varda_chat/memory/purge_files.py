"""The purge in the files of a memory: its log, its backups, and what a fault or a kill has left beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from varda_chat.errors import StorageError
from varda_chat.storage.files import (
    BACKUPS,
    COMPANIONS,
    DATABASE,
    INDEX,
    UNFINISHED,
    beside,
    make_private_file,
    to_disk,
)
from varda_chat.storage.sqlite import BUSY_SECONDS, connect_reader, disk_errors, is_damage, transaction
from varda_chat.storage.words import Words

_TEXTS = ("statements", "removed_statements", "events")
_LEFT = (".damaged-*", ".saved*", ".part*", ".new*")
"""Ends of the names of files that a fault, a kill or a damaged database has left."""


def empty_the_log(db: sqlite3.Connection) -> None:
    """Bring what was deleted out of the free pages and out of the write-ahead log. Raises StorageError where another
    program keeps the log in use, sqlite3.Error."""
    with suppress(sqlite3.OperationalError):  # without room for it, secure_delete has overwritten what was deleted
        db.execute("VACUUM")
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StorageError("The write-ahead log cannot be emptied: another program is reading it. Close it.")


def wipe_backups(folder: Path, words: Words) -> None:
    """Take everything with one of ``words`` out of the backups in ``folder``. Raises StorageError, which names the
    first that could not be cleaned, after all the others have been."""
    first: StorageError | None = None
    for path in sorted((folder / BACKUPS).glob("*.db")):
        if path.is_symlink():
            continue  # what it leads to is no backup of ours
        try:
            with disk_errors(f"{BACKUPS}/{path.name} could not be cleaned", path.name):
                wipe_backup(path, words)
        except StorageError as error:
            first = first or error
    if first is not None:
        raise first


def wipe_backup(path: Path, words: Words) -> None:
    """Take everything with one of ``words`` out of one backup; one that is damaged is removed: it cannot be searched,
    and nothing can be restored from it. Raises OSError, sqlite3.Error."""
    try:
        with _writable(path):
            try:
                _wipe_in_place(path, words)
            except sqlite3.OperationalError:
                _wipe_in_copy(path, words)  # it is in use, or there is no room to change it where it is
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        path.unlink()


def wipe_leftovers(folder: Path, names: tuple[str, ...] = (DATABASE, INDEX)) -> None:
    """Remove what lies beside files of these ``names``: damaged databases that were set aside, of which nothing can be
    taken out, and files that a kill has left half-written, also of backups. Raises OSError."""
    found = [path for name in names for ending in _LEFT for path in folder.glob(name + ending)]
    found += folder.glob(UNFINISHED)
    found += [path for ending in _LEFT for path in (folder / BACKUPS).glob("*" + ending)]
    for path in found:
        if path.is_file() or path.is_symlink():
            path.unlink(missing_ok=True)
    to_disk(folder)


def wipe_all(folder: Path) -> None:
    """Remove every backup of ``folder``, and what ``wipe_leftovers`` removes. Raises OSError."""
    for path in (folder / BACKUPS).glob("*"):
        path.unlink()
    wipe_leftovers(folder)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """A file that the person may have made read-only, writable for as long as it takes."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o200:
        yield
        return
    path.chmod(mode | 0o600)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            path.chmod(mode)


def _wipe_in_place(path: Path, words: Words) -> None:
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")  # one file, as it was
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA temp_store = MEMORY")
        _wipe_rows(db, words)
        with suppress(sqlite3.OperationalError):  # it needs room; what was deleted is overwritten already
            db.execute("VACUUM")


def _wipe_in_copy(path: Path, words: Words) -> None:
    part = beside(path, ".part")
    part.unlink(missing_ok=True)
    try:
        make_private_file(part)
        with closing(connect_reader(path)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy)
        _wipe_in_place(part, words)
        part.replace(path)
    finally:
        for ending in ("", *COMPANIONS):
            beside(part, ending).unlink(missing_ok=True)
    to_disk(path.parent)


def _wipe_rows(db: sqlite3.Connection, words: Words) -> None:
    db.text_factory = lambda data: data.decode("utf-8", "replace")
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    with transaction(db):
        for table in _TEXTS:
            if table in there:
                found = db.execute(f"SELECT id, text FROM {table}")  # noqa: S608 - our names
                gone = [(id_,) for id_, text in found if words.stand_in(text)]
                db.executemany(f"DELETE FROM {table} WHERE id = ?", gone)  # noqa: S608 - our names
        if "purges" in there:
            db.execute("DELETE FROM purges")
