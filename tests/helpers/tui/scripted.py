"""A session that follows a script and keeps ChatSession's contract, so failures and pauses can be staged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from varda_chat.memory import MemoryStore
from varda_chat.memory.records import Removed, Statement
from varda_chat.session.confirming import Confirm
from varda_chat.session.context import Past
from varda_chat.session.session import ChatSession, MemoryEvent, Recalled, Remembered, TokenSources, Turn
from varda_chat.session.why import Without
from varda_chat.transcripts import Recording, StoredTurn

NOW = 1_760_000_000.0
Progress = Callable[[str, float], None]


@dataclass
class Line:
    """One answer of the script. ``hold``: after each piece the answer waits for this event or for a stop.
    ``asks``: deletes that a person is asked about first; those that may go are deleted."""

    pieces: Sequence[str] = ("Hello.",)
    recalled: tuple[Recalled, ...] = ()
    stored: tuple[Remembered, ...] = ()
    deleted: tuple[Remembered, ...] = ()
    sources: tuple[TokenSources, ...] = ()
    left_window: int = 0
    error: Exception | None = None
    asks: tuple[Statement, ...] = ()
    hold: threading.Event | None = None


@dataclass
class ScriptedSession:
    """Answers by its script, one line a turn, and the last line for ever."""

    script: list[Line] = field(default_factory=lambda: [Line()])
    model_name: str = "default"
    parameters: int = 8_200_000
    profile: str = "default"
    profile_dir: Path = Path("/nowhere")
    incognito: bool = False
    read_only: bool = False
    memory_size: int = 1284
    memory_count: int = 412
    memory_capacity: int = 10_000
    notices: list[str] = field(default_factory=list)
    events: list[MemoryEvent] = field(default_factory=list)
    found: list[Recalled] = field(default_factory=list)
    without: list[Without] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    closed: int = 0
    close_error: Exception | None = None
    window: int = 512
    store: MemoryStore | None = None
    recording: Recording = field(default_factory=lambda: Recording(None))
    past: Past | None = None

    def reply(
        self,
        prompt: str,
        *,
        on_text: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
        instead: bool = False,
        confirm: Confirm | None = None,
    ) -> Turn:
        """One turn of the script."""
        self.prompts.append(prompt)
        replaced = self.past.turn.turn_id if instead and self.past is not None else None
        turn_id = self.recording.asked(prompt)
        line = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if line.asks and confirm is not None:
            chosen = set(confirm(line.asks))
            line = replace(
                line, deleted=tuple(Remembered(each.id, each.text) for each in line.asks if each.id in chosen)
            )
        said = ""
        for piece in line.pieces:
            if stop is not None and stop.is_set():
                break
            said += piece
            if on_text is not None:
                on_text(piece)
            while line.hold is not None and not line.hold.wait(0.005):
                if stop is not None and stop.is_set():
                    break
        if line.error is not None:
            self.recording.answered(turn_id, said, "failed")
            raise line.error
        self.memory_size += len(line.stored) - len(line.deleted)
        self.memory_count += len(line.stored) - len(line.deleted)
        stored = [MemoryEvent("stored", s.id, s.text, NOW) for s in line.stored]
        deleted = [MemoryEvent("deleted", d.id, d.text, NOW) for d in line.deleted]
        self.events = [*deleted, *stored, *self.events]
        turn = Turn(
            prompt=prompt,
            reply=said,
            recalled=line.recalled,
            stored=line.stored,
            deleted=line.deleted,
            memory_size=self.memory_size,
            prompt_tokens=12,
            reply_tokens=41,
            seconds=1.0,
            stopped=stop is not None and stop.is_set(),
            sources=line.sources,
            lookup_seconds=0.0004,
            left_window=line.left_window,
            turn_id=turn_id,
        )
        self.past = Past(turn, ())
        state = "stopped" if turn.stopped else "done"
        self.recording.answered(turn_id, said, state, turn.details(), replaces=replaced)  # type: ignore[arg-type]
        return turn

    def new(self) -> None:
        """Begin a new session."""
        self.past = None
        self.recording.begin()

    def resume(self, session_id: int) -> tuple[StoredTurn, ...]:
        """Resume an earlier session."""
        turns = self.recording.resume(session_id, 64)
        answered = [Turn.from_stored(each) for each in turns if each.state in ("done", "stopped")]
        self.past = Past(answered[-1], ()) if answered else None
        return turns

    def recent(self, limit: int = 20) -> list[MemoryEvent]:
        """Recent stores and deletes, newest first."""
        return self.events[:limit]

    def statements(self) -> tuple[Statement, ...]:
        """What is in ``store``, the newest first."""
        return () if self.store is None else self.store.statements()

    def present(self, statement_ids: Iterable[int]) -> frozenset[int]:
        """Those in ``store``; without one, all but those that its events deleted."""
        if self.store is not None:
            return frozenset(each.id for each in self.store.reader.present(statement_ids))
        return frozenset(statement_ids) - {each.id for each in self.events if each.kind == "deleted"}

    def removed(self) -> tuple[Removed, ...]:
        """What was deleted from ``store``."""
        return () if self.store is None else self.store.removed()

    @property
    def context(self) -> ScriptedSession:
        """Of what was said before, it has the last turn itself."""
        return self

    @property
    def memory(self) -> ScriptedSession:
        """What it does with the memory, it does itself."""
        return self

    @property
    def size(self) -> int:
        """Vectors."""
        return self.memory_size

    @property
    def count(self) -> int:
        """Memories."""
        return self.memory_count

    @property
    def capacity(self) -> int:
        """The most vectors."""
        return self.memory_capacity

    def not_used(self, turn: Turn) -> tuple[Recalled, ...]:
        """What it was told to find, but for what ``turn`` recalled."""
        return tuple(each for each in self.found if each.id not in turn.mentions)

    def influence(self, turn: Turn, stop: threading.Event | None = None) -> Iterator[Without]:
        """What it was told that the answer would be; then, where that was nothing, as long as it takes."""
        yield from self.without
        while not self.without and stop is not None and not stop.wait(0.005):
            pass

    def means(self, statement_ids: Iterable[int]) -> Any:
        """Of the vectors in ``store``."""
        assert self.store is not None
        return self.store.reader.means(statement_ids)

    def look_up(self, statement_id: int) -> tuple[Statement, None]:
        """A statement in ``store``."""
        assert self.store is not None
        return self.store.statement(statement_id), None

    def tokens(self, statement_id: int) -> tuple[str, ...]:
        """Of a statement in ``store``."""
        assert self.store is not None
        return self.store.reader.tokens(statement_id)

    def candidates(self, text: str) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
        """Those in ``store`` that hold ``text`` word for word."""
        return tuple(each for each in self.statements() if text.casefold() in each.text.casefold()), ()

    def bring_back(self, statement_ids: Iterable[int]) -> tuple[Statement, ...]:
        """Those of its events that were deleted."""
        wanted = set(statement_ids)
        back = [each for each in self.events if each.kind == "deleted" and each.id in wanted]
        self.events = [each for each in self.events if each not in back]
        return tuple(Statement(each.id, each.text, "user", "", NOW, False, 1, 0) for each in back)

    def check_writable(self, what: str) -> None:
        """Its memory may change."""

    def close(self) -> None:
        """Count the closings."""
        self.closed += 1
        if self.close_error is not None:
            raise self.close_error

    def opener(self) -> Callable[[Progress], ChatSession]:
        """What VardaApp takes as ``open_session``, opening at once."""

        def open_session(on_progress: Progress) -> ChatSession:
            on_progress("loading the model", 1.0)
            return cast("ChatSession", self)

        return open_session
