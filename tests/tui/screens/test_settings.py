"""The settings screen: what it edits, what it refuses, what follows at once."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.helpers.tui.driver import (
    WIDE,
    chat_of,
    command,
    make_app,
    real_opener,
    screen_is,
    text_of,
    toasts,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.scripted import ScriptedSession
from varda_chat.config.settings import Settings, SettingsFile, read
from varda_chat.tui.screens.settings import SettingRow, SettingsScreen
from varda_chat.tui.start import chat
from varda_chat.tui.state import ChatState, PanelPlace


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


async def open_settings(pilot: Pilot[None], way: str = "/settings") -> None:
    await wait_for_state(pilot, ChatState.READY)
    if way.startswith("/"):
        await command(pilot, way)
    else:
        await pilot.press(way)
    await wait_until(pilot, lambda: screen_is(pilot, SettingsScreen))


def row(pilot: Pilot[None], name: str) -> SettingRow:
    return next(each for each in pilot.app.screen.query(SettingRow) if each.setting == name)


async def write(pilot: Pilot[None], name: str, text: str) -> None:
    row(pilot, name).query_one(Input).value = text
    await pilot.pause()


def note(pilot: Pilot[None], name: str) -> str:
    return str(row(pilot, name).query_one(".note").render())


@pytest.mark.parametrize("way", ["/settings", "f10"])
async def test_settings_are_saved_and_followed_at_once(way: str, profile_dir: Path, file: Path) -> None:
    app = make_app(ScriptedSession(), profile_dir, settings=SettingsFile(file))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await open_settings(pilot, way)
        await write(pilot, "theme", "nord")
        await write(pilot, "profile", "work")
        await write(pilot, "memory_size", "300")
        row(pilot, "panel").children[1].focus()
        await pilot.press("space", "ctrl+s")
        await wait_until(pilot, lambda: screen_is(pilot, type(chat_of(pilot).chat)))
        await wait_until(pilot, lambda: toasts(pilot))
        assert "From the next start on: profile, memory size." in toasts(pilot)[-1]
        assert str(file) in toasts(pilot)[-1]
        assert pilot.app.theme == "nord"
        assert chat_of(pilot).chat.panel is PanelPlace.FOLDED
        assert chat_of(pilot).chat.request.of_profile("work").memory_size == 300
        assert read(file).settings == Settings(theme="nord", profile="work", memory_size=300, panel=False)


async def test_what_cannot_be_is_told_beside_it_and_nothing_is_saved(profile_dir: Path, file: Path) -> None:
    app = make_app(ScriptedSession(), profile_dir, settings=SettingsFile(file))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await open_settings(pilot)
        for name, text, says in (
            ("temperature", "warm", "a number"),
            ("top_p", "1.5", "at most at 1"),
            ("theme", "mauve", "no theme 'mauve'"),
            ("profile", "../x", "not a profile name"),
            ("memory_size", "0", "at least 1"),
        ):
            await write(pilot, name, text)
            assert says in note(pilot, name)
        await pilot.press("ctrl+s")
        assert toasts(pilot)[-1].startswith("Nothing is saved yet")
        assert pilot.app.focused is row(pilot, "profile").query_one(Input)
        assert not file.exists()
        await write(pilot, "temperature", "0.1")
        assert "randomness" in note(pilot, "temperature")
        await pilot.press("escape")
        assert "leaves without saving" in text_of(pilot)
        await pilot.press("escape")
        await wait_until(pilot, lambda: not screen_is(pilot, SettingsScreen))
        assert not file.exists()


async def test_nothing_changed_closes_at_once(profile_dir: Path, file: Path) -> None:
    app = make_app(ScriptedSession(), profile_dir, settings=SettingsFile(file))
    async with app.run_test(size=WIDE) as pilot:
        await open_settings(pilot)
        await pilot.press("tab", "down", "enter", "up", "escape")
        await wait_until(pilot, lambda: not screen_is(pilot, SettingsScreen))


async def test_a_broken_file_and_a_full_disk_are_told(
    profile_dir: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    app = make_app(ScriptedSession(), profile_dir, settings=SettingsFile(file))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await open_settings(pilot)
        monkeypatch.setattr("varda_chat.storage.files.replace_file", full)
        await write(pilot, "theme", "nord")
        await pilot.press("ctrl+s")
        await wait_until(pilot, lambda: "could not be written" in "".join(toasts(pilot)))
        await pilot.press("escape", "escape")
        file.write_text("colour = 1")
        await command(pilot, "/settings")
        await wait_until(pilot, lambda: "no setting 'colour'" in toasts(pilot)[-1])


async def test_how_answers_are_drawn_changes_in_the_running_session(
    profile_dir: Path, file: Path, tiny_checkpoint: Path
) -> None:
    app = make_app(real_opener(profile_dir, tiny_checkpoint), profile_dir, settings=SettingsFile(file))
    async with app.run_test(size=WIDE) as pilot:
        await open_settings(pilot)
        await write(pilot, "max_new_tokens", "2")
        await pilot.press("ctrl+s")
        host = chat_of(pilot).chat.host
        await wait_until(pilot, lambda: host.look(lambda session: session.generation.max_new_tokens) == 2)
        assert host.look(lambda session: session.generation.temperature) == 0.0  # as it was opened with


async def test_a_panel_hidden_by_the_settings(profile_dir: Path, file: Path) -> None:
    app = make_app(ScriptedSession(), profile_dir, settings=SettingsFile(file, Settings(panel=False)))
    async with app.run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await wait_until(pilot, lambda: chat_of(pilot).chat.panel is PanelPlace.FOLDED)


def test_an_unknown_theme_names_the_file_it_stands_in(file: Path, own_data_directory: Path) -> None:
    from varda_chat.errors import VardaError
    from varda_chat.session.request import Request

    file.write_text("theme = 'mauve'")
    with pytest.raises(VardaError, match=r"config\.toml: theme: There is no theme 'mauve'"):
        chat(Request(), read(file), "mauve", None, False)


async def test_set_changes_how_answers_are_drawn_for_this_session(
    profile_dir: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    file = SettingsFile(tmp_path / "config.toml")
    app = make_app(real_opener(profile_dir, tiny_checkpoint), profile_dir, settings=file)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        chat = chat_of(pilot).chat
        for typed, told in (
            ("/set ", "Now: temperature 0.5"),
            ("/set colour 1", "nothing called 'colour' to set; there is temperature (0 to 10), top_p (above 0"),
            ("/set temperature", "temperature is 0.5."),
            ("/set temperature 99", "temperature must be a number, 0 to 10, not '99'. Also to set: top_p (above 0, up"),
            ("/set temperature much", "temperature must be a number, 0 to 10, not 'much'."),
            ("/set temperature nan", "temperature must be a number, 0 to 10, not 'nan'."),
            ("/set max-new-tokens 1.5", "max_new_tokens must be a whole number, 1 to 1,000,000, not '1.5'."),
            ("/set temperature 0.9", "temperature is 0.9 in this session."),
            ("/set top-p 0.5", "top_p is 0.5 in this session."),
        ):
            pilot.app.clear_notifications()
            await command(pilot, typed)
            await wait_until(pilot, lambda: toasts(pilot))
            assert told in toasts(pilot)[-1]
        drawn = await asyncio.to_thread(chat.host.call, lambda session: session.generation)
        assert (drawn.temperature, drawn.top_p) == (0.9, 0.5)
        assert not file.path.exists()
