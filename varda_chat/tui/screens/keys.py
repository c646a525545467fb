"""The keys: what each does and where; another is taken by pressing it, and saved at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol, cast

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from varda_chat.config.settings import SettingsFile, save
from varda_chat.errors import VardaError
from varda_chat.tui import bindings
from varda_chat.tui.screens.card import Card

_KEY_CELLS, _DOES_CELLS = 24, 36


class _App(Protocol):
    keymap: Mapping[str, str]

    def use_keys(self, keymap: Mapping[str, str]) -> None: ...


class PressScreen(Card[str | None]):
    """Answers the next key that is pressed; None for Esc. While it is open, no key does what it does elsewhere."""

    def __init__(self, does: str) -> None:
        super().__init__()
        self._does = does

    def compose(self) -> ComposeResult:
        with self.card(self._does, (("Esc", "leave it as it is"),), name="press"):
            yield Static("Press the new key.", markup=False)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        self.dismiss(None if event.key == "escape" else event.key)


class KeysScreen(Card[SettingsFile]):
    """Answers the settings file as it is in the end."""

    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("backspace,delete", "reset", "Give it its first key back", id="keys.reset"),
    ]

    def __init__(self, file: SettingsFile) -> None:
        super().__init__()
        self._file = file

    def compose(self) -> ComposeResult:
        with self.card("Keys", (), name="keys"):
            yield OptionList(markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    def on_resize(self) -> None:
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        listed = self.query_one(OptionList)
        before = listed.highlighted
        listed.clear_options()
        for place in bindings.places():
            if place.bindings:
                listed.add_option(Option(Content.styled(place.title.upper(), "$quiet bold"), disabled=True))
                listed.add_options(Option(self._line(each), id=each.id) for each in place.bindings)
        listed.highlighted = 1 if before is None else before
        hints = (("Enter", "change"), (self.key("keys.reset"), "reset"), (self.key("card.close"), "close"))
        self.show_hints(hints)

    def _line(self, binding: Binding) -> Content:
        own = self._file.settings.keys.get(binding.id or "")
        name = bindings.named(own or binding.key)
        key = (f"  {name:<{_KEY_CELLS - 2}}", "$accent bold" if own else "$primary")
        if self.is_narrow:
            return Content.assemble(key, f"\n    {binding.description}")
        return Content.assemble(key, f"{binding.description:<{_DOES_CELLS}}", (f" {binding.id}", "$quiet"))

    @on(OptionList.OptionSelected)
    def _change(self, event: OptionList.OptionSelected) -> None:
        if event.option_id is not None:
            self._take_key(event.option_id)

    @work(group="dialog", exit_on_error=False)
    async def _take_key(self, binding_id: str) -> None:
        key = await self.app.push_screen_wait(PressScreen(bindings.by_id()[binding_id][1].description))
        if key is not None:
            self._use({**self._file.settings.keys, binding_id: key})

    def action_reset(self) -> None:
        """Give what is marked the key it came with."""
        listed = self.query_one(OptionList)
        if listed.highlighted is not None:
            marked = listed.get_option_at_index(listed.highlighted).id
            self._use({each: key for each, key in self._file.settings.keys.items() if each != marked})

    def _use(self, keymap: Mapping[str, str]) -> None:
        """Save the keys and let them count from now on, if they can be used together."""
        try:
            bindings.check(keymap)
            self._file = save(self._file, replace(self._file.settings, keys=keymap))
        except VardaError as error:
            self.notify(str(error), severity="warning", markup=False)
            return
        cast("_App", self.app).use_keys(self._file.settings.keys)
        self._fill()

    def action_close(self) -> None:
        """Back to the chat."""
        self.dismiss(self._file)
