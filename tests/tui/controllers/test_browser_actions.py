"""What is done to memories in the browser, on a real memory: pinned, edited, forgotten, brought back, exported."""

from __future__ import annotations

import json
import threading
from io import BytesIO
from pathlib import Path

import pytest
from textual.widgets import TextArea

from tests.helpers.tui.browsing import CELLO, browser, listed, on_top, stored
from tests.helpers.tui.driver import chat_of, composer, screen_is, text_of, toasts, wait_for_state, wait_until
from tests.helpers.tui.memories import lived_in, told
from tests.helpers.tui.scripted import NOW
from varda_chat.memory import MemoryStore, backup
from varda_chat.memory.export import read_export
from varda_chat.memory.records import Imported
from varda_chat.session.proof import files_that_hold
from varda_chat.session.session import ChatSession
from varda_chat.transcripts import Transcripts
from varda_chat.tui.screens.browser import BrowserScreen
from varda_chat.tui.screens.editing import EditScreen
from varda_chat.tui.screens.forgetting import ForgetScreen
from varda_chat.tui.screens.path import PathScreen
from varda_chat.tui.screens.statement import StatementScreen
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.browser_lines import SearchField


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
        await pilot.press("enter", "y")
        await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen) and listed(pilot) == [])
        assert CELLO not in stored(profile_dir)
        await pilot.press("u")
        await wait_until(pilot, lambda: listed(pilot) == [CELLO])

        await pilot.press("enter")
        await wait_until(pilot, lambda: screen_is(pilot, StatementScreen) and "number" in text_of(pilot))
        await pilot.press("f", "escape")
        await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen) and listed(pilot) == [])
        assert on_top(pilot).acts.changed


async def test_many_are_marked_pinned_exported_and_forgotten(
    profile_dir: Path, tiny_checkpoint: Path, fingerprint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lived_in(profile_dir, fingerprint)
    async with browser(profile_dir, tiny_checkpoint, text="rimba") as pilot:
        events = chat_of(pilot).chat.memory.events
        await pilot.press("x")
        await wait_until(pilot, lambda: screen_is(pilot, PathScreen))
        assert list(tmp_path.glob("*.jsonl")) == []
        await pilot.press("enter")
        await wait_until(pilot, lambda: list(tmp_path.glob("*.jsonl")))
        await wait_until(pilot, lambda: toasts(pilot) and "3 memories were written" in toasts(pilot)[-1])
        await pilot.press("space", "space")
        await wait_until(pilot, lambda: "2 marked" in text_of(pilot))
        await pilot.press("x")
        await wait_until(pilot, lambda: screen_is(pilot, PathScreen))
        await pilot.press("enter")
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
        await pilot.press("y")
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

    monkeypatch.setattr(ChatSession, "reply", turn)
    async with browser(profile_dir, tiny_checkpoint) as pilot:
        chat = chat_of(pilot).chat
        await chat.talk.send("Hello")
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
        chat.moving.incognito()
        await wait_until(pilot, lambda: chat.details.incognito)
        for key in ("p", "e", "f", "u"):
            pilot.app.clear_notifications()
            await pilot.press(key)
            await wait_until(pilot, lambda: toasts(pilot))
            assert "incognito" in toasts(pilot)[-1]
            assert screen_is(pilot, BrowserScreen)
    assert stored(profile_dir) == before


async def test_what_was_deleted_is_listed_and_restored(
    profile_dir: Path, tiny_checkpoint: Path, fingerprint: str
) -> None:
    lived_in(profile_dir, fingerprint)
    async with browser(profile_dir, tiny_checkpoint) as pilot:
        await pilot.press("d")
        await wait_until(pilot, lambda: "Nothing that was deleted can be restored." in text_of(pilot))
        await pilot.press("d")
        on_top(pilot).query_one(SearchField).value = "cello"
        await wait_until(pilot, lambda: listed(pilot) == [CELLO])
        await pilot.press("f")
        await wait_until(pilot, lambda: screen_is(pilot, ForgetScreen))
        await pilot.press("y")
        await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen) and listed(pilot) == [])
        await pilot.press("d")
        await wait_until(pilot, lambda: listed(pilot) == [CELLO] and "1 deleted" in text_of(pilot))
        pilot.app.clear_notifications()
        await wait_until(pilot, lambda: "U restore" in text_of(pilot))
        for key in ("p", "e", "f", "x", "m"):  # none of them is for what is deleted
            pilot.app.clear_notifications()
            await pilot.press(key)
            await wait_until(pilot, lambda: toasts(pilot))
            assert "It is deleted" in toasts(pilot)[-1]
            assert screen_is(pilot, BrowserScreen)
        await pilot.press("u")
        await wait_until(pilot, lambda: listed(pilot) == [])
        assert "Back in memory" in toasts(pilot)[-1]
        assert CELLO in stored(profile_dir)
        await pilot.press("d")
        await wait_until(pilot, lambda: listed(pilot) == [CELLO])


