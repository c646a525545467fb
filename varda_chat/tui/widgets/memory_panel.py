"""The memory at work: how full it is, what the last answer recalled, what was stored and deleted of late."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from varda_chat.sanitize import one_line
from varda_chat.tui.formatting import ago, bar
from varda_chat.tui.state import MemoryView

if TYPE_CHECKING:
    from varda_chat.session import MemoryEvent, Recalled, Turn

_REFRESH_SECONDS = 20
_RECALLED_SHOWN = 5
_WEIGHT_CELLS = 40


class Gauge(Static):
    """Size against capacity, in figures and as a bar."""

    memory: reactive[MemoryView] = reactive(MemoryView(), layout=True)

    def render(self) -> Content:
        size, capacity = self.memory.size, self.memory.capacity
        if not capacity:
            return Content.styled("not loaded yet", "$quiet italic")
        share = size / capacity
        percent = "full" if size >= capacity else f"{share:.1%}"
        figures = Content.assemble((f"{size:,}", "$accent bold"), (f" of {capacity:,} vectors", "$quiet"))
        width = self.content_size.width
        gap = " " * max(1, width - figures.cell_length - len(percent))
        filled, rest = bar(share, width)
        return Content.assemble(figures, gap, (percent, "$quiet"), "\n", (filled, "$accent"), (rest, "$line"))


class WeightBar(Static):
    """A weight, 0..1, as a bar and in percent."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self._weight = min(1.0, max(0.0, weight))

    def render(self) -> Content:
        filled, rest = bar(self._weight, min(_WEIGHT_CELLS, max(1, self.content_size.width - 5)))
        return Content.assemble((filled, "$accent"), (rest, "$line"), (f"{self._weight:5.0%}", "$quiet"))


class RecalledRow(Vertical):
    """A statement that was read for the answer, with its weight."""

    def __init__(self, recalled: Recalled) -> None:
        super().__init__()
        self._text = one_line(recalled.text)
        self._weight = recalled.weight

    def compose(self) -> ComposeResult:
        yield Static(Content(self._text), classes="words")
        yield WeightBar(self._weight)


class EventRow(Horizontal):
    """A store (green +) or a delete (red −): its words, and how long ago."""

    def __init__(self, event: MemoryEvent, clock: Callable[[], float], *, fresh: bool) -> None:
        stored = event.kind == "stored"
        super().__init__(classes=f"{'-stored' if stored else '-deleted'}{' -fresh' if fresh else ''}")
        self._sign = "+" if stored else "−"
        self._text = one_line(event.text)
        self._at = event.at
        self._clock = clock

    def compose(self) -> ComposeResult:
        yield Static(self._sign, classes="sign", markup=False)
        yield Static(Content(self._text), classes="words")
        yield Static(self._age(), classes="age", markup=False)

    def tell_time(self) -> None:
        """Say anew how long ago it was."""
        self.query_one(".age", Static).update(self._age())

    def _age(self) -> str:
        return ago(self._at, self._clock())


class MemoryPanel(VerticalScroll, can_focus=False):
    """Beside the conversation. It shows only what has been made durable."""

    memory: reactive[MemoryView] = reactive(MemoryView())

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock

    def compose(self) -> ComposeResult:
        yield Static("MEMORY", classes="heading", markup=False)
        yield Gauge().data_bind(MemoryPanel.memory)
        yield Static("RECALLED FOR THIS ANSWER", classes="heading", markup=False)
        yield Vertical(_quiet("nothing yet"), id="recalled")
        yield Static("RECENTLY STORED AND DELETED", classes="heading", markup=False)
        yield Vertical(_quiet("nothing yet"), id="events")

    def on_mount(self) -> None:
        self.set_interval(_REFRESH_SECONDS, self._tell_time)

    async def show(self, memory: MemoryView, turn: Turn | None = None) -> None:
        """Show the memory as it is after ``turn`` (None: as it was found)."""
        self.memory = memory
        fresh: set[tuple[str, int]] = set()
        if turn is not None:
            fresh = {("stored", s.id) for s in turn.stored} | {("deleted", d.id) for d in turn.deleted}
            await self._fill("#recalled", _recalled_rows(turn))
        rows: list[Widget] = [
            EventRow(event, self._clock, fresh=(event.kind, event.id) in fresh) for event in memory.events
        ]
        await self._fill("#events", rows or [_quiet("Tell me something worth keeping.")])
        if turn is not None:
            self.scroll_home(animate=False)

    async def _fill(self, selector: str, rows: list[Widget]) -> None:
        section = self.query_one(selector)
        with self.app.batch_update():
            await section.remove_children()
            await section.mount_all(rows)

    def _tell_time(self) -> None:
        for row in self.query(EventRow):
            row.tell_time()


def _quiet(text: str) -> Static:
    return Static(text, classes="quiet", markup=False)


def _recalled_rows(turn: Turn) -> list[Widget]:
    strongest = sorted(turn.recalled, key=lambda recalled: recalled.weight, reverse=True)
    rows: list[Widget] = [RecalledRow(recalled) for recalled in strongest[:_RECALLED_SHOWN]]
    if len(strongest) > _RECALLED_SHOWN:
        rows.append(_quiet(f"and {len(strongest) - _RECALLED_SHOWN} more"))
    return rows or [_quiet("nothing")]
