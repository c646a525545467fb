"""Looking at, checking, backing up and clearing a memory that is not open; needs only SQLite and the lock."""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from varda_chat.errors import IndexFileError, MemoryDamagedError, VardaError
from varda_chat.memory.inspection import InspectionError, clean_texts, inspect
from varda_chat.memory.opening import open_for_writing
from varda_chat.memory.purge import wipe_all
from varda_chat.memory.recovery import SAVED, SUSPECT, damage, set_aside, torn_log
from varda_chat.memory.schema import SCHEMA_VERSION, bump_generation, migrate, schema_version, was_once
from varda_chat.storage.container import read_container
from varda_chat.storage.files import (
    BACKUPS,
    COMPANIONS,
    DATABASE,
    INDEX,
    beside,
    make_private_directory,
    make_private_file,
    refuse_links,
    to_disk,
    unused,
    utc_stamp,
)
from varda_chat.storage.locks import take_lock
from varda_chat.storage.row_checksums import altered_texts, mend_texts
from varda_chat.storage.sqlite import connect_reader, connect_writer, disk_errors, is_damage, transaction
from varda_chat.storage.value_types import put_types_right, wrong_numbers
from varda_chat.text import numbered, were


@dataclass(frozen=True)
class Peek:
    """What is in a memory, seen from outside. ``bytes``: of database and index; ``damaged``: uncounted; ``problem``:
    why nothing could be seen, "" where it could."""

    path: Path
    statements: int
    vectors: int
    events: int
    bytes: int
    damaged: bool = False
    problem: str = ""


def peek(directory: str | Path) -> Peek:
    """Count what is in ``directory``; all 0 where there is no memory. Creates nothing.

    Raises StorageError where the disk does not allow it.
    """
    path = Path(directory) / DATABASE
    with disk_errors(f"The memory in {directory} cannot be read"):
        files = [path, path.with_name(INDEX), *(beside(path, ending) for ending in COMPANIONS)]
        size = sum(file.stat().st_size for file in files if file.exists())
        if not path.exists():
            return Peek(path, 0, 0, 0, size)
        try:
            with closing(connect_reader(path)) as db:
                if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                    return Peek(path, 0, 0, 0, size)
                counts = db.execute(
                    "SELECT (SELECT count(*) FROM statements), (SELECT count(*) FROM vectors), "
                    "(SELECT count(*) FROM events)"
                ).fetchone()
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                return Peek(path, 0, 0, 0, size, damaged=True)
            raise
        statements, vectors, events = counts
        return Peek(path, statements, vectors, events, size)


def verify(directory: str | Path) -> tuple[str, ...]:
    """Read every byte of the memory in ``directory``; returns what is wrong with it, one line each. Changes
    nothing.

    Raises VardaError where there is no memory or a newer varda-chat wrote it, StorageError as ``peek`` does.
    """
    path = Path(directory) / DATABASE
    if not path.exists():
        raise VardaError(f"There is no memory in {directory}.")
    with disk_errors(f"The memory in {directory} cannot be read"):
        torn = torn_log(path)
        problems = [] if torn is None else [torn]
        finding = damage(path)
        if finding is not None:
            return (*problems, f"memory.db is damaged: {finding}.")
        try:
            with closing(connect_reader(path)) as db:
                has_history = schema_version(db) == SCHEMA_VERSION
                problems += _inconsistencies(db)
                problems += altered_texts(db) if has_history else []
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return (*problems, f"memory.db is damaged: {error}.")
        if not path.with_name(INDEX).exists():
            return tuple(problems)  # only a cache, which the next start makes
        try:
            label = read_container(path.with_name(INDEX)).header["label"]
            with closing(connect_reader(path)) as db:  # one that is behind catches up
                known = has_history and was_once(db, label.get("generation"), label.get("history"))
            if not known:
                problems.append("memory.faiss is not of this memory's history; the next start rebuilds it.")
        except IndexFileError as error:
            problems.append(f"{error} The next start rebuilds it.")
        return tuple(problems)


