"""Moving to another profile or another model, where the open session is closed cleanly and the other one opened; into
and out of incognito."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import on, work

from varda_chat.config.paths import data_dir
from varda_chat.config.settings import SettingsFile
from varda_chat.errors import VardaError
from varda_chat.models import catalog
from varda_chat.models.catalog import BUNDLED
from varda_chat.session import profiles
from varda_chat.session.request import Request
from varda_chat.tui import messages
from varda_chat.tui.controllers.session_host import SessionHost, sentence_for
from varda_chat.tui.screens.program_acts import ProgramActsScreen, facts_before
from varda_chat.tui.state import ChatState, MemoryView, Progress, Vitals
from varda_chat.tui.widgets.message import Notice

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession
    from varda_chat.transcripts import Transcripts


class MovingScreen(ProgramActsScreen):
    """One action each, as in CommandingScreen."""

    def __init__(
        self,
        host: SessionHost,
        request: Request,
        transcripts: Transcripts | None,
        settings: SettingsFile,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(host, request, transcripts, settings, clock)
        self._left: Request | None = None
        """Where to go back to, if the session that is being opened does not open."""

    @work(group="dialog", exit_on_error=False)
    async def action_profile(self, name: str = "") -> None:
        """Move to the profile of that name, or one that is chosen."""
        if not name:
            found = await asyncio.to_thread(profiles.known, self.request.data_dir)
            from varda_chat.tui.screens.picking import ProfilesScreen  # not needed for the first paint

            picked = await self.app.push_screen_wait(ProfilesScreen(found, self.request.profile))
            name = picked or ""
        if name and name != self.request.profile:
            await self._move(replace(self.request, profile=name))

    @work(group="dialog", exit_on_error=False)
    async def action_model(self, source: str = "") -> None:
        """Let another model answer: of that folder or hub id, or one that is chosen."""
        current = self.request.checkpoint or BUNDLED
        chosen: str | None = source
        if not source:
            also = [each for each in (self.settings.settings.checkpoint, current) if each != BUNDLED]
            found = await asyncio.to_thread(catalog.known, data_dir(self.request.data_dir), also)
            from varda_chat.tui.screens.picking import ModelsScreen  # not needed for the first paint

            chosen = await self.app.push_screen_wait(ModelsScreen(found, current))
        if chosen is not None and chosen != current:
            await self._move(replace(self.request, checkpoint=chosen or None))

    @work(group="memory", exit_on_error=False)
    async def action_incognito(self) -> None:
        """Store and save nothing from here on, or do so again."""
        wanted = not self.facts.incognito
        leaving = self.request.incognito and not wanted
        if not await (self._leave_copies() if leaving else self._ask_incognito(wanted)):
            return
        self.set_incognito(wanted)
        line = (
            "Incognito from here on: I recall, but store nothing, and no word is saved. /incognito ends it."
            if wanted
            else "No longer incognito: I store again, and the session is saved from here on."
        )
        await self.conversation.add(Notice(line))
        self.conversation.follow()

    async def _ask_incognito(self, wanted: bool, transcripts: Transcripts | None = None) -> bool:
        def switch(session: ChatSession) -> bool:
            session.set_incognito(wanted, transcripts)
            return True

        return bool(await self.ask_session(switch, "switching incognito"))

    async def _leave_copies(self) -> bool:
        """End what --incognito began, with copies of the memory and the sessions; whether it worked."""
        request = replace(self.request, incognito=False)
        try:
            transcripts = await asyncio.to_thread(request.transcripts)
        except VardaError as error:
            self.tell(str(error), warning=True)
            return False
        if not await self._ask_incognito(False, transcripts):
            await asyncio.to_thread(transcripts.close)
            return False
        copy, self.transcripts = self.transcripts, transcripts
        await self.conversation.to_end()
        self.conversation.keep_unwritten()
        if copy is not None:
            await asyncio.to_thread(copy.close)
        self.request, self.session_name = request, ""
        self.facts = replace(self.facts, read_only=False)
        await self.refresh_memory()
        return True

    async def _move(self, request: Request) -> None:
        """Close this session and open the other; what stands in the way is told, and nothing is closed."""
        if self.state is ChatState.LOADING:
            self.tell("The model is still loading. Try again when it is there.", warning=True)
            return
        if self._must_wait():
            return
        transcripts = self.transcripts
        if request.profile != self.request.profile:
            try:
                if not request.incognito:
                    await asyncio.to_thread(profiles.check_free, request.folder)
                transcripts = await asyncio.to_thread(request.transcripts)
            except (VardaError, OSError) as error:
                self.tell(sentence_for(error, "opening that profile"), warning=True)
                return
        self._left = self.request
        await self._enter(request, transcripts)

    async def _enter(self, request: Request, transcripts: Transcripts | None) -> None:
        other_profile = request.profile != self.request.profile
        session_id = None if other_profile else self.host.session_id
        self.state, self.progress = ChatState.LOADING, Progress("saving the memory", 0.0)
        try:
            await asyncio.to_thread(self.host.leave, _opener(request, transcripts, self.facts.incognito))
        except Exception as error:  # noqa: BLE001 - whatever it is, the person gets a line and a live app
            self.tell(sentence_for(error, "saving the memory"), warning=True)
        self.facts = facts_before(request, incognito=self.facts.incognito)
        self.vitals = Vitals()
        self.request = request
        if other_profile:
            left, self.transcripts = self.transcripts, transcripts
            if left is not None:
                await asyncio.to_thread(left.close)
            self.session_name = ""
            await self.show_memory(MemoryView())
            await self.begin_anew()
        else:
            self.host.want(session_id)
            await self.conversation.to_end()
            await self.conversation.add(Notice(f"From here on another model answers: {self.facts.model_name}."))
            self.conversation.follow()
        self.open_session()

    @on(messages.SessionOpened)
    def _stay(self) -> None:
        moved, self._left = self._left is not None, None
        checkpoint = self.request.checkpoint
        if moved and checkpoint is not None and not self.facts.incognito:
            try:
                catalog.note_used(data_dir(self.request.data_dir), checkpoint)
            except VardaError as error:
                self.tell(str(error), warning=True)

    @on(messages.OpenFailed)
    async def _go_back(self, event: messages.OpenFailed) -> None:
        """What was left is opened again; the first time, what was asked for fails as it does anywhere."""
        left, self._left = self._left, None
        if left is None:
            return
        event.prevent_default()
        transcripts = self.transcripts
        if left.profile != self.request.profile:
            try:
                transcripts = await asyncio.to_thread(left.transcripts)
            except VardaError as error:
                transcripts = None
                self.tell(f"{error} This session is not saved.", warning=True)
        await self._enter(left, transcripts)
        await self.conversation.add(Notice(event.sentence, "So it is as it was before.", error=True))
        self.conversation.follow()

    def set_incognito(self, incognito: bool) -> None:
        """Let the screen follow."""
        raise NotImplementedError

    async def begin_anew(self) -> None:
        """Show the beginning of a conversation in the profile of ``request``."""
        raise NotImplementedError


def _opener(
    request: Request, transcripts: Transcripts | None, incognito: bool
) -> Callable[[Callable[[str, float], None]], ChatSession]:
    """What opens the session; ``incognito`` stays as it is, however one went so."""

    def open_session(on_progress: Callable[[str, float], None]) -> ChatSession:
        session = request.open(on_progress, transcripts)
        if incognito and not session.incognito:
            session.set_incognito(True)
        return session

    return open_session
