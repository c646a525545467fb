"""Which keys do what, and where: gathered from the bindings themselves, as they come and as the person has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, cast

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import REPLACED_KEYS, Keys, key_to_character
from textual.widgets import TextArea

from varda_chat.errors import VardaError
from varda_chat.text import one_line
from varda_chat.tui.commands import Command

_MODIFIERS = ("ctrl+", "shift+", "alt+", "meta+", "super+", "hyper+")
_NAMES = {
    "escape": "Esc", "pageup": "PgUp", "pagedown": "PgDn", "delete": "Del", "left": "←", "right": "→", "up": "↑",
    "down": "↓", "backspace": "Backspace", "enter": "Enter",
}  # fmt: skip
_WRITTEN_WITH = {
    "enter", "shift+enter", "ctrl+j", "ctrl+m", "tab", "shift+tab", "ctrl+i", "backspace", "space", "ctrl+c",
}  # fmt: skip
"""Keys without which nobody can write a message, or leave what does not answer."""


@dataclass(frozen=True)
class Place:
    """Where keys count: in widgets or screens of ``kinds``. ``inside``: the place whose keys count there too;
    ``fixed``: keys that cannot be changed, and what they do."""

    title: str
    kinds: tuple[type[DOMNode], ...]
    inside: str = "Everywhere"
    fixed: tuple[tuple[str, str], ...] = ()

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """What can be changed."""
        found = cast("list[Binding]", self.kinds[0].__dict__.get("BINDINGS", []))
        return tuple(each for each in found if each.id)

    def rows(self, keymap: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Keys, as a person reads them, and what they do: for the help."""
        yield from self.fixed
        for each in self.bindings:
            if each.show:
                yield named(keymap.get(each.id or "", each.key)), each.description[0].lower() + each.description[1:]


@cache
def first_places() -> tuple[Place, ...]:
    """Those that are there at the first paint; for their keys alone no other screen is loaded."""
    from varda_chat.tui.app import VardaApp
    from varda_chat.tui.screens.card import Card
    from varda_chat.tui.screens.chat import ChatScreen
    from varda_chat.tui.widgets.change_line import ChangeLine
    from varda_chat.tui.widgets.composer import Composer
    from varda_chat.tui.widgets.memory_panel import EventRow, RecalledRow
    from varda_chat.tui.widgets.message import VardaMessage

    return (
        Place(
            "Writing",
            (Composer,),
            "Chat",
            (
                ("Enter", "send"),
                ("Shift+Enter  Ctrl+J", "new line"),
                ("↑  ↓", "earlier messages, at the first and last line"),
                ("Tab  Shift+Tab", "complete a command; walk to memories and answers"),
            ),
        ),
        Place("Chat", (ChatScreen,)),
        Place("An answer", (VardaMessage,), "Chat"),
        Place("A memory under an answer", (ChangeLine,), "Chat"),
        Place("A memory of the panel", (EventRow, RecalledRow), "Chat"),
        Place("Everywhere", (VardaApp,), "", (("Ctrl+C", "copy what is marked; else stop the answer"),)),
        Place("Any card", (Card,)),
    )


@cache
def places() -> tuple[Place, ...]:
    """All there are; the help lists them in this order."""
    from varda_chat.tui.screens.browser import BrowserScreen
    from varda_chat.tui.screens.choose import ChooseScreen
    from varda_chat.tui.screens.editing import EditScreen
    from varda_chat.tui.screens.forgetting import ForgetScreen
    from varda_chat.tui.screens.help import HelpScreen
    from varda_chat.tui.screens.keys import KeysScreen
    from varda_chat.tui.screens.map import MapScreen
    from varda_chat.tui.screens.path import PathScreen
    from varda_chat.tui.screens.picking import PickScreen
    from varda_chat.tui.screens.proof import ProofScreen
    from varda_chat.tui.screens.sessions import SessionsScreen
    from varda_chat.tui.screens.settings import SettingsScreen
    from varda_chat.tui.screens.sources import SourcesScreen
    from varda_chat.tui.screens.statement import StatementScreen
    from varda_chat.tui.widgets.memory_map import MemoryMap
    from varda_chat.tui.widgets.statement_list import StatementList

    return (
        *first_places(),
        Place("Sessions", (SessionsScreen,), "Any card", (("any letter", "search"), ("Enter", "resume"))),
        Place("Profiles and models", (PickScreen,), "Any card", (("any letter", "search"), ("Enter", "choose"))),
        Place("Choosing", (ChooseScreen,), "Any card", (("Space", "mark"),)),
        Place("Memory browser", (BrowserScreen,)),
        Place("List of memories", (StatementList, BrowserScreen), "Memory browser"),
        Place("Map of the memory", (MapScreen,)),
        Place("Points of the map", (MemoryMap, MapScreen), "Map of the memory"),
        Place("A memory", (StatementScreen,), "Any card"),
        Place("Editing a memory", (EditScreen,), "Any card"),
        Place("Where to write", (PathScreen,), "Any card", (("Enter", "write the file"),)),
        Place("Forgetting", (ForgetScreen,), "Any card"),
        Place("Sources", (SourcesScreen,), "Any card"),
        Place("Proof", (ProofScreen,), "Any card"),
        Place("Settings", (SettingsScreen,), "Any card", (("→", "complete a name"), ("Space", "tick"))),
        Place("Keys", (KeysScreen,), "Any card", (("Enter", "change the key"),)),
        Place("Help", (HelpScreen,)),
    )


