"""The indexes of a database: made from its tables, and rebuilt where a flipped bit has parted them."""

from __future__ import annotations

import sqlite3

from varda_chat.memory.database import is_damage


def full_check(db: sqlite3.Connection) -> str | None:
    """Compare every page and index of an open database; what is wrong with it, None where nothing is. Raises
    sqlite3.Error."""
    finding = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
    return None if finding == "ok" else finding


def mend_indexes(db: sqlite3.Connection, name: str) -> tuple[str | None, list[str]]:
    """Make the indexes of ``db`` anew where they are not what its tables make them.

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
