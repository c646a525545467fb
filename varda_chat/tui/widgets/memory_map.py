"""Statements as points of a map, with names: the arrow keys walk from point to point, + and - change the scale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

from varda_chat.tui.controllers.browsing import Entry
from varda_chat.tui.controllers.mapping import Layout, Projection, lay_out, name_of, neighbour, together, zoomed

_NAME_CELLS, _LEAST_NAME_CELLS = 26, 8
_MANY = 4
"""Points in one cell from which on it is drawn as many."""
_NEAREST = 64
_SELECTED = "$block-cursor-foreground bold on $block-cursor-background"
Segment = tuple[int, str, str]
"""A column, what is drawn from there on, and its style."""


@dataclass(frozen=True)
class Chart:
    """The statements of a map and where they are. ``total``: how many it could have shown."""

    entries: Sequence[Entry]
    projection: Projection
    total: int


class MemoryMap(Widget, can_focus=True):
    """Near statements are near each other. ``selected``: the place of one in the chart's entries."""

    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("left,h", "walk('left')", "Nearest to the left", id="points.left"),
        Binding("right,l", "walk('right')", "Nearest to the right", id="points.right"),
        Binding("up,k", "walk('up')", "Nearest above", id="points.up"),
        Binding("down,j", "walk('down')", "Nearest below", id="points.down"),
        Binding("tab,n", "next_here(1)", "Next in the same place", id="points.next"),
        Binding("shift+tab", "next_here(-1)", "The one before, in the same place", id="points.previous"),
        Binding("plus,equals_sign", "zoom(2)", "Nearer", id="points.nearer"),
        Binding("minus", "zoom(0.5)", "Farther", id="points.farther"),
        Binding("0", "zoom(0)", "All of it", id="points.all"),
        Binding("enter,space", "open", "Open", id="points.open"),
    ]
    ALLOW_SELECT = False

    selected: reactive[int | None] = reactive(None)

    @dataclass
    class Selected(Message):
        """Another point is selected, or the map is drawn another way."""

        entry: Entry | None

    @dataclass
    class Opened(Message):
        """The person opens a memory."""

        entry: Entry

    def __init__(self) -> None:
        super().__init__()
        self.chart: Chart | None = None
        self._layout: Layout | None = None
        self._rows: list[list[Segment]] = []
        self.times = 1.0

    @property
    def entry(self) -> Entry | None:
        """What is selected."""
        return None if self.chart is None or self.selected is None else self.chart.entries[self.selected]

    @property
    def drawn(self) -> Layout | None:
        """The map as it is drawn; None while there is nothing to draw."""
        return self._layout

    @property
    def here(self) -> list[int]:
        """The points in the selected one's cell."""
        if self._layout is None or self.selected is None:
            return []
        return together(self._layout, self.selected)

    def show(self, chart: Chart) -> None:
        """Show ``chart``, with the same statement selected as before, or else the first."""
        before = self.entry
        self.chart = chart
        ids = [each.statement.id for each in chart.entries]
        place = ids.index(before.statement.id) if before is not None and before.statement.id in ids else 0
        self.set_reactive(MemoryMap.selected, place if ids else None)
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    # walking

    def watch_selected(self) -> None:
        if self._layout is not None and self.selected is not None and not self._layout.is_inside(self.selected):
            self._draw()
        else:
            self._note()

    def action_walk(self, direction: str) -> None:
        """Go to the nearest point in that direction."""
        if self._layout is not None and self.selected is not None:
            found = neighbour(self._layout, self.selected, direction)
            self.selected = self.selected if found is None else found

    def action_next_here(self, steps: int) -> None:
        """Go to another point in the same cell."""
        here = self.here
        if self.selected is not None and here:
            self.selected = here[(here.index(self.selected) + steps) % len(here)]

    def action_zoom(self, times: float) -> None:
        """Come nearer to what is selected, or go away; 0 shows all."""
        self.times = min(_NEAREST, max(1.0, self.times * times))
        self._draw()

    def action_open(self) -> None:
        """Open what is selected."""
        if self.entry is not None:
            self.post_message(self.Opened(self.entry))

    def on_click(self, event: events.Click) -> None:
        """A click selects the nearest point; a second one opens it."""
        layout = self._layout
        if layout is None or self.selected is None or event.get_content_offset(self) is None:
            return
        away = abs(layout.cells - (event.x, event.y)) * (1, 2)
        nearest = int(away.sum(axis=1).argmin())
        if event.chain > 1:
            self.action_open()
        elif nearest not in self.here:
            self.selected = nearest

    # drawing

    def _draw(self) -> None:
        """Lay the map out for the size that there is."""
        width, height = self.content_size
        self._layout = None
        if self.chart is not None and self.selected is not None and width > 0 and height > 0:
            entries, projection = self.chart.entries, self.chart.projection
            window = projection.window
            if self.times > 1:
                window = zoomed(window, projection.places[self.selected].tolist(), self.times)
            most = max(_LEAST_NAME_CELLS, min(width // 3, max(_NAME_CELLS, width // 5)))
            names = [name_of(each.statement.text, most) for each in entries]
            self._layout = lay_out(projection, names, range(len(entries)), width, height, window)
            self._rows = self._segments(self._layout)
        self._note()

    def _note(self) -> None:
        self.refresh()
        self.post_message(self.Selected(self.entry))

    def _segments(self, layout: Layout) -> list[list[Segment]]:
        """What stands in each row: the points, and the names over those that they hide."""
        assert self.chart is not None
        rows: list[list[Segment]] = [[] for _ in range(layout.height)]
        for label in layout.labels:
            statement = self.chart.entries[label.point].statement
            rows[label.y].append((label.x, label.text, "$foreground" if statement.pinned else "$text-muted"))
        cells = [(x, y) for x, y in layout.cells.tolist()]
        counts = Counter(cells)
        drawn: set[tuple[int, int]] = set()
        for entry, (x, y), point in zip(self.chart.entries, cells, range(len(cells)), strict=True):
            if (x, y) in drawn or not layout.is_inside(point) or any(_covers(each, x) for each in rows[y]):
                continue
            drawn.add((x, y))
            sign = "◆" if entry.statement.pinned else "●" if counts[x, y] >= _MANY else "•"
            rows[y].append((x, sign, "$primary" if entry.is_yours else "$accent"))
        return [sorted(row) for row in rows]

    def render_line(self, y: int) -> Strip:
        width, style = self.content_size.width, self.get_visual_style()
        if self._layout is None or self.chart is None or width < 1 or y >= len(self._rows):
            return Strip.blank(max(0, width), self.rich_style)
        line = Content("")
        for x, text, colour in [*self._with_selected(y), (width, "", "")]:
            line = Content.assemble(line, self._ground(y, line.cell_length, x), (text, colour) if text else "")
        return Visual.to_strips(self, line, width, 1, style, pad=True)[0]

    def _with_selected(self, y: int) -> list[Segment]:
        """The row with the selected point and its name, on the side where it stood, over whatever else is there."""
        layout, row = self._layout, self._rows[y]
        if layout is None or self.entry is None or self.selected is None:
            return row
        own = next((label for label in layout.labels if label.point == self.selected), None)
        if own is not None and own.y == y:
            row = [each for each in row if each[0] != own.x]
        x, own_y = layout.cells[self.selected].tolist()
        if y != own_y or not layout.is_inside(self.selected):
            return row
        rooms = {"left": x - 1, "right": layout.width - x - 2}
        name = name_of(self.entry.statement.text, max(1, min(2 * _NAME_CELLS, max(rooms.values()))))
        size = cell_len(name)
        stood_left = own is not None and own.y == y and own.x < x
        left = rooms["left"] >= size and (stood_left or rooms["right"] < size)
        over: list[Segment] = [(x, "◆" if self.entry.statement.pinned else "●", _SELECTED)]
        over.append((x - 1 - size, f"{name} ", _SELECTED) if left else (x + 1, f" {name}", _SELECTED))
        start, end = min(each[0] for each in over), max(each[0] + cell_len(each[1]) for each in over)
        kept = [each for each in row if each[0] >= end or each[0] + cell_len(each[1]) <= start]
        return sorted([*kept, *over])

    def _ground(self, y: int, start: int, end: int) -> Content:
        """What lies under the points from one column to another: the axes, faint."""
        assert self._layout is not None
        x0, y0 = self._layout.origin
        across, crossing = ("─", "┼") if y == y0 else (" ", "│")
        cells = [crossing if column == x0 else across for column in range(start, end)]
        return Content.styled("".join(cells), "$line")


def _covers(segment: Segment, x: int) -> bool:
    return segment[0] <= x < segment[0] + cell_len(segment[1])