class HasKeys(Protocol):
    """The app, as far as it knows the person's keys."""

    keymap: Mapping[str, str]


@cache
def by_id() -> dict[str, tuple[Place, Binding]]:
    """Every binding that has a name of its own, and where it counts."""
    return {each.id: (place, each) for place in places() for each in place.bindings if each.id}


def shown(app: App[Any], binding_id: str) -> str:
    """The first key of a binding as it is now, as a person reads it."""
    own = cast("HasKeys", app).keymap.get(binding_id)
    keys = own or _first(binding_id) or by_id()[binding_id][1].key
    return named(keys.split(",")[0])


def named(keys: str) -> str:
    """Keys such as "f2,ctrl+b" as a person reads them."""
    return "  ".join(_named(key.strip()) for key in keys.split(","))


def shortcut(app: App[Any], command: Command) -> str:
    """The key, as a person reads it, that does what ``command`` does; "" for none."""
    owner, _, action = command.handler.partition(".")
    where, does = ("Everywhere", action) if owner == "app" else ("Chat", f"run('{command.name}')")
    here = next(place for place in first_places() if place.title == where)
    return next((shown(app, each.id or "") for each in here.bindings if each.action == does), "")


@cache
def _first(binding_id: str) -> str:
    """The keys that a binding of the first places came with; "" where it is not one of theirs."""
    return next((each.key for place in first_places() for each in place.bindings if each.id == binding_id), "")


def check(keymap: Mapping[str, str]) -> None:
    """Raise VardaError, with one sentence, where the person's keys cannot be used together."""
    for binding_id, keys in keymap.items():
        if binding_id not in by_id():
            raise VardaError(f"There is nothing called {one_line(binding_id, 40)!r} that a key could do.")
        for key in _split(keys):
            _check_key(binding_id, key)
    for binding_id, keys in keymap.items():
        came_with = _split(by_id()[binding_id][1].key)
        for other, (_, binding) in by_id().items():
            both = set(_split(keys)) & set(_split(keymap.get(other, binding.key)))
            both -= set(came_with) & set(_split(binding.key))  # Esc closes a card, whatever the card calls it
            if other != binding_id and both and _meet(binding_id, other):
                does = binding.description
                raise VardaError(f"{named(min(both))} is taken already: {does[0].lower()}{does[1:]} ({other}).")


def _check_key(binding_id: str, key: str) -> None:
    place, binding = by_id()[binding_id]
    bare = key
    while bare.startswith(_MODIFIERS):
        bare = bare.partition("+")[2]
    if bare not in {each.value for each in Keys} and not _character(bare):
        raise VardaError(f"There is no key {one_line(key, 40)!r}.")
    if place.title not in ("Writing", "Chat", "Everywhere") or key in _split(binding.key):
        return
    if key in _WRITTEN_WITH or (bare == key and _character(key)):
        raise VardaError(f"{named(key)} is needed for writing.")
    for edit in cast("list[Binding]", TextArea.BINDINGS):
        if key in _split(edit.key) and edit.action not in ("select_line", "select_all"):
            raise VardaError(f"{named(key)} is needed for writing: {edit.description.lower()}.")


def _split(keys: str) -> list[str]:
    """The keys, each in one spelling: "slash" is "/"."""
    return [_character(key.strip()) or key.strip() for key in keys.split(",")]


def _meet(one: str, other: str) -> bool:
    """Whether both may count at the same time."""
    first, second = by_id()[one][0].title, by_id()[other][0].title
    return first in _around(second) or second in _around(first)


def _around(title: str) -> list[str]:
    """The place itself and those it is inside of."""
    inside = {place.title: place.inside for place in places()}
    found = [title]
    while inside[found[-1]]:
        found.append(inside[found[-1]])
    return found


def _named(key: str) -> str:
    *modifiers, bare = key.split("+") if key != "+" else [key]
    name = _NAMES.get(bare) or _character(bare) or bare
    return "+".join(part[0].upper() + part[1:] for part in (*modifiers, name))


def _character(key: str) -> str:
    """What ``key`` writes, if it is a sign that can be seen; else ""."""
    character = key if len(key) == 1 else key_to_character(REPLACED_KEYS.get(key, key)) or ""
    return character if character.isprintable() and character != " " else ""
