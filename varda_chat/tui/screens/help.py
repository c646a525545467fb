"""Help: the keys and commands, what the memory does, where the data lies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from varda_chat.paths import reset_command
from varda_chat.sanitize import one_line
from varda_chat.tui.commands import COMMANDS, Command
from varda_chat.tui.widgets.welcome import tilde

KEYS = (
    ("Enter", "send"),
    ("Shift+Enter  Ctrl+J", "new line"),
    ("Up  Down", "earlier messages, at the first and last line"),
    ("Esc", "stop the answer and keep what is written"),
    ("PgUp  PgDn", "scroll the conversation"),
    ("Tab  Shift+Tab", "walk to the memories and the answers; Enter opens one"),
    ("Ctrl+O", "show a large paste that is folded"),
    ("Ctrl+P", "command palette"),
    ("Ctrl+Q", "save the memory and quit"),
)

MEMORY = (
    "While Varda writes, her model reads from a memory of what you told her in this and earlier sessions. "
    "She decides herself what to store and what to delete. The panel shows both, and which memories were "
    "recalled for the last answer and how strongly.",
    "A turn's stores and deletes are on disk before the panel shows them. Sessions are saved as they happen, and what "
    "you typed for the Up key; only the memory goes from one session to the next. Incognito stores and saves nothing.",
    "She is a small language model: she can be wrong, and so can what she recalls.",
)


class HelpScreen(ModalScreen[None]):
    """Closed by Esc, F1 or q."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (64, "-wide")]  # noqa: RUF012 - Textual's own declaration
    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("escape,f1,q", "dismiss", "Close", show=False),
        Binding("down,j", "scroll(1)", "Down", show=False),
        Binding("up,k", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, *, profile: str, profile_dir: Path) -> None:
        super().__init__()
        self._profile = one_line(profile, 64)
        self._where = one_line(tilde(profile_dir), 400)
        self._reset = one_line(reset_command(profile_dir), 400)

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as card:
            card.border_title = "✦ Help"
            card.border_subtitle = "Esc closes"
            yield _heading("KEYS")
            yield from _rows(KEYS)
            yield _heading("COMMANDS")
            yield from _rows((command.usage, _does(command)) for command in COMMANDS)
            yield _heading("MEMORY")
            for paragraph in MEMORY:
                yield Static(paragraph, classes="paragraph", markup=False)
            yield _heading("DATA")
            yield Static(
                Content.assemble(
                    "Everything of the profile ",
                    (self._profile, "$accent"),
                    " lies in ",
                    (self._where, "$accent"),
                    " and leaves this machine only if you take it elsewhere. To clear the memory, after a backup: ",
                    (self._reset, "$accent"),
                ),
                classes="paragraph",
            )

    def action_scroll(self, lines: int) -> None:
        """Move the help by ``lines``."""
        self.query_one("#help").scroll_relative(y=lines, animate=False)


def _does(command: Command) -> str:
    return f"{command.help}  ({command.keys})" if command.keys else command.help


def _heading(text: str) -> Static:
    return Static(text, classes="heading", markup=False)


def _rows(rows: Iterable[tuple[str, str]]) -> ComposeResult:
    for key, does in rows:
        with Horizontal(classes="row"):
            yield Static(key, classes="key", markup=False)
            yield Static(does, classes="does", markup=False)
