"""Incognito: begins and ends storing nothing, and leaves a memory's copy in RAM for the memory itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from varda_chat.errors import VardaError

if TYPE_CHECKING:
    from varda_chat.memory import MemoryStore
    from varda_chat.session.reading import TextReader
    from varda_chat.session.state import SessionState
    from varda_chat.transcripts import Transcripts


class Incognito:
    """Whether a session stores and saves what is said.

    open_to_write: opens the memory itself, of a session that was opened over a copy; None where that may not be.
    """

    def __init__(self, state: SessionState, reader: TextReader) -> None:
        self.open_to_write: Callable[[], MemoryStore] | None = None
        self._state = state
        self._reader = reader

    def set(self, incognito: bool, transcripts: Transcripts | None) -> None:
        """As ``ChatSession.set_incognito``."""
        state = self._state
        if not incognito and state.store.read_only:
            self._leave_copy()
            state.recording.move_to(transcripts)
        state.incognito = state.recording.paused = incognito

    def _leave_copy(self) -> None:
        """Switch to the memory itself in place of its copy in RAM. Raises as ``MemoryStore.open`` does, VardaError
        where that may not be; nothing has changed then."""
        if self.open_to_write is None:
            raise VardaError("This memory was opened read-only: nothing can be stored in it.")
        store = self.open_to_write()
        copy, self._state.store = self._state.store, store
        try:
            self._reader.read_foreign(lambda what, share: None)
        except BaseException:
            self._state.store = copy
            store.close()
            raise
        store.notices[:0] = copy.notices
        copy.close()
