"""The saved sessions: searched while one types, resumed by Enter, renamed, exported, deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from varda_chat.errors import VardaError
from varda_chat.text import numbered, one_line, sanitize, speaker
from varda_chat.transcripts import FoundTurn, SessionInfo, Transcripts
from varda_chat.tui.formatting import ago
from varda_chat.tui.screens.card import Card

SESSIONS_SHOWN = 200
FOUND_SHOWN = 100
_NAME_CELLS = 44
_EDGES = 8
"""Columns beside a name: the frame, its padding, the mark, the scrollbar."""


@dataclass(frozen=True)
class Chosen:
    """The session to resume; ``turn_id``: the turn to show, None for the end."""

    session_id: int
    turn_id: int | None = None


class SessionsScreen(Card[Chosen | None]):
    """Answers the session that was chosen."""

    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("escape", "close", "Close", show=False, priority=True, id="sessions.close"),
        Binding("down", "move(1)", "Down", show=False, priority=True, id="sessions.down"),
        Binding("up", "move(-1)", "Up", show=False, priority=True, id="sessions.up"),
        Binding("pagedown", "move(10)", "Page down", show=False, priority=True, id="sessions.page_down"),
        Binding("pageup", "move(-10)", "Page up", show=False, priority=True, id="sessions.page_up"),
        Binding("ctrl+e", "rename", "Rename", priority=True, id="sessions.rename"),
        Binding("ctrl+x", "export", "Export", priority=True, id="sessions.export"),
        Binding("ctrl+d", "delete", "Delete, asked twice", priority=True, id="sessions.delete"),
    ]

    @dataclass
    class Export(Message):
        """The person wants a session as a file."""

        session_id: int

    def __init__(
        self, transcripts: Transcripts, current: int | None, clock: Callable[[], float], wanted: str = ""
    ) -> None:
        """``current``: the session that is going on. ``wanted``: what to search for at first."""
        super().__init__()
        self._transcripts = transcripts
        self._current = current
        self._clock = clock
        self._wanted = wanted
        self._shown: list[SessionInfo | FoundTurn] = []
        self._renaming: int | None = None
        self._deleting: int | None = None

    def compose(self) -> ComposeResult:
        with self.card("Sessions", (), name="sessions"):
            yield Input(sanitize(self._wanted), placeholder="Search in all that was said", id="search")
            yield OptionList(markup=False)
            yield Static("", classes="none", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self.query_one(OptionList).can_focus = False
        self._fill()

    # looking

    @on(Input.Changed)
    def _search(self) -> None:
        if self._renaming is None:
            self._fill()

    def _fill(self, keep: int | None = None) -> None:
        """Show what is searched for, all where that is nothing."""
        wanted = self.query_one(Input).value.strip()
        try:
            self._shown = [
                *(
                    self._transcripts.search(wanted, FOUND_SHOWN)
                    if wanted
                    else self._transcripts.sessions(SESSIONS_SHOWN)
                )
            ]
        except VardaError as error:
            self._shown = []
            self.notify(str(error), severity="warning", markup=False)
        self._deleting = None
        listed = self.query_one(OptionList)
        listed.clear_options()
        now = self._clock()
        listed.add_options([Option(self._line(each, now)) for each in self._shown])
        if self._shown:
            listed.highlighted = min(keep or 0, len(self._shown) - 1)
        none = self.query_one(".none", Static)
        none.display = not self._shown
        none.update("Nothing was said like that." if wanted else "No sessions yet. What you say is kept from now on.")
        self._show_keys()

    def _line(self, each: SessionInfo | FoundTurn, now: float) -> Content:
        if isinstance(each, FoundTurn):
            who = speaker(each.role)
            head = Content.assemble((each.session_name, "$primary"), (f"  {ago(each.at, now)}", "$quiet"))
            return Content.assemble(head, ("\n  " + who + ": ", "$quiet"), each.excerpt)
        here = each.id == self._current
        room = min(_NAME_CELLS, self.app.size.width - _EDGES)
        name = Content(one_line(each.name, _NAME_CELLS)).truncate(max(1, room), ellipsis=True)
        count = numbered(each.turns, "turn")
        return Content.assemble(
            ("● " if here else "  ", "$accent"),
            name.stylize("bold") if each.named else name,
            ("\n    " if self.is_narrow else "  ", ""),
            (f"{count}, {ago(each.updated_at, now)}, #{each.id}", "$quiet"),
        )

    def action_move(self, lines: int) -> None:
        """Go up or down in the list."""
        listed = self.query_one(OptionList)
        if self._shown and self._renaming is None:
            place = (listed.highlighted or 0) + lines
            listed.highlighted = max(0, min(place, len(self._shown) - 1))
            self._deleting = None
            self._show_keys()

    # choosing

    @on(Input.Submitted)
    def _enter(self, event: Input.Submitted) -> None:
        if self._renaming is not None:
            self._finish_renaming(event.value)
        else:
            self._choose()

    @on(OptionList.OptionSelected)
    def _choose(self) -> None:
        each = self._highlighted()
        if isinstance(each, FoundTurn):
            self.dismiss(Chosen(each.session_id, each.turn_id))
        elif each is not None:
            self.dismiss(Chosen(each.id))

    def _highlighted(self) -> SessionInfo | FoundTurn | None:
        place = self.query_one(OptionList).highlighted
        return self._shown[place] if place is not None and place < len(self._shown) else None

    def _highlighted_id(self) -> int | None:
        each = self._highlighted()
        return each.session_id if isinstance(each, FoundTurn) else None if each is None else each.id

    # changing

    def action_rename(self) -> None:
        """Write another name for the session in the line above."""
        session_id = self._highlighted_id()
        if session_id is None or self._renaming is not None:
            return
        try:
            name = self._transcripts.session(session_id).name
        except VardaError as error:  # another program may have deleted it
            self.notify(str(error), severity="warning", markup=False)
            return
        self._renaming = session_id
        line = self.query_one(Input)
        self._wanted, line.value = line.value, name
        line.border_title = "New name"
        line.cursor_position = len(line.value)
        self._show_keys()

    def _finish_renaming(self, name: str | None) -> None:
        session_id, self._renaming = self._renaming, None
        line = self.query_one(Input)
        line.border_title = ""
        try:
            if name is not None and session_id is not None:
                self._transcripts.rename(session_id, name)
        except VardaError as error:
            self.notify(str(error), severity="warning", markup=False)
        with self.prevent(Input.Changed):
            line.value = self._wanted
        self._fill(self.query_one(OptionList).highlighted)

    def action_export(self) -> None:
        """Write the session to a file."""
        session_id = self._highlighted_id()
        if session_id is not None:
            self.app.screen_stack[-2].post_message(self.Export(session_id))

    def action_delete(self) -> None:
        """Delete the session, once asked a second time."""
        session_id = self._highlighted_id()
        if session_id is None or self._renaming is not None:
            return
        if self._deleting != session_id:
            self._deleting = session_id
            self._show_keys()
            return
        try:
            self._transcripts.delete(session_id)
        except VardaError as error:
            self.notify(str(error), severity="warning", markup=False)
        self._fill(self.query_one(OptionList).highlighted)

    def action_close(self) -> None:
        """Leave renaming, or the screen."""
        if self._renaming is not None:
            self._finish_renaming(None)
        elif self._deleting is not None:
            self._deleting = None
            self._show_keys()
        else:
            self.dismiss(None)

    def _show_keys(self) -> None:
        if self._renaming is not None:
            self.show_hints((("Enter", "rename"), (self.key("sessions.close"), "leave it")))
        elif self._deleting is not None:
            does = " deletes it " if self.is_narrow else " deletes it for good "
            self.show_hints(())
            self.query_one("#sessions").border_subtitle = Content.assemble(
                (f" {self.key('sessions.delete')} again", "$error bold"),
                (does, "$error"),
                (f" {self.key('sessions.close')}", "$foreground"),
                " keep it " if not self.is_narrow else " keep ",
            )
        else:
            names = ("rename", "export", "delete", "close")
            self.show_hints((("Enter", "resume"), *((self.key(f"sessions.{name}"), name) for name in names)))
