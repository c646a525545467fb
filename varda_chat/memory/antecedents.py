"""What a sentence leans on: "She waters my plants." says little without the one before it. In English alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

MOST_BEFORE = 2
"""Sentences, at most, that one is read behind."""
FEW_WORDS = 3
"""So many words, or fewer, say little by themselves: "Four of them!"."""

_TIMES = (
    r"morning|afternoon|evening|night|week|weekend|month|year|spring|summer|autumn|fall|winter|days|"
    r"monday|tuesday|wednesday|thursday|friday|saturday|sunday"
)
_LEANS = re.compile(
    r"(?:(?:and|but|so|because|since|well|oh|yes|yeah|also|then|though|now|plus|actually|apparently)\b[\s,]*)*"
    r"(?:he|she|they|his|her|hers|their|theirs|(?:it|its|this|that|there|those|these)(?!(?:'s|\s+is)?\s+my\b))\b"
    rf"(?!\s+(?:{_TIMES})\b)",
    re.IGNORECASE,
)
_OWN = re.compile(r"(?:(?:and|but|so)\s+)?(?:i|im|ive|my|mine|we|our|mum|mom|dad)\b", re.IGNORECASE)


def leans(text: str) -> bool:
    """Whether ``text``, an English sentence, begins with a pronoun, or is too short to say who or what it is about."""
    return _LEANS.match(text) is not None or _says_little(text)


def leant_on(sentences: Sequence[str], chosen: Collection[int]) -> set[int]:
    """The places of the ``sentences`` of a line that those at ``chosen`` lean on: the one before each, and again the
    one before that, as far as it is no mere cry."""
    found: set[int] = set()
    for place in chosen:
        for _ in range(MOST_BEFORE):
            if place == 0 or not leans(sentences[place]) or _says_little(sentences[place - 1]):
                break
            place -= 1
            found.add(place)
    return found


def _says_little(text: str) -> bool:
    return len(text.split()) <= FEW_WORDS and _OWN.match(text) is None


def in_context(before: Sequence[str], text: str) -> str:
    """``text`` as it is read behind those that it leans on, the oldest first."""
    return f"({' '.join(before)}) {text}" if before else text
