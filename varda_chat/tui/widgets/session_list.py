"""The saved sessions beside the chat, where the terminal is wide: the one that is going on is marked, Enter resumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual import on
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from varda_chat.text import one_line
from varda_chat.transcripts import SessionInfo
from varda_chat.tui.formatting import ago

SHOWN = 100
_NAME_CELLS = 24
"""What the list (app.tcss) holds beside the mark and the scrollbar."""


class SessionList(OptionList):
    """The last used first."""

    FOCUS_ON_CLICK = False  # a click must not take the cursor away from the composer

    @dataclass
    class Chosen(Message):
        """The person wants to resume a session."""

        session_id: int

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(markup=False)
        self._clock = clock
        self._ids: list[int] = []

    def show(self, sessions: Sequence[SessionInfo], current: int | None) -> None:
        """Show ``sessions``; ``current`` is going on."""
        now = self._clock()
        self._ids = [each.id for each in sessions]
        self.clear_options()
        self.add_options([Option(self._line(each, current, now)) for each in sessions])
        self.highlighted = self._ids.index(current) if current in self._ids else None

    def _line(self, each: SessionInfo, current: int | None, now: float) -> Content:
        branch = ", branch" if each.branch_of is not None else ""
        mark = ("● ", "$accent") if each.id == current else ("  ", "")
        name = Content(one_line(each.name, _NAME_CELLS)).truncate(_NAME_CELLS, ellipsis=True)
        return Content.assemble(
            mark,
            name.stylize("bold") if each.id == current else name,
            (f"\n  {ago(each.updated_at, now)}{branch}", "$quiet"),
        )

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Chosen(self._ids[event.option_index]))
