"""CommandRunner: does what a command of the table says, at once or, in sight, once the model is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from varda_chat.tui.bindings import shown
from varda_chat.tui.commands import Command
from varda_chat.tui.controllers.session_host import sentence_for
from varda_chat.tui.controllers.workers import in_worker
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.message import Notice

if TYPE_CHECKING:
    from varda_chat.tui.screens.chat import ChatScreen

WAITING = ("remember", "forget", "pin", "undo", "persona", "set", "memory", "map")
"""Commands that wait, in sight, while the model loads."""
_DIALOGS = ("forget", "pin", "memory", "map")
_LOOK_SECONDS = 0.2
STILL_LOADING = "The model is still loading. Try again when it is ready."
NOT_LOADED = "What you sent still waits for the model. {} tries to load it again."
WAIT_FIRST = "Varda is still answering. Esc stops her; then try again."


class CommandRunner:
    """Finds the controller whose method a command is, and calls it with the command's argument."""

    def __init__(self, screen: ChatScreen) -> None:
        self.screen = screen
        self._dialogs = asyncio.Lock()

    def act_of(self, command: Command) -> Callable[..., Any]:
        """The method that ``command.handler`` names."""
        owner, _, action = command.handler.partition(".")
        if owner == "app":
            return getattr(self.screen.app, f"action_{action}")  # type: ignore[no-any-return]
        return getattr(getattr(self.screen, owner), action)  # type: ignore[no-any-return]

    async def obey(self, command: Command, argument: str = "") -> None:
        """Do what ``command`` says."""
        composer = self.screen.composer
        if command.needs_argument and not argument:
            composer.put(f"/{command.name} ")
            composer.focus()
            return
        try:
            act = self.act_of(command)
            result = act(argument) if command.argument else act()
            if isinstance(result, Awaitable):
                await result
        except Exception as error:  # noqa: BLE001 - whatever it is, the person gets a line and a live app
            self.screen.tell(sentence_for(error, f"doing /{command.name}"), warning=True)

    async def obey_when_loaded(self, command: Command, argument: str = "") -> None:
        """As ``obey``; what needs the model waits for it, in sight."""
        needs_more = command.needs_argument and not argument
        if self.screen.state is not ChatState.LOADING or command.name not in WAITING or needs_more:
            await self.obey(command, argument)
            return

        async def run() -> None:
            if command.name in _DIALOGS:
                self._obey_when_quiet(command, argument)
            else:
                await self.obey(command, argument)

        await self.screen.talk.run_when_loaded(f"/{command.name} {argument}".rstrip(), run)

    @in_worker("waiting")
    async def _obey_when_quiet(self, command: Command, argument: str) -> None:
        """Open the dialog that was asked for while the model loaded, but never over what one is writing by now: a
        letter meant for the message would be a key of the dialog."""
        screen = self.screen
        line = Notice(f"/{command.name} {argument}".rstrip(), "… waits for what you are writing")
        async with self._dialogs:  # one after another, in the order they were asked for
            while self._is_taken():
                if screen.composer.whole_text.strip() and not line.is_attached:
                    await screen.conversation.add(line)
                    screen.conversation.follow()
                await asyncio.sleep(_LOOK_SECONDS)
            if line.is_attached:
                await line.remove()
            await self.obey(command, argument)

    def _is_taken(self) -> bool:
        """Whether somebody is writing, or a dialog is open or about to be."""
        screen = self.screen
        opening = any(each.group == "dialog" and not each.is_finished for each in screen.workers)
        return bool(screen.composer.whole_text.strip()) or opening or screen.app.screen is not screen

    def must_wait(self) -> bool:
        """Whether something is being answered or waits to be, which was then told."""
        screen = self.screen
        if screen.talk.takes_commands:
            return False
        if screen.state is ChatState.FAILED:
            screen.tell(NOT_LOADED.format(shown(screen.app, "retry")), warning=True)
        else:
            screen.tell(STILL_LOADING if screen.state is ChatState.LOADING else WAIT_FIRST, warning=True)
        return True

    def must_load(self) -> bool:
        """Whether the model is still loading, which was then told: a dialog must not open seconds after it was asked
        for, over whatever one does by then."""
        if self.screen.state is not ChatState.LOADING:
            return False
        self.screen.tell(STILL_LOADING, warning=True)
        return True
