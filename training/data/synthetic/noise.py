"""Text as people type it in haste: no capitals, no apostrophes, slips of the fingers, short forms."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final

from training.data.synthetic.wordings import one_word

_SHORT: Final = one_word("hasty")


def hasty(rng: random.Random) -> Callable[[str], str]:
    """A writer's habit, to apply to each piece of one message; the habit and the slips are drawn from ``rng``."""
    habits: list[Callable[[str], str]] = []
    if rng.random() < 0.7:
        habits.append(str.lower)
    if rng.random() < 0.5:
        habits.append(lambda text: text.replace("'", ""))
    if rng.random() < 0.5:
        habits.append(lambda text: re.sub(r"[.!?]+$", "", text))
    if rng.random() < 0.5:
        habits.append(lambda text: _slip(text, rng))
    if rng.random() < 0.25:
        habits.append(lambda text: re.sub(r"[a-z']+", lambda m: _SHORT.get(m[0], m[0]), text))

    def write(text: str) -> str:
        for habit in habits:
            text = habit(text)
        return text

    return write


def _slip(text: str, rng: random.Random) -> str:
    """One slip in a word of four letters or more: two letters swapped, one left out, or one typed twice."""
    words = list(re.finditer(r"[A-Za-z]{4,}", text))
    if not words:
        return text
    word = rng.choice(words)
    place = rng.randrange(word.start() + 1, word.end() - 1)
    middle = rng.choice((text[place + 1] + text[place], text[place + 1], text[place] * 2 + text[place + 1]))
    return text[:place] + middle + text[place + 2 :]
