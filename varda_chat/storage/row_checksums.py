"""Checksums of rows: a text that the disk has changed is found, and mended where another copy of it is left."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from varda_chat.storage.sqlite import connect_reader
from varda_chat.text import numbered

_TABLES = {"statements": "statement", "removed_statements": "deleted statement", "events": "event"}


def text_crc(*texts: object) -> int:
    """The checksum of texts that belong together, also where one of them is kept as bytes or as a number."""
    said = (each if isinstance(each, bytes) else str(each).encode("utf-8", "surrogatepass") for each in texts)
    return zlib.crc32(b"\0".join(said))


def altered_rows(db: sqlite3.Connection, table: str) -> list[int]:
    """The ids of the rows of ``table`` of which the text is not what was written. Raises sqlite3.Error."""
    found = db.execute(f"SELECT id, text, crc FROM {table} WHERE crc IS NOT NULL ORDER BY id")  # noqa: S608 - our names
    return [id_ for id_, text, crc in found if text_crc(text) != crc]


def altered_texts(db: sqlite3.Connection) -> list[str]:
    """One line for each kind of row that has altered texts. Raises sqlite3.Error."""
    lines = []
    for table, name in _TABLES.items():
        ids = altered_rows(db, table)
        if ids:
            which = ", ".join(map(str, ids[:20])) + (", ..." if len(ids) > 20 else "")
            of = "" if table == "events" else f" (id {which})"
            lines.append(f"memory.db: the text of {numbered(len(ids), name)}{of} is not what was stored.")
    return lines


def mend_texts(db: sqlite3.Connection, backups: Iterable[Path]) -> tuple[int, list[int]]:
    """Put the right text back where the events or a backup still have it; inside a transaction.

    Returns how many texts were mended, and the ids of statements for which there is no right text. Altered events are
    dropped.
    """
    mended, lost = 0, []
    sources = list(backups)
    for table in ("statements", "removed_statements"):
        for id_ in altered_rows(db, table):
            query = f"SELECT text, crc FROM {table} WHERE id = ?"  # noqa: S608 - our names
            text, crc = db.execute(query, (id_,)).fetchone()
            # where another copy says the same, it is the checksum that has changed
            right = next((each for each in _copies(db, sources, id_) if each == text or text_crc(each) == crc), None)
            if right is not None:
                query = f"UPDATE {table} SET text = ?, crc = ? WHERE id = ?"  # noqa: S608 - our names
                db.execute(query, (right, text_crc(right), id_))
                mended += 1
            elif table == "statements":
                lost.append(id_)
            else:
                db.execute("DELETE FROM removed_statements WHERE id = ?", (id_,))
    db.executemany("DELETE FROM events WHERE id = ?", [(id_,) for id_ in altered_rows(db, "events")])
    return mended, lost


def _copies(db: sqlite3.Connection, backups: list[Path], statement_id: int) -> Iterable[str]:
    query = "SELECT text FROM events WHERE statement_id = ?"
    yield from (text for (text,) in db.execute(query, (statement_id,)).fetchall())
    for path in backups:
        with suppress(sqlite3.Error), closing(connect_reader(path)) as backup:
            found = backup.execute("SELECT text FROM statements WHERE id = ?", (statement_id,)).fetchall()
            yield from (text for (text,) in found)
