"""Answers: what a person does with an answer, most often the last: another one, a copy, a look at its sources."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from varda_chat.errors import VardaError
from varda_chat.tui.controllers import editor
from varda_chat.tui.controllers.copying import to_copy
from varda_chat.tui.controllers.workers import in_worker
from varda_chat.tui.state import ChatState

if TYPE_CHECKING:
    from varda_chat.session.session import ChatSession
    from varda_chat.session.turn import Recalled, Turn
    from varda_chat.tui.screens.chat import ChatScreen


class Answers:
    """What commands and keys ask of messages and answers."""

    def __init__(self, screen: ChatScreen) -> None:
        self.screen = screen

    async def regenerate(self) -> None:
        """Take the last answer back and write another."""
        if not self.screen.commands.must_wait():
            await self.screen.talk.send_instead(None)

    async def edit(self) -> None:
        """Put the last message into the composer, to be sent in its own place."""
        screen = self.screen
        await screen.conversation.have_end()
        found = screen.conversation.last_exchange()
        if screen.commands.must_wait():
            return
        if found is None:
            screen.tell("There is no message to edit yet.", warning=True)
            return
        screen.composer.edit_last(found[0].text)
        screen.composer.focus()

    def editor(self) -> None:
        """Write the message in the person's own editor."""
        screen = self.screen
        try:
            text = editor.edit(screen.app, screen.composer.whole_text)
        except VardaError as error:
            screen.tell(str(error), warning=True)
        else:
            screen.composer.put(text)
        screen.composer.focus()

    async def retry(self) -> None:
        """Send the prompt that failed once more, or load the model once more."""
        if not await self.screen.talk.retry():
            self.screen.tell("There is nothing to try again.")

    async def copy(self, what: str = "") -> None:
        """Copy the last answer, as its Markdown, or (``code``) the last code block of it."""
        screen = self.screen
        await screen.conversation.have_end()
        found = screen.conversation.last_exchange()
        text = found[1].text if found is not None else ""
        self.copy_text(*to_copy(text, what))  # where there is none, its sentence is told

    def copy_text(self, text: str, what: str) -> None:
        """Into the clipboard, and say so."""
        self.screen.app.copy_to_clipboard(text)
        self.screen.tell(f"{what} is copied.")

    async def sources(self, *, why: bool = False) -> None:
        """Open the last answer."""
        screen = self.screen
        await screen.conversation.have_end()
        found = screen.conversation.last_exchange()
        if found is None or found[1].turn is None:
            screen.tell("There is no answer to open yet.", warning=True)
        else:
            self.open(found[1].turn, why=why)

    async def why(self) -> None:
        """Open the last answer, with what was looked at and not used."""
        await self.sources(why=True)

    @in_worker("dialog")
    async def open(self, turn: Turn, *, why: bool = False) -> None:
        """Show what each part of an answer was recalled from."""
        screen = self.screen
        if why and screen.commands.must_wait():
            return
        texts = {each.id: each.text for each in turn.recalled}
        wanted = {id_ for each in turn.sources for id_, _ in each.shares} - set(texts)
        if wanted and screen.state is not ChatState.LOADING:
            texts |= await screen.ask_session(partial(_texts, wanted), "looking at the memory", wait=False) or {}
        unused: tuple[Recalled, ...] | None = None
        if why:
            unused = await screen.ask_session(lambda session: session.memory.not_used(turn), "searching the memory")
        from varda_chat.tui.screens.sources import SourcesScreen  # not needed for the first paint

        await screen.app.push_screen_wait(SourcesScreen(turn, texts, unused, screen.host if why else None))


def _texts(wanted: set[int], session: ChatSession) -> dict[int, str]:
    """The words of statements, as far as they are known."""
    found = {id_: session.memory.look_up(id_) for id_ in wanted}
    return {id_: known.text for id_, pair in found.items() for known in pair if known is not None}
