"""Transcripts: the sessions of one profile. What a method has returned is on disk; any thread may call any method."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from varda_chat.errors import StorageError, VardaError
from varda_chat.memory.purge import empty_the_log
from varda_chat.memory.recovery import set_aside
from varda_chat.storage.files import COMPANIONS, beside, make_private_directory
from varda_chat.storage.row_checksums import text_crc
from varda_chat.storage.sqlite import (
    connect_copy,
    connect_writer,
    disk_errors,
    full_check,
    is_damage,
    mend_indexes,
    transaction,
)
from varda_chat.storage.value_types import put_types_right
from varda_chat.storage.words import Words
from varda_chat.text import numbered, one_line, sanitize
from varda_chat.transcripts import purging
from varda_chat.transcripts import search as searching
from varda_chat.transcripts.records import NAME_LENGTH, FoundTurn, SessionInfo, StoredTurn, TurnState, name_after
from varda_chat.transcripts.schema import (
    SCHEMA_VERSION,
    SEAL_TURN,
    SEALED,
    altered,
    altered_rows,
    mend_search,
    migrate,
    schema_version,
)

if TYPE_CHECKING:
    from typing import Self

FILE_NAME = "sessions.db"
_SESSION = (
    "SELECT s.id, s.name, s.named, s.created_at, s.updated_at, (SELECT count(*) FROM turns WHERE session_id = s.id), "
    "s.branch_of FROM sessions s"
)
# how much the memory held then is not told a second time
_COPY_TURNS = (
    "INSERT INTO turns (session_id, prompt, reply, state, at, details) SELECT ?, prompt, reply, state, at, "
    "CASE WHEN json_valid(details) THEN json_remove(details, '$.memory_size') ELSE details END "
    "FROM turns WHERE session_id = ? AND id < ? ORDER BY id"
)
_DELETE_REPLACED = (
    "DELETE FROM turns WHERE id = ?1 AND id != ?2 AND session_id = (SELECT session_id FROM turns WHERE id = ?2)"
)
_TURN = "SELECT id, session_id, prompt, reply, state, at, details FROM turns"


class Transcripts:
    """sessions.db, open. Methods raise StorageError where the disk refuses, VardaError for an id that is not there.

    notices: one line each for the person, on how it was opened. db: the connection, guarded by a lock.
    """

    def __init__(self, path: Path, db: sqlite3.Connection, *, writable: bool, notices: Iterable[str] = ()) -> None:
        """Most callers want :meth:`open`."""
        self.path = path
        self.writable = writable
        self.notices = [*notices, *_altered_lines(db)]
        self.db = db
        self._lock = threading.RLock()

    @classmethod
    def open(cls, directory: str | Path, *, read_only: bool = False) -> Self:
        """Open the transcripts in ``directory``, made where there are none, or (``read_only``) a copy in RAM of them,
        which takes changes and never writes them.

        A damaged file is set aside under another name. Raises StorageError where the disk does not allow it,
        VardaError where a newer varda-chat wrote it.
        """
        path = Path(directory) / FILE_NAME
        with disk_errors(f"The sessions in {directory} cannot be opened", FILE_NAME):
            if not read_only:
                if path.is_symlink():
                    raise StorageError(
                        f"{path} is a link; the sessions lie in the profile's own folder. Move it there."
                    )
                make_private_directory(path.parent)
            try:
                db, notices = _connect(path, read_only)
                return cls(path, db, writable=not read_only, notices=notices)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                if read_only:
                    lost = f"{path} is damaged ({error}); earlier sessions cannot be shown."
                    db, _ = _migrated(connect_copy(None), path)
                    return cls(path, db, writable=False, notices=[lost])
                aside = set_aside(path)
                lost = f"{FILE_NAME} was damaged ({error}) and is set aside as {aside.name}; a new one was begun."
                db, _ = _connect(path, False)
                return cls(path, db, writable=True, notices=[lost])

    # Writing a session as it happens

    def begin(self, first_words: str) -> int:
        """A new session, called after its ``first_words``; returns its id."""
        now = time.time()
        with self._changing("The session was not saved"):
            name = name_after(first_words)
            query = "INSERT INTO sessions (name, created_at, updated_at, crc) VALUES (?, ?, ?, ?)"
            return int(self.db.execute(query, (name, now, now, text_crc(name))).lastrowid or 0)

    def ask(self, session_id: int, prompt: str) -> int:
        """Note what the person said, before it is answered; returns the turn's id."""
        now = time.time()
        with self._changing("The message was not saved"):
            touched = self.db.execute("UPDATE sessions SET updated_at = ? WHERE id = ?", (now, session_id))
            if not touched.rowcount:
                raise VardaError(f"There is no session {session_id}.")
            said = sanitize(prompt)
            query = "INSERT INTO turns (session_id, prompt, at, crc) VALUES (?, ?, ?, ?)"
            checksum = text_crc(said, "", "open", "{}", session_id, now)
            return int(self.db.execute(query, (session_id, said, now, checksum)).lastrowid or 0)

    def answer(
        self,
        turn_id: int,
        reply: str,
        state: TurnState = "done",
        details: dict[str, Any] | None = None,
        *,
        replaces: int | None = None,
    ) -> None:
        """Note how the turn was answered; the turn of its session that it ``replaces`` goes. A turn deleted meanwhile
        stays so."""
        with self._changing("The answer was not saved"):
            self.db.execute(
                "UPDATE turns SET reply = ?, state = ?, details = ? WHERE id = ?",
                (sanitize(reply), state, json.dumps(details or {}), turn_id),
            )
            self.db.execute(SEAL_TURN, (turn_id,))
            if replaces is not None:
                self.db.execute(_DELETE_REPLACED, (replaces, turn_id))

    def branch(self, session_id: int, before: int) -> SessionInfo:
        """A new session that begins with the turns of another ``before`` the turn of that id; the other stays as it is.
        Raises VardaError where there is no such session."""
        trunk = self.session(session_id)
        now = time.time()
        with self._changing("The branch was not saved"):
            query = (
                "INSERT INTO sessions (name, named, created_at, updated_at, crc, branch_of) VALUES (?, ?, ?, ?, ?, ?)"
            )
            row = (trunk.name, trunk.named, now, now, text_crc(trunk.name), trunk.id)
            branch = int(self.db.execute(query, row).lastrowid or 0)
            self.db.execute(_COPY_TURNS, (branch, trunk.id, before))
            self.db.execute(
                f"UPDATE turns SET crc = text_crc({SEALED}) WHERE session_id = ?",  # noqa: S608 - our names
                (branch,),
            )
        return self.session(branch)

    # Looking

    def branches(self, session_id: int) -> tuple[int, ...]:
        """The ids of the sessions that are branches of one another, this one among them, the oldest first."""
        with self._reading():
            of = dict(self.db.execute("SELECT id, branch_of FROM sessions").fetchall())

        def trunk(id_: int) -> int:
            while (before := of.get(id_)) is not None and before < id_:
                id_ = before
            return id_

        return tuple(sorted(id_ for id_ in of if trunk(id_) == trunk(session_id)))

    def sessions(self, limit: int | None = None) -> tuple[SessionInfo, ...]:
        """The sessions, the last used first."""
        with self._reading():
            rows = self.db.execute(f"{_SESSION} ORDER BY s.updated_at DESC, s.id DESC LIMIT ?", (_limit(limit),))
            return tuple(_session(row) for row in rows)

    def session(self, session_id: int) -> SessionInfo:
        """One session; raises VardaError where there is none of that id."""
        with self._reading():
            row = self.db.execute(f"{_SESSION} WHERE s.id = ?", (int(session_id),)).fetchone()
        if row is None:
            raise VardaError(f"There is no session {session_id}.")
        return _session(row)

    def latest(self) -> SessionInfo | None:
        """The session used last."""
        return next(iter(self.sessions(1)), None)

    def turns(
        self, session_id: int, limit: int | None = None, *, before: int | None = None, after: int | None = None
    ) -> tuple[StoredTurn, ...]:
        """Turns of a session, in their order: the last ``limit`` of those ``before`` a turn's id (None: of all), or the
        first ``limit`` of those ``after`` one."""
        with self._reading():
            if after is not None:
                query = f"{_TURN} WHERE session_id = ? AND id > ? ORDER BY id LIMIT ?"
                return tuple(_turn(row) for row in self.db.execute(query, (session_id, after, _limit(limit))))
            query = f"{_TURN} WHERE session_id = ? AND id < ? ORDER BY id DESC LIMIT ?"
            bound = 2**63 - 1 if before is None else before
            rows = self.db.execute(query, (session_id, bound, _limit(limit))).fetchall()
        return tuple(_turn(row) for row in reversed(rows))

    def search(self, text: str, limit: int = 50) -> tuple[FoundTurn, ...]:
        """The turns that hold all words of ``text``, or parts of words that begin so, the newest first."""
        with self._reading():
            return searching.search(self.db, text, limit)

    def memory_sizes(self, limit: int) -> tuple[int, ...]:
        """How many vectors the memory held after each of the last ``limit`` turns, the oldest first."""
        query = (
            "SELECT json_extract(details, '$.memory_size') FROM turns "
            "WHERE state IN ('done', 'stopped') AND json_valid(details) ORDER BY id DESC LIMIT ?"
        )
        with self._reading():
            sizes = [size for (size,) in self.db.execute(query, (limit,)).fetchall() if isinstance(size, int)]
        return tuple(reversed(sizes))

    # Changing

    def rename(self, session_id: int, name: str) -> SessionInfo:
        """Call a session ``name``. Raises VardaError for an empty one."""
        clean = one_line(name, NAME_LENGTH)
        if not clean:
            raise VardaError("A session needs a name with at least one letter.")
        with self._changing("The session was not renamed"):
            self.db.execute(
                "UPDATE sessions SET name = ?, named = 1, crc = ? WHERE id = ?",
                (clean, text_crc(clean), int(session_id)),
            )
        return self.session(session_id)

    def delete(self, session_id: int) -> SessionInfo:
        """Delete a session with all that was said in it, for good."""
        deleted = self.session(session_id)
        with self._changing("The session was not deleted"):
            self.db.execute("DELETE FROM sessions WHERE id = ?", (deleted.id,))
        self._leave_no_trace()
        return deleted

    def purge(self, texts: Iterable[str]) -> int:
        """Put "(forgotten)" where a turn or a name holds one of ``texts``, for good; returns how many turns did.

        Of an answer that was recalled from one of them, their words go too, one by one.
        """
        words = Words(texts)
        if not words:
            return 0
        with self._changing("Nothing was purged"):
            changed = purging.purge(self.db, words)
        self._leave_no_trace()  # also where nothing was found: an earlier purge may have been cut off before this
        return changed

    def accept_altered(self) -> int:
        """Take what the disk has made of altered turns and names for what they are; returns how many there were."""
        with self._changing("The sessions were not repaired"):
            turns, sessions = altered_rows(self.db)
            self.db.executemany(SEAL_TURN, [(id_,) for id_ in turns])
            self.db.executemany("UPDATE sessions SET crc = text_crc(name) WHERE id = ?", [(id_,) for id_ in sessions])
        return len(turns) + len(sessions)

    def close(self) -> None:
        """May be called again."""
        with self._lock:
            self.db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Within

    def _leave_no_trace(self) -> None:
        """Take what was deleted out of the word index and the write-ahead log too."""
        with self._lock, disk_errors("What was deleted may still be in the files", FILE_NAME):
            self.db.execute("INSERT INTO said (said) VALUES ('optimize')")
            if self.writable:
                empty_the_log(self.db)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, disk_errors("The sessions cannot be read", FILE_NAME), _while_open():
            yield

    @contextmanager
    def _changing(self, what: str) -> Iterator[None]:
        with self._lock, disk_errors(what, FILE_NAME), _while_open(), transaction(self.db):
            yield


