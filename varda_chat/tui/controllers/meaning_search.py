"""MeaningSearch: what the model finds for the words in the memory browser's search."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from varda_chat.tui.controllers.asking import ask
from varda_chat.tui.controllers.workers import in_worker

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession
    from varda_chat.tui.screens.browser import BrowserScreen

MATCHES = 200
"""At most so many statements are found by meaning."""


class MeaningSearch:
    """Searches while ``is_on``, one search at a time, since each waits for the model; the browser then shows it.

    is_searching: whether one is under way.
    """

    def __init__(self, screen: BrowserScreen) -> None:
        self.screen = screen
        self.is_on = False
        self.is_searching = False
        self._matches: dict[int, float] = {}
        self._matches_of = ""

    @property
    def matches(self) -> dict[int, float] | None:
        """The statements found last, with their shares; None where it is not searched by meaning. Where that was for
        other words than are wanted now, a search for these begins."""
        screen = self.screen
        if not self.is_on or not screen.wanted.words.strip() or screen.shows_deleted:
            return None
        if self._matches_of != screen.wanted.words and not self.is_searching:
            self.is_searching = True
            self._search()
        return self._matches

    @in_worker("search")
    async def _search(self) -> None:
        """Search until what is wanted has been searched for: what is written meanwhile is searched for after."""
        screen = self.screen
        try:
            while self.is_on and not screen.shows_deleted and self._matches_of != screen.wanted.words:
                words = screen.wanted.words
                found = await ask(screen, screen.host, partial(_find, words), "searching")
                self._matches, self._matches_of = found or {}, words
        finally:
            self.is_searching = False
        screen.fill(keep=False)


def _find(words: str, session: ChatSession) -> dict[int, float]:
    """What the model finds for ``words``, as ``varda-chat memory search`` does, with its shares."""
    return {each.id: each.weight for each in session.memory.search(words, MATCHES)} if words.strip() else {}
