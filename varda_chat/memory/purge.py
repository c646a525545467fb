"""Leave no trace of what a person wants gone: not in the tables, the events, the backups or set-aside databases."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from varda_chat.memory.database import connect_writer, is_damage, transaction
from varda_chat.memory.files import BACKUPS, DATABASE, sync_folder
from varda_chat.memory.records import FORGOTTEN_TEXT

_TEXTS = ("statements", "removed_statements", "events")


def wipe_rows(db: sqlite3.Connection, statement_ids: Iterable[int]) -> frozenset[str]:
    """Take statements that were removed out of memory.db for good, with all that says the same; returns their texts.

    Inside a transaction.
    """
    ids = json.dumps(list(statement_ids))
    texts = {
        text
        for (text,) in db.execute(
            "SELECT text FROM removed_statements WHERE id IN (SELECT value FROM json_each(?1)) "
            "UNION SELECT text FROM events WHERE statement_id IN (SELECT value FROM json_each(?1))",
            (ids,),
        )
    } - {FORGOTTEN_TEXT}
    wanted = json.dumps(sorted(texts))
    db.execute(
        "DELETE FROM removed_statements WHERE id IN (SELECT value FROM json_each(?)) "
        "OR text IN (SELECT value FROM json_each(?))",
        (ids, wanted),
    )
    db.execute(
        "UPDATE events SET text = ?, act = NULL WHERE statement_id IN (SELECT value FROM json_each(?)) "
        "OR text IN (SELECT value FROM json_each(?))",
        (FORGOTTEN_TEXT, ids, wanted),
    )
    return frozenset(texts)


def wipe_backups(folder: Path, texts: Iterable[str]) -> None:
    """Take everything with one of ``texts`` out of the backups in ``folder``. Raises OSError, sqlite3.Error."""
    wanted = json.dumps(sorted(texts))
    for path in sorted((folder / BACKUPS).glob("*.db")):
        if path.is_symlink():
            continue  # what it leads to is no backup of ours
        try:
            with closing(connect_writer(path)) as db:
                db.execute("PRAGMA journal_mode = DELETE")  # one file, as it was
                there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                with transaction(db):
                    for table in _TEXTS:
                        if table in there:
                            query = f"DELETE FROM {table} WHERE text IN (SELECT value FROM json_each(?))"  # noqa: S608
                            db.execute(query, (wanted,))
                db.execute("VACUUM")
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            path.unlink()  # it cannot be searched, and nothing can be restored from it


def wipe_set_aside(folder: Path) -> None:
    """Remove the damaged databases that were set aside: nothing can be taken out of them. Raises OSError."""
    for path in folder.glob(DATABASE + ".damaged-*"):
        path.unlink()
    sync_folder(folder)


def wipe_all(folder: Path) -> None:
    """Remove every backup and set-aside database of ``folder``. Raises OSError."""
    for path in (folder / BACKUPS).glob("*"):
        path.unlink()
    wipe_set_aside(folder)
