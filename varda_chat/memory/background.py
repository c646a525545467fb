"""What a store does beside its turns: reading large files whole, once, and writing the index now and then."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from varda_chat.memory.rescue import suspect
from varda_chat.memory.snapshot import Snapshot
from varda_chat.storage.container import Container
from varda_chat.storage.row_checksums import altered_texts
from varda_chat.storage.sqlite import connect_reader, full_check, is_damage


class Background:
    """One thread that checks, once, and at most one that writes. They tell what they find by calling back.

    Never call ``wait_for_check`` while holding a lock that a callback of ``check`` takes.
    """

    def __init__(self) -> None:
        self._checking: threading.Thread | None = None
        self._writing: threading.Thread | None = None
        self._stop = threading.Event()

    def check(
        self,
        index: Container | None,
        database: Path | None,
        *,
        index_damaged: Callable[[], None],
        database_damaged: Callable[[str], None],
        texts_altered: Callable[[list[str]], None],
    ) -> None:
        """Read every byte of the index file and of the database, where they are given."""

        def work() -> None:
            if index is not None and not index.is_intact():
                index_damaged()
            finding = None if database is None else _damage(database)
            if finding is not None:
                database_damaged(finding)
            elif database is not None and (lines := _altered(database)):
                texts_altered(lines)

        if index is not None or database is not None:
            self._checking = _started(work, "memory-check")

    @property
    def is_checking(self) -> bool:
        """Whether it has not been told yet if the files are intact."""
        return self._checking is not None and self._checking.is_alive()

    @property
    def is_writing(self) -> bool:
        """Whether a snapshot is on its way to the disk."""
        return self._writing is not None and self._writing.is_alive()

    def write(self, snapshot: Snapshot, path: Path, written: Callable[[Snapshot], None]) -> None:
        """Write ``snapshot`` as ``path``, then call ``written`` with it. A disk that refuses it is told of by the next
        writing that is waited for."""

        def work() -> None:
            try:
                if snapshot.write(path, self._stop.is_set):
                    written(snapshot)
            except OSError:
                return  # only a cache: memory.db has it all

        self._writing = _started(work, "memory-index")

    def wait_for_check(self) -> None:
        """Until it has been told whether the files are intact."""
        if self._checking is not None:
            self._checking.join()

    def wait(self) -> None:
        """Until nothing is under way."""
        self.wait_for_check()
        if self._writing is not None:
            self._writing.join()

    def stop_writing(self) -> None:
        """Give up the snapshot that is being written, if any."""
        self._stop.set()
        if self._writing is not None:
            self._writing.join()
        self._stop.clear()


def _started(work: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def _altered(path: Path) -> list[str]:
    """What to tell of texts in the open database at ``path`` that the disk has changed."""
    try:
        with closing(connect_reader(path, in_use=True)) as db:
            return altered_texts(db)
    except sqlite3.Error:
        return []  # it cannot be said, and the next start looks again


def _damage(path: Path) -> str | None:
    """What is wrong with the open database at ``path``, which the next start is then told; None where nothing is."""
    try:
        with closing(connect_reader(path, in_use=True)) as db:
            finding = full_check(db)
    except sqlite3.Error as error:
        finding = str(error) if is_damage(error) else None  # else it cannot be said, and the next start looks again
    if finding is not None:
        suspect(path)
    return finding
