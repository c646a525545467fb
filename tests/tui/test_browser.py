"""The memory browser, on a real memory: searching, filtering, sorting, and every act it offers."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import TextArea

from tests.tui.driver import (
    WIDE,
    chat_of,
    command,
    make_app,
    plain,
    real_opener,
    screen_is,
    text_of,
    toasts,
    wait_for_state,
    wait_until,
)
from tests.tui.memories import lived_in, told
from tests.tui.scripted import NOW
from tests.tui.test_hostile import check, examples
from varda_chat.memory import MemoryStore
from varda_chat.memory.exchange import read_export
from varda_chat.memory.records import Imported, Statement
from varda_chat.session import ChatSession
from varda_chat.tui.screens.browser import BrowserScreen
from varda_chat.tui.screens.editing import EditScreen
from varda_chat.tui.screens.forgetting import ForgetScreen
from varda_chat.tui.screens.record import RecordScreen
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.browser_lines import Chip, SearchField
from varda_chat.tui.widgets.statement_list import StatementList

DOG, CELLO, ASKED = "My dog is called Rimba.", "I have started to learn the cello, on Sundays.", "You asked me to keep"


@pytest.fixture(scope="session")
def fingerprint(tiny_checkpoint: Path) -> str:
    from varda_chat.model.checkpoint import load_checkpoint

    return load_checkpoint(tiny_checkpoint).fingerprint


@asynccontextmanager
async def browser(
    folder: Path,
    checkpoint: Path,
    *,
    size: tuple[int, int] = WIDE,
    text: str = "",
    **options: object,
) -> AsyncIterator[Pilot[None]]:
    """The app over a real session, with the browser on top and filled."""
    app = make_app(real_opener(folder, checkpoint), folder, **options)
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


def stored(folder: Path) -> dict[str, Statement]:
    """The statements in memory by their words, as another process sees them."""
    with MemoryStore.open_records(folder, read_only=True) as store:
        return {each.text: each for each in store.statements()}


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
        assert [plain(chip) for chip in on_top(pilot).query(Chip)] == ["R anyone", "A today", "S newest"]
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
        found = [each.text for each in session.search("What is my dog called?", 200)]
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


async def test_pin_edit_forget_undo_and_open(profile_dir: Path, tiny_checkpoint: Path, fingerprint: str) -> None:
    lived_in(profile_dir, fingerprint)
    async with browser(profile_dir, tiny_checkpoint, text="cello") as pilot:
        await pilot.press("p")
        await wait_until(pilot, lambda: "◆ pinned" in text_of(pilot))
        assert stored(profile_dir)[CELLO].pinned
        await pilot.press("p")
        await wait_until(pilot, lambda: "◆ pinned" not in text_of(pilot))

        await pilot.press("e")
        await wait_until(pilot, lambda: screen_is(pilot, EditScreen))
        pilot.app.screen.query_one(TextArea).text = " \n"
        await pilot.press("enter")
        assert "The new text is empty" in toasts(pilot)[-1]
        pilot.app.screen.query_one(TextArea).text = "I play the cello [/x] on Mondays."
        await pilot.press("enter")
        await wait_until(pilot, lambda: listed(pilot) == ["I play the cello [/x] on Mondays."])
        assert stored(profile_dir)[listed(pilot)[0]].vector_count > 0
        await pilot.press("u")
        await wait_until(pilot, lambda: listed(pilot) == [CELLO])
        await pilot.press("e")
        await wait_until(pilot, lambda: screen_is(pilot, EditScreen))
        await pilot.press("escape")
        await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen))

        await pilot.press("f")
        await wait_until(pilot, lambda: screen_is(pilot, ForgetScreen))
        assert f"− {CELLO}" in text_of(pilot)
        await pilot.press("escape")
        await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen))
        assert CELLO in stored(profile_dir)
        await pilot.press("f")
        await wait_until(pilot, lambda: screen_is(pilot, ForgetScreen))
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen) and listed(pilot) == [])
        assert CELLO not in stored(profile_dir)
        await pilot.press("u")
        await wait_until(pilot, lambda: listed(pilot) == [CELLO])

        await pilot.press("enter")
        await wait_until(pilot, lambda: screen_is(pilot, RecordScreen) and "number" in text_of(pilot))
        await pilot.press("f", "escape")
        await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen) and listed(pilot) == [])
        assert on_top(pilot).changed


async def test_many_are_marked_pinned_exported_and_forgotten(
    profile_dir: Path, tiny_checkpoint: Path, fingerprint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lived_in(profile_dir, fingerprint)
    async with browser(profile_dir, tiny_checkpoint, text="rimba") as pilot:
        events = chat_of(pilot).chat.memory.events
        await pilot.press("x")
        await wait_until(pilot, lambda: list(tmp_path.glob("*.jsonl")))
        await wait_until(pilot, lambda: toasts(pilot) and "3 statements were written" in toasts(pilot)[-1])
        await pilot.press("space", "space")
        await wait_until(pilot, lambda: "2 marked" in text_of(pilot))
        await pilot.press("x")
        await wait_until(pilot, lambda: len(list(tmp_path.glob("*.jsonl"))) == 2)
        wholes, parts = sorted(tmp_path.glob("*.jsonl"), key=lambda file: -file.stat().st_size)
        for file, count in ((wholes, 3), (parts, 2)):
            read = [each for _, each in read_export(BytesIO(file.read_bytes()), NOW)]
            assert all(isinstance(each, Imported) and each.new.vectors for each in read)
            assert len(read) == count
        marked = set(on_top(pilot).listed.marked)
        await pilot.press("p")
        await wait_until(pilot, lambda: all(each.pinned for each in stored(profile_dir).values() if each.id in marked))
        await pilot.press("ctrl+a")
        await wait_until(pilot, lambda: "3 marked" in text_of(pilot))
        await pilot.press("f")
        await wait_until(pilot, lambda: screen_is(pilot, ForgetScreen) and "forget 3" in text_of(pilot))
        assert "pinned" in text_of(pilot)
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen) and "0 of 17" in text_of(pilot))
        assert not on_top(pilot).listed.marked
        await pilot.press("escape", "escape")
        await wait_until(pilot, lambda: len(chat_of(pilot).chat.memory.events) > 0)
        await wait_until(pilot, lambda: chat_of(pilot).chat.memory.events != events)  # the panel follows
        assert not any("Rimba" in text for text in stored(profile_dir))


async def test_nothing_is_changed_while_varda_writes_or_incognito(
    profile_dir: Path, tiny_checkpoint: Path, fingerprint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived_in(profile_dir, fingerprint)
    before = stored(profile_dir)
    writing = threading.Event()

    def turn(*_: object, **__: object) -> None:
        writing.wait(60)
        raise RuntimeError("enough")

    monkeypatch.setattr(ChatSession, "_turn", turn)
    async with browser(profile_dir, tiny_checkpoint) as pilot:
        chat = chat_of(pilot).chat
        await chat.send("Hello")
        await wait_for_state(pilot, ChatState.THINKING)
        for key in ("p", "e", "f", "u"):
            pilot.app.clear_notifications()
            await pilot.press(key)
            await wait_until(pilot, lambda: toasts(pilot))
            assert "still writing" in toasts(pilot)[-1]
        on_top(pilot).query_one(SearchField).value = "dog"
        await wait_until(pilot, lambda: len(listed(pilot)) == 2)  # looking goes on
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: "Varda is writing. The search begins" in text_of(pilot))
        writing.set()
        await wait_until(pilot, lambda: listed(pilot))
        chat.action_incognito()
        await wait_until(pilot, lambda: chat.facts.incognito)
        for key in ("p", "e", "f", "u"):
            pilot.app.clear_notifications()
            await pilot.press(key)
            await wait_until(pilot, lambda: toasts(pilot))
            assert "incognito" in toasts(pilot)[-1]
            assert screen_is(pilot, BrowserScreen)
    assert stored(profile_dir) == before


async def test_an_empty_memory_and_one_that_is_not_loaded(profile_dir: Path, tiny_checkpoint: Path) -> None:
    loading = threading.Event()
    opener = real_opener(profile_dir, tiny_checkpoint)

    def later(on_progress: Callable[[str, float], None]) -> ChatSession:
        loading.wait(60)
        return opener(on_progress)

    async with make_app(later, profile_dir).run_test(size=(40, 16), notifications=True) as pilot:
        await pilot.press("f6")
        await wait_until(pilot, lambda: toasts(pilot) and "not loaded yet" in toasts(pilot)[-1])
        loading.set()
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press("f6")
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
        for key, screen in (("f", ForgetScreen), ("e", EditScreen), ("enter", RecordScreen)):
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
        await pilot.press("G")
        assert statements.cursor == 199
        await pilot.press("down")
        assert statements.cursor == 199
        assert statements.scroll_offset.y == 200 - place.height
        await pilot.press("home", "up")
        assert statements.cursor == 0
        await pilot.click(offset=(place.x + 5, place.y + 2), times=2)
        await wait_until(pilot, lambda: screen_is(pilot, RecordScreen))