async def test_an_export_goes_where_it_is_told_and_overwrites_nothing(
    profile_dir: Path, tiny_checkpoint: Path, fingerprint: str, tmp_path: Path
) -> None:
    lived_in(profile_dir, fingerprint)
    taken = tmp_path / "taken.md"
    taken.write_text("mine")
    async with browser(profile_dir, tiny_checkpoint, text="rimba") as pilot:
        await pilot.press("x")
        await wait_until(pilot, lambda: screen_is(pilot, PathScreen))
        for wrong, problem in (
            ("", "Write where"),
            (str(tmp_path), "is a folder"),
            (str(taken), "is there already"),
            (str(tmp_path / "none" / "it.md"), "There is no folder"),
        ):
            pilot.app.clear_notifications()
            pilot.app.screen.query_one(SearchField).value = wrong
            await pilot.press("enter")
            await wait_until(pilot, lambda: toasts(pilot))
            assert problem in toasts(pilot)[-1]
        pilot.app.screen.query_one(SearchField).value = str(tmp_path / "mine.md")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "3 memories were written" in toasts(pilot)[-1])
        assert "Rimba" in (tmp_path / "mine.md").read_text("utf-8")
        assert taken.read_text() == "mine"
        await pilot.press("x")
        await wait_until(pilot, lambda: screen_is(pilot, PathScreen))
        await pilot.press("escape")
        await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen))


@pytest.mark.parametrize("deleted_before", [True, False])
async def test_a_purge_leaves_no_byte_in_any_file(
    deleted_before: bool, profile_dir: Path, tiny_checkpoint: Path, fingerprint: str, transcripts: Transcripts
) -> None:
    lived_in(profile_dir, fingerprint)
    backup(profile_dir)
    transcripts.answer(transcripts.ask(transcripts.begin(CELLO), CELLO), "The cello, on Sundays.")
    (profile_dir / "history.jsonl").write_text(json.dumps({"text": CELLO}) + "\n")
    held = [read.name for read in files_that_hold(profile_dir, [CELLO]) if read.holds]
    assert {"history.jsonl", "sessions.db"} < {*held}
    async with browser(profile_dir, tiny_checkpoint, text="cello", transcripts=transcripts) as pilot:
        if deleted_before:
            await pilot.press("f")
            await wait_until(pilot, lambda: screen_is(pilot, ForgetScreen))
            await pilot.press("y")
            await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen) and listed(pilot) == [])
            pilot.app.clear_notifications()
            await pilot.press("d")
            await wait_until(pilot, lambda: listed(pilot) == [CELLO] and "Z purge" in text_of(pilot))
        await pilot.press("z")
        await wait_until(pilot, lambda: screen_is(pilot, ForgetScreen))
        assert "leaves every file" in text_of(pilot)
        assert "Y purge it" in text_of(pilot)
        await pilot.press("enter", "escape")
        await wait_until(pilot, lambda: screen_is(pilot, BrowserScreen))
        assert listed(pilot) == [CELLO]
        await pilot.press("z")
        await wait_until(pilot, lambda: screen_is(pilot, ForgetScreen))
        await pilot.press("y")
        await wait_until(pilot, lambda: "Purged. No file holds it" in "".join(toasts(pilot)[-1:]))
        assert listed(pilot) == []
        await pilot.press("escape")
        await wait_until(pilot, lambda: pilot.app.screen is chat_of(pilot).chat)
        assert composer(pilot).text == ""
        for typed in ("/memory cello", "/memory cello"):  # the oldest
            await pilot.press("up")
            assert composer(pilot).text == typed
    assert not any(read.holds for read in files_that_hold(profile_dir, [CELLO]))


async def test_a_purge_lists_what_holds_the_words_before_an_edit(
    profile_dir: Path, tiny_checkpoint: Path, fingerprint: str
) -> None:
    other = "My dog is called Rimba and bites."
    said = [told(text, place) for place, text in enumerate(("I live in Lisbon.", "My dog is called Rimba", other))]
    lived_in(profile_dir, fingerprint, said)
    with MemoryStore.open_records(profile_dir) as store:
        store.edit(2, "I have no dog.")
    async with browser(profile_dir, tiny_checkpoint, text="no dog") as pilot:
        await wait_until(pilot, lambda: listed(pilot) == ["I have no dog."])
        await pilot.press("z")
        await wait_until(pilot, lambda: screen_is(pilot, ForgetScreen) and "Y purge 2" in text_of(pilot))
        assert f"− {other}" in text_of(pilot)
        await pilot.press("y")
        await wait_until(pilot, lambda: "Purged. No file holds it" in "".join(toasts(pilot)[-1:]))
    assert set(stored(profile_dir)) == {"I live in Lisbon."}
