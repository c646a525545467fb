"""Which statements of a memory are shown, and in what order: pure functions of what a person has chosen."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from varda_chat.memory.records import Removed, Statement

_WEEK = 7 * 24 * 3600.0


class Which(Enum):
    """What is in memory, or what was deleted from it and can be restored."""

    KEPT = "kept"
    DELETED = "deleted"


class Role(Enum):
    """Whose words are shown; the value is what a person reads."""

    ANYONE = "anyone"
    YOU = "only you"
    VARDA = "only Varda"


class Age(Enum):
    """How old what is shown may be."""

    ANY = "any age"
    TODAY = "today"
    WEEK = "last 7 days"
    OLDER = "older"


class Order(Enum):
    """What comes first."""

    NEWEST = "newest"
    OLDEST = "oldest"
    RECALLED = "most recalled"
    WORDS = "A to Z"


Choice = TypeVar("Choice", Which, Role, Age, Order)


def next_choice(choice: Choice) -> Choice:
    """The one after ``choice``, the first after the last."""
    choices = list(type(choice))
    return choices[(choices.index(choice) + 1) % len(choices)]


@dataclass(frozen=True)
class Wanted:
    """What a person wants to see. ``words``: what its text must hold, in any case."""

    words: str = ""
    role: Role = Role.ANYONE
    age: Age = Age.ANY
    which: Which = Which.KEPT
    order: Order = Order.NEWEST


@dataclass(frozen=True)
class Entry:
    """A statement with its words as they are searched. ``match``: its share of what the model reads for the search, 0
    to 1, where one was made by meaning; ``deleted``: it is not in memory any more, and ``created_at`` of the statement
    is when it was deleted."""

    statement: Statement
    folded: str
    match: float | None = None
    deleted: bool = False

    @property
    def is_yours(self) -> bool:
        """Whether the person said it, and not Varda."""
        return self.statement.role == "user"


def entries_of(statements: Sequence[Statement]) -> list[Entry]:
    """The statements, ready to be searched."""
    return [Entry(each, each.text.casefold()) for each in statements]


def entries_of_removed(removed: Sequence[Removed]) -> list[Entry]:
    """What was deleted, in the same form."""
    from varda_chat.memory.records import Statement  # not needed for the first paint

    return [
        Entry(
            Statement(each.id, each.text, each.role, "", each.removed_at, False, each.vector_count, 0),
            each.text.casefold(),
            deleted=True,
        )
        for each in removed
    ]


def shown(
    entries: Sequence[Entry], wanted: Wanted, now: float, matches: Mapping[int, float] | None = None
) -> list[Entry]:
    """Those of ``entries`` that are wanted, in their order; with ``matches`` (id to share), those that the model finds,
    the best match first, whatever their words."""
    oldest, newest = _bounds(wanted.age, now)
    fits = [
        each
        for each in entries
        if oldest <= each.statement.created_at < newest
        and (wanted.role is Role.ANYONE or each.is_yours == (wanted.role is Role.YOU))
    ]
    if matches is not None:
        found = [Entry(each.statement, each.folded, matches[each.statement.id]) for each in fits if _in(each, matches)]
        return sorted(found, key=lambda each: (-(each.match or 0.0), -each.statement.id))
    words = wanted.words.casefold().strip()
    if words:
        fits = [each for each in fits if words in each.folded]
    return _ordered(fits, wanted.order)


def _in(entry: Entry, matches: Mapping[int, float]) -> bool:
    return entry.statement.id in matches


def _ordered(entries: list[Entry], order: Order) -> list[Entry]:
    if order is Order.WORDS:
        return sorted(entries, key=lambda each: (each.folded, each.statement.id))
    if order is Order.OLDEST:
        return sorted(entries, key=_when)
    newest = sorted(entries, key=_when, reverse=True)
    if order is Order.RECALLED:
        return sorted(newest, key=lambda each: -each.statement.recall_count)
    return newest


def _when(entry: Entry) -> tuple[float, int]:
    return entry.statement.created_at, entry.statement.id


def _bounds(age: Age, now: float) -> tuple[float, float]:
    """From when to when (unix seconds) what is of ``age`` was stored."""
    if age is Age.ANY:
        return float("-inf"), float("inf")
    if age is Age.OLDER:
        return float("-inf"), now - _WEEK
    if age is Age.WEEK:
        return now - _WEEK, float("inf")
    day = time.localtime(now)
    return time.mktime((day.tm_year, day.tm_mon, day.tm_mday, 0, 0, 0, 0, 0, -1)), float("inf")
