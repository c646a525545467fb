"""The chat as it fills the terminal: conversation and composer, the memory panel beside them or in their place."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.reactive import var

from varda_chat.config.settings import SettingsFile
from varda_chat.errors import VardaError
from varda_chat.session.request import Request
from varda_chat.storage.files import DATABASE
from varda_chat.tui import commands
from varda_chat.tui.controllers.history import FILE_NAME, InputHistory
from varda_chat.tui.controllers.session_host import SessionHost
from varda_chat.tui.screens.moving import MovingScreen
from varda_chat.tui.screens.talking import TalkingScreen
from varda_chat.tui.state import ChatState, PanelPlace
from varda_chat.tui.widgets.command_menu import CommandMenu
from varda_chat.tui.widgets.composer import Composer
from varda_chat.tui.widgets.conversation import Conversation
from varda_chat.tui.widgets.memory_panel import MemoryPanel
from varda_chat.tui.widgets.rule_line import RuleLine
from varda_chat.tui.widgets.session_list import SHOWN, SessionList
from varda_chat.tui.widgets.status_bar import StatusBar
from varda_chat.tui.widgets.title_line import TitleLine
from varda_chat.tui.widgets.welcome import Welcome

if TYPE_CHECKING:
    from textual.timer import Timer

    from varda_chat.transcripts import Transcripts

PANEL_FOLDS_BELOW = 90
NOTICE_EDGES, NOTICE_LINES = 4, 3
"""Columns of a notice that hold no words, and the most lines it has (app.tcss)."""
SESSIONS_FROM = 140
"""Columns from which the sessions may stand beside the chat."""


class ChatScreen(MovingScreen):
    """The whole terminal."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (PANEL_FOLDS_BELOW, "-wide")]  # noqa: RUF012 - Textual's declaration
    VERTICAL_BREAKPOINTS = [(0, "-short"), (16, "-tall")]  # noqa: RUF012 - Textual's declaration
    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("escape", "stop", "Stop the answer", id="stop"),
        Binding("f2,ctrl+b", "toggle_panel", "Memory panel", id="panel", priority=True),
        Binding("f3", "sessions", "Sessions", id="sessions", priority=True),
        Binding("alt+left", "walk_branch(-1)", "The branch before", id="branch.before", priority=True),
        Binding("alt+right", "walk_branch(1)", "The next branch", id="branch.after", priority=True),
        Binding("ctrl+n", "new_session", "New session", id="new", priority=True),
        Binding("f4", "edit", "Edit your last message", id="edit", priority=True),
        Binding("f5", "regenerate", "Another answer", id="regenerate", priority=True),
        Binding("f6", "memory", "Browse the memory", id="memory", priority=True),
        Binding("shift+f3,alt+s", "toggle_sessions", "Sessions beside the chat", id="sessions_beside", priority=True),
        Binding("f8", "undo", "Undo the last store or delete", id="undo", priority=True),
        Binding("alt+p", "proof", "Proof that what was forgotten is gone", id="proof", priority=True),
        Binding("f9", "sources", "What the answer was recalled from", id="sources", priority=True),
        Binding("f10,ctrl+s", "settings", "Settings", id="settings", priority=True),
        Binding("ctrl+g", "editor", "Write in $EDITOR", id="editor", priority=True),
        Binding("ctrl+y", "copy", "Copy the last answer", id="copy", priority=True),
        Binding("ctrl+r", "retry", "Try again", id="retry", priority=True),
    ]

    panel: var[PanelPlace] = var(PanelPlace.BESIDE)

    def __init__(
        self,
        host: SessionHost,
        request: Request,
        *,
        settings: SettingsFile,
        first_run: bool,
        transcripts: Transcripts | None = None,
        resume: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``resume``: the session of the transcripts to resume."""
        super().__init__(host, request, transcripts, settings, clock)
        self._history = self._history_of(request)
        self._notice_timer: Timer | None = None
        self._first_run = first_run
        self._resume_id = resume
        host.want(resume)

    def compose(self) -> ComposeResult:
        yield TitleLine().data_bind(TalkingScreen.memory, TalkingScreen.session_name, ChatScreen.panel)
        yield RuleLine().data_bind(TalkingScreen.state, TalkingScreen.progress)
        with Horizontal(id="room"):
            yield SessionList(self.clock)
            with Vertical(id="talk"):
                yield Conversation()
                menu = CommandMenu()
                yield menu
                yield Composer(self._history, menu).data_bind(TalkingScreen.state)
            yield MemoryPanel(self.clock)
        yield StatusBar().data_bind(
            TalkingScreen.state,
            TalkingScreen.progress,
            TalkingScreen.facts,
            TalkingScreen.vitals,
            TalkingScreen.waiting,
            TalkingScreen.writing,
        )

    async def on_mount(self) -> None:
        self.composer.focus()
        self.set_class(not self.settings.settings.panel, "-panel-closed")
        self.set_class(self.settings.settings.sessions, "-sessions-open")
        if self._resume_id is None:
            await self._greet()
        else:
            await self._show_resumed(self._resume_id)
        self.call_after_refresh(self.open_session)

    async def _greet(self) -> None:
        await self.conversation.add(
            Welcome(profile_dir=self.request.folder, first_run=self._first_run, incognito=self.facts.incognito)
        )

    async def begin_anew(self) -> None:
        await self.conversation.show(None)
        self._first_run = not (self.request.folder / DATABASE).exists()
        self._history = self._history_of(self.request)
        self.composer.use_history(self._history)
        await self._greet()

    def _history_of(self, request: Request) -> InputHistory:
        return InputHistory(request.folder / FILE_NAME, writable=not self.facts.incognito)

    async def _show_resumed(self, session_id: int) -> None:
        """What was said is there at once; the model takes it up when it is loaded."""
        try:
            await self.show_session(session_id)
        except VardaError as error:
            self.tell(str(error), warning=True)
            await self._greet()

    # -- what is written ------------------------------------------------------------------------------------

    @on(Composer.Mistyped)
    def _tell_mistyped(self, event: Composer.Mistyped) -> None:
        nearest = commands.nearest(event.name)
        hint = f" Did you mean /{nearest}?" if nearest else " / shows those there are."
        self.tell(f"There is no command /{event.name}.{hint}", warning=True)

    @on(Composer.Sent)
    async def _take(self, event: Composer.Sent) -> None:
        typed = commands.parse(event.text)
        command = commands.find(typed[0]) if typed is not None else None
        try:
            self.composer.remember(event.text)
        except OSError as error:
            reason = error.strerror or "unknown reason"
            self.tell(f"The input history could not be saved: {reason}.", warning=True)
        if command is not None and typed is not None:
            await self.obey_when_loaded(command, typed[1])
            return
        self.remove_class("-panel-open")
        self._note_panel()
        if event.edited:
            await self.send_instead(event.text)
        else:
            await self.send(event.text)

    def on_key(self, event: events.Key) -> None:
        """Whatever is walked to: who begins to write means the composer."""
        printable = event.is_printable and event.character is not None
        if printable and self.focused is not self.composer and event.key not in self.active_bindings:
            event.stop()
            self.composer.focus()
            self.composer.insert(event.character or "")

    def action_stop(self) -> None:
        """Stop the answer; what is written stays."""
        if self.state is ChatState.THINKING:
            self.host.stop()
        else:
            self.composer.focus()

    def set_incognito(self, incognito: bool) -> None:
        self.facts = replace(self.facts, incognito=incognito)
        self._history.writable = not incognito
        for welcome in self.query(Welcome):
            welcome.show_incognito(incognito)

    def note_purge(self) -> None:
        self._history.load()
        self.note_session()

    def keep_draft(self) -> bool:
        """Keep what is being written in the input history, where the Up key finds it at the next start; whether it is
        there."""
        text = self.composer.whole_text.strip()
        if not text or not self._history.writable:
            return False
        with suppress(OSError):
            self.composer.remember(text)
            return True
        return False

    def make_room(self, notice: str, seconds: float) -> None:
        """Let the status take as many lines as ``notice``, which stands over it for so long, so that it covers nothing
        that one writes."""
        if not self.is_mounted:
            return
        width = max(1, self.size.width - NOTICE_EDGES)
        lines = sum(max(1, len(textwrap.wrap(line, width))) for line in notice.split("\n"))
        self.query_one(StatusBar).styles.height = min(lines, NOTICE_LINES)
        if self._notice_timer is not None:
            self._notice_timer.stop()
        self._notice_timer = self.set_timer(seconds, self._give_room_back)

    def _give_room_back(self) -> None:
        self.query_one(StatusBar).styles.height = 1

    def farewell(self) -> None:
        """From here on only the saving of the memory is shown."""
        self.state = ChatState.SAVING

    # -- where things are -----------------------------------------------------------------------------------

    def action_toggle_panel(self) -> None:
        """Show or hide the memory: beside the conversation where there is room, else in its place."""
        self.toggle_class("-panel-closed" if self.has_class("-wide") else "-panel-open")
        self._note_panel()

    def action_toggle_sessions(self) -> None:
        """Show or hide the sessions beside the chat; where there is no room for them, on a card."""
        if not self.has_class("-roomy"):
            self.action_sessions()
            return
        self.toggle_class("-sessions-open")
        self._fill_sessions()

    def note_session(self) -> None:
        super().note_session()
        self._fill_sessions()

    def watch_session_name(self) -> None:
        """A session has begun, has another name, or another is shown."""
        self._fill_sessions()

    def _fill_sessions(self) -> None:
        if self.transcripts is None or not self.is_mounted or not self.query_one(SessionList).display:
            return
        with suppress(VardaError):  # what is shown stays
            self.query_one(SessionList).show(self.transcripts.sessions(SHOWN), self.host.session_id)

    @on(SessionList.Chosen)
    async def _resume_listed(self, event: SessionList.Chosen) -> None:
        if event.session_id != self.host.session_id:
            await self.action_resume(str(event.session_id))
        self.composer.focus()

    def show_keys(self) -> None:
        """Name the keys as they are now."""
        self.query_one(TitleLine).refresh()
        self.query_one(MemoryPanel).show_keys()
        self.composer.show_hints()

    def show_panel(self, shown: bool) -> None:
        self.set_class(not shown, "-panel-closed")
        self._note_panel()

    @on(events.Resize)
    def _on_new_size(self) -> None:
        self.set_class(self.size.width >= SESSIONS_FROM, "-roomy")
        self.call_after_refresh(self._note_panel)
        self.call_after_refresh(self._fill_sessions)

    @on(Composer.Scrolled)
    def _scroll(self, event: Composer.Scrolled) -> None:
        shown = self.query_one(MemoryPanel) if self.panel is PanelPlace.OVER else self.conversation
        if event.pages < 0:
            shown.scroll_page_up(animate=False)
        else:
            shown.scroll_page_down(animate=False)

    def _note_panel(self) -> None:
        if self.has_class("-wide"):
            self.panel = PanelPlace.FOLDED if self.has_class("-panel-closed") else PanelPlace.BESIDE
        else:
            self.panel = PanelPlace.OVER if self.has_class("-panel-open") else PanelPlace.FOLDED
