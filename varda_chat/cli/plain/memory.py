"""Commands on the memory, line by line: what is in it, and what shall be stored, forgotten, pinned, undone, proved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from varda_chat.cli.plain.talk import Talk, quoted, say, tell
from varda_chat.text import one_line, sanitize, speaker
from varda_chat.tui.controllers.telling import undone_lines

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement

_LISTED = 20
"""Memories that are listed at once, the newest."""


def show(talk: Talk, text: str) -> None:
    """List the memories that hold ``text``."""
    found = _holding(talk, text)
    for each in found[:_LISTED]:
        say(f"{each.id}: {speaker(each.role)}: {_line(each)}")
    if not found:
        say(_none_holds(text) if text else "No memories yet.")
    elif len(found) > _LISTED:
        say(f"and {len(found) - _LISTED:,} more; /memory TEXT lists those that hold TEXT.")


def remember(talk: Talk, text: str) -> None:
    """Store ``text``."""
    applied = talk.session.memory.remember(text)
    if applied.refused:
        tell("The memory is full of pinned memories: nothing was stored.")
    elif not applied.stored:
        tell("That is known already.")
    for each in applied.stored:
        tell(f"Stored: {quoted(each.text)}")


def forget(talk: Talk, text: str) -> None:
    """Show what holds ``text``, and forget what the person then means."""
    found = _listed(talk, text)
    if not found:
        return
    going = talk.choose("Forget it?" if len(found) == 1 else f"Forget these {len(found):,}?", found)
    if not going:
        tell("Nothing was forgotten.")
        return
    forgotten = talk.session.memory.forget(each.id for each in going)
    talk.forgotten = tuple(each.text for each in forgotten)
    tell(f"Forgotten: {len(forgotten):,}. /undo restores what went, /proof shows the proof.")


def proof(talk: Talk, _: str) -> None:
    """Show that what was forgotten last, by the person or the last answer, has no part in answers any more."""
    from varda_chat.session.proof import files_that_hold, lines_of, prove

    forgotten = talk.forgotten or tuple(each.text for each in (talk.last.deleted if talk.last is not None else ()))
    if not forgotten:
        tell("Nothing was forgotten in this session yet.")
        return
    question = talk.last.prompt if talk.last is not None else forgotten[0]
    for text in forgotten:
        say(f"Forgotten: {quoted(text)}")
    say(f"Asked: {one_line(question)}")
    tell("It is asked again, with and without that ever having been told.")
    proof = prove(talk.session, question, forgotten)
    first, *others = lines_of(proof, files_that_hold(talk.request.directory, forgotten))
    for line in (first, f"As it is: {one_line(proof.now)}", f"Never told: {one_line(proof.never_told)}", *others):
        say(line)


def pin(talk: Talk, text: str) -> None:
    """Pin what holds ``text``, or where all of that is pinned, unpin it; without a text, list what is pinned."""
    if not text:
        pinned = [each for each in talk.session.memory.statements() if each.pinned]
        for each in pinned:
            say(f"{each.id}: {one_line(each.text)}")
        if not pinned:
            say("Nothing is pinned. /pin TEXT pins what holds TEXT.")
        return
    found = _listed(talk, text)
    if not found:
        return
    loose = [each for each in found if not each.pinned]
    does, asked = ("Pin", loose) if loose else ("Unpin", found)
    chosen = talk.choose(f"{does} it?" if len(asked) == 1 else f"{does} these {len(asked):,}?", asked)
    if not chosen:
        tell("Nothing was changed.")
        return
    changed = talk.session.memory.pin_all([each.id for each in chosen], bool(loose))
    tell(f"{does}ned: {changed:,}.")


def undo(talk: Talk, _: str) -> None:
    """Take back the last store or delete."""
    for line in undone_lines(talk.session.memory.undo()).splitlines():
        tell(line)


def _listed(talk: Talk, text: str) -> Sequence[Statement]:
    """What holds ``text``, after it was listed."""
    found = _holding(talk, text)
    for each in found:
        say(f"{each.id}: {_line(each)}")
    if not found:
        tell(_none_holds(text))
    return found


def _holding(talk: Talk, text: str) -> Sequence[Statement]:
    wanted = sanitize(text).strip().casefold()
    return [each for each in talk.session.memory.statements() if wanted in each.text.casefold()]


def _line(statement: Statement) -> str:
    return f"{one_line(statement.text)}{' (pinned)' if statement.pinned else ''}"


def _none_holds(text: str) -> str:
    return f"No memory holds {one_line(text, 60)!r}."
