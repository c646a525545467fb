"""What the commands of a chat line by line share: its session, its last answer, and how a person is told and asked."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import click

from varda_chat.errors import VardaError
from varda_chat.text import one_line, sanitize

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement
    from varda_chat.session.request import Request
    from varda_chat.session.session import ChatSession, Turn
    from varda_chat.transcripts import Transcripts


@dataclass
class Talk:
    """One chat.

    request: what the session is opened for. lines: what is typed, from which the answer to a question is read too.
    typed: whether by a person, who can be asked. resume: the session that is resumed once the model is loaded.
    incognito: whether nothing is stored or saved. last: the last answer. failed: the message that was not answered.
    forgotten: the words that the person forgot last.
    """

    request: Request
    lines: Iterator[str]
    typed: bool
    transcripts: Transcripts | None
    resume: int | None
    incognito: bool
    last: Turn | None = None
    failed: str | None = None
    forgotten: tuple[str, ...] = ()
    _open: ChatSession | None = field(default=None, repr=False)

    @property
    def session(self) -> ChatSession:
        """The session, which the first line that needs it opens."""
        if self._open is None:
            tell("Loading the model.")
            session = self.request.open(transcripts=self.transcripts)
            self._open = session
            for notice in session.notices:
                tell(notice)
            if self.incognito and not session.incognito:
                session.set_incognito(True)
            if self.resume is not None:
                session.resume(self.resume)
        return self._open

    @property
    def session_id(self) -> int | None:
        """Of the saved session that is going on; None where nothing was said in it yet, or nothing is saved."""
        return self.resume if self._open is None else self._open.recording.session_id

    def close(self) -> None:
        """Save the memory, and let go of the saved sessions."""
        self._close_session()
        if self.transcripts is not None:
            self.transcripts.close()

    def move(self, request: Request, transcripts: Transcripts | None) -> None:
        """Close the session and open the one for ``request``, a session of its ``transcripts``. Raises VardaError where
        that does not open; what was left is then opened again."""
        left = (self.request, self.transcripts, self.session_id)
        other = transcripts is not self.transcripts
        self._close_session()
        self.request, self.transcripts, self.resume = request, transcripts, None if other else left[2]
        try:
            _ = self.session
        except VardaError:
            self._close_session()
            self.request, self.transcripts, self.resume = left
            if other and transcripts is not None:
                transcripts.close()
            raise
        if other:
            self.last, self.failed, self.forgotten = None, None, ()
            if left[1] is not None:
                left[1].close()

    def leave_copies(self) -> None:
        """End what --incognito began, with copies of the memory and of the sessions. Raises VardaError."""
        request = replace(self.request, incognito=False)
        transcripts = request.transcripts()
        try:
            self.session.set_incognito(False, transcripts)
        except BaseException:
            transcripts.close()
            raise
        copies, self.request, self.transcripts = self.transcripts, request, transcripts
        if copies is not None:
            copies.close()

    def answer(self, prompt: str, *, instead: bool = False) -> None:
        """Answer ``prompt`` (``instead`` of the last message), and tell what became of the memory."""
        self.failed = prompt
        stop = threading.Event()
        confirm = self._confirm if self.typed else None
        with stopped_by_interrupt(stop):
            turn = self.session.reply(prompt, stop=stop, instead=instead, confirm=confirm)
        self.last, self.failed = turn, None
        click.echo(sanitize(turn.reply) or "(nothing was written)")
        sys.stdout.flush()
        if turn.stopped:
            tell("Stopped.")
        for stored in turn.stored:
            tell(f"Stored: {quoted(stored.text)}")
        for deleted in turn.deleted:
            tell(f"Deleted: {quoted(deleted.text)} /undo restores it.")

    def choose(self, question: str, found: Sequence[Statement]) -> tuple[Statement, ...]:
        """Those of ``found``, which were listed by number, that a person means."""
        some = " for all, numbers for some" if len(found) > 1 else ""
        tell(f"{question} Type y{some}, or anything else to change nothing.")
        said = next(self.lines, "").strip().lower()
        if said in ("y", "yes"):
            return tuple(found)
        numbers = re.findall(r"\d+", said) if re.fullmatch(r"[\d\s,]+", said) else ()
        return tuple(each for each in found if str(each.id) in numbers)

    def _close_session(self) -> None:
        session, self._open = self._open, None
        if session is not None:
            shown = len(session.notices)
            session.close()
            for notice in session.notices[shown:]:
                tell(notice)

    def _confirm(self, going: Sequence[Statement]) -> Sequence[int]:
        """Ask about what a turn would delete."""
        for each in going:
            tell(f"Would delete {each.id}: {quoted(each.text)}{' (pinned)' if each.pinned else ''}")
        return [each.id for each in self.choose("Delete it?" if len(going) == 1 else "Delete them?", going)]


@contextmanager
def stopped_by_interrupt(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl+C set ``stop``, and not end the program."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def quoted(text: str) -> str:
    """``text`` on one line, in quotation marks."""
    return f"“{one_line(text)}”"


def say(line: str) -> None:
    """What was asked for."""
    click.echo(sanitize(line))


def tell(line: str) -> None:
    """What happened."""
    click.echo(sanitize(line), err=True)
