"""A turn on the screen: sent, streamed, finished, stopped, queued, failed, sent again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from tests.helpers.tui.driver import (
    WIDE,
    answers,
    ask,
    chat_of,
    composer,
    make_app,
    notices,
    plain,
    say,
    status,
    text_of,
    toasts,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.scripted import Line, ScriptedSession
from varda_chat.errors import MemoryLockedError
from varda_chat.session.session import ChatSession, Recalled
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets import conversation
from varda_chat.tui.widgets.message import UserMessage


async def test_an_answer_is_streamed_and_then_whole(profile_dir: Path) -> None:
    gate = threading.Event()
    session = ScriptedSession([Line(("Your dog ", "is **Rimba**."), (Recalled(1, "My dog is Rimba.", 0.8),))])
    session.script[0].hold = gate
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "What is my dog called?")
        await wait_until(pilot, lambda: "Your dog" in text_of(pilot))
        assert chat_of(pilot).chat.state is ChatState.THINKING
        assert "Rimba" not in text_of(pilot)
        gate.set()
        await wait_for_state(pilot, ChatState.READY)
        assert answers(pilot)[0].text == "Your dog is **Rimba**."
        screen = text_of(pilot)
        assert "Your dog is Rimba." in screen
        assert "What is my dog called?" in screen
        assert "recalled 1" in screen
        assert "41 tokens/s" in status(pilot)
        assert session.prompts == ["What is my dog called?"]


async def test_escape_keeps_the_partial_answer(profile_dir: Path) -> None:
    session = ScriptedSession([Line(("The first half", " and the second"), hold=threading.Event())])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "Tell me a story")
        await wait_until(pilot, lambda: "The first half" in text_of(pilot))
        await pilot.press("escape")
        await wait_for_state(pilot, ChatState.STOPPED)
        assert answers(pilot)[0].text == "The first half"
        assert "stopped" in plain(answers(pilot)[0].query_one(".meta"))  # type: ignore[arg-type]
        session.script = [Line(("A new one.",))]
        assert (await ask(pilot, "Go on")).text == "A new one."


async def test_control_c_stops_but_never_quits(profile_dir: Path) -> None:
    session = ScriptedSession([Line(("So far", "…"), hold=threading.Event())])
    async with make_app(session, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "Tell me a story")
        await wait_until(pilot, lambda: "So far" in text_of(pilot))
        await pilot.press("ctrl+c")
        await wait_for_state(pilot, ChatState.STOPPED)
        await pilot.press("ctrl+c", "ctrl+c")
        assert pilot.app.is_running
        assert any("Ctrl+Q" in toast for toast in toasts(pilot))


async def test_what_is_sent_while_loading_is_answered_when_ready(profile_dir: Path) -> None:
    gate, session = threading.Event(), ScriptedSession()

    def open_slowly(on_progress: Callable[[str, float], None]) -> ChatSession:
        on_progress("reading the model", 0.4)
        assert gate.wait(10)
        return cast("ChatSession", session)

    async with make_app(open_slowly, profile_dir).run_test(size=WIDE) as pilot:
        await wait_until(pilot, lambda: "reading the model 40%" in status(pilot))
        await say(pilot, "First")
        await say(pilot, "Second")
        await wait_until(pilot, lambda: "2 waiting" in status(pilot))
        assert text_of(pilot).count("… waits for the model") == 2
        assert session.prompts == []
        gate.set()
        await wait_until(pilot, lambda: len(answers(pilot)) == 2 and chat_of(pilot).chat.state.can_answer)
        assert session.prompts == ["First", "Second"]
        assert "waits for" not in text_of(pilot)
        order = [type(message).__name__ for message in chat_of(pilot).chat.conversation.children]
        assert order == ["Welcome", "UserMessage", "VardaMessage", "UserMessage", "VardaMessage"]


async def test_a_failed_opening_says_why_and_can_be_retried(profile_dir: Path) -> None:
    session, tries = ScriptedSession(), 0

    def fail_once(on_progress: Callable[[str, float], None]) -> ChatSession:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise MemoryLockedError("Another varda-chat [writes] this profile.")
        return cast("ChatSession", session)

    async with make_app(fail_once, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.FAILED)
        await wait_until(pilot, lambda: notices(pilot))
        assert "Another varda-chat [writes] this profile." in notices(pilot)[0]
        assert "not loaded" in status(pilot)
        await pilot.press("ctrl+r")
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hello")
        assert session.prompts == ["Hello"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryLockedError("The disk is full."), "The disk is full."),
        (RuntimeError("bad [/x] tensor\nsecond"), "while answering (RuntimeError: bad [/x] tensor second)"),
    ],
)
async def test_a_failed_reply_says_why_and_can_be_retried(error: Exception, line: str, profile_dir: Path) -> None:
    session = ScriptedSession([Line(("Half",), error=error), Line(("Whole.",))])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "Hello")
        await wait_until(pilot, lambda: notices(pilot))
        assert line in notices(pilot)[0]
        assert answers(pilot)[0].text == "Half"
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: len(answers(pilot)) == 2 and answers(pilot)[1].text == "Whole.")
        assert session.prompts == ["Hello", "Hello"]


HOSTILE = "[/x] [red]a[/red] [@click=app.quit]b[/] \x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07 \u202eevil <b>x</b>"
TABLE = "\n\n| [/h] | two |\n|---|---|\n| [/c] | `[/d]` |\n\n[link](javascript:x) ![i]([/z])"
FENCE = "\n\n```[/l]\n[/k]\n```"


async def test_hostile_text_is_shown_as_the_text_it_is(profile_dir: Path) -> None:
    session = ScriptedSession([Line((HOSTILE, TABLE, FENCE), (Recalled(1, HOSTILE, 7.0),))], notices=[HOSTILE])
    session.model_name = session.profile = HOSTILE
    async with make_app(session, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, HOSTILE)
        await pilot.hover(answers(pilot)[0], offset=(6, 4))
        await say(pilot, "/[/x]")
        await say(pilot, "/nonsense")
        screen = text_of(pilot)
        assert "\x1b" not in screen
        assert "\u202e" not in screen
        assert "[red]a[/red] [@click=app.quit]b[/] red" in screen
        assert "<b>x</b>" in screen
        assert pilot.app.is_running


async def test_an_escape_sequence_cut_by_the_stream_leaves_no_rest(profile_dir: Path) -> None:
    session = ScriptedSession([Line(("a\x1b", "[3", "1mb"), hold=threading.Event())])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        assert session.script[0].hold is not None
        session.script[0].hold.set()
        assert (await ask(pilot, "Hello")).text == "ab"


async def test_only_the_last_messages_are_mounted(profile_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MOUNTED_MESSAGES", 4)
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        for number in range(4):
            await say(pilot, f"Message {number}")
            await wait_until(pilot, lambda: chat_of(pilot).chat.state is ChatState.READY)
        assert len(chat_of(pilot).chat.conversation.children) == 4
        assert "Message 3" in text_of(pilot)


async def test_a_very_long_message_is_shown_by_its_beginning(profile_dir: Path) -> None:
    session = ScriptedSession()
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "word " * 20_000)
        assert len(session.prompts[0]) == 99_999
        bubble = chat_of(pilot).chat.query_one(UserMessage)
        assert "95,999 more characters" in plain(bubble)
        assert composer(pilot).text == ""


async def test_line_breaks_of_an_answer_stay(profile_dir: Path) -> None:
    session = ScriptedSession([Line(("one\ntwo\nthree",))])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Count")
        assert [line.strip(" ✦") for line in text_of(pilot).splitlines() if "two" in line] == ["two"]
