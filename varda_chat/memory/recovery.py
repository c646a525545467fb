"""A damaged memory.db is set aside, never overwritten, and what can be read of it goes into a new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from varda_chat.errors import VardaError
from varda_chat.memory.schema import (
    SCHEMA_VERSION,
    altered,
    bump_generation,
    migrate,
    reference,
    schema_version,
    tables,
)
from varda_chat.storage.files import COMPANIONS, INDEX, beside, make_private_file, to_disk, utc_stamp
from varda_chat.storage.image import LARGEST, open_image
from varda_chat.storage.row_checksums import text_crc
from varda_chat.storage.sqlite import (
    connect_reader,
    connect_writer,
    error_code,
    full_check,
    is_damage,
    mend_indexes,
    transaction,
)
from varda_chat.storage.wal import lost_frames
from varda_chat.text import numbered, were

SAVED = ".saved"
"""End of the name of what could be read of a damaged database, until it has taken the database's place."""

SUSPECT = "memory.suspect"
"""Name of an empty file beside a database that was found damaged while it was in use."""

LARGE = 64 * 2**20
"""Bytes of a database from which on it is read in the background."""

_SKIPPED_IDS = 1_000_000  # ids to leave out where it cannot be read which were given
_PATIENCE = 10_000

Row = dict[str, Any]


def damage(path: Path, *, thorough: bool = True) -> str | None:
    """What is wrong with the database at ``path``, None where nothing is. Changes nothing. Reads all of it, if
    ``thorough``; else what a start needs.

    Raises VardaError where a newer varda-chat wrote it, sqlite3.OperationalError where it cannot be opened.
    """
    if path.stat().st_size == 0 and path.with_name(INDEX).exists():
        return "the file is empty"
    try:
        with closing(connect_reader(path)) as db:
            version = schema_version(db)
            if version > SCHEMA_VERSION:
                raise VardaError(
                    f"{path} was written by a newer varda-chat (schema {version}; this one reads up to "
                    f"{SCHEMA_VERSION}). Update varda-chat, or choose another profile with --profile."
                )
            if thorough and (finding := quick_check(db)) is not None:
                return finding
            names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if missing := tables(version) - names:
                return f"tables are missing: {', '.join(sorted(missing))}"
            if (finding := altered(db)) is not None:
                return finding
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return str(error)
        raise
    return None


def torn_log(path: Path) -> str | None:
    """What to tell the person where changes were acknowledged that the log of the database has no longer; else None."""
    lost = lost_frames(path)
    if not lost:
        return None
    return (
        f"{path.name}-wal is damaged: {numbered(lost, 'page')} of the last changes cannot be read. "
        "What was stored or deleted last may be missing."
    )


def quick_check(db: sqlite3.Connection) -> str | None:
    """Read every page of an open database; what is wrong with it, None where nothing is. Raises sqlite3.Error."""
    finding = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    return None if finding == "ok" else finding


def is_read_later(path: Path) -> bool:
    """Whether the database is so large that a start does not wait until all of it has been read, and was not found
    damaged when it was read last."""
    return path.stat().st_size >= LARGE and not path.with_name(SUSPECT).exists()


def suspect(path: Path) -> None:
    """Have the next start read the whole database before it is used. Raises OSError."""
    make_private_file(path.with_name(SUSPECT))
    to_disk(path.parent)


def set_aside(path: Path) -> Path:
    """Rename ``path`` with its companions to ``memory.db.damaged-<UTC>``; returns that. Raises OSError."""
    endings = ("", *COMPANIONS)
    stamp = f".damaged-{utc_stamp()}"
    aside, number = beside(path, stamp), 1
    while any(beside(aside, ending).exists() for ending in endings):
        number += 1
        aside = beside(path, f"{stamp}-{number}")
    for ending in endings:
        if beside(path, ending).exists():
            beside(path, ending).rename(beside(aside, ending))
    to_disk(path.parent)
    return aside


