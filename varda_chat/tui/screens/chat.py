"""The chat as it fills the terminal: conversation and composer, the memory panel beside them or in their place."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.reactive import var
from textual.screen import Screen
from textual.worker import Worker, WorkerState

from varda_chat.config.settings import SettingsFile
from varda_chat.session.request import Request
from varda_chat.tui import messages
from varda_chat.tui.commands import named
from varda_chat.tui.controllers.answers import Answers
from varda_chat.tui.controllers.arrangement import Arrangement
from varda_chat.tui.controllers.asking import ask
from varda_chat.tui.controllers.commanding import CommandRunner
from varda_chat.tui.controllers.composing import Composing
from varda_chat.tui.controllers.memory_actions import MemoryActions
from varda_chat.tui.controllers.moving import Moving, details_before
from varda_chat.tui.controllers.preferences import Preferences
from varda_chat.tui.controllers.saved_sessions import SavedSessions
from varda_chat.tui.controllers.session_host import SessionHost, memory_of, sentence_for
from varda_chat.tui.controllers.talking import Talk
from varda_chat.tui.screens.sessions import SessionsScreen
from varda_chat.tui.state import ChatState, MemoryView, PanelPlace, Progress, SessionDetails, Vitals
from varda_chat.tui.widgets.change_line import ChangeLine
from varda_chat.tui.widgets.command_menu import CommandMenu
from varda_chat.tui.widgets.composer import Composer
from varda_chat.tui.widgets.conversation import Conversation
from varda_chat.tui.widgets.memory_panel import MemoryPanel, StatementRow
from varda_chat.tui.widgets.message import VardaMessage
from varda_chat.tui.widgets.rule_line import RuleLine
from varda_chat.tui.widgets.session_list import SessionList
from varda_chat.tui.widgets.status_bar import StatusBar
from varda_chat.tui.widgets.title_line import TitleLine
from varda_chat.tui.widgets.welcome import Welcome

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession
    from varda_chat.session.turn import Turn
    from varda_chat.transcripts import Transcripts

T = TypeVar("T")
PANEL_FOLDS_BELOW = 90


class ChatScreen(Screen[None]):
    """The whole terminal: what is on it, what its keys are, and which controller hears of what happens on it.

    A key that does what a command does runs that command of the table.
    """

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (PANEL_FOLDS_BELOW, "-wide")]  # noqa: RUF012 - Textual's declaration
    VERTICAL_BREAKPOINTS = [(0, "-short"), (16, "-tall")]  # noqa: RUF012 - Textual's declaration
    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("escape", "stop", "Stop the answer", id="stop"),
        Binding("f2,ctrl+b", "run('panel')", "Memory panel", id="panel", priority=True),
        Binding("f3", "run('sessions')", "Sessions", id="sessions", priority=True),
        Binding("alt+left", "walk_branch(-1)", "The branch before", id="branch.before", priority=True),
        Binding("alt+right", "walk_branch(1)", "The next branch", id="branch.after", priority=True),
        Binding("ctrl+n", "run('new')", "New session", id="new", priority=True),
        Binding("f4", "run('edit')", "Edit your last message", id="edit", priority=True),
        Binding("f5", "run('regenerate')", "Another answer", id="regenerate", priority=True),
        Binding("f6", "run('memory')", "Browse the memory", id="memory", priority=True),
        Binding("shift+f3,alt+s", "toggle_sessions", "Sessions beside the chat", id="sessions_beside", priority=True),
        Binding("f8", "run('undo')", "Undo the last store or delete", id="undo", priority=True),
        Binding("alt+p", "run('proof')", "Proof that a memory is forgotten", id="proof", priority=True),
        Binding("f9", "run('sources')", "What the answer was recalled from", id="sources", priority=True),
        Binding("f10,ctrl+s", "run('settings')", "Settings", id="settings", priority=True),
        Binding("ctrl+g", "run('editor')", "Write in $EDITOR", id="editor", priority=True),
        Binding("ctrl+y", "run('copy')", "Copy the last answer", id="copy", priority=True),
        Binding("ctrl+r", "run('retry')", "Try again", id="retry", priority=True),
    ]

    state: var[ChatState] = var(ChatState.LOADING)
    progress: var[Progress] = var(Progress())
    details: var[SessionDetails] = var(SessionDetails("", ""))
    memory: var[MemoryView] = var(MemoryView())
    vitals: var[Vitals] = var(Vitals())
    waiting: var[int] = var(0)
    writing: var[bool] = var(False)
    """Whether the answer has begun to come."""
    session_name: var[str] = var("")
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
        """``request``: what the open session was opened for. ``resume``: the session of the transcripts to
        resume."""
        super().__init__()
        self.host, self.request, self.settings = host, request, settings
        self.transcripts = transcripts
        self.clock = clock
        self.talk = Talk(self)
        self.commands = CommandRunner(self)
        self.sessions = SavedSessions(self)
        self.answers = Answers(self)
        self.memories = MemoryActions(self)
        self.preferences = Preferences(self)
        self.moving = Moving(self)
        self.arrangement = Arrangement(self)
        self.set_reactive(ChatScreen.details, details_before(request, incognito=request.incognito))
        self.composing = Composing(self, request)
        self.first_run = first_run
        self._resume_id = resume
        host.want(resume)

    def compose(self) -> ComposeResult:
        yield TitleLine().data_bind(ChatScreen.memory, ChatScreen.session_name, ChatScreen.panel)
        yield RuleLine().data_bind(ChatScreen.state, ChatScreen.progress)
        with Horizontal(id="room"):
            yield SessionList(self.clock)
            with Vertical(id="talk"):
                yield Conversation()
                menu = CommandMenu()
                yield menu
                yield Composer(self.composing.history, menu).data_bind(ChatScreen.state)
            yield MemoryPanel(self.clock)
        yield StatusBar().data_bind(
            ChatScreen.state, ChatScreen.progress, ChatScreen.details, ChatScreen.vitals, ChatScreen.waiting,
            ChatScreen.writing,
        )  # fmt: skip

    async def on_mount(self) -> None:
        self.composer.focus()
        self.set_class(not self.settings.settings.panel, "-panel-closed")
        self.set_class(self.settings.settings.sessions, "-sessions-open")
        await self.sessions.show_first(self._resume_id)
        self.call_after_refresh(self.talk.open_session)

    # -- what controllers and the app ask for ---------------------------------------------------------------

    @property
    def conversation(self) -> Conversation:
        """The messages."""
        return self.query_one(Conversation)

    @property
    def composer(self) -> Composer:
        """Where the person writes."""
        return self.query_one(Composer)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered or waits to be."""
        return self.talk.is_idle

    async def ask_session(self, act: Callable[[ChatSession], T], doing: str, *, wait: bool = True) -> T | None:
        """What ``act`` makes of the session, once it is free (or at once, for what only looks at the memory: not
        ``wait``); None where it failed, which was then told."""
        return await ask(self, self.host, act, doing, wait=wait)

    async def refresh_memory(self) -> None:
        """Show the memory as it is now."""
        memory = await self.ask_session(memory_of, "looking at the memory", wait=False)
        if memory is not None:
            await self.show_memory(memory)
            await self.memories.follow_memory()

    async def show_memory(self, memory: MemoryView, turn: Turn | None = None) -> None:
        """Show the memory as it is after ``turn`` (None: as it was found)."""
        self.memory = memory
        await self.query_one(MemoryPanel).show(memory, turn)

    def tell(self, line: str, *, warning: bool = False) -> None:
        """A notice at the screen's edge."""
        self.notify(line, severity="warning" if warning else "information", markup=False)

    def set_incognito(self, incognito: bool) -> None:
        """Let the screen, and what is kept of what is typed, follow."""
        self.details = replace(self.details, incognito=incognito)
        self.composing.history.writable = not incognito
        for welcome in self.query(Welcome):
            welcome.show_incognito(incognito)

    def note_purge(self) -> None:
        """Show nothing more of what left the files: neither what was typed, nor the session's name as it was."""
        self.composing.history.load()
        self.sessions.note()

    def show_keys(self) -> None:
        """Name the keys as they are now."""
        self.query_one(TitleLine).refresh()
        self.query_one(MemoryPanel).show_keys()
        self.composer.show_hints()

    def farewell(self) -> None:
        """From here on only the saving of the memory is shown."""
        self.state = ChatState.SAVING

    # -- keys -----------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No key acts before there is something to act on."""
        return self.is_mounted

    async def action_run(self, name: str) -> None:
        """Do what the command ``name`` does without an argument."""
        await self.commands.obey_when_loaded(named(name))

    def action_stop(self) -> None:
        """Stop the answer; what is written stays."""
        if self.state is ChatState.THINKING:
            self.host.stop()
            self.memories.stop_asking()
        else:
            self.composer.focus()

    async def action_walk_branch(self, steps: int) -> None:
        """Go to the next branch of this session, or the one before."""
        await self.sessions.walk_branch(steps)

    def action_toggle_sessions(self) -> None:
        """Show or hide the sessions beside the chat; where there is no room for them, on a card."""
        self.arrangement.toggle_sessions()

    def on_key(self, event: events.Key) -> None:
        """Whatever is walked to: who begins to write means the composer."""
        printable = event.is_printable and event.character is not None
        if printable and self.focused is not self.composer and event.key not in self.active_bindings:
            event.stop()
            self.composer.focus()
            self.composer.insert(event.character or "")

    # -- what is written ------------------------------------------------------------------------------------

    @on(Composer.Mistyped)
    def _tell_mistyped(self, event: Composer.Mistyped) -> None:
        self.composing.tell_mistyped(event.name)

    @on(Composer.Sent)
    async def _take(self, event: Composer.Sent) -> None:
        await self.composing.take(event)

    @on(CommandMenu.Taken)
    async def _run_taken(self, event: CommandMenu.Taken) -> None:
        await self.composing.take_from_menu(event.command)

    # -- what the session's threads tell --------------------------------------------------------------------

    @on(messages.LoadProgressed)
    def _show_progress(self, event: messages.LoadProgressed) -> None:
        self.progress = event.progress

    @on(messages.SessionOpened)
    async def _note_opened(self, event: messages.SessionOpened) -> None:
        self.moving.note_opened()
        await self.talk.note_opened(event)

    @on(messages.OpenFailed)
    async def _note_open_failed(self, event: messages.OpenFailed) -> None:
        if not await self.moving.go_back(event.sentence):
            await self.talk.tell_open_failed(event.sentence)

    @on(messages.ReplyDelta)
    async def _write(self, event: messages.ReplyDelta) -> None:
        await self.talk.write(event)

    @on(messages.DeletesAsked)
    def _ask_about_deletes(self, event: messages.DeletesAsked) -> None:
        self.memories.confirm_deletes(event)

    @on(messages.ReplyFinished)
    async def _finish(self, event: messages.ReplyFinished) -> None:
        await self.talk.finish(event)

    @on(messages.ReplyFailed)
    async def _tell_reply_failed(self, event: messages.ReplyFailed) -> None:
        await self.talk.tell_failed(event.sentence)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What went wrong in a worker is told, and ends nothing."""
        error = event.worker.error
        if event.state is WorkerState.ERROR and isinstance(error, Exception):
            self.tell(sentence_for(error, "doing that"), warning=True)

    # -- what is clicked and walked to ----------------------------------------------------------------------

    @on(ChangeLine.Toggled)
    def _undo_change(self, event: ChangeLine.Toggled) -> None:
        self.memories.undo_change(event.line)

    @on(VardaMessage.Opened)
    def _open_answer(self, event: VardaMessage.Opened) -> None:
        if event.answer.turn is not None:
            self.answers.open(event.answer.turn, why=event.why)

    @on(VardaMessage.Branched)
    def _branch(self, event: VardaMessage.Branched) -> None:
        self.sessions.branch(event.answer, edit=event.edit)

    @on(VardaMessage.Copied)
    def _copy(self, event: VardaMessage.Copied) -> None:
        self.answers.copy_text(event.text, event.what)

    @on(StatementRow.Opened)
    def _open_row(self, event: StatementRow.Opened) -> None:
        self.memories.open_statement(event.statement_id, event.text)

    @on(SessionsScreen.Export)
    def _export(self, event: SessionsScreen.Export) -> None:
        self.sessions.export_of(event.session_id)

    @on(SessionList.Chosen)
    async def _resume_listed(self, event: SessionList.Chosen) -> None:
        if event.session_id != self.host.session_id:
            await self.sessions.resume(str(event.session_id))
        self.composer.focus()

    # -- where things are -----------------------------------------------------------------------------------

    def watch_session_name(self) -> None:
        """A session has begun, has another name, or another is shown."""
        self.arrangement.fill_sessions()

    @on(events.Resize)
    def _note_size(self) -> None:
        self.arrangement.note_size()

    @on(Composer.Scrolled)
    def _scroll(self, event: Composer.Scrolled) -> None:
        self.arrangement.scroll(event.pages)
