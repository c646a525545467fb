"""How a count and what it counts are written: one thing is one thing."""

from __future__ import annotations


def numbered(count: int, noun: str) -> str:
    """ "1 statement", "2 statements", "1,284 statements"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def counted(count: int, noun: str, width: int) -> str:
    """The same in a column: numbers right in ``width`` characters, nouns of one length."""
    return f"{count:>{width},} {noun}{' ' if count == 1 else 's'}"


def were(count: int) -> str:
    """What goes after so many of them."""
    return "was" if count == 1 else "were"


def times(count: int) -> str:
    """ "never", "once", "12 times"."""
    return {0: "never", 1: "once"}.get(count, f"{count:,} times")


def speaker(role: str) -> str:
    """Who said something, as a person reads it: "you" or "Varda"."""
    return "you" if role == "user" else "Varda"
