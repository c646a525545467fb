"""The tables of memory.db, as numbered migrations (``PRAGMA user_version`` counts those already applied), and the
settings that a memory keeps in them: how large it is, how it is searched and what it forgets."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from varda_chat.config.defaults import DEFAULT_MEMORY_SIZE, MAX_MEMORY_SIZE
from varda_chat.errors import VardaError
from varda_chat.memory.records import statement_key
from varda_chat.storage.row_checksums import text_crc
from varda_chat.storage.sqlite import transaction

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # generation counts the transactions that changed vectors; stamp tells apart two histories (a restored
        # backup, say) that reached the same count
        """CREATE TABLE meta (
            only INTEGER PRIMARY KEY CHECK (only = 1),
            generation INTEGER NOT NULL,
            stamp TEXT NOT NULL
        )""",
        "INSERT INTO meta VALUES (1, 0, lower(hex(randomblob(8))))",
        # AUTOINCREMENT: an id that was deleted is never given again.
        # fingerprint: of the model whose vectors these are; '' where there are none that can be searched
        """CREATE TABLE statements (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            text TEXT NOT NULL,
            role TEXT NOT NULL,
            session TEXT NOT NULL,
            created_at REAL NOT NULL,
            recalled_at REAL,
            recall_count INTEGER NOT NULL DEFAULT 0,
            pinned INTEGER NOT NULL DEFAULT 0,
            fingerprint TEXT NOT NULL,
            strength REAL NOT NULL,
            vector_count INTEGER NOT NULL
        )""",
        # crc: zlib.crc32 of vector, which is little-endian float32
        """CREATE TABLE vectors (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            statement_id INTEGER NOT NULL REFERENCES statements (id) ON DELETE CASCADE,
            token_id INTEGER NOT NULL,
            token TEXT NOT NULL,
            strength REAL NOT NULL,
            crc INTEGER NOT NULL,
            vector BLOB NOT NULL
        )""",
        # covers the columns that are read at every start, which so need not touch the vectors
        "CREATE INDEX vectors_by_statement ON vectors (statement_id, token_id)",
        # not a foreign key: an event outlives its statement
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL CHECK (kind IN ('stored', 'deleted')),
            statement_id INTEGER NOT NULL,
            text TEXT NOT NULL,
            at REAL NOT NULL
        )""",
        "CREATE INDEX events_by_statement ON events (statement_id)",
    ),
    (
        # key: sameness.statement_key, by which the same thing said twice is found
        "ALTER TABLE statements ADD COLUMN key INTEGER NOT NULL DEFAULT 0",
        "UPDATE statements SET key = statement_key(role, text)",
        "CREATE INDEX statements_by_key ON statements (key)",
        # act: what was done together is undone together; NULL where it cannot be undone
        "ALTER TABLE events ADD COLUMN act INTEGER",
        # what was deleted, for as long as it can be brought back (see undo.py)
        """CREATE TABLE removed_statements (
            id INTEGER PRIMARY KEY,
            text TEXT NOT NULL,
            role TEXT NOT NULL,
            session TEXT NOT NULL,
            created_at REAL NOT NULL,
            recalled_at REAL,
            recall_count INTEGER NOT NULL,
            pinned INTEGER NOT NULL,
            fingerprint TEXT NOT NULL,
            strength REAL NOT NULL,
            vector_count INTEGER NOT NULL,
            key INTEGER NOT NULL,
            act INTEGER,
            removed_at REAL NOT NULL
        )""",
        """CREATE TABLE removed_vectors (
            statement_id INTEGER NOT NULL REFERENCES removed_statements (id) ON DELETE CASCADE,
            token_id INTEGER NOT NULL,
            token TEXT NOT NULL,
            strength REAL NOT NULL,
            crc INTEGER NOT NULL,
            vector BLOB NOT NULL
        )""",
        "CREATE INDEX removed_vectors_by_statement ON removed_vectors (statement_id)",
        # how many passages of a file (by the SHA-256 of its content) are in memory
        "CREATE TABLE learned (digest TEXT PRIMARY KEY, passages INTEGER NOT NULL)",
    ),
    (
        # act moves from events, of which only the last are kept: undoing an import must take back all of it
        "ALTER TABLE statements ADD COLUMN act INTEGER",
        """UPDATE statements SET act = (
            SELECT max(act) FROM events WHERE kind = 'stored' AND statement_id = statements.id
        ) WHERE id IN (SELECT statement_id FROM events WHERE kind = 'stored' AND act IS NOT NULL)""",
        "ALTER TABLE removed_statements ADD COLUMN stored_act INTEGER",
        """UPDATE removed_statements SET stored_act = (
            SELECT max(act) FROM events WHERE kind = 'stored' AND statement_id = removed_statements.id
        )""",
        "CREATE INDEX statements_by_act ON statements (act) WHERE act IS NOT NULL",
        "CREATE INDEX removed_statements_by_act ON removed_statements (act)",
        "CREATE INDEX removed_statements_by_time ON removed_statements (removed_at)",
        # the stamp of each of the last generations: an index file of one of them need only catch up
        "CREATE TABLE history (generation INTEGER PRIMARY KEY, stamp TEXT NOT NULL)",
        "INSERT INTO history SELECT generation, stamp FROM meta",
        "ALTER TABLE meta ADD COLUMN index_type TEXT NOT NULL DEFAULT 'flat'",
    ),
    (
        # capacity: in vectors; NULL until a model has opened the memory, whose settings it then begins with
        "ALTER TABLE meta ADD COLUMN capacity INTEGER",
        "UPDATE meta SET capacity = 10000 WHERE generation > 0",
        "ALTER TABLE meta ADD COLUMN num_clusters INTEGER NOT NULL DEFAULT 1024",
        # the share of the unpinned statements that is forgotten at random when a session ends
        "ALTER TABLE meta ADD COLUMN forgetfulness REAL NOT NULL DEFAULT 0",
    ),
    (
        # a purge that has begun, until nothing is left of what it erases: ids of statements, and texts, as JSON
        "CREATE TABLE purges (id INTEGER PRIMARY KEY, ids TEXT NOT NULL, texts TEXT NOT NULL)",
        # crc: row_checksums.text_crc of text; NULL where it is not known
        "ALTER TABLE statements ADD COLUMN crc INTEGER",
        "ALTER TABLE removed_statements ADD COLUMN crc INTEGER",
        "ALTER TABLE events ADD COLUMN crc INTEGER",
        "UPDATE statements SET crc = text_crc(text)",
        "UPDATE removed_statements SET crc = text_crc(text)",
        "UPDATE events SET crc = text_crc(text)",
        # how long the memory has been in use, in seconds, by a clock of its own that no jump of the computer's moves
        # by more than a day, and what the computer's said last; what was removed counts its age by it
        "ALTER TABLE meta ADD COLUMN age REAL NOT NULL DEFAULT 0",
        "ALTER TABLE meta ADD COLUMN seen_at REAL",
        "ALTER TABLE removed_statements ADD COLUMN removed_age REAL NOT NULL DEFAULT 0",
    ),
    (
        # the id of the statement that was said right before it in the same message; NULL where that was not stored.
        # Not a foreign key: what is forgotten may come back, and no id is given twice
        "ALTER TABLE statements ADD COLUMN follows INTEGER",
        "ALTER TABLE removed_statements ADD COLUMN follows INTEGER",
    ),
)

