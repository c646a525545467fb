"""Composing: what is typed goes where it belongs, as a message or a command, and into the input history."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from varda_chat.session.request import Request
from varda_chat.tui import commands
from varda_chat.tui.controllers.history import FILE_NAME, InputHistory
from varda_chat.tui.widgets.composer import Composer

if TYPE_CHECKING:
    from varda_chat.tui.screens.chat import ChatScreen


class Composing:
    """Takes what the composer sends. history: of the open profile; nothing is added to it while incognito."""

    def __init__(self, screen: ChatScreen, request: Request) -> None:
        self.screen = screen
        self.history = _history_of(request, writable=not screen.details.incognito)

    def use_profile(self, request: Request) -> None:
        """Go over to the history of another profile."""
        self.history = _history_of(request, writable=not self.screen.details.incognito)
        self.screen.composer.use_history(self.history)

    async def take(self, sent: Composer.Sent) -> None:
        """Do what the command says that was sent, or have the message answered."""
        screen = self.screen
        typed = commands.parse(sent.text)
        command = commands.find(typed[0]) if typed is not None else None
        try:
            screen.composer.remember(sent.text)
        except OSError as error:
            reason = error.strerror or "unknown reason"
            screen.tell(f"The input history could not be saved: {reason}.", warning=True)
        if command is not None and typed is not None:
            await screen.commands.obey_when_loaded(command, typed[1])
            return
        screen.arrangement.leave_panel()
        await (screen.talk.send_instead(sent.text) if sent.edited else screen.talk.send(sent.text))

    async def take_from_menu(self, command: commands.Command) -> None:
        """Do what was chosen in the menu, or let its argument be written first."""
        composer = self.screen.composer
        if command.argument:
            composer.complete(command)
        else:
            composer.put("")
            await self.screen.commands.obey_when_loaded(command)

    def tell_mistyped(self, name: str) -> None:
        """Say that there is no such command, and which is most like it."""
        nearest = commands.nearest(name)
        hint = f" Did you mean /{nearest}?" if nearest else " / shows those there are."
        self.screen.tell(f"There is no command /{name}.{hint}", warning=True)

    def keep_draft(self) -> bool:
        """Keep what is being written in the input history, where the Up key finds it at the next start; whether it is
        there."""
        text = self.screen.composer.whole_text.strip()
        if not text or not self.history.writable:
            return False
        with suppress(OSError):
            self.screen.composer.remember(text)
            return True
        return False


def _history_of(request: Request, *, writable: bool) -> InputHistory:
    return InputHistory(request.directory / FILE_NAME, writable=writable)
