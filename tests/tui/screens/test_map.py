"""The map of the memory on the screen: walking, opening, zooming, resizing; any memory, any text, any size."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from textual.geometry import Offset
from textual.pilot import Pilot

from tests.helpers.tui.driver import (
    WIDE,
    chat_of,
    command,
    make_app,
    screen_is,
    text_of,
    toasts,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.hostile_texts import check, examples
from tests.helpers.tui.memories import DIM, lived_in, told
from tests.helpers.tui.scripted import ScriptedSession
from varda_chat.memory import MemoryStore
from varda_chat.memory.records import Imported
from varda_chat.tui.screens.browser import BrowserScreen
from varda_chat.tui.screens.map import MOST, MapScreen
from varda_chat.tui.screens.statement import StatementScreen
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.memory_map import MemoryMap


class Remembering:
    """A scripted session over a real memory, open while the block runs."""

    def __init__(self, directory: Path, statements: Iterable[Imported] | None = None) -> None:
        lived_in(directory, "a model", statements)
        self.store = MemoryStore.open(directory, embedding_dim=DIM, fingerprint="a model", memory_size=100_000)

    def __enter__(self) -> ScriptedSession:
        return ScriptedSession(store=self.store)

    def __exit__(self, *_: object) -> None:
        self.store.close()


def the_map(pilot: Pilot[None]) -> MemoryMap:
    """The map on the screen."""
    return pilot.app.screen.query_one(MemoryMap)


async def open_map(pilot: Pilot[None]) -> None:
    """From the chat."""
    await wait_for_state(pilot, ChatState.READY)
    await command(pilot, "/map")
    await wait_until(pilot, lambda: screen_is(pilot, MapScreen) and "axes show" in text_of(pilot))


async def test_walking_opening_and_zooming(profile_dir: Path) -> None:
    with Remembering(profile_dir) as session:
        async with make_app(session, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
            await open_map(pilot)
            shown = the_map(pilot)
            assert "Rimba loves the lake" in text_of(pilot)
            visited = {shown.selected}
            for key in ("left", "up", "right", "down", *("right",) * 9, *("down",) * 9, *("left",) * 9, *("up",) * 9):
                before = shown.drawn.cells[shown.selected].tolist()  # type: ignore[union-attr]
                await pilot.press(key)
                after = shown.drawn.cells[shown.selected].tolist()  # type: ignore[union-attr]
                axis, sign = {"left": (0, -1), "right": (0, 1), "up": (1, -1), "down": (1, 1)}[key]
                assert before == after or (after[axis] - before[axis]) * sign > 0
                visited.add(shown.selected)
            assert len(visited) > 8
            assert shown.entry is not None
            assert shown.entry.statement.text in text_of(pilot)
            name = shown.entry.statement.text.rstrip(".")
            await wait_until(pilot, lambda: text_of(pilot).count(name) == 2)  # on the map once, and in full beneath it
            entry = shown.entry
            await pilot.press("plus", "plus")
            assert "4 times as near" in text_of(pilot)
            assert shown.entry == entry
            await pilot.press("minus", "0")
            assert "as near" not in text_of(pilot)
            await pilot.press("enter")
            await wait_until(pilot, lambda: screen_is(pilot, StatementScreen))
            await pilot.press("escape")
            await wait_until(pilot, lambda: screen_is(pilot, MapScreen))
            await pilot.press("escape")
            await wait_until(pilot, lambda: pilot.app.screen is chat_of(pilot).chat)


async def test_a_click_selects_and_another_opens(profile_dir: Path) -> None:
    with Remembering(profile_dir) as session:
        async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
            await open_map(pilot)
            shown = the_map(pilot)
            assert shown.drawn is not None
            x, y = shown.drawn.cells[7].tolist()
            place = shown.content_region.offset + Offset(x, y)
            await pilot.click(offset=place)
            assert 7 in shown.here
            await pilot.click(offset=place, times=2)
            await wait_until(pilot, lambda: screen_is(pilot, StatementScreen))


async def test_the_browser_maps_what_it_shows(profile_dir: Path) -> None:
    with Remembering(profile_dir) as session:
        async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
            await wait_for_state(pilot, ChatState.READY)
            await command(pilot, "/memory rimba")
            await wait_until(pilot, lambda: "3 of 20" in text_of(pilot))
            await pilot.press("m")
            await wait_until(pilot, lambda: screen_is(pilot, MapScreen) and "axes show" in text_of(pilot))
            assert shown_texts(pilot) == {
                "My dog is called Rimba.",
                "Rimba loves the lake.",
                "Rimba is a lovely name for a dog.",
            }
            await pilot.press("m")
            await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen))


def shown_texts(pilot: Pilot[None]) -> set[str]:
    """What is on the map."""
    chart = the_map(pilot).chart
    assert chart is not None
    return {each.statement.text for each in chart.entries}


async def test_points_in_one_cell_are_walked_through(profile_dir: Path) -> None:
    same = [told(f"Number {number}.", 0, topic="x") for number in range(3)]
    vectors = same[0].new.vectors
    statements = [
        Imported(type(each.new)(each.new.text, "user", vectors), "1", each.created_at, None, 0, False, "")
        for each in same
    ]
    with Remembering(profile_dir, statements) as session:
        async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
            await open_map(pilot)
            assert "3 lie here" in text_of(pilot)
            seen = set()
            for _ in range(3):
                await pilot.press("tab")
                entry = the_map(pilot).entry
                assert entry is not None
                seen.add(entry.statement.text)
            assert len(seen) == 3


async def test_an_empty_memory_has_a_line(profile_dir: Path) -> None:
    with Remembering(profile_dir, []) as session:
        async with make_app(session, profile_dir).run_test(size=(40, 14), notifications=True) as pilot:
            await wait_for_state(pilot, ChatState.READY)
            await command(pilot, "/map")
            await wait_until(pilot, lambda: "nothing to draw" in text_of(pilot))
            await pilot.press("left", "tab", "plus", "enter", "0")
            assert screen_is(pilot, MapScreen)
            assert not toasts(pilot)


async def test_thousands_are_drawn_up_to_a_bound_that_is_told(profile_dir: Path) -> None:
    statements = (told(f"My number is {number}.", number, topic=str(number % 9), count=1) for number in range(3000))
    with Remembering(profile_dir, statements) as session:
        async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
            await open_map(pilot)
            assert f"The {MOST:,} most recalled and newest of 3,000" in text_of(pilot)
            assert len(list(pilot.app.screen.query("*"))) < 30
            for size in ((40, 12), (10, 5), (1, 1), (200, 50)):
                await pilot.resize_terminal(*size)
                await pilot.pause()
                await pilot.press("left", "plus", "down")
            drawn = the_map(pilot).drawn
            assert drawn is not None
            assert (drawn.width, drawn.height) == the_map(pilot).content_size


@pytest.mark.parametrize("size", [(40, 14), (120, 36)])
async def test_it_takes_any_text(size: tuple[int, int], profile_dir: Path) -> None:
    texts = [text.encode("utf-8", "replace").decode() or "x" for triple in examples() for text in triple]
    statements = [told(text, place, topic=str(place)) for place, text in enumerate(texts)]
    with Remembering(profile_dir, statements) as session:
        async with make_app(session, profile_dir).run_test(size=size) as pilot:
            await open_map(pilot)
            check(pilot)
            for number in range(len(texts)):
                the_map(pilot).selected = min(number, len(shown_texts(pilot)) - 1)
                await pilot.pause()
                check(pilot)
