"""The tables of sessions.db, as numbered migrations; ``PRAGMA user_version`` counts those already applied."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import lru_cache

from varda_chat.memory.schema import altered_sequence
from varda_chat.storage.row_checksums import text_crc
from varda_chat.storage.sqlite import error_code, is_damage, transaction

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # AUTOINCREMENT: the id of a deleted session is never given again
        """CREATE TABLE sessions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL,
            named INTEGER NOT NULL DEFAULT 0,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL
        )""",
        "CREATE INDEX sessions_by_time ON sessions (updated_at)",
        # details: JSON, what the memory did in the turn
        """CREATE TABLE turns (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
            prompt TEXT NOT NULL,
            reply TEXT NOT NULL DEFAULT '',
            state TEXT NOT NULL DEFAULT 'open',
            at REAL NOT NULL,
            details TEXT NOT NULL DEFAULT '{}'
        )""",
        "CREATE INDEX turns_by_session ON turns (session_id, id)",
        # trigrams find parts of words too, in every script
        "CREATE VIRTUAL TABLE said USING fts5 (prompt, reply, content='turns', content_rowid='id', tokenize='trigram')",
        """CREATE TRIGGER turns_added AFTER INSERT ON turns BEGIN
            INSERT INTO said (rowid, prompt, reply) VALUES (new.id, new.prompt, new.reply);
        END""",
        """CREATE TRIGGER turns_gone AFTER DELETE ON turns BEGIN
            INSERT INTO said (said, rowid, prompt, reply) VALUES ('delete', old.id, old.prompt, old.reply);
        END""",
        """CREATE TRIGGER turns_changed AFTER UPDATE OF prompt, reply ON turns BEGIN
            INSERT INTO said (said, rowid, prompt, reply) VALUES ('delete', old.id, old.prompt, old.reply);
            INSERT INTO said (rowid, prompt, reply) VALUES (new.id, new.prompt, new.reply);
        END""",
    ),
    (
        # crc: row_checksums.text_crc of a session's name, and of what was said in a turn and its details
        "ALTER TABLE sessions ADD COLUMN crc INTEGER",
        "ALTER TABLE turns ADD COLUMN crc INTEGER",
        "UPDATE sessions SET crc = text_crc(name)",
        "UPDATE turns SET crc = text_crc(prompt, reply, state, details)",
    ),
    (
        # also of when it was, and in which session; a turn that was altered before this stays so
        """UPDATE turns SET crc = text_crc(prompt, reply, state, details, session_id, at)
            WHERE crc = text_crc(prompt, reply, state, details)""",
    ),
    (
        # the session that a branch was made from; it may be deleted
        "ALTER TABLE sessions ADD COLUMN branch_of INTEGER",
    ),
)

SCHEMA_VERSION = len(MIGRATIONS)
SEALED = "prompt, reply, state, details, session_id, at"
"""The columns of a turn that its checksum is of."""
SEAL_TURN = f"UPDATE turns SET crc = text_crc({SEALED}) WHERE id = ?"  # noqa: S608 - our names


def schema_version(db: sqlite3.Connection) -> int:
    """How many migrations ``db`` has had."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


@lru_cache
def reference(version: int) -> tuple[tuple[str, str, str], ...]:
    """Type, name and SQL of all that a database of schema ``version`` has."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db, version)
        return tuple(db.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall())


def altered(db: sqlite3.Connection) -> str | None:
    """What of the tables of ``db`` is not as its migrations make it, None where nothing is. Raises sqlite3.Error."""
    found = {(kind, name): sql for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master")}
    for kind, name, sql in reference(schema_version(db)):
        if (found.get((kind, name)) or "").split() != (sql or "").split():
            return f"the {kind} {name} is not as it was made"
    return altered_sequence(db)


def altered_rows(db: sqlite3.Connection) -> tuple[list[int], list[int]]:
    """The ids of turns that are not what was saved, and of sessions of which the name is not."""
    turns = db.execute(f"SELECT id, crc, {SEALED} FROM turns WHERE crc IS NOT NULL")  # noqa: S608 - our names
    sessions = db.execute("SELECT id, crc, name FROM sessions WHERE crc IS NOT NULL")
    return (
        [id_ for id_, crc, *said in turns if text_crc(*said) != crc],
        [id_ for id_, crc, name in sessions if text_crc(name) != crc],
    )


def mend_search(db: sqlite3.Connection) -> list[str]:
    """Rebuild the index that finds words in turns where it is damaged; returns what to tell. Raises sqlite3.Error."""
    try:
        db.execute("INSERT INTO said (said) VALUES ('integrity-check')")
    except sqlite3.DatabaseError as error:
        if error_code(error) == sqlite3.SQLITE_BUSY:  # another process writes just now; the next start looks
            return []
        if not is_damage(error):
            raise
    else:
        return []
    db.execute("INSERT INTO said (said) VALUES ('rebuild')")
    return ["sessions.db: the index that finds words was damaged and was rebuilt."]


def migrate(db: sqlite3.Connection, to: int = SCHEMA_VERSION) -> None:
    """Bring ``db`` to schema ``to``, one transaction a migration. Raises sqlite3.Error."""
    db.create_function("text_crc", -1, text_crc, deterministic=True)
    for version in range(schema_version(db), to):
        with transaction(db):
            if schema_version(db) == version:  # another process may have been quicker
                for statement in MIGRATIONS[version]:
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {version + 1}")
