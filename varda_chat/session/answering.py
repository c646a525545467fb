"""The two ways to answer a line: deciding what happens to the memory before the reply is written, or after it.

Both get a ``Line`` and give an ``Answered``; neither changes the memory or the window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from varda_chat.memory.word_index import share_words
from varda_chat.models.chat_format import statement_numbers
from varda_chat.models.configuration import STATUSES
from varda_chat.models.generation import generate_reply
from varda_chat.models.reply import ReplyWriter, Written, message_of_reply
from varda_chat.models.results import EmptyMemory
from varda_chat.session.confirming import KEPT
from varda_chat.session.decisions import Decisions, decide
from varda_chat.session.remembering import (
    by_statement,
    deletions,
    largest,
    read_messages,
    recalls,
    sources,
    sources_of,
    statements_to_store,
    with_words,
)
from varda_chat.session.sums import worked_out
from varda_chat.session.telling import storable
from varda_chat.session.turn import Remembered
from varda_chat.text import sanitize

if TYPE_CHECKING:
    import threading

    from varda_chat.memory.records import NewStatement
    from varda_chat.models.chat_format import EncodedMessage
    from varda_chat.models.known_replies import Fitting
    from varda_chat.session.lookups import TimedMemory
    from varda_chat.session.state import SessionState
    from varda_chat.session.turn import TokenSources

UNLIKE_LAST = 6
"""A reply that recalls nothing does not repeat what this many replies before it said."""


@dataclass(frozen=True)
class Agreed:
    """Deletes that may go; whether a person was asked about them; whether they were all kept."""

    going: frozenset[int]
    asked: bool = False
    refused: bool = False


@dataclass(frozen=True)
class Line:
    """What is to be answered. history: the messages before it; memory: the searched one, None where nothing is to be
    found; agree: asks which deletes may go; again: a person wants another answer than the last."""

    message: EncodedMessage
    history: Sequence[EncodedMessage]
    memory: TimedMemory | None
    on_text: Callable[[str], None]
    stop: threading.Event | None
    agree: Callable[[frozenset[int]], Agreed]
    again: bool = False

    @property
    def last_replies(self) -> Sequence[EncodedMessage]:
        """The last UNLIKE_LAST replies before it."""
        return self.history[1::2][-UNLIKE_LAST:]

    @property
    def is_stopped(self) -> bool:
        """Whether the reply is to end."""
        return self.stop is not None and self.stop.is_set()


@dataclass(frozen=True)
class Answered:
    """A reply, and what the turn is to do to the memory.

    message: the reply as the window has it. tokens: of the reply; prompt_tokens: of what it was written after. shares:
    of each statement that was read, its largest share of any token. agreed: None where nobody has been asked yet about
    ``deletes``. read: statements that stood before the reply. status: what was decided, "" where that came after.
    by_heart: the known line whose reply this is, "" for one that was written. worked_out: whether it is the result of a
    sum.
    """

    reply: str
    message: EncodedMessage
    tokens: int
    prompt_tokens: int
    stopped: bool
    shares: dict[int, float]
    sources: tuple[TokenSources, ...]
    stores: tuple[NewStatement, ...]
    deletes: frozenset[int]
    agreed: Agreed | None = None
    read: tuple[Remembered, ...] = ()
    status: str = ""
    by_heart: str = ""
    worked_out: bool = False


class DecideThenAnswer:
    """For models with a MemoryLayer: decides when the line has been read, and writes the reply on that decision."""

    reply_header = 0
    """Tokens of the reply's header that ``SessionState.room`` does not count."""
    window_forgets = True
    """What the turn deletes leaves the window too."""

    def __init__(self, state: SessionState, writer: ReplyWriter | None = None) -> None:
        """``writer``: that of another session, which then goes on from what it has read."""
        self._state = state
        self.writer = writer or ReplyWriter(state.model, state.chat)

    @torch.inference_mode()
    def answer(self, line: Line) -> Answered:
        """Read the line, decide, ask a person where that is needed, and write the reply."""
        state, chat = self._state, self._state.chat
        past = (token for message in line.history for token in message.ids)
        context = [*chat.opening, *past, *line.message.ids]
        decided = self._decide(line, context)
        result = worked_out(" ".join(line.message.sentences))
        if result is not None:
            decided = decided.nothing  # a sum tells nothing, and asks nothing of the memory
        agreed = line.agree(decided.deletes)
        if agreed.refused:
            status = STATUSES.index("stored" if decided.stores else "nothing")
            decided = replace(decided, deletes=frozenset(), status=status)
        texts, read = self._found(decided, " ".join(line.message.sentences))
        note = chat.note(decided.status_name, texts)
        kept = agreed.refused and not decided.stores
        known = None if kept or result is not None else self._by_heart(line, decided)
        if result is not None:
            written = self._say(line, result)
        elif known is not None:
            written = self._say(line, known.known.reply)
        elif kept:
            written = self._say(line, KEPT)  # no model has learned what to say of that
        else:
            written = self._write(line, decided, note)
        stopped = line.is_stopped
        text, message = message_of_reply(chat, written.ids, note)
        copied = (
            []
            if written.result_ids is None or written.shares is None
            else by_statement(state.statement_ids(written.result_ids), written.shares)
        )
        rows = with_words(copied, written.ids, line.message.ids, decided.found)
        return Answered(
            reply=sanitize(text).strip(),
            message=message,
            tokens=len(written.ids),
            prompt_tokens=len(context) + len(note) + len(chat.reply_prompt),
            stopped=stopped,
            shares=largest(rows),
            sources=sources_of(rows, message.offsets[message.header : len(message.ids) - message.footer]),
            stores=decided.stores,
            deletes=agreed.going,
            agreed=agreed,
            read=read,
            status=decided.status_name,
            by_heart="" if known is None else known.known.line,
            worked_out=result is not None,
        )

    def _by_heart(self, line: Line, decided: Decisions) -> Fitting | None:
        """The known reply that fits the line; None where there is none, where the reply is to say what memory holds,
        under a persona, and where a person wants another reply."""
        known = self._state.checkpoint.known_replies
        status = decided.status_name
        if known is None or status not in ("nothing", "stored") or self._state.persona or line.again:
            return None
        said = [" ".join(past.sentences) for past in line.last_replies]
        return known.fitting(line.message, said, told=status == "stored")

    def _say(self, line: Line, text: str) -> Written:
        """Say ``text`` as the reply."""
        said = self._state.chat.encode("assistant", text)
        line.on_text(text)
        return Written(said.ids[said.header : -said.footer], None, None)

    def _found(self, decided: Decisions, words: str) -> tuple[list[str], tuple[Remembered, ...]]:
        """What was found, as the reply to a line of these ``words`` reads it, and all statements whose words stand
        there. A line that names what a statement leans on ("What is my aunt allergic to?") asks for nothing of that."""
        texts, ids = list[str](), dict[int, None]()
        for each in decided.found:
            alone = self._state.store.statement(each.statement).text
            text, before = self._state.as_read(each.statement, alone)
            if any(share_words(words, self._state.store.statement(id_).text) for id_ in before):
                text, before = alone, ()
            texts.append(text)
            ids |= dict.fromkeys([*before, each.statement])
        return texts, tuple(Remembered(each, self._state.store.statement(each).text) for each in ids)

    def _decide(self, line: Line, context: list[int]) -> Decisions:
        """Read ``context``, which ends with the line, and decide."""
        state, chat, model, message = self._state, self._state.chat, self._state.model, line.message
        start = len(context) - len(message.ids)
        output, known = self.writer.read(context, None, [-1] * start + statement_numbers([message]))
        stores, least = storable(model, chat, output, message, start - known)
        return decide(
            model,
            output,
            len(context) - message.footer - known,
            stores,
            least,
            line.memory,
            state.statement_ids,
            may_write=state.may_write,
            read_beside=self._state.reads_beside(message),
            words=" ".join(message.sentences),
        )

    def _write(self, line: Line, decided: Decisions, note: list[int]) -> Written:
        """Write the reply."""
        said = [past.ids[past.header : -past.footer] for past in line.last_replies]
        settings = self._state.generation
        if decided.found and not line.again:
            settings = replace(settings, temperature=0.0)  # what was told is not drawn
        return self.writer.write(
            decided.status,
            decided.reads,
            settings,
            line.on_text,
            line.stop,
            () if decided.found else said,
            note,
            decided.admits,
        )


