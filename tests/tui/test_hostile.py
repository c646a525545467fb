"""Hostile text through the real widgets: nothing crashes, styles itself or reaches the terminal as a control code."""

from __future__ import annotations

import time
from pathlib import Path

from textual.events import Paste

from tests.helpers.transcript_file import another_program
from tests.helpers.tui.driver import (
    WIDE,
    ask,
    chat_of,
    composer,
    make_app,
    screen_is,
    text_of,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.hostile_texts import check, examples
from tests.helpers.tui.scripted import NOW, Line, ScriptedSession
from varda_chat.memory.records import Statement
from varda_chat.session.session import MemoryEvent, Recalled, TokenSources
from varda_chat.transcripts import Recording, Transcripts
from varda_chat.transcripts.records import NAME_LENGTH
from varda_chat.tui.screens.choose import ChooseScreen
from varda_chat.tui.screens.sessions import SessionsScreen
from varda_chat.tui.screens.sources import SourcesScreen
from varda_chat.tui.screens.statement import StatementScreen
from varda_chat.tui.state import ChatState


async def test_the_chat_and_its_dialogs_take_any_text(profile_dir: Path, transcripts: Transcripts) -> None:
    session = ScriptedSession(recording=Recording(transcripts))
    app = make_app(session, profile_dir, transcripts=transcripts)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        chat = chat_of(pilot).chat
        for said, answered, stored in examples():
            recalled = Recalled(1, stored, 0.7)
            session.script = [
                Line((answered[:9], answered[9:]), (recalled,), sources=(TokenSources(0, 5, ((1, 0.7),)),))
            ]
            session.events = [MemoryEvent("stored", 1, stored, NOW), MemoryEvent("deleted", 2, answered, NOW)]
            await ask(pilot, f"x{said}")
            check(pilot)
            chat.tell(stored)
            composer(pilot).post_message(Paste(answered))
            await pilot.pause()
            check(pilot)
            composer(pilot).clear()
            turn = chat.conversation.last_exchange()[1].turn  # type: ignore[index]
            assert turn is not None
            statement = Statement(1, stored, "user", answered, NOW, True, 1, 1)
            for screen in (
                SourcesScreen(turn, {1: stored}),
                ChooseScreen("Forget", "forget", [statement], marked=frozenset({1}), clock=lambda: NOW),
                StatementScreen(chat.host, 1, stored, lambda: NOW),
            ):
                await pilot.app.push_screen(screen)
                await pilot.pause()
                check(pilot)
                await pilot.app.pop_screen()
        assert pilot.app.is_running


async def test_sessions_take_any_text(profile_dir: Path, transcripts: Transcripts) -> None:
    for said, answered, _ in examples():
        number = transcripts.begin(said)
        transcripts.answer(transcripts.ask(number, said), answered)
        with another_program(transcripts) as db:
            name = answered.encode("utf-8", "replace").decode()
            db.execute("UPDATE sessions SET name = ? WHERE id = ?", (name, number))
    session = ScriptedSession(recording=Recording(transcripts))
    async with make_app(session, profile_dir, transcripts=transcripts).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press("f3")
        await wait_until(pilot, lambda: screen_is(pilot, SessionsScreen))
        check(pilot)
        await pilot.press("[", "/")
        await pilot.pause()
        check(pilot)
        await pilot.press("escape")
        for info in transcripts.sessions()[:5]:
            assert len(info.name) <= NAME_LENGTH
            await chat_of(pilot).chat.sessions.show(info.id)
            await pilot.pause()
            check(pilot)


async def test_a_megabyte_on_one_line(profile_dir: Path) -> None:
    line = "[/x] \x1b[31m" + "word " * 200_000
    session = ScriptedSession([Line((line[:500_000], line[500_000:]), (Recalled(1, line, 0.5),))])
    session.events = [MemoryEvent("stored", 1, line, NOW)]
    session.profile = line[:64]
    async with make_app(session, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        started = time.process_time()
        answer = await ask(pilot, line)
        print(f"a megabyte there and back took {time.process_time() - started:.1f} s of processor time")
        check(pilot)
        assert len(answer.text) == len(line) - len("\x1b[31m")
        assert "more characters (/copy copies all)" in text_of(pilot)
