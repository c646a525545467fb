"""MemoryCore: what an open memory is made of (database, lock, index), who may use it when, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING

from varda_chat.errors import StorageError, VardaError
from varda_chat.memory.database import disk_errors
from varda_chat.memory.files import INDEX
from varda_chat.memory.mirror import IndexMirror
from varda_chat.memory.opening import Opened
from varda_chat.memory.records import Statement

if TYPE_CHECKING:
    from typing import Self


class MemoryCore:
    """The part of MemoryStore that its other methods stand on."""

    def __init__(self, opened: Opened, capacity: int, model: tuple[int, str] | None) -> None:
        """Not for callers. ``model``: embedding_dim and fingerprint, None to go without the index."""
        self.folder = opened.folder
        self.capacity = capacity
        self.read_only = opened.lock is None
        self.notices = opened.notices
        self._db = opened.db
        self._opened = opened
        self._lock = threading.RLock()
        self._open = True
        self._mirror: IndexMirror | None = None
        if model is not None:
            self._mirror, notices = IndexMirror.load(
                self._db, self.folder / INDEX, embedding_dim=model[0], fingerprint=model[1]
            )
            self.notices += notices

    # Ending

    def flush_index(self) -> None:
        """Write memory.faiss, so that the next start need not make it anew. Raises StorageError."""
        with self._changing("The index was not written"):
            self._index().write(self._db, self.folder / INDEX)

    def close(self) -> None:
        """Write the index and let go of the memory. May be called again. Raises nothing: see ``notices``."""
        with self._lock:
            if not self._open:
                return
            try:
                if not self.read_only and self._mirror is not None:
                    self.flush_index()
            except VardaError as error:
                self.notices.append(f"{error} The memory itself is safe; the index is made anew at the next start.")
            finally:
                self._open = False
                self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Within

    def _check_open(self) -> None:
        if not self._open:
            raise VardaError("This memory is closed.")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, disk_errors("The memory cannot be read"):
            self._check_open()
            yield

    @contextmanager
    def _changing(self, what: str, also_in_ram: bool = False) -> Iterator[None]:
        with self._lock, disk_errors(what):
            self._check_open()
            if self.read_only and not also_in_ram:
                raise StorageError(f"{what}: this memory is open read-only.")
            yield

    def _index(self) -> IndexMirror:
        if self._mirror is None:
            raise VardaError("This memory was opened without a model, so it can be neither searched nor added to.")
        return self._mirror

    def _follow(self, restored: Sequence[Statement], removed: Sequence[Statement]) -> None:
        """Let the index follow what memory.db has committed."""
        if self._mirror is not None:
            self._mirror.remove_statements([statement.id for statement in removed])
            self._mirror.add_from(self._db, [statement.id for statement in restored])

    def _write_now_and_then(self) -> None:
        """Keep memory.faiss from falling so far behind that the start after a crash would be slow."""
        if self._index().is_far_from_its_file:
            with suppress(OSError):  # only a cache: the turn is safe without it, and close tells
                self._index().write(self._db, self.folder / INDEX)
