"""The memory browser, on a real memory: searching, filtering, sorting, and every act it offers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.helpers.tui.browsing import ASKED, DOG, browser, listed, on_top, stored
from tests.helpers.tui.driver import (
    make_app,
    plain,
    real_opener,
    screen_is,
    text_of,
    wait_until,
)
from tests.helpers.tui.hostile_texts import check, examples
from tests.helpers.tui.memories import lived_in, told
from tests.helpers.tui.scripted import NOW
from varda_chat.memory.records import Imported
from varda_chat.session.session import ChatSession
from varda_chat.tui.screens.browser import BrowserScreen
from varda_chat.tui.screens.editing import EditScreen
from varda_chat.tui.screens.forgetting import ForgetScreen
from varda_chat.tui.screens.statement import StatementScreen
from varda_chat.tui.widgets.browser_lines import Chip, SearchField
from varda_chat.tui.widgets.statement_list import StatementList


async def test_words_filters_and_orders(profile_dir: Path, tiny_checkpoint: Path, fingerprint: str) -> None:
    lived_in(profile_dir, fingerprint)
    async with browser(profile_dir, tiny_checkpoint, text="RIMBA") as pilot:
        assert len(listed(pilot)) == 3
        assert "3 of 20 in memory" in text_of(pilot)
        await pilot.press("slash", *"loves")
        await wait_until(pilot, lambda: listed(pilot) == ["Rimba loves the lake."])
        await pilot.press("z")
        await wait_until(pilot, lambda: "No memory holds these words" in text_of(pilot))
        on_top(pilot).query_one(SearchField).value = ""
        await wait_until(pilot, lambda: len(listed(pilot)) == 20)
        await pilot.press("down")  # from the search to the list
        assert on_top(pilot).listed.has_focus
        assert listed(pilot)[0].startswith(ASKED)
        assert listed(pilot)[-1] == DOG

        await pilot.press("r")
        assert "only you" in text_of(pilot)
        assert len(listed(pilot)) == 18
        await pilot.press("r")
        assert len(listed(pilot)) == 2
        await pilot.press("r", "a")
        assert [plain(chip) for chip in on_top(pilot).query(Chip)] == ["R anyone", "A today", "S newest", "D kept"]
        assert all(NOW - stored(profile_dir)[text].created_at < 86_400 for text in listed(pilot))
        await pilot.press("a")
        week = listed(pilot)
        await pilot.press("a")
        assert len(week) + len(listed(pilot)) == 20
        await pilot.press("a", "s")
        assert listed(pilot)[0] == DOG
        await pilot.press("s")
        counts = [stored(profile_dir)[text].recall_count for text in listed(pilot)]
        assert counts == sorted(counts, reverse=True)
        await pilot.press("s")
        assert listed(pilot) == sorted(listed(pilot), key=str.casefold)
        await pilot.click(on_top(pilot).query(Chip).first())
        assert len(listed(pilot)) == 18
        await pilot.press("escape")
        await wait_until(pilot, lambda: not screen_is(pilot, BrowserScreen))


async def test_by_meaning_it_shows_what_memory_search_finds(
    profile_dir: Path, tiny_checkpoint: Path, fingerprint: str
) -> None:
    lived_in(profile_dir, fingerprint)
    with ChatSession.open(profile_dir, tiny_checkpoint, incognito=True) as session:
        found = [each.text for each in session.memory.search("What is my dog called?", 200)]
    assert found
    async with browser(profile_dir, tiny_checkpoint) as pilot:
        await pilot.press("ctrl+t")
        assert on_top(pilot).query_one(SearchField).has_focus
        on_top(pilot).query_one(SearchField).value = "What is my dog called?"
        await wait_until(pilot, lambda: sorted(listed(pilot)) == sorted(found))
        shares = [each.match for each in on_top(pilot).listed.entries]
        assert shares == sorted(shares, key=lambda share: -(share or 0.0))
        assert "best match" in text_of(pilot)
        assert "%" in text_of(pilot)
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: "No memory holds these words" in text_of(pilot))


async def test_an_empty_memory_and_one_that_is_not_loaded(profile_dir: Path, tiny_checkpoint: Path) -> None:
    loading = threading.Event()
    opener = real_opener(profile_dir, tiny_checkpoint)

    def later(on_progress: Callable[[str, float], None]) -> ChatSession:
        loading.wait(60)
        return opener(on_progress)

    async with make_app(later, profile_dir).run_test(size=(40, 16), notifications=True) as pilot:
        await pilot.press("f6")  # waits for the model
        await wait_until(pilot, lambda: "/memory" in text_of(pilot))
        assert not screen_is(pilot, BrowserScreen)
        loading.set()
        await wait_until(
            pilot, lambda: screen_is(pilot, BrowserScreen) and "Nothing is in memory yet" in text_of(pilot)
        )
        await pilot.press("x")
        for key in ("p", "e", "f", "space", "enter", "down", "ctrl+a", "r"):
            await pilot.press(key)
        await pilot.press("escape")
        await wait_until(pilot, lambda: not screen_is(pilot, BrowserScreen))


def many(count: int) -> Iterable[Imported]:
    """Statements that differ by their number."""
    for number in range(count):
        yield told(f"My number {number} is here.", number % 50, count=1)


async def test_twenty_thousand_open_at_once(profile_dir: Path, tiny_checkpoint: Path, fingerprint: str) -> None:
    lived_in(profile_dir, fingerprint, many(20_000))
    async with browser(profile_dir, tiny_checkpoint) as pilot:
        await pilot.press("escape")
        await wait_until(pilot, lambda: not screen_is(pilot, BrowserScreen))
        started = time.process_time()
        await pilot.press("f6")
        await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen) and "20,000 in memory" in text_of(pilot))
        taken = time.process_time() - started
        print(f"20,000 statements opened in {taken:.2f} s of processor time")
        assert taken < 5  # a bound for a busy machine; it takes a tenth of that
        assert len(list(on_top(pilot).query("*"))) < 40
        await pilot.press("end")
        assert "My number 0" in text_of(pilot) or "My number 49 " in text_of(pilot)
        await pilot.press("slash", *"number 1999")
        await wait_until(pilot, lambda: len(listed(pilot)) == 11)
        await pilot.press("pageup")
        assert screen_is(pilot, BrowserScreen)


@pytest.mark.parametrize("size", [(40, 14), (80, 24), (200, 50)])
async def test_it_takes_any_text(
    size: tuple[int, int], profile_dir: Path, tiny_checkpoint: Path, fingerprint: str
) -> None:
    texts = [text.encode("utf-8", "replace").decode() or "x" for triple in examples() for text in triple]
    lived_in(profile_dir, fingerprint, (told(text, place) for place, text in enumerate(texts)))
    async with browser(profile_dir, tiny_checkpoint, size=size) as pilot:
        check(pilot)
        for number in range(len(listed(pilot))):
            on_top(pilot).listed.cursor = number
            await pilot.pause()
            check(pilot)
        for key, screen in (("f", ForgetScreen), ("e", EditScreen), ("enter", StatementScreen)):
            await pilot.press("ctrl+a", key)
            await wait_until(pilot, lambda kind=screen: screen_is(pilot, kind))  # type: ignore[misc]
            await pilot.pause()
            check(pilot)
            await pilot.press("escape")
            await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen))
        await pilot.press("slash", *"[/x]")
        await pilot.pause()
        check(pilot)


async def test_the_list_by_mouse_and_keys(profile_dir: Path, tiny_checkpoint: Path, fingerprint: str) -> None:
    lived_in(profile_dir, fingerprint, many(200))
    async with browser(profile_dir, tiny_checkpoint) as pilot:
        statements = on_top(pilot).query_one(StatementList)
        place = statements.content_region
        await pilot.press("pagedown", "pagedown", "pageup", "j", "k", "up")
        first = statements.scroll_offset.y
        await pilot.click(offset=(place.x + 5, place.y + 3))
        assert statements.cursor == first + 3
        await pilot.press("end")
        assert statements.cursor == 199
        await pilot.press("down")
        assert statements.cursor == 199
        assert statements.scroll_offset.y == 200 - place.height
        await pilot.press("home", "up")
        assert statements.cursor == 0
        await pilot.click(offset=(place.x + 5, place.y + 2), times=2)
        await wait_until(pilot, lambda: screen_is(pilot, StatementScreen))
        await pilot.press("ctrl+q")  # from a card above the browser above the chat
        await wait_until(pilot, lambda: not pilot.app.is_running)
