"""How a directory becomes an open database: for one writer under the lock, or for readers as a copy in RAM."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from varda_chat.memory.recovery import damage, is_read_later, salvage, settle, torn_log
from varda_chat.memory.schema import migrate
from varda_chat.storage.files import DATABASE, make_private_directory, refuse_links
from varda_chat.storage.locks import take_lock
from varda_chat.storage.row_checksums import altered_texts
from varda_chat.storage.sqlite import connect_copy, connect_writer, mend_indexes
from varda_chat.storage.value_types import put_types_right
from varda_chat.text import numbered

if TYPE_CHECKING:
    from filelock import BaseFileLock

HOW_TO_MEND = "varda-chat memory verify --repair puts the right one back where a copy of it is left."


@dataclass(frozen=True)
class Opened:
    """An open database of the present schema; ``lock`` is None where it is a reader's copy."""

    directory: Path
    db: sqlite3.Connection
    lock: BaseFileLock | None
    notices: list[str]

    def close(self) -> None:
        """Close the database, then let others have it."""
        try:
            self.db.close()
        finally:
            if self.lock is not None:
                self.lock.release()


def open_for_writing(directory: Path, wait: float = 0.0) -> Opened:
    """Lock ``directory`` (waiting up to ``wait`` seconds for it), set a damaged database aside, migrate an old one,
    make a missing one.

    Raises VardaError (locked, or written by a newer varda-chat), OSError, sqlite3.Error.
    """
    make_private_directory(directory)
    lock = take_lock(directory, wait)
    try:
        notices = settle(directory / DATABASE)
        db = connect_writer(directory / DATABASE)
    except BaseException:
        lock.release()
        raise
    return _migrated(Opened(directory, db, lock, notices))


def open_for_reading(directory: Path) -> Opened:
    """A copy in RAM of the memory in ``directory`` as it is now, empty where there is none; writes nothing.

    Raises VardaError (written by a newer varda-chat), sqlite3.Error.
    """
    refuse_links(directory)
    path = directory / DATABASE
    if not path.exists():
        return _migrated(Opened(directory, connect_copy(None), None, []))
    torn = torn_log(path)  # first: a reader makes SQLite forget how long the log has been
    notices = [] if torn is None else [torn]
    finding = damage(path)
    if finding is None:
        copy = connect_copy(path)
        finding, said = mend_indexes(copy, path.name)
        if finding is None:
            return _migrated(Opened(directory, copy, None, [*notices, *said]))
        copy.close()
    opened = _migrated(Opened(directory, connect_copy(None), None, notices))
    statements, vectors = salvage(path, opened.db)
    opened.notices.append(
        f"memory.db is damaged ({finding}); {numbered(statements, 'memory')} with "
        f"{numbered(vectors, 'vector')} could be read. "
        "Nothing was changed: open it without read-only to have it set aside and saved."
    )
    return opened


def _migrated(opened: Opened) -> Opened:
    try:
        migrate(opened.db)
        if opened.lock is None or not is_read_later(opened.directory / DATABASE):
            opened.notices.extend(put_types_right(opened.db, DATABASE))
            opened.notices.extend(f"{line} {HOW_TO_MEND}" for line in altered_texts(opened.db))
    except BaseException:
        opened.close()
        raise
    return opened
