"""Driving the memory browser, and reading what it lists and what is then on the disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from textual.pilot import Pilot

from tests.helpers.tui.driver import (
    WIDE,
    command,
    make_app,
    real_opener,
    screen_is,
    text_of,
    wait_for_state,
    wait_until,
)
from varda_chat.memory import MemoryStore
from varda_chat.memory.records import Statement
from varda_chat.tui.screens.browser import BrowserScreen
from varda_chat.tui.state import ChatState

DOG, CELLO, ASKED = "My dog is called Rimba.", "I have started to learn the cello, on Sundays.", "You asked me to keep"


@asynccontextmanager
async def browser(
    directory: Path,
    checkpoint: Path,
    *,
    size: tuple[int, int] = WIDE,
    text: str = "",
    **options: object,
) -> AsyncIterator[Pilot[None]]:
    """The app over a real session, with the browser on top and filled."""
    app = make_app(real_opener(directory, checkpoint), directory, **options)
    async with app.run_test(size=size, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, f"/memory {text}")
        await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen) and "in memory" in text_of(pilot))
        yield pilot


def on_top(pilot: Pilot[None]) -> BrowserScreen:
    """The browser."""
    screen = pilot.app.screen
    assert isinstance(screen, BrowserScreen)
    return screen


def listed(pilot: Pilot[None]) -> list[str]:
    """What the browser lists, in its order."""
    return [each.statement.text for each in on_top(pilot).listed.entries]


def stored(directory: Path) -> dict[str, Statement]:
    """The statements in memory by their words, as another process sees them."""
    with MemoryStore.open_records(directory, read_only=True) as store:
        return {each.text: each for each in store.statements()}
