"""What a person is told of what was stored, forgotten or undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from varda_chat.text import one_line

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement, Undone
    from varda_chat.session.why import Without

INCOGNITO = "Incognito from here on: I recall, but store nothing, and no word is saved. /incognito ends it."
NOT_INCOGNITO = "No longer incognito: I store again, and the session is saved from here on."
_SHOWN = 3
_CHARACTERS = 80


def quoted(statements: Sequence[Statement]) -> str:
    """The words of the first of ``statements``, and how many more there are."""
    shown = " ".join(f"“{one_line(each.text, _CHARACTERS)}”" for each in statements[:_SHOWN])
    return shown + (f" and {len(statements) - _SHOWN:,} more." if len(statements) > _SHOWN else "")


def undone_lines(undone: Undone) -> str:
    """What an undo did, a line each for what is back and for what is deleted again."""
    if not undone.restored and not undone.removed:
        return "There is nothing to undo."
    lines = (
        ("Back in memory: ", undone.restored),
        ("Deleted again: ", undone.removed),
        ("Undo once more to delete what the same turn stored: ", undone.left),
    )
    return "\n".join(does + quoted(statements) for does, statements in lines if statements)


def without_lines(answer: Without) -> list[str]:
    """What an answer would be without some memories, in words; nothing for the one with all of them."""
    if not answer.masked:
        return []
    left_out = " and ".join(f"“{one_line(each.text)}”" for each in answer.masked)
    said = "the same answer." if answer.same else one_line(answer.reply) or "an empty answer."
    return [f"Without {left_out}: {said}"]
