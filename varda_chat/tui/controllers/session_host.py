"""The one place that calls the session: blocking calls for worker threads, answered by messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from textual.message import Message

from varda_chat.errors import VardaError
from varda_chat.text import one_line, sanitize, split_unfinished
from varda_chat.tui.controllers.collecting import loading
from varda_chat.tui.messages import (
    DeletesAsked,
    LoadProgressed,
    OpenFailed,
    ReplyDelta,
    ReplyFailed,
    ReplyFinished,
    SessionOpened,
)
from varda_chat.tui.state import MemoryView, Progress, SessionDetails

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement
    from varda_chat.session.session import ChatSession
    from varda_chat.session.turn import Turn

OpenSession = Callable[[Callable[[str, float], None]], "ChatSession"]
Post = Callable[[Message], object]
T = TypeVar("T")

EVENTS_SHOWN = 20
SIZES_SHOWN = 64
DELTA_SECONDS = 0.04
ANSWER_SECONDS = 0.1
"""So often a turn that waits for a person looks whether it is to stop."""
MEASURED_SECONDS = 0.5
"""A speed is told every time so much time has passed."""


class DeltaStream:
    """Joins the session's pieces of text into a few clean deltas a second."""

    def __init__(self, post: Post, seconds: float = DELTA_SECONDS) -> None:
        self._post = post
        self._seconds = seconds
        self._pending = ""
        self._posted_at = float("-inf")
        self._pieces = 0
        self._began_at = 0.0
        self._measured_at = 0.0

    def write(self, piece: str) -> None:
        """Take a piece, about a token; post what has gathered if the last delta is long enough ago."""
        self._pending += piece
        self._pieces += 1
        self._began_at = self._began_at or time.monotonic()
        self._measured_at = self._measured_at or self._began_at
        if time.monotonic() - self._posted_at >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Post what has gathered, but for the first half of an unfinished escape sequence."""
        ready, self._pending = split_unfinished(self._pending)
        if text := sanitize(ready):
            self._posted_at = time.monotonic()
            self._post(ReplyDelta(text, self._speed(self._posted_at)))

    def _speed(self, now: float) -> float:
        """Tokens a second, now and then; 0 in between."""
        if now - self._measured_at < MEASURED_SECONDS:
            return 0.0
        self._measured_at = now
        return (self._pieces - 1) / (now - self._began_at)


class SessionHost:
    """Owns the session. ``open``, ``reply`` and ``close`` block: call them in threads."""

    def __init__(self, open_session: OpenSession) -> None:
        self._open_session = open_session
        self._session: ChatSession | None = None
        self._closed = False
        self._wanted: int | None = None
        self._entered = False  # whether the session is where it is wanted
        self._notices_told = 0
        self._busy = threading.Lock()  # held through every call into the session, so close() waits its turn
        self._stop = threading.Event()

    def open(self, post: Post) -> None:
        """Open the session; posts LoadProgressed, then SessionOpened or OpenFailed."""

        def on_progress(what: str, share: float) -> None:
            post(LoadProgressed(Progress(one_line(what, 60), share)))

        with self._busy:
            if self._closed or self._session is not None:
                return
            self._entered = False
            try:
                with loading():
                    import varda_chat.tui.widgets.markdown  # noqa: F401 - before the first answer needs it

                    session = self._open_session(on_progress)
                self._session = session
                try:
                    self._enter(session)
                except VardaError as error:  # it was deleted meanwhile, say: a new one begins
                    session.notices.append(str(error))
                opened = SessionOpened(_details(session), memory_of(session))
                self._notices_told = len(session.notices)
            except Exception as error:  # noqa: BLE001 - whatever it is, the person gets a line and a live app
                self._release_after_failure()
                post(OpenFailed(sentence_for(error, "loading the model")))
            else:
                post(opened)

    def reply(self, prompt: str, post: Post, *, instead: Turn | None = None) -> None:
        """Run one turn (``instead`` of that one, if it is the session's last; no other is taken back); posts ReplyDelta
        as text comes, then ReplyFinished or ReplyFailed; before it deletes much, DeletesAsked, for whose answer it
        waits."""
        deltas = DeltaStream(post)

        def confirm(going: tuple[Statement, ...]) -> Collection[int]:
            asked = DeletesAsked(going)
            post(asked)
            while not asked.answered.wait(ANSWER_SECONDS):
                if self._stop.is_set():
                    return ()
            return asked.chosen

        with self._busy:
            session = self._session
            if session is None or self._closed:
                return
            try:
                self._enter(session)
                past = session.context.past
                last = instead is not None and past is not None and past.turn.turn_id == instead.turn_id
                turn = session.reply(prompt, on_text=deltas.write, stop=self._stop, instead=last, confirm=confirm)
                deltas.flush()
                finished = ReplyFinished(turn, memory_of(session), self._new_notices(session))
            except Exception as error:  # noqa: BLE001 - whatever it is, the person gets a line and a live app
                deltas.flush()
                post(ReplyFailed(sentence_for(error, "answering")))
            else:
                post(finished)

    def call(self, act: Callable[[ChatSession], T]) -> T:
        """What ``act`` makes of the session, once no other call is under way. Raises what it raises, VardaError while
        there is no session."""
        with self._busy:
            if self._session is None or self._closed:
                raise VardaError("The model is not loaded yet. Try again when it is.")
            return act(self._session)

    def look(self, act: Callable[[ChatSession], T]) -> T:
        """As ``call``, but at once, beside a running reply: for what only looks at the memory."""
        session = self._session
        if session is None or self._closed:
            raise VardaError("The model is not loaded yet. Try again when it is.")
        return act(session)

    def leave(self, open_session: OpenSession) -> None:
        """Close the session, if one is open; ``open`` opens by ``open_session`` from here on. Raises what closing
        raises."""
        with self._busy:
            session, self._session = self._session, None
            self._open_session, self._wanted, self._notices_told = open_session, None, 0
            if session is not None:
                session.close()

    def want(self, session_id: int | None) -> None:
        """Resume this session of the transcripts, or begin a new one (None), before the next turn at the latest, once
        the model is loaded; returns at once."""
        self._wanted, self._entered = session_id, False

    def enter(self) -> None:
        """Go to the session that is wanted, as soon as the model is loaded. Raises VardaError where there is no such
        session."""
        with self._busy:
            if self._session is not None:
                self._enter(self._session)

    @property
    def session_id(self) -> int | None:
        """The session that is going on, in the transcripts; None where it is not there yet."""
        session = self._session
        return session.recording.session_id if session is not None and self._entered else self._wanted

    def prepare(self) -> None:
        """Forget an earlier ``stop``; call it before the thread of a new reply is started."""
        self._stop.clear()

    def stop(self) -> None:
        """Ask the running reply to end; returns at once."""
        self._stop.set()

    def close(self) -> None:
        """Stop a running reply, wait for it, close the session. Idempotent. Raises what closing raises."""
        self._closed = True
        self._stop.set()
        with self._busy:
            session, self._session = self._session, None
            if session is not None:
                session.close()

    def _enter(self, session: ChatSession) -> None:
        if self._entered:
            return
        self._entered, wanted = True, self._wanted
        if wanted is None:
            session.new()
        elif session.recording.session_id != wanted:
            session.resume(wanted)

    def _new_notices(self, session: ChatSession) -> tuple[str, ...]:
        new = tuple(session.notices[self._notices_told :])
        self._notices_told = len(session.notices)
        return new

    def _release_after_failure(self) -> None:
        """Close a session that opened but could not be read, so that opening again finds no lock."""
        session, self._session = self._session, None
        if session is not None:
            try:
                session.close()
            except Exception:  # noqa: BLE001 - the first failure is the one to report
                return


def sentence_for(error: Exception, doing: str) -> str:
    """What a person reads about ``error``: its own sentence if it is ours, else what it was and when."""
    if isinstance(error, VardaError) and str(error):
        return one_line(str(error), 500)
    detail = one_line(f"{type(error).__name__}: {error}".rstrip(": "), 300)
    return f"Something unexpected happened while {doing} ({detail})."


def _details(session: ChatSession) -> SessionDetails:
    return SessionDetails(
        model_name=one_line(session.model_name, 60),
        profile=one_line(session.profile, 64),
        parameters=session.parameters,
        incognito=session.incognito,
        read_only=session.memory.read_only,
        notices=tuple(session.notices),
        window=session.window,
    )


def memory_of(session: ChatSession) -> MemoryView:
    """The session's memory as it is now."""
    transcripts = session.recording.transcripts
    sizes: tuple[int, ...] = ()
    if transcripts is not None:
        with suppress(VardaError):  # a line of ornament: an answer must not be lost for it
            sizes = transcripts.memory_sizes(SIZES_SHOWN)
    return MemoryView(
        memories=session.memory.count,
        size=session.memory.size,
        capacity=session.memory.capacity,
        events=tuple(session.memory.recent(EVENTS_SHOWN)),
        sizes=sizes,
    )
