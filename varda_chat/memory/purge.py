"""The purge of statements, as rows of memory.db: written down before it begins, wiped, and struck out at its end.

The caller holds the transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from varda_chat.storage.words import FORGOTTEN_TEXT, Words

_AMONG = "IN (SELECT value FROM json_each(?))"
_WIPE_REMOVED = f"DELETE FROM removed_statements WHERE id {_AMONG} OR id {_AMONG}"  # noqa: S608 - only constants
_WIPE_EVENTS = f"UPDATE events SET text = ?, act = NULL, crc = NULL WHERE statement_id {_AMONG} OR id {_AMONG}"  # noqa: S608


@dataclass(frozen=True)
class Purge:
    """What is to leave no trace: the statements ``ids``, and whatever holds one of ``words``."""

    id: int
    ids: frozenset[int]
    words: Words


def write_down(db: sqlite3.Connection, ids: Iterable[int], texts: Iterable[str]) -> Purge:
    """Note a purge of the statements ``ids`` and of all that holds one of ``texts``.

    What those statements say, and said before they were edited, is a part of it.
    """
    wanted, words = {int(id_) for id_ in ids}, Words(texts)
    wanted |= _holding(db, words)
    said = {text for id_, text in _texts(db) if id_ in wanted or words.stand_in(text)}
    purge = Purge(0, frozenset(wanted), Words({*words.texts, *said} - {FORGOTTEN_TEXT}))
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
    gone = json.dumps(
        [id_ for id_, text in db.execute("SELECT id, text FROM removed_statements") if purge.words.stand_in(text)]
    )
    db.execute(_WIPE_REMOVED, (ids, gone))
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
