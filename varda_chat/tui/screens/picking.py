"""Choosing one of a few things, or naming another: which profile, which model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from varda_chat.config.paths import profile_dir, shipped_checkpoints
from varda_chat.errors import VardaError
from varda_chat.memory.maintenance import Peek
from varda_chat.models import catalog
from varda_chat.models.catalog import BUNDLED, Model
from varda_chat.text import counted, one_line, sanitize
from varda_chat.tui.formatting import magnitude
from varda_chat.tui.screens.card import Card
from varda_chat.tui.widgets.welcome import tilde

_NAME_CELLS = 28


class PickScreen(Card[str | None]):
    """Answers what was chosen, or written; None for neither."""

    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("down", "move(1)", "Down", show=False, priority=True, id="pick.down"),
        Binding("up", "move(-1)", "Up", show=False, priority=True, id="pick.up"),
    ]
    HEADING = ""
    PLACEHOLDER = ""

    def __init__(self, names: Sequence[str], current: str) -> None:
        """``names``: what there is; ``current``: what is in use."""
        super().__init__()
        self._names = names
        self._current = current
        self._shown: list[str] = []

    def compose(self) -> ComposeResult:
        hints = (("Enter", "choose"), (self.key("card.close"), "leave" if self.is_narrow else "leave it as it is"))
        with self.card(self.HEADING, hints, name="pick"):
            yield Input(placeholder=self.PLACEHOLDER)
            yield OptionList(markup=False)
            yield Static("", classes="details")

    def on_mount(self) -> None:
        self.query_one(OptionList).can_focus = False
        self.query_one(Input).focus()
        self._fill()

    @on(Input.Changed)
    def _fill(self) -> None:
        typed = sanitize(self.query_one(Input).value).strip()
        self._shown = [name for name in self._names if typed.casefold() in self.words(name).casefold()]
        listed = self.query_one(OptionList)
        listed.clear_options()
        listed.add_options([Option(self._line(name)) for name in self._shown])
        if typed and typed not in self._names:
            self._shown.append(typed)
            listed.add_option(Option(Content.assemble("  ", self.offer(typed))))
        if self._shown:
            in_use = self._current in self._shown and not typed
            listed.highlighted = self._shown.index(self._current) if in_use else 0
        self._tell_more()

    def _line(self, name: str) -> Content:
        here = name == self._current
        mark = ("● " if here else "  ", "$accent")
        words = one_line(self.words(name), _NAME_CELLS)
        columns = self.columns(name)
        if not self.is_narrow:
            return Content.assemble(mark, words.ljust(_NAME_CELLS), "  ", (" ".join(columns), "$quiet"))
        most_telling = dict.fromkeys((columns[0].strip(), columns[-1].strip()))
        return Content.assemble(mark, words, ("\n    ", ""), (", ".join(most_telling), "$quiet"))

    @property
    def marked(self) -> str | None:
        """What stands out now."""
        place = self.query_one(OptionList).highlighted
        return self._shown[place] if place is not None and place < len(self._shown) else None

    def action_move(self, lines: int) -> None:
        """Go up or down in the list."""
        listed = self.query_one(OptionList)
        if self._shown:
            listed.highlighted = max(0, min((listed.highlighted or 0) + lines, len(self._shown) - 1))

    @on(OptionList.OptionHighlighted)
    def _tell_more(self) -> None:
        marked = self.marked
        details = self.details(marked) if marked in self._names and marked is not None else Content("")
        self.query_one(".details", Static).update(details)

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _choose(self) -> None:
        marked = self.marked
        if marked is None:
            return
        wrong = "" if marked in self._names else self.wrong_with(marked)
        if wrong:
            self.notify(wrong, severity="warning", markup=False)
        else:
            self.dismiss(marked)

    def words(self, name: str) -> str:
        """How it is called in the list."""
        return name

    def columns(self, name: str) -> tuple[str, ...]:
        """What stands beside it, each of one width; where it is narrow, the first and the last below it."""
        raise NotImplementedError

    def details(self, name: str) -> Content:
        """What stands below the list while it is marked."""
        raise NotImplementedError

    def offer(self, typed: str) -> Content:
        """What Enter does with what is typed."""
        raise NotImplementedError

    def wrong_with(self, typed: str) -> str:
        """Why what is typed cannot be; "" where it can."""
        raise NotImplementedError


class ProfilesScreen(PickScreen):
    """Answers the name of a profile, which need not be there yet."""

    HEADING = "Profiles"
    PLACEHOLDER = "Search, or name a new one"

    def __init__(self, profiles: Mapping[str, Peek], current: str) -> None:
        super().__init__(list(profiles), current)
        self._profiles = profiles

    def columns(self, name: str) -> tuple[str, ...]:
        found = self._profiles[name]
        if found.damaged:
            return ("damaged",)
        if found.problem:
            return ("cannot be read",)
        held = counted(found.statements, "memory", 6), counted(found.vectors, "vector", 7)
        return *held, f"{_size(found.bytes):>8}"

    def details(self, name: str) -> Content:
        return Content.styled(one_line(tilde(self._profiles[name].path.parent), 400), "$quiet")

    def offer(self, typed: str) -> Content:
        return Content.assemble("New profile ", (one_line(typed, 64), "$primary"))

    def wrong_with(self, typed: str) -> str:
        try:
            profile_dir(typed)
        except VardaError as error:
            return str(error)
        return ""


class ModelsScreen(PickScreen):
    """Answers the folder, hub id or shipped name of a model, BUNDLED for the one opened where none is named."""

    HEADING = "Models"
    PLACEHOLDER = "Search, or a folder, or a hub id"

    def __init__(self, found: Sequence[Model], current: str) -> None:
        super().__init__([each.source for each in found], current)
        self._models = {each.source: each for each in found}
        self._fingerprints: dict[str, str] = {}

    def words(self, name: str) -> str:
        return self._models[name].name

    def columns(self, name: str) -> tuple[str, ...]:
        model = self._models[name]
        if model.folder is None:
            return ("on the hub, or in its cache",)
        return f"{magnitude(model.parameters):>7} parameters", f"{_size(model.bytes):>8}"

    def details(self, name: str) -> Content:
        model = self._models[name]
        if name not in self._fingerprints:
            self._read_fingerprint(name)
        where = name if model.folder is None else tilde(model.folder)
        if name == BUNDLED or name in shipped_checkpoints():
            where = "comes with varda-chat"
        title, text = (*model.card, "", "")[:2]
        return Content.assemble(
            (one_line(where, 400), "$quiet"),
            ("\nfingerprint ", "$quiet"),
            self._fingerprints.get(name, "…"),
            "\n\n",
            (title, "bold"),
            f"\n{text}",
        )

    @work(exclusive=True, exit_on_error=False)
    async def _read_fingerprint(self, name: str) -> None:
        """Show it once it is read; large weights take a while."""
        try:
            found = await asyncio.to_thread(catalog.fingerprint, self._models[name])
        except VardaError as error:
            found = one_line(str(error), 200)
        self._fingerprints[name] = found or "not known before it is fetched"
        if self.is_current and self.marked == name:
            self._tell_more()

    def offer(self, typed: str) -> Content:
        return Content.assemble("Load ", (one_line(typed, 200), "$primary"))

    def wrong_with(self, typed: str) -> str:
        return ""


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
