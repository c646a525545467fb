"""One memory: what was said, when, by whom; to pin it, forget it or bring it back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from varda_chat.text import one_line, sanitize, speaker, times
from varda_chat.transcripts.export import moment
from varda_chat.tui.controllers.asking import ask
from varda_chat.tui.controllers.session_host import SessionHost
from varda_chat.tui.formatting import ago
from varda_chat.tui.screens.card import Card

if TYPE_CHECKING:
    from varda_chat.memory.records import Removed, Statement
    from varda_chat.session.memory_actions import SessionMemory

_SHOWN_CHARACTERS = 20_000
_TOKENS_SHOWN = 60
_ACTS = ("pin", "forget", "copy")
_ACTS_ON_REMOVED = ("bring_back", "copy")


@dataclass(frozen=True)
class Found:
    """A statement with the tokens of its vectors, or (``removed``) one that can be brought back."""

    statement: Statement | None
    tokens: tuple[str, ...] = ()
    removed: Removed | None = None


def look_up(memory: SessionMemory, statement_id: int) -> Found:
    """What the memory knows of a statement; both None where it cannot be brought back."""
    statement, removed = memory.look_up(statement_id)
    return Found(statement, memory.tokens(statement_id) if statement is not None else (), removed)


class StatementScreen(Card[bool]):
    """Answers whether the memory was changed."""

    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("p", "pin", "Pin or unpin", id="record.pin"),
        Binding("f,delete", "forget", "Forget", id="record.forget"),
        Binding("u,b", "bring_back", "Bring back", id="record.bring_back"),
        Binding("c", "copy", "Copy", id="record.copy"),
        Binding("enter,q", "close", "Close", show=False, id="record.close"),
    ]

    def __init__(self, host: SessionHost, statement_id: int, text: str, clock: Callable[[], float]) -> None:
        """``text``: what is shown until more is known, and where there is no more."""
        super().__init__()
        self._host = host
        self._statement_id = statement_id
        self._text = sanitize(text)
        self._clock = clock
        self._found = Found(None)
        self._changed = False

    def compose(self) -> ComposeResult:
        with self.card("Memory", (), name="statement"), VerticalScroll():
            yield Static(Content(self._text[:_SHOWN_CHARACTERS]), classes="said")
            yield Static("", classes="details")

    def on_mount(self) -> None:
        self._load()

    @work(exclusive=True, exit_on_error=False)
    async def _load(self) -> None:
        found = await self._do(lambda memory: look_up(memory, self._statement_id), wait=False)
        if found is not None:
            self._found = found
            self._show()

    async def _do(self, act: Callable[[SessionMemory], Any], *, wait: bool = True) -> Any:
        return await ask(self, self._host, lambda session: act(session.memory), "looking at the memory", wait=wait)

    def _show_acts(self, acts: Iterable[str]) -> None:
        hints = [(self.key(f"record.{act}"), act.replace("_", " ")) for act in acts]
        self.show_hints((*hints, (self.key("card.close"), "close")))

    def _show(self) -> None:
        card = self.query_one("#statement")
        details = self.query_one(".details", Static)
        statement, removed = self._found.statement, self._found.removed
        if statement is None:
            if removed is not None:
                when = f"{moment(removed.removed_at)}  ({self.key('record.bring_back')} brings it back)"
                details.update(_details([("deleted", when)]))
                self._show_acts(_ACTS_ON_REMOVED)
            else:
                details.update(_details([("deleted", "this is no longer in memory, and cannot be brought back")]))
                self.show_hints(())
                card.border_subtitle = ""
            return
        self._text = sanitize(statement.text)
        self.query_one(".said", Static).update(Content(self._text[:_SHOWN_CHARACTERS]))
        self._show_acts(_ACTS)
        now = self._clock()
        who = speaker(statement.role)
        tokens = [repr(sanitize(each))[1:-1].strip() or "␣" for each in self._found.tokens[:_TOKENS_SHOWN]]
        details.update(
            _details(
                [
                    ("said by", f"{who}, {moment(statement.created_at)} ({ago(statement.created_at, now)})"),
                    ("session", one_line(statement.session, 60)),
                    ("recalled", times(statement.recall_count)),
                    ("pinned", "yes: it is never dropped" if statement.pinned else "no"),
                    ("vectors", f"{statement.vector_count}, at {' · '.join(tokens)}" if tokens else "0"),
                    ("number", str(statement.id)),
                ]
            )
        )

    @work(exclusive=True, exit_on_error=False)
    async def action_pin(self) -> None:
        """Pin it, or no longer."""
        statement = self._found.statement
        if (
            statement is not None
            and await self._do(lambda memory: memory.pin(statement.id, not statement.pinned)) is not None
        ):
            self._changed = True
            self._load()

    @work(exclusive=True, exit_on_error=False)
    async def action_forget(self) -> None:
        """Forget it; it can be brought back."""
        if (
            self._found.statement is not None
            and await self._do(lambda memory: memory.forget([self._statement_id])) is not None
        ):
            self._changed = True
            here, chat = self.key("record.bring_back"), self.key("undo")
            self.notify(f"It is forgotten. {here} brings it back, as does {chat} in the chat.", markup=False)
            self._load()

    @work(exclusive=True, exit_on_error=False)
    async def action_bring_back(self) -> None:
        """Put a deleted statement back into the memory."""
        if self._found.removed is None:
            return
        back = await self._do(lambda memory: memory.bring_back([self._statement_id]))
        if back is not None:
            for each in back:
                self._statement_id = each.id  # another, where it was told again since
            self._changed = True
            self._load()

    def action_copy(self) -> None:
        """Copy what was said."""
        self.app.copy_to_clipboard(self._text)
        self.notify("It is copied.", markup=False)

    def action_close(self) -> None:
        """Say whether anything has changed."""
        self.dismiss(self._changed)


def _details(rows: list[tuple[str, str]]) -> Content:
    return Content("\n").join(Content.assemble((f"{name:<10}", "$quiet"), value) for name, value in rows)
