"""The memory browser: every statement in memory, searched by words or by meaning, filtered, sorted and changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input

from varda_chat.text import sanitize
from varda_chat.tui import bindings
from varda_chat.tui.controllers.asking import ask
from varda_chat.tui.controllers.browser_actions import BrowserActions
from varda_chat.tui.controllers.browsing import (
    Age,
    Entry,
    Order,
    Role,
    Wanted,
    Which,
    entries_of,
    entries_of_removed,
    next_choice,
    shown,
)
from varda_chat.tui.controllers.meaning_search import MeaningSearch
from varda_chat.tui.controllers.session_host import SessionHost
from varda_chat.tui.widgets.browser_lines import Chip, Detail, HeadLine, KeyLine, SearchField
from varda_chat.tui.widgets.statement_list import StatementList

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession

_HINTS = (
    ("statements.open", "open"), ("browser.search", "search"), ("browser.forget", "forget"), ("browser.edit", "edit"),
    ("browser.pin", "pin"), ("browser.map", "map"), ("statements.mark", "mark"), ("browser.undo", "undo"),
    ("browser.export", "export"), ("browser.by_meaning", "by meaning"), ("browser.purge", "purge"),
    ("browser.back", "back"),
)  # fmt: skip
_HINTS_ON_DELETED = (
    ("statements.open", "open"), ("browser.undo", "restore"), ("browser.purge", "purge"), ("browser.search", "search"),
    ("statements.mark", "mark"), ("browser.which", "what is kept"), ("browser.back", "back"),
)  # fmt: skip


class BrowserScreen(Screen[bool]):
    """Shows the statements that are wanted, and answers whether the memory was changed. ``acts`` changes it."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (64, "-wide")]  # noqa: RUF012 - Textual's own declaration
    VERTICAL_BREAKPOINTS = [(0, "-short"), (18, "-tall")]  # noqa: RUF012 - Textual's own declaration
    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("slash,ctrl+f", "search", "Search", id="browser.search"),
        Binding("ctrl+t", "by_meaning", "Search by words or by meaning", id="browser.by_meaning", priority=True),
        Binding("down", "to_list", "To the list", show=False, id="browser.to_list"),
        Binding("r", "next('role')", "Said by anyone, only you, only Varda", id="browser.role"),
        Binding("a", "next('age')", "Of any age, of today, of the last 7 days, older", id="browser.age"),
        Binding("s", "next('order')", "Newest, oldest, most recalled first, A to Z", id="browser.order"),
        Binding("d", "next('which')", "What is kept, or what was deleted", id="browser.which"),
        Binding("p", "act('pin')", "Pin or unpin", id="browser.pin"),
        Binding("e", "act('edit')", "Edit", id="browser.edit"),
        Binding("f,delete", "act('forget')", "Forget", id="browser.forget"),
        Binding("z,shift+delete", "act('purge')", "Purge: leave no trace in any file", id="browser.purge"),
        Binding("u,f8", "act('undo')", "Undo; of what was deleted: restore", id="browser.undo"),
        Binding("x", "act('export')", "Export what is marked, or all that is shown", id="browser.export"),
        Binding("m", "act('map')", "Map of what is shown", id="browser.map"),
        Binding("escape", "back", "Back", id="browser.back"),
    ]

    def __init__(
        self, host: SessionHost, is_idle: Callable[[], bool], clock: Callable[[], float] = time.time, words: str = ""
    ) -> None:
        """``is_idle``: whether Varda writes no answer. ``words``: what to search for at first."""
        super().__init__()
        self.host, self.is_idle, self.clock = host, is_idle, clock
        self.acts = BrowserActions(self)
        self.meaning = MeaningSearch(self)
        self.wanted = Wanted(words=sanitize(words))
        self.entries: list[Entry] = []
        """All that are in memory, or all that were deleted, as it is wanted."""
        self._all: dict[Which, list[Entry]] = {each: [] for each in Which}
        self._loaded = False

    def compose(self) -> ComposeResult:
        yield HeadLine("Memory")
        search = SearchField(self.wanted.words, placeholder="Search in what Varda remembers")
        search.border_title = "Search"
        yield search
        with Horizontal(id="chips"):
            yield Chip("browser.role", Role)
            yield Chip("browser.age", Age)
            yield Chip("browser.order", Order)
            yield Chip("browser.which", Which)
        yield StatementList(self.clock)
        yield Detail(self.clock)
        yield KeyLine()

    def on_mount(self) -> None:
        self.listed.focus()
        self._show_keys()

    def on_screen_resume(self) -> None:
        """Whatever happened meanwhile, show the memory as it is now."""
        self.load()

    # what is shown

    @work(group="load", exclusive=True, exit_on_error=False)
    async def load(self) -> None:
        """Read the memory again."""
        found = await ask(self, self.host, _entries_of_memory, "reading the memory", wait=False)
        if found is not None:
            self._all, self._loaded = found, True
            self._take_entries()

    def _take_entries(self) -> None:
        """Go over to the statements that are wanted: those in memory or those deleted."""
        self.entries = self._all[self.wanted.which]
        self.listed.mark_only({each.statement.id for each in self.entries})
        self.fill()

    @property
    def listed(self) -> StatementList:
        """The statements."""
        return self.query_one(StatementList)

    @property
    def shows_deleted(self) -> bool:
        """Whether what was deleted is shown, and not what is in memory."""
        return self.wanted.which is Which.DELETED

    def fill(self, *, keep: bool = True) -> None:
        """Show those of ``entries`` that are wanted. ``keep``: the cursor stays where it is."""
        matches = self.meaning.matches
        self.listed.show(shown(self.entries, self.wanted, self.clock(), matches), self.wanted.words, keep=keep)
        for chip in self.query(Chip):
            chip.show(self.wanted, by_meaning=matches is not None)
        self._show_state()

    @on(StatementList.Marked)
    def _show_state(self) -> None:
        listed, there = self.listed, len(self.entries)
        self.query_one(SearchField).border_title = "Search by meaning" if self.meaning.is_on else "Search by words"
        listed.why_none = self._why_none()
        count = f"{there:,}" if len(listed.entries) == there else f"{len(listed.entries):,} of {there:,}"
        right = Content.styled(f"{count} {'deleted' if self.shows_deleted else 'in memory'}", "$quiet")
        if listed.marked:
            right = Content.assemble((f"{len(listed.marked):,} marked", "$accent"), ("  ·  ", "$quiet"), right)
        self.query_one(HeadLine).right = right

    def _why_none(self) -> str:
        if not self._loaded:
            return "Reading the memory …"
        if self.shows_deleted:
            return "No deleted memory is like that." if self.entries else "Nothing that was deleted can be restored."
        if not self.entries:
            return "Nothing is in memory yet. Tell Varda something worth keeping, or /remember it."
        if self.meaning.is_searching:
            return "Searching …" if self.is_idle() else "Varda is writing. The search begins when she is done."
        by_meaning = self._key("browser.by_meaning")
        if self.meaning.is_on:
            return f"The model finds nothing for this. {by_meaning} searches by words."
        if self.wanted.words.strip():
            return f"No memory holds these words. {by_meaning} searches by meaning."
        return "No memory is like that."

    @on(StatementList.Highlighted)
    def _show_detail(self, event: StatementList.Highlighted) -> None:
        self.query_one(Detail).entry = event.entry

    def _show_keys(self) -> None:
        line = self.query_one(KeyLine)
        if self.focused is self.query_one(SearchField):
            by_meaning = (self._key("browser.by_meaning"), "by words or by meaning")
            line.keys = (("Enter", "to the list"), by_meaning, (self._key("browser.back"), "to the list"))
        else:
            hints = _HINTS_ON_DELETED if self.shows_deleted else _HINTS
            line.keys = tuple((self._key(binding), does) for binding, does in hints)

    def _key(self, binding_id: str) -> str:
        return bindings.shown(self.app, binding_id)

    def on_descendant_focus(self) -> None:
        self._show_keys()

    def on_descendant_blur(self) -> None:
        self._show_keys()

    # what is done

    def action_act(self, name: str) -> None:
        """Do what ``BrowserActions`` calls so."""
        getattr(self.acts, name)()

    @on(StatementList.Opened)
    def _open(self, event: StatementList.Opened) -> None:
        self.acts.open(event.entry.statement)

    # choosing

    @on(Input.Changed)
    def _take_words(self, event: Input.Changed) -> None:
        words = sanitize(event.value)
        if words != self.wanted.words:
            self.wanted = replace(self.wanted, words=words)
            self.fill(keep=False)

    @on(Input.Submitted)
    def action_to_list(self) -> None:
        """From the search to what it found."""
        self.listed.focus()

    def action_search(self) -> None:
        """Go to the search."""
        self.query_one(SearchField).focus()

    def action_by_meaning(self) -> None:
        """Search by meaning from here on, or by words again."""
        self.meaning.is_on = not self.meaning.is_on
        if self.meaning.is_on and not self.wanted.words.strip():
            self.action_search()
        self.fill(keep=False)

    def action_next(self, kind: str) -> None:
        """Take the next role, age or order, or go over to what was deleted, or back."""
        kinds = {"role": Role, "age": Age, "order": Order, "which": Which}
        self._choose_next(kinds[kind])

    @on(Chip.Pressed)
    def _press(self, event: Chip.Pressed) -> None:
        self._choose_next(event.kind)

    def _choose_next(self, kind: object) -> None:
        wanted = self.wanted
        if kind is Which:
            self.wanted = replace(wanted, which=next_choice(wanted.which))
            self._take_entries()
            self._show_keys()
            return
        if kind is Role:
            self.wanted = replace(wanted, role=next_choice(wanted.role))
        elif kind is Age:
            self.wanted = replace(wanted, age=next_choice(wanted.age))
        else:
            self.wanted = replace(wanted, order=next_choice(wanted.order))
        self.fill()

    def action_back(self) -> None:
        """From the search to the list, from there to the chat."""
        if self.focused is self.query_one(SearchField):
            self.listed.focus()
        else:
            self.dismiss(self.acts.changed)


def _entries_of_memory(session: ChatSession) -> dict[Which, list[Entry]]:
    return {
        Which.KEPT: entries_of(session.memory.statements()),
        Which.DELETED: entries_of_removed(session.memory.removed()),
    }
