"""Purging: what a person purges leaves every file of the profile, also where a kill or a full disk comes between.

The purge is written down in memory.db before it begins (``Purging.begin``), ``finish`` does the rest as
often as it takes, and ``trace`` proves it. Imports nothing heavy.
"""

from __future__ import annotations

import json
import mmap
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from varda_chat.config.persona import FILE_NAME as PERSONA
from varda_chat.errors import VardaError
from varda_chat.memory.purge import wipe_leftovers
from varda_chat.storage.files import INDEX, beside, replace_file
from varda_chat.storage.sqlite import connect_reader, disk_errors
from varda_chat.storage.words import Words

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement
    from varda_chat.memory.store import MemoryStore

HISTORY = "history.jsonl"
SESSIONS = "sessions.db"
PROOFS = ".proof-"
"""What the directories begin with in which a proof of forgetting keeps another memory while it is made."""
_SQLITE = b"SQLite format 3\x00"
_NUMBERS_ONLY = 5  # bytes: a shorter text stands by chance in files of vectors


@dataclass(frozen=True)
class Read:
    """A file that was searched. ``holds``: one of the words stands in it; ``problem``: why it could not be read."""

    name: str
    bytes: int
    holds: bool = False
    problem: str | None = None


def purge(store: MemoryStore, statement_ids: Iterable[int], texts: Iterable[str]) -> tuple[list[Statement], Words]:
    """Take statements, and all that holds one of ``texts``, out of every file of the open memory's profile.

    Returns the statements that went, and the words that were looked for. Raises VardaError, which names what could not
    be cleaned: that is then tried again at each start, and when the same is purged again.
    """
    words = store.purging.begin(statement_ids, texts).words
    purged, left = _finish(store)
    if left:
        raise VardaError(
            f"The purge is not finished: {' '.join(left)} The next start resumes it, and so does this command."
        )
    return purged, words


def finish(store: MemoryStore) -> list[str]:
    """Resume purges that were cut off, and remove what a proof that was cut off has left; returns one line for the
    person for each that still cannot be finished."""
    if store.read_only:
        return []
    told = []
    try:
        with disk_errors("The copy of a memory that a proof left could not be removed", PROOFS):
            remove_proofs(store.directory)
    except VardaError as error:
        told.append(str(error))
    _, left = _finish(store)
    return [*told, f"A purge that was begun is not finished: {' '.join(left)}"] if left else told


def remove_all(directory: Path) -> None:
    """Remove what lies beside a memory that was cleared for good: the saved sessions, the list of what was typed, and
    whatever a kill has left of them. Raises StorageError."""
    from varda_chat.transcripts.store import remove_file

    with disk_errors("Not all was removed", SESSIONS):
        remove_file(directory)
        (directory / HISTORY).unlink(missing_ok=True)
        wipe_leftovers(directory, (HISTORY, SESSIONS))
        remove_proofs(directory)


def _finish(store: MemoryStore) -> tuple[list[Statement], list[str]]:
    purged: list[Statement] = []
    left: list[str] = []
    for begun in store.purging.begun():
        failed: list[str] = []
        for name, clean in (
            (SESSIONS, _forget_saying), (HISTORY, _forget_typing), (PERSONA, _forget_persona), (PROOFS, _forget_proofs)
        ):  # fmt: skip
            try:
                with disk_errors(f"{name} could not be cleaned", name):
                    clean(store.directory, begun.words)
            except VardaError as error:
                failed.append(str(error))
        try:
            purged += store.purging.wipe(begun)
        except VardaError as error:
            failed.append(str(error))
        if not failed:
            store.purging.end(begun)
        left += [line for line in failed if line not in left]
    return purged, left


def _forget_typing(directory: Path, words: Words) -> None:
    """Take the entries that hold one of ``words`` out of the list of what was typed."""
    path = directory / HISTORY
    if path.is_file() and not path.is_symlink():
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if not (words.stand_in(_typed(line)) or words.stand_in_bytes(line))]
        if len(kept) < len(lines):
            replace_file(path, kept, temporary=beside(path, ".new"))
    wipe_leftovers(directory, (HISTORY,))


def _forget_persona(directory: Path, words: Words) -> None:
    """Remove a persona that holds one of ``words``."""
    path = directory / PERSONA
    if path.is_file() and words.stand_in_bytes(path.read_bytes()):
        path.unlink()


def _forget_proofs(directory: Path, _words: Words) -> None:
    remove_proofs(directory)


def remove_proofs(directory: Path) -> None:
    """Remove the memories that proofs of forgetting were made with, where a kill left one. Raises OSError."""
    for left in directory.glob(f"{PROOFS}*"):
        shutil.rmtree(left)


def _forget_saying(directory: Path, words: Words) -> None:
    """Take ``words`` out of the saved sessions; damaged ones that were set aside go."""
    if (directory / SESSIONS).exists():
        from varda_chat.transcripts import Transcripts

        with Transcripts.open(directory) as transcripts:
            transcripts.purge(words.texts)
    wipe_leftovers(directory, (SESSIONS,))


def _typed(line: bytes) -> str:
    try:
        return str(json.loads(line)["text"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return line.decode(errors="replace")


# The proof


def trace(directory: Path, words: Words) -> tuple[Read, ...]:
    """Search every byte of every file in ``directory`` for ``words``; databases row by row as well.

    Not while this process has one of the databases open: closing a file drops the locks that SQLite has on it.
    """
    return tuple(_search(path, str(path.relative_to(directory)), words) for path in _files(directory))


def _files(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.rglob("*")):
        if stat.S_ISREG(path.lstat().st_mode):
            yield path


def _search(path: Path, name: str, words: Words) -> Read:
    try:
        size = path.stat().st_size
        if not size:
            return Read(name, 0)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            by_bytes = words.stand_in_bytes(data)
            is_database = data[: len(_SQLITE)] == _SQLITE
        if name == INDEX and words.shortest < _NUMBERS_ONLY:
            return Read(name, size)
        if not is_database:
            return Read(name, size, by_bytes)
        by_rows, ambiguous = _search_rows(path, words)
        return Read(name, size, by_rows or (by_bytes and not ambiguous))
    except (OSError, sqlite3.Error) as error:
        return Read(name, 0, problem=str(error))


def _search_rows(path: Path, words: Words) -> tuple[bool, bool]:
    """Whether a row holds one of ``words``; and whether the bytes of the file say nothing, as a word of ours, which
    stands in the schema, or a short one, which stands by chance in a vector."""
    with closing(connect_reader(path)) as db:
        schema = db.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        ambiguous = words.shortest < _NUMBERS_ONLY or words.stand_in(" ".join(f"{n} {sql}" for _, n, sql in schema))
        for kind, name, sql in schema:
            if kind == "table" and "VIRTUAL" not in (sql or ""):
                for row in db.execute(f'SELECT * FROM "{name}"'):  # noqa: S608 - a table of ours
                    if any(isinstance(value, str) and words.stand_in(value) for value in row):
                        return True, ambiguous
    return False, ambiguous


def _main() -> None:
    """Trace what stdin names, as JSON, and print what was read, as JSON: for who has the databases open."""
    asked = json.load(sys.stdin)
    read = trace(Path(asked["directory"]), Words(asked["texts"]))
    json.dump([asdict(each) for each in read], sys.stdout)


if __name__ == "__main__":
    _main()
