"""Vectors as memory.db keeps them, read with their checksums; the caller holds the transaction."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from varda_chat.memory.records import NewVector

DTYPE = np.dtype("<f4")


def of_model(db: sqlite3.Connection, fingerprint: str) -> list[tuple[int, int, int]]:
    """(id, statement id, token id) of every vector of the model ``fingerprint``."""
    return db.execute(
        "SELECT v.id, v.statement_id, v.token_id FROM statements s JOIN vectors v ON v.statement_id = s.id "
        "WHERE s.fingerprint = ?",
        (fingerprint,),
    ).fetchall()


def count(db: sqlite3.Connection, fingerprint: str) -> int:
    """Vectors of the model ``fingerprint``."""
    count = db.execute("SELECT total(vector_count) FROM statements WHERE fingerprint = ?", (fingerprint,))
    return int(count.fetchone()[0])


def vectors(
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
        yield id_, statement_id, np.frombuffer(blob, dtype=DTYPE) if is_intact(blob, crc, dim) else None


def drawn(db: sqlite3.Connection, fingerprint: str, most: int) -> npt.NDArray[np.float32]:
    """(n, dim) undamaged vectors of the model ``fingerprint``: all, or ``most`` of them drawn at random, the same ones
    each time."""
    ids = np.sort(np.array([id_ for id_, _, _ in of_model(db, fingerprint)], dtype=np.int64))
    if len(ids) > most:
        ids = np.sort(np.random.default_rng(0).choice(ids, size=most, replace=False))
    found = db.execute(
        "SELECT vector, crc FROM vectors WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (json.dumps(ids.tolist()),),
    )
    whole = (blob for blob, crc in found if is_intact(blob, crc, len(blob) // DTYPE.itemsize))
    drawn = [np.frombuffer(blob, dtype=DTYPE) for blob in whole]
    drawn = [each for each in drawn if len(each) == len(drawn[-1])]  # of one dimension, that of the newest
    return np.stack(drawn) if drawn else np.zeros((0, 1), dtype=np.float32)


def intact(db: sqlite3.Connection, statement_id: int, fingerprint: str, dim: int) -> tuple[list[int], list[NewVector]]:
    """Ids and vectors of a statement, where they are of ``fingerprint`` and undamaged."""
    found = db.execute(
        "SELECT v.id, v.vector, v.crc, v.token_id, v.token, v.strength "
        "FROM vectors v JOIN statements s ON s.id = v.statement_id "
        "WHERE s.id = ? AND s.fingerprint = ? ORDER BY v.id",
        (statement_id, fingerprint),
    )
    ids, vectors = [], []
    for id_, blob, crc, token_id, token, strength in found:
        if is_intact(blob, crc, dim):
            ids.append(int(id_))
            vectors.append(NewVector(np.frombuffer(blob, dtype=DTYPE), token_id, token, strength))
    return ids, vectors


def means(
    db: sqlite3.Connection, fingerprint: str, dim: int, statement_ids: Iterable[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Those of ``statement_ids`` with undamaged vectors of ``fingerprint``, ascending (n,), and the means of these
    vectors (n, dim)."""
    found = db.execute(
        "SELECT v.statement_id, v.vector, v.crc FROM vectors v JOIN statements s ON s.id = v.statement_id "
        "WHERE s.id IN (SELECT value FROM json_each(?)) AND s.fingerprint = ? ORDER BY s.id",
        (json.dumps([int(id_) for id_ in statement_ids]), fingerprint),
    )
    whole = [(id_, blob) for id_, blob, crc in found if is_intact(blob, crc, dim)]
    if not whole:
        return np.zeros(0, dtype=np.int64), np.zeros((0, dim), dtype=np.float32)
    vectors = np.frombuffer(b"".join(blob for _, blob in whole), dtype=DTYPE).reshape(-1, dim)
    owners = np.array([id_ for id_, _ in whole], dtype=np.int64)
    ids, firsts, counts = np.unique(owners, return_index=True, return_counts=True)
    sums = np.add.reduceat(vectors.astype(np.float64), firsts)
    return ids, (sums / counts[:, None]).astype(np.float32)


def is_intact(blob: object, crc: int, dim: int) -> bool:
    return isinstance(blob, bytes) and len(blob) == dim * DTYPE.itemsize and zlib.crc32(blob) == crc
