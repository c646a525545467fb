"""Talk: has prompts answered one at a time, and shows the reply while it is streamed; what comes meanwhile waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from varda_chat.tui import messages
from varda_chat.tui.bindings import shown
from varda_chat.tui.state import ChatState, Progress, Vitals
from varda_chat.tui.widgets.message import Notice, UserMessage, VardaMessage
from varda_chat.tui.widgets.welcome import Welcome

if TYPE_CHECKING:
    from varda_chat.session.turn import Turn
    from varda_chat.tui.screens.chat import ChatScreen

LONG_SECONDS = 10.0
"""The bell rings for an answer that took so long."""
RETRY_HINT = "Your message is kept. {} tries again."
LEFT_THE_WINDOW = (
    "The oldest turns have left what the model can read at once. They stay here to scroll to, and what it stored "
    "of them stays in its memory."
)


@dataclass(frozen=True)
class Sent:
    """A prompt to be answered. ``bubble`` shows it; ``hidden``: the messages whose place it takes."""

    prompt: str
    bubble: UserMessage | None = None
    hidden: tuple[UserMessage | VardaMessage, ...] = ()

    @property
    def instead(self) -> Turn | None:
        """The turn whose messages are ``hidden``; None where there is none, or it failed."""
        return next((each.turn for each in self.hidden if isinstance(each, VardaMessage)), None)


@dataclass(frozen=True)
class Waiting:
    """A command that runs when the model is loaded and what was sent before it is answered; ``line`` shows it."""

    run: Callable[[], Awaitable[None]]
    line: Notice
    text: str


class Talk:
    """The queue of what was sent, and the one prompt that is answered now."""

    def __init__(self, screen: ChatScreen) -> None:
        self.screen = screen
        self._queue: deque[Sent | Waiting] = deque()
        self._now: Sent | None = None
        self._failed: Sent | None = None
        self._answer: VardaMessage | None = None
        self._runs_command = False
        self._told_of_window = False
        self._errors: list[Notice] = []  # shown, and true until the next success

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered or waits to be."""
        return self.screen.state is not ChatState.THINKING and not self._queue

    @property
    def takes_commands(self) -> bool:
        """Whether a command may act now. For one that waited, what was sent after it waits in its turn."""
        return self.is_idle or (self._runs_command and self.screen.state.can_answer)

    def begin_anew(self) -> None:
        """Another session is shown: what failed in the one before is not tried again, and a message of it that is being
        changed takes no place in this one."""
        self._told_of_window = False
        self._failed = None
        self.screen.composer.editing = False

    # opening

    def open_session(self) -> None:
        """Load the model and the memory while the person may already write."""
        screen = self.screen
        screen.state = ChatState.LOADING
        screen.progress = Progress()
        self._in_thread("open", lambda: screen.host.open(screen.post_message))

    async def note_opened(self, event: messages.SessionOpened) -> None:
        """The session is there: show it, and answer what waits."""
        screen = self.screen
        screen.details = event.details
        await self._clear_errors()
        for welcome in screen.query(Welcome):
            welcome.show_details(event.details)
        await screen.show_memory(event.memory)
        await screen.memories.follow_memory()
        for notice in event.details.notices:
            await screen.conversation.add(Notice(notice))
        self._settle(ChatState.READY)
        await self._answer_next()

    async def tell_open_failed(self, sentence: str) -> None:
        """Say why the session could not be opened."""
        self._settle(ChatState.FAILED)
        await self._add_error(Notice(sentence, f"{shown(self.screen.app, 'retry')} tries again.", error=True))
        self.screen.conversation.follow()

    # what is sent

    async def send(self, text: str) -> None:
        """Show ``text`` as the person's message and have it answered."""
        screen = self.screen
        await screen.conversation.to_end()
        bubble = UserMessage(text)
        if screen.state in (ChatState.LOADING, ChatState.FAILED):
            bubble.wait_for("the model")
        elif not self.is_idle:
            bubble.wait_for("the answer before it")
        await screen.conversation.add(bubble)
        screen.conversation.follow()
        await self._enqueue(Sent(text, bubble))

    async def send_instead(self, text: str | None) -> None:
        """Have the last message answered again, or (``text``) another in its place."""
        conversation = self.screen.conversation
        await conversation.to_end()
        found = conversation.last_exchange()
        if found is None:
            self.screen.tell("There is no answer yet that another could take the place of.", warning=True)
            return
        bubble, answer = found
        hidden: tuple[UserMessage | VardaMessage, ...] = (answer,)
        prompt = bubble.text
        if text is not None and text != prompt:
            hidden, prompt, bubble = (bubble, answer), text, UserMessage(text)
            await conversation.add(bubble)
        for message in hidden:
            message.display = False
        conversation.follow()
        await self._enqueue(Sent(prompt, bubble, hidden))

    async def run_when_loaded(self, text: str, run: Callable[[], Awaitable[None]]) -> None:
        """Show the command ``text`` as waiting, and ``run`` it once the model is loaded. A key that is pressed once
        more asks for nothing more."""
        if self._queue and isinstance(self._queue[-1], Waiting) and self._queue[-1].text == text:
            return
        conversation = self.screen.conversation
        await conversation.to_end()
        waiting = Waiting(run, _waiting_line(text), text)
        await conversation.add(waiting.line)
        conversation.follow()
        await self._enqueue(waiting)

    async def waits_for_model(self, text: str, run: Callable[[], Awaitable[None]]) -> bool:
        """Whether the model is loading and something was sent before the command ``text``, which then waits in sight
        too."""
        if self.screen.state is not ChatState.LOADING or not self._queue:
            return False
        await self.run_when_loaded(text, run)
        return True

    async def show_queue(self) -> None:
        """Another session is shown: show what waits at its end."""
        for place, each in enumerate(self._queue):
            if isinstance(each, Waiting):
                line = _waiting_line(each.text)
                self._queue[place] = replace(each, line=line)
                await self.screen.conversation.add(line)
            else:
                bubble = UserMessage(each.prompt)
                bubble.wait_for("the model" if place == 0 else "the answer before it")
                self._queue[place] = replace(each, bubble=bubble)
                await self.screen.conversation.add(bubble)

    async def retry(self) -> bool:
        """Send the prompt that failed once more, or load the model once more; whether there was anything to try."""
        if self.screen.state is ChatState.FAILED:
            self.open_session()
            return True
        if self._failed is None or not self.screen.state.can_answer:
            return False
        self.screen.conversation.follow()
        sent, self._failed = self._failed, None
        for message in sent.hidden:
            message.display = False
        await self._enqueue(replace(sent, bubble=None))
        return True

    async def _enqueue(self, sent: Sent | Waiting) -> None:
        self._queue.append(sent)
        self.screen.waiting = len(self._queue)
        if self.screen.state is ChatState.FAILED:
            self.open_session()
        await self._answer_next()

    async def _run_waiting(self) -> None:
        """Run the commands whose turn it is."""
        while self._queue and self.screen.state.can_answer and isinstance(self._queue[0], Waiting):
            first = self._queue[0]
            self._queue.popleft()
            self.screen.waiting = len(self._queue)
            if first.line.is_attached:
                await first.line.remove()
            self._runs_command = True
            try:
                await first.run()
            finally:
                self._runs_command = False

    # a turn

    async def _answer_next(self) -> None:
        screen = self.screen
        await self._run_waiting()
        if not self._queue or not screen.state.can_answer:
            return
        sent = self._queue.popleft()
        assert isinstance(sent, Sent)
        self._now = sent
        screen.waiting = len(self._queue)
        screen.state, screen.writing = ChatState.THINKING, False
        if sent.bubble is not None:
            sent.bubble.wait_for("")
        self._answer = VardaMessage()
        await screen.conversation.add(self._answer, after=sent.bubble)
        screen.host.prepare()
        instead = sent.instead
        self._in_thread("generate", lambda: screen.host.reply(sent.prompt, screen.post_message, instead=instead))

    async def write(self, event: messages.ReplyDelta) -> None:
        """Show the next piece of the answer."""
        if event.speed:
            self.screen.vitals = replace(self.screen.vitals, speed=event.speed)
        self.screen.writing = True
        if self._answer is not None:
            await self._answer.write(event.text)

    async def finish(self, event: messages.ReplyFinished) -> None:
        """Show the whole answer and what it did to the memory, and answer the next prompt."""
        screen, turn, sent = self.screen, event.turn, self._now
        if self._answer is not None:
            await self._answer.finish(turn)
        if sent is not None:
            if sent.bubble is not None:
                sent.bubble.turn_id = turn.turn_id
            for message in sent.hidden:
                await message.remove()
        self._failed = None
        await self._clear_errors()
        screen.vitals = Vitals(
            speed=turn.reply_tokens / turn.seconds if turn.seconds > 0 else 0.0,
            context=turn.prompt_tokens + turn.reply_tokens,
            lookup_seconds=turn.lookup_seconds,
        )
        # In a frame of its own: with the answer's end and the next one's beginning it would hold up the keys.
        screen.call_after_refresh(screen.show_memory, event.memory, turn)
        screen.sessions.note()
        for line in event.notices:
            await screen.conversation.add(Notice(line, error=True))
        if turn.left_window and not self._told_of_window:
            self._told_of_window = True
            await screen.conversation.add(Notice(LEFT_THE_WINDOW))
        self._settle(ChatState.STOPPED if turn.stopped else ChatState.READY)
        if turn.seconds >= LONG_SECONDS and screen.settings.settings.bell:
            screen.app.bell()
        await self._answer_next()

    async def tell_failed(self, sentence: str) -> None:
        """Say why the turn failed, and answer the next prompt."""
        self._failed = self._now
        if self._now is not None:
            for message in self._now.hidden:
                message.display = True
        if self._answer is not None:
            await self._answer.fail()
            hint = RETRY_HINT.format(shown(self.screen.app, "retry"))
            await self._add_error(Notice(sentence, hint, error=True), after=self._answer)
        self._settle(ChatState.READY)
        await self._answer_next()

    async def _add_error(self, notice: Notice, *, after: VardaMessage | None = None) -> None:
        self._errors.append(notice)
        await self.screen.conversation.add(notice, after=after)

    async def _clear_errors(self) -> None:
        """Take the errors away that are no longer true."""
        errors, self._errors = self._errors, []
        for notice in errors:
            if notice.is_attached:
                await notice.remove()

    def _settle(self, state: ChatState) -> None:
        """Enter ``state``, unless the program is already on its way out."""
        if self.screen.state is not ChatState.SAVING:
            self.screen.state = state

    def _in_thread(self, group: str, work: Callable[[], None]) -> None:
        self.screen.run_worker(work, thread=True, exclusive=True, group=group, exit_on_error=False)


def _waiting_line(command: str) -> Notice:
    return Notice(command, "… waits for the model")
