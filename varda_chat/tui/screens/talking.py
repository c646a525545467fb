"""The half of the chat screen that talks to the session: opens it, has prompts answered one at a time, shows turns."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from textual import on, work
from textual.reactive import var
from textual.screen import Screen
from textual.worker import Worker, WorkerState

from varda_chat.errors import VardaError
from varda_chat.tui import messages
from varda_chat.tui.bindings import shown
from varda_chat.tui.controllers.asking import ask
from varda_chat.tui.controllers.session_host import SessionHost, memory_of, sentence_for
from varda_chat.tui.state import ChatState, MemoryView, Progress, SessionFacts, Vitals
from varda_chat.tui.widgets.conversation import PAGE_TURNS, Conversation
from varda_chat.tui.widgets.memory_panel import MemoryPanel
from varda_chat.tui.widgets.message import Notice, UserMessage, VardaMessage
from varda_chat.tui.widgets.welcome import Welcome

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession
    from varda_chat.session.turn import Turn
    from varda_chat.transcripts import Transcripts

T = TypeVar("T")
LONG_SECONDS = 10.0
"""The bell rings for an answer that took so long."""
RETRY_HINT = "Your message is kept. {} tries again."
LEFT_THE_WINDOW = (
    "The oldest turns have left what the model can read at once. They stay here to scroll to, and what it stored "
    "of them stays in its memory."
)


@dataclass(frozen=True)
class Sent:
    """A prompt to be answered. ``bubble`` shows it; ``instead`` of the last turn, whose messages ``hidden`` are."""

    prompt: str
    bubble: UserMessage | None = None
    instead: bool = False
    hidden: tuple[UserMessage | VardaMessage, ...] = ()


@dataclass(frozen=True)
class Waiting:
    """A command that runs when the model is loaded and what was sent before it is answered; ``line`` shows it."""

    run: Callable[[], Awaitable[None]]
    line: Notice


class TalkingScreen(Screen[None]):
    """One prompt at a time; what comes meanwhile waits."""

    state: var[ChatState] = var(ChatState.LOADING)
    progress: var[Progress] = var(Progress())
    facts: var[SessionFacts] = var(SessionFacts("", ""))
    memory: var[MemoryView] = var(MemoryView())
    vitals: var[Vitals] = var(Vitals())
    waiting: var[int] = var(0)
    writing: var[bool] = var(False)
    """Whether the answer has begun to come."""
    session_name: var[str] = var("")

    def __init__(self, host: SessionHost, facts: SessionFacts, transcripts: Transcripts | None) -> None:
        super().__init__()
        self.host = host
        self.transcripts = transcripts
        self._queue: deque[Sent | Waiting] = deque()
        self._now: Sent | None = None
        self._failed: Sent | None = None
        self._answer: VardaMessage | None = None
        self._told_of_window = False
        self._errors: list[Notice] = []  # shown, and true until the next success
        self.set_reactive(TalkingScreen.facts, facts)

    @property
    def conversation(self) -> Conversation:
        """The messages."""
        return self.query_one(Conversation)

    @property
    def rings(self) -> bool:
        """Whether the person wants the bell."""
        return True

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered or waits to be."""
        return self.state is not ChatState.THINKING and not self._queue

    # -- opening --------------------------------------------------------------------------------------------

    def open_session(self) -> None:
        """Load the model and the memory while the person may already write."""
        self.state = ChatState.LOADING
        self.progress = Progress()
        self._open_in_thread()

    @work(thread=True, exclusive=True, group="open", exit_on_error=False)
    def _open_in_thread(self) -> None:
        self.host.open(self.post_message)

    @on(messages.LoadProgressed)
    def _show_progress(self, event: messages.LoadProgressed) -> None:
        self.progress = event.progress

    @on(messages.SessionOpened)
    async def _begin(self, event: messages.SessionOpened) -> None:
        self.facts = event.facts
        await self._clear_errors()
        for welcome in self.query(Welcome):
            welcome.show_facts(event.facts)
        await self.show_memory(event.memory)
        for notice in event.facts.notices:
            await self.conversation.add(Notice(notice))
        self._settle(ChatState.READY)
        await self._answer_next()

    @on(messages.OpenFailed)
    async def _tell_open_failed(self, event: messages.OpenFailed) -> None:
        self._settle(ChatState.FAILED)
        await self._add_error(Notice(event.sentence, f"{shown(self.app, 'retry')} tries again.", error=True))
        self.conversation.follow()

    # -- a turn ---------------------------------------------------------------------------------------------

    async def send(self, text: str) -> None:
        """Show ``text`` as the person's message and have it answered."""
        await self.conversation.to_end()
        bubble = UserMessage(text)
        if self.state in (ChatState.LOADING, ChatState.FAILED):
            bubble.wait_for("the model")
        elif not self.is_idle:
            bubble.wait_for("the answer before it")
        await self.conversation.add(bubble)
        self.conversation.follow()
        await self._enqueue(Sent(text, bubble))

    async def send_instead(self, text: str | None) -> None:
        """Have the last message answered again, or (``text``) another in its place."""
        await self.conversation.to_end()
        found = self.conversation.last_exchange()
        if found is None:
            self.tell("There is no answer yet that another could take the place of.", warning=True)
            return
        bubble, answer = found
        hidden: tuple[UserMessage | VardaMessage, ...] = (answer,)
        prompt = bubble.text
        if text is not None and text != prompt:
            hidden, prompt, bubble = (bubble, answer), text, UserMessage(text)
            await self.conversation.add(bubble)
        for message in hidden:
            message.display = False
        self.conversation.follow()
        await self._enqueue(Sent(prompt, bubble, True, hidden))

    async def run_when_loaded(self, text: str, run: Callable[[], Awaitable[None]]) -> None:
        """Show the command ``text`` as waiting, and ``run`` it once the model is loaded."""
        await self.conversation.to_end()
        line = Notice(text, "… waits for the model")
        await self.conversation.add(line)
        self.conversation.follow()
        await self._enqueue(Waiting(run, line))

    async def _run_waiting(self) -> None:
        """Run the commands whose turn it is."""
        while self._queue and self.state.can_answer and isinstance(self._queue[0], Waiting):
            first = self._queue[0]
            self._queue.popleft()
            self.waiting = len(self._queue)
            if first.line.is_attached:
                await first.line.remove()
            await first.run()

    async def _enqueue(self, sent: Sent | Waiting) -> None:
        self._queue.append(sent)
        self.waiting = len(self._queue)
        if self.state is ChatState.FAILED:
            self.open_session()
        await self._answer_next()

    async def _answer_next(self) -> None:
        await self._run_waiting()
        if not self._queue or not self.state.can_answer:
            return
        sent = self._queue.popleft()
        assert isinstance(sent, Sent)
        self._now = sent
        self.waiting = len(self._queue)
        self.state, self.writing = ChatState.THINKING, False
        if sent.bubble is not None:
            sent.bubble.wait_for("")
        self._answer = VardaMessage()
        await self.conversation.add(self._answer, after=sent.bubble)
        self.host.prepare()
        self._reply_in_thread(sent.prompt, sent.instead)

    @work(thread=True, exclusive=True, group="generate", exit_on_error=False)
    def _reply_in_thread(self, prompt: str, instead: bool) -> None:
        self.host.reply(prompt, self.post_message, instead=instead)

    @on(messages.ReplyDelta)
    async def _write(self, event: messages.ReplyDelta) -> None:
        if event.speed:
            self.vitals = replace(self.vitals, speed=event.speed)
        self.writing = True
        if self._answer is not None:
            await self._answer.write(event.text)

    @on(messages.ReplyFinished)
    async def _finish(self, event: messages.ReplyFinished) -> None:
        turn, sent = event.turn, self._now
        if self._answer is not None:
            await self._answer.finish(turn)
        if sent is not None:
            if sent.bubble is not None:
                sent.bubble.turn_id = turn.turn_id
            for message in sent.hidden:
                await message.remove()
        self._failed = None
        await self._clear_errors()
        self.vitals = Vitals(
            speed=turn.reply_tokens / turn.seconds if turn.seconds > 0 else 0.0,
            context=turn.prompt_tokens + turn.reply_tokens,
            lookup_seconds=turn.lookup_seconds,
        )
        # In a frame of its own: with the answer's end and the next one's beginning it would hold up the keys.
        self.call_after_refresh(self.show_memory, event.memory, turn)
        self.note_session()
        for line in event.notices:
            await self.conversation.add(Notice(line, error=True))
        if turn.left_window and not self._told_of_window:
            self._told_of_window = True
            await self.conversation.add(Notice(LEFT_THE_WINDOW))
        self._settle(ChatState.STOPPED if turn.stopped else ChatState.READY)
        if turn.seconds >= LONG_SECONDS and self.rings:
            self.app.bell()
        await self._answer_next()

    @on(messages.ReplyFailed)
    async def _tell_reply_failed(self, event: messages.ReplyFailed) -> None:
        self._failed = self._now
        if self._now is not None:
            for message in self._now.hidden:
                message.display = True
        if self._answer is not None:
            await self._answer.fail()
            hint = RETRY_HINT.format(shown(self.app, "retry"))
            await self._add_error(Notice(event.sentence, hint, error=True), after=self._answer)
        self._settle(ChatState.READY)
        await self._answer_next()

    async def _add_error(self, notice: Notice, *, after: VardaMessage | None = None) -> None:
        self._errors.append(notice)
        await self.conversation.add(notice, after=after)

    async def _clear_errors(self) -> None:
        """Take the errors away that are no longer true."""
        errors, self._errors = self._errors, []
        for notice in errors:
            if notice.is_attached:
                await notice.remove()

    async def retry(self) -> bool:
        """Send the prompt that failed once more, or load the model once more; whether there was anything to try."""
        if self.state is ChatState.FAILED:
            self.open_session()
            return True
        if self._failed is None or not self.state.can_answer:
            return False
        self.conversation.follow()
        sent, self._failed = self._failed, None
        for message in sent.hidden:
            message.display = False
        await self._enqueue(replace(sent, bubble=None))
        return True

    # -- sessions -------------------------------------------------------------------------------------------

    async def show_session(self, session_id: int, turn_id: int | None = None) -> None:
        """Show a session of the transcripts, at its end or from a turn on. Raises VardaError where there is none."""
        assert self.transcripts is not None
        self.session_name = self._name_of(session_id)
        pages = partial(self.transcripts.turns, session_id)
        if turn_id is None:
            await self.conversation.show(pages, pages(PAGE_TURNS))
        else:
            await self.conversation.show(pages, pages(PAGE_TURNS, after=turn_id - 1), at_end=False)
        self._told_of_window = False
        self._failed = None

    @work(group="session", exclusive=True, exit_on_error=False)
    async def switch_session(self, session_id: int | None) -> None:
        """Let the model resume a session, or begin a new one (None)."""
        self.vitals = Vitals()
        try:
            await asyncio.to_thread(self.host.switch, session_id)
        except VardaError as error:
            self.tell(str(error), warning=True)
        else:
            self.note_session()

    def note_session(self) -> None:
        """After a turn: what the session is called, and where its earlier turns come from."""
        session_id = self.host.session_id
        if session_id is None or self.transcripts is None:
            self.session_name = ""
            return
        try:
            self.session_name = self._name_of(session_id)
        except VardaError:
            self.session_name = ""
        else:
            self.conversation.page_with(partial(self.transcripts.turns, session_id))

    def _name_of(self, session_id: int) -> str:
        """What a session is called, and which branch it is. Raises VardaError where there is none."""
        assert self.transcripts is not None
        name, branches = self.transcripts.session(session_id).name, self.transcripts.branches(session_id)
        return name if len(branches) < 2 else f"{name}, branch {branches.index(session_id) + 1} of {len(branches)}"

    # -- the rest -------------------------------------------------------------------------------------------

    async def ask_session(self, act: Callable[[ChatSession], T], doing: str, *, wait: bool = True) -> T | None:
        """What ``act`` makes of the session, once it is free (or at once, for what only looks at the memory: not
        ``wait``); None where it failed, which was then told."""
        return await ask(self, self.host, act, doing, wait=wait)

    async def refresh_memory(self) -> None:
        """Show the memory as it is now."""
        memory = await self.ask_session(memory_of, "looking at the memory", wait=False)
        if memory is not None:
            await self.show_memory(memory)

    async def show_memory(self, memory: MemoryView, turn: Turn | None = None) -> None:
        """Show the memory as it is after ``turn`` (None: as it was found)."""
        self.memory = memory
        await self.query_one(MemoryPanel).show(memory, turn)

    def tell(self, line: str, *, warning: bool = False) -> None:
        """A notice at the screen's edge."""
        self.notify(line, severity="warning" if warning else "information", markup=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What went wrong in a worker is told, and ends nothing."""
        error = event.worker.error
        if event.state is WorkerState.ERROR and isinstance(error, Exception):
            self.tell(sentence_for(error, "doing that"), warning=True)

    def _settle(self, state: ChatState) -> None:
        """Enter ``state``, unless the program is already on its way out."""
        if self.state is not ChatState.SAVING:
            self.state = state
