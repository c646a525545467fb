"""Sessions in the app: saved as they happen, gone on with, found, renamed, exported, deleted; long ones stay quick."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from textual.widget import Widget
from textual.widgets import Input, OptionList

from tests.helpers.transcript_file import insert_turns
from tests.helpers.tui.driver import (
    NARROW,
    WIDE,
    answers,
    ask,
    chat_of,
    command,
    composer,
    make_app,
    real_opener,
    screen_is,
    status,
    text_of,
    toasts,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.scripted import Line, ScriptedSession
from varda_chat.config.settings import Settings
from varda_chat.errors import StorageError
from varda_chat.session.session import ChatSession
from varda_chat.transcripts import Recording, Transcripts
from varda_chat.tui.controllers import talking
from varda_chat.tui.screens.sessions import SessionsScreen
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets import conversation
from varda_chat.tui.widgets.message import UserMessage, VardaMessage
from varda_chat.tui.widgets.session_list import SessionList


def told(transcripts: Transcripts, *prompts: str) -> int:
    """A session in which each prompt was answered by "I see."; returns its id."""
    session = transcripts.begin(prompts[0])
    for prompt in prompts:
        transcripts.answer(transcripts.ask(session, prompt), "I see.")
    return session


def long_session(transcripts: Transcripts, turns: int) -> int:
    """A session of many turns, written at once."""
    session = transcripts.begin("The long one")
    said = [(f"question {n}", f"Answer **{n}**, at some length. " * 3, float(n)) for n in range(turns)]
    insert_turns(transcripts, session, said)
    return session


def more_than(shown: conversation.Conversation, edge: Widget, place: int) -> bool:
    """Whether ``edge`` is no longer the first (0) or last (-1) message that is mounted."""
    return shown.children[place] is not edge and not shown.is_reading


def recorded(transcripts: Transcripts) -> ScriptedSession:
    """A scripted session that is saved."""
    return ScriptedSession(recording=Recording(transcripts))


async def test_a_session_is_saved_and_the_model_goes_on_with_it(
    profile_dir: Path, tiny_checkpoint: Path, transcripts: Transcripts
) -> None:
    opener = real_opener(profile_dir, tiny_checkpoint, transcripts)
    async with make_app(opener, profile_dir, transcripts=transcripts).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        first = await ask(pilot, "I live in Lisbon.")
        assert [turn.reply for turn in transcripts.turns(1)] == [first.text]
        assert "I live in Lisbon." in text_of(pilot).splitlines()[0]
        await command(pilot, "/rename On [/x] Lisbon")
        await wait_until(pilot, lambda: "On [/x] Lisbon" in text_of(pilot).splitlines()[0])
    async with make_app(opener, profile_dir, transcripts=transcripts, resume=1).run_test(size=WIDE) as pilot:
        await wait_until(pilot, lambda: "I live in Lisbon." in text_of(pilot))
        await wait_for_state(pilot, ChatState.READY)
        again = await ask(pilot, "And now?")
        assert again.turn is not None
        assert again.turn.prompt_tokens > len("And now?")  # the first turn is in the window
        assert len(transcripts.turns(1)) == 2
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: not answers(pilot) and "A new session" in text_of(pilot))
        alone = await ask(pilot, "And now?")
        assert alone.turn is not None
        assert alone.turn.prompt_tokens < again.turn.prompt_tokens
        assert [info.turns for info in transcripts.sessions()] == [1, 2]


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_sessions_are_found_renamed_exported_deleted_and_resumed(
    size: tuple[int, int],
    profile_dir: Path,
    transcripts: Transcripts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    told(transcripts, "My [/x] dog is called Rimba.", "She is well.")
    told(transcripts, "I live in Lisbon.")
    session = recorded(transcripts)
    app = make_app(session, profile_dir, transcripts=transcripts)
    async with app.run_test(size=size, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press("f3")
        await wait_until(pilot, lambda: screen_is(pilot, SessionsScreen))
        screen = pilot.app.screen
        listed = screen.query_one(OptionList)
        assert listed.option_count == 2
        await pilot.press("ctrl+e", *"!", "enter")
        assert transcripts.session(2).name == "I live in Lisbon.!"
        await pilot.press("ctrl+x")
        await wait_until(pilot, lambda: list(tmp_path.glob("varda-2-*.md")))
        await pilot.press("ctrl+d")
        assert "again" in str(screen.query_one("#sessions").border_subtitle)
        await pilot.press("escape")
        assert len(transcripts.sessions()) == 2
        await pilot.press("ctrl+d", "ctrl+d")
        assert [info.id for info in transcripts.sessions()] == [1]
        await pilot.press(*"rimba")
        await wait_until(pilot, lambda: listed.option_count == 1 and "called Rimba" in text_of(pilot))
        await pilot.press(*"zz")
        assert "Nothing was said like that" in text_of(pilot)
        screen.query_one(Input).value = "rimba"
        await pilot.press("enter")
        await wait_until(pilot, lambda: session.recording.session_id == 1)
        assert [message.text for message in chat_of(pilot).chat.query(UserMessage)] == [
            "My [/x] dog is called Rimba.",
            "She is well.",
        ]
        await ask(pilot, "Good.")
        assert len(transcripts.turns(1)) == 3


async def test_commands_about_sessions_say_what_is_amiss(profile_dir: Path, transcripts: Transcripts) -> None:
    told(transcripts, "Hello")
    async with make_app(recorded(transcripts), profile_dir, transcripts=transcripts).run_test(
        size=WIDE, notifications=True
    ) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        for text, line in (
            ("/resume 99", "no session 99"),
            ("/rename Stars", "no session to rename"),
            ("/export", "nothing to export"),
        ):
            await command(pilot, text)
            assert line in toasts(pilot)[-1]
        await command(pilot, "/resume 1")
        await wait_until(pilot, lambda: len(answers(pilot)) == 1)
        await pilot.pause(0.1)
        await command(pilot, "/export /no/such/folder/x.md")
        await wait_until(pilot, lambda: "no folder" in toasts(pilot)[-1])
        await command(pilot, "/export x.pdf")
        await wait_until(pilot, lambda: "end in .md or .json" in toasts(pilot)[-1])


async def test_what_failed_is_not_tried_again_in_a_new_session(profile_dir: Path) -> None:
    session = ScriptedSession([Line(error=StorageError("The disk is full.")), Line()])
    async with make_app(session, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, "Hello")
        await wait_until(pilot, lambda: "Ctrl+R tries again" in text_of(pilot) and chat_of(pilot).chat.state.can_answer)
        await pilot.press("ctrl+n", "ctrl+r")
        await wait_until(pilot, lambda: "There is nothing to try again." in toasts(pilot))
        assert session.prompts == ["Hello"]


@pytest.mark.parametrize("way", ["resume", "new", "branch"])
async def test_a_message_that_was_being_changed_takes_no_place_in_another_session(
    way: str, profile_dir: Path, transcripts: Transcripts
) -> None:
    first = told(transcripts, "Hello", "I live in Lisbon.")
    other = told(transcripts, "I drink tea.")
    branch = transcripts.branch(first, transcripts.turns(first)[-1].id).id
    session = recorded(transcripts)
    async with make_app(session, profile_dir, transcripts=transcripts, resume=first).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        chat = chat_of(pilot).chat
        await pilot.press("f4")
        if way == "resume":
            await chat.sessions.resume(str(other))
        else:
            await pilot.press("ctrl+n" if way == "new" else "alt+right")
        entered = {"resume": other, "new": None, "branch": branch}[way]
        await wait_until(pilot, lambda: session.recording.session_id == entered)
        assert composer(pilot).text == "I live in Lisbon."
        await pilot.press("enter")
        await wait_until(pilot, lambda: session.prompts and chat.is_idle and chat.state.can_answer)
        before = {"resume": ["I drink tea."], "new": [], "branch": ["Hello"]}[way]
        said = transcripts.turns(session.recording.session_id or 0)
        assert [turn.prompt for turn in said] == [*before, "I live in Lisbon."]
        assert [turn.prompt for turn in transcripts.turns(first)] == ["Hello", "I live in Lisbon."]


async def test_without_a_place_for_sessions_the_chat_goes_on(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press("f3")
        await wait_until(pilot, lambda: toasts(pilot) and "not kept" in toasts(pilot)[-1])
        assert (await ask(pilot, "Hello")).text == "Hello."


async def test_five_thousand_turns_open_at_once_and_stay_quick(profile_dir: Path, transcripts: Transcripts) -> None:
    session_id = long_session(transcripts, 5000)
    app = make_app(recorded(transcripts), profile_dir, transcripts=transcripts)
    async with app.run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        chat = chat_of(pilot).chat
        started = time.process_time()
        await chat.sessions.show(session_id)
        await wait_until(pilot, lambda: "question 4999" in text_of(pilot))
        print(f"5,000 turns opened in {time.process_time() - started:.2f} s of processor time")
        chat.sessions.switch(session_id)
        shown = chat.conversation
        for _ in range(4):  # up, past what is mounted at once
            edge = shown.children[0]
            shown.scroll_to(y=0, animate=False)
            await wait_until(pilot, partial(more_than, shown, edge, 0))
            assert len(shown.children) <= conversation.MOUNTED_MESSAGES
            assert shown.scroll_y > 0  # what was at the top is still where it was
        first = shown.query(UserMessage).first()
        oldest = int(first.text.split()[1])
        assert oldest < 4960
        for _ in range(2):
            edge = shown.children[-1]
            shown.scroll_end(animate=False)
            await wait_until(pilot, partial(more_than, shown, edge, -1))
            assert len(shown.children) <= conversation.MOUNTED_MESSAGES
        started = time.process_time()
        await ask(pilot, "The newest")  # from far up: the end is shown again
        print(f"a turn from far above took {time.process_time() - started:.2f} s of processor time")
        texts = [message.text for message in shown.query(UserMessage)]
        assert texts[-2:] == ["question 4999", "The newest"]
        assert isinstance(shown.children[-1], VardaMessage)


async def test_a_search_opens_the_session_where_the_words_are(profile_dir: Path, transcripts: Transcripts) -> None:
    long_session(transcripts, 300)
    app = make_app(recorded(transcripts), profile_dir, transcripts=transcripts)
    async with app.run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, "/resume question 123")
        await wait_until(pilot, lambda: screen_is(pilot, SessionsScreen) and "123" in text_of(pilot))
        await pilot.press("enter")
        await wait_until(pilot, lambda: "question 123" in text_of(pilot) and not screen_is(pilot, SessionsScreen))
        assert chat_of(pilot).chat.query(UserMessage).first().text == "question 123"


async def test_any_answer_is_the_beginning_of_a_branch_that_one_can_walk_to(
    profile_dir: Path, transcripts: Transcripts
) -> None:
    session = ScriptedSession([Line(("One.",)), Line(("Two.",)), Line(("Another.",))], recording=Recording(transcripts))
    app = make_app(session, profile_dir, transcripts=transcripts)
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        chat = chat_of(pilot).chat
        await pilot.press("alt+left")
        await wait_until(pilot, lambda: toasts(pilot) and "has no branches" in toasts(pilot)[-1])
        first = await ask(pilot, "First")
        await ask(pilot, "Second")
        first.focus()
        await pilot.press("r")
        await wait_until(pilot, lambda: chat.is_idle and [each.text for each in answers(pilot)] == ["Another."])
        assert [turn.reply for turn in transcripts.turns(1)] == ["One.", "Two."]
        assert [turn.reply for turn in transcripts.turns(2)] == ["Another."]
        await wait_until(pilot, lambda: "branch 2 of 2" in text_of(pilot))
        await pilot.press("alt+right")
        await wait_until(pilot, lambda: [each.text for each in answers(pilot)] == ["One.", "Two."])
        assert "branch 1 of 2" in text_of(pilot)
        answers(pilot)[-1].focus()
        await pilot.press("e")
        await wait_until(pilot, lambda: composer(pilot).text == "Second" and session.recording.session_id == 3)
        assert [each.text for each in answers(pilot)] == ["One."]
        await pilot.press(*"!", "enter")
        await wait_until(pilot, lambda: chat.is_idle and len(answers(pilot)) == 2)
        assert [turn.prompt for turn in transcripts.turns(3)] == ["First", "Second!"]
        assert [turn.prompt for turn in transcripts.turns(1)] == ["First", "Second"]


async def test_the_bell_rings_after_a_long_answer(profile_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[bool] = []
    app = make_app(ScriptedSession(), profile_dir)
    monkeypatch.setattr(app, "bell", lambda: rung.append(True))
    async with app.run_test(size=(120, 36)) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hello")
        assert not rung
        monkeypatch.setattr(talking, "LONG_SECONDS", 0.5)
        await ask(pilot, "Hello")
        assert rung == [True]
        app.chat.settings = replace(app.chat.settings, settings=Settings(bell=False))
        await ask(pilot, "Hello")
        assert rung == [True]


async def test_the_sessions_stand_beside_a_wide_chat(profile_dir: Path, transcripts: Transcripts) -> None:
    earlier = told(transcripts, "On the cello")
    session = ScriptedSession(recording=Recording(transcripts))
    app = make_app(session, profile_dir, transcripts=transcripts)
    async with app.run_test(size=(160, 40)) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        assert "On the cello" not in text_of(pilot)
        await pilot.press("alt+s")
        await wait_until(pilot, lambda: "On the cello" in text_of(pilot))
        await ask(pilot, "What is my dog called?")
        await wait_until(pilot, lambda: "● What is my dog" in text_of(pilot))
        listed = chat_of(pilot).chat.query_one(SessionList)
        listed.focus()
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: session.recording.session_id == earlier)
        await wait_until(pilot, lambda: "I see." in text_of(pilot) and "● On the cello" in text_of(pilot))
        assert composer(pilot).has_focus
        await pilot.resize_terminal(100, 40)
        await wait_until(pilot, lambda: not listed.display)
        await pilot.press("alt+s")
        await wait_until(pilot, lambda: screen_is(pilot, SessionsScreen))
        await pilot.press("escape")
        await pilot.resize_terminal(160, 40)
        await wait_until(pilot, lambda: listed.display)
        await pilot.press("alt+s")
        await wait_until(pilot, lambda: not listed.display)


async def test_a_new_session_and_an_earlier_one_wait_their_turn_while_the_model_loads(
    profile_dir: Path, transcripts: Transcripts
) -> None:
    gate, session = threading.Event(), recorded(transcripts)
    earlier = long_session(transcripts, 2)

    def open_slowly(on_progress: Callable[[str, float], None]) -> ChatSession:
        assert gate.wait(20)
        return cast("ChatSession", session)

    app = make_app(open_slowly, profile_dir, transcripts=transcripts)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        for text in ("First", "/new", "Second", f"/resume {earlier}", "Third"):
            await command(pilot, text)
        await pilot.press("ctrl+n", "ctrl+n")  # twice means once
        await wait_until(pilot, lambda: "6 waiting" in status(pilot))
        assert text_of(pilot).count("… waits for the model") == 6
        gate.set()
        await wait_until(pilot, lambda: session.prompts == ["First", "Second", "Third"])
        await wait_until(pilot, lambda: "A new session." in text_of(pilot) and chat_of(pilot).chat.is_idle)
        assert not toasts(pilot)
        assert "waits for" not in text_of(pilot)
        said = {info.id: [turn.prompt for turn in transcripts.turns(info.id)] for info in transcripts.sessions()}
        assert said.pop(earlier)[-1] == "Third"
        assert sorted(said.values()) == [["First"], ["Second"]]
