"""What commands and keys ask of the memory: remember, forget, pin, undo, open an answer or a record."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from textual import on, work

from varda_chat.text import one_line
from varda_chat.tui import messages
from varda_chat.tui.bindings import shown
from varda_chat.tui.controllers.telling import quoted, undone_lines
from varda_chat.tui.screens.commanding import CommandingScreen
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.change_line import ChangeLine
from varda_chat.tui.widgets.memory_panel import StatementRow
from varda_chat.tui.widgets.message import VardaMessage

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement
    from varda_chat.session.request import Request
    from varda_chat.session.session import ChatSession
    from varda_chat.session.turn import Recalled, Turn


class MemoryActsScreen(CommandingScreen):
    """One action each, as in CommandingScreen."""

    request: Request
    _forgotten: tuple[str, ...] = ()
    """What the person forgot last."""

    @work(group="memory", exit_on_error=False)
    async def action_remember(self, text: str) -> None:
        """Store ``text``, whatever the model thinks of it."""
        applied = await self.ask_session(lambda session: session.memory.remember(text), "storing it")
        if applied is None:
            return
        if applied.refused:
            self.tell("The memory is full of pinned memories: nothing was stored. Unpin some (/pin).", warning=True)
        elif applied.stored:
            self.tell("Stored: " + quoted(applied.stored))
        else:
            self.tell("That is known already.")
        await self.refresh_memory()

    @work(group="dialog", exit_on_error=False)
    async def action_forget(self, text: str) -> None:
        """Show what goes, and let it go once confirmed."""
        if self._must_load():
            return
        found = await self.ask_session(lambda session: session.memory.candidates(text), "searching the memory")
        if found is None:
            return
        exact, near = found
        if not exact and not near:
            self.tell(f"Nothing in memory is like {one_line(text, 60)!r}.", warning=True)
            return
        note = "" if exact else "No memory holds these words. The model finds these for them:"
        marked = frozenset(each.id for each in exact)
        from varda_chat.tui.screens.choose import ChooseScreen  # not needed for the first paint

        screen = ChooseScreen("Forget", "forget", (*exact, *near), marked=marked, note=note, clock=self.clock)
        chosen = await self.app.push_screen_wait(screen)
        if not chosen:
            return
        gone = await self.ask_session(lambda session: session.memory.forget(sorted(chosen)), "forgetting it")
        if gone is not None:
            self._forgotten = tuple(each.text for each in gone)
            undo, proof = shown(self.app, "undo"), shown(self.app, "proof")
            self.tell(f"Forgotten: {quoted(gone)} {undo} brings it back, {proof} shows the proof.")
            self._note_changes((each.id for each in gone), in_memory=False)
            await self.refresh_memory()

    @on(messages.DeletesAsked)
    def _ask_about_deletes(self, event: messages.DeletesAsked) -> None:
        self._confirm_deletes(event)

    @work(group="confirm", exit_on_error=False)
    async def _confirm_deletes(self, event: messages.DeletesAsked) -> None:
        """Show what the turn would delete; what is marked goes, and the turn goes on."""
        from varda_chat.tui.screens.choose import ConfirmScreen  # not needed for the first paint

        try:
            chosen = await self.app.push_screen_wait(ConfirmScreen(event.going, clock=self.clock))
        except BaseException:
            event.answer(())
            raise
        event.answer(chosen or ())

    @work(group="dialog", exit_on_error=False)
    async def action_proof(self) -> None:
        """Show that what was forgotten last, by the person or the last answer, has no part in answers any more."""
        await self.conversation.have_end()
        found = self.conversation.last_exchange()
        turn = found[1].turn if found is not None else None
        gone = self._forgotten or tuple(each.text for each in (turn.deleted if turn is not None else ()))
        if not gone:
            self.tell("Nothing was forgotten in this session yet.", warning=True)
            return
        if self._must_wait():
            return
        from varda_chat.tui.screens.proof import ProofScreen  # not needed for the first paint

        question = turn.prompt if turn is not None else gone[0]
        await self.app.push_screen_wait(ProofScreen(self.host, question, gone, self.request.folder))

    @work(group="dialog", exit_on_error=False)
    async def action_pin(self, text: str = "") -> None:
        """Choose which memories are never dropped; those that hold ``text`` are marked at first."""
        if self._must_load():
            return
        found = await self.ask_session(lambda session: session.memory.candidates(text), "searching the memory")
        if found is None:
            return
        shown = (*found[0], *found[1])
        if not shown:
            like = f"Nothing in memory is like {one_line(text, 60)!r}."
            self.tell(like if text else "There is nothing in memory to pin.", warning=True)
            return
        pinned = frozenset(each.id for each in shown if each.pinned)
        marked = pinned | frozenset(each.id for each in found[0] if text)
        from varda_chat.tui.screens.choose import ChooseScreen  # not needed for the first paint

        screen = ChooseScreen("Pin", "pin", shown, marked=marked, note="What is marked is kept.", clock=self.clock)
        chosen = await self.app.push_screen_wait(screen)
        if chosen is None or chosen == pinned:
            return

        def pin(session: ChatSession) -> int:
            for statement_id in chosen ^ pinned:
                session.memory.pin(statement_id, statement_id in chosen)
            return len(chosen ^ pinned)

        if await self.ask_session(pin, "pinning it") is not None:
            self.tell(f"Pinned now: {len(chosen)}.")

    @work(group="memory", exit_on_error=False)
    async def action_undo(self) -> None:
        """Take back the last store or delete."""
        if self._must_load():
            return
        undone = await self.ask_session(lambda session: session.memory.undo(), "undoing it")
        if undone is None:
            return
        self.tell(undone_lines(undone))
        self._note_changes((each.id for each in undone.restored), in_memory=True)
        self._note_changes((each.id for each in undone.removed), in_memory=False)
        if undone.restored or undone.removed:
            await self.refresh_memory()

    @on(ChangeLine.Toggled)
    def _toggle(self, event: ChangeLine.Toggled) -> None:
        self._undo_change(event.line)

    @work(group="undo", exclusive=True, exit_on_error=False)
    async def _undo_change(self, line: ChangeLine) -> None:
        """Take back what a turn did to one memory, or do it again; nothing else of its turn."""
        if self._must_load():
            return
        memory_id, goes = line.memory.id, line.in_memory
        does = "Deleted: " if goes else "Back in memory: "

        def change(session: ChatSession) -> tuple[Statement, ...]:
            return session.memory.forget([memory_id]) if goes else session.memory.bring_back([memory_id])

        changed = await self.ask_session(change, "undoing it")
        if changed is None:
            return
        if not changed and goes:
            self.tell("It is no longer in memory.", warning=True)
            self._note_changes((memory_id,), in_memory=False)
            return
        if not changed:
            self.tell("It is in memory already, or can no longer be restored.", warning=True)
            return
        self.tell(does + quoted(changed))
        self._note_changes((memory_id,), in_memory=not goes)
        await self.refresh_memory()

    def _note_changes(self, memory_ids: Iterable[int], *, in_memory: bool) -> None:
        """Let the lines under the answers say where these memories are now."""
        changed = frozenset(memory_ids)
        for line in self.query(ChangeLine):
            if line.memory.id in changed:
                line.note(in_memory=in_memory)

    @work(group="dialog", exit_on_error=False)
    async def action_memory(self, text: str = "") -> None:
        """Browse all that is in memory."""
        from varda_chat.tui.screens.browser import BrowserScreen  # not needed for the first paint

        if any(isinstance(screen, BrowserScreen) for screen in self.app.screen_stack):
            return
        if await self.ask_session(lambda session: True, "looking at the memory", wait=False) is None:
            return
        screen = BrowserScreen(self.host, lambda: self.is_idle, self.clock, text)
        if await self.app.push_screen_wait(screen):
            await self.refresh_memory()
        if screen.purged:
            self._forgotten = screen.purged
            self.note_purge()

    def note_purge(self) -> None:
        """Show nothing more of what left the files: neither what was typed, nor the session's name as it was."""
        raise NotImplementedError

    @work(group="dialog", exit_on_error=False)
    async def action_map(self) -> None:
        """Draw all that is in memory as a map."""
        from varda_chat.tui.screens.map import MapScreen  # not needed for the first paint

        if any(isinstance(screen, MapScreen) for screen in self.app.screen_stack):
            return
        if await self.ask_session(lambda session: True, "looking at the memory", wait=False) is None:
            return
        if await self.app.push_screen_wait(MapScreen(self.host, self.clock)):
            await self.refresh_memory()

    async def action_why(self) -> None:
        """Open the last answer, with what was looked at and not used."""
        await self.action_sources(why=True)

    async def action_sources(self, *, why: bool = False) -> None:
        """Open the last answer."""
        await self.conversation.have_end()
        found = self.conversation.last_exchange()
        if found is None or found[1].turn is None:
            self.tell("There is no answer to open yet.", warning=True)
        else:
            self._open_sources(found[1].turn, why=why)

    @on(VardaMessage.Opened)
    def _open_answer(self, event: VardaMessage.Opened) -> None:
        if event.answer.turn is not None:
            self._open_sources(event.answer.turn, why=event.why)

    @work(group="dialog", exit_on_error=False)
    async def _open_sources(self, turn: Turn, *, why: bool = False) -> None:
        if why and self._must_wait():
            return
        texts = {each.id: each.text for each in turn.recalled}
        wanted = {id_ for each in turn.sources for id_, _ in each.shares} - set(texts)
        if wanted and self.state is not ChatState.LOADING:
            texts |= await self.ask_session(partial(_texts, wanted), "looking at the memory", wait=False) or {}
        unused: tuple[Recalled, ...] | None = None
        if why:
            unused = await self.ask_session(lambda session: session.memory.not_used(turn), "searching the memory")
        from varda_chat.tui.screens.sources import SourcesScreen  # not needed for the first paint

        await self.app.push_screen_wait(SourcesScreen(turn, texts, unused, self.host if why else None))

    @on(StatementRow.Opened)
    def _open_row(self, event: StatementRow.Opened) -> None:
        self._open_record(event.statement_id, event.text)

    @work(group="dialog", exit_on_error=False)
    async def _open_record(self, statement_id: int, text: str) -> None:
        from varda_chat.tui.screens.record import RecordScreen  # not needed for the first paint

        if await self.app.push_screen_wait(RecordScreen(self.host, statement_id, text, self.clock)):
            await self.refresh_memory()


def _texts(wanted: set[int], session: ChatSession) -> dict[int, str]:
    """The words of statements, as far as they are known."""
    found = {id_: session.memory.look_up(id_) for id_ in wanted}
    return {id_: known.text for id_, pair in found.items() for known in pair if known is not None}
