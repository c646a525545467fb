"""BrowserActions: what a person does to statements in the memory browser: pin, edit, forget, purge, undo, export."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from varda_chat.errors import VardaError
from varda_chat.storage.files import unused
from varda_chat.text import numbered, were
from varda_chat.tui.bindings import shown
from varda_chat.tui.controllers.asking import ask
from varda_chat.tui.controllers.browsing import entries_of_removed
from varda_chat.tui.controllers.telling import quoted, undone_lines
from varda_chat.tui.controllers.workers import in_worker
from varda_chat.tui.screens.editing import EditScreen
from varda_chat.tui.screens.forgetting import ForgetScreen
from varda_chat.tui.screens.map import MapScreen
from varda_chat.tui.screens.path import PathScreen
from varda_chat.tui.screens.statement import StatementScreen

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement
    from varda_chat.session.session import ChatSession
    from varda_chat.tui.screens.browser import BrowserScreen

T = TypeVar("T")
_WAIT = "Varda is still writing. Try again when she is done."


class BrowserActions:
    """Each acts on what is marked, or else on what the cursor is on.

    changed: whether the memory was changed. purged: the words that were purged last.
    """

    def __init__(self, screen: BrowserScreen) -> None:
        self.screen = screen
        self.changed = False
        self.purged: tuple[str, ...] = ()
        self._edited: list[tuple[int, str]] = []  # id and the words before, the last edit last

    def _chosen(self) -> list[Statement]:
        """What is marked, shown just now or not; else what the cursor is on."""
        listed = self.screen.listed
        if listed.marked:
            return [each.statement for each in self.screen.entries if each.statement.id in listed.marked]
        return [listed.highlighted.statement] if listed.highlighted is not None else []

    def _in_memory(self) -> list[Statement]:
        """``_chosen``; none, which was told, where what was deleted is shown."""
        if self.screen.shows_deleted:
            self.screen.notify(
                f"It is deleted. {shown(self.screen.app, 'browser.undo')} restores it.", severity="warning"
            )
            return []
        return self._chosen()

    async def _may_change(self, what: str) -> bool:
        """Whether the memory can be changed now; if not, that was told, beginning with ``what``."""
        if not self.screen.is_idle():
            self.screen.notify(_WAIT, severity="warning", markup=False)
            return False

        def check(session: ChatSession) -> bool:
            session.memory.check_writable(what)
            return True

        return await self._ask(check, "looking at the memory", wait=False) is not None

    async def _ask(self, act: Callable[[ChatSession], T], doing: str, *, wait: bool = True) -> T | None:
        return await ask(self.screen, self.screen.host, act, doing, wait=wait)

    def _note_change(self) -> None:
        self.changed = True
        self.screen.load()

    @in_worker("dialog")
    async def open(self, statement: Statement) -> None:
        """Show all that is known of it."""
        if await self.screen.app.push_screen_wait(
            StatementScreen(self.screen.host, statement.id, statement.text, self.screen.clock)
        ):
            self.changed = True  # it is shown as it is now when this screen comes back

    @in_worker("memory")
    async def pin(self) -> None:
        """Pin, or unpin where all of them are pinned."""
        chosen = self._in_memory()
        pinned = not all(each.pinned for each in chosen)
        if not chosen or not await self._may_change("The pin was not set"):
            return
        ids = [each.id for each in chosen]
        count = await self._ask(lambda session: session.memory.pin_all(ids, pinned), "pinning it")
        if count is not None:
            if len(ids) > 1:
                self.screen.notify(f"{'Pinned' if pinned else 'No longer pinned'}: {count:,}.", markup=False)
            self._note_change()

    @in_worker("dialog")
    async def edit(self) -> None:
        """Give the statement at the cursor other words."""
        entry = self.screen.listed.highlighted
        if not self._in_memory() or entry is None or not await self._may_change("Nothing was changed"):
            return
        text = await self.screen.app.push_screen_wait(EditScreen(entry.statement))
        if text is not None and await self._give_words(entry.statement.id, text):
            self._edited.append((entry.statement.id, entry.statement.text))
            self.screen.notify(
                f"Varda knows it in the new words. {shown(self.screen.app, 'browser.undo')} brings the old ones back.",
                markup=False,
            )

    async def _give_words(self, statement_id: int, text: str) -> bool:
        edited = await self._ask(lambda session: session.memory.edit(statement_id, text), "changing it")
        if edited is not None:
            self._note_change()
        return edited is not None

    @in_worker("dialog")
    async def forget(self) -> None:
        """Show what goes, and let it go once confirmed."""
        chosen = self._in_memory()
        if not chosen or not await self._may_change("Nothing was forgotten"):
            return
        if not await self.screen.app.push_screen_wait(ForgetScreen(chosen)):
            return
        ids = [each.id for each in chosen]
        forgotten = await self._ask(lambda session: session.memory.forget(ids), "forgetting it")
        if forgotten is not None:
            self._edited.clear()  # what is undone first from here on is this
            self.screen.notify(
                f"Forgotten: {quoted(forgotten)} {shown(self.screen.app, 'browser.undo')} brings it back.", markup=False
            )
            self._note_change()

    @in_worker("dialog")
    async def purge(self) -> None:
        """Show what leaves every file of the profile; once confirmed, purge it and search the files."""
        chosen = self._chosen()
        if not chosen or not await self._may_change("Nothing was purged"):
            return
        ids = [each.id for each in chosen]
        going = await self._ask(partial(_going, ids), "looking at the memory", wait=False)
        if not going or not await self.screen.app.push_screen_wait(ForgetScreen(going, purge=True)):
            return
        words = await self._ask(lambda session: session.memory.purge(ids), "purging it")
        if words is None:
            return
        self._edited.clear()
        self.purged = words
        self._note_change()
        told = await self._ask(partial(_traces, words), "searching the files", wait=False)
        if told is not None:
            line, found = told
            self.screen.notify(line, severity="warning" if found else "information", markup=False)

    @in_worker("memory")
    async def undo(self) -> None:
        """Take back the last edit made here, or else the last store or delete; restore what is chosen of what was
        deleted."""
        if self.screen.shows_deleted:
            await self._restore()
            return
        if not await self._may_change("Nothing was undone"):
            return
        if self._edited:
            statement_id, text = self._edited.pop()
            if await self._give_words(statement_id, text):
                self.screen.notify("It has its old words again.", markup=False)
            return
        undone = await self._ask(lambda session: session.memory.undo(), "undoing it")
        if undone is not None:
            self.screen.notify(undone_lines(undone), markup=False)
            self._note_change()

    async def _restore(self) -> None:
        ids = [each.id for each in self._chosen()]
        if not ids or not await self._may_change("Nothing was brought back"):
            return
        back = await self._ask(lambda session: session.memory.bring_back(ids), "restoring it")
        if back is not None:
            told = f"Back in memory: {quoted(back)}" if back else "It is in memory already, or cannot be restored."
            self.screen.notify(told, severity="information" if back else "warning")
            self._note_change()

    @in_worker("dialog")
    async def map(self) -> None:
        """Draw what is shown as a map."""
        if self.screen.shows_deleted and not self._in_memory():
            return
        ids = [each.statement.id for each in self.screen.listed.entries]
        if await self.screen.app.push_screen_wait(MapScreen(self.screen.host, self.screen.clock, ids)):
            self.changed = True

    @in_worker("dialog")
    async def export(self) -> None:
        """Ask for a file, and write what is marked, or else all that is shown, to it as ``memory export`` does."""
        if self.screen.shows_deleted and not self._in_memory():
            return
        marked = self.screen.listed.marked
        ids = (
            [each.id for each in self._chosen()]
            if marked
            else [each.statement.id for each in self.screen.listed.entries]
        )
        if not ids:
            self.screen.notify("There is nothing to export.", severity="warning", markup=False)
        elif self.screen.app.is_web:
            lines = await self._ask(lambda session: list(session.memory.exported_lines(ids)), "exporting", wait=False)
            if lines is not None:
                self.screen.app.deliver_text(io.StringIO(b"".join(lines).decode()), save_filename="varda-memory.jsonl")
        else:
            await self._export(ids)

    async def _export(self, ids: Sequence[int]) -> None:
        profile = await self._ask(lambda session: session.profile, "exporting", wait=False)
        if profile is None:
            return
        default = unused(Path.cwd() / f"varda-memory-{profile}.jsonl")
        note = f"{numbered(len(ids), 'memory')}: .jsonl with vectors, .md to read and edit, .csv for a table."
        path = await self.screen.app.push_screen_wait(PathScreen("Export", default, note))
        if path is None:
            return
        count = await self._ask(lambda session: _write(session, path, ids), "exporting", wait=False)
        if count is not None:
            self.screen.notify(f"{numbered(count, 'memory')} {were(count)} written to {path}.", markup=False)


def _going(ids: Sequence[int], session: ChatSession) -> list[Statement]:
    """All that goes when ``ids`` are purged, also what was deleted before."""
    found, removed = session.memory.would_purge(ids)
    return [*found, *(each.statement for each in entries_of_removed(removed))]


def _traces(words: Sequence[str], session: ChatSession) -> tuple[str, bool]:
    """What every byte of the profile's files shows after a purge, in a line, and whether one holds ``words`` still."""
    from varda_chat.session.proof import files_that_hold, line_of_files

    read = files_that_hold(session.profile_dir, words)
    return f"Purged. {line_of_files(read)}", any(each.holds for each in read)


def _write(session: ChatSession, path: Path, ids: Sequence[int]) -> int:
    """Write them to ``path``; returns how many there were."""
    try:
        return session.memory.export(path, ids)
    except OSError as error:
        raise VardaError(f"The export could not be written to {path}: {error.strerror}.") from error
