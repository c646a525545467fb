"""Prompts answered on stdout, one turn each, without a screen: ``--prompt`` and text on a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TextIO

import click

from varda_chat.errors import VardaError
from varda_chat.session.lengths import MAX_MESSAGE, check_length
from varda_chat.session.request import Request, session_to_resume, transcripts_of
from varda_chat.text import decoded, sanitize, to_json
from varda_chat.tui.controllers.telling import without_lines

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession, Turn
    from varda_chat.session.why import Without

MAX_LINE = 8 * MAX_MESSAGE
"""Bytes of a line on a pipe: more than the longest message has, whatever its characters."""
_INSTEAD = (
    f"a message has at most {MAX_MESSAGE:,} characters. Put it into a file and have that read: varda-chat memory learn "
    "FILE."
)


def answer(
    request: Request,
    prompts: Iterable[str],
    as_json: bool,
    resume: int | None,
    resume_last: bool,
    *,
    may_be_none: bool = False,
    why: bool = False,
) -> None:
    """Answer each prompt on stdout; every turn's memory is on disk before its line is printed. ``why``: and what the
    answer would be without what it was recalled from. Raises VardaError where there is no prompt, unless there
    ``may_be_none``."""
    transcripts = transcripts_of(request, needed=resume is not None)
    session: ChatSession | None = None
    try:
        resume = session_to_resume(transcripts, resume, resume_last)
        for line in prompts:
            prompt = line.strip()
            if not sanitize(prompt).strip():
                continue
            check_length(prompt)  # before a model is loaded for nothing
            if session is None:
                session = request.open(transcripts=transcripts)
                for notice in session.notices:
                    click.echo(sanitize(notice), err=True)
                if resume is not None:
                    session.resume(resume)
            turn = session.reply(prompt)
            _print_turn(turn, list(session.influence(turn)) if why else None, as_json)
        if session is None and not may_be_none:
            raise VardaError("There is nothing to answer: the message is empty.")
    finally:
        if session is not None:
            shown = len(session.notices)
            session.close()
            for notice in session.notices[shown:]:
                click.echo(sanitize(notice), err=True)
        if transcripts is not None:
            transcripts.close()


def lines_of(stream: TextIO | None) -> Iterator[str]:
    """The lines of a pipe. Text that is not UTF-8 is read as Windows-1252, which is said once.

    Raises VardaError for text of neither encoding, and for a line that is longer than any message.
    """
    source = getattr(stream, "buffer", None)
    if source is None:  # closed, or put in place by a caller
        yield from stream or ()
        return
    told = False
    number = 0
    while line := source.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise VardaError(f"Line {number} of the input is longer than {MAX_LINE:,} bytes; {_INSTEAD}")
        text, notice = decoded(line, "Input", number)
        if notice and not told:
            told = True
            click.echo(notice, err=True)
        yield text


def text_of(stream: TextIO) -> str:
    """All the text of a pipe or a file, in the encodings of ``lines_of``. Raises VardaError as that does."""
    source = getattr(stream, "buffer", None)
    if source is None:
        return stream.read()
    data = source.read(MAX_LINE + 1)
    if len(data) > MAX_LINE:
        raise VardaError(f"The input is longer than {MAX_LINE:,} bytes; {_INSTEAD}")
    text, notice = decoded(data, "Input")
    if notice:
        click.echo(notice, err=True)
    return text


def _print_turn(turn: Turn, without: list[Without] | None, as_json: bool) -> None:
    if as_json:
        asked = {} if without is None else {"why": [each.to_json() for each in without]}
        click.echo(to_json({**turn.to_json(), **asked}))
    else:
        click.echo(sanitize(turn.reply))
        for each in without or ():
            for line in without_lines(each):
                click.echo(line)
    sys.stdout.flush()
