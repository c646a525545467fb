"""What was deleted can be brought back for a while: moved aside in the database, not purged. The caller holds the
transaction.

An act is what one turn or one command did, or what was learned from one file. Statements keep their ids when they come
back; vectors get new ones.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

from varda_chat.memory import queries
from varda_chat.memory.records import Removed, Statement, Undone

ACTS_KEPT = 100
DAYS_KEPT = 7.0
"""What was removed before the last ACTS_KEPT acts, or more than DAYS_KEPT of use ago, is erased for good."""

_DAY = 24 * 3600.0
_COLUMNS = (
    "id, text, role, session, created_at, recalled_at, recall_count, pinned, fingerprint, strength, vector_count, "
    "key, crc, follows"
)
_VECTOR_COLUMNS = "statement_id, token_id, token, strength, crc, vector"
_AMONG = "IN (SELECT value FROM json_each(?))"
_RESTORE = (
    f"INSERT INTO statements ({_COLUMNS}, act) SELECT {_COLUMNS}, stored_act FROM removed_statements WHERE id = ?"
)
_RESTORE_VECTORS = (
    f"INSERT INTO vectors ({_VECTOR_COLUMNS}) SELECT {_VECTOR_COLUMNS} FROM removed_vectors WHERE statement_id = ? "
    "ORDER BY rowid"
)
_MERGE = (
    "UPDATE statements SET pinned = max(statements.pinned, r.pinned), strength = max(statements.strength, r.strength), "
    "recall_count = statements.recall_count + r.recall_count, act = r.stored_act "
    "FROM removed_statements r WHERE r.id = ? AND statements.id = ?"
)


def last_act(db: sqlite3.Connection) -> int | None:
    """The last act that can be undone."""
    row = db.execute(
        "SELECT max(act) FROM (SELECT max(act) AS act FROM statements WHERE act IS NOT NULL "
        "UNION ALL SELECT max(act) FROM removed_statements)"
    ).fetchone()
    return None if row[0] is None else int(row[0])


def next_act(db: sqlite3.Connection) -> int:
    """The number of the act that begins."""
    return (last_act(db) or 0) + 1


def remove(db: sqlite3.Connection, deleted: Sequence[Statement], now: float, act: int | None) -> None:
    """Take statements out of the memory, each with a "deleted" event, keeping them aside."""
    if deleted:
        ids = json.dumps([each.id for each in deleted])
        db.execute(
            f"INSERT OR REPLACE INTO removed_statements ({_COLUMNS}, stored_act, act, removed_at, removed_age) "
            f"SELECT {_COLUMNS}, act, ?, ?, ? FROM statements WHERE id {_AMONG}",
            (act, now, _grown(db, now), ids),
        )
        db.execute(
            f"INSERT INTO removed_vectors SELECT {_VECTOR_COLUMNS} FROM vectors WHERE statement_id {_AMONG} "
            "ORDER BY statement_id, id",
            (ids,),
        )
        db.execute(f"DELETE FROM statements WHERE id {_AMONG}", (ids,))
        queries.insert_events(db, "deleted", [(each.id, each.text) for each in deleted], now)
    expire(db, now)


def bring_back(db: sqlite3.Connection, ids: Iterable[int], now: float) -> tuple[Statement, ...]:
    """Put removed statements back, each with a "stored" event; returns those that could be.

    Where one was told again since, the statement that says the same is returned in its place: it is then as if the
    first had never been removed, pinned where either was, with the recalls of both, and stored by the first one's act.
    """
    wanted = json.dumps([int(id_) for id_ in ids])
    query = f"SELECT id, role, text FROM removed_statements WHERE id {_AMONG} ORDER BY id"
    restored, merged = [], []
    for id_, role, text in db.execute(query, (wanted,)).fetchall():
        same = queries.statement_like(db, role, text)
        if same is None:
            db.execute(_RESTORE, (id_,))
            db.execute(_RESTORE_VECTORS, (id_,))
            restored.append((id_, text))
        else:
            db.execute(_MERGE, (id_, same.id))
            db.execute("UPDATE events SET statement_id = ? WHERE statement_id = ?", (same.id, id_))
            db.execute("UPDATE statements SET follows = ? WHERE follows = ?", (same.id, id_))
            merged.append(same.id)
    db.execute(f"DELETE FROM removed_statements WHERE id {_AMONG}", (wanted,))
    if restored:
        queries.insert_events(db, "stored", restored, now)
    return queries.statements_of(db, [*(id_ for id_, _ in restored), *merged])


def undo(db: sqlite3.Connection, act: int, now: float) -> Undone:
    """Take back one part of an act: what it deleted comes back; where it deleted nothing (any more), what it stored is
    removed. So an undo that is meant for a delete costs no statement of the same turn.

    What is removed stays aside, and can be brought back by its ids.
    """
    removed = [id_ for (id_,) in db.execute("SELECT id FROM removed_statements WHERE act = ?", (act,))]
    if removed:
        back = bring_back(db, removed, now)
        db.execute("UPDATE removed_statements SET act = NULL WHERE act = ?", (act,))
        return Undone(restored=back, left=_stored_by(db, act))
    stored = _stored_by(db, act)
    db.execute("UPDATE statements SET act = NULL WHERE act = ?", (act,))
    remove(db, stored, now, None)
    return Undone(removed=stored)


def _stored_by(db: sqlite3.Connection, act: int) -> tuple[Statement, ...]:
    return queries.statements_of(db, [id_ for (id_,) in db.execute("SELECT id FROM statements WHERE act = ?", (act,))])


def expire(db: sqlite3.Connection, now: float) -> None:
    """Let go of what was removed too long ago."""
    oldest = (last_act(db) or 0) - ACTS_KEPT
    db.execute("DELETE FROM removed_statements WHERE removed_age < ?", (_grown(db, now) - DAYS_KEPT * _DAY,))
    db.execute("DELETE FROM removed_statements WHERE act <= ?", (oldest,))
    db.execute("UPDATE statements SET act = NULL WHERE act <= ?", (oldest,))


def _grown(db: sqlite3.Connection, now: float) -> float:
    """How long the memory has been in use, in seconds, after noting that it is ``now``.

    From one note to the next at most a day counts: where the clock was set years ahead for a while, nothing is let go
    of, and a memory that was not used for weeks keeps what can be brought back.
    """
    age, seen = db.execute("SELECT age, seen_at FROM meta").fetchone()
    if seen is not None:
        age += min(max(now - seen, 0.0), _DAY)
    db.execute("UPDATE meta SET age = ?, seen_at = ?", (age, now))
    return float(age)


def removed(db: sqlite3.Connection) -> tuple[Removed, ...]:
    """Everything that can be brought back, the last removed first."""
    found = db.execute(
        "SELECT id, text, role, removed_at, vector_count FROM removed_statements ORDER BY removed_at DESC, id DESC"
    )
    return tuple(Removed(*row) for row in found)
