"""What ``/persona`` does, on the screen and line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varda_chat.config import persona
from varda_chat.errors import VardaError
from varda_chat.text import one_line

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession


def change_persona(session: ChatSession, text: str) -> str:
    """Do what is typed behind ``/persona``, and return the line that says what was done. Raises VardaError."""
    word = text.strip().lower()
    if not word:
        now = f"Now: {one_line(session.persona, 200)}" if session.persona else "There is no persona."
        return f"{now} /persona TEXT says how Varda should speak in this session; keep and off go there too."
    if word == "keep":
        if session.incognito:
            raise VardaError("Nothing was kept: this session is incognito.")
        persona.keep(session.profile_dir, session.persona)
        return "This profile keeps that persona." if session.persona else "This profile keeps no persona."
    session.set_persona("" if word == "off" else text)
    if not session.persona:
        return "No persona in this session. /persona keep keeps it so."
    return "That is how Varda speaks in this session. /persona keep keeps it for the profile."