GENERATIONS_KEPT = 10_000
"""How far behind an index file may be and still catch up."""

SCHEMA_VERSION = len(MIGRATIONS)
_TABLES: tuple[frozenset[str], ...] = (
    frozenset({"meta", "statements", "vectors", "events"}),
    frozenset({"removed_statements", "removed_vectors", "learned"}),
    frozenset({"history"}),
    frozenset(),
    frozenset({"purges"}),
    frozenset(),
)


def tables(version: int) -> frozenset[str]:
    """The tables that a database of schema ``version`` has."""
    return frozenset().union(*_TABLES[:version])


def schema_version(db: sqlite3.Connection) -> int:
    """How many migrations ``db`` has had."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


@lru_cache
def reference(version: int) -> tuple[tuple[str, str, str, str], ...]:
    """Type, name, table and SQL of all that a database of schema ``version`` has, in the order in which it was made."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db, version)
        query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY rowid"
        return tuple(db.execute(query).fetchall())


def altered(db: sqlite3.Connection) -> str | None:
    """What of the tables of ``db`` is not as its migrations make it, None where nothing is. Raises sqlite3.Error."""
    for kind, name, _, sql in reference(schema_version(db)):
        row = db.execute("SELECT sql FROM sqlite_master WHERE type = ? AND name = ?", (kind, name)).fetchone()
        if row is None:
            return f"the {kind} {name} is missing"
        if (row[0] or "").split() != sql.split():
            return f"the {kind} {name} is not as it was made"
    return altered_sequence(db)


