"""ChatSession: one turn = read -> generate -> remember. The memory is changed once a turn, durably, after the reply."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from varda_chat.config import persona
from varda_chat.config.defaults import GenerationSettings
from varda_chat.config.paths import profile_dir
from varda_chat.errors import VardaError
from varda_chat.memory.records import MemoryEvent, TurnChanges, normal_form
from varda_chat.session.confirming import KEPT, Confirm, must_ask
from varda_chat.session.lengths import check_length
from varda_chat.session.lookups import TimedMemory
from varda_chat.session.memory_actions import SessionMemory
from varda_chat.session.turn import Exchange, Recalled, Remembered, TokenSources, Turn
from varda_chat.text import sanitize
from varda_chat.transcripts.recording import Recording
from varda_chat.transcripts.records import StoredTurn

if TYPE_CHECKING:
    from varda_chat.memory import MemoryStore
    from varda_chat.models.chat_format import EncodedMessage
    from varda_chat.models.checkpoint import Checkpoint
    from varda_chat.models.reply import ReplyWriter
    from varda_chat.models.results import Memory
    from varda_chat.session.why import Without
    from varda_chat.transcripts import Transcripts

Progress = Callable[[str, float], None]

RECALLED_SHARE = 0.1
"""A statement counts as recalled when it gave at least this share of some token's probability."""
UNLIKE_LAST = 6
"""A reply that recalls nothing does not repeat what this many replies before it said."""
RESUMED_TURNS = 64
"""At most so many turns of a resumed session are read into the window again."""


@dataclass(frozen=True)
class _Past:
    """The last turn, and the window before it, for who wants it answered again."""

    turn: Turn
    window: tuple[EncodedMessage, ...]


@dataclass(frozen=True)
class _Agreed:
    """Deletes that may go; whether a person was asked about them; whether they were all kept."""

    going: frozenset[int]
    asked: bool = False
    refused: bool = False


