"""When a turn asks before it deletes, by the setting ``confirm_deletes``. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement

KEPT = "Nothing was deleted."
"""What is answered where a person keeps all that was to be deleted."""

Confirm = Callable[[tuple["Statement", ...]], Collection[int]]
"""Asks a person about the memories that a turn would delete, and returns the ids of those that shall go."""


def must_ask(going: Sequence[Statement], when: str) -> bool:
    """Whether a person is to be asked, by ``when`` (one of CONFIRM_DELETES), before ``going`` are deleted."""
    if not going or when == "never":
        return False
    return when == "always" or len(going) > 1 or any(each.pinned for each in going)
