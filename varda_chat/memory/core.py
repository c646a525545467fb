"""OpenMemory: what an open memory is made of (database, lock, index), who may use it when, and how it ends; and the
work beside its turns: reading a large database whole, once, and writing the index now and then."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from varda_chat.errors import StorageError, VardaError
from varda_chat.memory import queries, undo
from varda_chat.memory.index.serialization import Snapshot
from varda_chat.memory.index_cache import IndexMirror
from varda_chat.memory.opening import HOW_TO_MEND, Opened
from varda_chat.memory.records import Statement
from varda_chat.memory.recovery import is_read_later, suspect
from varda_chat.memory.schema import bump_generation
from varda_chat.memory.word_index import WordIndex
from varda_chat.storage.files import DATABASE, INDEX
from varda_chat.storage.row_checksums import altered_texts
from varda_chat.storage.sqlite import connect_reader, disk_errors, full_check, is_damage, transaction
from varda_chat.text import numbered


class OpenMemory:
    """An open memory.db, its lock and its index: the index follows what the database has committed, and one thread at a
    time uses them.

    mirror: the index, None where the memory was opened without a model. words: of its statements. background: what is
    done beside the turns.
    """

    def __init__(self, opened: Opened, model: tuple[int, str] | None) -> None:
        """``model``: embedding_dim and fingerprint, None to go without the index."""
        self.directory = opened.directory
        self.read_only = opened.lock is None
        self.notices = opened.notices
        self.db = opened.db
        self._opened = opened
        self._lock = threading.RLock()
        self.is_open = True
        self.mirror: IndexMirror | None = None
        self._vocabulary: int | None = None
        if model is not None:
            self.mirror, notices = IndexMirror.load(
                self.db, self.directory / INDEX, embedding_dim=model[0], fingerprint=model[1]
            )
            self.notices += notices
        self.words = WordIndex(self.db)
        self.background = Background()
        self._check_in_background()

    # Ending

    def close(self) -> None:
        """Write the index and let go of the memory. May be called again. Raises nothing: see ``notices``."""
        self.background.wait_for_check()
        with self._lock:
            if not self.is_open:
                return
            try:
                if not self.read_only and self.mirror is not None:
                    with self.changing("The index was not written"):
                        self.write_index()
            except VardaError as error:
                self.notices.append(f"{error} The memory itself is safe; the index is rebuilt at the next start.")
            finally:
                self.background.stop_writing()
                self.is_open = False
                self._opened.close()

    # For who reads and changes it

    def check_open(self) -> None:
        """Raise VardaError where it is closed."""
        if not self.is_open:
            raise VardaError("This memory is closed.")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Look at it within this. Raises StorageError, VardaError where it is closed."""
        with self._lock, disk_errors("The memory cannot be read"):
            self.check_open()
            yield

    @contextmanager
    def changing(self, what: str, also_in_ram: bool = False) -> Iterator[None]:
        """Change it within this. ``also_in_ram``: what may be changed in a copy too. Raises StorageError, which begins
        with ``what``, VardaError where it is closed."""
        with self._lock, disk_errors(what):
            self.check_open()
            if self.read_only and not also_in_ram:
                raise StorageError(f"{what}: this memory is open read-only.")
            yield

    def index(self) -> IndexMirror:
        """The index. Raises VardaError where the memory was opened without a model."""
        if self.mirror is None:
            raise VardaError("This memory was opened without a model, so it can be neither searched nor added to.")
        return self.mirror

    def follow(self, restored: Sequence[Statement], removed: Sequence[Statement]) -> None:
        """Let the index follow what memory.db has committed."""
        if self.mirror is not None:
            self.mirror.remove_statements([statement.id for statement in removed])
            if damaged := self.mirror.add_from(self.db, restored):
                with transaction(self.db):
                    queries.mark_unreadable(self.db, damaged)
                    bump_generation(self.db)
            self.keep_to(self._vocabulary)

    def delete(self, statements: Sequence[Statement]) -> None:
        """Move statements aside as one act, which can be undone; within ``changing``."""
        with transaction(self.db):
            undo.remove(self.db, statements, time.time(), undo.next_act(self.db))
            bump_generation(self.db)
        self.follow((), statements)

    def keep_to(self, vocabulary: int | None) -> None:
        """Take statements with tokens that a model of ``vocabulary`` tokens cannot know out of the search, until their
        texts have been read again: their vectors come from outside. None: the vectors are of no model with tokens.

        Raises StorageError."""
        self._vocabulary = vocabulary
        if self.mirror is None or vocabulary is None:
            return
        unknown = self.mirror.with_unknown_tokens(vocabulary)
        if not unknown:
            return
        with disk_errors("The memory cannot be opened"), transaction(self.db):
            queries.mark_unreadable(self.db, unknown)
            bump_generation(self.db)
        self.mirror.remove_statements(unknown)
        self.notices.append(
            f"{numbered(len(unknown), 'memory')} with tokens that the model does not know will be read again."
        )

    def write_index(self) -> None:
        """Write the index file, unless it is of this state."""
        self.background.stop_writing()
        index, path = self.index(), self.directory / INDEX
        if not index.is_written(self.db) or not path.exists():
            snapshot = index.snapshot(self.db)
            snapshot.write(path)
            index.note_written(snapshot)

    def write_now_and_then(self) -> None:
        """Keep memory.faiss from falling so far behind that the start after a crash would be slow.

        Written in the background: a turn does not wait for a large file.
        """
        index, background = self.mirror, self.background
        if index is not None and index.is_far_from_its_file and not background.is_writing:
            background.write(index.snapshot(self.db), self.directory / INDEX, index.note_written)

    def _check_in_background(self) -> None:
        """Read a large database whole, which the start has not waited for."""
        database = self.directory / DATABASE
        if not self.read_only and is_read_later(database):
            self.background.check(database, damaged=self._tell_of_damage, texts_altered=self._tell_of_texts)

    def _tell_of_texts(self, lines: list[str]) -> None:
        with self._lock:
            self.notices += [f"{line} {HOW_TO_MEND}" for line in lines]

    def _tell_of_damage(self, finding: str) -> None:
        with self._lock:
            self.notices.append(
                f"memory.db is damaged ({finding}). Start varda-chat again to have it set aside and saved."
            )


class Background:
    """One thread that checks, once, and at most one that writes. They tell what they find by calling back.

    Never call ``wait_for_check`` while holding a lock that a callback of ``check`` takes.
    """

    def __init__(self) -> None:
        self._checking: threading.Thread | None = None
        self._writing: threading.Thread | None = None
        self._stop = threading.Event()

    def check(
        self, database: Path, *, damaged: Callable[[str], None], texts_altered: Callable[[list[str]], None]
    ) -> None:
        """Read every byte of the open database."""

        def work() -> None:
            finding = _damage(database)
            if finding is not None:
                damaged(finding)
            elif lines := _altered(database):
                texts_altered(lines)

        self._checking = _started(work, "memory-check")

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
        """Until it has been told whether the database is intact."""
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
