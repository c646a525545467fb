"""How long a message may be. The model reads every token of it, so that a megabyte would be read for minutes."""

from __future__ import annotations

from varda_chat.errors import VardaError

MAX_MESSAGE = 20_000
"""Characters."""


def check_length(text: str) -> None:
    """Raise VardaError where ``text`` is too long for a message, with what to do instead."""
    if len(text) > MAX_MESSAGE:
        raise VardaError(
            f"The message has {len(text):,} characters; at most {MAX_MESSAGE:,} are read at once. Put it into a file "
            "and have that read: varda-chat memory learn FILE."
        )
