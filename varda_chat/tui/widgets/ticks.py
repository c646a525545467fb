"""Tick boxes that are read without colour: [x] and [ ]."""

from __future__ import annotations

from rich.segment import Segment
from textual.content import Content
from textual.strip import Strip
from textual.widgets import Checkbox, SelectionList

_BOX_SEGMENTS = 3
"""Textual draws a box as its left side, what is in it and its right side."""


class TickList(SelectionList[int]):
    """A list to mark entries in."""

    def render_line(self, y: int) -> Strip:
        line = super().render_line(y)
        segments = list(line)
        style = segments[1].style if len(segments) > _BOX_SEGMENTS else None
        option = style.meta.get("option") if style is not None else None
        if style is None or option is None:
            return line
        ticked = self.get_option_at_index(option).value in self.selected
        return Strip([Segment(box(ticked), style), *segments[_BOX_SEGMENTS:]])


class Tick(Checkbox):
    """One box with its label."""

    @property
    def _button(self) -> Content:
        return Content.styled(box(self.value), self.get_visual_style("toggle--button"))


def box(ticked: bool) -> str:
    """A tick box, ticked or not."""
    return "[x]" if ticked else "[ ]"
