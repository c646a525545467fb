"""The memory at work: how full it is, what the last answer recalled, what was stored and deleted of late. Each row can
be hovered over for all of its words, and opened."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive, var
from textual.widget import Widget
from textual.widgets import Static

from varda_chat.text import one_line, sanitize
from varda_chat.tui.bindings import shown
from varda_chat.tui.formatting import ago, bar, spark
from varda_chat.tui.state import MemoryView

if TYPE_CHECKING:
    from varda_chat.memory.records import MemoryEvent
    from varda_chat.session.turn import Recalled, Turn

_REFRESH_SECONDS = 20
_RECALLED_SHOWN = 5
_WEIGHT_CELLS = 40
_TOOLTIP_CHARACTERS = 600
_RECALLED_LINES, _EVENT_LINES = 3, 2
_LEAST_CUT = 0.6
"""A line is cut at a space only where at least this share of it stays."""


class Gauge(Static):
    """How many memories there are, and as a bar how full the memory is."""

    memory: reactive[MemoryView] = reactive(MemoryView(), layout=True)

    def render(self) -> Content:
        count, size, capacity = self.memory.memories, self.memory.size, self.memory.capacity
        if not capacity:
            return Content.styled("not loaded yet", "$quiet italic")
        share = size / capacity
        percent = "full" if size >= capacity else f"{share:.1%} full"
        unit = "memory" if count == 1 else "memories"
        figures = Content.assemble((f"{count:,}", "$accent bold"), (f" {unit}", "$quiet"))
        width = self.content_size.width
        gap = " " * max(1, width - figures.cell_length - len(percent))
        filled, rest = bar(share, width)
        return Content.assemble(figures, gap, (percent, "$quiet"), "\n", (filled, "$accent"), (rest, "$line"))


class History(Static):
    """How the memory has grown and shrunk over the last turns, as a sparkline."""

    memory: reactive[MemoryView] = reactive(MemoryView(), layout=True)

    def render(self) -> Content:
        turns = len(self.memory.sizes)
        sizes = self.memory.sizes
        if sizes and sizes[-1] != self.memory.size:
            sizes = (*sizes, self.memory.size)  # changed since the last turn, by an undo, say
        if len(sizes) < 2:
            return Content("")
        label = f" {turns} turns"
        room = max(2, self.content_size.width - len(label))
        if len(sizes) > room:
            sizes, label = sizes[-room:], f" {room} turns"
        return Content.assemble((spark(sizes), "$accent"), (label, "$quiet"))

    def watch_memory(self) -> None:
        self.display = len(self.memory.sizes) > 1


class Words(Static):
    """A statement's words on a few lines; an ellipsis stands for those that have no room."""

    def __init__(self, text: str, lines: int) -> None:
        self._words = Content(one_line(text))
        super().__init__(self._words, classes="words")
        self._lines = lines
        self.styles.max_height = lines

    def render(self) -> Content:
        return shortened(self._words, self.content_size.width, self._lines)


def shortened(words: Content, width: int, lines: int) -> Content:
    """As much of ``words`` as stands on so many lines of ``width`` cells, with an ellipsis where that is not all."""
    wrapped = words.wrap(width) if width > 0 else []
    if len(wrapped) <= lines:
        return words
    last = wrapped[lines - 1].rstrip()
    if last.cell_length >= width:
        last = last.truncate(width - 1)
        space = last.plain.rfind(" ")
        last = (last[:space] if space >= _LEAST_CUT * len(last) else last).rstrip()
    return Content("\n").join([*wrapped[: lines - 1], last + Content("…")])


class StatementRow:
    """A row about a statement: ``open`` it by Enter or a click. Mixed into a widget."""

    ROW_BINDINGS = (
        Binding("enter,space", "open_statement", "Open the memory", id="row.open"),
        Binding("up,k", "app.focus_previous", "Earlier", show=False, id="row.earlier"),
        Binding("down,j", "app.focus_next", "Later", show=False, id="row.later"),
    )

    @dataclass
    class Opened(Message):
        """The person opens a memory; ``text`` is what is known of it here."""

        statement_id: int
        text: str
        kind: str


