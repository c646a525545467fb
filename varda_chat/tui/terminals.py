"""Whether there is a terminal to draw on, and the plain line mode for where there is none. Imports nothing heavy."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TextIO

CANNOT_DRAW = {"dumb", "unknown"}
"""Values of TERM for terminals that cannot move the cursor."""
_ENDS = {"/quit", "/exit"}


def screen() -> TextIO | None:
    """Whichever of stderr and stdout is a terminal; None where both are redirected."""
    return next((each for each in (sys.__stderr__, sys.__stdout__) if each is not None and each.isatty()), None)


def can_draw() -> bool:
    """Whether the app can be shown: in a terminal, or by a driver that TEXTUAL_DRIVER names (``serve``)."""
    if "TEXTUAL_DRIVER" in os.environ:
        return True
    return is_typed() and screen() is not None and os.environ.get("TERM") not in CANNOT_DRAW


def is_typed() -> bool:
    """Whether a person types what is read from stdin."""
    return sys.stdin is not None and sys.stdin.isatty()


def typed_lines(*, asked_for: bool = False) -> Iterator[str]:
    """The lines that a person types, until Ctrl+D or /quit. ``asked_for``: by --plain, and not for want of a screen."""
    why = "Each line" if asked_for else "This terminal cannot show the chat, so each line"
    _tell(f"{why} you type is a message. /help lists the commands; Ctrl+D or /quit ends it.\n")
    while True:
        _tell("> ")
        line = sys.stdin.readline()
        if not line:
            _tell("\n")
        if not line or line.strip() in _ENDS:
            return
        yield line


def _tell(text: str) -> None:
    if (out := screen()) is not None:
        out.write(text)
        out.flush()
