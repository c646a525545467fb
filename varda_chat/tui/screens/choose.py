"""Choosing among statements: what a person meant to forget, or which are pinned. Shows all of it before it happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import SelectionList, Static
from textual.widgets.selection_list import Selection

from varda_chat.text import one_line, speaker
from varda_chat.tui.formatting import ago
from varda_chat.tui.screens.card import Card
from varda_chat.tui.widgets.ticks import TickList

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement
    from varda_chat.tui.widgets.composer import Composer

_TEXT_CHARACTERS = 300
_EDITING_KEYS = ("backspace", "enter")
"""Keys that are part of writing; Enter sends nothing while it is asked."""
QUIET_SECONDS = 1.0
"""A question that nobody asked for takes its key only so long after the last other one: who is writing means no act."""


class ChooseScreen(Card[frozenset[int] | None]):
    """Answers the ids that are marked in the end, None where nothing shall happen."""

    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("enter", "confirm", "Confirm", priority=True, id="choose.confirm"),
        Binding("y", "forget", "Forget", id="choose.forget"),
    ]

    def __init__(
        self,
        title: str,
        verb: str,
        statements: Sequence[Statement],
        *,
        marked: frozenset[int],
        note: str = "",
        clock: Callable[[], float],
    ) -> None:
        """``verb``: what happens to what is marked: "pin", by Enter, or "forget", by a key that nobody presses by the
        way. ``note``: a line above the list."""
        super().__init__()
        self._title = title
        self._verb = verb
        self._statements = statements
        self._marked = marked
        self._note = note
        self._clock = clock

    def compose(self) -> ComposeResult:
        with self.card(self._title, (), name="choose"):
            if self._note:
                yield Static(self._note, classes="note", markup=False)
            yield TickList(
                *(Selection(self._line(each), each.id, each.id in self._marked) for each in self._statements)
            )

    def on_mount(self) -> None:
        self.query_one(SelectionList).focus()
        self._show_keys()

    @on(SelectionList.SelectedChanged)
    def _show_keys(self) -> None:
        count = len(self.query_one(SelectionList).selected)
        mark = ("Space", "mark")
        act = (self.key("choose.forget" if self._forgets else "choose.confirm"), f"{self._verb} {count}")
        leave = self.key("card.close")
        if self.is_narrow:
            self.show_hints((act, mark, (leave, "leave")))
        else:
            self.show_hints((mark, act, (leave, "change nothing")))

    @property
    def _forgets(self) -> bool:
        return self._verb == "forget"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where something would be lost, Enter only marks."""
        acts = {"confirm": not self._forgets, "forget": self._forgets}
        return acts.get(action, True)

    def action_forget(self) -> None:
        """Forget what is marked."""
        self.action_confirm()

    def action_confirm(self) -> None:
        """Take what is marked."""
        self.dismiss(frozenset(self.query_one(SelectionList).selected))

    def _line(self, statement: Statement) -> Content:
        who = speaker(statement.role)
        pin = "  pinned" if statement.pinned else ""
        return Content.assemble(
            one_line(statement.text, _TEXT_CHARACTERS),
            (f"  {who}, {ago(statement.created_at, self._clock())}{pin}", "$quiet"),
        )


class ConfirmScreen(ChooseScreen):
    """What a turn is about to delete, all of it marked. It opens unasked, so a letter of a message that is being
    written must not let anything go; it goes into the composer, where it was meant to go."""

    def __init__(
        self,
        statements: Sequence[Statement],
        *,
        clock: Callable[[], float],
        stop: Callable[[], None],
        composer: Composer,
    ) -> None:
        """``stop`` stops the answer. ``composer``: takes what is written meanwhile."""
        super().__init__(
            "Varda would delete",
            "forget",
            statements,
            marked=frozenset(each.id for each in statements),
            note="Your message makes her delete what is marked. What you write meanwhile waits below.",
            clock=clock,
        )
        self._stop = stop
        self._composer = composer
        self._key_before = self._last_key = 0.0
        self._wrote_at = float("-inf")
        self._letter = ""  # of the last key that was the dialog's
        self._held = ""  # such a letter that came too early: if others follow, it was written

    def on_mount(self) -> None:
        self._key_before = self._last_key = time.monotonic()
        if self._composer.text:  # somebody is writing
            self._wrote_at = self._last_key

    def on_key(self, event: events.Key) -> None:
        """Note when it was, which is before it acts. Ctrl+C stops the answer, as everywhere; what is written goes on
        into the composer."""
        self._key_before, self._last_key = self._last_key, time.monotonic()
        if event.key == "ctrl+c":
            self.stop()
        elif not self._written(event):
            self._held = ""
            self._letter = event.character or ""
            return
        event.stop()
        event.prevent_default()

    def _written(self, event: events.Key) -> bool:
        """Whether ``event`` is part of a message, which then has it. A key of this dialog is, right after a letter."""
        writing = self._last_key - self._wrote_at < QUIET_SECONDS
        own = not event.is_printable or event.key in self.active_bindings
        if own and not (writing and (event.is_printable or event.key in _EDITING_KEYS)):
            return False
        if event.is_printable:
            self._composer.insert(self._held + (event.character or ""))
            self._held = ""
        elif event.key == "backspace":
            self._composer.action_delete_left()
        self._wrote_at = self._last_key
        return True

    def stop(self) -> None:
        """Stop the answer, and change nothing; what lies above this dialog, such as the help, closes with it."""
        self._stop()
        if self in self.app.screen_stack:
            while not self.is_active:
                self.app.pop_screen()
            self.dismiss(None)

    def on_paste(self, event: events.Paste) -> None:
        """A paste is part of a message."""
        event.stop()
        self._composer.paste(event.text)

    def action_forget(self) -> None:
        """Let what is marked go, unless somebody is writing."""
        if self._last_key - self._key_before >= QUIET_SECONDS:
            super().action_forget()
        else:
            self._held = self._letter
            self.notify(f"Nothing is deleted yet: wait a moment, then press {self.key('choose.forget')} again.")
