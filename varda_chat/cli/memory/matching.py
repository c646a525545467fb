"""Which statements hold the words to forget, as whole words or only within others ("ana" in Havana)."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import click

from varda_chat.cli.parameters import ID, MAX_ID
from varda_chat.errors import VardaError
from varda_chat.text import folded, one_line

if TYPE_CHECKING:
    from varda_chat.memory.records import Removed, Statement

_SHOWN = 20
"""Ids that a question names."""

reading_option = click.option(
    "--as",
    "reading",
    type=click.Choice(["id", "text"]),
    help="Take digits for an id or for text.  [default: an id, unless no memory has it and some contain it]",
)
"""For commands that take an ID or TEXT."""


def matches(statements: Sequence[Statement | Removed], what: str) -> tuple[set[int], bool]:
    """The ids of the statements that hold ``what`` as whole words; where there are none, of those that hold it within
    a word, and True. Case, white space and the form of accents do not count."""
    wanted = folded(what)
    held = {each.id for each in statements if wanted and wanted in folded(each.text)}
    within = set(within_words(statements, what))
    return held - within or held, bool(held) and held == within


def id_meant(
    statements: Sequence[Statement | Removed], what: str, reading: str | None, others: Collection[int] = ()
) -> int | None:
    """The id that ``what`` is; None where it is text. ``reading``: "id", "text", or None where the person has not said
    which; ``others``: ids that were given to memories beside ``statements``. Digits are an id, unless no memory has it
    and some contain them. Raises VardaError for digits that are the id of one memory and part of another's text."""
    if reading == "text" or (reading is None and not _may_be_id(what)):
        return None
    number = int(ID.convert(what, None, click.get_current_context()))
    if reading == "id":
        return number
    containing = [each.id for each in statements if each.id != number and _as_words(what).search(each.text)]
    if not containing:
        return number
    if number in others or any(each.id == number for each in statements):
        named = ", ".join(map(str, containing[:_SHOWN]))
        raise VardaError(
            f"{what} is the id of a memory, and the text of {named} contains it. Add --as id or --as text."
        )
    return None


def _may_be_id(what: str) -> bool:
    return what.isdecimal() and not what.startswith("0") and len(what) < len(str(MAX_ID))


def _as_words(wanted: str) -> re.Pattern[str]:
    """Finds ``wanted`` where it does not begin or end within a word."""
    return re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)")


def within_words(statements: Sequence[Statement | Removed], what: str) -> list[int]:
    """The ids of the statements that hold ``what``, but nowhere as whole words."""
    wanted = folded(what)
    whole = _as_words(wanted)
    texts = ((each.id, folded(each.text)) for each in statements)
    return [statement_id for statement_id, text in texts if wanted and wanted in text and not whole.search(text)]


def confirm_within_words(what: str, ids: Sequence[int], as_json: bool) -> None:
    """Ask, whatever --yes says, before statements go that hold ``what`` only within a word. Raises VardaError where
    nobody agrees."""
    named = ", ".join(map(str, ids[:_SHOWN])) + (", ..." if len(ids) > _SHOWN else "")
    found = f"{one_line(what, 60)!r} stands only within words"
    refused = VardaError(f"Nothing was forgotten: {found} there. Give the whole word, or forget by id: {named}.")
    if as_json:
        raise refused
    try:
        agreed = click.confirm(f"{found} in {named}. Forget it all the same?")
    except click.Abort:
        agreed = False
    if not agreed:
        raise refused