class ChatSession(SessionMemory):
    """A conversation with one model over one memory. One turn at a time; ``recent`` may be called from any thread.

    >>> with ChatSession.open() as session:                              # doctest: +SKIP
    ...     print(session.reply("My dog is called Rimba.").stored)

    recording: what is said goes into the transcripts by it, if the session was given any.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        store: MemoryStore,
        *,
        incognito: bool = False,
        generation: GenerationSettings | None = None,
        use_memory: bool = True,
        transcripts: Transcripts | None = None,
    ) -> None:
        """Most callers want :meth:`open`. ``use_memory=False`` reads nothing (a control for measurements)."""
        self.checkpoint = checkpoint
        self.generation = generation or GenerationSettings()
        self.incognito = incognito
        self.use_memory = use_memory
        self.confirm_deletes = "auto"
        """One of CONFIRM_DELETES."""
        self.persona = ""
        self._impersonal = checkpoint.chat
        self.recording = Recording(transcripts, lambda line: self.notices.append(line))
        self._store = store
        self._writer = _writer_of(checkpoint)
        self._open_to_write: Callable[[], MemoryStore] | None = None
        self._history: list[EncodedMessage] = []
        self._past: _Past | None = None
        self._begun = time.strftime("%Y-%m-%dT%H:%M:%S")
        if self.generation.seed is not None:
            import torch

            torch.manual_seed(self.generation.seed)

    @classmethod
    def open(
        cls,
        profile: str | Path = "default",
        checkpoint: str | Path | None = None,
        *,
        incognito: bool = False,
        generation: GenerationSettings | None = None,
        read_only: bool = False,
        memory_size: int | None = None,
        transcripts: Transcripts | None = None,
        forgetfulness_factor: float | None = None,
        threads: int | None = None,
        wait: float = 0.0,
        on_progress: Progress | None = None,
    ) -> ChatSession:
        """Load the model and the memory.

        Args:
            profile: a profile's name, or the directory of one.
            checkpoint: directory or hub id; None for the bundled model.
            incognito: read the memory, write none of it.
            read_only: as incognito, where another process writes the memory.
            memory_size: capacity in vectors from now on; None for the memory's own. A new memory's settings are those
                that the model's configuration asks for.
            transcripts: where what is said is kept; None for nowhere.
            forgetfulness_factor: share (0..1) of the unpinned statements forgotten at random when the session ends;
                None for the memory's own.
            threads: the most that torch may compute with; None for as many as it likes.
            wait: seconds to wait for another process that is writing the memory.
            on_progress: called with what is being done and the share (0 to 1) that is done.

        Raises CheckpointError, MemoryLockedError, StorageError or another VardaError, each with what to do.
        """
        report = on_progress or (lambda what, share: None)
        report("loading torch", 0.05)
        import torch
        import transformers

        if threads is not None:
            torch.set_num_threads(max(1, min(threads, torch.get_num_threads())))
        # the chat has a progress display of its own
        transformers.utils.logging.disable_progress_bar()
        transformers.logging.set_verbosity_error()
        report("loading the model", 0.5)
        from varda_chat.models.checkpoint import load_checkpoint, load_default

        notice = ""
        if checkpoint is not None:
            loaded = load_checkpoint(checkpoint, lambda what: report(what, 0.5))
        else:
            loaded, notice = load_default(lambda what: report(what, 0.5))
        report("opening the memory", 0.85)
        from varda_chat.memory import MemoryStore
        from varda_chat.memory.schema import MemorySettings
        from varda_chat.session.purging import finish as finish_purges

        folder = profile if isinstance(profile, Path) else profile_dir(profile)
        open_store = partial(
            MemoryStore.open,
            folder,
            embedding_dim=loaded.model.config.memory_dim,
            fingerprint=loaded.fingerprint,
            memory_size=memory_size,
            forgetfulness_factor=forgetfulness_factor,
            begin_with=MemorySettings.of_model(loaded.model.config.to_dict()),
            vocabulary=int(loaded.model.config.vocab_size),
            wait=wait,
        )
        store = open_store(read_only=incognito or read_only)
        try:
            store.notices += finish_purges(store)
            session = cls(loaded, store, incognito=incognito, generation=generation, transcripts=transcripts)
            session._open_to_write = None if read_only else open_store
            if notice:
                session.notices.append(notice)
            session._read_again(report)
        except BaseException:
            store.close()
            raise
        report("ready", 1.0)
        return session

    # what the panel and the status line show

    @property
    def model_name(self) -> str:
        return self.checkpoint.name

    @property
    def parameters(self) -> int:
        return self.checkpoint.parameters

    @property
    def profile(self) -> str:
        return self._store.folder.name

    @property
    def profile_dir(self) -> Path:
        return self._store.folder

    @property
    def window(self) -> int:
        """Tokens that the model can read at once, the reply among them."""
        return int(self.checkpoint.model.config.n_positions)

    @property
    def notices(self) -> list[str]:
        """One line each on what the user should know about how the memory was opened."""
        return self._store.notices

    # a turn

    def reply(
        self,
        prompt: str,
        *,
        on_text: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
        instead: bool = False,
        confirm: Confirm | None = None,
    ) -> Turn:
        """Run one turn. What the returned turn says was stored or deleted is on disk.

        Args:
            prompt: the user's message; control codes are dropped.
            on_text: gets the reply in pieces, in this thread, while it is written.
            stop: once set, ends the reply; what was written is kept, and only the user's words are remembered.
            instead: of the last turn, whose stores and deletes are taken back first.
            confirm: asked, in this thread, before deletes that ``confirm_deletes`` says are to be asked about; None
                where there is nobody to ask.

        Raises StorageError where the memory could not be written, VardaError for an empty or too long prompt or where
        there is no last turn; the conversation and the memory are then as before the turn.
        """
        prompt = sanitize(prompt).strip()
        if not prompt:
            raise VardaError("There is nothing to answer: the message is empty.")
        check_length(prompt)
        past = self._past if instead else None
        if instead and past is None:
            raise VardaError("There is no answer yet that another could take the place of.")
        said: list[str] = []

        def hear(piece: str) -> None:
            piece = sanitize(piece)
            said.append(piece)
            if on_text is not None:
                on_text(piece)

        turn_id = self.recording.asked(prompt)
        taken: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
        window = self._history if past is None else list(past.window)
        try:
            if past is not None:
                taken = self._take_back(past.turn)
            turn = replace(self._turn(prompt, window, hear, stop, confirm), turn_id=turn_id)
        except BaseException:
            try:
                self._put_back(taken)
            finally:
                self.recording.answered(turn_id, sanitize("".join(said)).strip(), "failed")
            raise
        self._past = _Past(turn, tuple(window))
        self.recording.answered(
            turn_id,
            turn.reply,
            "stopped" if turn.stopped else "done",
            turn.details(),
            replaces=None if past is None else past.turn.turn_id,
        )
        return turn

    def new(self) -> None:
        """Begin a new session: the window is empty, the memory stays."""
        self._history, self._past = [], None
        self.recording.begin()

    def resume(self, session_id: int) -> tuple[StoredTurn, ...]:
        """Resume a session of the transcripts: as many of its last turns as fit are in the window again. Returns
        those that were looked at. Raises VardaError where there is no such session, StorageError as reading does."""
        turns = self.recording.resume(session_id, RESUMED_TURNS)
        self._history, self._past = [], None
        for stored in turns:
            if stored.state in ("done", "stopped"):
                self._past = _Past(Turn.from_stored(stored), tuple(self._history))
                self._history += self._messages_of(stored)
        self._history = self._fitting(self._history, 1)
        return turns

    def _messages_of(self, stored: StoredTurn) -> list[EncodedMessage]:
        """A turn of the transcripts, as the messages that the window has of it."""
        chat = self.checkpoint.chat
        answer = replace(chat.encode("assistant", stored.reply), mentions=Turn.from_stored(stored).mentions)
        return [chat.encode("user", stored.prompt), answer]

    def follow(self, exchanges: Sequence[Exchange]) -> None:
        """Begin a new session after ``exchanges`` that another program kept: as many of the last as fit are the window.
        Those that told or named what has been deleted since are left out. Raises StorageError as reading does."""
        self.new()
        chat = self.checkpoint.chat
        live = {normal_form(each.text): each.id for each in self._store.statements()}
        removed = self._store.removed()
        gone_ids = {each.id for each in removed}
        gone_texts = {normal_form(each.text) for each in removed} - live.keys()
        for exchange in exchanges[-RESUMED_TURNS:]:
            line, reply = chat.encode("user", exchange.prompt), chat.encode("assistant", exchange.reply)
            said = {normal_form(sentence) for sentence in (*line.sentences, *reply.sentences)}
            if exchange.mentions & gone_ids or said & gone_texts:
                continue
            told = frozenset(live[text] for text in said & live.keys())
            self._history += [line, replace(reply, mentions=exchange.mentions | told)]
        self._history = self._fitting(self._history, 1)

    def set_persona(self, text: str) -> None:
        """Let ``text`` follow the system prompt from the next turn on; "" for nothing. Raises VardaError where it is
        too long, or where the model was trained without a system prompt."""
        clean = persona.checked(text)
        if clean and not self._impersonal.takes_system_prompt:
            raise VardaError(persona.NOT_HERE)
        if clean == self.persona:
            return
        chat = copy.copy(self._impersonal)
        chat.opening = self._impersonal.opening_with(clean)
        self.persona = clean
        self.checkpoint = replace(self.checkpoint, chat=chat)

    # what if

    def influence(self, turn: Turn, stop: threading.Event | None = None) -> Iterator[Without]:
        """What becomes of the answer of ``turn`` without the memories it was recalled from, one at a time and all
        together; see ``influence.influence``. Changes nothing."""
        from varda_chat.session.why import influence

        return influence(self, turn, stop)

    def window_before(self, turn: Turn) -> tuple[EncodedMessage, ...]:
        """The messages that ``turn`` was answered after: of the last turn as they were, of an earlier one as the
        transcript has them. Raises VardaError where it is in neither."""
        if self._past is not None and self._past.turn == turn:
            return self._past.window
        transcripts, session_id = self.recording.transcripts, self.recording.session_id
        if turn.turn_id is None or transcripts is None or session_id is None:
            raise VardaError("What was said before this answer is not known any more.")
        before = transcripts.turns(session_id, RESUMED_TURNS, before=turn.turn_id)
        done = [stored for stored in before if stored.state in ("done", "stopped")]
        return tuple(message for stored in done for message in self._messages_of(stored))

    def beside(self, store: MemoryStore, generation: GenerationSettings, *, resume: bool = False) -> ChatSession:
        """A session of the same model over ``store``, which keeps no transcript. ``resume``: from what this one has
        read, which then reads its window again."""
        other = ChatSession(self.checkpoint, store, generation=generation, use_memory=self.use_memory)
        if resume:
            other._writer = self._writer
        return other

    @property
    def messages(self) -> tuple[EncodedMessage, ...]:
        """The window, a line and its reply in turn."""
        return tuple(self._history)

    def follow_messages(self, messages: Sequence[EncodedMessage], *, without: frozenset[int] = frozenset()) -> None:
        """Begin a new session after ``messages``, but for the turns that told or named the statements ``without``."""
        self.new()
        self._history = _without(messages, without)

    def set_incognito(self, incognito: bool, transcripts: Transcripts | None = None) -> None:
        """From here on store and save nothing, or do so again; a session that was opened incognito then leaves its
        copies in RAM for the memory itself and for ``transcripts``, in which another session begins.

        Raises as ``MemoryStore.open`` does, VardaError where the session was opened read-only; it then stays as it is.
        """
        if not incognito and self._store.read_only:
            self._leave_copy()
            self.recording.move_to(transcripts)
        self.incognito = self.recording.paused = incognito

    def close(self) -> None:
        """Write the index and let go of the memory. May be called again."""
        self._store.close()

    def __enter__(self) -> ChatSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # within

    def _turn(
        self,
        prompt: str,
        before: list[EncodedMessage],
        on_text: Callable[[str], None],
        stop: threading.Event | None,
        confirm: Confirm | None,
    ) -> Turn:
        """The turn after the messages ``before``; the window and the memory change at its end, together."""
        if self._writer is not None:
            return self._decided_turn(prompt, before, on_text, stop, confirm)
        import torch

        from varda_chat.models.generation import generate_reply
        from varda_chat.models.results import EmptyMemory

        started = time.perf_counter()
        chat, model = self.checkpoint.chat, self.checkpoint.model
        memory: Memory = self._store if self.use_memory and self._store.size else EmptyMemory()
        timed = TimedMemory(memory) if memory is self._store else None
        whole = chat.encode("user", prompt)
        message = self._shortened(whole)
        history = self._fitting(before, len(message.ids) + 1)
        context = [token for past in history for token in past.ids] + message.ids
        ids = generate_reply(
            model, chat, [*context, chat.assistant_id], timed or memory, self.generation, on_text, stop
        )
        stopped = stop is not None and stop.is_set()
        text = sanitize(chat.decode(ids)).strip()
        answer = chat.encode("assistant", text)
        with torch.inference_mode():
            recalled, sources, changes = self._decide(history, message, answer, memory, stopped)
            if len(message.ids) < len(whole.ids):
                early = self._read_beginning(whole, len(whole.ids) - len(message.ids), stop)
                changes = replace(changes, stores=(*early, *changes.stores))
        agreed = self._agreed(changes.delete_statements, confirm)
        stored, deleted = self._apply(replace(changes, delete_statements=agreed.going, confirmed=agreed.asked))
        mentions = frozenset([*(each.id for each in stored), *(each.id for each in recalled)])
        self._history = [*history, message, replace(answer, mentions=mentions)]
        return Turn(
            prompt=prompt,
            reply=text,
            recalled=recalled,
            stored=stored,
            deleted=deleted,
            memory_size=self._store.size,
            prompt_tokens=len(context) + 1,
            reply_tokens=len(ids),
            seconds=time.perf_counter() - started,
            stopped=stopped,
            sources=sources,
            lookup_seconds=timed.seconds_a_search if timed else 0.0,
            left_window=(len(before) - len(history)) // 2,
        )

    def _decided_turn(
        self,
        prompt: str,
        before: list[EncodedMessage],
        on_text: Callable[[str], None],
        stop: threading.Event | None,
        confirm: Confirm | None,
    ) -> Turn:
        """A turn of a model that decides what happens to the memory when it has read the line, and answers on that."""
        import torch

        from varda_chat.models.chat_format import statement_numbers
        from varda_chat.models.configuration import STATUSES
        from varda_chat.models.reply import Written, message_of_reply
        from varda_chat.session.decisions import decide
        from varda_chat.session.remembering import by_statement, largest, sources_of, statements_to_store, with_words

        assert self._writer is not None
        started = time.perf_counter()
        chat, model = self.checkpoint.chat, self.checkpoint.model
        memory = self._store if self.use_memory and self._store.size else None
        timed = TimedMemory(memory) if memory is not None else None
        whole = chat.encode("user", prompt)
        message = self._shortened(whole)
        history = self._fitting(before, len(message.ids))
        context = [*chat.opening, *(token for past in history for token in past.ids), *message.ids]
        start = len(context) - len(message.ids)
        with torch.inference_mode():
            output, known = self._writer.read(context, None, [-1] * start + statement_numbers([message]))
            to_store = partial(statements_to_store, output, message, start - known, chat)
            stores = tuple(to_store(model.config.store_threshold))
            least = () if stores else tuple(to_store(None))
            end = len(context) - message.footer - known
            beside = partial(self._read_beside, message) if model.reranker is not None else None
            decided = decide(
                model, output, end, stores, least, timed, self._statements,
                may_write=self._may_write, read_beside=beside,
            )  # fmt: skip
            agreed = self._agreed(decided.deletes, confirm)
            if agreed.refused:
                status = STATUSES.index("stored" if decided.stores else "nothing")
                decided = replace(decided, deletes=frozenset(), status=status)
            said = [past.ids[past.header : -past.footer] for past in history[1::2][-UNLIKE_LAST:]]
            note = chat.note(
                decided.status_name, [self._store.statement(each.statement).text for each in decided.found]
            )
            if agreed.refused and not decided.stores:
                said_of_it = chat.encode("assistant", KEPT)  # no model has learned what to say of that
                written = Written(said_of_it.ids[said_of_it.header : -said_of_it.footer], None, None)
                on_text(KEPT)
            else:
                written = self._writer.write(
                    decided.status, decided.reads, self.generation, on_text, stop, () if decided.found else said, note
                )
            stopped = stop is not None and stop.is_set()
            text, answer = message_of_reply(chat, written.ids, note)
            text = sanitize(text).strip()
            copied = (
                []
                if written.result_ids is None or written.shares is None
                else by_statement(self._statements(written.result_ids), written.shares)
            )
            rows = with_words(copied, written.ids, message.ids, decided.found)
            stores = decided.stores
            if len(message.ids) < len(whole.ids):
                early = self._read_beginning(whole, len(whole.ids) - len(message.ids), stop)
                stores = (*early, *stores)
        recalled = tuple(
            Recalled(statement, self._store.statement(statement).text, share)
            for statement, share in sorted(largest(rows).items(), key=lambda item: -item[1])
            if share >= RECALLED_SHARE
        )
        stored, deleted = self._apply(
            TurnChanges(
                stores=stores,
                delete_statements=agreed.going,
                confirmed=agreed.asked,
                recalled=frozenset(r.id for r in recalled),
            )
        )
        turn = Turn(
            prompt=prompt,
            reply=text,
            recalled=recalled,
            stored=stored,
            deleted=deleted,
            memory_size=self._store.size,
            prompt_tokens=len(context) + len(note) + len(chat.reply_prompt),
            reply_tokens=len(written.ids),
            seconds=time.perf_counter() - started,
            stopped=stopped,
            sources=sources_of(rows, answer.offsets[answer.header : len(answer.ids) - answer.footer]),
            lookup_seconds=timed.seconds_a_search if timed else 0.0,
            left_window=(len(before) - len(history)) // 2,
            status=decided.status_name,
        )
        mentions = turn.mentions | {each.statement for each in decided.found}
        self._history = [*history, message, replace(answer, mentions=mentions)]
        self._leave_window(each.id for each in deleted)
        return turn

    def _read_beside(self, message: EncodedMessage, statements: Sequence[int]) -> list[tuple[float, float]]:
        """What the model's reranker says of ``statements``: that they answer ``message``, that it ends them."""
        chat, model = self.checkpoint.chat, self.checkpoint.model
        texts = [self._store.statement(each).text for each in statements]
        pairs = [[*message.ids, *chat.note("recalled", (text,)), *chat.reply_prompt] for text in texts]
        chances: list[list[float]] = model.reranker(model, pairs).sigmoid().tolist()
        return [(answers, ends) for answers, ends in chances]

    @property
    def _may_write(self) -> bool:
        return not (self.incognito or self._store.read_only)

    def _agreed(self, deletes: frozenset[int], confirm: Confirm | None) -> _Agreed:
        """Which of ``deletes`` may go: all, unless a person is to be asked and chooses."""
        if confirm is None or not deletes or not self._may_write:
            return _Agreed(deletes)
        going = tuple(self._store.statement(each) for each in sorted(deletes))
        if not must_ask(going, self.confirm_deletes):
            return _Agreed(deletes)
        chosen = deletes & frozenset(confirm(going))
        return _Agreed(chosen, asked=True, refused=not chosen)

    def _apply(self, changes: TurnChanges) -> tuple[tuple[Remembered, ...], tuple[Remembered, ...]]:
        """What ``changes`` stored and deleted, durably; nothing where this session may not write."""
        if not self._may_write:
            return (), ()
        applied = self._store.apply(changes, session=self._name)
        stored = tuple(Remembered(each.id, each.text) for each in applied.stored)
        return stored, tuple(Remembered(each.id, each.text) for each in applied.deleted)

    def _leave_window(self, statement_ids: Iterable[int]) -> None:
        """Take the turns that told or named deleted statements out of the window: what is forgotten is not answered
        from there either."""
        gone = frozenset(statement_ids)
        self._history = _without(self._history, gone)
        if self._past is not None:
            self._past = replace(self._past, window=tuple(_without(self._past.window, gone)))

    @property
    def _name(self) -> str:
        """The session's name in the records: its id in the transcripts, or else when it was opened."""
        session_id = self.recording.session_id
        return self._begun if session_id is None else str(session_id)

    def _room(self) -> int:
        """Tokens that a prompt may have, so that a whole reply fits behind it."""
        chat = self.checkpoint.chat
        positions: int = self.checkpoint.model.config.n_positions - len(chat.opening) - len(chat.reply_prompt) + 1
        return max(positions - self.generation.max_new_tokens - chat.note_room, positions // 2)

    def _shortened(self, message: EncodedMessage) -> EncodedMessage:
        """``message``, without its beginning where it is longer than the window: what is asked stands at the end."""
        excess = len(message.ids) + 1 - self._room()
        return message if excess <= 0 else message.part(message.header + excess, len(message.ids))

    def _fitting(self, messages: list[EncodedMessage], needed: int) -> list[EncodedMessage]:
        """The latest whole turns that fit beside ``needed`` tokens: the oldest leave the window, the memory stays."""
        history = list(messages)
        while history and sum(len(past.ids) for past in history) + needed > self._room():
            del history[:2]
        return history

    def _decide(
        self,
        history: list[EncodedMessage],
        message: EncodedMessage,
        answer: EncodedMessage,
        memory: Memory,
        stopped: bool,
    ) -> tuple[tuple[Recalled, ...], tuple[TokenSources, ...], TurnChanges]:
        """What the model read for the answer, and for each token of it, and what it wants stored and deleted, from one
        pass over the turn."""
        from varda_chat.session.remembering import deletions, read_messages, recalls, sources, statements_to_store

        model = self.checkpoint.model
        output = read_messages(model, [*history, message, answer], memory)
        start = sum(len(past.ids) for past in history)
        replied = start + len(message.ids)
        stores = statements_to_store(output, message, start, self.checkpoint.chat, model.config.store_threshold)
        if not stopped:
            stores += statements_to_store(output, answer, replied, self.checkpoint.chat, model.config.store_threshold)
        shares = recalls(output, replied, self._statements)
        recalled = tuple(
            Recalled(statement, self._store.statement(statement).text, share)
            for statement, share in sorted(shares.items(), key=lambda item: -item[1])
            if share >= RECALLED_SHARE
        )
        gone = deletions(model, output, start, self._statements)
        changes = TurnChanges(
            stores=tuple(stores),
            delete_statements=frozenset(gone),
            recalled=frozenset(r.id for r in recalled),
        )
        return recalled, sources(output, answer, replied, self._statements), changes


def _without(messages: Sequence[EncodedMessage], gone: frozenset[int]) -> list[EncodedMessage]:
    """``messages``, a line and its reply in turn, without the turns that mention statements that are ``gone``."""
    turns = zip(messages[::2], messages[1::2], strict=True)
    return [message for line, reply in turns if not reply.mentions & gone for message in (line, reply)]


def _writer_of(checkpoint: Checkpoint) -> ReplyWriter | None:
    """What writes replies for a model that decides before it answers; None for one that decides afterwards."""
    if not hasattr(checkpoint.model, "memory_layer"):
        return None
    from varda_chat.models.reply import ReplyWriter

    return ReplyWriter(checkpoint.model, checkpoint.chat)


__all__ = ["ChatSession", "Exchange", "MemoryEvent", "Recalled", "Remembered", "TokenSources", "Turn"]
