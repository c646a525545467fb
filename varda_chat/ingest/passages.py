"""What reading a file gives: passages that someone said, and what could not be read. Imports nothing heavy."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from varda_chat.text import one_line, sanitize

MAX_PASSAGE = 8000
"""Characters of a passage; a longer text is cut into several."""

_MILLISECONDS = 1e11
"""A time above this is in milliseconds: in seconds it would be past the year 5000."""


@dataclass(frozen=True)
class Passage:
    """Something that was said.

    role: "user" or "assistant". at: unix seconds, None where the file does not say when. memory: another program kept
    it as a memory already, so it is stored whatever the model thinks of it.
    """

    role: str
    text: str
    at: float | None = None
    memory: bool = False


@dataclass(frozen=True)
class Unread:
    """A line, entry or turn that could not be read, and why in one sentence."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass
class Found:
    """Collects what a reader finds. ``where`` names the line or entry that is being read."""

    passages: list[Passage] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    skipped: int = 0
    where: str = ""
    now: float = field(default_factory=time.time)

    def say(self, role: str, text: str, at: Any = None, *, memory: bool = False) -> None:
        """Add what ``role`` said. ``at``: unix seconds, milliseconds or an ISO 8601 text; anything else is unknown."""
        clean = sanitize(text).strip()
        when = moment(at, self.now)
        self.passages += [
            Passage(role, clean[start : start + MAX_PASSAGE], when, memory)
            for start in range(0, len(clean), MAX_PASSAGE)
        ]

    def skip(self) -> None:
        """Count a turn that nobody said: a system prompt, a tool's answer."""
        self.skipped += 1

    def fail(self, reason: str, where: str = "") -> None:
        """Note that the line or entry, or ``where`` in it, could not be read."""
        self.unread.append(Unread(", ".join(part for part in (self.where, where) if part), one_line(reason)))


def moment(value: Any, now: float) -> float | None:
    """``value`` as unix seconds; None where it is no time from 1970 until ``now``."""
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value.strip())
            value = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    seconds = value / 1000 if value > _MILLISECONDS else float(value)
    return seconds if 0 < seconds <= now else None
