"""What commands and keys ask of the talk and its sessions: one action each, named in the table of commands."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from textual import on, work

from varda_chat.errors import VardaError
from varda_chat.storage.files import unused
from varda_chat.text import one_line
from varda_chat.transcripts.export import export, file_name, render
from varda_chat.tui import commands
from varda_chat.tui.bindings import shown
from varda_chat.tui.controllers import editor
from varda_chat.tui.controllers.session_host import SessionHost, sentence_for
from varda_chat.tui.screens.sessions import Chosen, SessionsScreen
from varda_chat.tui.screens.talking import TalkingScreen
from varda_chat.tui.state import ChatState, SessionFacts
from varda_chat.tui.widgets.command_menu import CommandMenu
from varda_chat.tui.widgets.composer import Composer
from varda_chat.tui.widgets.message import Notice, VardaMessage

if TYPE_CHECKING:
    from varda_chat.transcripts import Transcripts

STILL_LOADING = "The model is still loading. Try again when it is ready."
WAITING = ("remember", "forget", "pin", "undo", "persona", "memory", "map")
"""Commands that wait, in sight, while the model loads."""
_DIALOGS = ("forget", "pin", "memory", "map")
_LOOK_SECONDS = 0.2
WAIT_FIRST = "Varda is still answering. Esc stops her; then try again."


class CommandingScreen(TalkingScreen):
    """Every action takes its argument as text, "" where there is none."""

    def __init__(
        self,
        host: SessionHost,
        facts: SessionFacts,
        transcripts: Transcripts | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(host, facts, transcripts)
        self.clock = clock
        self._dialogs = asyncio.Lock()

    async def obey(self, command: commands.Command, argument: str = "") -> None:
        """Do what ``command`` says."""
        owner, _, action = command.handler.partition(".")
        act = getattr(self if owner == "chat" else self.app, f"action_{action}")
        if command.needs_argument and not argument:
            self.composer.put(f"/{command.name} ")
            self.composer.focus()
            return
        try:
            result = act(argument) if command.argument else act()
            if isinstance(result, Awaitable):
                await result
        except Exception as error:  # noqa: BLE001 - whatever it is, the person gets a line and a live app
            self.tell(sentence_for(error, f"doing /{command.name}"), warning=True)

    async def obey_when_loaded(self, command: commands.Command, argument: str = "") -> None:
        """As ``obey``; what needs the model waits for it, in sight."""
        needs_more = command.needs_argument and not argument
        if self.state is not ChatState.LOADING or command.name not in WAITING or needs_more:
            await self.obey(command, argument)
            return

        async def run() -> None:
            if command.name in _DIALOGS:
                self._obey_when_quiet(command, argument)
            else:
                await self.obey(command, argument)

        await self.run_when_loaded(f"/{command.name} {argument}".rstrip(), run)

    @work(group="waiting", exit_on_error=False)
    async def _obey_when_quiet(self, command: commands.Command, argument: str) -> None:
        """Open the dialog that was asked for while the model loaded, but never over what one is writing by now: a
        letter meant for the message would be a key of the dialog."""
        line = Notice(f"/{command.name} {argument}".rstrip(), "… waits for what you are writing")
        async with self._dialogs:  # one after another, in the order they were asked for
            while self._is_taken():
                if self.composer.whole_text.strip() and not line.is_attached:
                    await self.conversation.add(line)
                    self.conversation.follow()
                await asyncio.sleep(_LOOK_SECONDS)
            if line.is_attached:
                await line.remove()
            await self.obey(command, argument)

    def _is_taken(self) -> bool:
        """Whether somebody is writing, or a dialog is open or about to be."""
        opening = any(each.group == "dialog" and not each.is_finished for each in self.workers)
        return bool(self.composer.whole_text.strip()) or opening or self.app.screen is not self

    @property
    def composer(self) -> Composer:
        """Where the person writes."""
        return self.query_one(Composer)

    @on(CommandMenu.Taken)
    async def _run_taken(self, event: CommandMenu.Taken) -> None:
        if event.command.argument:
            self.composer.complete(event.command)
        else:
            self.composer.put("")
            await self.obey_when_loaded(event.command)

    def _must_wait(self) -> bool:
        if self.is_idle:
            return False
        self.tell(STILL_LOADING if self.state is ChatState.LOADING else WAIT_FIRST, warning=True)
        return True

    def _must_load(self) -> bool:
        """Whether the model is still loading, which was then told: a dialog must not open seconds after it was asked
        for, over whatever one does by then."""
        if self.state is not ChatState.LOADING:
            return False
        self.tell(STILL_LOADING, warning=True)
        return True

    # -- sessions -------------------------------------------------------------------------------------------

    async def action_new_session(self) -> None:
        """Begin a new session; the memory stays."""
        if self._must_wait():
            return
        await self.conversation.show(None)
        self.session_name = ""
        await self.conversation.add(Notice("A new session. What was stored in the memory is still known."))
        self.switch_session(None)

    @work(group="dialog", exit_on_error=False)
    async def action_sessions(self, wanted: str = "") -> None:
        """Choose among the saved sessions."""
        if self.transcripts is None:
            self.tell("Sessions are not kept here, so there are none to show.", warning=True)
            return
        screen = SessionsScreen(self.transcripts, self.host.session_id, self.clock, wanted)
        chosen = await self.app.push_screen_wait(screen)
        self.note_session()
        if chosen is not None:
            await self._resume(chosen)

    async def action_resume(self, argument: str = "") -> None:
        """Resume the session of that number, or one that is chosen."""
        if not argument.isdecimal() or self.transcripts is None:
            self.action_sessions(argument)
            return
        try:
            self.transcripts.session(int(argument))
        except (VardaError, OverflowError):
            self.tell(f"There is no session {one_line(argument, 20)}. /sessions lists those there are.", warning=True)
        else:
            await self._resume(Chosen(int(argument)))

    async def _resume(self, chosen: Chosen) -> None:
        if self._must_wait():
            return
        try:
            await self.show_session(chosen.session_id, chosen.turn_id)
        except VardaError as error:
            self.tell(str(error), warning=True)
        else:
            self.switch_session(chosen.session_id)

    @on(VardaMessage.Branched)
    def _on_branched(self, event: VardaMessage.Branched) -> None:
        self._branch(event.answer, edit=event.edit)

    @work(group="branch", exit_on_error=False)
    async def _branch(self, answer: VardaMessage, *, edit: bool) -> None:
        """Go on from before ``answer`` in a session of its own; the old one stays as it is."""
        turn, session_id = answer.turn, self.host.session_id
        if self._must_wait() or turn is None:
            return
        if turn.turn_id is None or session_id is None or self.transcripts is None:
            self.tell("This answer is in no saved session, so there can be no branch of it.", warning=True)
            return
        try:
            branch = self.transcripts.branch(session_id, turn.turn_id)
            await self._show_branch(branch.id)
        except VardaError as error:
            self.tell(str(error), warning=True)
            return
        if edit:
            self.composer.put(turn.prompt)
            self.composer.focus()
        else:
            await self.send(turn.prompt)

    async def _show_branch(self, session_id: int) -> None:
        """Show a branch and let the model resume it. Raises VardaError."""
        await self.show_session(session_id)
        await asyncio.to_thread(self.host.switch, session_id)
        self.note_session()

    async def action_walk_branch(self, steps: int) -> None:
        """Go to the next branch of this session, or the one before."""
        session_id = self.host.session_id
        if self._must_wait():
            return
        branches = () if session_id is None or self.transcripts is None else self.transcripts.branches(session_id)
        if session_id is None or len(branches) < 2:
            again, other = shown(self.app, "answer.again"), shown(self.app, "answer.edit")
            self.tell(f"This session has no branches. {again} and {other} on an answer make one.", warning=True)
            return
        try:
            await self._show_branch(branches[(branches.index(session_id) + steps) % len(branches)])
        except VardaError as error:
            self.tell(str(error), warning=True)

    def action_rename(self, name: str) -> None:
        """Give this session a name."""
        session_id = self.host.session_id
        if session_id is None or self.transcripts is None:
            self.tell("There is no session to rename yet: say something first.", warning=True)
            return
        try:
            self.session_name = self.transcripts.rename(session_id, name).name
        except VardaError as error:
            self.tell(str(error), warning=True)

    def action_export(self, where: str = "") -> None:
        """Write this session to a file."""
        session_id = self.host.session_id
        if session_id is None:
            self.tell("There is nothing to export yet: say something first.", warning=True)
        else:
            self._export(session_id, where)

    @on(SessionsScreen.Export)
    def _export_chosen(self, event: SessionsScreen.Export) -> None:
        self._export(event.session_id, "")

    def _export(self, session_id: int, where: str) -> None:
        if self.transcripts is None:
            return
        try:
            info = self.transcripts.session(session_id)
            if self.app.is_web and not where:
                text = render(info, self.transcripts.turns(session_id), "markdown")
                self.app.deliver_text(io.StringIO(text), save_filename=file_name(info))
                return
            path = Path(where).expanduser() if where else unused(Path.cwd() / file_name(info))
            if path.exists():
                raise VardaError(f"{path} is there already; choose another name.")
            path = export(self.transcripts, session_id, path)
        except VardaError as error:
            self.tell(str(error), warning=True)
        except (OSError, RuntimeError, ValueError) as error:
            self.tell(f"The session could not be written: {error}.", warning=True)
        else:
            self.tell(f"The session was written to {path}.")

    # -- talking --------------------------------------------------------------------------------------------

    async def action_regenerate(self) -> None:
        """Take the last answer back and write another."""
        if not self._must_wait():
            await self.send_instead(None)

    async def action_edit(self) -> None:
        """Put the last message into the composer, to be sent in its own place."""
        await self.conversation.have_end()
        found = self.conversation.last_exchange()
        if self._must_wait():
            return
        if found is None:
            self.tell("There is no message to edit yet.", warning=True)
            return
        self.composer.edit_last(found[0].text)
        self.composer.focus()

    def action_editor(self) -> None:
        """Write the message in the person's own editor."""
        try:
            text = editor.edit(self.app, self.composer.whole_text)
        except VardaError as error:
            self.tell(str(error), warning=True)
        else:
            self.composer.put(text)
        self.composer.focus()

    async def action_copy(self, what: str = "") -> None:
        """Copy the last answer, as its Markdown, or (``code``) the last code block of it."""
        await self.conversation.have_end()
        found = self.conversation.last_exchange()
        text = found[1].text if found is not None else ""
        if what.strip().lower() == "code":
            blocks = [token.content for token in MarkdownIt("gfm-like").parse(text) if token.type == "fence"]
            if not blocks:
                self.tell("There is no code in the last answer.", warning=True)
            else:
                self.copy(blocks[-1].rstrip("\n"), "The code")
        elif not text:
            self.tell("There is no answer to copy yet.", warning=True)
        else:
            self.copy(text, "The last answer")

    @on(VardaMessage.Copied)
    def _copy_clicked(self, event: VardaMessage.Copied) -> None:
        self.copy(event.text, event.what)

    def copy(self, text: str, what: str) -> None:
        """Into the clipboard, and say so."""
        self.app.copy_to_clipboard(text)
        self.tell(f"{what} is copied.")

    async def action_retry(self) -> None:
        """Send the prompt that failed once more, or load the model once more."""
        if not await self.retry():
            self.tell("There is nothing to try again.")

    # -- the program ----------------------------------------------------------------------------------------

    def action_theme(self, name: str = "") -> None:
        """Change the colours: to the theme of that name, or one that is chosen."""
        if not name:
            self.app.action_change_theme()
        elif name in self.app.available_themes:
            self.app.theme = name
            self.tell(f"{name} is the theme of this session. {shown(self.app, 'settings')} (/settings) keeps it.")
        else:
            self.tell(f"There is no theme {one_line(name, 40)!r}; /theme alone shows those there are.", warning=True)