class WeightBar(Static):
    """A weight, 0..1, as a bar and in percent."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self._weight = min(1.0, max(0.0, weight))

    def render(self) -> Content:
        filled, rest = bar(self._weight, min(_WEIGHT_CELLS, max(1, self.content_size.width - 5)))
        return Content.assemble((filled, "$accent"), (rest, "$line"), (f"{self._weight:5.0%}", "$quiet"))


class RecalledRow(Vertical, StatementRow, can_focus=True):
    """A statement that was read for the answer, with its weight."""

    FOCUS_ON_CLICK = False
    BINDINGS = list(StatementRow.ROW_BINDINGS)  # noqa: RUF012 - Textual's own declaration

    def __init__(self, recalled: Recalled) -> None:
        super().__init__()
        self._recalled = recalled
        self.tooltip = _all_words(recalled.text)

    def compose(self) -> ComposeResult:
        yield Words(self._recalled.text, _RECALLED_LINES)
        yield WeightBar(self._recalled.weight)

    def on_click(self) -> None:
        self.action_open_statement()

    def action_open_statement(self) -> None:
        """Open it."""
        self.post_message(self.Opened(self._recalled.id, self._recalled.text, "recalled"))


class EventRow(Horizontal, StatementRow, can_focus=True):
    """A store (green +) or a delete (red −): its words, and how long ago."""

    FOCUS_ON_CLICK = False
    BINDINGS = list(StatementRow.ROW_BINDINGS)  # noqa: RUF012 - Textual's own declaration

    def __init__(self, event: MemoryEvent, clock: Callable[[], float], *, fresh: bool) -> None:
        stored = event.kind == "stored"
        super().__init__(classes=f"{'-stored' if stored else '-deleted'}{' -fresh' if fresh else ''}")
        self._sign = "+" if stored else "−"
        self.event = event
        self._clock = clock
        self._told = ""
        self.tooltip = _all_words(event.text)

    def compose(self) -> ComposeResult:
        yield Static(self._sign, classes="sign", markup=False)
        yield Words(self.event.text, _EVENT_LINES)
        self._told = ago(self.event.at, self._clock())
        yield Static(self._told, classes="age", markup=False)

    def on_click(self) -> None:
        self.action_open_statement()

    def action_open_statement(self) -> None:
        """Open it."""
        self.post_message(self.Opened(self.event.id, self.event.text, self.event.kind))

    def tell_time(self) -> None:
        """Update how long ago it was."""
        age = ago(self.event.at, self._clock())
        if age != self._told:
            self._told = age
            self.query_one(".age", Static).update(age)


class MemoryPanel(VerticalScroll, can_focus=False):
    """Beside the conversation. It shows only what has been made durable."""

    memory: var[MemoryView] = var(MemoryView())

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock

    def compose(self) -> ComposeResult:
        yield Static("MEMORY", classes="heading", markup=False)
        yield Gauge().data_bind(MemoryPanel.memory)
        yield History().data_bind(MemoryPanel.memory)
        yield Static("RECALLED FOR THIS ANSWER", classes="heading", markup=False)
        yield Vertical(_quiet("nothing yet"), id="recalled")
        yield Static("RECENTLY STORED AND DELETED", classes="heading", markup=False)
        yield Vertical(_quiet("nothing yet"), id="events")
        keys = Static(classes="keys")
        keys.display = False  # while there is nothing to walk to
        yield keys

    def on_mount(self) -> None:
        self.show_keys()
        self.set_interval(_REFRESH_SECONDS, self.tell_time)

    def show_keys(self) -> None:
        """Name the keys as they are now."""
        hints = ((shown(self.app, "undo"), "undo"), ("Tab", "walk"), (shown(self.app, "row.open"), "open"))
        self.query_one(".keys", Static).update(
            Content("  ").join(Content.assemble((key, "$foreground"), (f" {does}", "$quiet")) for key, does in hints)
        )

    async def show(self, memory: MemoryView, turn: Turn | None = None) -> None:
        """Show the memory as it is after ``turn`` (None: as it was found)."""
        self.memory = memory
        self.query_one(".keys").display = bool(memory.events)
        fresh: set[tuple[str, int]] = set()
        if turn is not None:
            fresh = {("stored", s.id) for s in turn.stored} | {("deleted", d.id) for d in turn.deleted}
            await self._fill("#recalled", _recalled_rows(turn))
        await self._show_events(memory.events, fresh)
        if turn is not None:
            self.scroll_home(animate=False)

    async def _show_events(self, events: tuple[MemoryEvent, ...], fresh: set[tuple[str, int]]) -> None:
        """Show ``events``, newest first; rows that are there already stay, and new ones come above them."""
        rows = list(self.query(EventRow))
        shown = [row.event for row in rows]
        new = next((n for n in range(len(events)) if list(events[n:]) == shown[: len(events) - n]), len(events))
        stay = rows[: len(events) - new]
        if not stay:
            added = [self._event_row(event, fresh) for event in events]
            await self._fill("#events", added or [_quiet("Tell me something worth keeping.")])
            return
        for row in stay:
            row.set_class((row.event.kind, row.event.id) in fresh, "-fresh")
            row.tell_time()
        section = self.query_one("#events")
        with self.app.batch_update():
            await section.remove_children(rows[len(stay) :])
            await section.mount_all([self._event_row(event, fresh) for event in events[:new]], before=stay[0])

    def _event_row(self, event: MemoryEvent, fresh: set[tuple[str, int]]) -> Widget:
        return EventRow(event, self._clock, fresh=(event.kind, event.id) in fresh)

    async def _fill(self, selector: str, rows: list[Widget]) -> None:
        section = self.query_one(selector)
        with self.app.batch_update():
            await section.remove_children()
            await section.mount_all(rows)

    def tell_time(self) -> None:
        """Say how long ago each event was."""
        for row in self.query(EventRow):
            row.tell_time()


def _all_words(text: str) -> Content:
    clean = sanitize(text)
    return Content(clean if len(clean) <= _TOOLTIP_CHARACTERS else clean[: _TOOLTIP_CHARACTERS - 1] + "…")


def _quiet(text: str) -> Static:
    return Static(text, classes="quiet", markup=False)


def _recalled_rows(turn: Turn) -> list[Widget]:
    strongest = sorted(turn.recalled, key=lambda recalled: recalled.weight, reverse=True)
    rows: list[Widget] = [RecalledRow(recalled) for recalled in strongest[:_RECALLED_SHOWN]]
    if len(strongest) > _RECALLED_SHOWN:
        rows.append(_quiet(f"and {len(strongest) - _RECALLED_SHOWN} more"))
    return rows or [_quiet("nothing")]
