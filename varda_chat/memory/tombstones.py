"""What was deleted can be brought back for a while: moved aside in the database, not gone. The caller holds the
transaction.

An act is what one turn or one command did. Statements keep their ids when they come back; vectors get new ones.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from varda_chat.memory import rows
from varda_chat.memory.records import Removed, Statement

ACTS_KEPT = 100
DAYS_KEPT = 7.0
"""What was removed before the last ACTS_KEPT acts, or more than DAYS_KEPT ago, is gone for good."""

_DAY = 24 * 3600.0
_COLUMNS = (
    "id, text, role, session, created_at, recalled_at, recall_count, pinned, fingerprint, strength, vector_count, key"
)
_VECTOR_COLUMNS = "statement_id, token_id, token, strength, crc, vector"


def last_act(db: sqlite3.Connection) -> int | None:
    """The last act that can be undone."""
    row = db.execute(
        "SELECT max(act) FROM (SELECT max(act) AS act FROM events UNION ALL SELECT max(act) FROM removed_statements)"
    ).fetchone()
    return None if row[0] is None else int(row[0])


def next_act(db: sqlite3.Connection) -> int:
    """The number of the act that begins."""
    return (last_act(db) or 0) + 1


def remove(db: sqlite3.Connection, gone: Iterable[Statement], now: float, act: int | None) -> None:
    """Take statements out of the memory, each with a "deleted" event, keeping them aside."""
    for each in gone:
        db.execute(
            f"INSERT OR REPLACE INTO removed_statements SELECT {_COLUMNS}, ?, ? FROM statements WHERE id = ?",  # noqa: S608
            (act, now, each.id),
        )
        db.execute(
            f"INSERT INTO removed_vectors SELECT {_VECTOR_COLUMNS} FROM vectors WHERE statement_id = ? ORDER BY id",  # noqa: S608
            (each.id,),
        )
        db.execute("DELETE FROM statements WHERE id = ?", (each.id,))
        rows.insert_event(db, "deleted", each.id, each.text, now, act)
    expire(db, now)


def bring_back(db: sqlite3.Connection, ids: Iterable[int], now: float) -> tuple[Statement, ...]:
    """Put removed statements back, each with a "stored" event; returns those that could be."""
    wanted = json.dumps([int(id_) for id_ in ids])
    where = "IN (SELECT value FROM json_each(?))"
    for query in (
        f"INSERT INTO statements ({_COLUMNS}) SELECT {_COLUMNS} FROM removed_statements WHERE id {where}",  # noqa: S608
        f"INSERT INTO vectors ({_VECTOR_COLUMNS}) SELECT {_VECTOR_COLUMNS} FROM removed_vectors "  # noqa: S608
        f"WHERE statement_id {where} ORDER BY statement_id, rowid",
    ):
        db.execute(query, (wanted,))
    back = db.execute(f"DELETE FROM removed_statements WHERE id {where} RETURNING id", (wanted,)).fetchall()  # noqa: S608
    found = rows.statements_of(db, [id_ for (id_,) in back])
    for each in found:
        rows.insert_event(db, "stored", each.id, each.text, now)
    return found


def undo(db: sqlite3.Connection, act: int, now: float) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
    """Take back an act: returns the statements brought back, and those taken out that it had stored.

    These stay aside too, and can be brought back by their ids.
    """
    stored = [id_ for (id_,) in db.execute("SELECT statement_id FROM events WHERE act = ? AND kind = 'stored'", (act,))]
    removed = [id_ for (id_,) in db.execute("SELECT id FROM removed_statements WHERE act = ?", (act,))]
    taken = rows.statements_of(db, stored)
    remove(db, taken, now, None)
    back = bring_back(db, removed, now)
    db.execute("UPDATE events SET act = NULL WHERE act = ?", (act,))
    db.execute("UPDATE removed_statements SET act = NULL WHERE act = ?", (act,))
    return back, taken


def expire(db: sqlite3.Connection, now: float) -> None:
    """Let go of what was removed too long ago."""
    newest = last_act(db) or 0
    db.execute(
        "DELETE FROM removed_statements WHERE removed_at < ? OR act <= ?",
        (now - DAYS_KEPT * _DAY, newest - ACTS_KEPT),
    )


def removed(db: sqlite3.Connection) -> tuple[Removed, ...]:
    """Everything that can be brought back, the last removed first."""
    found = db.execute(
        "SELECT id, text, role, removed_at, vector_count FROM removed_statements ORDER BY removed_at DESC, id DESC"
    )
    return tuple(Removed(*row) for row in found)
