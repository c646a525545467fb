"""SavedSessions: begins, shows, resumes, branches, names and exports sessions of the transcripts."""

from __future__ import annotations

import asyncio
import io
from functools import partial
from typing import TYPE_CHECKING

from varda_chat.errors import VardaError
from varda_chat.storage.files import DATABASE
from varda_chat.text import one_line
from varda_chat.transcripts.export import export_typed, file_name, render
from varda_chat.tui.bindings import shown
from varda_chat.tui.controllers.workers import in_worker
from varda_chat.tui.screens.sessions import Chosen, SessionsScreen
from varda_chat.tui.state import Vitals
from varda_chat.tui.widgets.conversation import PAGE_TURNS
from varda_chat.tui.widgets.message import Notice, VardaMessage
from varda_chat.tui.widgets.welcome import Welcome

if TYPE_CHECKING:
    from varda_chat.tui.screens.chat import ChatScreen


class SavedSessions:
    """What commands and keys ask of the sessions. A command's argument comes as text, "" where there is none."""

    def __init__(self, screen: ChatScreen) -> None:
        self.screen = screen

    # showing

    async def show_first(self, session_id: int | None) -> None:
        """Show the session that the program resumes, at once: the model takes it up when it is loaded. Without
        one, the beginning of a conversation."""
        if session_id is not None:
            try:
                await self.show(session_id)
                return
            except VardaError as error:
                self.screen.tell(str(error), warning=True)
        await self._greet()

    async def begin_anew(self) -> None:
        """Show the beginning of a conversation in the profile of ``request``."""
        screen = self.screen
        await screen.conversation.show(None)
        screen.talk.begin_anew()
        screen.memories.begin_anew()
        screen.first_run = not (screen.request.directory / DATABASE).exists()
        screen.composing.use_profile(screen.request)
        await self._greet()

    async def _greet(self) -> None:
        screen = self.screen
        directory, incognito = screen.request.directory, screen.details.incognito
        await screen.conversation.add(Welcome(profile_dir=directory, first_run=screen.first_run, incognito=incognito))

    async def show(self, session_id: int, turn_id: int | None = None) -> None:
        """Show a session of the transcripts, at its end or from a turn on. Raises VardaError where there is none."""
        screen = self.screen
        assert screen.transcripts is not None
        screen.session_name = self._name_of(session_id)
        pages = partial(screen.transcripts.turns, session_id)
        if turn_id is None:
            await screen.conversation.show(pages, pages(PAGE_TURNS))
        else:
            await screen.conversation.show(pages, pages(PAGE_TURNS, after=turn_id - 1), at_end=False)
        screen.talk.begin_anew()

    def note(self) -> None:
        """After a turn: what the session is called, and where its earlier turns come from."""
        self._note_name()
        self.screen.arrangement.fill_sessions()

    def _note_name(self) -> None:
        screen = self.screen
        session_id = screen.host.session_id
        if session_id is None or screen.transcripts is None:
            screen.session_name = ""
            return
        try:
            screen.session_name = self._name_of(session_id)
        except VardaError:
            screen.session_name = ""
        else:
            screen.conversation.page_with(partial(screen.transcripts.turns, session_id))

    def _name_of(self, session_id: int) -> str:
        """What a session is called, and which branch it is. Raises VardaError where there is none."""
        transcripts = self.screen.transcripts
        assert transcripts is not None
        name, branches = transcripts.session(session_id).name, transcripts.branches(session_id)
        return name if len(branches) < 2 else f"{name}, branch {branches.index(session_id) + 1} of {len(branches)}"

    def switch(self, session_id: int | None) -> None:
        """Let the model resume a session, or begin a new one (None)."""
        self.screen.vitals = Vitals()
        self.screen.host.want(session_id)  # at once: a message that is sent now belongs there
        self._enter()

    @in_worker("session", exclusive=True)
    async def _enter(self) -> None:
        try:
            await asyncio.to_thread(self.screen.host.enter)
        except VardaError as error:
            self.screen.tell(str(error), warning=True)
        else:
            self.note()
            await self.screen.memories.follow_memory()

    # choosing

    async def new(self) -> None:
        """Begin a new session; the memory stays."""
        screen = self.screen
        if await screen.talk.waits_for_model("/new", self.new) or screen.commands.must_wait():
            return
        await screen.conversation.show(None)
        screen.talk.begin_anew()
        screen.session_name = ""
        await screen.conversation.add(Notice("A new session. What was stored in the memory is still known."))
        self.switch(None)
        await screen.talk.show_queue()

    @in_worker("dialog")
    async def choose(self, wanted: str = "") -> None:
        """Choose among the saved sessions."""
        screen = self.screen
        if screen.transcripts is None:
            screen.tell("Sessions are not kept here, so there are none to show.", warning=True)
            return
        dialog = SessionsScreen(screen.transcripts, screen.host.session_id, screen.clock, wanted)
        chosen = await screen.app.push_screen_wait(dialog)
        self.note()
        if chosen is not None:
            await self._resume(chosen)

    async def resume(self, argument: str = "") -> None:
        """Resume the session of that number, or one that is chosen."""
        transcripts = self.screen.transcripts
        if not argument.isdecimal() or transcripts is None:
            self.choose(argument)
            return
        try:
            transcripts.session(int(argument))
        except (VardaError, OverflowError):
            line = f"There is no session {one_line(argument, 20)}. /sessions lists those there are."
            self.screen.tell(line, warning=True)
        else:
            await self._resume(Chosen(int(argument)))

    async def _resume(self, chosen: Chosen) -> None:
        screen = self.screen
        again = partial(self._resume, chosen)
        if await screen.talk.waits_for_model(f"/resume {chosen.session_id}", again) or screen.commands.must_wait():
            return
        try:
            await self.show(chosen.session_id, chosen.turn_id)
        except VardaError as error:
            screen.tell(str(error), warning=True)
        else:
            self.switch(chosen.session_id)
            await screen.talk.show_queue()

    # branches

    @in_worker("branch")
    async def branch(self, answer: VardaMessage, *, edit: bool) -> None:
        """Go on from before ``answer`` in a session of its own; the old one stays as it is."""
        screen = self.screen
        turn, session_id = answer.turn, screen.host.session_id
        if screen.commands.must_wait() or turn is None:
            return
        if turn.turn_id is None or session_id is None or screen.transcripts is None:
            screen.tell("This answer is in no saved session, so there can be no branch of it.", warning=True)
            return
        try:
            branch = screen.transcripts.branch(session_id, turn.turn_id)
            await self._show_branch(branch.id)
        except VardaError as error:
            screen.tell(str(error), warning=True)
            return
        if edit:
            screen.composer.put(turn.prompt)
            screen.composer.focus()
        else:
            await screen.talk.send(turn.prompt)

    async def _show_branch(self, session_id: int) -> None:
        """Show a branch and let the model resume it. Raises VardaError."""
        await self.show(session_id)
        self.switch(session_id)

    async def walk_branch(self, steps: int) -> None:
        """Go to the next branch of this session, or the one before."""
        screen = self.screen
        session_id = screen.host.session_id
        if screen.commands.must_wait():
            return
        branches = () if session_id is None or screen.transcripts is None else screen.transcripts.branches(session_id)
        if session_id is None or len(branches) < 2:
            again, other = shown(screen.app, "answer.again"), shown(screen.app, "answer.edit")
            screen.tell(f"This session has no branches. {again} and {other} on an answer make one.", warning=True)
            return
        try:
            await self._show_branch(branches[(branches.index(session_id) + steps) % len(branches)])
        except VardaError as error:
            screen.tell(str(error), warning=True)

    # names and files

    def rename(self, name: str) -> None:
        """Give this session a name."""
        screen = self.screen
        session_id = screen.host.session_id
        if session_id is None or screen.transcripts is None:
            screen.tell("There is no session to rename yet: say something first.", warning=True)
            return
        try:
            screen.session_name = screen.transcripts.rename(session_id, name).name
        except VardaError as error:
            screen.tell(str(error), warning=True)

    def export(self, where: str = "") -> None:
        """Write this session to a file."""
        session_id = self.screen.host.session_id
        if session_id is None:
            self.screen.tell("There is nothing to export yet: say something first.", warning=True)
        else:
            self.export_of(session_id, where)

    def export_of(self, session_id: int, where: str = "") -> None:
        """Write that session to the file ``where``, or to one named for it; in a browser it is offered for download."""
        screen = self.screen
        if screen.transcripts is None:
            return
        try:
            if screen.app.is_web and not where:
                info = screen.transcripts.session(session_id)
                text = render(info, screen.transcripts.turns(session_id), "markdown")
                screen.app.deliver_text(io.StringIO(text), save_filename=file_name(info))
                return
            path = export_typed(screen.transcripts, session_id, where)
        except VardaError as error:
            screen.tell(str(error), warning=True)
        else:
            screen.tell(f"The session was written to {path}.")
