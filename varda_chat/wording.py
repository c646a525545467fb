"""How a count and what it counts are written: one thing is one thing."""

from __future__ import annotations


def numbered(count: int, noun: str) -> str:
    """ "1 statement", "2 statements", "1,284 statements"."""
    return f"{count:,} {noun if count == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """ "statements", "memories"."""
    return f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"


def counted(count: int, noun: str, width: int) -> str:
    """The same in a column: numbers right in ``width`` characters, nouns of one length."""
    many = plural(noun)
    return f"{count:>{width},} {noun.ljust(len(many)) if count == 1 else many}"


def were(count: int) -> str:
    """What goes after so many of them."""
    return "was" if count == 1 else "were"


def times(count: int) -> str:
    """ "never", "once", "12 times"."""
    return {0: "never", 1: "once"}.get(count, f"{count:,} times")


def speaker(role: str) -> str:
    """Who said something, as a person reads it: "you" or "Varda"."""
    return "you" if role == "user" else "Varda"
