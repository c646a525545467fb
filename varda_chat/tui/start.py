"""Opens the Textual app for what was asked for, and ends the program with the app's own code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from varda_chat.errors import VardaError
from varda_chat.memory.files import DATABASE
from varda_chat.request import Request, session_to_resume, transcripts_of
from varda_chat.settings import SettingsFile
from varda_chat.tui.app import VardaApp
from varda_chat.tui.keys import check
from varda_chat.tui.themes import checked_theme

LEFT_TO_THE_SCREEN = 1
"""Processor cores that torch leaves alone, where there are so many."""


def chat(request: Request, settings: SettingsFile, theme: str, resume: int | None, go_on: bool) -> None:
    """Chat until the person leaves. Raises VardaError where what was asked for is not there."""
    try:
        checked_theme(theme)
    except VardaError as error:
        raise (settings.error("theme", str(error)) if theme == settings.flags.get("theme") else error) from None
    try:
        check(settings.settings.keys)
    except VardaError as error:
        raise settings.error("keys", str(error)) from None
    first_run = not (request.folder / DATABASE).exists()
    transcripts = transcripts_of(request, needed=resume is not None)
    name = "default" if request.checkpoint is None else Path(request.checkpoint).name
    threads = (os.cpu_count() or 1) - LEFT_TO_THE_SCREEN
    app = VardaApp(
        lambda on_progress: request.open(on_progress, transcripts, threads),
        profile=request.profile,
        profile_dir=request.folder,
        model_name=name,
        incognito=request.incognito,
        first_run=first_run,
        theme=theme,
        settings=settings,
        transcripts=transcripts,
        resume=session_to_resume(transcripts, resume, go_on),
    )
    app.run()
    if transcripts is not None:
        transcripts.close()
    sys.exit(app.return_code or 0)