def remove_file(directory: Path) -> bool:
    """Remove sessions.db of ``directory`` with all that lies beside it; whether there was one. Raises OSError."""
    found = [directory / FILE_NAME, *directory.glob(f"{FILE_NAME}.damaged-*")]
    found += [beside(path, ending) for path in list(found) for ending in COMPANIONS]
    there = [path for path in found if path.exists()]
    for path in there:
        path.unlink()
    return bool(there)


def _connect(path: Path, read_only: bool) -> tuple[sqlite3.Connection, list[str]]:
    if read_only:
        return _migrated(connect_copy(path if path.exists() else None), path)
    return _migrated(connect_writer(path), path)


def _migrated(db: sqlite3.Connection, path: Path) -> tuple[sqlite3.Connection, list[str]]:
    """``db`` of the present schema, without damage, and what to tell of what was mended."""
    try:
        if schema_version(db) > SCHEMA_VERSION:
            raise VardaError(f"{path} was written by a newer varda-chat. Update varda-chat to read it.")
        migrate(db)
        finding, notices = mend_indexes(db, path.name)
        if finding is not None and "fts5" in finding.casefold():  # SQLite looks into that index itself, since 3.44
            notices += mend_search(db)
            finding = full_check(db)
        finding = finding or altered(db)
        if finding is not None:
            damage = sqlite3.DatabaseError(finding)
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage
        notices += [*put_types_right(db, path.name), *mend_search(db)]
    except BaseException:
        db.close()
        raise
    return db, notices


