"""One turn at a time, in a thread of its own. Requests that come meanwhile wait in order; one too many is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from varda_chat.api.asking import Asked
from varda_chat.api.conversation import Conversation
from varda_chat.api.errors import ApiError
from varda_chat.session.turn import Turn
from varda_chat.text import numbered


class Answer:
    """The reply to one request, as it comes: iterate over its pieces, then take the turn from ``turn``."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.stopping = threading.Event()
        self.turn: Turn | None = None
        self.work: Future[None] | None = None
        self._pieces: asyncio.Queue[str | Turn | BaseException] = asyncio.Queue()

    def tell(self, what: str | Turn | BaseException) -> None:
        """What came of the turn: a piece of text, and in the end the turn, or what failed."""
        self._pieces.put_nowait(what)

    def stop(self) -> None:
        """Nobody waits for the reply any more: it ends where it is, or does not begin."""
        self.stopping.set()
        if self.work is not None:
            self.work.cancel()

    async def __aiter__(self) -> AsyncIterator[str]:
        while self.turn is None:
            match await self._pieces.get():
                case str() as piece:
                    yield piece
                case Turn() as turn:
                    self.turn = turn
                case error:
                    raise error


class Turns:
    """The turns of one conversation. ``most_waiting``: requests that may wait while another is answered."""

    def __init__(self, conversation: Conversation, most_waiting: int) -> None:
        self.conversation = conversation
        self._most_waiting = most_waiting
        self._answers: set[Answer] = set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="turns")

    def begin(self, asked: Asked) -> Answer:
        """Answer ``asked`` when those before it are answered. Raises ApiError, status 429, where too many wait."""
        if len(self._answers) > self._most_waiting:
            raise ApiError(
                f"One turn is answered at a time, and {numbered(len(self._answers) - 1, 'more request')} "
                f"{'waits' if len(self._answers) == 2 else 'wait'} already. Try again in a moment.",
                status=429,
                kind="rate_limit_error",
                code="rate_limit_exceeded",
            )
        loop = asyncio.get_running_loop()
        answer = Answer(asked)
        self._answers.add(answer)

        def done(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: the server has ended
                loop.call_soon_threadsafe(self._answers.discard, answer)

        answer.work = self._thread.submit(self._work, answer, loop)
        answer.work.add_done_callback(done)
        return answer

    async def close(self) -> None:
        """Stop what is being answered, and close the session."""
        for answer in self._answers:
            answer.stopping.set()
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)
        self.conversation.session.close()

    def _work(self, answer: Answer, loop: asyncio.AbstractEventLoop) -> None:
        def tell(what: str | Turn | BaseException) -> None:
            loop.call_soon_threadsafe(answer.tell, what)

        try:
            tell(self.conversation.reply(answer.asked, tell, answer.stopping))
        except BaseException as error:  # noqa: BLE001 - whoever waits is told of it
            tell(error)