def altered_sequence(db: sqlite3.Connection) -> str | None:
    """Whether the table in which SQLite itself notes the last ids given is not as it makes it. Raises sqlite3.Error."""
    row = db.execute("SELECT sql FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone()
    if row is None or row[0] != "CREATE TABLE sqlite_sequence(name,seq)":
        return "the table sqlite_sequence is not as it was made"
    return None


def migrate(db: sqlite3.Connection, to: int = SCHEMA_VERSION) -> None:
    """Bring ``db`` to schema ``to``, one transaction a migration. Raises sqlite3.Error."""
    db.create_function("statement_key", 2, statement_key, deterministic=True)
    db.create_function("text_crc", 1, text_crc, deterministic=True)
    for version in range(schema_version(db), to):
        with transaction(db):
            for statement in MIGRATIONS[version]:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {version + 1}")


def bump_generation(db: sqlite3.Connection) -> None:
    """Note, inside a transaction, that vectors have changed."""
    db.execute("UPDATE meta SET generation = generation + 1, stamp = ?", (secrets.token_hex(8),))
    db.execute("INSERT OR REPLACE INTO history SELECT generation, stamp FROM meta")
    db.execute("DELETE FROM history WHERE generation <= (SELECT generation FROM meta) - ?", (GENERATIONS_KEPT,))


def generation(db: sqlite3.Connection) -> tuple[int, str]:
    """Generation and stamp of the vectors in ``db``."""
    count, stamp = db.execute("SELECT generation, stamp FROM meta").fetchone()
    return int(count), str(stamp)


def was_once(db: sqlite3.Connection, count: object, stamp: object) -> bool:
    """Whether ``db`` had that generation and stamp, now or some time ago."""
    found = db.execute("SELECT 1 FROM history WHERE generation IS ? AND stamp IS ?", (count, stamp))
    return found.fetchone() is not None


def index_type(db: sqlite3.Connection) -> str:
    """The type of index that this memory is searched with."""
    return str(db.execute("SELECT index_type FROM meta").fetchone()[0])


def num_clusters(db: sqlite3.Connection) -> int:
    """Into how many clusters an index of this memory divides it, at most."""
    return int(db.execute("SELECT num_clusters FROM meta").fetchone()[0])


def memory_settings(db: sqlite3.Connection) -> tuple[int, str, int, float] | None:
    """Capacity, index type, clusters and forgetfulness of this memory; None where no model has opened it yet."""
    capacity, kind, clusters, share = db.execute(
        "SELECT capacity, index_type, num_clusters, forgetfulness FROM meta"
    ).fetchone()
    return None if capacity is None else (int(capacity), str(kind), int(clusters), float(share))


def set_memory_settings(db: sqlite3.Connection, capacity: int, kind: str, clusters: int, share: float) -> None:
    """Note what ``memory_settings`` returns."""
    db.execute(
        "UPDATE meta SET capacity = ?, index_type = ?, num_clusters = ?, forgetfulness = ?",
        (capacity, kind, clusters, share),
    )


def set_index_type(db: sqlite3.Connection, name: str) -> None:
    """Note the type of index that this memory is searched with."""
    db.execute("UPDATE meta SET index_type = ?", (name,))


@dataclass(frozen=True)
class MemorySettings:
    """What a new memory begins with. Raises VardaError for numbers that cannot be.

    size: capacity in vectors. index_type, num_clusters: as AssociativeMemory has them. forgetfulness: share (0..1) of
    the unpinned statements that are forgotten at random when a session ends.
    """

    size: int = DEFAULT_MEMORY_SIZE
    index_type: str = "flat"
    num_clusters: int = 1024
    forgetfulness: float = 0.0

    def __post_init__(self) -> None:
        for name, number in (("memory_size", self.size), ("num_clusters", self.num_clusters)):
            if type(number) is not int or not 1 <= number <= MAX_MEMORY_SIZE:
                raise VardaError(f"{name} is {number!r}; it is a whole number from 1 to {MAX_MEMORY_SIZE}.")
        share = self.forgetfulness
        if type(share) not in (int, float) or not 0.0 <= share <= 1.0:
            raise VardaError(f"forgetfulness_factor is {share!r}; it is a share from 0 to 1.")
        if not isinstance(self.index_type, str):
            raise VardaError(f"index_type is {self.index_type!r}; it is the name of a type of index.")

    @classmethod
    def of_model(cls, config: Mapping[str, Any]) -> MemorySettings:
        """What a model's configuration asks for, by the names of VardaGPTConfig, or nested under ``memory``."""
        nested = config.get("memory")
        config = nested if isinstance(nested, Mapping) else config
        new = cls()
        return cls(
            size=config.get("memory_size", new.size),
            index_type=config.get("index_type", new.index_type),
            num_clusters=config.get("num_clusters", new.num_clusters),
            forgetfulness=config.get("forgetfulness_factor", new.forgetfulness),
        )


@dataclass(frozen=True)
class Wanted:
    """What an opening asks for in place of the memory's own settings, None for nothing: ``size`` from now on,
    ``forgetfulness`` for this time."""

    size: int | None = None
    forgetfulness: float | None = None


def settle(db: sqlite3.Connection, begin_with: MemorySettings | None, wanted: Wanted) -> MemorySettings:
    """The settings of the memory in ``db`` as it is opened now. It keeps its own; a new one keeps ``begin_with`` (None:
    it stays new). Raises VardaError for numbers that cannot be."""
    found = memory_settings(db)
    own = begin_with or MemorySettings() if found is None else MemorySettings(*found)
    kept = own if wanted.size is None else replace(own, size=wanted.size)
    opened = kept if wanted.forgetfulness is None else replace(kept, forgetfulness=wanted.forgetfulness)
    if (found is None and begin_with is not None) or (found is not None and kept != own):
        with transaction(db):
            set_memory_settings(db, kept.size, kept.index_type, kept.num_clusters, kept.forgetfulness)
    return opened
