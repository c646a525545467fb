"""ChatSession: a conversation with one model over one memory; it holds the parts that do the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from varda_chat.config.defaults import GenerationSettings
from varda_chat.config.paths import profile_dir
from varda_chat.errors import VardaError
from varda_chat.memory.records import MemoryEvent
from varda_chat.session.confirming import Confirm
from varda_chat.session.context import RESUMED_TURNS, ContextWindow
from varda_chat.session.incognito import Incognito
from varda_chat.session.memory_actions import SessionMemory
from varda_chat.session.opening import Progress, load_model, memory_opener
from varda_chat.session.reading import TextReader
from varda_chat.session.state import SessionState
from varda_chat.session.turn import Exchange, Recalled, Remembered, TokenSources, Turn
from varda_chat.session.turns import TurnRunner
from varda_chat.transcripts.recording import Recording
from varda_chat.transcripts.records import StoredTurn

if TYPE_CHECKING:
    import threading

    from varda_chat.memory import MemoryStore
    from varda_chat.models.chat_format import EncodedMessage
    from varda_chat.models.checkpoint import Checkpoint
    from varda_chat.models.reply import ReplyWriter
    from varda_chat.session.why import Without
    from varda_chat.transcripts import Transcripts


class ChatSession:
    """A conversation with one model over one memory. One turn at a time; any thread may call ``memory.recent``.

    >>> with ChatSession.open() as session:                              # doctest: +SKIP
    ...     print(session.reply("My dog is called Rimba.").stored)

    memory: what can be asked of the memory outside of turns. context: what the next turn is answered after. recording:
    what is said goes into the transcripts by it, if the session was given any.
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
        writer: ReplyWriter | None = None,
    ) -> None:
        """Most callers want :meth:`open`. ``use_memory=False`` reads nothing (a control for measurements). ``writer``:
        that of another session, to go on from what it has read."""
        from varda_chat.session.answering import answerer  # torch loads here

        self.recording = Recording(transcripts, lambda line: self.notices.append(line))
        self._state = SessionState(
            checkpoint, store, self.recording, generation or GenerationSettings(), incognito, use_memory
        )
        self.context = ContextWindow(self._state)
        self._reader = TextReader(self._state)
        self.memory = SessionMemory(self._state, self.context, self._reader)
        self._turns = TurnRunner(self._state, self.context, self.memory, self._reader, answerer(self._state, writer))
        self._incognito = Incognito(self._state, self._reader)
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
        loaded, notice = load_model(checkpoint, threads, report)
        report("opening the memory", 0.85)
        from varda_chat.session.purging import finish as finish_purges

        directory = profile if isinstance(profile, Path) else profile_dir(profile)
        open_store = memory_opener(directory, loaded, memory_size, forgetfulness_factor, wait)
        store = open_store(read_only=incognito or read_only)
        try:
            store.notices += finish_purges(store)
            session = cls(loaded, store, incognito=incognito, generation=generation, transcripts=transcripts)
            session._incognito.open_to_write = None if read_only else open_store
            if notice:
                session.notices.append(notice)
            session._reader.read_foreign(report)
        except BaseException:
            store.close()
            raise
        report("ready", 1.0)
        return session

    # how it is

    @property
    def checkpoint(self) -> Checkpoint:
        """The model, with its chat format as the persona has it."""
        return self._state.checkpoint

    @property
    def generation(self) -> GenerationSettings:
        """How replies are drawn, from the next turn on."""
        return self._state.generation

    @generation.setter
    def generation(self, generation: GenerationSettings) -> None:
        self._state.generation = generation

    @property
    def confirm_deletes(self) -> str:
        """When a person is asked before deletes: one of CONFIRM_DELETES."""
        return self._state.confirm_deletes

    @confirm_deletes.setter
    def confirm_deletes(self, when: str) -> None:
        self._state.confirm_deletes = when

    @property
    def incognito(self) -> bool:
        """Whether nothing is stored or saved; see ``set_incognito``."""
        return self._state.incognito

    @property
    def persona(self) -> str:
        """What follows the system prompt, "" for nothing."""
        return self._state.persona

    @property
    def writer(self) -> ReplyWriter | None:
        """What writes the replies, with what it has read; None for a model that decides afterwards."""
        return self._turns.answerer.writer

    @property
    def model_name(self) -> str:
        return self.checkpoint.name

    @property
    def parameters(self) -> int:
        return self.checkpoint.parameters

    @property
    def profile(self) -> str:
        return self._state.store.directory.name

    @property
    def profile_dir(self) -> Path:
        return self._state.store.directory

    @property
    def window(self) -> int:
        """Tokens that the model can read at once, the reply among them."""
        return int(self.checkpoint.model.config.n_positions)

    @property
    def notices(self) -> list[str]:
        """One line each on what the user should know about how the memory was opened."""
        return self._state.store.notices

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
            instead: of the last turn that was answered, whose stores and deletes are taken back first.
            confirm: asked, in this thread, before deletes that ``confirm_deletes`` says are to be asked about; None
                where there is nobody to ask.

        Raises StorageError where the memory could not be written, VardaError for an empty or too long prompt or where
        there is no last turn; the conversation and the memory are then as before the turn.
        """
        return self._turns.run(prompt, on_text, stop, confirm, instead=instead)

    def new(self) -> None:
        """Begin a new session: the window is empty, the memory stays."""
        self.context.begin()
        self.recording.begin()

    def resume(self, session_id: int) -> tuple[StoredTurn, ...]:
        """Resume a session of the transcripts: as many of its last turns as fit are in the window again. Returns
        those that were looked at. Raises VardaError where there is no such session, StorageError as reading does, after
        which a new session begins."""
        turns = self.recording.resume(session_id, RESUMED_TURNS)
        try:
            self.context.resume(turns)
        except VardaError:
            self.new()
            raise
        return turns

    def follow(self, exchanges: Sequence[Exchange]) -> None:
        """Begin a new session after ``exchanges`` that another program kept: as many of the last as fit are the window.
        Those that told or named what has been deleted since are left out. Raises StorageError as reading does."""
        self.new()
        self.context.follow(exchanges)

    def set_persona(self, text: str) -> None:
        """Let ``text`` follow the system prompt from the next turn on; "" for nothing. Raises VardaError where it is
        too long, or where the model was trained without a system prompt."""
        self._state.set_persona(text)

    # what if

    def influence(self, turn: Turn, stop: threading.Event | None = None) -> Iterator[Without]:
        """What becomes of the answer of ``turn`` without the memories it was recalled from, one at a time and all
        together; see ``why.influence``. Changes nothing."""
        from varda_chat.session.why import influence

        return influence(self, turn, stop)

    def beside(self, store: MemoryStore, generation: GenerationSettings, *, resume: bool = False) -> ChatSession:
        """A session of the same model over ``store``, which keeps no transcript. ``resume``: from what this one has
        read, which then reads its window again."""
        return ChatSession(
            self.checkpoint,
            store,
            generation=generation,
            use_memory=self._state.use_memory,
            writer=self.writer if resume else None,
        )

    @property
    def messages(self) -> tuple[EncodedMessage, ...]:
        """The window, a line and its reply in turn."""
        return tuple(self.context.messages)

    def set_incognito(self, incognito: bool, transcripts: Transcripts | None = None) -> None:
        """From here on store and save nothing, or do so again; a session that was opened incognito then leaves its
        copies in RAM for the memory itself and for ``transcripts``, in which another session begins.

        Raises as ``MemoryStore.open`` does, VardaError where the session was opened read-only; it then stays as it is.
        """
        self._incognito.set(incognito, transcripts)

    def close(self) -> None:
        """Write the index and let go of the memory. May be called again."""
        self._state.store.close()

    def __enter__(self) -> ChatSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


__all__ = ["ChatSession", "MemoryEvent", "Progress", "Recalled", "Remembered", "TokenSources", "Turn"]
