"""Statements, a line each, drawn only where they are seen: twenty thousand open as quickly as twenty."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from varda_chat.text import one_line
from varda_chat.tui.controllers.browsing import Entry
from varda_chat.tui.formatting import ago

_TEXT_CHARACTERS = 400
_AGE_CELLS = 13
_AGES_FROM, _COUNTS_FROM = 60, 84
"""Columns from which the age of a statement, and how often it was recalled, are shown."""


class StatementList(ScrollView, can_focus=True):
    """Up and Down move, Space marks, Enter opens. ``marked``: ids, which stay marked while others are shown."""

    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("up,k", "move(-1)", "Up", show=False, id="statements.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="statements.down"),
        Binding("pageup", "move_page(-1)", "Page up", show=False, id="statements.page_up"),
        Binding("pagedown", "move_page(1)", "Page down", show=False, id="statements.page_down"),
        Binding("home", "move_to(0)", "First", id="statements.first"),
        Binding("end", "move_to(-1)", "Last", id="statements.last"),
        Binding("enter", "open", "Open", id="statements.open"),
        Binding("space", "mark", "Mark", id="statements.mark"),
        Binding("ctrl+a", "mark_all", "Mark all that are shown, or none", id="statements.mark_all"),
    ]
    COMPONENT_CLASSES = {"statement-list--cursor", "statement-list--marked"}  # noqa: RUF012 - Textual's declaration
    ALLOW_SELECT = False

    cursor: reactive[int] = reactive(0)
    why_none: reactive[str] = reactive("")
    """Shown where there are no statements."""

    @dataclass
    class Highlighted(Message):
        """The cursor is on another statement, or (None) on none."""

        entry: Entry | None

    @dataclass
    class Opened(Message):
        """The person opens a memory."""

        entry: Entry

    @dataclass
    class Marked(Message):
        """Other statements are marked than before."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._entries: Sequence[Entry] = ()
        self._words = re.compile("")
        self.marked: set[int] = set()

    @property
    def entries(self) -> Sequence[Entry]:
        """What is shown."""
        return self._entries

    @property
    def highlighted(self) -> Entry | None:
        """What the cursor is on."""
        return self._entries[self.cursor] if self._entries else None

    def show(self, entries: Sequence[Entry], words: str = "", *, keep: bool = True) -> None:
        """Show ``entries``, with ``words`` marked in them; ``keep`` the cursor on its statement, or where it was."""
        before = self.highlighted
        self._entries = entries
        self._words = re.compile(re.escape(words.strip()), re.IGNORECASE)
        self.virtual_size = Size(0, len(entries))
        place = 0
        if keep and before is not None:
            places = (place for place, each in enumerate(entries) if each.statement.id == before.statement.id)
            place = next(places, min(self.cursor, max(0, len(entries) - 1)))
        self.set_reactive(StatementList.cursor, place)
        self._follow_cursor()
        self.refresh()
        self.post_message(self.Highlighted(self.highlighted))

    # moving

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, len(self._entries) - 1))

    def watch_cursor(self) -> None:
        self._follow_cursor()
        self.refresh()
        self.post_message(self.Highlighted(self.highlighted))

    def _follow_cursor(self) -> None:
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True, immediate=True)

    def on_resize(self) -> None:
        self.call_after_refresh(self._follow_cursor)

    def action_move(self, lines: int) -> None:
        """Go up or down."""
        self.cursor += lines

    def action_move_page(self, pages: int) -> None:
        """Go a page up or down."""
        self.cursor += pages * max(1, self.scrollable_content_region.height - 1)

    def action_move_to(self, place: int) -> None:
        """Go to the first (0) or the last (-1)."""
        self.cursor = place % max(1, len(self._entries))

    def on_click(self, event: events.Click) -> None:
        """A click goes to a statement; another opens it."""
        place = event.get_content_offset(self)
        line = None if place is None else place.y + self.scroll_offset.y
        if line is not None and line < len(self._entries):
            if line == self.cursor and self.has_focus and event.chain > 1:
                self.action_open()
            self.cursor = line

    # acting

    def action_open(self) -> None:
        """Open the statement at the cursor."""
        if self.highlighted is not None:
            self.post_message(self.Opened(self.highlighted))

    def action_mark(self) -> None:
        """Mark the statement at the cursor, or no longer, and go on to the next."""
        if self.highlighted is not None:
            self.marked ^= {self.highlighted.statement.id}
            self.cursor += 1
            self._note_marks()

    def action_mark_all(self) -> None:
        """Mark all that are shown; where they all are, none."""
        shown = {each.statement.id for each in self._entries}
        self.marked = self.marked - shown if shown <= self.marked else self.marked | shown
        self._note_marks()

    def mark_only(self, ids: set[int]) -> None:
        """Let those of ``ids`` be marked that are marked already."""
        if not self.marked <= ids:
            self.marked &= ids
            self._note_marks()

    def _note_marks(self) -> None:
        self.refresh()
        self.post_message(self.Marked())

    # drawing

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        place = y + self.scroll_offset.y
        if width < 1 or not 0 <= place < len(self._entries):
            lines = self._no_lines(width) if width > 0 and not self._entries else []
            return lines[y] if y < len(lines) else Strip.blank(self.size.width, self.rich_style)
        entry = self._entries[place]
        states = []
        if entry.statement.id in self.marked:
            states.append("statement-list--marked")
        if place == self.cursor:
            states.append("statement-list--cursor")
        style = self.get_visual_style(*states)
        strips = Visual.to_strips(self, self._line(entry, width), width, 1, style, pad=True)
        return strips[0]

    def _no_lines(self, width: int) -> list[Strip]:
        why = Content.styled(self.why_none, "$quiet italic")
        return Visual.to_strips(self, why, width, None, self.get_visual_style(), pad=True)

    def _line(self, entry: Entry, width: int) -> Content:
        statement = entry.statement
        right = Content.assemble(("  ◆" if statement.pinned else "   ", "$accent"))
        if entry.match is not None:
            right += Content.styled(f"{min(1.0, entry.match):5.0%}", "$accent")
        if width >= _COUNTS_FROM:
            count = f"{statement.recall_count:,}×" if statement.recall_count else ""
            right += Content.styled(f"{count:>7}", "$text-muted")
        if width >= _AGES_FROM:
            right += Content.styled(f"{ago(statement.created_at, self._clock()):>{_AGE_CELLS}}", "$quiet")
        left = Content.assemble(
            ("✓ " if statement.id in self.marked else "  ", "$accent bold"),
            ("› ", "$primary bold") if entry.is_yours else ("✦ ", "$accent"),
        )
        words = Content(one_line(statement.text, _TEXT_CHARACTERS))
        if self._words.pattern and entry.match is None:
            for found in self._words.finditer(words.plain):
                words = words.stylize("$accent bold", *found.span())
        room = max(1, width - left.cell_length - right.cell_length - 1)
        return Content.assemble(left, words.truncate(room, ellipsis=True, pad=True), right)
