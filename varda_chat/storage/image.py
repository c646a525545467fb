"""A damaged database as it can best be read: its log applied, what is cut off padded, its schema put right; in RAM."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path

from varda_chat.storage.sqlite import Connection
from varda_chat.storage.wal import read_log

_MAGIC = b"SQLite format 3\x00"
_PAGE_SIZE, _FORMATS, _PAGE_COUNT, _HEADER = 16, 18, 28, 100
LARGEST = 2**30
"""Bytes of a database that may be read into RAM."""


Schema = Sequence[tuple[str, str, str, str]]
"""Type, name, table and SQL of everything that a database should have, in the order in which it is made."""


def open_image(path: Path, schema: Schema) -> sqlite3.Connection:
    """A copy of the database at ``path``, whose tables are (or should be) those of ``schema``.

    Raises OSError, sqlite3.Error.
    """
    data = _padded(path)
    db = _opened(data)
    try:
        if not _put_right(db, schema):
            return db
        data = db.serialize()
    except sqlite3.DatabaseError:
        return db  # what can be read without it, is
    db.close()
    return _opened(data)


def _padded(path: Path) -> bytes:
    data = bytearray(path.read_bytes())
    if len(data) < _HEADER:
        data += bytes(_HEADER - len(data))
    (page_size,) = struct.unpack_from(">H", data, _PAGE_SIZE)
    page_size = 65536 if page_size == 1 else page_size
    if page_size < 512 or page_size & (page_size - 1):
        page_size = 4096
        struct.pack_into(">H", data, _PAGE_SIZE, page_size)
    log = read_log(path)
    (count,) = struct.unpack_from(">I", data, _PAGE_COUNT)
    limit = 4 * (len(data) // page_size + 1) + 1024  # a count that is damaged itself must not fill the RAM
    count = max(log.page_count or min(count, limit), -(-len(data) // page_size))
    data += bytes(count * page_size - len(data))
    for number, page in log.pages.items():
        if len(page) == page_size and number <= count:
            data[(number - 1) * page_size : number * page_size] = page
    data[: len(_MAGIC)] = _MAGIC
    data[_FORMATS : _FORMATS + 2] = b"\x01\x01"  # there is no log in RAM
    struct.pack_into(">I", data, _PAGE_COUNT, count)
    return bytes(data)


def _opened(data: bytes) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None, factory=Connection)
    try:
        db.deserialize(data)
        db.execute("PRAGMA writable_schema = ON")  # a table of which the schema cannot be read hides no other
    except BaseException:
        db.close()
        raise
    return db


def _put_right(db: sqlite3.Connection, right: Schema) -> bool:
    """Give the tables the names and columns that are ours; whether there was something to change."""
    db.text_factory = lambda data: data.decode("utf-8", "replace")
    found = db.execute("SELECT rowid, type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid").fetchall()
    own = [row for row in found if not str(row[2]).startswith("sqlite_")]
    if len(own) != len(right):
        return False
    by_name = {row[1]: row for row in right}
    wrong = [
        (*by_name.get(row[2], other), row[0])
        for row, other in zip(own, right, strict=True)
        if row[1:] != by_name.get(row[2], other)
    ]
    db.executemany("UPDATE sqlite_master SET type = ?, name = ?, tbl_name = ?, sql = ? WHERE rowid = ?", wrong)
    return bool(wrong)
