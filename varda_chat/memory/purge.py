"""The purge of statements: in the rows of memory.db, where it is written down before it begins and struck out at its
end, and in its files: the log, the backups, and what a fault or a kill has left beside it.

Functions that take a connection leave the transaction to the caller.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
from varda_chat.storage.words import FORGOTTEN_TEXT, Words

if TYPE_CHECKING:
    from varda_chat.memory.core import OpenMemory
    from varda_chat.memory.records import Removed, Statement

_AMONG = "IN (SELECT value FROM json_each(?))"
_WIPE_REMOVED = f"DELETE FROM removed_statements WHERE id {_AMONG} OR id {_AMONG}"  # noqa: S608 - only constants
_WIPE_EVENTS = f"UPDATE events SET text = ?, act = NULL, crc = NULL WHERE statement_id {_AMONG} OR id {_AMONG}"  # noqa: S608


@dataclass(frozen=True)
class Purge:
    """What is to leave no trace: the statements ``ids``, and whatever holds one of ``words``."""

    id: int
    ids: frozenset[int]
    words: Words


class Purging:
    """A purge is written down, done, and struck out again; what has begun and not ended is done again."""

    def __init__(self, core: OpenMemory) -> None:
        self._core = core

    def begin(self, statement_ids: Iterable[int], texts: Iterable[str] = ()) -> Purge:
        """Write down that these statements, and all that holds one of ``texts``, are to leave no trace. Nothing is
        erased yet; ``begun`` has it, also after a crash, until ``end``."""
        with self._core.changing("Nothing was forgotten"), transaction(self._core.db):
            return write_down(self._core.db, statement_ids, texts)

    def would_wipe(
        self, ids: Iterable[int], texts: Iterable[str] = ()
    ) -> tuple[tuple[Statement, ...], tuple[Removed, ...]]:
        """All the statements that a purge of ``ids`` and ``texts`` erases: those in memory, the oldest first, and those
        deleted before. Changes nothing."""
        from varda_chat.memory import queries, undo  # numpy loads here

        with self._core.reading():
            db = self._core.db
            going = statement_ids(db, planned(db, ids, texts))
            return queries.statements_of(db, going), tuple(each for each in undo.removed(db) if each.id in going)

    def begun(self) -> tuple[Purge, ...]:
        """The purges that have begun and not ended, the oldest first."""
        with self._core.reading():
            return begun(self._core.db)

    def wipe(self, started: Purge) -> tuple[Statement, ...]:
        """Take what a purge is about out of every file of the memory, as often as it is called; returns the statements
        that were still there. Raises StorageError, which names the first file that could not be cleaned; the others
        are clean then."""
        from varda_chat.memory import queries  # numpy loads here

        self._core.background.wait_for_check()
        with self._core.changing("The purge is not finished"):
            deleted = queries.statements_of(self._core.db, statement_ids(self._core.db, started))
            if deleted:
                self._core.delete(deleted)
            with transaction(self._core.db):
                wipe(self._core.db, started)
            self._wipe_traces()
            wipe_leftovers(self._core.directory)
            wipe_backups(self._core.directory, started.words)
            return deleted

    def end(self, started: Purge) -> None:
        """Note that nothing is left of what a purge was about; the note of it goes as well."""
        with self._core.changing("The purge is not finished"):
            with transaction(self._core.db):
                blank(self._core.db, started)  # what is in the log from here on holds no text
            self._wipe_traces()
            with transaction(self._core.db):
                strike(self._core.db, started)

    def _wipe_traces(self) -> None:
        """Take what was just deleted out of the write-ahead log and the index file too."""
        path = self._core.directory / INDEX
        self._core.background.stop_writing()  # nothing older may reach the disk afterwards
        try:
            if self._core.mirror is None:
                path.unlink(missing_ok=True)
            else:
                self._core.write_index()
        except (OSError, sqlite3.OperationalError):
            path.unlink(missing_ok=True)  # the old index must not keep it; the next start makes another
        empty_the_log(self._core.db)


def planned(db: sqlite3.Connection, ids: Iterable[int], texts: Iterable[str]) -> Purge:
    """A purge of the statements ``ids`` and of all that holds one of ``texts``; it has no id yet.

    What those statements say, and said before they were edited, is a part of it.
    """
    wanted, words = {int(id_) for id_ in ids}, Words(texts)
    wanted |= _holding(db, words)
    said = {text for id_, text in _texts(db) if id_ in wanted or words.stand_in(text)}
    return Purge(0, frozenset(wanted), Words({*words.texts, *said} - {FORGOTTEN_TEXT}))


def write_down(db: sqlite3.Connection, ids: Iterable[int], texts: Iterable[str]) -> Purge:
    """Note a ``planned`` purge."""
    purge = planned(db, ids, texts)
    cursor = db.execute(
        "INSERT INTO purges (ids, texts) VALUES (?, ?)",
        (json.dumps(sorted(purge.ids)), json.dumps(purge.words.texts, ensure_ascii=False)),
    )
    return Purge(int(cursor.lastrowid or 0), purge.ids, purge.words)


def begun(db: sqlite3.Connection) -> tuple[Purge, ...]:
    """The purges that were written down and not struck out, the oldest first."""
    found = db.execute("SELECT id, ids, texts FROM purges ORDER BY id").fetchall()
    return tuple(Purge(id_, frozenset(json.loads(ids)), Words(json.loads(texts))) for id_, ids, texts in found)


def statement_ids(db: sqlite3.Connection, purge: Purge) -> frozenset[int]:
    """The statements that a purge is about, also those that hold its words by chance."""
    return purge.ids | _holding(db, purge.words)


def wipe(db: sqlite3.Connection, purge: Purge) -> None:
    """Take what a purge is about out of what was deleted and out of the events."""
    ids = json.dumps(sorted(purge.ids))
    held = json.dumps([id_ for id_, text in db.execute("SELECT id, text FROM events") if purge.words.stand_in(text)])
    removed = json.dumps(
        [id_ for id_, text in db.execute("SELECT id, text FROM removed_statements") if purge.words.stand_in(text)]
    )
    db.execute(_WIPE_REMOVED, (ids, removed))
    db.execute(_WIPE_EVENTS, (FORGOTTEN_TEXT, ids, held))


def blank(db: sqlite3.Connection, purge: Purge) -> None:
    """Take the words out of the note of a purge; the note stays."""
    db.execute("UPDATE purges SET ids = '[]', texts = '[]' WHERE id = ?", (purge.id,))


def strike(db: sqlite3.Connection, purge: Purge) -> None:
    """Remove the note of a purge."""
    db.execute("DELETE FROM purges WHERE id = ?", (purge.id,))


def _texts(db: sqlite3.Connection) -> list[tuple[int, str]]:
    return db.execute(
        "SELECT id, text FROM statements UNION SELECT id, text FROM removed_statements "
        "UNION SELECT statement_id, text FROM events"
    ).fetchall()


def _holding(db: sqlite3.Connection, words: Words) -> set[int]:
    if not words:
        return set()
    found = db.execute("SELECT id, text FROM statements UNION SELECT id, text FROM removed_statements")
    return {id_ for id_, text in found if words.stand_in(text)}


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


def wipe_backups(directory: Path, words: Words) -> None:
    """Take everything with one of ``words`` out of the backups in ``directory``. Raises StorageError, which names the
    first that could not be cleaned, after all the others have been."""
    first: StorageError | None = None
    for path in sorted((directory / BACKUPS).glob("*.db")):
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
                wipe_in_place(path, words)
            except sqlite3.OperationalError:
                _wipe_in_copy(path, words)  # it is in use, or there is no room to change it where it is
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        path.unlink()


def wipe_leftovers(directory: Path, names: tuple[str, ...] = (DATABASE, INDEX)) -> None:
    """Remove what lies beside files of these ``names``: damaged databases that were set aside, of which nothing can be
    removed, and files that a kill has left half-written, also of backups. Raises OSError."""
    found = [path for name in names for ending in _LEFT for path in directory.glob(name + ending)]
    found += directory.glob(UNFINISHED)
    found += [path for ending in _LEFT for path in (directory / BACKUPS).glob("*" + ending)]
    for path in found:
        if path.is_file() or path.is_symlink():
            path.unlink(missing_ok=True)
    to_disk(directory)


def wipe_all(directory: Path) -> None:
    """Remove every backup of ``directory``, and what ``wipe_leftovers`` removes. Raises OSError."""
    for path in (directory / BACKUPS).glob("*"):
        path.unlink()
    wipe_leftovers(directory)


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


def wipe_in_place(path: Path, words: Words) -> None:
    """Remove ``words`` from the database at ``path``, and overwrite where they stood. Raises sqlite3.Error, OSError."""
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
        wipe_in_place(part, words)
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
                matches = [(id_,) for id_, text in found if words.stand_in(text)]
                db.executemany(f"DELETE FROM {table} WHERE id = ?", matches)  # noqa: S608 - our names
        if "purges" in there:
            db.execute("DELETE FROM purges")
