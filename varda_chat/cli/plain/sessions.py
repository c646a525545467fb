"""Commands on sessions, line by line: a new one, a saved one, its name, its file; incognito, profiles and models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from varda_chat.cli.plain.talk import Talk, say, tell
from varda_chat.cli.sessions import line_of
from varda_chat.config.paths import data_dir
from varda_chat.errors import VardaError
from varda_chat.models import catalog
from varda_chat.session import profiles
from varda_chat.text import numbered, one_line
from varda_chat.transcripts.export import export_typed
from varda_chat.tui.controllers.telling import INCOGNITO, NOT_INCOGNITO
from varda_chat.tui.formatting import magnitude

if TYPE_CHECKING:
    from varda_chat.transcripts import Transcripts

_LISTED = 20
"""Sessions that are listed at once, those last used."""
_DIGITS = 18
"""The most that a session's number has."""


def new(talk: Talk, _: str) -> None:
    """Begin a new session; the memory stays."""
    talk.session.new()
    talk.last = talk.failed = None
    tell("A new session. What was stored in the memory is still known.")


def list_saved(talk: Talk, _: str) -> None:
    """List the saved sessions."""
    found = _kept(talk).sessions(_LISTED)
    for info in found:
        say(f"{line_of(info)}{' (this one)' if info.id == talk.session_id else ''}")
    say("/resume ID resumes one." if found else "No sessions yet.")


def resume(talk: Talk, text: str) -> None:
    """Resume the session of that number; of those that hold ``text``, or of all, list which there are."""
    if not text:
        list_saved(talk, "")
        return
    if not text.isdecimal() or len(text) > _DIGITS:
        found = {each.session_id: each for each in _kept(talk).search(text)}
        for each in found.values():
            say(f"{each.session_id:>6}  {one_line(each.session_name, 40)}: {each.excerpt}")
        say("/resume ID resumes one." if found else "No turns match.")
        return
    info = _kept(talk).session(int(text))
    stored = talk.session.resume(info.id)
    past = talk.session.context.past  # the last turn that was answered: the one that another answer replaces
    talk.last, talk.failed = (past.turn if past is not None else None), None
    tell(f"Resumed: {one_line(info.name)}")
    if stored:
        say(f"you: {stored[-1].prompt}\nVarda: {stored[-1].reply or '(no answer)'}")


def rename(talk: Talk, name: str) -> None:
    """Give this session a name."""
    if talk.session_id is None:
        raise VardaError("There is no session to rename yet: say something first.")
    tell(f"This session is called {one_line(_kept(talk).rename(talk.session_id, name).name)!r}.")


def export(talk: Talk, where: str) -> None:
    """Write this session to a file."""
    if talk.session_id is None:
        raise VardaError("There is nothing to export yet: say something first.")
    tell(f"The session was written to {export_typed(_kept(talk), talk.session_id, where)}.")


def incognito(talk: Talk, _: str) -> None:
    """Store and save nothing from here on, or do so again."""
    wanted = not talk.incognito
    if talk.request.incognito:  # wanted is False: with the flag, the session has been incognito from its beginning
        talk.leave_copies()
    else:
        talk.session.set_incognito(wanted)
    talk.incognito = wanted
    tell(INCOGNITO if wanted else NOT_INCOGNITO)


def profile(talk: Talk, name: str) -> None:
    """Go to another memory; without a name, list which there are."""
    if not name:
        for each, peek in profiles.known(talk.request.data_dir).items():
            held = peek.problem or numbered(peek.statements, "memory")
            say(f"{each}: {held}{' (this one)' if each == talk.request.profile else ''}")
        return
    if name == talk.request.profile:
        tell("That profile is open already.")
        return
    request = talk.request.of_profile(name)
    if not request.incognito:
        profiles.check_free(request.directory)
    talk.move(request, request.transcripts())
    tell(f"Profile {name}.")


def model(talk: Talk, source: str) -> None:
    """Let another model answer; without a name, list which there are."""
    current = talk.request.checkpoint or catalog.BUNDLED
    if not source:
        for each in catalog.known(data_dir(talk.request.data_dir), [current] if current else []):
            size = f", {magnitude(each.parameters)} parameters" if each.parameters else ""
            say(f"{each.source or each.name}{size}{' (this one)' if each.source == current else ''}")
        return
    if source == current:
        tell("That model answers already.")
        return
    talk.move(replace(talk.request, checkpoint=source), talk.transcripts)
    if not talk.incognito:
        catalog.note_used(data_dir(talk.request.data_dir), source)
    tell(f"From here on another model answers: {one_line(talk.session.model_name)}.")


def _kept(talk: Talk) -> Transcripts:
    if talk.transcripts is None:
        raise VardaError("Sessions are not kept here, so there are none.")
    return talk.transcripts
