"""Commands on answers, line by line: another one, a copy, where it comes from; how answers are drawn and spoken."""

from __future__ import annotations

import threading
from dataclasses import replace

from varda_chat.cli.plain.talk import Talk, quoted, say, stopped_by_interrupt, tell
from varda_chat.errors import VardaError
from varda_chat.text import sanitize
from varda_chat.tui.clipboard import copy_natively, native_command
from varda_chat.tui.controllers.copying import to_copy
from varda_chat.tui.controllers.drawing import change_drawing
from varda_chat.tui.controllers.personas import change_persona
from varda_chat.tui.controllers.telling import without_lines

_LOOKED_AT = 8


def regenerate(talk: Talk, _: str) -> None:
    """Answer the last message again."""
    if talk.last is None:
        tell("There is no answer yet that another could take the place of.")
    else:
        talk.answer(talk.last.prompt, instead=True)


def edit(talk: Talk, _: str) -> None:
    """Ask for what takes the place of the last message, and answer that."""
    if talk.last is None:
        tell("There is no message to edit yet.")
        return
    tell(f"Your last message: {quoted(talk.last.prompt)} Type what takes its place, or nothing to leave it.")
    text = next(talk.lines, "").strip()
    if sanitize(text).strip():
        talk.answer(text, instead=True)
    else:
        tell("Nothing was changed.")


def retry(talk: Talk, _: str) -> None:
    """Answer the message that failed."""
    if talk.failed is None:
        tell("There is nothing to try again.")
    else:
        talk.answer(talk.failed)


def copy(talk: Talk, what: str) -> None:
    """Hand the last answer, or its code, to the machine's clipboard."""
    text, name = to_copy(talk.last.reply if talk.last is not None else "", what)
    command = native_command()
    if command is None or not copy_natively(text, command):
        raise VardaError("There is no clipboard here that takes it.")
    tell(f"{name} is copied.")


def why(talk: Talk, _: str) -> None:
    """Tell what the last answer was recalled from, and what it would be without that."""
    sources(talk, "")
    if talk.last is None:
        return
    stop = threading.Event()
    with stopped_by_interrupt(stop):
        for answer in talk.session.influence(talk.last, stop):
            for line in without_lines(answer):
                say(line)


def sources(talk: Talk, _: str) -> None:
    """Tell what the last answer was recalled from, and what was looked at."""
    if talk.last is None:
        tell("There is no answer to open yet.")
        return
    for each in talk.last.recalled:
        say(f"Recalled, {each.weight:.0%} of a word at most: {quoted(each.text)}")
    if not talk.last.recalled:
        say(talk.last.owes_nothing)
    for each in talk.session.memory.not_used(talk.last, _LOOKED_AT):
        say(f"Looked at and not used, {each.weight:.0%}: {quoted(each.text)}")


def persona(talk: Talk, text: str) -> None:
    """Say how Varda should speak."""
    tell(change_persona(talk.session, text))


def set_drawing(talk: Talk, text: str) -> None:
    """Change how answers are drawn."""
    changed, line = change_drawing(talk.session.generation, text)
    talk.session.generation = changed
    talk.request = replace(talk.request, generation=changed)
    tell(line)
