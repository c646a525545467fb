"""The keys: named everywhere, shown as they are, changed by pressing others, refused where two would collide."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from textual.binding import Binding
from textual.dom import DOMNode
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

import varda_chat.tui
from tests.helpers.tui.driver import (
    WIDE,
    ask,
    chat_of,
    command,
    composer,
    make_app,
    plain,
    screen_is,
    text_of,
    toasts,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.scripted import ScriptedSession
from varda_chat.config.settings import Settings, SettingsFile, read
from varda_chat.errors import VardaError
from varda_chat.session.request import Request
from varda_chat.transcripts import Transcripts
from varda_chat.tui import bindings as keys
from varda_chat.tui.commands import COMMANDS
from varda_chat.tui.screens.chat import ChatScreen
from varda_chat.tui.screens.help import HelpScreen
from varda_chat.tui.screens.keys import KeysScreen, PressScreen
from varda_chat.tui.screens.sessions import SessionsScreen
from varda_chat.tui.screens.settings import SettingsScreen
from varda_chat.tui.start import chat
from varda_chat.tui.state import ChatState


def own_classes() -> Iterator[type[DOMNode]]:
    """Every widget and screen of ours that binds keys."""
    for module in pkgutil.walk_packages(varda_chat.tui.__path__, "varda_chat.tui."):
        for each in vars(importlib.import_module(module.name)).values():
            if isinstance(each, type) and issubclass(each, DOMNode) and each.__module__ == module.name:
                yield each


def test_every_binding_has_a_name_and_a_place() -> None:
    listed = {kind for place in keys.places() for kind in place.kinds}
    for each in own_classes():
        bindings = cast("list[Binding]", each.__dict__.get("BINDINGS", []))
        assert all(binding.id for binding in bindings), each
        assert not bindings or each in listed, each
    ids = [binding.id for place in keys.places() for binding in place.bindings]
    assert len(ids) == len(set(ids)) == len(keys.by_id())


def test_the_defaults_of_a_place_go_together() -> None:
    for place in keys.places():
        default = [key for binding in place.bindings for key in binding.key.split(",")]
        assert len(default) == len(set(default)), place.title
    keys.check({id_: binding.key for id_, (_, binding) in keys.by_id().items()})


@pytest.mark.parametrize(
    ("binding", "key", "says"),
    [
        ("nothing", "f7", "nothing called 'nothing'"),
        ("panel", "f99", "no key 'f99'"),
        ("panel", "f1", "F1 is taken already: help (help)"),
        ("sessions.rename", "f1", "F1 is taken already: help (help)"),
        ("help", "ctrl+e", "Ctrl+E"),
        ("unfold", "f2", "F2 is taken already: memory panel (panel)"),
        ("panel", "x", "X is needed for writing"),
        ("panel", "enter", "Enter is needed for writing"),
        ("panel", "ctrl+x", "Ctrl+X is needed for writing: cut"),
        ("record.pin", "c", "C is taken already: copy (record.copy)"),
        ("record.pin", "escape", "Esc is taken already: close (card.close)"),
    ],
)
def test_what_cannot_be_is_refused_with_one_line(binding: str, key: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(VardaError) as caught:
        keys.check({binding: key})
    assert says in str(caught.value)
    file = tmp_path / "config.toml"
    file.write_text(f'[keys]\n"{binding}" = "{key}"\n')
    with pytest.raises(VardaError, match=r"config\.toml: keys: ") as refused:
        chat(Request(), read(file), "varda-dark", None, False)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("mine", "reads"),
    [
        ("f2,ctrl+b", "F2  Ctrl+B"),
        ("escape", "Esc"),
        ("shift+tab", "Shift+Tab"),
        ("p", "P"),
        ("question_mark", "?"),
        ("slash", "/"),
    ],
)
def test_keys_are_named_as_people_read_them(mine: str, reads: str) -> None:
    assert keys.named(mine) == reads


def test_two_may_change_places() -> None:
    keys.check({"panel": "f3", "sessions": "f2"})
    keys.check({"record.pin": "x", "sessions.rename": "ctrl+t"})


def test_the_table_of_commands_names_real_keys(profile_dir: Path) -> None:
    app = make_app(ScriptedSession(), profile_dir)
    for each in COMMANDS:
        assert keys.shortcut(app, each) == each.keys, each.name


async def test_keys_of_the_settings_count_and_are_shown(profile_dir: Path, tmp_path: Path) -> None:
    settings = SettingsFile(tmp_path / "c.toml", Settings(keys={"panel": "f7", "help": "f2"}))
    async with make_app(ScriptedSession(), profile_dir, settings=settings).run_test(size=(120, 60)) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        assert "F2 help  F7 memory" in text_of(pilot)
        await pilot.press("f7")
        assert chat_of(pilot).chat.has_class("-panel-closed")
        await pilot.press("f1")
        assert not screen_is(pilot, HelpScreen)
        await pilot.press("f2")
        await wait_until(pilot, lambda: screen_is(pilot, HelpScreen))
        shown = text_of(pilot)
        assert any(line.split("│")[-2:] and "F7" in line and "memory panel" in line for line in shown.splitlines())
        await pilot.press("f2")
        await wait_until(pilot, lambda: screen_is(pilot, ChatScreen))


async def go_to(pilot: Pilot[None], binding: str) -> None:
    listed = pilot.app.screen.query_one(OptionList)
    listed.highlighted = listed.get_option_index(binding)


async def test_a_key_is_changed_by_pressing_another(profile_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    app = make_app(ScriptedSession(), profile_dir, settings=SettingsFile(file))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, "/keys")
        await wait_until(pilot, lambda: screen_is(pilot, KeysScreen))
        await go_to(pilot, "panel")
        for pressed in ("f1", "ctrl+q", "ctrl+p", "f3"):  # no key does here what it does elsewhere
            await pilot.press("enter")
            await wait_until(pilot, lambda: screen_is(pilot, PressScreen))
            await pilot.press(pressed)
            await wait_until(pilot, lambda: screen_is(pilot, KeysScreen))
            assert "is taken already" in toasts(pilot)[-1]
        assert not file.exists()
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen_is(pilot, PressScreen))
        await pilot.press("escape")
        await wait_until(pilot, lambda: screen_is(pilot, KeysScreen))
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen_is(pilot, PressScreen))
        await pilot.press("f7")
        await wait_until(pilot, lambda: file.exists())
        assert read(file).settings.keys == {"panel": "f7"}
        await pilot.press("escape")
        await wait_until(pilot, lambda: screen_is(pilot, ChatScreen))
        assert "F7 memory" in text_of(pilot)
        await pilot.press("f2")
        assert not chat_of(pilot).chat.has_class("-panel-closed")
        await pilot.press("f7")
        assert chat_of(pilot).chat.has_class("-panel-closed")
        await command(pilot, "/keys")
        await wait_until(pilot, lambda: screen_is(pilot, KeysScreen))
        await go_to(pilot, "panel")
        await pilot.press("backspace")
        await wait_until(pilot, lambda: read(file).settings.keys == {})
        await pilot.press("escape")
        await wait_until(pilot, lambda: screen_is(pilot, ChatScreen))
        await pilot.press("f2")
        assert not chat_of(pilot).chat.has_class("-panel-closed")


async def test_help_begins_with_the_place_one_is_in(profile_dir: Path, transcripts: Transcripts) -> None:
    app = make_app(ScriptedSession(), profile_dir, transcripts=transcripts)
    async with app.run_test(size=(120, 60)) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hello")
        await pilot.press("f1")
        await wait_until(pilot, lambda: screen_is(pilot, HelpScreen))
        assert text_of(pilot).index("WRITING") < text_of(pilot).index("EVERYWHERE")
        await pilot.press("f1")
        await pilot.press("f3")
        await wait_until(pilot, lambda: screen_is(pilot, SessionsScreen))
        await pilot.press("f1")
        await wait_until(pilot, lambda: screen_is(pilot, HelpScreen))
        shown = text_of(pilot)
        assert shown.index("KEYS: SESSIONS") < shown.index("KEYS: EVERYWHERE") < shown.index("KEYS: CHAT")
        assert "Ctrl+E" in shown
        assert "SOURCES" not in shown
        await pilot.press("escape")
        await wait_until(pilot, lambda: screen_is(pilot, SessionsScreen))
        await pilot.press("escape")
        await wait_until(pilot, lambda: screen_is(pilot, ChatScreen))
        assert pilot.app.focused is composer(pilot)


@pytest.mark.parametrize("size", [(40, 20), WIDE])
async def test_second_keys_work_and_the_help_names_them_readably(size: tuple[int, int], profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=size) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press("f12")
        await wait_until(pilot, lambda: screen_is(pilot, HelpScreen))
        rows = pilot.app.screen.query(Static)
        named = [plain(each) for each in rows if each.has_class("key")]
        for key in ("F1  F12", "F10  Ctrl+S", "Ctrl+Shift+Z  Alt+Z", "F2  Ctrl+B", "Ctrl+C"):
            assert key in named
        assert any("stop the answer" in plain(each) for each in rows if each.has_class("does"))
        assert all(each.size.width >= 30 for each in pilot.app.screen.query(".does"))
        await pilot.press("f12")
        await wait_until(pilot, lambda: not screen_is(pilot, HelpScreen))
        await pilot.press("ctrl+s")
        await wait_until(pilot, lambda: screen_is(pilot, SettingsScreen))
