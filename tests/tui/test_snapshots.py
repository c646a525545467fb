"""Pictures of the screens, wide to narrow, by night and by day. Renew with ``--snapshot-update``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.helpers.tui.driver import chat_of, command, make_app, text_of, wait_until
from tests.helpers.tui.pictures import begin, by_night_and_by_day, still, talk, told_session
from tests.helpers.tui.scripted import ScriptedSession
from varda_chat.config.settings import Settings, SettingsFile

SnapCompare = Callable[..., bool]


@by_night_and_by_day("ordinary", "wide", "vast", "narrow")
def test_main_screen(size: tuple[int, int], theme: str, profile_dir: Path, snap_compare: SnapCompare) -> None:
    app = make_app(told_session(), profile_dir, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=talk)


@by_night_and_by_day("ordinary", "wide", "vast")
def test_incognito(size: tuple[int, int], theme: str, profile_dir: Path, snap_compare: SnapCompare) -> None:
    app = make_app(told_session(incognito=True), profile_dir, theme=theme, incognito=True)
    assert snap_compare(app, terminal_size=size, run_before=begin)


@by_night_and_by_day("ordinary", "wide", "vast", "narrow")
def test_first_run(size: tuple[int, int], theme: str, home_profile: Path, snap_compare: SnapCompare) -> None:
    app = make_app(ScriptedSession(memory_size=0), home_profile, theme=theme, first_run=True)
    assert snap_compare(app, terminal_size=size, run_before=begin)


async def browse(pilot: Pilot[None]) -> None:
    """The memory browser, with two marked."""
    await begin(pilot)
    await pilot.press("f6")
    await wait_until(pilot, lambda: "20 in memory" in text_of(pilot))
    await pilot.press("down", "space", "space", "down", "down")
    await wait_until(pilot, lambda: "2 marked" in text_of(pilot))


@by_night_and_by_day("ordinary", "wide", "vast", "narrow")
def test_memory_browser(
    size: tuple[int, int], theme: str, remembering: ScriptedSession, profile_dir: Path, snap_compare: SnapCompare
) -> None:
    app = make_app(remembering, profile_dir, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=browse)


async def look_at_the_map(pilot: Pilot[None]) -> None:
    """The map, one step from where it begins."""
    await begin(pilot)
    await command(pilot, "/map")
    await wait_until(pilot, lambda: "axes show" in text_of(pilot))
    await pilot.press("right")


@by_night_and_by_day("ordinary", "wide", "vast", "narrow")
def test_memory_map(
    size: tuple[int, int], theme: str, remembering: ScriptedSession, profile_dir: Path, snap_compare: SnapCompare
) -> None:
    app = make_app(remembering, profile_dir, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=look_at_the_map)


@by_night_and_by_day("ordinary", "wide", "vast", "narrow")
@pytest.mark.parametrize("place", ["settings", "keys", "help"])
def test_finding_ones_way(
    place: str, size: tuple[int, int], theme: str, home_profile: Path, snap_compare: SnapCompare
) -> None:
    async def go_there(pilot: Pilot[None]) -> None:
        await begin(pilot)
        await command(pilot, f"/{place}")
        await wait_until(pilot, lambda: pilot.app.screen is not chat_of(pilot).chat)
        await still(pilot)

    file = Path.home() / ".config" / "varda-chat" / "config.toml"
    settings = SettingsFile(file, Settings(keys={"sources": "f7"}))
    app = make_app(told_session(), home_profile, theme=theme, settings=settings)
    assert snap_compare(app, terminal_size=size, run_before=go_there)


@by_night_and_by_day("ordinary", "wide", "vast")
def test_sources(size: tuple[int, int], theme: str, profile_dir: Path, snap_compare: SnapCompare) -> None:
    async def go_there(pilot: Pilot[None]) -> None:
        await talk(pilot)
        await pilot.press("f9")
        await wait_until(pilot, lambda: pilot.app.screen is not chat_of(pilot).chat)
        await pilot.press("right")

    app = make_app(told_session(), profile_dir, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=go_there)
