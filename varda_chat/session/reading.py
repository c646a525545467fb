"""TextReader: what the model stores of texts that are read outside of a turn. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from varda_chat.text import sanitize

if TYPE_CHECKING:
    import threading

    from varda_chat.memory.records import NewStatement, Statement
    from varda_chat.models.chat_format import EncodedMessage
    from varda_chat.session.state import SessionState


class TextReader:
    """Reads texts that nobody has just said, and says or stores what the model finds worth it."""

    def __init__(self, state: SessionState) -> None:
        self._state = state

    def stores_of(self, role: str, text: str, *, all_of_it: bool) -> tuple[NewStatement, ...]:
        """What is worth storing of ``text``; ``all_of_it``: something of every sentence. Changes nothing."""
        import torch

        state = self._state
        message = state.chat.encode(role, sanitize(text).strip())
        cut = len(message.ids) - message.header - message.footer
        decides = role == "user" and hasattr(state.model, "memory_layer") and len(message.ids) < state.room
        with torch.inference_mode():
            if decides and not all_of_it:
                return self._decided_of(message)
            return tuple(self.beginning_of(message, cut, None, all_of_it=all_of_it))

    def _decided_of(self, message: EncodedMessage) -> tuple[NewStatement, ...]:
        """What is worth storing of a user's ``message``, as it is decided in a turn."""
        from varda_chat.session.decisions import intents_at, stored_outside_a_turn
        from varda_chat.session.remembering import read_messages
        from varda_chat.session.telling import storable

        chat, model = self._state.chat, self._state.model
        output = read_messages(model, [message], opening=chat.opening)
        intents = intents_at(model.memory_layer, output.address, len(message.ids) - message.footer)
        stores, least = storable(model, chat, output, message, 0)
        return stored_outside_a_turn(intents, stores, least, model.config.memory)

    def beginning_of(
        self, message: EncodedMessage, cut: int, stop: threading.Event | None, *, all_of_it: bool = False
    ) -> list[NewStatement]:
        """What is worth storing of the first ``cut`` tokens of a message, read in pieces of the window's size (until
        ``stop`` is set); ``all_of_it``: of every sentence at least the token the likeliest to be stored."""
        from varda_chat.session.remembering import read_messages, statements_to_store

        chat, model = self._state.chat, self._state.model
        size = self._state.room - 1
        found: list[NewStatement] = []
        first = message.header
        for start in range(first, cut + first, size):
            if stop is not None and stop.is_set():
                break
            piece = message.part(start, min(start + size, cut + first))
            output = read_messages(model, [piece], opening=chat.opening)
            of_these = range(len(piece.sentences)) if all_of_it else ()
            found += statements_to_store(output, piece, 0, chat, model.config.store_threshold, of_these=of_these)
        return found

    def read_statement(self, statement: Statement) -> None:
        """Read the text of a statement in memory, and store vectors of this model for it."""
        import torch

        with torch.inference_mode():
            self._read_statement(statement)

    def _read_statement(self, statement: Statement) -> None:
        from varda_chat.session.remembering import read_messages, statements_to_store

        chat, model = self._state.chat, self._state.model
        message = self._state.shortened(chat.encode(statement.role, statement.text))
        output = read_messages(model, [message], opening=chat.opening)
        found = statements_to_store(output, message, 0, chat, model.config.store_threshold)
        # it was found worth storing once: keep at least what this model finds the most so
        found = found or statements_to_store(output, message, 0, chat, threshold=None)
        vectors = [vector for part in found for vector in part.vectors]
        if vectors:
            self._state.store.indexing.replace_vectors(statement.id, vectors)

    def read_foreign(self, report: Callable[[str, float], None]) -> None:
        """Read the texts of statements that another model stored through this one, which then knows them too."""
        foreign = self._state.store.reader.foreign_statements()
        what = f"reading {len(foreign):,} {'memory' if len(foreign) == 1 else 'memories'} of another model"
        for number, statement in enumerate(foreign):
            report(what, 0.85 + 0.15 * number / len(foreign))
            self.read_statement(statement)
