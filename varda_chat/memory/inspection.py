"""A database from outside, looked at before it takes a memory's place: its tables are ours, its values are possible."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from typing import Any

from varda_chat.config.defaults import MAX_MEMORY_SIZE
from varda_chat.memory.schema import reference, schema_version
from varda_chat.storage.row_checksums import text_crc
from varda_chat.text import sanitize

MAX_ID = 2**62
"""Of ids and counts: half of what SQLite can hold, so that there is room for those to come."""
_MAX_TIME = 253_402_300_799.0  # the last second of the year 9999
_MAX_VECTOR = 4 * 4096  # bytes

Check = Callable[[Any], bool]


class InspectionError(ValueError):
    """What is wrong with a database from outside, as the end of a sentence."""


def _whole(least: int, most: int) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def _number(most: float) -> Check:
    return lambda value: type(value) in (int, float) and math.isfinite(value) and 0 <= value <= most


def _text(most: int) -> Check:
    return lambda value: isinstance(value, str) and len(value) <= most


def _one_of(*values: object) -> Check:
    return lambda value: value in values


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _vector(value: Any) -> bool:
    import numpy as np

    if not isinstance(value, bytes) or not value or len(value) % 4 or len(value) > _MAX_VECTOR:
        return False
    return bool(np.isfinite(np.frombuffer(value, dtype="<f4")).all())


_ID, _COUNT, _TIME, _SHARE = _whole(1, MAX_ID), _whole(0, MAX_ID), _number(_MAX_TIME), _number(1.0)
_CHECKSUM = _whole(0, 2**32 - 1)
_STATEMENT: dict[str, Check] = {
    "id": _ID,
    "text": _text(2**24),
    "role": _one_of("user", "assistant"),
    "session": _text(200),
    "created_at": _TIME,
    "recalled_at": _or_none(_TIME),
    "recall_count": _COUNT,
    "pinned": _one_of(0, 1),
    "fingerprint": _text(200),
    "strength": _SHARE,
    "vector_count": _whole(0, 2**31),
    "key": _whole(-(2**63), 2**63 - 1),
    "act": _or_none(_COUNT),
    "crc": _or_none(_CHECKSUM),
    "follows": _or_none(_ID),
}
_VECTOR: dict[str, Check] = {
    "statement_id": _ID,
    "token_id": _whole(0, 2**31 - 1),
    "token": _text(1000),
    "strength": _SHARE,
    "crc": _CHECKSUM,
    "vector": _vector,
}
_VALUES: dict[str, dict[str, Check]] = {
    "meta": {
        "generation": _COUNT,
        "stamp": _text(64),
        "index_type": _one_of("flat", "ivf", "compressed", "graph"),
        "capacity": _or_none(_whole(1, MAX_MEMORY_SIZE)),
        "num_clusters": _whole(1, MAX_MEMORY_SIZE),
        "forgetfulness": _SHARE,
        "age": _TIME,
        "seen_at": _or_none(_TIME),
    },
    "statements": _STATEMENT,
    "vectors": {"id": _ID, **_VECTOR},
    "events": {
        "id": _ID,
        "kind": _one_of("stored", "deleted"),
        "statement_id": _ID,
        "text": _text(2**24),
        "at": _TIME,
        "act": _or_none(_COUNT),
        "crc": _or_none(_CHECKSUM),
    },
    "removed_statements": {**_STATEMENT, "removed_at": _TIME, "stored_act": _or_none(_COUNT), "removed_age": _TIME},
    "removed_vectors": _VECTOR,
    "learned": {"digest": _text(200), "passages": _COUNT},
    "history": {"generation": _COUNT, "stamp": _text(64)},
    "purges": {"id": _ID, "ids": _text(2**24), "texts": _text(2**24)},
    "sqlite_sequence": {"name": _text(64), "seq": _COUNT},
}


def inspect(db: sqlite3.Connection) -> None:
    """Look at every value of the memory in ``db``, of which the tables are as its migrations make them.

    Raises InspectionError, naming table and row, for what none of ours can hold; sqlite3.Error where it cannot be read.
    """
    own = {name for _, name, _, _ in reference(schema_version(db))}
    found = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE name NOT GLOB 'sqlite_*'")}
    if found - own:
        raise InspectionError(f"a memory has no {min(found - own)!r}")
    if db.execute("SELECT count(*) FROM meta").fetchone()[0] != 1:
        raise InspectionError("its meta does not have one row")
    for table, checks in _VALUES.items():
        there = {name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,))}
        columns = [name for name in checks if name in there]
        if columns:
            _check_rows(db, table, {name: checks[name] for name in columns})


def clean_texts(db: sqlite3.Connection) -> None:
    """Sanitize the texts of a memory that came from outside, inside a transaction. What was not the text that its
    checksum is of still is not."""
    for table, has_key in (("statements", True), ("removed_statements", True), ("events", False)):
        found = db.execute(f"SELECT rowid, text, crc FROM {table}")  # noqa: S608 - our names
        changed = [(rowid, text, crc, sanitize(text)) for rowid, text, crc in found if sanitize(text) != text]
        for rowid, text, crc, clean in changed:
            mended = text_crc(clean) if crc == text_crc(text) else crc
            query = f"UPDATE {table} SET text = ?, crc = ? WHERE rowid = ?"  # noqa: S608 - our names
            db.execute(query, (clean, mended, rowid))
            if has_key:
                query = f"UPDATE {table} SET key = statement_key(role, text) WHERE rowid = ?"  # noqa: S608 - our names
                db.execute(query, (rowid,))


def _check_rows(db: sqlite3.Connection, table: str, checks: dict[str, Check]) -> None:
    query = f"SELECT {', '.join(checks)} FROM {table} ORDER BY rowid"  # noqa: S608 - our names
    for number, row in enumerate(db.execute(query), 1):
        for (name, check), value in zip(checks.items(), row, strict=True):
            if not check(value):
                raise InspectionError(f"its {table}, row {number}, hold a {name} that cannot be")
