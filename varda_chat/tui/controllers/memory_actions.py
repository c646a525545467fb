"""MemoryActions: what commands and keys ask of the memory: remember, forget, pin, undo, prove, browse."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from varda_chat.text import one_line
from varda_chat.tui import messages
from varda_chat.tui.bindings import shown
from varda_chat.tui.controllers.telling import quoted, undone_lines
from varda_chat.tui.controllers.workers import in_worker
from varda_chat.tui.widgets.change_line import ChangeLine

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement
    from varda_chat.session.session import ChatSession
    from varda_chat.tui.screens.chat import ChatScreen
    from varda_chat.tui.screens.choose import ConfirmScreen


class MemoryActions:
    """Each asks the session in a worker, tells what became of it, and shows the memory as it then is."""

    def __init__(self, screen: ChatScreen) -> None:
        self.screen = screen
        self._forgotten: tuple[str, ...] = ()  # what the person forgot last
        self._asking: ConfirmScreen | None = None

    def begin_anew(self) -> None:
        """Another memory is opened: nothing has been forgotten in it yet."""
        self._forgotten = ()

    @in_worker("memory")
    async def remember(self, text: str) -> None:
        """Store ``text``, whatever the model thinks of it."""
        screen = self.screen
        applied = await screen.ask_session(lambda session: session.memory.remember(text), "storing it")
        if applied is None:
            return
        if applied.refused:
            screen.tell("The memory is full of pinned memories: nothing was stored. Unpin some (/pin).", warning=True)
        elif applied.stored:
            screen.tell("Stored: " + quoted(applied.stored))
        else:
            screen.tell("That is known already.")
        await screen.refresh_memory()

    @in_worker("dialog")
    async def forget(self, text: str) -> None:
        """Show what goes, and let it go once confirmed."""
        screen = self.screen
        if screen.commands.must_load():
            return
        found = await screen.ask_session(lambda session: session.memory.candidates(text), "searching the memory")
        if found is None:
            return
        exact, near = found
        if not exact and not near:
            screen.tell(f"Nothing in memory is like {one_line(text, 60)!r}.", warning=True)
            return
        note = "" if exact else "No memory holds these words. The model finds these for them:"
        marked = frozenset(each.id for each in exact)
        from varda_chat.tui.screens.choose import ChooseScreen  # not needed for the first paint

        dialog = ChooseScreen("Forget", "forget", (*exact, *near), marked=marked, note=note, clock=screen.clock)
        chosen = await screen.app.push_screen_wait(dialog)
        if not chosen:
            return
        forgotten = await screen.ask_session(lambda session: session.memory.forget(sorted(chosen)), "forgetting it")
        if forgotten is not None:
            self._forgotten = tuple(each.text for each in forgotten)
            undo, proof = shown(screen.app, "undo"), shown(screen.app, "proof")
            screen.tell(f"Forgotten: {quoted(forgotten)} {undo} brings it back, {proof} shows the proof.")
            self._note_changes((each.id for each in forgotten), in_memory=False)
            await screen.refresh_memory()

    @in_worker("confirm")
    async def confirm_deletes(self, event: messages.DeletesAsked) -> None:
        """Show what the turn would delete; what is marked goes, and the turn goes on."""
        from varda_chat.tui.screens.choose import ConfirmScreen  # not needed for the first paint

        screen = self.screen
        dialog = ConfirmScreen(event.going, clock=screen.clock, stop=screen.host.stop, composer=screen.composer)
        self._asking = dialog
        chosen = None
        try:
            chosen = await screen.app.push_screen_wait(dialog)
        finally:
            self._asking = None
            event.answer(chosen or ())

    def stop_asking(self) -> None:
        """Let a question that is open be answered by nothing: the answer it belongs to is stopped."""
        if self._asking is not None:
            self._asking.stop()

    @in_worker("dialog")
    async def proof(self) -> None:
        """Show that what was forgotten last, by the person or the last answer, has no part in answers any more."""
        screen = self.screen
        await screen.conversation.have_end()
        found = screen.conversation.last_exchange()
        turn = found[1].turn if found is not None else None
        forgotten = self._forgotten or tuple(each.text for each in (turn.deleted if turn is not None else ()))
        if not forgotten:
            screen.tell("Nothing was forgotten in this session yet.", warning=True)
            return
        if screen.commands.must_wait():
            return
        from varda_chat.tui.screens.proof import ProofScreen  # not needed for the first paint

        question = turn.prompt if turn is not None else forgotten[0]
        await screen.app.push_screen_wait(ProofScreen(screen.host, question, forgotten, screen.request.directory))

    @in_worker("dialog")
    async def pin(self, text: str = "") -> None:
        """Choose which memories are never dropped; those that hold ``text`` are marked at first."""
        screen = self.screen
        if screen.commands.must_load():
            return
        found = await screen.ask_session(lambda session: session.memory.candidates(text), "searching the memory")
        if found is None:
            return
        shown = (*found[0], *found[1])
        if not shown:
            like = f"Nothing in memory is like {one_line(text, 60)!r}."
            screen.tell(like if text else "There is nothing in memory to pin.", warning=True)
            return
        pinned = frozenset(each.id for each in shown if each.pinned)
        marked = pinned | frozenset(each.id for each in found[0] if text)
        from varda_chat.tui.screens.choose import ChooseScreen  # not needed for the first paint

        note = "What is marked is kept."
        chosen = await screen.app.push_screen_wait(
            ChooseScreen("Pin", "pin", shown, marked=marked, note=note, clock=screen.clock)
        )
        if chosen is None or chosen == pinned:
            return

        def pin(session: ChatSession) -> int:
            session.memory.pin_all(chosen - pinned)
            session.memory.pin_all(pinned - chosen, False)
            return sum(each.pinned for each in session.memory.statements())

        count = await screen.ask_session(pin, "pinning it")
        if count is not None:
            screen.tell(f"Pinned now: {count:,}.")

    @in_worker("memory")
    async def undo(self) -> None:
        """Take back the last store or delete."""
        screen = self.screen
        if screen.commands.must_load():
            return
        undone = await screen.ask_session(lambda session: session.memory.undo(), "undoing it")
        if undone is None:
            return
        screen.tell(undone_lines(undone))
        self._note_changes((each.id for each in undone.restored), in_memory=True)
        self._note_changes((each.id for each in undone.removed), in_memory=False)
        if undone.restored or undone.removed:
            await screen.refresh_memory()

    @in_worker("undo", exclusive=True)
    async def undo_change(self, line: ChangeLine) -> None:
        """Take back what a turn did to one memory, or do it again; nothing else of its turn."""
        screen = self.screen
        if screen.commands.must_load():
            return
        memory_id, goes = line.memory.id, line.in_memory
        does = "Deleted: " if goes else "Back in memory: "

        def change(session: ChatSession) -> tuple[Statement, ...]:
            return session.memory.forget([memory_id]) if goes else session.memory.bring_back([memory_id])

        changed = await screen.ask_session(change, "undoing it")
        if changed is None:
            return
        if not changed and goes:
            screen.tell("It is no longer in memory.", warning=True)
            self._note_changes((memory_id,), in_memory=False)
            return
        if not changed:
            screen.tell("It is in memory already, or can no longer be restored.", warning=True)
            return
        screen.tell(does + quoted(changed))
        line.memory = replace(line.memory, id=changed[0].id)  # another, where it was told again since
        self._note_changes((line.memory.id,), in_memory=not goes)
        await screen.refresh_memory()

    async def follow_memory(self) -> None:
        """Let the lines under the answers say where their memories are: these may be answers of an earlier day."""
        lines = list(self.screen.query(ChangeLine))
        if not lines:
            return
        shown_ids = {line.memory.id for line in lines}
        present = await self.screen.ask_session(
            lambda session: session.memory.present(shown_ids), "looking at the memory", wait=False
        )
        if present is None:
            return
        for line in lines:
            if line.in_memory != (line.memory.id in present):
                line.note(in_memory=not line.in_memory)

    def _note_changes(self, memory_ids: Iterable[int], *, in_memory: bool) -> None:
        """Let the lines under the answers say where these memories are now."""
        changed = frozenset(memory_ids)
        for line in self.screen.query(ChangeLine):
            if line.memory.id in changed:
                line.note(in_memory=in_memory)

    @in_worker("dialog")
    async def browse(self, text: str = "") -> None:
        """Browse all that is in memory."""
        from varda_chat.tui.screens.browser import BrowserScreen  # not needed for the first paint

        screen = self.screen
        if any(isinstance(each, BrowserScreen) for each in screen.app.screen_stack):
            return
        if await screen.ask_session(lambda session: True, "looking at the memory", wait=False) is None:
            return
        browser = BrowserScreen(screen.host, lambda: screen.is_idle, screen.clock, text)
        if await screen.app.push_screen_wait(browser):
            await screen.refresh_memory()
        if browser.acts.purged:
            self._forgotten = browser.acts.purged
            screen.note_purge()

    @in_worker("dialog")
    async def map(self) -> None:
        """Draw all that is in memory as a map."""
        from varda_chat.tui.screens.map import MapScreen  # not needed for the first paint

        screen = self.screen
        if any(isinstance(each, MapScreen) for each in screen.app.screen_stack):
            return
        if await screen.ask_session(lambda session: True, "looking at the memory", wait=False) is None:
            return
        if await screen.app.push_screen_wait(MapScreen(screen.host, screen.clock)):
            await screen.refresh_memory()

    @in_worker("dialog")
    async def open_statement(self, statement_id: int, text: str) -> None:
        """Show all that is known of one memory."""
        from varda_chat.tui.screens.statement import StatementScreen  # not needed for the first paint

        screen = self.screen
        if await screen.app.push_screen_wait(StatementScreen(screen.host, statement_id, text, screen.clock)):
            await screen.refresh_memory()
