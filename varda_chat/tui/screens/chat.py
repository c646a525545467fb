"""The chat: has what the person sends answered, one prompt at a time; shows the answers and the memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive
from textual.screen import Screen

from varda_chat.tui import messages, slash
from varda_chat.tui.history import InputHistory
from varda_chat.tui.session_host import SessionHost
from varda_chat.tui.state import ChatState, MemoryView, PanelPlace, Progress, SessionFacts
from varda_chat.tui.widgets.composer import Composer
from varda_chat.tui.widgets.conversation import Conversation
from varda_chat.tui.widgets.memory_panel import MemoryPanel
from varda_chat.tui.widgets.message import Notice, UserMessage, VardaMessage
from varda_chat.tui.widgets.rule_line import RuleLine
from varda_chat.tui.widgets.status_bar import StatusBar
from varda_chat.tui.widgets.title_line import TitleLine
from varda_chat.tui.widgets.welcome import Welcome

PANEL_FOLDS_BELOW = 90
RETRY_HINT = "Your message is kept. Ctrl+R tries again."


class ChatScreen(Screen[None]):
    """The whole terminal."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (PANEL_FOLDS_BELOW, "-wide")]  # noqa: RUF012 - Textual's declaration
    VERTICAL_BREAKPOINTS = [(0, "-short"), (16, "-tall")]  # noqa: RUF012 - Textual's declaration
    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("escape", "stop", "Stop the answer", id="stop"),
        Binding("f2,ctrl+b", "toggle_panel", "Memory panel", id="panel", priority=True),
        Binding("ctrl+y", "copy_answer", "Copy the last answer", id="copy", priority=True),
        Binding("ctrl+r", "retry", "Try again", id="retry", priority=True),
    ]

    state: reactive[ChatState] = reactive(ChatState.LOADING)
    progress: reactive[Progress] = reactive(Progress())
    facts: reactive[SessionFacts] = reactive(SessionFacts("", ""))
    memory: reactive[MemoryView] = reactive(MemoryView())
    speed: reactive[float] = reactive(0.0)
    waiting: reactive[int] = reactive(0)
    panel: reactive[PanelPlace] = reactive(PanelPlace.BESIDE)

    def __init__(
        self,
        host: SessionHost,
        facts: SessionFacts,
        *,
        profile_dir: Path,
        history: InputHistory,
        first_run: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._host = host
        self._profile_dir = profile_dir
        self._history = history
        self._first_run = first_run
        self._clock = clock
        self._queue: deque[tuple[str, UserMessage | None]] = deque()
        self._prompt = ""
        self._failed_prompt: str | None = None
        self._answer: VardaMessage | None = None
        self._last_answer = ""
        self.set_reactive(ChatScreen.facts, facts)

    def compose(self) -> ComposeResult:
        yield TitleLine().data_bind(ChatScreen.memory, ChatScreen.panel)
        yield RuleLine().data_bind(ChatScreen.state, ChatScreen.progress)
        with Horizontal(id="room"):
            with Vertical(id="talk"):
                with Conversation():
                    yield Welcome(
                        profile_dir=self._profile_dir,
                        first_run=self._first_run,
                        incognito=self.facts.incognito,
                    )
                yield Composer(self._history).data_bind(ChatScreen.state)
            yield MemoryPanel(self._clock)
        yield StatusBar().data_bind(
            ChatScreen.state, ChatScreen.progress, ChatScreen.facts, ChatScreen.speed, ChatScreen.waiting
        )

    def on_mount(self) -> None:
        self.query_one(Composer).focus()
        self.call_after_refresh(self.open_session)

    # -- the session, on its threads ------------------------------------------------------------------------

    def open_session(self) -> None:
        """Load the model and the memory while the person may already write."""
        self.state = ChatState.LOADING
        self.progress = Progress()
        self._open_in_thread()

    @work(thread=True, exclusive=True, group="open", exit_on_error=False)
    def _open_in_thread(self) -> None:
        self._host.open(self.post_message)

    @work(thread=True, exclusive=True, group="generate", exit_on_error=False)
    def _reply_in_thread(self, prompt: str) -> None:
        self._host.reply(prompt, self.post_message)

    @on(messages.LoadProgressed)
    def _show_progress(self, event: messages.LoadProgressed) -> None:
        self.progress = event.progress

    @on(messages.SessionOpened)
    async def _begin(self, event: messages.SessionOpened) -> None:
        self.facts = event.facts
        for welcome in self.query(Welcome):
            welcome.show_facts(event.facts)
        await self._show_memory(event.memory)
        for notice in event.facts.notices:
            await self.conversation.add(Notice(notice))
        self._settle(ChatState.READY)
        await self._answer_next()

    @on(messages.OpenFailed)
    async def _tell_open_failed(self, event: messages.OpenFailed) -> None:
        self._settle(ChatState.FAILED)
        await self.conversation.add(Notice(event.sentence, "Ctrl+R tries again.", error=True))
        self.conversation.follow()

    # -- a turn ---------------------------------------------------------------------------------------------

    @on(Composer.Sent)
    async def _take(self, event: Composer.Sent) -> None:
        command = slash.parse(event.text)
        if command is not None and command not in slash.COMMANDS:
            known = ", ".join(f"/{name}" for name in slash.COMMANDS)
            self.notify(f"There is no command /{command}. There are {known}.", severity="warning", markup=False)
            return
        try:
            self.query_one(Composer).take(event.text)
        except OSError as error:
            reason = error.strerror or "unknown reason"
            self.notify(f"The input history could not be saved: {reason}.", severity="warning", markup=False)
        if command is not None:
            await self._obey(command)
            return
        self.remove_class("-panel-open")
        self._note_panel()
        bubble = UserMessage(event.text)
        bubble.set_class(self.state is not ChatState.READY, "-waiting")
        await self.conversation.add(bubble)
        self.conversation.follow()
        await self._enqueue(event.text, bubble)

    async def _enqueue(self, prompt: str, bubble: UserMessage | None) -> None:
        self._queue.append((prompt, bubble))
        self.waiting = len(self._queue)
        if self.state is ChatState.FAILED:
            self.open_session()
        await self._answer_next()

    async def _answer_next(self) -> None:
        if not self._queue or not self.state.can_answer:
            return
        self._prompt, bubble = self._queue.popleft()
        self.waiting = len(self._queue)
        self.state = ChatState.THINKING
        if bubble is not None:
            bubble.remove_class("-waiting")
        self._answer = VardaMessage()
        await self.conversation.add(self._answer, after=bubble)
        self._host.prepare()
        self._reply_in_thread(self._prompt)

    @on(messages.ReplyDelta)
    async def _write(self, event: messages.ReplyDelta) -> None:
        if self._answer is not None:
            await self._answer.write(event.text)

    @on(messages.ReplyFinished)
    async def _finish(self, event: messages.ReplyFinished) -> None:
        turn = event.turn
        if self._answer is not None:
            await self._answer.finish(turn)
            self._last_answer = self._answer.text
        self.speed = turn.reply_tokens / turn.seconds if turn.seconds > 0 else 0.0
        self.memory = event.memory
        await self.query_one(MemoryPanel).show(event.memory, turn)
        self._settle(ChatState.STOPPED if turn.stopped else ChatState.READY)
        await self._answer_next()

    @on(messages.ReplyFailed)
    async def _tell_reply_failed(self, event: messages.ReplyFailed) -> None:
        self._failed_prompt = self._prompt
        if self._answer is not None:
            await self._answer.fail()
            await self.conversation.add(Notice(event.sentence, RETRY_HINT, error=True), after=self._answer)
        self._settle(ChatState.READY)
        await self._answer_next()

    def _settle(self, state: ChatState) -> None:
        """Enter ``state``, unless the program is already on its way out."""
        if self.state is not ChatState.SAVING:
            self.state = state

    # -- what keys and commands do --------------------------------------------------------------------------

    async def _obey(self, command: str) -> None:
        actions = {
            "help": "app.help",
            "copy": "screen.copy_answer",
            "memory": "screen.toggle_panel",
            "retry": "screen.retry",
            "quit": "app.quit",
        }
        await self.run_action(actions[command])

    def action_stop(self) -> None:
        """Stop the answer; what is written stays."""
        if self.state is ChatState.THINKING:
            self._host.stop()
        else:
            self.query_one(Composer).focus()

    async def action_retry(self) -> None:
        """Send the prompt that failed once more, or load the model once more."""
        if self.state is ChatState.FAILED:
            self.open_session()
        elif self._failed_prompt is not None and self.state.can_answer:
            self.conversation.follow()
            prompt, self._failed_prompt = self._failed_prompt, None
            await self._enqueue(prompt, None)
        else:
            self.notify("There is nothing to try again.", markup=False)

    def action_copy_answer(self) -> None:
        """Copy the last answer, as its Markdown."""
        if not self._last_answer:
            self.notify("There is no answer to copy yet.", severity="warning", markup=False)
            return
        self.app.copy_to_clipboard(self._last_answer)
        self.notify("The last answer is copied.", markup=False)

    def action_toggle_panel(self) -> None:
        """Show or hide the memory: beside the conversation where there is room, else in its place."""
        self.toggle_class("-panel-closed" if self.has_class("-wide") else "-panel-open")
        self._note_panel()

    def farewell(self) -> None:
        """From here on only the saving of the memory is shown."""
        self.state = ChatState.SAVING

    @on(events.Resize)
    def _on_new_size(self) -> None:
        self.call_after_refresh(self._note_panel)

    @on(Composer.Scrolled)
    def _scroll(self, event: Composer.Scrolled) -> None:
        shown = self.query_one(MemoryPanel) if self.panel is PanelPlace.OVER else self.conversation
        if event.pages < 0:
            shown.scroll_page_up(animate=False)
        else:
            shown.scroll_page_down(animate=False)

    @property
    def conversation(self) -> Conversation:
        """The messages."""
        return self.query_one(Conversation)

    async def _show_memory(self, memory: MemoryView) -> None:
        self.memory = memory
        await self.query_one(MemoryPanel).show(memory)

    def _note_panel(self) -> None:
        if self.has_class("-wide"):
            self.panel = PanelPlace.FOLDED if self.has_class("-panel-closed") else PanelPlace.BESIDE
        else:
            self.panel = PanelPlace.OVER if self.has_class("-panel-open") else PanelPlace.FOLDED
