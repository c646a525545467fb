"""The lines around a list of statements: what is chosen, what the highlighted one is, which keys there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Input, Static

from varda_chat.text import one_line
from varda_chat.tui.bindings import shown
from varda_chat.tui.controllers.browsing import Age, Entry, Order, Role, Wanted, Which
from varda_chat.tui.formatting import ago

_TEXT_CHARACTERS = 1000
Keys = Sequence[tuple[str, str]]


class SearchField(Input):
    """What is pasted passes the same door as all text from outside."""

    def _on_paste(self, event: events.Paste) -> None:
        event.text = one_line(event.text, _TEXT_CHARACTERS)
        super()._on_paste(event)


class HeadLine(Static):
    """A title at the left, and at the right how it stands."""

    right: reactive[Content] = reactive(Content(""))

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = Content.assemble(("✦ ", "$accent bold"), (title, "bold"))

    def render(self) -> Content:
        gap = self.content_size.width - self._title.cell_length - self.right.cell_length
        return self._title if gap < 2 else Content.assemble(self._title, " " * gap, self.right)


class Chip(Static):
    """One choice with its key; a click takes the next."""

    @dataclass
    class Pressed(Message):
        """The person wants the next choice of this kind."""

        kind: type[Enum]

    def __init__(self, binding_id: str, kind: type[Which] | type[Role] | type[Age] | type[Order]) -> None:
        super().__init__(classes="chip")
        self._binding_id = binding_id
        self._kind = kind

    def show(self, wanted: Wanted, *, by_meaning: bool) -> None:
        """Show what is chosen; an order by meaning is not the person's."""
        choice: Enum = {
            Which: wanted.which,
            Role: wanted.role,
            Age: wanted.age,
            Order: wanted.order,
        }[self._kind]
        if by_meaning and self._kind is Order:
            text, style = "best match", "$quiet"
        else:
            text, style = str(choice.value), "$quiet" if choice is next(iter(self._kind)) else "$accent"
        self.update(Content.assemble((f"{shown(self.app, self._binding_id)} ", "$foreground"), (text, style)))

    def on_click(self) -> None:
        self.post_message(self.Pressed(self._kind))


class Detail(Static):
    """The statement that is highlighted: all of its words, as far as there is room, and what is known of it."""

    entry: reactive[Entry | None] = reactive(None)

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock

    def render(self) -> Content:
        if self.entry is None:
            return Content("")
        return Content.assemble(details_line(self.entry, self._clock()), "\n", words_of(self.entry))


def details_line(entry: Entry, now: float) -> Content:
    """Who said it and when, how often it was recalled, and whether it is pinned."""
    statement = entry.statement
    who = ("you", "$primary bold") if entry.is_yours else ("Varda", "$accent bold")
    if entry.deleted:
        return Content.assemble(who, (f"  deleted {ago(statement.created_at, now)}", "$quiet"))
    times = {0: "never recalled", 1: "recalled once"}.get(
        statement.recall_count, f"recalled {statement.recall_count:,} times"
    )
    details = Content.assemble(who, (f"  {ago(statement.created_at, now)}  ·  {times}", "$quiet"))
    if statement.pinned:
        details += Content.assemble(("  ·  ", "$quiet"), ("◆ pinned", "$accent"))
    if not statement.vector_count:
        details += Content.styled("  ·  not read by the model yet", "$warning")
    return details


def words_of(entry: Entry) -> Content:
    """All of its words on one line, up to a bound."""
    return Content(one_line(entry.statement.text, _TEXT_CHARACTERS))


class KeyLine(Static):
    """Keys and what they do, the first the most important: as many as there is room for, and always the last."""

    keys: reactive[Keys] = reactive(())

    def render(self) -> Content:
        if not self.keys:
            return Content("")
        parts = [Content.assemble((key, "$foreground"), (f" {does}", "$quiet")) for key, does in self.keys]
        last = parts.pop()
        room = self.content_size.width - last.cell_length
        line = Content("")
        for part in parts:
            room -= part.cell_length + 2
            if room < 0:
                break
            line = Content.assemble(line, part, "  ")
        return line + last
