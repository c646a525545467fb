"""Commands typed into the composer: ``/help`` and its like."""

from __future__ import annotations

import re
from typing import Final

COMMANDS: Final[dict[str, str]] = {
    "help": "this help",
    "copy": "copy the last answer",
    "memory": "show or hide the memory panel",
    "retry": "send the message that failed once more",
    "quit": "save the memory and leave",
}
_COMMAND = re.compile(r"/([A-Za-z][\w-]*)\s*")


def parse(text: str) -> str | None:
    """The command's name if ``text`` is one, known or not, else None: "/usr/bin is a folder" is a message."""
    match = _COMMAND.fullmatch(text)
    return match.group(1).lower() if match else None


def completion(text: str) -> str:
    """What would finish ``text`` into a known command; empty if nothing would."""
    if len(text) < 2 or not text.startswith("/"):
        return ""
    name = text[1:].lower()
    return next((known[len(name) :] for known in COMMANDS if known.startswith(name)), "")
