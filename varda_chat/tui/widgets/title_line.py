"""The top line: the name, and at the right the keys, or the memory's size where its panel is folded away."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from varda_chat.text import one_line
from varda_chat.tui.bindings import shown
from varda_chat.tui.state import MemoryView, PanelPlace

_LEAST_NAME_CELLS = 12
_DOT = "  ·  "
_GAP = 2
"""The least cells between the left and the right."""
_KEYS = (("help", "help"), ("panel", "memory"), ("quit", "quit"))


class TitleLine(Static):
    """What stands at the right depends on where the memory panel is."""

    memory: reactive[MemoryView] = reactive(MemoryView())
    panel: reactive[PanelPlace] = reactive(PanelPlace.BESIDE)
    session_name: reactive[str] = reactive("")

    def render(self) -> Content:
        name = Content.assemble(("✦ ", "$accent bold"), ("Varda", "bold"))
        if self.panel is PanelPlace.OVER:
            right = Content.assemble((shown(self.app, "panel"), "$foreground"), (" back to the chat", "$quiet"))
        elif self.panel is PanelPlace.BESIDE:
            right = Content.assemble(
                *(
                    part
                    for key, does in _KEYS
                    for part in ((f"  {shown(self.app, key)}", "$foreground"), (f" {does}", "$quiet"))
                )
            )
        elif self.memory.capacity:
            right = Content.assemble((f"{self.memory.memories:,}", "$accent"), (" in memory", "$quiet"))
        else:
            right = Content.styled(f"{shown(self.app, 'help')} help", "$quiet")
        room = self.content_size.width - name.cell_length - len(_DOT) - _GAP - right.cell_length
        if self.session_name and room >= _LEAST_NAME_CELLS:
            session = Content(one_line(self.session_name, 60)).truncate(min(room, 60), ellipsis=True)
            name += Content.assemble((_DOT, "$quiet"), session.stylize("$text-muted"))
        gap = self.content_size.width - name.cell_length - right.cell_length
        return name if gap < _GAP else Content.assemble(name, " " * gap, right)