def settle(path: Path) -> list[str]:
    """Make ``path`` a database that can be opened, or absent. Returns what to tell the user. Lock held.

    A kill at any point leaves the damaged file or the saved one in place, and the next call finishes the
    work.
    """
    saved = beside(path, SAVED)
    if path.exists():
        torn = torn_log(path)
        finding, said = damage(path, thorough=False), list[str]()
        if finding is None and not is_read_later(path):
            finding, said = _read_whole(path)
        notices = [*said] if torn is None else [torn, *said]
        notices += [] if finding is None else [_replace_damaged(path, saved, finding)]
        path.with_name(SUSPECT).unlink(missing_ok=True)
        return notices
    orphan = beside(path, "-wal")
    if orphan.exists() and orphan.stat().st_size:
        set_aside(path)  # what a lost database had not yet read must not enter the next one
    for ending in COMPANIONS:
        beside(path, ending).unlink(missing_ok=True)
    path.with_name(INDEX).unlink(missing_ok=True)
    if saved.exists():
        saved.rename(path)
        to_disk(path.parent)
        return ["memory.db had been damaged and set aside; what could be read of it was saved."]
    return []


def _read_whole(path: Path) -> tuple[str | None, list[str]]:
    """What is wrong with the database beyond its indexes, which are rebuilt; and what to tell. A file with damage
    beyond them is not written to."""
    try:
        with closing(connect_reader(path)) as db:
            if full_check(db) is None:
                return None, []
            if (finding := quick_check(db)) is not None:
                return finding, []
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return str(error), []
    with closing(connect_writer(path)) as db:
        return mend_indexes(db, path.name)


def salvage(damaged: Path, into: sqlite3.Connection) -> tuple[int, int]:
    """Copy what can be read of ``damaged`` into the new database ``into``; returns its statements and
    vectors.

    A statement whose vectors are not all there keeps its text and is marked for reading again. What had been
    deleted and could still be brought back is not taken over.
    """
    with transaction(into):
        try:
            with closing(_best_copy(damaged)) as source:
                source.text_factory = bytes  # one broken character must not end the reading
                _copy(source, into)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        into.execute(
            "UPDATE statements SET fingerprint = '' "
            "WHERE vector_count != (SELECT count(*) FROM vectors WHERE statement_id = statements.id)"
        )
        bump_generation(into)
    (statements,) = into.execute("SELECT count(*) FROM statements").fetchone()
    (vectors,) = into.execute("SELECT count(*) FROM vectors").fetchone()
    return int(statements), int(vectors)


def _best_copy(damaged: Path) -> sqlite3.Connection:
    if damaged.stat().st_size > LARGEST:
        return connect_reader(damaged)
    try:
        with closing(connect_reader(damaged)) as db:
            version = schema_version(db)
    except sqlite3.DatabaseError:
        version = SCHEMA_VERSION
    return open_image(damaged, reference(min(version, SCHEMA_VERSION) or SCHEMA_VERSION))


def _replace_damaged(path: Path, saved: Path, finding: str) -> str:
    for ending in ("", *COMPANIONS):
        beside(saved, ending).unlink(missing_ok=True)  # of an attempt that was cut off
    with closing(connect_writer(saved)) as new:
        new.execute("PRAGMA journal_mode = DELETE")  # so that the renamed file is all there is
        migrate(new)
        statements, vectors = salvage(path, new)
    to_disk(path.parent)
    aside = set_aside(path)
    saved.rename(path)
    to_disk(path.parent)
    return (
        f"memory.db was damaged ({finding}). It was set aside as {aside.name}; "
        f"{numbered(statements, 'memory')} with {numbered(vectors, 'vector')} {were(statements)} saved from it."
    )


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _time_or_none(value: Any) -> float | None:
    return None if value is None else _number(value)


def _text(value: Any) -> str:
    if not isinstance(value, bytes):
        raise TypeError
    return value.decode("utf-8")


