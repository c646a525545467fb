"""Pictures of the dialogs above the chat and the browser, by night and by day. Renew with ``--snapshot-update``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import OptionList

from tests.helpers.tui.driver import chat_of, command, make_app, screen_is, text_of, wait_until
from tests.helpers.tui.pictures import begin, by_night_and_by_day, still, told_session
from tests.helpers.tui.scripted import NOW, ScriptedSession
from varda_chat.memory.maintenance import Peek
from varda_chat.models import catalog
from varda_chat.models.catalog import BUNDLED, Model
from varda_chat.session import profiles
from varda_chat.transcripts import Transcripts
from varda_chat.tui.screens.choose import ChooseScreen
from varda_chat.tui.screens.editing import EditScreen
from varda_chat.tui.screens.forgetting import ForgetScreen
from varda_chat.tui.screens.statement import StatementScreen

DAY = 86_400.0
SnapCompare = Callable[..., bool]
SESSIONS = {
    "On the cello": (("I have started to learn the cello, on Sundays.", "Where shall I practise?"), 60.0),
    "What is my dog called?": (("What is my dog called?",), 5 * 3600.0),
    "Plans for the week in Lisbon with my sister and her two children": (("One", "Two", "Three"), 3 * DAY),
    "晚上好": (("晚上好",), 12 * DAY),
}


@pytest.fixture(autouse=True)
def at_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Moments are shown by the local clock."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@by_night_and_by_day("ordinary", "wide", "vast")
@pytest.mark.parametrize("dialog", ["record", "edit", "forget"])
def test_dialogs_of_the_browser(
    dialog: str,
    size: tuple[int, int],
    theme: str,
    remembering: ScriptedSession,
    profile_dir: Path,
    snap_compare: SnapCompare,
) -> None:
    dialogs: dict[str, tuple[tuple[str, ...], type[Screen[Any]], str]] = {
        "record": (("enter",), StatementScreen, "said by"),
        "edit": (("e",), EditScreen, "in place of the old"),
        "forget": (("space", "space", "f"), ForgetScreen, "forget 2"),
    }
    keys, kind, says = dialogs[dialog]

    async def go_there(pilot: Pilot[None]) -> None:
        await begin(pilot)
        await pilot.press("f6")
        await wait_until(pilot, lambda: "20 in memory" in text_of(pilot))
        await pilot.press("down", *keys)
        await wait_until(pilot, lambda: screen_is(pilot, kind) and says in text_of(pilot))
        await still(pilot)

    assert snap_compare(make_app(remembering, profile_dir, theme=theme), terminal_size=size, run_before=go_there)


@by_night_and_by_day("ordinary", "wide", "vast")
@pytest.mark.parametrize("words", ["forget Rimba", "pin called"], ids=["forget", "pin"])
def test_choosing(
    words: str,
    size: tuple[int, int],
    theme: str,
    remembering: ScriptedSession,
    profile_dir: Path,
    snap_compare: SnapCompare,
) -> None:
    async def go_there(pilot: Pilot[None]) -> None:
        await begin(pilot)
        await command(pilot, f"/{words}")
        await wait_until(pilot, lambda: screen_is(pilot, ChooseScreen))
        await pilot.press("down")

    assert snap_compare(make_app(remembering, profile_dir, theme=theme), terminal_size=size, run_before=go_there)


@by_night_and_by_day("ordinary", "wide", "vast", "narrow")
@pytest.mark.parametrize("search", ["", "cello"], ids=["all", "found"])
def test_sessions(
    search: str,
    size: tuple[int, int],
    theme: str,
    profile_dir: Path,
    transcripts: Transcripts,
    monkeypatch: pytest.MonkeyPatch,
    snap_compare: SnapCompare,
) -> None:
    for name, (prompts, age) in reversed(SESSIONS.items()):
        monkeypatch.setattr(time, "time", lambda at=NOW - age: at)
        session = transcripts.begin(prompts[0])
        for prompt in prompts:
            transcripts.answer(transcripts.ask(session, prompt), "I see.")
        if name != prompts[0]:
            transcripts.rename(session, name)
    monkeypatch.undo()

    async def go_there(pilot: Pilot[None]) -> None:
        await begin(pilot)
        await command(pilot, "/sessions")
        await wait_until(pilot, lambda: "On the cello" in text_of(pilot))
        await pilot.press(*search)
        await wait_until(pilot, lambda: pilot.app.screen.query_one(OptionList).option_count == (1 if search else 4))
        await still(pilot)

    app = make_app(told_session(), profile_dir, theme=theme, transcripts=transcripts)
    assert snap_compare(app, terminal_size=size, run_before=go_there)


@by_night_and_by_day("ordinary", "wide", "vast", "narrow")
@pytest.mark.parametrize("things", ["profile", "model"])
def test_picking(
    things: str,
    size: tuple[int, int],
    theme: str,
    home_profile: Path,
    monkeypatch: pytest.MonkeyPatch,
    snap_compare: SnapCompare,
) -> None:
    there = home_profile.parent
    own = there.parent / "checkpoints" / "diary"
    card = "A GPT-2 with an associative memory, trained further on a diary of three years and on letters."
    monkeypatch.setattr(
        profiles,
        "known",
        lambda data_dir: {
            "default": Peek(there / "default" / "memory.db", 1, 12, 4, 61_440),
            "work": Peek(there / "work" / "memory.db", 1_284, 9_120, 2_300, 21_480_000),
            "old": Peek(there / "old" / "memory.db", 0, 0, 0, 4_096, damaged=True),
        },
    )
    monkeypatch.setattr(
        catalog,
        "known",
        lambda data_dir, also: (
            Model(BUNDLED, "bundled", there, 33_800_000, 8_200_000, ("varda-mini", "Small, and quick on any machine.")),
            Model(str(own), "diary", own, 498_000_000, 124_400_000, ("diary", card)),
            Model("someone/varda-medium", "someone/varda-medium", None),
        ),
    )
    monkeypatch.setattr(catalog, "fingerprint", lambda model: "3f1c9a52d0b77e10")

    async def go_there(pilot: Pilot[None]) -> None:
        await begin(pilot)
        await command(pilot, f"/{things}")
        await wait_until(pilot, lambda: pilot.app.screen is not chat_of(pilot).chat)
        await pilot.press("down")
        await wait_until(pilot, lambda: "work" in text_of(pilot) if things == "profile" else "3f1c" in text_of(pilot))
        await still(pilot)

    assert snap_compare(make_app(told_session(), home_profile, theme=theme), terminal_size=size, run_before=go_there)
