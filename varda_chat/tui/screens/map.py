"""The map of the memory: what the model finds alike lies together. Brings statements to two dimensions by PCA."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from varda_chat.tui import bindings
from varda_chat.tui.controllers.asking import ask
from varda_chat.tui.controllers.browsing import Entry, entries_of
from varda_chat.tui.controllers.mapping import project
from varda_chat.tui.controllers.session_host import SessionHost
from varda_chat.tui.screens.statement import StatementScreen
from varda_chat.tui.widgets.browser_lines import Detail, HeadLine, KeyLine
from varda_chat.tui.widgets.memory_map import Chart, MemoryMap

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession

MOST = 2000
"""At most so many statements are drawn."""
_HINTS = (
    ("points.open", "open"), ("points.nearer", "nearer"), ("points.farther", "farther"), ("points.next", "next here"),
    ("points.all", "all of it"), ("map.back", "back"),
)  # fmt: skip
_LEGEND = Content.assemble(
    ("•", "$primary"), (" you  ", "$quiet"), ("•", "$accent"), (" Varda  ", "$quiet"), ("◆", "$foreground"),
    (" pinned", "$quiet"),
)  # fmt: skip


class MapScreen(Screen[bool]):
    """Answers whether the memory was changed."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (64, "-wide")]  # noqa: RUF012 - Textual's own declaration
    VERTICAL_BREAKPOINTS = [(0, "-short"), (18, "-tall")]  # noqa: RUF012 - Textual's own declaration
    BINDINGS = [Binding("escape,m,q", "back", "Back", id="map.back")]  # noqa: RUF012 - Textual's own declaration

    def __init__(self, host: SessionHost, clock: Callable[[], float], ids: Iterable[int] | None = None) -> None:
        """``ids``: of the statements to draw; None for all."""
        super().__init__()
        self._host = host
        self._clock = clock
        self._ids = None if ids is None else frozenset(ids)
        self._chart: Chart | None = None
        self._changed = False

    def compose(self) -> ComposeResult:
        yield HeadLine("Map of the memory")
        yield MemoryMap()
        yield Detail(self._clock)
        yield Static("Drawing the map …", id="axes", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(HeadLine).right = _LEGEND
        walk = " ".join(
            bindings.shown(self.app, f"points.{direction}") for direction in ("left", "up", "down", "right")
        )
        hints = ((bindings.shown(self.app, binding), does) for binding, does in _HINTS)
        self.query_one(KeyLine).keys = ((walk, "walk"), *hints)
        self.query_one(MemoryMap).focus()

    def on_screen_resume(self) -> None:
        """Whatever happened meanwhile, show the memory as it is now."""
        self._load()

    @work(group="load", exclusive=True, exit_on_error=False)
    async def _load(self) -> None:
        chart = await ask(self, self._host, partial(chart_of, self._ids), "drawing the map", wait=False)
        if chart is not None:
            self._chart = chart
            self.query_one(MemoryMap).show(chart)

    @on(MemoryMap.Selected)
    def _show_state(self, event: MemoryMap.Selected) -> None:
        self.query_one(Detail).entry = event.entry
        if self._chart is not None:
            here, nearer = self.query_one(MemoryMap).here, self.query_one(MemoryMap).times
            self.query_one("#axes", Static).update(state_of(self._chart, len(here), nearer))

    @on(MemoryMap.Opened)
    def _open(self, event: MemoryMap.Opened) -> None:
        self._open_statement(event.entry)

    @work(group="dialog", exit_on_error=False)
    async def _open_statement(self, entry: Entry) -> None:
        screen = StatementScreen(self._host, entry.statement.id, entry.statement.text, self._clock)
        self._changed = await self.app.push_screen_wait(screen) or self._changed

    def action_back(self) -> None:
        """Leave the map."""
        self.dismiss(self._changed)


def chart_of(ids: frozenset[int] | None, session: ChatSession) -> Chart:
    """The statements of these ids (None: all) that the model can find, the pinned, the most recalled and the newest
    first, and where they are; at most MOST."""
    wanted = [each for each in session.memory.statements() if ids is None or each.id in ids]
    best = sorted(wanted, key=lambda each: (-each.pinned, -each.recall_count, -each.id))[:MOST]
    found, means = session.memory.means([each.id for each in best])
    rows = {int(id_): row for row, id_ in enumerate(found)}
    drawn = [each for each in best if each.id in rows]
    return Chart(entries_of(drawn), project(means[[rows[each.id] for each in drawn]]), len(wanted))


def state_of(chart: Chart, here: int, times: float) -> Content:
    """What the map shows, in one line."""
    drawn = len(chart.entries)
    if not drawn:
        return Content.styled("There is nothing to draw yet: Varda remembers nothing of the kind.", "$quiet italic")
    parts = [f"The axes show {chart.projection.share:.0%} of the differences."]
    if here > 1:
        parts.insert(0, f"{here} lie here.")
    if drawn < chart.total:
        which = f"The {drawn:,} most recalled and newest" if drawn == MOST else f"{drawn:,}"
        parts.append(f"{which} of {chart.total:,} are drawn.")
    if times > 1:
        parts.append(f"{times:.0f} times as near.")
    return Content.styled("  ".join(parts), "$quiet")
