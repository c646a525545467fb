"""Every query on an open memory.db, as functions of a connection; the caller holds the transaction. Vectors are read
with their checksums."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields

import numpy as np
import numpy.typing as npt

from varda_chat.memory.records import (
    Imported,
    MemoryEvent,
    NewStatement,
    NewVector,
    Statement,
    StoredVector,
    normal_form,
    statement_key,
)
from varda_chat.storage.row_checksums import text_crc

EVENTS_KEPT = 1000
"""Older events are dropped."""

_STATEMENT = "SELECT id, text, role, session, created_at, pinned, vector_count, recall_count FROM statements "
_NEWEST_FIRST = _STATEMENT + "ORDER BY id DESC LIMIT ?"
_OLDEST_FIRST = _STATEMENT + "ORDER BY id LIMIT ?"
_AMONG = _STATEMENT + "WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"  # noqa: S608 - only constants
_FOLLOWED = _STATEMENT + "WHERE id = (SELECT follows FROM statements WHERE id = ?)"  # noqa: S608 - only constants
_STORED_VECTOR_FIELDS = tuple(field.name for field in fields(StoredVector))


def _statement(row: tuple[int, str, str, str, float, int, int, int]) -> Statement:
    id_, text, role, session, created_at, pinned, vector_count, recall_count = row
    return Statement(id_, text, role, session, created_at, bool(pinned), vector_count, recall_count)


# Reading


def statement(db: sqlite3.Connection, statement_id: int) -> Statement | None:
    """The statement of that id, if there is one."""
    row = db.execute(_STATEMENT + "WHERE id = ?", (statement_id,)).fetchone()
    return None if row is None else _statement(row)


def statement_before(db: sqlite3.Connection, statement_id: int) -> Statement | None:
    """The statement that the one of that id follows in its message, if it is in memory."""
    row = db.execute(_FOLLOWED, (statement_id,)).fetchone()
    return None if row is None else _statement(row)


def set_follows(db: sqlite3.Connection, followed: Iterable[tuple[int, int]]) -> None:
    """Note of statements, (id, id) each, which one they follow in their message."""
    db.executemany("UPDATE statements SET follows = ? WHERE id = ?", [(before, id_) for id_, before in followed])


def statements(db: sqlite3.Connection, limit: int | None, newest_first: bool) -> tuple[Statement, ...]:
    """All statements, or ``limit`` of them."""
    query = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
    return tuple(map(_statement, db.execute(query, (-1 if limit is None else limit,))))


def statements_of(db: sqlite3.Connection, ids: Iterable[int]) -> tuple[Statement, ...]:
    """Those of ``ids`` that exist, the oldest first."""
    wanted = json.dumps([int(id_) for id_ in ids])
    return tuple(map(_statement, db.execute(_AMONG, (wanted,))))


def statement_like(db: sqlite3.Connection, role: str, text: str) -> Statement | None:
    """The oldest statement of ``role`` that says the same as ``text``, if there is one."""
    found = db.execute(_STATEMENT + "WHERE key = ? AND role = ? ORDER BY id", (statement_key(role, text), role))
    same = (each for each in map(_statement, found) if normal_form(each.text) == normal_form(text))
    return next(same, None)


def foreign_statements(db: sqlite3.Connection, fingerprint: str) -> tuple[Statement, ...]:
    """Statements with no vectors of the model ``fingerprint``, the oldest first."""
    return tuple(map(_statement, db.execute(_STATEMENT + "WHERE fingerprint != ? ORDER BY id", (fingerprint,))))


def stored_vector(db: sqlite3.Connection, vector_id: int) -> StoredVector | None:
    """What is known of that vector, if there is one."""
    row = db.execute(
        "SELECT v.id, s.id, s.text, v.token, v.token_id, s.role, s.session, s.created_at, s.recalled_at, "
        "s.recall_count, s.pinned, s.fingerprint, v.strength "
        "FROM vectors v JOIN statements s ON s.id = v.statement_id WHERE v.id = ?",
        (vector_id,),
    ).fetchone()
    if row is None:
        return None
    return StoredVector(**dict(zip(_STORED_VECTOR_FIELDS, row, strict=True)) | {"pinned": bool(row[10])})


def tokens(db: sqlite3.Connection, statement_id: int) -> tuple[str, ...]:
    """The tokens of a statement's vectors."""
    found = db.execute("SELECT token FROM vectors WHERE statement_id = ? ORDER BY id", (statement_id,))
    return tuple(token for (token,) in found)


def fingerprints(db: sqlite3.Connection) -> dict[str, int]:
    """Statements a model."""
    return dict(db.execute("SELECT fingerprint, count(*) FROM statements GROUP BY fingerprint ORDER BY fingerprint"))


