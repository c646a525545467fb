"""Recording: the session that is going on, written to the transcripts turn by turn; a full disk does not end it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from varda_chat.errors import VardaError
from varda_chat.transcripts.records import SessionInfo, StoredTurn, TurnState
from varda_chat.transcripts.store import Transcripts


class Recording:
    """What is said now. Without ``transcripts`` (None) nothing is kept. Used by one thread at a time.

    paused: while true, as in incognito, nothing is written.
    session_id: of the session that is written, None before its first turn.
    last_turn: the id of the last turn written; None where that was not.
    """

    def __init__(self, transcripts: Transcripts | None, tell: Callable[[str], None] = lambda line: None) -> None:
        """``tell`` gets one line when writing fails for the first time."""
        self.transcripts = transcripts
        self.paused = False
        self.session_id: int | None = None
        self.last_turn: int | None = None
        self._tell = tell
        self._told = False

    @property
    def info(self) -> SessionInfo | None:
        """The session that is written, None where there is none yet or it was deleted."""
        if self.transcripts is None or self.session_id is None:
            return None
        try:
            return self.transcripts.session(self.session_id)
        except VardaError:
            return None

    def begin(self) -> None:
        """The next turn is the first of a new session."""
        self.session_id = self.last_turn = None

    def move_to(self, transcripts: Transcripts | None) -> None:
        """The next turn is the first of a new session in other transcripts (None: nothing is kept)."""
        self.transcripts = transcripts
        self.begin()

    def resume(self, session_id: int, limit: int) -> tuple[StoredTurn, ...]:
        """Resume an earlier session; returns its last turns. Raises VardaError where there is no such session."""
        if self.transcripts is None:
            raise VardaError("Sessions are not kept here, so none can be resumed.")
        self.transcripts.session(session_id)
        turns = self.transcripts.turns(session_id, limit)
        self.session_id = session_id
        self.last_turn = turns[-1].id if turns else None
        return turns

    def asked(self, prompt: str) -> int | None:
        """Write what the person said, before it is answered; returns the turn's id, None where it was not written."""
        if self.transcripts is None or self.paused:
            self.last_turn = None
            return None
        try:
            if self.info is None:  # the first turn, or the session was deleted meanwhile
                self.session_id = self.transcripts.begin(prompt)
            assert self.session_id is not None
            self.last_turn = self.transcripts.ask(self.session_id, prompt)
        except VardaError as error:
            self.last_turn = None
            self._fail(error)
        else:
            self._told = False
        return self.last_turn

    def answered(
        self,
        turn_id: int | None,
        reply: str,
        state: TurnState,
        details: dict[str, Any] | None = None,
        *,
        replaces: int | None = None,
    ) -> None:
        """Write how the turn ended."""
        if self.transcripts is None or turn_id is None:
            return
        try:
            self.transcripts.answer(turn_id, reply, state, details, replaces=replaces)
        except VardaError as error:
            self._fail(error)

    def _fail(self, error: VardaError) -> None:
        if not self._told:
            self._told = True
            self._tell(f"{error} The conversation goes on; what is said meanwhile is not in the saved session.")
