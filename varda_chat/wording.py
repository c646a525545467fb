"""How a count and what it counts are written."""

from __future__ import annotations


def counted(count: int, noun: str, width: int) -> str:
    """ "1 statement ", "2 statements": in a column, numbers right in ``width`` characters, nouns of one length."""
    return f"{count:>{width},} {noun}{' ' if count == 1 else 's'}"
