"""The panel shows the memory after each turn, folds away where it is narrow and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.content import Content
from textual.pilot import Pilot

from tests.helpers.tui.driver import (
    NARROW,
    WIDE,
    ask,
    chat_of,
    make_app,
    plain,
    real_opener,
    text_of,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.memories import lived_in
from tests.helpers.tui.scripted import NOW, Line, ScriptedSession
from varda_chat.session.session import MemoryEvent, Recalled, Remembered
from varda_chat.tui.formatting import ago, bar, magnitude
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.memory_panel import EventRow, MemoryPanel, RecalledRow, Words, shortened
from varda_chat.tui.widgets.title_line import TitleLine

TURN = Line(
    ("Noted.",),
    recalled=(Recalled(1, "My sister lives in Lisbon.", 0.2), Recalled(2, "My dog is Rimba.", 0.8)),
    stored=(Remembered(3, "I play the cello."),),
    deleted=(Remembered(4, "I play the flute."),),
)


def panel_shown(pilot: Pilot[None]) -> bool:
    return bool(chat_of(pilot).chat.query_one(MemoryPanel).display)


async def test_a_turn_is_shown_in_the_panel(profile_dir: Path) -> None:
    session = ScriptedSession([TURN], events=[MemoryEvent("stored", 2, "My dog is Rimba.", NOW - 120)])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        assert "412 memories" in text_of(pilot)
        assert "2 min ago" in text_of(pilot)
        await ask(pilot, "I play the cello now, not the flute.")
        screen = pilot.app.screen
        assert [plain(row.query_one(".words")) for row in screen.query(RecalledRow)] == [  # type: ignore[arg-type]
            "My dog is Rimba.",
            "My sister lives in Lisbon.",
        ]
        rows = [
            (plain(row.query_one(".sign")), plain(row.query_one(".words")), row.has_class("-fresh"))  # type: ignore[arg-type]
            for row in screen.query(EventRow)
        ]
        assert rows == [
            ("−", "I play the flute.", True),
            ("+", "I play the cello.", True),
            ("+", "My dog is Rimba.", False),
        ]
        assert "+ “I play the cello.”" in text_of(pilot)
        assert "− “I play the flute.”" in text_of(pilot)


async def test_the_panel_folds_where_it_is_narrow_and_comes_back(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        assert panel_shown(pilot)
        await pilot.resize_terminal(*NARROW)
        await wait_until(pilot, lambda: not panel_shown(pilot))
        assert "412 in memory" in text_of(pilot)
        await pilot.resize_terminal(*WIDE)
        await wait_until(pilot, lambda: panel_shown(pilot))


async def test_a_key_turns_the_panel_on_and_off(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press("f2")
        assert not panel_shown(pilot)
        await pilot.press("ctrl+b")
        assert panel_shown(pilot)
        await pilot.resize_terminal(*NARROW)
        await wait_until(pilot, lambda: not panel_shown(pilot))
        await pilot.press("f2")
        assert panel_shown(pilot)
        assert "back to the chat" in text_of(pilot)
        await ask(pilot, "Hello")
        assert not panel_shown(pilot)


async def test_time_passes_in_the_panel(profile_dir: Path) -> None:
    now = NOW
    session = ScriptedSession(events=[MemoryEvent("stored", 2, "My dog is Rimba.", NOW)])
    async with make_app(session, profile_dir, clock=lambda: now).run_test(size=WIDE) as pilot:
        await wait_until(pilot, lambda: "just now" in text_of(pilot))
        now = NOW + 7200
        pilot.app.screen.query_one(MemoryPanel).tell_time()
        await wait_until(pilot, lambda: "2 h ago" in text_of(pilot))


@pytest.mark.parametrize("size", [(40, 12), (20, 6), (8, 3), (1, 1)])
async def test_it_lives_in_a_small_terminal(size: tuple[int, int], profile_dir: Path) -> None:
    async with make_app(ScriptedSession([TURN]), profile_dir, first_run=True).run_test(size=size) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hello")
        await pilot.press("f2", "f2", "f1", "escape")
        assert chat_of(pilot).chat.state is ChatState.READY
        if size == (40, 12):
            assert "Noted." in text_of(pilot)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "just now"),
        (44, "just now"),
        (60, "1 min ago"),
        (3599, "60 min ago"),
        (3600, "1 h ago"),
        (86_400, "yesterday"),
        (3 * 86_400, "3 days ago"),
    ],
)
def test_how_long_ago(seconds: float, words: str) -> None:
    assert ago(NOW - seconds, NOW) == words


def test_long_ago_is_a_date() -> None:
    assert ago(NOW - 400 * 86_400, NOW).endswith("2024")


def test_magnitudes_and_bars() -> None:
    assert [magnitude(n) for n in (999, 8_200_000, 124_439_808, 1_500_000_000)] == [
        "999",
        "8.2M",
        "124M",
        "1.5B",
    ]
    assert bar(0, 4) == ("", "────")
    assert bar(0.001, 4) == ("╸", "───")
    assert bar(0.5, 4) == ("━━", "──")
    assert bar(9, 4) == ("━━━━", "")


LONG = "My sister has moved from Porto to Lisbon, where she opened a bookshop near the river, and a café in it."


async def test_words_without_room_end_in_an_ellipsis_and_a_wide_panel_shows_more(profile_dir: Path) -> None:
    session = ScriptedSession(events=[MemoryEvent("stored", 2, LONG, NOW - 120)])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_until(pilot, lambda: "My sister has moved" in text_of(pilot))
        assert "…" in pilot.app.screen.query_one(EventRow).query_one(Words).render().plain
        narrow = pilot.app.screen.query_one(MemoryPanel).size.width
        await pilot.resize_terminal(200, 50)
        await wait_until(pilot, lambda: pilot.app.screen.query_one(MemoryPanel).size.width > 1.4 * narrow)


@pytest.mark.parametrize("width", [1, 2, 5, 12, 40, 200])
@pytest.mark.parametrize("text", [LONG, "", "a", "x" * 300, "日本語の長い文章です。" * 9, "two words"])
def test_words_are_shortened_to_their_lines(text: str, width: int) -> None:
    for lines in (1, 2, 3):
        short = shortened(Content(text), width, lines)
        shown = short.plain.split("\n")
        assert len(shown) <= lines or short.plain == text
        if short.plain != text:
            assert short.plain.endswith("…")
            assert all(Content(line).cell_length <= max(width, 2) for line in shown)


async def test_panel_and_title_count_memories(profile_dir: Path, tiny_checkpoint: Path, fingerprint: str) -> None:
    lived_in(profile_dir, fingerprint)
    app = make_app(real_opener(profile_dir, tiny_checkpoint), profile_dir)
    async with app.run_test(size=WIDE) as pilot:
        await wait_until(pilot, lambda: "20 memories" in text_of(pilot))
        assert "vectors" not in text_of(pilot)
        await pilot.resize_terminal(*NARROW)
        await wait_until(pilot, lambda: "20 in memory" in text_of(pilot))


async def test_one_notice_at_a_time_below_all_else(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        pilot.app.notify("The first of them.")
        pilot.app.notify("The last of them.")
        await wait_until(pilot, lambda: "The last of them." in text_of(pilot))
        lines = text_of(pilot).split("\n")
        assert "The first of them." not in text_of(pilot)
        assert "The last of them." in lines[-1]
        assert "412 memories" in text_of(pilot)


@pytest.mark.parametrize("width", range(34, 72, 3))
async def test_a_long_session_name_leaves_room_for_the_size_of_the_memory(profile_dir: Path, width: int) -> None:
    async with make_app(ScriptedSession([]), profile_dir).run_test(size=(width, 20)) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        pilot.app.screen.query_one(TitleLine).session_name = "What I told you about the lake, and about the boat"
        await pilot.pause()
        line = text_of(pilot).splitlines()[0]
        assert line.endswith("412 in memory")
        assert ("What I told" in line) is (width > 40)
