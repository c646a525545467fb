"""Arrangement: where the panel and the sessions are, and how much room a notice takes."""

from __future__ import annotations

import textwrap
from contextlib import suppress
from typing import TYPE_CHECKING

from varda_chat.errors import VardaError
from varda_chat.tui.state import PanelPlace
from varda_chat.tui.widgets.memory_panel import MemoryPanel
from varda_chat.tui.widgets.session_list import SHOWN, SessionList
from varda_chat.tui.widgets.status_bar import StatusBar

if TYPE_CHECKING:
    from textual.timer import Timer

    from varda_chat.tui.screens.chat import ChatScreen

NOTICE_EDGES, NOTICE_LINES = 4, 3
"""Columns of a notice that hold no words, and the most lines it has (app.tcss)."""
SESSIONS_FROM = 140
"""Columns from which the sessions may stand beside the chat."""


class Arrangement:
    """Shows and hides what stands beside the conversation, as far as the terminal has room for it."""

    def __init__(self, screen: ChatScreen) -> None:
        self.screen = screen
        self._notice_timer: Timer | None = None

    # the memory

    def toggle_panel(self) -> None:
        """Show or hide the memory: beside the conversation where there is room, else in its place."""
        self.screen.toggle_class("-panel-closed" if self.screen.has_class("-wide") else "-panel-open")
        self.note_panel()

    def show_panel(self, shown: bool) -> None:
        """Show the memory beside the conversation, where there is room for both, or hide it."""
        self.screen.set_class(not shown, "-panel-closed")
        self.note_panel()

    def leave_panel(self) -> None:
        """Where the memory stands in the conversation's place, show the conversation."""
        self.screen.remove_class("-panel-open")
        self.note_panel()

    def note_panel(self) -> None:
        """Let the screen know where the panel is."""
        screen = self.screen
        if screen.has_class("-wide"):
            screen.panel = PanelPlace.FOLDED if screen.has_class("-panel-closed") else PanelPlace.BESIDE
        else:
            screen.panel = PanelPlace.OVER if screen.has_class("-panel-open") else PanelPlace.FOLDED

    def scroll(self, pages: int) -> None:
        """Scroll the memory where it is in the conversation's place, else the conversation."""
        screen = self.screen
        shown = screen.query_one(MemoryPanel) if screen.panel is PanelPlace.OVER else screen.conversation
        if pages < 0:
            shown.scroll_page_up(animate=False)
        else:
            shown.scroll_page_down(animate=False)

    # the sessions

    def toggle_sessions(self) -> None:
        """Show or hide the sessions beside the chat; where there is no room for them, on a card."""
        if not self.screen.has_class("-roomy"):
            self.screen.sessions.choose()
            return
        self.screen.toggle_class("-sessions-open")
        self.fill_sessions()

    def fill_sessions(self) -> None:
        """Show the sessions beside the chat as they are now."""
        screen = self.screen
        if screen.transcripts is None or not screen.is_mounted or not screen.query_one(SessionList).display:
            return
        with suppress(VardaError):  # what is shown stays
            screen.query_one(SessionList).show(screen.transcripts.sessions(SHOWN), screen.host.session_id)

    # room

    def note_size(self) -> None:
        """The terminal has another size."""
        self.screen.set_class(self.screen.size.width >= SESSIONS_FROM, "-roomy")
        self.screen.call_after_refresh(self.note_panel)
        self.screen.call_after_refresh(self.fill_sessions)

    def make_room(self, notice: str, seconds: float) -> None:
        """Let the status take as many lines as ``notice``, which stands over it for so long, so that it covers nothing
        that one writes."""
        screen = self.screen
        if not screen.is_mounted:
            return
        width = max(1, screen.size.width - NOTICE_EDGES)
        lines = sum(max(1, len(textwrap.wrap(line, width))) for line in notice.split("\n"))
        screen.query_one(StatusBar).styles.height = min(lines, NOTICE_LINES)
        if self._notice_timer is not None:
            self._notice_timer.stop()
        self._notice_timer = screen.set_timer(seconds, self._give_room_back)

    def _give_room_back(self) -> None:
        self.screen.query_one(StatusBar).styles.height = 1
