"""Moving: to another profile or another model, where the open session is closed cleanly and the other one opened; into
and out of incognito."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from varda_chat.config.paths import data_dir
from varda_chat.errors import VardaError
from varda_chat.models import catalog
from varda_chat.models.catalog import BUNDLED
from varda_chat.session import profiles
from varda_chat.session.request import Request
from varda_chat.text import one_line
from varda_chat.tui.controllers.session_host import sentence_for
from varda_chat.tui.controllers.telling import INCOGNITO, NOT_INCOGNITO
from varda_chat.tui.controllers.workers import in_worker
from varda_chat.tui.state import ChatState, MemoryView, Progress, SessionDetails, Vitals
from varda_chat.tui.widgets.message import Notice

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession
    from varda_chat.transcripts import Transcripts
    from varda_chat.tui.screens.chat import ChatScreen


class Moving:
    """Changes what the open session was opened for; where that fails, it is as it was before."""

    def __init__(self, screen: ChatScreen) -> None:
        self.screen = screen
        self._left: Request | None = None  # where to go back to, if the session that is being opened does not open

    @in_worker("dialog")
    async def profile(self, name: str = "") -> None:
        """Move to the profile of that name, or one that is chosen."""
        screen = self.screen
        if not name:
            found = await asyncio.to_thread(profiles.known, screen.request.data_dir)
            from varda_chat.tui.screens.picking import ProfilesScreen  # not needed for the first paint

            picked = await screen.app.push_screen_wait(ProfilesScreen(found, screen.request.profile))
            name = picked or ""
        if name and name != screen.request.profile:
            await self._move(screen.request.of_profile(name))

    @in_worker("dialog")
    async def model(self, source: str = "") -> None:
        """Let another model answer: of that folder or hub id, or one that is chosen."""
        screen = self.screen
        current = screen.request.checkpoint or BUNDLED
        chosen: str | None = source
        if not source:
            also = [each for each in (screen.settings.settings.checkpoint, current) if each != BUNDLED]
            found = await asyncio.to_thread(catalog.known, data_dir(screen.request.data_dir), also)
            from varda_chat.tui.screens.picking import ModelsScreen  # not needed for the first paint

            chosen = await screen.app.push_screen_wait(ModelsScreen(found, current))
        if chosen is not None and chosen != current:
            await self._move(replace(screen.request, checkpoint=chosen or None))

    def incognito(self) -> Awaitable[None] | None:
        """Store and save nothing from here on, or do so again: once what was sent before is answered. What is typed
        from here on is not written down meanwhile."""
        screen = self.screen
        screen.composing.history.writable = False
        if screen.state is ChatState.LOADING:
            return screen.talk.run_when_loaded("/incognito", self._switch_incognito)
        self._begin_incognito()
        return None

    @in_worker("memory")
    async def _begin_incognito(self) -> None:
        await self._switch_incognito()

    async def _switch_incognito(self) -> None:
        screen = self.screen
        wanted = not screen.details.incognito
        leaving = screen.request.incognito and not wanted
        if not await (self._leave_copies() if leaving else self._ask_incognito(wanted)):
            screen.composing.history.writable = not screen.details.incognito
            return
        screen.set_incognito(wanted)
        await screen.conversation.add(Notice(INCOGNITO if wanted else NOT_INCOGNITO))
        screen.conversation.follow()

    async def _ask_incognito(self, wanted: bool, transcripts: Transcripts | None = None) -> bool:
        def switch(session: ChatSession) -> bool:
            session.set_incognito(wanted, transcripts)
            return True

        return bool(await self.screen.ask_session(switch, "switching incognito"))

    async def _leave_copies(self) -> bool:
        """End what --incognito began, with copies of the memory and the sessions; whether it worked."""
        screen = self.screen
        request = replace(screen.request, incognito=False)
        try:
            transcripts = await asyncio.to_thread(request.transcripts)
        except VardaError as error:
            screen.tell(str(error), warning=True)
            return False
        if not await self._ask_incognito(False, transcripts):
            await asyncio.to_thread(transcripts.close)
            return False
        copy, screen.transcripts = screen.transcripts, transcripts
        await screen.conversation.to_end()
        screen.conversation.keep_unwritten()
        if copy is not None:
            await asyncio.to_thread(copy.close)
        screen.request, screen.session_name = request, ""
        screen.details = replace(screen.details, read_only=False)
        await screen.refresh_memory()
        return True

    async def _move(self, request: Request) -> None:
        """Close this session and open the other; what stands in the way is told, and nothing is closed."""
        screen = self.screen
        if screen.state is ChatState.LOADING:
            screen.tell("The model is still loading. Try again when it is there.", warning=True)
            return
        if screen.commands.must_wait():
            return
        transcripts = screen.transcripts
        if request.profile != screen.request.profile:
            try:
                if not request.incognito:
                    await asyncio.to_thread(profiles.check_free, request.directory)
                transcripts = await asyncio.to_thread(request.transcripts)
            except (VardaError, OSError) as error:
                screen.tell(sentence_for(error, "opening that profile"), warning=True)
                return
        self._left = screen.request
        await self._enter(request, transcripts)

    async def _enter(self, request: Request, transcripts: Transcripts | None) -> None:
        screen = self.screen
        other_profile = request.profile != screen.request.profile
        session_id = None if other_profile else screen.host.session_id
        screen.state, screen.progress = ChatState.LOADING, Progress("saving the memory", 0.0)
        try:
            await asyncio.to_thread(screen.host.leave, _opener(request, transcripts, screen.details.incognito))
        except Exception as error:  # noqa: BLE001 - whatever it is, the person gets a line and a live app
            screen.tell(sentence_for(error, "saving the memory"), warning=True)
        screen.details = details_before(request, incognito=screen.details.incognito)
        screen.vitals = Vitals()
        screen.request = request
        if other_profile:
            left, screen.transcripts = screen.transcripts, transcripts
            if left is not None:
                await asyncio.to_thread(left.close)
            screen.session_name = ""
            await screen.show_memory(MemoryView())
            await screen.sessions.begin_anew()
        else:
            screen.host.want(session_id)
            await screen.conversation.to_end()
            await screen.conversation.add(Notice(f"From here on another model answers: {screen.details.model_name}."))
            screen.conversation.follow()
        screen.talk.open_session()

    def note_opened(self) -> None:
        """The session that was asked for is there: nothing is returned to."""
        screen = self.screen
        moved, self._left = self._left is not None, None
        checkpoint = screen.request.checkpoint
        if moved and checkpoint is not None and not screen.details.incognito:
            try:
                catalog.note_used(data_dir(screen.request.data_dir), checkpoint)
            except VardaError as error:
                screen.tell(str(error), warning=True)

    async def go_back(self, sentence: str) -> bool:
        """Open again what was left, since the other did not open (``sentence``); False where nothing was left, as the
        first time."""
        screen = self.screen
        left, self._left = self._left, None
        if left is None:
            return False
        transcripts = screen.transcripts
        if left.profile != screen.request.profile:
            try:
                transcripts = await asyncio.to_thread(left.transcripts)
            except VardaError as error:
                transcripts = None
                screen.tell(f"{error} This session is not saved.", warning=True)
        await self._enter(left, transcripts)
        await screen.conversation.add(Notice(sentence, "So it is as it was before.", error=True))
        screen.conversation.follow()
        return True


def details_before(request: Request, *, incognito: bool) -> SessionDetails:
    """What is known of a session before it is open."""
    return SessionDetails(one_line(request.model_name, 60), request.profile, incognito=incognito)


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
