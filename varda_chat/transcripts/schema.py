"""The tables of sessions.db, as numbered migrations; ``PRAGMA user_version`` counts those already applied."""

from __future__ import annotations

import sqlite3

from varda_chat.memory.database import transaction

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
)

SCHEMA_VERSION = len(MIGRATIONS)


def schema_version(db: sqlite3.Connection) -> int:
    """How many migrations ``db`` has had."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def migrate(db: sqlite3.Connection) -> None:
    """Bring ``db`` to SCHEMA_VERSION, one transaction a migration. Raises sqlite3.Error."""
    for version in range(schema_version(db), SCHEMA_VERSION):
        with transaction(db):
            if schema_version(db) == version:  # another process may have been quicker
                for statement in MIGRATIONS[version]:
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {version + 1}")
