"""TurnRunner: one turn from the line to the durable memory, with the transcript before and after it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from varda_chat.errors import VardaError
from varda_chat.memory.records import TurnChanges
from varda_chat.session.confirming import Confirm, must_ask
from varda_chat.session.context import Past
from varda_chat.session.lengths import check_length
from varda_chat.session.lookups import TimedMemory
from varda_chat.session.turn import Recalled, Remembered, Turn
from varda_chat.text import sanitize

if TYPE_CHECKING:
    import threading

    from varda_chat.models.chat_format import EncodedMessage
    from varda_chat.session.answering import Agreed, Answered, AnswerThenDecide, DecideThenAnswer
    from varda_chat.session.context import ContextWindow
    from varda_chat.session.memory_actions import SessionMemory
    from varda_chat.session.reading import TextReader
    from varda_chat.session.state import SessionState

RECALLED_SHARE = 0.1
"""A statement counts as recalled when it gave at least this share of some token's probability."""


class TurnRunner:
    """Runs turns, one at a time: the window, the memory and the transcript change together at the end of each."""

    def __init__(
        self,
        state: SessionState,
        context: ContextWindow,
        memory: SessionMemory,
        reader: TextReader,
        answerer: DecideThenAnswer | AnswerThenDecide,
    ) -> None:
        self._state = state
        self._context = context
        self._memory = memory
        self._reader = reader
        self.answerer = answerer

    def run(
        self,
        prompt: str,
        on_text: Callable[[str], None] | None,
        stop: threading.Event | None,
        confirm: Confirm | None,
        *,
        instead: bool,
    ) -> Turn:
        """As ``ChatSession.reply``."""
        prompt = sanitize(prompt).strip()
        if not prompt:
            raise VardaError("There is nothing to answer: the message is empty.")
        check_length(prompt)
        context, recording = self._context, self._state.recording
        past = context.past if instead else None
        if instead and past is None:
            raise VardaError("There is no answer yet that another could take the place of.")
        said: list[str] = []

        def hear(piece: str) -> None:
            piece = sanitize(piece)
            said.append(piece)
            if on_text is not None:
                on_text(piece)

        turn_id = recording.asked(prompt)
        taken: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
        window = context.messages if past is None else list(past.window)
        try:
            if past is not None:
                taken = self._memory.take_back(past.turn)
            again = past is not None and past.turn.prompt == prompt
            turn = replace(self._turn(prompt, window, hear, stop, confirm, again=again), turn_id=turn_id)
        except BaseException:
            try:
                self._memory.put_back(taken)
            finally:
                recording.answered(turn_id, sanitize("".join(said)).strip(), "failed")
            raise
        context.past = Past(turn, tuple(window))
        recording.answered(
            turn_id,
            turn.reply,
            "stopped" if turn.stopped else "done",
            turn.details(),
            replaces=None if past is None else past.turn.turn_id,
        )
        return turn

    def _turn(
        self,
        prompt: str,
        before: list[EncodedMessage],
        on_text: Callable[[str], None],
        stop: threading.Event | None,
        confirm: Confirm | None,
        *,
        again: bool,
    ) -> Turn:
        """The turn after the messages ``before``; the window and the memory change at its end."""
        from varda_chat.session.answering import Line

        state, context = self._state, self._context
        started = time.perf_counter()
        searched = state.searched
        timed = TimedMemory(searched) if searched is not None else None
        whole = state.chat.encode("user", prompt)
        message = state.shortened(whole)
        history = context.fitting(before, len(message.ids) + self.answerer.reply_header)
        agree = partial(self._agreed, confirm=confirm)
        answered = self.answerer.answer(Line(message, history, timed, on_text, stop, agree, again))
        recalled = self._recalled(answered)
        stored, deleted = self._apply(answered, recalled, whole, message, stop, agree)
        turn = Turn(
            prompt=prompt,
            reply=answered.reply,
            recalled=recalled,
            stored=stored,
            deleted=deleted,
            memory_size=state.store.size,
            prompt_tokens=answered.prompt_tokens,
            reply_tokens=answered.tokens,
            seconds=time.perf_counter() - started,
            stopped=answered.stopped,
            sources=answered.sources,
            lookup_seconds=timed.seconds_a_search if timed else 0.0,
            left_window=(len(before) - len(history)) // 2,
            status=answered.status,
            read=answered.read,
            by_heart=answered.by_heart,
            worked_out=answered.worked_out,
        )
        context.messages = [*history, message, replace(answered.message, mentions=turn.mentions)]
        if self.answerer.window_forgets:
            context.leave(each.id for each in deleted)
        return turn

    def _recalled(self, answered: Answered) -> tuple[Recalled, ...]:
        """The statements that the reply owes something to, the largest share first."""
        best = sorted(answered.shares.items(), key=lambda item: -item[1])
        store = self._state.store
        return tuple(Recalled(id_, store.statement(id_).text, share) for id_, share in best if share >= RECALLED_SHARE)

    def _apply(
        self,
        answered: Answered,
        recalled: tuple[Recalled, ...],
        whole: EncodedMessage,
        message: EncodedMessage,
        stop: threading.Event | None,
        agree: Callable[[frozenset[int]], Agreed],
    ) -> tuple[tuple[Remembered, ...], tuple[Remembered, ...]]:
        """What the turn stored and deleted, durably; nothing where this session may not write. Of a line that is longer
        than the window (``whole``, of which ``message`` was answered) the beginning is read for stores too."""
        import torch

        stores, cut = answered.stores, len(whole.ids) - len(message.ids)
        if cut > 0:
            with torch.inference_mode():
                stores = (*self._reader.beginning_of(whole, cut, stop), *stores)
        agreed = answered.agreed or agree(answered.deletes)
        if not self._state.may_write:
            return (), ()
        changes = TurnChanges(
            stores=stores,
            delete_statements=agreed.going,
            confirmed=agreed.asked,
            recalled=frozenset(each.id for each in recalled),
        )
        applied = self._state.store.apply(changes, session=self._state.name)
        stored = tuple(Remembered(each.id, each.text) for each in applied.stored)
        return stored, tuple(Remembered(each.id, each.text) for each in applied.deleted)

    def _agreed(self, deletes: frozenset[int], confirm: Confirm | None) -> Agreed:
        """Which of ``deletes`` may go: all that are not pinned, unless a person is to be asked and chooses."""
        from varda_chat.session.answering import Agreed

        state = self._state
        if not deletes or not state.may_write:
            return Agreed(deletes)
        going = state.store.reader.present(deletes)
        if confirm is None or not must_ask(going, state.confirm_deletes):
            free = frozenset(each.id for each in going if not each.pinned)
            return Agreed(free, refused=not free)
        chosen = deletes & frozenset(confirm(going))
        return Agreed(chosen, asked=True, refused=not chosen)
