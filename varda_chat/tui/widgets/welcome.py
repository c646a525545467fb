"""What an empty conversation shows: what this is, where the data is and how to forget; or a short greeting."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from varda_chat.config.paths import reset_command
from varda_chat.text import one_line
from varda_chat.tui.bindings import shown
from varda_chat.tui.formatting import magnitude
from varda_chat.tui.state import SessionDetails

TRY = "My favourite tea is Assam."
"""What a newcomer may say first."""
_FRAMED_FROM = 64
"""Columns of a terminal from which the newcomer's greeting has a frame."""


class Welcome(Vertical):
    """The greeting above the first message; ``show_details`` adds what only a loaded model tells."""

    def __init__(self, *, profile_dir: Path, first_run: bool, incognito: bool) -> None:
        super().__init__(classes="-first-run" if first_run else "")
        self._where = one_line(tilde(profile_dir), 200)
        self._reset = one_line(reset_command(profile_dir), 300)
        self._first_run = first_run
        self._incognito = incognito

    def compose(self) -> ComposeResult:
        rows = self._newcomer_rows() if self._first_run else self._greeting_rows()
        for sign, words, name in rows:
            with Horizontal(classes="row", id=name) as row:
                yield Static(sign, classes="sign", markup=False)
                yield Static(words, classes="words")
            row.display = name != "incognito" or self._incognito

    def on_resize(self) -> None:
        """Leave the frame out where its room is needed for words."""
        self.set_class(self.app.size.width < _FRAMED_FROM, "-slim")

    def show_details(self, details: SessionDetails) -> None:
        """Name the model's size."""
        for row in self.query("#size .words").results(Static):
            row.update(_size(details.parameters))

    def show_incognito(self, incognito: bool) -> None:
        """Say so, or no longer."""
        for row in self.query("#incognito"):
            row.display = incognito

    def _greeting_rows(self) -> list[tuple[str, Content, str | None]]:
        hello = Content.assemble(
            ("Good to see you again.", "bold"), (f"  {shown(self.app, 'help')} for help.", "$quiet")
        )
        incognito = Content.styled("Incognito: I recall, but store nothing.", "$secondary")
        return [("✦", hello, None), ("", incognito, "incognito")]

    def _newcomer_rows(self) -> list[tuple[str, Content, str | None]]:
        """What matters first comes first: a small terminal shows the rest only when one scrolls."""
        help_key, panel_key = _name(shown(self.app, "help")), _name(shown(self.app, "panel"))
        return [
            ("✦", Content.styled("Welcome. What you tell me today, I still know tomorrow.", "bold"), None),
            ("→", Content.assemble("Try it: tell me ", _name(TRY), " Then type ", _name("/new"), " and ask me."), None),
            ("≈", _size(0), "size"),
            ("⌂", Content.assemble("Private: no account, no network. Your data is in ", _name(self._where)), None),
            ("−", Content.assemble("I forget one thing by ", _name("/forget"), ", all by ", _name(self._reset)), None),
            ("?", Content.assemble(help_key, " shows the keys, ", panel_key, " the memory at work."), None),
        ]


def tilde(path: Path) -> str:
    """``path`` as people write it, with ~ for their home."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


def _name(text: str) -> tuple[str, str]:
    return text, "$primary"


def _size(parameters: int) -> Content:
    size = f" of {magnitude(parameters)} parameters" if parameters else ""
    return Content(f"I am a small language model{size} and may be wrong: check what matters.")
