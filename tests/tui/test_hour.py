"""A scripted hour of use: turns, resizes, themes, sessions, profiles, dialogs; no exception, no growth."""

from __future__ import annotations

import gc
import resource
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest
from textual.pilot import Pilot

from tests.helpers.tui.driver import WIDE, ask, chat_of, command, toasts, wait_for_state, wait_until
from tests.helpers.tui.scripted import NOW, Line, ScriptedSession
from varda_chat.session.request import Request
from varda_chat.session.session import ChatSession, MemoryEvent, Recalled, Remembered, TokenSources
from varda_chat.transcripts import Recording, Transcripts
from varda_chat.tui.app import VardaApp
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.conversation import MOUNTED_MESSAGES

SIZES = (WIDE, (80, 24), (40, 20), (200, 50))
THEMES = ("varda-light", "nord", "textual-dark", "varda-dark")
ANSWERS = (
    "Your dog is called **Rimba**.",
    "First:\n\n- one\n- two\n\n```python\nwalk(rimba)\n```",
    "| a | b |\n|---|---|\n| 1 | [/x] |",
    "> so you said\n\nin Lisbon. " * 4,
)
WIDGETS_A_MESSAGE = 24
"""No more than so many widgets are needed for a message, a table with its cells among them."""


PROFILES = ("work", "default")


class Profiles:
    """Opens scripted sessions, a new one for each move to a profile."""

    def __init__(self) -> None:
        self.now = ScriptedSession()
        self.opened = 0

    def open(self, request: Request, on_progress: Any = None, transcripts: Transcripts | None = None) -> ChatSession:
        """In place of Request.open."""
        assert transcripts is not None
        self.opened += 1
        self.now = ScriptedSession(
            recording=Recording(transcripts), events=[MemoryEvent("stored", 1, "x", NOW)], profile=request.profile
        )
        return cast("ChatSession", self.now)


async def move(pilot: Pilot[None], name: str) -> None:
    """Go to another profile."""
    await command(pilot, f"/profile {name}")
    await wait_until(pilot, lambda: chat_of(pilot).chat.details.profile == name)
    await wait_for_state(pilot, ChatState.READY)


async def use(pilot: Pilot[None], profiles: Profiles, turns: int) -> list[int]:
    """Use the app for so many turns; returns how many widgets there were, now and then."""
    chat, counts = chat_of(pilot).chat, []
    for turn in range(1, turns + 1):
        text = ANSWERS[turn % len(ANSWERS)]
        session, transcripts = profiles.now, chat.transcripts
        assert transcripts is not None
        session.script = [
            Line(
                (text[:7], text[7:]),
                recalled=(Recalled(1, "My dog is called Rimba.", 0.8),),
                stored=(Remembered(turn, f"I said {turn}."),) if turn % 3 == 0 else (),
                sources=(TokenSources(0, 4, ((1, 0.8),)),),
            )
        ]
        session.events = session.events[:20]
        await ask(pilot, f"message {turn}")
        if turn % 6 == 0:
            await pilot.resize_terminal(*SIZES[turn // 6 % len(SIZES)])
        if turn % 9 == 0:
            await command(pilot, f"/theme {THEMES[turn // 9 % len(THEMES)]}")
        if turn % 7 == 0:
            await pilot.press("f5")
            await wait_until(pilot, lambda: chat.is_idle)
        if turn % 11 == 0:
            await pilot.press("f9", "right", "escape")
        if turn % 13 == 0:
            await pilot.press("f3", "m", "escape")
        if turn % 50 == 0:
            await pilot.press("ctrl+n")
        elif turn % 17 == 0:
            await move(pilot, PROFILES[turn // 17 % 2 - 1])
        elif turn % 23 == 0:
            earliest = transcripts.sessions()[-1].id
            await command(pilot, f"/resume {earliest}")
            await wait_until(pilot, lambda wanted=earliest: chat.host.session_id == wanted)  # type: ignore[misc]
            chat.conversation.scroll_to(y=0, animate=False)
        await pilot.pause()
        if turn % 20 == 0 or turn == turns:
            counts.append(sum(1 for _ in chat.walk_children()))
    await wait_until(pilot, lambda: chat.is_idle and pilot.app.screen is chat)
    return counts


def resident_bytes() -> int:
    """What the process holds now; where that cannot be told, the most it ever held."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize("turns", [24, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
async def test_an_hour_of_use(
    turns: int, profile_dir: Path, transcripts: Transcripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles = Profiles()
    monkeypatch.setattr(Request, "open", lambda request, *how: profiles.open(request, *how))
    app = VardaApp(Request(profile_dir.name, profile_dir.parent.parent), transcripts=transcripts, clock=lambda: NOW)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        started = time.process_time()
        counts = await use(pilot, profiles, turns // 4)
        gc.collect()
        before = resident_bytes()
        counts += await use(pilot, profiles, turns - turns // 4)
        gc.collect()
        grown = (resident_bytes() - before) / 2**20
        seconds = time.process_time() - started
        print(f"{turns} turns: {seconds:.0f} s of processor time, widgets {counts}, memory grew by {grown:.1f} MiB")
        assert len(chat_of(pilot).chat.conversation.children) <= MOUNTED_MESSAGES
        assert max(counts) < WIDGETS_A_MESSAGE * MOUNTED_MESSAGES
        assert grown < 64
        assert not any("unexpected" in toast for toast in toasts(pilot))
        assert profiles.opened > turns // 24
        await move(pilot, "work")
    if app.chat.transcripts is not None:  # of the profile moved to last, and so none that a fixture closes
        app.chat.transcripts.close()
    said = 0
    for name in PROFILES:
        with Transcripts.open(profile_dir.parent / name, read_only=True) as kept:
            said += sum(info.turns for info in kept.sessions())
    assert said >= turns
