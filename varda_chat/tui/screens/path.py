"""Where to write a file, before it is written."""

from __future__ import annotations

from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input, Static

from varda_chat.text import one_line
from varda_chat.tui.screens.card import Card
from varda_chat.tui.widgets.browser_lines import SearchField
from varda_chat.tui.widgets.welcome import tilde

_CHARACTERS = 4096


class PathScreen(Card[Path | None]):
    """Answers the path of a file that is not there yet, None where nothing shall be written."""

    def __init__(self, title: str, path: Path, note: str = "") -> None:
        """``path``: what stands there at first."""
        super().__init__()
        self._title = title
        self._path = path
        self._note = note

    def compose(self) -> ComposeResult:
        hints = (("Enter", "write it"), (self.key("card.close"), "write nothing"))
        with self.card(self._title, hints, name="path"):
            yield Static(self._note, classes="note", markup=False)
            yield SearchField(one_line(tilde(self._path), _CHARACTERS), select_on_focus=False)

    def on_mount(self) -> None:
        self.query_one(SearchField).focus()

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        try:
            problem = _problem(event.value)
        except (OSError, RuntimeError, ValueError) as error:
            problem = f"No file can be written there: {error}."
        if problem:
            self.notify(problem, severity="warning", markup=False)
        else:
            self.dismiss(Path(event.value.strip()).expanduser().absolute())


def _problem(text: str) -> str:
    """Why no file can be written to what was typed; "" where one can."""
    if not text.strip():
        return "Write where the file shall be."
    path = Path(text.strip()).expanduser()
    if path.is_dir():
        return f"{path} is a folder. Add the name of a file."
    if path.exists():
        return f"{path} is there already. Choose another name."
    if not path.parent.is_dir():
        return f"There is no folder {path.parent}."
    return ""
