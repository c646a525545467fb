"""The chat line by line, for screen readers, dumb terminals and logs: answers on stdout, and on stderr, in words, what
happened to the memory. ``varda-chat --plain`` runs it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from varda_chat.errors import VardaError
from varda_chat.session.request import Request, session_to_resume, transcripts_of
from varda_chat.text import one_line, sanitize, speaker
from varda_chat.tui import commands
from varda_chat.tui.controllers.drawing import change_drawing
from varda_chat.tui.controllers.personas import change_persona
from varda_chat.tui.controllers.telling import undone_lines, without_lines

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement
    from varda_chat.session.session import ChatSession, Turn
    from varda_chat.transcripts import Transcripts

_LISTED = 20
"""Memories that are listed at once, the newest."""
_LOOKED_AT = 8


def chat(request: Request, lines: Iterator[str], resume: int | None, resume_last: bool, *, typed: bool = False) -> None:
    """Take each of ``lines`` (``typed``: by a person, who can be asked) as a message or a command until they end or one
    is /quit. What goes wrong is told, and the chat goes on; raises VardaError where the model or the memory cannot be
    opened."""
    transcripts = transcripts_of(request, needed=resume is not None)
    try:
        talk = _Talk(request, lines, typed, transcripts, session_to_resume(transcripts, resume, resume_last))
        try:
            for line in lines:
                if not talk.take(line):
                    break
        finally:
            talk.close()
    finally:
        if transcripts is not None:
            transcripts.close()


@dataclass
class _Talk:
    """One chat. ``lines``: what is typed, from which the answer to a question is read too."""

    request: Request
    lines: Iterator[str]
    typed: bool
    transcripts: Transcripts | None
    resume: int | None
    last: Turn | None = None
    _open: ChatSession | None = field(default=None, repr=False)

    @property
    def session(self) -> ChatSession:
        """The session, which the first line that needs it opens."""
        if self._open is None:
            _tell("Loading the model.")
            session = self.request.open(transcripts=self.transcripts)
            self._open = session
            for notice in session.notices:
                _tell(notice)
            if self.resume is not None:
                session.resume(self.resume)
        return self._open

    def take(self, line: str) -> bool:
        """Do what ``line`` says; whether the chat goes on."""
        if not sanitize(line).strip():
            return True
        typed = commands.parse(line)
        if typed is not None and typed[0] in ("quit", "exit"):
            return False
        if typed is None or typed[0] in _NEEDS_SESSION:
            _ = self.session  # where it cannot be opened, the chat ends
        try:
            if typed is None:
                self._answer(line.strip())
            elif typed[0] in _COMMANDS:
                _COMMANDS[typed[0]](self, typed[1])
            elif commands.find(typed[0]) is not None:
                _tell(f"/{typed[0]} is for the chat on a whole screen. /help lists the commands that there are here.")
            else:
                _tell(f"There is no command /{one_line(typed[0], 40)}. /help lists those there are.")
        except VardaError as error:
            _tell(f"Error: {error}")
        return True

    def close(self) -> None:
        """Save the memory."""
        if self._open is not None:
            shown = len(self._open.notices)
            self._open.close()
            for notice in self._open.notices[shown:]:
                _tell(notice)

    def _answer(self, prompt: str | None) -> None:
        """Answer ``prompt``, or (None) the last message again."""
        instead = prompt is None
        if prompt is None:
            if self.last is None:
                _tell("There is no answer yet that another could take the place of.")
                return
            prompt = self.last.prompt
        stop = threading.Event()
        with _stopped_by_interrupt(stop):
            turn = self.session.reply(prompt, stop=stop, instead=instead, confirm=self._confirm if self.typed else None)
        self.last = turn
        click.echo(sanitize(turn.reply) or "(nothing was written)")
        sys.stdout.flush()
        if turn.stopped:
            _tell("Stopped.")
        for stored in turn.stored:
            _tell(f"Stored: {_quoted(stored.text)}")
        for deleted in turn.deleted:
            _tell(f"Deleted: {_quoted(deleted.text)} /undo restores it.")

    # commands, each with what is typed behind its name

    def help(self, _: str) -> None:
        for each in commands.COMMANDS:
            if each.name in _COMMANDS or each.name == "quit":
                _say(f"{each.usage}: {each.help}")

    def new(self, _: str) -> None:
        self.session.new()
        self.last = None
        _tell("A new session. What was stored in the memory is still known.")

    def regenerate(self, _: str) -> None:
        self._answer(None)

    def memory(self, text: str) -> None:
        found = self._holding(text)
        for each in found[:_LISTED]:
            _say(f"{each.id}: {speaker(each.role)}: {one_line(each.text)}{' (pinned)' if each.pinned else ''}")
        if not found:
            _say(f"No memory holds {one_line(text, 60)!r}." if text else "No memories yet.")
        elif len(found) > _LISTED:
            _say(f"and {len(found) - _LISTED:,} more; /memory TEXT lists those that hold TEXT.")

    def remember(self, text: str) -> None:
        applied = self.session.memory.remember(text)
        if applied.refused:
            _tell("The memory is full of pinned memories: nothing was stored.")
        elif not applied.stored:
            _tell("That is known already.")
        for each in applied.stored:
            _tell(f"Stored: {_quoted(each.text)}")

    def forget(self, text: str) -> None:
        if not text:
            _tell("Say what to forget: /forget TEXT.")
            return
        found = self._holding(text)
        if not found:
            _tell(f"No memory holds {one_line(text, 60)!r}.")
            return
        for each in found:
            _say(f"{each.id}: {one_line(each.text)}{' (pinned)' if each.pinned else ''}")
        if self._agrees("Forget it?" if len(found) == 1 else f"Forget these {len(found):,}?"):
            forgotten = self.session.memory.forget(each.id for each in found)
            _tell(f"Forgotten: {len(forgotten):,}. /undo restores what went.")
        else:
            _tell("Nothing was forgotten.")

    def undo(self, _: str) -> None:
        for line in undone_lines(self.session.memory.undo()).splitlines():
            _tell(line)

    def why(self, _: str) -> None:
        self.sources("")
        if self.last is None:
            return
        stop = threading.Event()
        with _stopped_by_interrupt(stop):
            for answer in self.session.influence(self.last, stop):
                for line in without_lines(answer):
                    _say(line)

    def sources(self, _: str) -> None:
        if self.last is None:
            _tell("There is no answer to open yet.")
            return
        for each in self.last.recalled:
            _say(f"Recalled, {each.weight:.0%} of a word at most: {_quoted(each.text)}")
        if not self.last.recalled:
            _say("Nothing was recalled for this answer: it is the model's own.")
        for each in self.session.memory.not_used(self.last, _LOOKED_AT):
            _say(f"Looked at and not used, {each.weight:.0%}: {_quoted(each.text)}")

    def set(self, text: str) -> None:
        self.session.generation, line = change_drawing(self.session.generation, text)
        _tell(line)

    def persona(self, text: str) -> None:
        _tell(change_persona(self.session, text))

    # within

    def _holding(self, text: str) -> Sequence[Statement]:
        wanted = sanitize(text).strip().casefold()
        return [each for each in self.session.memory.statements() if wanted in each.text.casefold()]

    def _confirm(self, going: Sequence[Statement]) -> Sequence[int]:
        """Ask about what a turn would delete: all of it, or none."""
        for each in going:
            _tell(f"Would delete: {_quoted(each.text)}{' (pinned)' if each.pinned else ''}")
        return [each.id for each in going] if self._agrees("Delete it?" if len(going) == 1 else "Delete them?") else []

    def _agrees(self, question: str) -> bool:
        _tell(f"{question} Type y, or anything else to change nothing.")
        return next(self.lines, "").strip().lower() in ("y", "yes")


_COMMANDS: dict[str, Callable[[_Talk, str], None]] = {
    "help": _Talk.help,
    "new": _Talk.new,
    "regenerate": _Talk.regenerate,
    "memory": _Talk.memory,
    "remember": _Talk.remember,
    "forget": _Talk.forget,
    "undo": _Talk.undo,
    "sources": _Talk.sources,
    "why": _Talk.why,
    "set": _Talk.set,
    "persona": _Talk.persona,
}
_NEEDS_SESSION = _COMMANDS.keys() - {"help"}


@contextmanager
def _stopped_by_interrupt(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl+C set ``stop``, and not end the program."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _quoted(text: str) -> str:
    return f"“{one_line(text)}”"


def _say(line: str) -> None:
    """What was asked for."""
    click.echo(sanitize(line))


def _tell(line: str) -> None:
    """What happened."""
    click.echo(sanitize(line), err=True)
