"""A scripted hour of use: turns, resizes, themes, sessions, dialogs; no exception, no growth past the window."""

from __future__ import annotations

import gc
import resource
import sys
import time
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.tui.driver import WIDE, ask, chat_of, command, make_app, toasts, wait_for_state, wait_until
from tests.tui.scripted import NOW, Line, ScriptedSession
from varda_chat.session import MemoryEvent, Recalled, Remembered, TokenSources
from varda_chat.transcripts import Recording, Transcripts
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


async def use(pilot: Pilot[None], session: ScriptedSession, turns: int, transcripts: Transcripts) -> list[int]:
    """Use the app for so many turns; returns how many widgets there were, now and then."""
    chat, counts = chat_of(pilot).chat, []
    for turn in range(1, turns + 1):
        text = ANSWERS[turn % len(ANSWERS)]
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
async def test_an_hour_of_use(turns: int, profile_dir: Path, transcripts: Transcripts) -> None:
    session = ScriptedSession(recording=Recording(transcripts), events=[MemoryEvent("stored", 1, "x", NOW)])
    app = make_app(session, profile_dir, transcripts=transcripts)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        started = time.process_time()
        counts = await use(pilot, session, turns // 4, transcripts)
        gc.collect()
        before = resident_bytes()
        counts += await use(pilot, session, turns - turns // 4, transcripts)
        gc.collect()
        grown = (resident_bytes() - before) / 2**20
        seconds = time.process_time() - started
        print(f"{turns} turns: {seconds:.0f} s of processor time, widgets {counts}, memory grew by {grown:.1f} MiB")
        assert len(chat_of(pilot).chat.conversation.children) <= MOUNTED_MESSAGES
        assert max(counts) < WIDGETS_A_MESSAGE * MOUNTED_MESSAGES
        assert grown < 64
        assert not any("unexpected" in toast for toast in toasts(pilot))
        assert sum(info.turns for info in transcripts.sessions()) >= turns
