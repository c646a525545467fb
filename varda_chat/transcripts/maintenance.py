"""Checking and repairing the saved sessions of a profile that is not open."""

from __future__ import annotations

from pathlib import Path

from varda_chat.memory.recovery import torn_log
from varda_chat.text import numbered, were
from varda_chat.transcripts.store import FILE_NAME, Transcripts


def verify_sessions(directory: Path) -> tuple[str, ...]:
    """Read every byte of the sessions in ``directory``; returns what is wrong, one line each. Changes nothing.

    Raises as ``Transcripts.open`` does.
    """
    path = directory / FILE_NAME
    if not path.is_file():
        return ()
    torn = torn_log(path)
    with Transcripts.open(directory, read_only=True) as transcripts:
        return (*([] if torn is None else [torn]), *transcripts.notices)


def repair_sessions(directory: Path) -> list[str]:
    """Set damaged sessions aside, and keep altered ones as they can be read; returns what was done, one line each."""
    with Transcripts.open(directory) as transcripts:
        done = list(transcripts.notices)
        kept = transcripts.accept_altered()
    if kept:
        done.append(f"{numbered(kept, 'text')} of the sessions {were(kept)} kept as the disk has them.")
    return done
