"""The settings: each with a line on what it is, or on what is wrong with it; saved together into their file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.suggester import SuggestFromList
from textual.widgets import Checkbox, Input, Static

from varda_chat.config.settings import CHOICES, HELP, Settings, SettingsFile, parsed, save
from varda_chat.errors import VardaError
from varda_chat.text import one_line, sanitize
from varda_chat.tui.screens.card import Card, key_line
from varda_chat.tui.widgets.ticks import Tick
from varda_chat.tui.widgets.welcome import tilde

_EMPTY = {"checkpoint": "bundled", "system": "as she does"}
"""What a setting means where nothing is written."""


class SettingRow(Horizontal):
    """One setting: its name, its value, and a line beside it."""

    def __init__(self, name: str, value: Any, known: Sequence[str] = ()) -> None:
        """``known``: values to complete what is typed to; where there are some, no other is taken."""
        super().__init__(classes="row")
        self.setting = name
        self._value = value
        self._known = known

    def compose(self) -> ComposeResult:
        yield Static(self.setting.replace("_", " "), classes="name", markup=False)
        if isinstance(self._value, bool):
            yield Tick(value=self._value, compact=True)
        else:
            suggester = SuggestFromList(self._known, case_sensitive=False) if self._known else None
            yield Input(
                sanitize(f"{self._value}"), suggester=suggester, placeholder=_EMPTY.get(self.setting, ""), compact=True
            )
        yield Static(HELP[self.setting], classes="note", markup=False)

    @property
    def value(self) -> Any:
        """What stands there now. Raises VardaError where it cannot be."""
        if isinstance(self._value, bool):
            return self.query_one(Checkbox).value
        value = parsed(self.setting, self.query_one(Input).value)
        if self._known and value not in self._known:
            raise VardaError(f"There is no {self.setting} {one_line(value, 40)!r}.")
        return value

    def check(self) -> bool:
        """Say beside it what is wrong, if something is; whether nothing is."""
        wrong = ""
        try:
            _ = self.value
        except VardaError as error:
            wrong = one_line(str(error), 200)
        self.set_class(bool(wrong), "-wrong")
        self.query_one(".note", Static).update(Content(wrong or HELP[self.setting]))
        return not wrong


class SettingsScreen(Card[SettingsFile | None]):
    """Answers the file as it was saved, None where nothing was."""

    VERTICAL_BREAKPOINTS = [(0, "-short"), (28, "-tall")]  # noqa: RUF012 - Textual's declaration
    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("escape", "close", "Close, asked twice where there are changes", priority=True, id="settings.close"),
        Binding("ctrl+s", "save", "Save", priority=True, id="settings.save"),
        Binding("down", "app.focus_next", "Next", show=False, id="settings.next"),
        Binding("up", "app.focus_previous", "Previous", show=False, id="settings.previous"),
    ]

    def __init__(self, file: SettingsFile, themes: Sequence[str]) -> None:
        """``themes``: those there are."""
        super().__init__()
        self._file = file
        self._themes = themes
        self._leaving = False

    def compose(self) -> ComposeResult:
        with self.card("Settings", self._hints(), name="settings"):
            where = (one_line(tilde(self._file.path), 200), "$primary")
            yield Static(Content.assemble("They are kept in ", where, ". /keys changes the keys."), classes="note")
            with VerticalScroll():
                for name in HELP:
                    known = self._themes if name == "theme" else CHOICES.get(name, ())
                    yield SettingRow(name, getattr(self._file.settings, name), known)

    def on_mount(self) -> None:
        self.query(SettingRow).first().children[1].focus()

    @on(Input.Changed)
    @on(Checkbox.Changed)
    def _note_change(self, event: Input.Changed | Checkbox.Changed) -> None:
        row = event.control.parent
        if isinstance(row, SettingRow):
            row.check()
        if self._leaving:
            self._leaving = False
            self.show_hints(self._hints())

    @on(Input.Submitted)
    def _next(self) -> None:
        self.focus_next()

    def action_save(self) -> None:
        """Save, if every value can be."""
        rows = list(self.query(SettingRow))
        wrong = [row for row in rows if not row.check()]
        if wrong:
            wrong[0].children[1].focus()
            self._warn("Nothing is saved yet: see the line in red.")
            return
        try:
            self.dismiss(save(self._file, self._wanted()))
        except VardaError as error:
            self._warn(str(error))

    def action_close(self) -> None:
        """Leave; asked a second time, also with changes that are not saved."""
        try:
            changed = self._wanted() != self._file.settings
        except VardaError:
            changed = True
        if not changed or self._leaving:
            self.dismiss(None)
            return
        self._leaving = True
        self.query_one("#settings").border_subtitle = Content.assemble(
            (f" {self.key('settings.close')} again", "$error bold"),
            (" leaves without saving ", "$error"),
            key_line(((self.key("settings.save"), "save"),)),
        )

    def _hints(self) -> tuple[tuple[str, str], ...]:
        return (("Tab", "next"), (self.key("settings.save"), "save"), (self.key("settings.close"), "close"))

    def _wanted(self) -> Settings:
        values = {row.setting: row.value for row in self.query(SettingRow)}
        return replace(self._file.settings, **values)

    def _warn(self, line: str) -> None:
        self.notify(line, severity="warning", markup=False)