def _inconsistencies(db: sqlite3.Connection) -> list[str]:
    problems = [f"memory.db: {row[0]}." for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
    if db.execute("PRAGMA foreign_key_check").fetchone() is not None:
        problems.append("memory.db: there are vectors that belong to no memory.")
    vectors = db.execute("SELECT crc, CAST(vector AS BLOB) FROM vectors")
    broken = sum(zlib.crc32(vector) != crc for crc, vector in vectors)
    if broken:
        problems.append(f"memory.db: the checksums of {numbered(broken, 'vector')} do not match.")
    short = db.execute(
        "SELECT count(*) FROM statements s WHERE vector_count != "
        "(SELECT count(*) FROM vectors WHERE statement_id = s.id)"
    ).fetchone()[0]
    if short:
        problems.append(f"memory.db: vectors of {numbered(short, 'memory')} are missing.")
    return problems + wrong_numbers(db, DATABASE)


def backup(directory: str | Path, *, locked: bool = False) -> Path:
    """Copy memory.db, as of one moment and also while it is in use, to ``backups/memory-<UTC>.db``; returns
    the copy. No other process can begin to write it meanwhile. ``locked``: this one keeps them from it already.

    Raises VardaError where there is no memory, StorageError where the disk does not allow it,
    MemoryDamagedError where it cannot be read.
    """
    directory = Path(directory)
    source = directory / DATABASE
    if not source.exists():
        raise VardaError(f"There is no memory in {directory} to back up.")
    with disk_errors(f"The memory in {directory} was not backed up"):
        refuse_links(directory)
        make_private_directory(directory / BACKUPS)
        target = unused(directory / BACKUPS / f"memory-{utc_stamp()}.db")
        part = beside(target, ".part")
        try:
            make_private_file(part)
            with (
                _nobody_writing(directory, locked) as quiet,
                closing(connect_reader(source, in_use=not quiet)) as db,
                closing(sqlite3.connect(part)) as copy,
            ):
                db.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # so that the copy is one file
            to_disk(part)
            part.rename(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        to_disk(target.parent)
    return target


@contextmanager
def _nobody_writing(directory: Path, locked: bool) -> Iterator[bool]:
    """Whether nobody can write the memory in ``directory`` within it. A reader that takes a file for one that does not
    change must not read it otherwise."""
    lock = None
    if not locked:
        with suppress(VardaError, OSError):  # it is in use; or its disk cannot lock, and then it may be
            lock = take_lock(directory)
    try:
        yield locked or lock is not None
    finally:
        if lock is not None:
            lock.release()


def reset(directory: str | Path, *, purge: bool = False) -> Path | None:
    """Clear the memory in ``directory`` after backing it up; returns the backup, None where there was nothing.

    A damaged memory is set aside instead of backed up, and that file is returned. A kill at any point leaves
    the old memory or an empty one. The ids of the next memory begin at 1 again. With ``purge`` nothing is
    kept: the backups and set-aside databases go too, and None is returned.

    Raises MemoryLockedError where it is open elsewhere, StorageError where the disk does not allow it.
    """
    directory = Path(directory)
    path = directory / DATABASE
    if not directory.is_dir() or not (purge or path.exists() or beside(path, SAVED).exists()):
        return None
    with disk_errors(f"The memory in {directory} was not cleared"):
        lock = take_lock(directory)
        try:
            if purge:
                path.unlink(missing_ok=True)  # before its log, which without it is never taken for a memory
                _remove_companions(path)
                beside(path, SAVED).unlink(missing_ok=True)
                wipe_all(directory)
                return None
            return _clear(path)
        finally:
            lock.release()


def restore(directory: str | Path, source: str | Path) -> Path | None:
    """Put the backup ``source`` in place of the memory in ``directory``, in one transaction; returns the backup that
    was made of the memory before, None where there was none.

    Ids go on after the last that either memory gave. Raises MemoryLockedError where the memory is open elsewhere,
    VardaError where ``source`` is no backup of ours, StorageError where the disk does not allow it.
    """
    directory, source = Path(directory), Path(source)
    if not source.is_file():
        raise VardaError(f"There is no backup {source}.")
    finding = _strangeness(source)
    if finding is not None:
        raise VardaError(f"{source} cannot be restored: {finding}.")
    with disk_errors(f"{source} was not restored"):
        before = peek(directory)
        kept = backup(directory) if before.statements or before.events else None
        opened = open_for_writing(directory)
        try:
            given = dict(opened.db.execute("SELECT name, seq FROM sqlite_sequence"))
            begun = opened.db.execute("SELECT ids, texts FROM purges").fetchall()
            with closing(connect_reader(source)) as old:
                old.backup(opened.db)
            migrate(opened.db)
            with transaction(opened.db):
                clean_texts(opened.db)
                for table, number in given.items():
                    opened.db.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (number, table))
                opened.db.execute("DELETE FROM purges")
                opened.db.executemany("INSERT INTO purges (ids, texts) VALUES (?, ?)", begun)
                bump_generation(opened.db)
            (directory / INDEX).unlink(missing_ok=True)  # of the memory before
        finally:
            opened.close()
    return kept


def backups(directory: str | Path) -> tuple[Path, ...]:
    """The backups of the memory in ``directory``, the newest first."""
    found = (Path(directory) / BACKUPS).glob("memory-*.db")
    own = (path for path in found if not path.is_symlink())
    return tuple(sorted(own, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True))


def repair(directory: str | Path) -> list[str]:
    """Mend what ``verify`` finds in ``directory``; returns what was done, one line each. Raises as MemoryStore.open.

    A damaged memory.db is set aside and saved from; statements with damaged vectors wait to be read again; the
    index is rebuilt.
    """
    from varda_chat.memory import queries, undo
    from varda_chat.memory.store import MemoryStore

    directory = Path(directory)
    with disk_errors(f"The memory in {directory} was not repaired"):
        opened = open_for_writing(directory)
        done = list(opened.notices)
        try:
            done += put_types_right(opened.db, DATABASE)
            with transaction(opened.db):
                orphans = opened.db.execute(
                    "DELETE FROM vectors WHERE statement_id NOT IN (SELECT id FROM statements)"
                ).rowcount
                broken = {
                    id_
                    for id_, crc, vector in opened.db.execute("SELECT statement_id, crc, vector FROM vectors")
                    if zlib.crc32(vector) != crc
                }
                for id_ in broken:
                    opened.db.execute("DELETE FROM vectors WHERE statement_id = ?", (id_,))
                    opened.db.execute("UPDATE statements SET fingerprint = '', vector_count = 0 WHERE id = ?", (id_,))
                if orphans or broken:
                    bump_generation(opened.db)
            with transaction(opened.db):
                mended, lost = mend_texts(opened.db, backups(directory))
                undo.remove(opened.db, queries.statements_of(opened.db, lost), time.time(), None)
                opened.db.execute("UPDATE removed_statements SET crc = text_crc(text)")
                opened.db.execute("DELETE FROM events WHERE crc != text_crc(text)")
                if lost:
                    bump_generation(opened.db)
            model = opened.db.execute(
                "SELECT s.fingerprint, length(v.vector) / 4 FROM statements s JOIN vectors v ON v.statement_id = s.id "
                "WHERE s.fingerprint != '' ORDER BY v.id DESC LIMIT 1"
            ).fetchone()
        finally:
            opened.close()
        if orphans:
            done.append(f"{numbered(orphans, 'vector')} of no memory {were(orphans)} removed.")
        if broken:
            done.append(f"{numbered(len(broken), 'memory')} with damaged vectors will be read again at the next start.")
        if mended:
            done.append(f"{numbered(mended, 'text')} {were(mended)} put back from another copy.")
        if lost:
            done.append(
                f"{numbered(len(lost), 'memory')} of which no right copy is left {were(len(lost))} deleted; "
                f"varda-chat memory undo ID brings back what can be read: {', '.join(map(str, lost))}."
            )
        if model is None:
            (directory / INDEX).unlink(missing_ok=True)
        else:
            with MemoryStore.open(
                directory, fingerprint=model[0], embedding_dim=model[1], forgetfulness_factor=0.0
            ) as store:
                done += store.notices
    return done


def _strangeness(path: Path) -> str | None:
    """Why ``path`` is no database of ours, None where it is one. A trigger or view in it could do anything, and so
    could values that no memory of ours holds: it is read as an import is."""
    try:
        finding = damage(path)
        if finding is not None:
            return finding
        with closing(connect_reader(path)) as db:
            kinds = {kind for (kind,) in db.execute("SELECT type FROM sqlite_master")}
            if not schema_version(db) or kinds - {"table", "index"}:
                return "it is not a memory of varda-chat"
            if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                return "it is damaged"
            inspect(db)
    except (sqlite3.Error, InspectionError) as error:
        return str(error)
    return None


def _clear(path: Path) -> Path:
    saved = beside(path, SAVED)
    if not path.exists():  # a rescue that was cut off before its last step
        saved.rename(path)
    saved.unlink(missing_ok=True)
    try:
        kept = backup(path.parent, locked=True)
        with closing(connect_writer(path)) as db:
            db.execute("PRAGMA journal_mode = DELETE")  # folds the write-ahead log into the file and removes it
        path.unlink()  # the one moment at which the memory goes
    except MemoryDamagedError:
        kept = set_aside(path)
    _remove_companions(path)
    return kept


def _remove_companions(path: Path) -> None:
    for ending in COMPANIONS:
        beside(path, ending).unlink(missing_ok=True)
    for name in (INDEX, INDEX + ".new", SUSPECT):
        path.with_name(name).unlink(missing_ok=True)
    to_disk(path.parent)