def exported(db: sqlite3.Connection, ids: Iterable[int] | None = None) -> Iterator[Imported]:
    """Every statement (or those of ``ids``), the oldest first; one with a damaged vector goes without vectors."""
    wanted = None if ids is None else json.dumps([int(id_) for id_ in ids])
    found = db.execute(
        "SELECT id, text, role, session, created_at, recalled_at, recall_count, pinned, fingerprint, follows "
        "FROM statements WHERE ?1 IS NULL OR id IN (SELECT value FROM json_each(?1)) ORDER BY id",
        (wanted,),
    )
    for id_, text, role, session, created_at, recalled_at, recall_count, pinned, fingerprint, follows in found:
        vectors = db.execute(
            "SELECT vector, crc, token_id, token, strength FROM vectors WHERE statement_id = ? ORDER BY id", (id_,)
        ).fetchall()
        whole = bool(vectors) and all(is_intact_vector(blob, crc, len(blob) // 4) for blob, crc, *_ in vectors)
        new = tuple(NewVector(np.frombuffer(blob, dtype=DTYPE), *others) for blob, _, *others in vectors if whole)
        yield Imported(
            NewStatement(text, role, new),
            session,
            created_at,
            recalled_at,
            recall_count,
            bool(pinned),
            fingerprint if whole else "",
            id_,
            follows,
        )


def events(db: sqlite3.Connection, limit: int) -> list[MemoryEvent]:
    """The last ``limit`` events, newest first."""
    rows = db.execute("SELECT kind, statement_id, text, at FROM events ORDER BY id DESC LIMIT ?", (limit,))
    return [MemoryEvent(*row) for row in rows]


def retention_table(db: sqlite3.Connection, fingerprint: str) -> npt.NDArray[np.float64]:
    """(n, 6) a searchable statement: id, vector count, strength, recall count, last use, pinned."""
    rows = db.execute(
        "SELECT id, vector_count, strength, recall_count, coalesce(recalled_at, created_at), pinned "
        "FROM statements WHERE fingerprint = ? ORDER BY id",
        (fingerprint,),
    ).fetchall()
    return np.array(rows, dtype=np.float64).reshape(-1, 6)


# Writing


def insert_statement(
    db: sqlite3.Connection,
    new: NewStatement,
    *,
    session: str,
    fingerprint: str,
    now: float,
    act: int,
    said_at: float | None = None,
) -> tuple[Statement, list[int]]:
    """Store ``new`` with its vectors and a "stored" event, as a part of ``act``; returns it with its vectors' ids.

    said_at: when it was said, where that is not now."""
    created_at = now if said_at is None else min(said_at, now)
    cursor = db.execute(
        "INSERT INTO statements (text, role, session, created_at, fingerprint, strength, vector_count, key, act, crc) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new.text,
            new.role,
            session,
            created_at,
            fingerprint if new.vectors else "",
            strength(new.vectors),
            len(new.vectors),
            statement_key(new.role, new.text),
            act,
            text_crc(new.text),
        ),
    )
    id_ = int(cursor.lastrowid or 0)
    ids = insert_vectors(db, id_, new.vectors)
    insert_events(db, "stored", [(id_, new.text)], now)
    return Statement(id_, new.text, new.role, session, created_at, False, len(ids), 0), ids


def take_in(
    db: sqlite3.Connection, imported: Iterable[Imported], now: float, act: int, ids: dict[int, int]
) -> list[Statement]:
    """Store statements of another memory, but for those that are here already; returns the new ones. ``ids``: from the
    other memory's ids to those here, as far as they are known; grows."""
    new = []
    for each in imported:
        here = statement_like(db, each.new.role, each.new.text)
        if here is None:
            here = _insert_imported(db, each, now, act)
            new.append(here)
            if each.follows in ids:
                set_follows(db, [(here.id, ids[each.follows])])
        if each.id is not None:
            ids[each.id] = here.id
    return new


def _insert_imported(db: sqlite3.Connection, imported: Imported, now: float, act: int) -> Statement:
    """Store a statement of another memory with what that one knew of it; returns it."""
    statement, _ = insert_statement(
        db, imported.new, session=imported.session, fingerprint=imported.fingerprint, now=now, act=act
    )
    db.execute(
        "UPDATE statements SET created_at = ?, recalled_at = ?, recall_count = ?, pinned = ? WHERE id = ?",
        (imported.created_at, imported.recalled_at, imported.recall_count, imported.pinned, statement.id),
    )
    return statement


def has_vectors(db: sqlite3.Connection, statement_id: int, fingerprint: str) -> bool:
    """Whether the statement's vectors are of the model ``fingerprint``."""
    return (
        db.execute("SELECT 1 FROM statements WHERE id = ? AND fingerprint = ?", (statement_id, fingerprint)).fetchone()
        is not None
    )


def insert_vectors(db: sqlite3.Connection, statement_id: int, new: Iterable[NewVector]) -> list[int]:
    """Store vectors of a statement; returns their ids, which ascend."""
    ids = []
    for vector in new:
        blob = np.ascontiguousarray(vector.vector, dtype=DTYPE).tobytes()
        cursor = db.execute(
            "INSERT INTO vectors (statement_id, token_id, token, strength, crc, vector) VALUES (?, ?, ?, ?, ?, ?)",
            (statement_id, vector.token_id, vector.token, vector.strength, zlib.crc32(blob), blob),
        )
        ids.append(int(cursor.lastrowid or 0))
    return ids


def replace_vectors(
    db: sqlite3.Connection, statement_id: int, new: tuple[NewVector, ...], fingerprint: str
) -> list[int]:
    """Put ``new`` in place of all vectors of a statement; returns their ids."""
    db.execute("DELETE FROM vectors WHERE statement_id = ?", (statement_id,))
    db.execute(
        "UPDATE statements SET fingerprint = ?, strength = ?, vector_count = ? WHERE id = ?",
        (fingerprint, strength(new), len(new), statement_id),
    )
    return insert_vectors(db, statement_id, new)


def insert_events(db: sqlite3.Connection, kind: str, said: Sequence[tuple[int, str]], at: float) -> None:
    """Note what happened to statements (id, text), and drop the events before the last EVENTS_KEPT."""
    db.executemany(
        "INSERT INTO events (kind, statement_id, text, at, crc) VALUES (?, ?, ?, ?, ?)",
        [(kind, id_, text, at, text_crc(text)) for id_, text in said[-EVENTS_KEPT:]],
    )
    db.execute("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", (EVENTS_KEPT,))


def refresh(db: sqlite3.Connection, statement_id: int, strength: float, now: float) -> None:
    """Note that a statement was told again: that counts as a recall, and the surer store decision holds."""
    mark_recalled(db, [statement_id], now)
    db.execute("UPDATE statements SET strength = max(strength, ?) WHERE id = ?", (strength, statement_id))


def set_text(db: sqlite3.Connection, statement: Statement, text: str, now: float) -> None:
    """Give a statement other words. Its vectors go: it waits to be read again."""
    db.execute("DELETE FROM vectors WHERE statement_id = ?", (statement.id,))
    db.execute(
        "UPDATE statements SET text = ?, key = ?, crc = ?, fingerprint = '', vector_count = 0 WHERE id = ?",
        (text, statement_key(statement.role, text), text_crc(text), statement.id),
    )
    insert_events(db, "stored", [(statement.id, text)], now)


def passages_learned(db: sqlite3.Connection, digest: str) -> int:
    """How many passages of the file with that content are in memory."""
    row = db.execute("SELECT passages FROM learned WHERE digest = ?", (digest,)).fetchone()
    return 0 if row is None else int(row[0])


def set_passages_learned(db: sqlite3.Connection, digest: str, passages: int) -> None:
    """Note that the first ``passages`` passages of a file are in memory."""
    db.execute("INSERT OR REPLACE INTO learned VALUES (?, ?)", (digest, passages))


def mark_recalled(db: sqlite3.Connection, statement_ids: Iterable[int], now: float) -> None:
    """Count one recall for each statement."""
    db.executemany(
        "UPDATE statements SET recall_count = recall_count + 1, recalled_at = ? WHERE id = ?",
        [(now, int(id_)) for id_ in statement_ids],
    )


def mark_unreadable(db: sqlite3.Connection, statement_ids: Iterable[int]) -> None:
    """Take statements out of the search until their texts have been read again."""
    db.executemany("UPDATE statements SET fingerprint = '' WHERE id = ?", [(id_,) for id_ in statement_ids])


def set_pinned(db: sqlite3.Connection, statement_ids: Iterable[int], pinned: bool) -> int:
    """Pin or unpin; returns how many of the statements there are."""
    ids = json.dumps([int(id_) for id_ in statement_ids])
    query = "UPDATE statements SET pinned = ? WHERE id IN (SELECT value FROM json_each(?))"
    return db.execute(query, (pinned, ids)).rowcount


def strength(vectors: Iterable[NewVector]) -> float:
    """How sure the store decision was of a statement: of its surest vector."""
    return max((vector.strength for vector in vectors), default=0.0)


DTYPE = np.dtype("<f4")


def vectors_of_model(db: sqlite3.Connection, fingerprint: str) -> list[tuple[int, int, int]]:
    """(id, statement id, token id) of every vector of the model ``fingerprint``."""
    return db.execute(
        "SELECT v.id, v.statement_id, v.token_id FROM statements s JOIN vectors v ON v.statement_id = s.id "
        "WHERE s.fingerprint = ?",
        (fingerprint,),
    ).fetchall()


def vector_count(db: sqlite3.Connection, fingerprint: str) -> int:
    """Vectors of the model ``fingerprint``."""
    count = db.execute("SELECT total(vector_count) FROM statements WHERE fingerprint = ?", (fingerprint,))
    return int(count.fetchone()[0])


def all_vectors(
    db: sqlite3.Connection, fingerprint: str, dim: int, after: int = -1
) -> Iterator[tuple[int, int, npt.NDArray[np.float32] | None]]:
    """(id, statement id, vector (dim,)) of all of ``fingerprint`` beyond the id ``after``, by id; None for a damaged
    vector."""
    rows = db.execute(
        "SELECT v.id, v.statement_id, v.crc, v.vector "
        "FROM vectors v CROSS JOIN statements s ON s.id = v.statement_id "  # CROSS: in this order, not sorted after
        "WHERE v.id > ? AND s.fingerprint = ? ORDER BY v.id",
        (after, fingerprint),
    )
    for id_, statement_id, crc, blob in rows:
        yield id_, statement_id, np.frombuffer(blob, dtype=DTYPE) if is_intact_vector(blob, crc, dim) else None


def vector_sample(db: sqlite3.Connection, fingerprint: str, most: int) -> npt.NDArray[np.float32]:
    """(n, dim) undamaged vectors of the model ``fingerprint``: all, or ``most`` of them drawn at random, the same ones
    each time."""
    ids = np.sort(np.array([id_ for id_, _, _ in vectors_of_model(db, fingerprint)], dtype=np.int64))
    if len(ids) > most:
        ids = np.sort(np.random.default_rng(0).choice(ids, size=most, replace=False))
    found = db.execute(
        "SELECT vector, crc FROM vectors WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (json.dumps(ids.tolist()),),
    )
    whole = (blob for blob, crc in found if is_intact_vector(blob, crc, len(blob) // DTYPE.itemsize))
    drawn = [np.frombuffer(blob, dtype=DTYPE) for blob in whole]
    drawn = [each for each in drawn if len(each) == len(drawn[-1])]  # of one dimension, that of the newest
    return np.stack(drawn) if drawn else np.zeros((0, 1), dtype=np.float32)


def intact_vectors(
    db: sqlite3.Connection, statement_id: int, fingerprint: str, dim: int
) -> tuple[list[int], list[NewVector]]:
    """Ids and vectors of a statement, where they are of ``fingerprint`` and undamaged."""
    found = db.execute(
        "SELECT v.id, v.vector, v.crc, v.token_id, v.token, v.strength "
        "FROM vectors v JOIN statements s ON s.id = v.statement_id "
        "WHERE s.id = ? AND s.fingerprint = ? ORDER BY v.id",
        (statement_id, fingerprint),
    )
    ids, vectors = [], []
    for id_, blob, crc, token_id, token, strength in found:
        if is_intact_vector(blob, crc, dim):
            ids.append(int(id_))
            vectors.append(NewVector(np.frombuffer(blob, dtype=DTYPE), token_id, token, strength))
    return ids, vectors


def vector_means(
    db: sqlite3.Connection, fingerprint: str, dim: int, statement_ids: Iterable[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Those of ``statement_ids`` with undamaged vectors of ``fingerprint``, ascending (n,), and the means of these
    vectors (n, dim)."""
    found = db.execute(
        "SELECT v.statement_id, v.vector, v.crc FROM vectors v JOIN statements s ON s.id = v.statement_id "
        "WHERE s.id IN (SELECT value FROM json_each(?)) AND s.fingerprint = ? ORDER BY s.id",
        (json.dumps([int(id_) for id_ in statement_ids]), fingerprint),
    )
    whole = [(id_, blob) for id_, blob, crc in found if is_intact_vector(blob, crc, dim)]
    if not whole:
        return np.zeros(0, dtype=np.int64), np.zeros((0, dim), dtype=np.float32)
    vectors = np.frombuffer(b"".join(blob for _, blob in whole), dtype=DTYPE).reshape(-1, dim)
    owners = np.array([id_ for id_, _ in whole], dtype=np.int64)
    ids, firsts, counts = np.unique(owners, return_index=True, return_counts=True)
    sums = np.add.reduceat(vectors.astype(np.float64), firsts)
    return ids, (sums / counts[:, None]).astype(np.float32)


def is_intact_vector(blob: object, crc: int, dim: int) -> bool:
    return isinstance(blob, bytes) and len(blob) == dim * DTYPE.itemsize and zlib.crc32(blob) == crc
