"""Preferences: what commands and keys ask of the program itself: settings, keys, colours, how answers are drawn."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from varda_chat.config.defaults import GenerationSettings
from varda_chat.config.settings import Settings, read
from varda_chat.errors import VardaError
from varda_chat.text import one_line
from varda_chat.tui.bindings import shown
from varda_chat.tui.controllers.drawing import change_drawing
from varda_chat.tui.controllers.personas import change_persona
from varda_chat.tui.controllers.workers import in_worker
from varda_chat.tui.screens.keys import KeysScreen
from varda_chat.tui.themes import KNOWN

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession
    from varda_chat.tui.screens.chat import ChatScreen

_LATER = ("profile", "checkpoint", "memory_size", "system")
"""Settings that count from the next start on."""


class Preferences:
    """Changes how the program looks and answers, in this session or as the person has it in the settings file."""

    def __init__(self, screen: ChatScreen) -> None:
        self.screen = screen

    @in_worker("dialog")
    async def settings(self) -> None:
        """Look at the settings and change them."""
        screen = self.screen
        try:
            screen.settings = read(screen.settings.path)  # it may have been edited meanwhile
        except VardaError as error:
            screen.tell(str(error), warning=True)
            return
        from varda_chat.tui.screens.settings import SettingsScreen  # not needed for the first paint

        saved = await screen.app.push_screen_wait(SettingsScreen(screen.settings, KNOWN))
        if saved is None:
            return
        before, screen.settings = screen.settings.settings, saved
        after = saved.settings
        line = f"The settings are saved in {one_line(str(saved.path), 200)}."
        later = [name.replace("_", " ") for name in _LATER if getattr(before, name) != getattr(after, name)]
        if later:
            line += f" From the next start on: {', '.join(later)}."
        screen.tell(line)
        await self._apply(before, after)

    @in_worker("settings")
    async def set(self, text: str = "") -> None:
        """Change how answers are drawn in this session; without words, say how they are."""
        screen = self.screen
        if screen.commands.must_load():
            return
        now = screen.request.generation
        wanted, line = change_drawing(now, text)  # where it is wrong, its sentence is told
        if wanted == now:
            screen.tell(line)
            return

        def change(session: ChatSession) -> bool:
            session.generation = wanted
            return True

        if await screen.ask_session(change, "changing how answers are drawn"):
            screen.request = replace(screen.request, generation=wanted)
            screen.tell(f"{line} {shown(screen.app, 'settings')} (/settings) keeps it.")

    @in_worker("settings")
    async def persona(self, text: str = "") -> None:
        """Say how Varda should speak in this session ("off": as she does), keep it for the profile, or tell what it
        is."""
        screen = self.screen
        if screen.commands.must_load():
            return
        line = await screen.ask_session(lambda session: change_persona(session, text), "changing the persona")
        if line is not None:
            screen.tell(line)

    @in_worker("dialog")
    async def keys(self) -> None:
        """Look at the keys and change them."""
        screen = self.screen
        try:
            screen.settings = read(screen.settings.path)
        except VardaError as error:
            screen.tell(str(error), warning=True)
        else:
            screen.settings = await screen.app.push_screen_wait(KeysScreen(screen.settings))

    def theme(self, name: str = "") -> None:
        """Change the colours: to the theme of that name, or one that is chosen."""
        screen = self.screen
        if not name:
            screen.app.action_change_theme()
        elif name in screen.app.available_themes:
            screen.app.theme = name
            screen.tell(f"{name} is the theme of this session. {shown(screen.app, 'settings')} (/settings) keeps it.")
        else:
            line = f"There is no theme {one_line(name, 40)!r}; /theme alone shows those there are."
            screen.tell(line, warning=True)

    async def _apply(self, before: Settings, after: Settings) -> None:
        """Let what can be changed at once follow; what was not changed stays as the flags have it."""
        screen = self.screen
        if after.theme != before.theme:
            screen.app.theme = after.theme
        if after.panel != before.panel:
            screen.arrangement.show_panel(after.panel)
        changed = {
            each.name: getattr(after, each.name)
            for each in fields(GenerationSettings)
            if getattr(after, each.name, None) != getattr(before, each.name, None)
        }
        screen.request = replace(screen.request, generation=replace(screen.request.generation, **changed))
        if after.memory_size != before.memory_size:
            size = after.memory_size
            screen.request = replace(screen.request, memory_size=size, usual_memory_size=size)
        if after.confirm_deletes != before.confirm_deletes:
            screen.request = replace(screen.request, confirm_deletes=after.confirm_deletes)
        if changed or after.confirm_deletes != before.confirm_deletes:

            def change(session: ChatSession) -> None:
                session.generation = replace(session.generation, **changed)
                session.confirm_deletes = screen.request.confirm_deletes

            await screen.ask_session(change, "changing the settings")
