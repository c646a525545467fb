"""The messages, newest at the bottom: follows the end on demand, mounts a window of them, loads more at its edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from textual.containers import VerticalScroll
from textual.widget import Widget

from varda_chat.errors import VardaError
from varda_chat.transcripts import StoredTurn
from varda_chat.tui.widgets.message import UserMessage, VardaMessage

MOUNTED_MESSAGES = 80
PAGE_TURNS = 12
_MOST_MOUNTED = 4 * MOUNTED_MESSAGES
"""Where what was never written keeps the end mounted, as while incognito, so far one can go up."""
_NEAR_LINES = 4
"""So near the edge of what is mounted, more is loaded."""


class Pages(Protocol):
    """Turns of a session from the transcripts, as ``Transcripts.turns`` gives them."""

    def __call__(
        self, limit: int, *, before: int | None = None, after: int | None = None
    ) -> tuple[StoredTurn, ...]: ...


class Conversation(VerticalScroll, can_focus=False):
    """A scrolling column of messages."""

    def __init__(self) -> None:
        super().__init__()
        self._pages: Pages | None = None
        self._more_above = False
        self._more_below = False
        self.is_reading = False

    # showing

    async def add(self, message: Widget, *, after: Widget | None = None) -> None:
        """Show ``message`` at the end or right ``after`` another; surplus old ones leave."""
        if after is not None and after.parent is self:
            await self.mount(message, after=after)
        else:
            await self.mount(message)
        await self._drop_from_the_top()

    async def show(self, pages: Pages | None, turns: Sequence[StoredTurn] = (), *, at_end: bool = True) -> None:
        """Show ``turns`` in place of everything; more of them come from ``pages`` at the edges of what is mounted."""
        self._pages = pages
        self._more_above, self._more_below = bool(turns), not at_end
        self.is_reading = True  # emptying scrolls to the top, where nobody has scrolled to read on
        with self.app.batch_update():
            await self.remove_children()
            await self.mount_all(_messages(turns))
        if at_end:
            self.follow()
        else:
            self.release_anchor()
        self.call_after_refresh(self._loaded)

    def page_with(self, pages: Pages) -> None:
        """What is shown now, and was written, belongs to the session of ``pages``."""
        self._pages = pages

    def keep_unwritten(self) -> None:
        """What is shown now is of no session that could be read again."""
        self._pages = None
        self._more_above = self._more_below = False
        for child in self.children:
            if isinstance(child, (UserMessage, VardaMessage)):
                child.turn_id = None

    async def have_end(self) -> None:
        """Mount the end of the session again, where the reader has scrolled so far above it that it is not there."""
        if self._more_below and (turns := self._page()):
            await self.show(self._pages, turns)

    async def to_end(self) -> None:
        """Go to the end of the session."""
        await self.have_end()
        self.follow()

    def follow(self) -> None:
        """Go to the end and stay there while text comes."""
        self.anchor()

    def last_exchange(self) -> tuple[UserMessage, VardaMessage] | None:
        """The last message that was answered, and its answer: one that did not fail, if there is one."""
        answer: VardaMessage | None = None
        for child in reversed(self.children):
            if not child.display:
                continue
            if isinstance(child, VardaMessage):
                answer = child if answer is None or (answer.turn is None and child.turn is not None) else answer
            elif isinstance(child, UserMessage) and answer is not None:
                return child, answer
        return None

    # more at the edges

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self._pages is None or self.is_reading:
            return
        above = self._more_above and new_value <= _NEAR_LINES and new_value < old_value
        above = above and len(self.children) < _MOST_MOUNTED
        below = self._more_below and new_value >= self.max_scroll_y - _NEAR_LINES and new_value > old_value
        if above or below:
            self.is_reading = True
            self.call_later(self._load_earlier if above else self._load_later)

    async def _load_earlier(self) -> None:
        mark, first = next(((child, id_) for child in self.children if (id_ := _turn_id(child)) is not None), (None, 0))
        turns = self._page(before=first) if mark is not None else ()
        self._more_above = len(turns) == PAGE_TURNS
        if mark is None or not turns:
            self.is_reading = False
            return
        distance = mark.virtual_region.y - self.scroll_y
        with self.app.batch_update():
            await self.mount_all(_messages(turns), before=mark)
            await self._drop_from_the_bottom()
        self._keep_in_place(mark, distance)

    async def _load_later(self) -> None:
        last = next((id_ for child in reversed(self.children) if (id_ := _turn_id(child)) is not None), None)
        turns = self._page(after=last) if last is not None else ()
        self._more_below = len(turns) == PAGE_TURNS
        if not turns:
            self.is_reading = False
            return
        mark = self.children[-1]
        distance = mark.virtual_region.y - self.scroll_y
        with self.app.batch_update():
            await self.mount_all(_messages(turns))
            await self._drop_from_the_top()
        self._keep_in_place(mark, distance)

    def _page(self, *, before: int | None = None, after: int | None = None) -> tuple[StoredTurn, ...]:
        """More turns; none, which is then told, where the disk refuses."""
        try:
            return self._pages(PAGE_TURNS, before=before, after=after) if self._pages is not None else ()
        except VardaError as error:
            self.notify(str(error), severity="warning", markup=False)
            return ()

    def _keep_in_place(self, mark: Widget, distance: float) -> None:
        """Once the new messages have their heights: ``mark`` is ``distance`` lines below the top again."""

        def scroll() -> None:
            if mark.parent is self:
                self.scroll_to(y=mark.virtual_region.y - distance, animate=False, force=True)
            self._loaded()

        self.call_after_refresh(scroll)

    def _loaded(self) -> None:
        self.is_reading = False

    async def _drop_from_the_top(self) -> None:
        surplus = len(self.children) - MOUNTED_MESSAGES
        if surplus > 0:
            dropped = list(self.children)[:surplus]
            self._more_above = self._more_above or any(_turn_id(child) is not None for child in dropped)
            await self.remove_children(dropped)

    async def _drop_from_the_bottom(self) -> None:
        surplus = len(self.children) - MOUNTED_MESSAGES
        dropped = list(self.children)[-surplus:] if surplus > 0 else []
        # what was not written, or is being written, could not be loaded again
        kept = any(isinstance(child, (UserMessage, VardaMessage)) and child.turn_id is None for child in dropped)
        if dropped and not kept:
            self._more_below = True
            self.release_anchor()
            await self.remove_children(dropped)


def _turn_id(child: Widget) -> int | None:
    return child.turn_id if isinstance(child, (UserMessage, VardaMessage)) else None


def _messages(turns: Sequence[StoredTurn]) -> list[Widget]:
    return [
        message
        for turn in turns
        for message in (UserMessage(turn.prompt, turn_id=turn.id), VardaMessage.of_stored(turn))
    ]