def _blob(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError
    return value


_STATEMENT: dict[str, Callable[[Any], Any]] = {
    "id": _whole,
    "text": _text,
    "role": _text,
    "session": _text,
    "created_at": _number,
    "recalled_at": _time_or_none,
    "recall_count": _whole,
    "pinned": _whole,
    "fingerprint": _text,
    "strength": _number,
    "vector_count": _whole,
}
_VECTOR: dict[str, Callable[[Any], Any]] = {
    "id": _whole,
    "statement_id": _whole,
    "token_id": _whole,
    "token": _text,
    "strength": _number,
    "crc": _whole,
    "vector": _blob,
}
_EVENT: dict[str, Callable[[Any], Any]] = {
    "id": _whole,
    "kind": _text,
    "statement_id": _whole,
    "text": _text,
    "at": _number,
}
_PURGE: dict[str, Callable[[Any], Any]] = {"id": _whole, "ids": _text, "texts": _text}


def _copy(source: sqlite3.Connection, into: sqlite3.Connection) -> None:
    known: set[int] = set()
    checksums, followed = _column(source, "crc"), _column(source, "follows")
    last = {"statements": 0, "vectors": 0, "events": 0}
    for row in _rows(source, "statements", _STATEMENT):
        cursor = into.execute(
            "INSERT OR IGNORE INTO statements VALUES (:id, :text, :role, :session, :created_at, :recalled_at, "
            ":recall_count, :pinned, :fingerprint, :strength, :vector_count, statement_key(:role, :text), NULL, :crc, "
            ":follows)",
            row | {"crc": checksums.get(row["id"], text_crc(row["text"])), "follows": followed.get(row["id"])},
        )
        if cursor.rowcount:
            known.add(row["id"])
        last["statements"] = max(last["statements"], row["id"])
    for row in _rows(source, "vectors", _VECTOR):
        last["vectors"] = max(last["vectors"], row["id"])
        if row["statement_id"] in known:
            into.execute(
                "INSERT OR IGNORE INTO vectors VALUES "
                "(:id, :statement_id, :token_id, :token, :strength, :crc, :vector)",
                row,
            )
    for row in _rows(source, "events", _EVENT):
        into.execute("INSERT OR IGNORE INTO events VALUES (:id, :kind, :statement_id, :text, :at, NULL, NULL)", row)
        last["statements"] = max(last["statements"], row["statement_id"])
        last["events"] = max(last["events"], row["id"])
    for row in _rows(source, "purges", _PURGE):
        into.execute("INSERT OR IGNORE INTO purges VALUES (:id, :ids, :texts)", row)
    _continue_ids(source, into, last)


def _column(source: sqlite3.Connection, name: Literal["crc", "follows"]) -> dict[int, int]:
    """By the ids of the statements what they have in that column, as far as that can be read: what their texts must be
    by their checksums, or the ids of those that they follow."""
    found: dict[int, int] = {}
    try:
        for id_, value in source.execute(f"SELECT id, {name} FROM statements WHERE {name} IS NOT NULL"):  # noqa: S608
            if isinstance(value, int):
                found[id_] = value
    except sqlite3.DatabaseError:
        return found
    return found


def _continue_ids(source: sqlite3.Connection, into: sqlite3.Connection, last: dict[str, int]) -> None:
    """Make ids go on after the last that the damaged database gave, so that none is given twice."""
    try:
        sequence = source.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        given = {_text(name): _whole(number) for name, number in sequence}
        skipped = 0
    except (sqlite3.DatabaseError, TypeError, UnicodeDecodeError):
        given, skipped = {}, _SKIPPED_IDS
    for table, seen in last.items():
        number = max(seen + skipped, given.get(table, 0))
        into.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        into.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, number))


def _rows(db: sqlite3.Connection, table: str, kinds: dict[str, Callable[[Any], Any]]) -> Iterator[Row]:
    """Rows of ``table`` by id with values of the right ``kinds``, stepping over what cannot be read.

    A damaged page hides a run of ids. They are tried one by one; after _PATIENCE of them, the rows behind are
    read from the end of the table.
    """
    forward = f"SELECT {', '.join(kinds)} FROM {table} WHERE id > ? ORDER BY id"  # noqa: S608 - our names
    last = tried = 0
    while tried - last < _PATIENCE:
        try:
            for values in db.execute(forward, (tried,)):
                last = tried = values[0]
                if row := _checked(values, kinds):
                    yield row
            return
        except sqlite3.DatabaseError as error:
            if error_code(error) != sqlite3.SQLITE_CORRUPT:
                return  # no database, or no such table
            tried += 1
    try:
        for values in db.execute(forward + " DESC", (last,)):
            if row := _checked(values, kinds):
                yield row
    except sqlite3.DatabaseError:
        return


def _checked(values: tuple[Any, ...], kinds: dict[str, Callable[[Any], Any]]) -> Row | None:
    try:
        return {name: kind(value) for (name, kind), value in zip(kinds.items(), values, strict=True)}
    except (TypeError, UnicodeDecodeError):
        return None
