"""Prompts answered on stdout, one turn each, without a screen: ``--prompt`` and text on a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from varda_chat.errors import VardaError
from varda_chat.request import Request, session_to_resume, transcripts_of
from varda_chat.sanitize import sanitize, to_json

if TYPE_CHECKING:
    from varda_chat.session import ChatSession, Turn


def answer(
    request: Request,
    prompts: Iterable[str],
    as_json: bool,
    resume: int | None,
    go_on: bool,
    *,
    may_be_none: bool = False,
) -> None:
    """Answer each prompt on stdout; every turn's memory is on disk before its line is printed. Raises VardaError where
    there is no prompt, unless there ``may_be_none``."""
    transcripts = transcripts_of(request, needed=resume is not None)
    session: ChatSession | None = None
    try:
        resume = session_to_resume(transcripts, resume, go_on)
        for line in prompts:
            prompt = line.strip()
            if not sanitize(prompt).strip():
                continue
            if session is None:
                session = request.open(transcripts=transcripts)
                for notice in session.notices:
                    click.echo(sanitize(notice), err=True)
                if resume is not None:
                    session.resume(resume)
            _print_turn(session.reply(prompt), as_json)
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


def _print_turn(turn: Turn, as_json: bool) -> None:
    click.echo(to_json(turn.to_json()) if as_json else sanitize(turn.reply))
    sys.stdout.flush()
