"""Which statements hold the words to forget, as whole words or only within others ("ana" in Havana)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import click

from varda_chat.cli.parameters import ID
from varda_chat.errors import VardaError
from varda_chat.text import one_line

if TYPE_CHECKING:
    from varda_chat.memory.records import Removed, Statement

_SHOWN = 20
"""Ids that a question names."""

reading_option = click.option(
    "--as", "reading", type=click.Choice(["id", "text"]), help="What digits are.  [default: an id, if a memory has it]"
)
"""For commands that take an ID or TEXT."""


def matches(statements: Sequence[Statement | Removed], what: str) -> tuple[set[int], bool]:
    """The ids of the statements that hold ``what`` as whole words; where there are none, of those that hold it within
    a word, and True. Case, white space and the form of accents do not count."""
    wanted = _plain(what)
    held = {each.id for each in statements if wanted and wanted in _plain(each.text)}
    within = set(within_words(statements, what))
    return held - within or held, bool(held) and held == within


def id_meant(
    statements: Sequence[Statement | Removed], what: str, reading: str | None, others: Collection[int] = ()
) -> int | None:
    """The id that ``what`` is; None where it is text. ``reading``: "id", "text", or None where the person has not said
    which; ``others``: ids that were given to memories beside ``statements``. Digits are an id, unless no memory has it
    and some hold them. Raises VardaError for digits that are the id of one memory and stand in another: what goes is
    not guessed."""
    if reading == "text" or (reading is None and (not what.isdecimal() or what.startswith("0") or len(what) >= 19)):
        return None
    number = int(ID.convert(what, None, click.get_current_context()))
    whole = re.compile(rf"(?<!\w){what}(?!\w)")
    holding = [each.id for each in statements if each.id != number and whole.search(each.text)]
    if reading == "id" or not holding:
        return number
    if number in others or any(each.id == number for each in statements):
        named = ", ".join(map(str, holding[:_SHOWN]))
        raise VardaError(f"{what} is the id of a memory, and stands in {named}. Add --as id or --as text.")
    return None


def within_words(statements: Sequence[Statement | Removed], what: str) -> list[int]:
    """The ids of the statements that hold ``what``, but nowhere as whole words."""
    wanted = _plain(what)
    whole = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)")
    texts = ((each.id, _plain(each.text)) for each in statements)
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


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
