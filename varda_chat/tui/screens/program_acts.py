"""What commands and keys ask of the program itself: its settings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from textual import work

from varda_chat.config.defaults import GenerationSettings
from varda_chat.config.settings import DRAWN, Settings, SettingsFile, drawing, parsed, read, setting_typed
from varda_chat.errors import VardaError
from varda_chat.session.request import Request
from varda_chat.text import one_line
from varda_chat.tui.bindings import shown
from varda_chat.tui.controllers.personas import change_persona
from varda_chat.tui.controllers.session_host import SessionHost
from varda_chat.tui.screens.keys import KeysScreen
from varda_chat.tui.screens.memory_acts import MemoryActsScreen
from varda_chat.tui.state import SessionFacts
from varda_chat.tui.themes import KNOWN

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession
    from varda_chat.transcripts import Transcripts

_LATER = ("profile", "checkpoint", "memory_size", "system")
"""Settings that count from the next start on."""


class ProgramActsScreen(MemoryActsScreen):
    """One action each, as in CommandingScreen."""

    def __init__(
        self,
        host: SessionHost,
        request: Request,
        transcripts: Transcripts | None,
        settings: SettingsFile,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``request``: what the open session was opened for."""
        super().__init__(host, facts_before(request, incognito=request.incognito), transcripts, clock)
        self.request = request
        self.settings = settings

    @property
    def rings(self) -> bool:
        return self.settings.settings.bell

    @work(group="dialog", exit_on_error=False)
    async def action_settings(self) -> None:
        """Look at the settings and change them."""
        try:
            self.settings = read(self.settings.path)  # it may have been edited meanwhile
        except VardaError as error:
            self.tell(str(error), warning=True)
            return
        from varda_chat.tui.screens.settings import SettingsScreen  # not needed for the first paint

        saved = await self.app.push_screen_wait(SettingsScreen(self.settings, KNOWN))
        if saved is None:
            return
        before, self.settings = self.settings.settings, saved
        after = saved.settings
        line = f"The settings are saved in {one_line(str(saved.path), 200)}."
        later = [name.replace("_", " ") for name in _LATER if getattr(before, name) != getattr(after, name)]
        if later:
            line += f" From the next start on: {', '.join(later)}."
        self.tell(line)
        await self._apply(before, after)

    @work(group="settings", exit_on_error=False)
    async def action_set(self, text: str = "") -> None:
        """Change how answers are drawn in this session; without words, say how they are."""
        if self._must_load():
            return
        now = self.request.generation
        name, value = setting_typed(text)
        if name not in DRAWN:
            problem = f"There is nothing called {one_line(name, 40)!r} to set. " if name else ""
            self.tell(
                f"{problem}Now: {drawing(now)}. /set NAME VALUE changes one for this session.", warning=bool(problem)
            )
            return
        if not value:
            self.tell(f"{name} is {getattr(now, name):g}.")
            return
        changed = {name: parsed(name, value)}  # where it is wrong, its sentence is told

        def change(session: ChatSession) -> bool:
            session.generation = replace(session.generation, **changed)
            return True

        if await self.ask_session(change, "changing how answers are drawn"):
            self.request = replace(self.request, generation=replace(now, **changed))
            keeps = shown(self.app, "settings")
            self.tell(f"{name} is {changed[name]:g} in this session. {keeps} (/settings) keeps it.")

    @work(group="settings", exit_on_error=False)
    async def action_persona(self, text: str = "") -> None:
        """Say how Varda shall speak in this session ("off": as she does), keep it for the profile, or tell what it
        is."""
        if self._must_load():
            return
        line = await self.ask_session(lambda session: change_persona(session, text), "changing the persona")
        if line is not None:
            self.tell(line)

    @work(group="dialog", exit_on_error=False)
    async def action_keys(self) -> None:
        """Look at the keys and change them."""
        try:
            self.settings = read(self.settings.path)
        except VardaError as error:
            self.tell(str(error), warning=True)
        else:
            self.settings = await self.app.push_screen_wait(KeysScreen(self.settings))

    async def _apply(self, before: Settings, after: Settings) -> None:
        """Let what can be changed at once follow; what was not changed stays as the flags have it."""
        if after.theme != before.theme:
            self.app.theme = after.theme
        if after.panel != before.panel:
            self.show_panel(after.panel)
        changed = {
            each.name: getattr(after, each.name)
            for each in fields(GenerationSettings)
            if getattr(after, each.name, None) != getattr(before, each.name, None)
        }
        self.request = replace(
            self.request,
            generation=replace(self.request.generation, **changed),
            memory_size=after.memory_size if after.memory_size != before.memory_size else self.request.memory_size,
        )
        if after.confirm_deletes != before.confirm_deletes:
            self.request = replace(self.request, confirm_deletes=after.confirm_deletes)
        if changed or after.confirm_deletes != before.confirm_deletes:

            def change(session: ChatSession) -> None:
                session.generation = replace(session.generation, **changed)
                session.confirm_deletes = self.request.confirm_deletes

            await self.ask_session(change, "changing the settings")

    def show_panel(self, shown: bool) -> None:
        """Show the memory beside the conversation, where there is room for both, or hide it."""
        raise NotImplementedError


def facts_before(request: Request, *, incognito: bool) -> SessionFacts:
    """What is known of a session before it is open."""
    return SessionFacts(one_line(request.model_name, 60), request.profile, incognito=incognito)
