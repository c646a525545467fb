"""Help: the keys of the place it is asked for in, all others, the commands, the memory, where the data is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widgets import Static

from varda_chat.config.paths import reset_command
from varda_chat.text import one_line
from varda_chat.tui import bindings
from varda_chat.tui.commands import COMMANDS, Command
from varda_chat.tui.widgets.welcome import tilde

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
        Binding("escape,q", "dismiss", "Close", id="help.close"),
        Binding("down,j", "scroll(1)", "Down", show=False, id="help.down"),
        Binding("up,k", "scroll(-1)", "Up", show=False, id="help.up"),
    ]

    def __init__(self, asked_in: DOMNode, keymap: Mapping[str, str], *, profile_dir: Path) -> None:
        """``asked_in``: the screen that it is about first; ``keymap``: the person's own keys."""
        super().__init__()
        self._places = _from(asked_in)
        self._keymap = keymap
        self._profile = one_line(profile_dir.name, 64)
        self._where = one_line(tilde(profile_dir), 400)
        self._reset = one_line(reset_command(profile_dir), 400)

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as card:
            card.border_title = "✦ Help"
            card.border_subtitle = f"{bindings.shown(self.app, 'help.close')} closes"
            for place in self._places:
                yield _heading(f"KEYS: {place.title.upper()}")
                yield from _rows(place.rows(self._keymap))
            yield _heading("COMMANDS")
            yield from _rows((command.usage, self._does(command)) for command in COMMANDS)
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

    def _does(self, command: Command) -> str:
        key = bindings.shortcut(self.app, command)
        return f"{command.help}  ({key})" if key else command.help

    def action_scroll(self, lines: int) -> None:
        """Move the help by ``lines``."""
        self.query_one("#help").scroll_relative(y=lines, animate=False)


def _from(asked_in: DOMNode) -> list[bindings.Place]:
    """The places whose keys are shown: where one is, what is inside and around it, then the chat."""
    everything = bindings.places()
    titles = {place.title for place in everything if isinstance(asked_in, place.kinds)}
    inside = titles - {"Any card"}
    near = [place for place in everything if place.title in titles or place.inside in inside]
    near.sort(key=lambda place: place.title == "Any card")
    around = [place for place in everything if place.title == "Everywhere"]
    chat = [place for place in everything if "Chat" in (place.title, place.inside) and place not in near]
    return [*near, *around, *chat]


def _heading(text: str) -> Static:
    return Static(text, classes="heading", markup=False)


def _rows(rows: Iterable[tuple[str, str]]) -> ComposeResult:
    for key, does in rows:
        with Horizontal(classes="row"):
            yield Static(key, classes="key", markup=False)
            yield Static(does, classes="does", markup=False)
