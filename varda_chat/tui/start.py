"""Opens the Textual app for what was asked for, and ends the program with the app's own code."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import click

from varda_chat.config.settings import SettingsFile
from varda_chat.errors import VardaError
from varda_chat.session.request import Request, session_to_resume, transcripts_of
from varda_chat.storage.files import DATABASE
from varda_chat.tui.app import VardaApp
from varda_chat.tui.bindings import check as check_keys
from varda_chat.tui.themes import checked_theme

LEFT_TO_THE_SCREEN = 1
"""Processor cores that torch leaves alone, where there are so many."""


def check(request: Request, settings: SettingsFile, theme: str) -> None:
    """Raise VardaError, naming the settings file where it is to blame, for what the app cannot begin with."""
    _ = request.directory
    try:
        checked_theme(theme)
    except VardaError as error:
        raise (settings.error("theme", str(error)) if theme == settings.flags.get("theme") else error) from None
    try:
        check_keys(settings.settings.keys)
    except VardaError as error:
        raise settings.error("keys", str(error)) from None


def chat(request: Request, settings: SettingsFile, theme: str, resume: int | None, resume_last: bool) -> None:
    """Chat until the person leaves. Raises VardaError where what was asked for is not there."""
    check(request, settings, theme)
    first_run = not (request.directory / DATABASE).exists()
    transcripts = transcripts_of(request, needed=resume is not None)
    threads = (os.cpu_count() or 1) - LEFT_TO_THE_SCREEN
    app = VardaApp(
        replace(request, threads=threads),
        first_run=first_run,
        theme=theme,
        settings=settings,
        transcripts=transcripts,
        resume=session_to_resume(transcripts, resume, resume_last),
    )
    app.run()
    if app.chat.transcripts is not None:  # by now perhaps those of another profile
        app.chat.transcripts.close()
    if app.crashed:
        kept = " What you were writing is kept: the Up key brings it back." if app.draft_kept else ""
        click.echo(f"varda-chat ended unexpectedly.{kept}", err=True)
    sys.exit(app.exit_code)
