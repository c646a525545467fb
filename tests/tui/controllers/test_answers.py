"""An answer taken back and regenerated, a message edited in its place, an answer opened to see its sources."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from tests.helpers.tui.driver import (
    WIDE,
    answers,
    ask,
    chat_of,
    command,
    composer,
    make_app,
    notices,
    plain,
    real_opener,
    say,
    screen_is,
    status,
    text_of,
    toasts,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.scripted import Line, ScriptedSession
from varda_chat.errors import StorageError
from varda_chat.session.session import ChatSession, Recalled, Remembered, TokenSources
from varda_chat.session.why import Without
from varda_chat.transcripts import Recording, Transcripts
from varda_chat.tui.screens.sources import SourcesScreen, recalled_words
from varda_chat.tui.screens.statement import StatementScreen
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.message import UserMessage, VardaMessage
from varda_chat.tui.widgets.what_if import Side, WhatIf


def shown(pilot_messages: list[UserMessage]) -> list[str]:
    return [message.text for message in pilot_messages if message.display]


async def test_another_answer_and_an_edited_message(
    profile_dir: Path, tiny_checkpoint: Path, transcripts: Transcripts
) -> None:
    app = make_app(real_opener(profile_dir, tiny_checkpoint, transcripts), profile_dir, transcripts=transcripts)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        chat = chat_of(pilot).chat
        await pilot.press("f5")
        assert "no answer yet" in toasts(pilot)[-1]
        await pilot.press("f4")
        assert "no message to edit" in toasts(pilot)[-1]
        await ask(pilot, "I live in Lisbon.")
        size = chat.memory.size
        assert size > 0
        await pilot.press("f5")
        await wait_until(
            pilot, lambda: len(transcripts.turns(1)) == 1 and transcripts.turns(1)[0].id == 2 and chat.is_idle
        )
        assert len(answers(pilot)) == 1
        assert chat.memory.size == size
        await pilot.press("f4")
        assert composer(pilot).text == "I live in Lisbon."
        assert composer(pilot).editing
        await pilot.press("escape")
        assert composer(pilot).text == ""
        await pilot.press("f4", *" And", "enter")
        await wait_until(pilot, lambda: chat.is_idle and transcripts.turns(1)[-1].prompt == "I live in Lisbon. And")
        await wait_until(pilot, lambda: chat.state.can_answer)
        assert shown(list(chat.query(UserMessage))) == ["I live in Lisbon. And"]
        assert len(answers(pilot)) == len(transcripts.turns(1)) == 1


async def test_a_failed_second_answer_leaves_the_first(profile_dir: Path) -> None:
    lines = [Line(("First.",)), Line(("Half",), error=StorageError("The disk is full.")), Line(("Third.",))]
    session = ScriptedSession(lines)
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hello")
        await pilot.press("f5")
        await wait_until(pilot, lambda: notices(pilot))
        assert "First." in text_of(pilot)
        await wait_until(pilot, lambda: chat_of(pilot).chat.state.can_answer)
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: "Third." in text_of(pilot))
        await wait_until(pilot, lambda: chat_of(pilot).chat.state.can_answer)
        assert "First." not in text_of(pilot)
        assert session.prompts == ["Hello"] * 3


@pytest.mark.parametrize("key", ["f5", "f4"])
async def test_what_takes_the_place_of_a_failed_message_leaves_the_turn_before_it(
    key: str, profile_dir: Path, tiny_checkpoint: Path, transcripts: Transcripts
) -> None:
    app = make_app(real_opener(profile_dir, tiny_checkpoint, transcripts), profile_dir, transcripts=transcripts)
    async with app.run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        chat = chat_of(pilot).chat
        told = await ask(pilot, "My dog is called Rimba.")
        assert told.turn is not None and told.turn.stored
        await say(pilot, "long " * 5000)
        await wait_until(pilot, lambda: notices(pilot) and chat.state.can_answer)
        if key == "f5":
            await pilot.press(key)  # too long, as before
            await wait_until(pilot, lambda: len(notices(pilot)) == 2 and chat.state.can_answer)
        await pilot.press("f4")
        await ask(pilot, "Short.")
        assert shown(list(chat.query(UserMessage))) == ["My dog is called Rimba.", "Short."]
        assert [turn.prompt for turn in transcripts.turns(1)] == ["My dog is called Rimba.", "Short."]
        stored = {each.id for each in told.turn.stored}
        assert chat.host.look(lambda session: session.memory.present(stored)) == stored


@pytest.mark.parametrize("key", ["f5", "f4"])
async def test_what_takes_the_place_of_an_unfinished_turn_leaves_the_one_before_it(
    key: str, profile_dir: Path, tiny_checkpoint: Path, transcripts: Transcripts
) -> None:
    opener = real_opener(profile_dir, tiny_checkpoint, transcripts)
    with opener(lambda *_: None) as session:
        told = session.reply("My dog is called Rimba.")
    transcripts.ask(1, "And now?")  # killed in the middle of the answer
    app = make_app(opener, profile_dir, transcripts=transcripts, resume=1)
    async with app.run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        chat = chat_of(pilot).chat
        assert "not finished" in text_of(pilot)
        await pilot.press(key)
        if key == "f4":
            await pilot.press("enter")
        await wait_until(pilot, lambda: chat.is_idle and transcripts.turns(1)[-1].state == "done")
        await wait_until(pilot, lambda: chat.state.can_answer)
        assert shown(list(chat.query(UserMessage))) == ["My dog is called Rimba.", "And now?"]
        assert "not finished" not in text_of(pilot)
        assert told.turn_id in [turn.id for turn in transcripts.turns(1)]
        stored = {each.id for each in told.stored}
        assert stored
        assert chat.host.look(lambda session: session.memory.present(stored)) == stored


def answered(pilot: Pilot[None], seen: str) -> bool:
    """Whether the turn has ended, and that is on the screen."""
    return seen in text_of(pilot) and chat_of(pilot).chat.state.can_answer


async def test_after_a_failed_second_answer_the_third_takes_the_place_of_the_first(
    profile_dir: Path, transcripts: Transcripts
) -> None:
    lines = [Line(("First.",)), Line(("Half",), error=StorageError("The disk is full.")), Line(("Third.",))]
    session = ScriptedSession([*lines, Line(("Fourth.",))], recording=Recording(transcripts))
    async with make_app(session, profile_dir, transcripts=transcripts).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hello")
        for seen in ("The disk is full.", "Third.", "Fourth."):
            await pilot.press("f5")
            await wait_until(pilot, partial(answered, pilot, seen))
        assert [turn.reply for turn in transcripts.turns(1) if turn.state == "done"] == ["Fourth."]


async def test_while_an_answer_comes_nothing_is_taken_back(profile_dir: Path) -> None:
    session = ScriptedSession([Line(("One.",)), Line(("Two", "…"), hold=threading.Event())])
    async with make_app(session, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "Hello")
        composer(pilot).put("Go on")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "Two" in text_of(pilot))
        for key in ("f5", "f4", "ctrl+n"):
            await pilot.press(key)
            assert "still answering" in toasts(pilot)[-1]
        await pilot.press("escape")
        await wait_for_state(pilot, ChatState.STOPPED)
        assert [answer.text for answer in answers(pilot)] == ["One.", "Two"]


REPLY = "Your dog's name is Rimba."
SOURCES = (
    TokenSources(10, 15, ((7, 0.1),)),
    TokenSources(18, 21, ((7, 0.9), (8, 0.05))),
    TokenSources(21, 24, ((7, 0.7),)),
)


async def test_an_answer_is_opened_to_its_sources_and_those_to_their_record(
    profile_dir: Path, tiny_checkpoint: Path
) -> None:
    opener = real_opener(profile_dir, tiny_checkpoint)
    sessions: list[ChatSession] = []

    def open_session(on_progress: object) -> ChatSession:
        session = opener(lambda what, share: None)
        session.memory.remember("My dog is called Rimba.")
        sessions.append(session)
        return session

    async with make_app(open_session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        known = sessions[0].memory.statements()[0].id
        answer = await ask(pilot, "What is my dog called?")
        assert answer.turn is not None
        sources = tuple(
            TokenSources(each.start, each.end, tuple((known if id_ == 7 else id_, share) for id_, share in each.shares))
            for each in SOURCES
        )
        answer.turn = type(answer.turn)(
            "What?", REPLY, (Recalled(known, "My dog is called Rimba.", 0.9),), sources=sources
        )
        await pilot.press("f9")
        await wait_until(pilot, lambda: screen_is(pilot, SourcesScreen))
        screen = text_of(pilot)
        assert "“Rimba” came from" in screen
        assert "My dog is called Rimba." in screen
        assert "Ri 95%  mba 70%" in screen
        assert "model's own words" in screen
        await pilot.press("left")
        assert "“name” came from" in text_of(pilot)
        await pilot.press("right", "enter")
        await wait_until(pilot, lambda: screen_is(pilot, StatementScreen) and "vectors" in text_of(pilot))
        await pilot.press("escape", "escape")
        await wait_until(pilot, lambda: pilot.app.screen is chat_of(pilot).chat)
        await pilot.press("shift+tab", "enter")
        await wait_until(pilot, lambda: screen_is(pilot, SourcesScreen))


def test_tokens_are_joined_to_words() -> None:
    name, dog = recalled_words(REPLY, SOURCES)
    assert (REPLY[name.start : name.end], REPLY[dog.start : dog.end]) == ("name", "Rimba")
    assert [token.end - token.start for token in dog.tokens] == [2, 3]
    assert dict(dog.shares)[7] == pytest.approx(0.9 * 2 / 5 + 0.7 * 3 / 5)
    assert recalled_words("short", (TokenSources(3, 90, ((1, 0.5),)), TokenSources(1, 4, ((2, 0.5),))))
    assert recalled_words("", SOURCES) == []


async def test_it_is_told_once_that_turns_left_the_window(profile_dir: Path) -> None:
    session = ScriptedSession([Line(("Yes.",), left_window=2)])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        for _ in range(3):
            await ask(pilot, "And now?")
        assert sum("left what the model can read" in line for line in notices(pilot)) == 1
        assert "context 53/512" in status(pilot)
        assert "look-up 0.4 ms" in status(pilot)


async def test_a_long_message_is_unfolded_by_a_click(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "\n".join(f"line {n}" for n in range(60)))
        bubble = chat_of(pilot).chat.query_one(UserMessage)
        assert "36 more lines" in plain(cast("Static", bubble))
        bubble.on_click()
        assert "line 59\n▴ less" in plain(bubble)
        bubble.on_click()
        assert "line 59" not in plain(bubble)


async def test_the_reader_is_not_moved_while_text_comes(profile_dir: Path) -> None:
    gate = threading.Event()
    pieces = ("one\n\n" * 60, "two\n\n" * 60, "three")
    session = ScriptedSession([Line(pieces, hold=gate)])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        conversation = chat_of(pilot).chat.conversation
        composer(pilot).put("Count")
        await pilot.press("enter")
        await wait_until(
            pilot, lambda: conversation.max_scroll_y > 40 and conversation.scroll_y == conversation.max_scroll_y
        )
        await pilot.press("pageup")
        await pilot.pause(0.1)
        place = conversation.scroll_y
        assert place < conversation.max_scroll_y
        gate.set()
        await wait_for_state(pilot, ChatState.READY)
        assert conversation.scroll_y == place
        assert conversation.max_scroll_y > 100
        await command(pilot, "/help")


async def test_words_in_any_script_are_shown(profile_dir: Path) -> None:
    words = "שלום עולם · مرحبا · 犬は元気です · 👩\u200d👩\u200d👧 · café · ไทย"
    session = ScriptedSession([Line((words,))])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        answer = await ask(pilot, words)
        assert answer.text == words
        assert session.prompts == [words]
        assert text_of(pilot).count("犬は元気です") == 2
        assert isinstance(answer, VardaMessage)


async def test_why_tells_what_was_used_and_what_was_not(profile_dir: Path) -> None:
    dog, cat = Recalled(1, "My dog is Rimba.", 0.8), Recalled(2, "My cat is Tom.", 0.3)
    session = ScriptedSession([Line(("Rimba.",), (dog,))], found=[dog, cat])
    async with make_app(session, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, "/why")
        await wait_until(pilot, lambda: toasts(pilot))
        assert "no answer to open" in toasts(pilot)[-1]
        await ask(pilot, "What is my dog called?")
        await command(pilot, "/why")
        await wait_until(pilot, lambda: "LOOKED AT AND NOT USED" in text_of(pilot))
        used, _, unused = text_of(pilot).partition("LOOKED AT")
        assert "80%  My dog is Rimba." in used
        assert "30%  My cat is Tom." in unused
        await pilot.press("escape")
        await pilot.press("shift+tab", "w")
        await wait_until(pilot, lambda: "LOOKED AT AND NOT USED" in text_of(pilot))


async def test_why_scrolls_where_there_is_little_room(profile_dir: Path) -> None:
    recalled = tuple(Recalled(number, f"Memory number {number}.", 0.5) for number in range(5))
    sources = (TokenSources(0, 5, tuple((each.id, 0.1) for each in recalled)),)
    session = ScriptedSession([Line(("Rimba.",), recalled, sources=sources)], found=[Recalled(9, "The last.", 0.1)])
    async with make_app(session, profile_dir).run_test(size=(80, 16)) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "What is my dog called?")
        await command(pilot, "/why")
        await wait_until(pilot, lambda: "“Rimba” came from" in text_of(pilot))
        assert "The last." not in text_of(pilot)
        await pilot.press("end")
        await wait_until(pilot, lambda: "The last." in text_of(pilot))


def words_of(pilot: Pilot[None]) -> str:
    """What stands on a card, in one line."""
    return " ".join(text_of(pilot).replace("│", " ").split())


@pytest.mark.parametrize("size", [(40, 20), (80, 24), WIDE], ids=["narrow", "ordinary", "wide"])
async def test_why_shows_the_answer_without_each_memory(size: tuple[int, int], profile_dir: Path) -> None:
    dog = Recalled(1, "My dog is Rimba.", 0.8)
    whole, other = "Your dog is called Rimba.", "I do not know that."
    masked = (Remembered(1, "My dog is Rimba."),)
    without = [
        Without((), whole),
        Without(masked, other, ((0, len(other)),), ((0, len(whole)),), 6, 6),
        Without((*masked, Remembered(2, "I bake.")), whole, (), (), 6, 0),
    ]
    session = ScriptedSession([Line((whole,), (dog,))], without=without)
    async with make_app(session, profile_dir).run_test(size=size) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "What is my dog called?")
        await command(pilot, "/why")
        await wait_until(pilot, lambda: len(pilot.app.screen.query(Side)) == 2)
        await wait_until(pilot, lambda: "S stop" not in text_of(pilot))  # there is nothing to stop any more
        pilot.app.screen.query_one(WhatIf).scroll_visible(animate=False, top=True)
        await wait_until(pilot, lambda: other in text_of(pilot))
        assert "without “My dog is Rimba.” 6 of 6 tokens differ" in words_of(pilot)
        if size[0] > 64:  # side by side
            assert any(whole in line and other in line for line in text_of(pilot).splitlines())
        pilot.app.screen.query(Side).last().scroll_visible(animate=False)
        await wait_until(pilot, lambda: "without both of them the same answer" in words_of(pilot))


async def test_answering_without_memories_is_stopped_by_a_key_and_by_leaving(profile_dir: Path) -> None:
    session = ScriptedSession()
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "What is my dog called?")
        for key in ("s", "escape"):
            await command(pilot, "/why")
            await wait_until(pilot, lambda: "It is answered again" in text_of(pilot))
            await pilot.press(key)
            if key == "s":
                await wait_until(pilot, lambda: "Stopped." in text_of(pilot))
                await pilot.press("escape")
            await wait_until(pilot, lambda: pilot.app.screen is chat_of(pilot).chat)
        await ask(pilot, "Hello")  # the session is free again
