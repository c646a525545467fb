"""Errors end nothing: each is staged, told in a line that says what to do, and the conversation goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.tui.driver import (
    WIDE,
    answers,
    ask,
    chat_of,
    command,
    composer,
    make_app,
    notices,
    real_opener,
    say,
    text_of,
    toasts,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.scripted import Line, ScriptedSession
from varda_chat.session.session import ChatSession
from varda_chat.storage.locks import take_lock
from varda_chat.transcripts import Recording, Transcripts
from varda_chat.tui.state import ChatState


async def test_a_locked_memory_and_a_lost_model_file(profile_dir: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Both say what to do; once it is done, what was typed meanwhile is answered."""
    model = tmp_path / "model"
    shutil.copytree(tiny_checkpoint, model)
    (model / "model.safetensors").rename(tmp_path / "lost")
    profile_dir.mkdir(parents=True)
    lock = take_lock(profile_dir)
    async with make_app(real_opener(profile_dir, model), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.FAILED)
        await wait_until(pilot, lambda: len(notices(pilot)) == 1)
        assert "model" in notices(pilot)[0]
        assert "Ctrl+R tries again." in notices(pilot)[0]
        (tmp_path / "lost").rename(model / "model.safetensors")
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: len(notices(pilot)) == 2)
        assert "Another varda-chat is using this memory" in notices(pilot)[1]
        await wait_for_state(pilot, ChatState.FAILED)
        lock.release()
        await say(pilot, "I live in Lisbon.")
        await wait_until(pilot, lambda: chat_of(pilot).chat.state is ChatState.READY and len(answers(pilot)) == 1)
        assert chat_of(pilot).chat.memory.size > 0


async def test_a_full_disk(profile_dir: Path, tiny_checkpoint: Path, transcripts: Transcripts) -> None:
    """Neither memory nor transcript can grow: it is told, nothing shown is lost, and later it all works again."""
    sessions: list[ChatSession] = []
    opener = real_opener(profile_dir, tiny_checkpoint, transcripts)

    def open_session(on_progress: object) -> ChatSession:
        sessions.append(opener(lambda what, share: None))
        return sessions[0]

    async with make_app(open_session, profile_dir, transcripts=transcripts).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hello!")
        databases = [sessions[0].memory.store.core.db, transcripts.db]
        for db in databases:
            db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")
        text = " ".join(f"I live in Lisbon {n}." for n in range(90))  # more than the pages that are there can take
        await say(pilot, text)
        await wait_until(pilot, lambda: notices(pilot) and chat_of(pilot).chat.state.can_answer)
        assert "not stored: the disk is full" in notices(pilot)[0]
        assert "Your message is kept. Ctrl+R tries again." in notices(pilot)[0]
        for db in databases:
            db.execute("PRAGMA max_page_count = 1000000")
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: len(answers(pilot)) == 3 and chat_of(pilot).chat.state is ChatState.READY)
        assert transcripts.turns(1)[-1].prompt == text


async def test_a_transcript_that_cannot_be_written_is_told_once(profile_dir: Path, transcripts: Transcripts) -> None:
    session = ScriptedSession()
    session.recording = Recording(transcripts, session.notices.append)
    async with make_app(session, profile_dir, transcripts=transcripts).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hello!")
        transcripts.db.execute("PRAGMA query_only = ON")  # as on a disk that has become read-only
        for _ in range(2):
            await ask(pilot, "Hello!")
        assert sum("conversation goes on" in line for line in notices(pilot)) == 1
        assert len(answers(pilot)) == 3


async def test_sessions_that_cannot_be_read_are_told(profile_dir: Path, transcripts: Transcripts) -> None:
    session = ScriptedSession(recording=Recording(transcripts))
    async with make_app(session, profile_dir, transcripts=transcripts).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hello!")
        transcripts.close()
        for text in ("/sessions", "/rename Other", "/export", "/resume 1"):
            if pilot.app.screen is not chat_of(pilot).chat:
                await pilot.press("escape")
            pilot.app.clear_notifications()
            await command(pilot, text)
            await wait_until(pilot, lambda: toasts(pilot))
        if pilot.app.screen is not chat_of(pilot).chat:
            await pilot.press("escape")
        await ask(pilot, "Still there?")
        assert len(answers(pilot)) == 2


async def test_whatever_fails_in_a_worker_is_told(profile_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = ScriptedSession([Line(("Hello.",))])
    async with make_app(session, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, "/remember this")  # the scripted session cannot: an AttributeError
        await wait_until(pilot, lambda: toasts(pilot) and "unexpected happened while storing it" in toasts(pilot)[-1])
        await ask(pilot, "Still there?")
        assert "Hello." in text_of(pilot)
        assert composer(pilot).text == ""
