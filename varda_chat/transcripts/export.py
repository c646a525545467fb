"""A session as a document: Markdown to read, JSON to work with."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from varda_chat.config.paths import expanded
from varda_chat.errors import VardaError
from varda_chat.storage.files import check_target, replace_file, unused
from varda_chat.text import sanitize, to_json
from varda_chat.transcripts.records import SessionInfo, StoredTurn
from varda_chat.transcripts.store import Transcripts

Format = Literal["markdown", "json"]
ENDINGS: dict[str, Format] = {".md": "markdown", ".markdown": "markdown", ".json": "json"}


def render(info: SessionInfo, turns: Sequence[StoredTurn], kind: Format) -> str:
    """The session as text in that format, ended by a line break."""
    if kind == "json":
        session = {
            "id": info.id,
            "name": info.name,
            "created_at": info.created_at,
            "updated_at": info.updated_at,
            "turns": [turn.to_json() for turn in turns],
        }
        return to_json(session, 2) + "\n"
    parts = [f"# {_escaped(info.name)}", f"Session {info.id}, begun {moment(info.created_at)}."]
    for turn in turns:
        parts += [f"## You, {moment(turn.at)}", turn.prompt, "## Varda", turn.reply or "(no answer)"]
        if turn.state != "done":
            parts.append(f"*({'stopped' if turn.state == 'stopped' else 'not finished'})*")
        if recalled := turn.details.get("recalled"):
            parts += ["Recalled:", "\n".join(f"- {_escaped(str(each.get('text', '')))}" for each in recalled)]
    return sanitize("\n\n".join(parts)) + "\n"


def export(transcripts: Transcripts, session_id: int, path: Path) -> Path:
    """Write a session to ``path``, private, in the format its ending names; returns the path.

    Raises VardaError for another ending, where there is no such session and where ``path`` is a memory's own or no
    regular file, OSError where it cannot be written.
    """
    kind = ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise VardaError(f"{path.name} must end in .md or .json, which says how it is written.")
    info = transcripts.session(session_id)
    path = expanded(path).absolute()
    if not path.parent.is_dir():
        raise VardaError(f"There is no folder {path.parent} to write to.")
    check_target(path)
    replace_file(path, [render(info, transcripts.turns(session_id), kind).encode()])
    return path


def export_typed(transcripts: Transcripts, session_id: int, where: str = "") -> Path:
    """``export`` to a new file ``where``, as a person types it, or to one here that is named for the session. Raises
    VardaError where that cannot be."""
    try:
        path = Path(where).expanduser() if where else unused(Path.cwd() / file_name(transcripts.session(session_id)))
        if path.exists():
            raise VardaError(f"{path} is there already; choose another name.")
        return export(transcripts, session_id, path)
    except (OSError, RuntimeError, ValueError) as error:
        raise VardaError(f"The session could not be written: {error}.") from error


def file_name(info: SessionInfo, ending: str = ".md") -> str:
    """A name for the session's file, from its own name."""
    words = re.sub(r"[^\w]+", "-", info.name, flags=re.UNICODE).strip("-")[:40].strip("-")
    return f"varda-{info.id}-{words or 'session'}{ending}"


def moment(seconds: float) -> str:
    """A time as the local clock shows it; one no clock can show as dashes."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "---- -- -- --:--"


def _escaped(text: str) -> str:
    """``text`` as Markdown that shows it."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", text)
