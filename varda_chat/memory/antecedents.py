"""What a statement that leans on another is read with: "She waters my plants." says little by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST_BEFORE = 2
"""Statements, at most, that one is read with."""
MOST_SECONDS = 300.0
"""Between a statement and the one before it, where they are of different turns: later it is about something else."""
ROOM = 200
"""Characters of them all: what does not fit is left out, the farthest first."""
FEW_WORDS = 3
"""So many words, or fewer, say little by themselves: "Four of them!"."""

_LEANS = re.compile(
    r"(?:(?:and|but|so|because|since|well|oh|yes|yeah|also|then|though|now|plus|actually|apparently)\b[\s,]*)*"
    r"(?:he|she|they|his|her|hers|their|theirs|its|(?:it|this|that|there|those|these)(?!(?:'s|\s+is)?\s+my\b))\b"
    r"(?!\s+(?:morning|afternoon|evening|week|weekend|month|year|spring|summer|autumn|fall|winter|days)\b)",
    re.IGNORECASE,
)
_OWN = re.compile(r"(?:i|my|we|our)\b", re.IGNORECASE)


def leans(text: str) -> bool:
    """Whether ``text``, an English sentence, begins with a pronoun, or is too short to say who or what it is about."""
    return _LEANS.match(text) is not None or (len(text.split()) <= FEW_WORDS and _OWN.match(text) is None)


def in_context(before: Sequence[str], text: str) -> str:
    """``text`` behind the statements that it leans on (the oldest first), in brackets, as far as there is ROOM."""
    kept: list[str] = []
    for each in reversed(before):
        if len(text) + sum(map(len, kept)) + len(each) > ROOM:
            break
        kept.insert(0, each)
    return f"({' '.join(kept)}) {text}" if kept else text
