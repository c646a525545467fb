"""ContextWindow: the messages that the model reads a turn after. What does not fit leaves, and what is forgotten."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from varda_chat.errors import VardaError
from varda_chat.memory.records import normal_form
from varda_chat.session.turn import Exchange, Turn

if TYPE_CHECKING:
    from varda_chat.models.chat_format import EncodedMessage
    from varda_chat.session.state import SessionState
    from varda_chat.transcripts.records import StoredTurn

LEAVING = 0.25
"""Share of the window that leaves it at once, when it is full."""
RESUMED_TURNS = 64
"""The most turns of a resumed session that are put back into the window."""


@dataclass(frozen=True)
class Past:
    """The last turn, and the window before it, for who wants it answered again."""

    turn: Turn
    window: tuple[EncodedMessage, ...]


class ContextWindow:
    """The messages that the next turn is answered after, a line and its reply in turn.

    past: the last turn; None where there is none that could be answered again.
    """

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self.messages: list[EncodedMessage] = []
        self.past: Past | None = None

    def begin(self) -> None:
        """Begin a new session: nothing has been said."""
        self.messages, self.past = [], None

    def resume(self, turns: Iterable[StoredTurn]) -> None:
        """Begin after ``turns`` of the transcripts, as many of the last as fit. Those that told or named what is not in
        memory any more are left out. Raises StorageError as reading does."""
        done = _answered(turns)
        found = self._messages_of(done)
        self.begin()
        for turn, messages in zip(done, found, strict=True):
            self.past = Past(turn, tuple(self.messages))
            self.messages += messages
        self.messages = self.fitting(self.messages, 1)

    def follow(self, exchanges: Sequence[Exchange]) -> None:
        """Begin after ``exchanges`` that another program kept, as many of the last as fit. Those that told or named
        what has been deleted since are left out. Raises StorageError as reading does."""
        self.begin()
        chat, store = self._state.chat, self._state.store
        live = {normal_form(each.text): each.id for each in store.statements()}
        removed = store.removed()
        removed_ids = {each.id for each in removed}
        removed_texts = {normal_form(each.text) for each in removed} - live.keys()
        for exchange in exchanges[-RESUMED_TURNS:]:
            line, reply = chat.encode("user", exchange.prompt), chat.encode("assistant", exchange.reply)
            said = {normal_form(sentence) for sentence in (*line.sentences, *reply.sentences)}
            if exchange.mentions & removed_ids or said & removed_texts:
                continue
            told = frozenset(live[text] for text in said & live.keys())
            self.messages += [line, replace(reply, mentions=exchange.mentions | told)]
        self.messages = self.fitting(self.messages, 1)

    def follow_messages(self, messages: Sequence[EncodedMessage], *, without: frozenset[int] = frozenset()) -> None:
        """Begin after ``messages``, but for the turns that told or named the statements ``without``."""
        self.begin()
        self.messages = _without(messages, without)

    def before(self, turn: Turn) -> tuple[EncodedMessage, ...]:
        """The messages that ``turn`` was answered after: of the last turn as they were, of an earlier one as the
        transcript has them, without what told or named what has been forgotten since. Raises VardaError where it is in
        neither."""
        if self.past is not None and self.past.turn == turn:
            return self.past.window
        recording = self._state.recording
        transcripts, session_id = recording.transcripts, recording.session_id
        if turn.turn_id is None or transcripts is None or session_id is None:
            raise VardaError("What was said before this answer is not known any more.")
        before = transcripts.turns(session_id, RESUMED_TURNS, before=turn.turn_id)
        return tuple(message for messages in self._messages_of(_answered(before)) for message in messages)

    def fitting(self, messages: Sequence[EncodedMessage], needed: int) -> list[EncodedMessage]:
        """The latest whole turns that fit beside ``needed`` tokens: the oldest leave the window, the memory stays. They
        leave by LEAVING at once: what is left has to be read again, since its beginning is another."""
        history = list(messages)
        over = sum(len(past.ids) for past in history) + needed - self._state.room
        if over > 0:
            step = max(1, int(LEAVING * self._state.room))
            over = math.ceil(over / step) * step
        while history and over > 0:
            over -= sum(len(left.ids) for left in history[:2])
            del history[:2]
        return history

    @property
    def room(self) -> int:
        """Tokens that a prompt may have, so that a whole reply fits behind it."""
        return self._state.room

    def leave(self, statement_ids: Iterable[int]) -> None:
        """Take the turns that told or named deleted statements out of the window: what is forgotten is not answered
        from there either."""
        deleted = frozenset(statement_ids)
        self.messages = _without(self.messages, deleted)
        if self.past is not None:
            self.past = replace(self.past, window=tuple(_without(self.past.window, deleted)))

    def _messages_of(self, turns: Sequence[Turn]) -> list[list[EncodedMessage]]:
        """Of each of ``turns`` of the transcripts the messages that the window has of it: none where it told or named a
        statement that is not in memory in these words any more (the ids of a memory that was reset begin again)."""
        chat = self._state.chat
        ids = {id_ for turn in turns for id_ in turn.mentions}
        present = {each.id: each.text for each in self._state.store.reader.present(ids)}
        found = []
        for turn in turns:
            named = [(each.id, each.text) for each in (*turn.stored, *turn.recalled, *turn.read)]
            lives = all(normal_form(present.get(id_, "")) == normal_form(text) for id_, text in named)
            answer = replace(chat.encode("assistant", turn.reply), mentions=turn.mentions)
            found.append([chat.encode("user", turn.prompt), answer] if lives else [])
        return found


def _answered(turns: Iterable[StoredTurn]) -> list[Turn]:
    return [Turn.from_stored(stored) for stored in turns if stored.state in ("done", "stopped")]


def _without(messages: Sequence[EncodedMessage], deleted: frozenset[int]) -> list[EncodedMessage]:
    """``messages``, a line and its reply in turn, without the turns that mention statements of ``deleted``."""
    turns = zip(messages[::2], messages[1::2], strict=True)
    return [message for line, reply in turns if not reply.mentions & deleted for message in (line, reply)]