class AnswerThenDecide:
    """For models without one, as mini: writes the reply, and decides on one pass over the whole turn."""

    reply_header = 1
    window_forgets = False
    writer = None

    def __init__(self, state: SessionState) -> None:
        self._state = state

    def answer(self, line: Line) -> Answered:
        """Write the reply, then decide what the turn stores and deletes."""
        state, chat = self._state, self._state.chat
        memory: Any = EmptyMemory() if line.memory is None else state.store
        context = [token for past in line.history for token in past.ids] + line.message.ids
        prompt = [*context, chat.assistant_id]
        ids = generate_reply(
            state.model, chat, prompt, line.memory or memory, state.generation, line.on_text, line.stop
        )
        stopped = line.is_stopped
        text = sanitize(chat.decode(ids)).strip()
        answer = chat.encode("assistant", text)
        return self._decided(line, memory, text, answer, len(ids), len(prompt), stopped)

    @torch.inference_mode()
    def _decided(
        self, line: Line, memory: Any, text: str, answer: EncodedMessage, tokens: int, prompt_tokens: int, stopped: bool
    ) -> Answered:
        """What the model read for the answer, and for each token of it, and what it wants stored and deleted, from one
        pass over the turn."""
        state, chat, model = self._state, self._state.chat, self._state.model
        output = read_messages(model, [*line.history, line.message, answer], memory)
        start = sum(len(past.ids) for past in line.history)
        replied = start + len(line.message.ids)
        threshold = model.config.store_threshold
        stores = statements_to_store(output, line.message, start, chat, threshold)
        if not stopped:
            stores += statements_to_store(output, answer, replied, chat, threshold)
        return Answered(
            reply=text,
            message=answer,
            tokens=tokens,
            prompt_tokens=prompt_tokens,
            stopped=stopped,
            shares=recalls(output, replied, state.statement_ids),
            sources=sources(output, answer, replied, state.statement_ids),
            stores=tuple(stores),
            deletes=frozenset(deletions(model, output, start, state.statement_ids)),
        )


def answerer(state: SessionState, writer: ReplyWriter | None = None) -> DecideThenAnswer | AnswerThenDecide:
    """The way that the model of ``state`` answers. ``writer``: see DecideThenAnswer."""
    return DecideThenAnswer(state, writer) if hasattr(state.model, "memory_layer") else AnswerThenDecide(state)