def _altered_lines(db: sqlite3.Connection) -> list[str]:
    turns, sessions = altered_rows(db)
    lines = []
    if turns:
        which = ", ".join(map(str, turns[:20])) + (", ..." if len(turns) > 20 else "")
        lines.append(
            f"{FILE_NAME}: what was said in {numbered(len(turns), 'turn')} (id {which}) is not what was saved."
        )
    if sessions:
        which = ", ".join(map(str, sessions[:20])) + (", ..." if len(sessions) > 20 else "")
        lines.append(
            f"{FILE_NAME}: the name of {numbered(len(sessions), 'session')} (id {which}) is not what was saved."
        )
    return lines


@contextmanager
def _while_open() -> Iterator[None]:
    try:
        yield
    except sqlite3.ProgrammingError as error:
        raise VardaError("The sessions are closed.") from error


def _limit(limit: int | None) -> int:
    return -1 if limit is None else limit


def _session(row: tuple[Any, ...]) -> SessionInfo:
    return SessionInfo(row[0], one_line(row[1], NAME_LENGTH), bool(row[2]), row[3], row[4], row[5], row[6])


def _turn(row: tuple[Any, ...]) -> StoredTurn:
    try:
        details = json.loads(row[6])
    except ValueError:
        details = {}
    state: TurnState = row[4] if row[4] in ("open", "done", "stopped") else "failed"
    return StoredTurn(
        row[0], row[1], sanitize(row[2]), sanitize(row[3]), state, row[5], details if isinstance(details, dict) else {}
    )
