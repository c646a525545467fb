"""What a turn stored and deleted, under its answer in words, each with its own undo; and what asks before it goes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from textual.events import Paste

from tests.helpers.tui.driver import (
    WIDE,
    answers,
    ask,
    chat_of,
    composer,
    make_app,
    real_opener,
    say,
    screen_is,
    text_of,
    toasts,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.scripted import NOW, Line, ScriptedSession
from varda_chat.memory import MemoryStore
from varda_chat.memory.records import Statement
from varda_chat.session.session import Remembered
from varda_chat.transcripts import Transcripts
from varda_chat.tui.screens import choose
from varda_chat.tui.screens.choose import ConfirmScreen
from varda_chat.tui.screens.help import HelpScreen
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.change_line import ChangeLine

AT_EVERY_WIDTH = pytest.mark.parametrize("size", [(40, 20), (80, 24), WIDE], ids=["narrow", "ordinary", "wide"])


def texts(directory: Path) -> set[str]:
    """The statements in memory, as another process sees them."""
    with MemoryStore.open_records(directory, read_only=True) as store:
        return {each.text for each in store.statements()}


@AT_EVERY_WIDTH
async def test_what_a_turn_deleted_is_under_its_answer_and_can_be_restored(
    size: tuple[int, int], profile_dir: Path
) -> None:
    session = ScriptedSession([Line(("Noted.",), deleted=(Remembered(17, "I bake."),))])
    app = make_app(session, profile_dir)
    async with app.run_test(size=size, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        answer = await ask(pilot, "I work at the observatory now.")
        await wait_until(pilot, lambda: "− “I bake.”  undo" in text_of(pilot))
        answer.focus()
        await pilot.press("u")
        await wait_until(pilot, lambda: toasts(pilot)[-1:] == ["Back in memory: “I bake.”"])
        assert session.events == []
        pilot.app.clear_notifications()
        await wait_until(pilot, lambda: "− “I bake.” restored  redo" in text_of(pilot))


@AT_EVERY_WIDTH
async def test_each_memory_that_a_turn_stored_is_undone_by_itself(
    size: tuple[int, int], profile_dir: Path, tiny_checkpoint: Path, transcripts: Transcripts
) -> None:
    app = make_app(real_opener(profile_dir, tiny_checkpoint, transcripts), profile_dir, transcripts=transcripts)
    async with app.run_test(size=size, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        answer = await ask(pilot, "I live in Lisbon. My dog is Tom.")
        lines = [
            line for line in answer.query(ChangeLine) if line.memory.text in ("I live in Lisbon.", "My dog is Tom.")
        ]
        assert len(lines) == 2
        assert {line.memory.text for line in lines} <= texts(profile_dir)
        lines[0].focus()
        await wait_until(pilot, lambda: "U undo" in text_of(pilot))
        await pilot.press("u")
        await wait_until(pilot, lambda: not lines[0].in_memory)
        assert lines[0].memory.text not in texts(profile_dir)
        assert lines[1].memory.text in texts(profile_dir)
        await wait_until(pilot, lambda: "undone U redo" in " ".join(text_of(pilot).split()))
        await pilot.press("u")
        await wait_until(pilot, lambda: lines[0].in_memory)
        assert lines[0].memory.text in texts(profile_dir)
        pilot.app.clear_notifications()
        await pilot.pause()
        await pilot.click(lines[1])
        await wait_until(pilot, lambda: not lines[1].in_memory)
        assert lines[1].memory.text not in texts(profile_dir)
        await pilot.press("f8")  # the last delete comes back, and the line says so
        await wait_until(pilot, lambda: lines[1].in_memory)


async def test_what_was_undone_and_told_again_is_redone_as_one_memory(
    profile_dir: Path, tiny_checkpoint: Path, transcripts: Transcripts
) -> None:
    app = make_app(real_opener(profile_dir, tiny_checkpoint, transcripts), profile_dir, transcripts=transcripts)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)

        async def tell() -> ChangeLine:
            answer = await ask(pilot, "I live in Lisbon.")
            return next(line for line in answer.query(ChangeLine) if line.memory.text == "I live in Lisbon.")

        first = await tell()
        first.focus()
        await pilot.press("u")
        await wait_until(pilot, lambda: not first.in_memory)
        composer(pilot).focus()
        second = await tell()

        async def press_u(in_memory: bool) -> None:
            first.focus()
            await pilot.press("u")
            await wait_until(pilot, lambda: first.in_memory is second.in_memory is in_memory)
            with MemoryStore.open_records(profile_dir, read_only=True) as store:
                assert [each.text for each in store.statements()].count("I live in Lisbon.") == in_memory

        await press_u(True)
        await press_u(False)  # both lines are of the same memory from here on
        await press_u(True)


async def test_after_a_restart_a_line_knows_what_was_undone(
    profile_dir: Path, tiny_checkpoint: Path, transcripts: Transcripts
) -> None:
    async with make_app(
        real_opener(profile_dir, tiny_checkpoint, transcripts), profile_dir, transcripts=transcripts
    ).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        answer = await ask(pilot, "I live in Lisbon. My dog is Tom.")
        first, second = list(answer.query(ChangeLine))[:2]
        first.focus()
        await pilot.press("u")
        await wait_until(pilot, lambda: not first.in_memory)
    session_id = transcripts.sessions()[0].id
    app = make_app(
        real_opener(profile_dir, tiny_checkpoint, transcripts), profile_dir, transcripts=transcripts, resume=session_id
    )
    async with app.run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        lines = {line.memory.id: line for line in chat_of(pilot).query(ChangeLine)}
        await wait_until(pilot, lambda: not lines[first.memory.id].in_memory)
        assert lines[second.memory.id].in_memory
        assert " undone" in str(lines[first.memory.id].render())


async def test_the_line_under_an_answer_names_the_key_that_undoes(profile_dir: Path) -> None:
    session = ScriptedSession([Line(("Gone.",), deleted=(Remembered(4, "I bake."),)), Line(("Hello.",))])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await ask(pilot, "I no longer bake.")
        await pilot.press("shift+tab")
        await wait_until(pilot, lambda: "U undo" in text_of(pilot))
        await pilot.press("up")
        await wait_until(pilot, lambda: "C copy  U undo" in text_of(pilot))
        composer(pilot).focus()
        await ask(pilot, "Hello")
        await pilot.press("shift+tab")
        await wait_until(pilot, lambda: "C copy" in text_of(pilot))
        assert "U undo" not in text_of(pilot)


async def test_of_what_many_memories_were_deleted_some_are_shown(profile_dir: Path) -> None:
    gone = tuple(Remembered(number, f"Memory {number}.") for number in range(11))
    session = ScriptedSession([Line(("Gone.",), deleted=gone)])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        answer = await ask(pilot, "Forget all of that.")
        await wait_until(pilot, lambda: "and 3 more deleted" in text_of(pilot))
        answer.focus()
        await pilot.press("u")  # more than one: the first is walked to, and nothing is done yet
        assert chat_of(pilot).focused is answer.query(ChangeLine).first()
        assert all(not line.in_memory for line in answer.query(ChangeLine))


GOING = (
    Statement(3, "I bake.", "user", "", NOW, True, 1, 0),
    Statement(4, "I bake bread.", "user", "", NOW, False, 1, 0),
)


@AT_EVERY_WIDTH
async def test_a_turn_that_would_delete_much_asks_first(
    size: tuple[int, int], profile_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = ScriptedSession([Line(("Done.",), asks=GOING)])
    async with make_app(session, profile_dir).run_test(size=size) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "Forget that I bake.")
        await wait_until(pilot, lambda: screen_is(pilot, ConfirmScreen) and "Y forget 2" in text_of(pilot))
        assert "I bake bread." in text_of(pilot)
        assert "pinned" in text_of(pilot)
        monkeypatch.setattr(choose, "QUIET_SECONDS", 60.0)
        await pilot.press("y")  # it opened this moment: that was meant for the message
        assert screen_is(pilot, ConfirmScreen)
        await pilot.press(*"es")
        assert composer(pilot).text == "yes"
        await pilot.press("escape")
        await wait_for_state(pilot, ChatState.READY)
        turn = answers(pilot)[-1].turn
        assert turn is not None and not turn.deleted
        monkeypatch.setattr(choose, "QUIET_SECONDS", 0.0)
        await say(pilot, "Forget that I bake.")
        await wait_until(pilot, lambda: screen_is(pilot, ConfirmScreen) and "Y forget 2" in text_of(pilot))
        await pilot.press("space", "y")  # the first stays
        await wait_until(pilot, lambda: "− “I bake bread.”" in text_of(pilot))
        assert "“I bake.”" not in text_of(pilot)


async def test_what_is_asked_about_goes_by_a_key_that_was_not_written(
    profile_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "QUIET_SECONDS", 60.0)
    session = ScriptedSession([Line(("Done.",), asks=GOING)])
    async with make_app(session, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "Forget that I bake.")
        await wait_until(pilot, lambda: screen_is(pilot, ConfirmScreen))
        await pilot.press("m", "y")
        assert screen_is(pilot, ConfirmScreen)
        monkeypatch.setattr(choose, "QUIET_SECONDS", 0.05)
        await pilot.pause(0.1)
        await pilot.press("y")
        await wait_until(pilot, lambda: "− “I bake bread.”" in text_of(pilot))


async def test_what_is_written_while_it_is_asked_waits_in_the_composer(
    profile_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "QUIET_SECONDS", 60.0)
    session = ScriptedSession([Line(("Done.",), asks=GOING)])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "Forget that I bake.")
        await wait_until(pilot, lambda: screen_is(pilot, ConfirmScreen) and "Y forget 2" in text_of(pilot))
        await pilot.press(*"my key", "x", "backspace", "enter")  # with the dialog's own: y, space and Enter
        assert screen_is(pilot, ConfirmScreen)
        assert "Y forget 2" in text_of(pilot)
        await wait_until(pilot, lambda: "│ my key " in text_of(pilot))
        pilot.app.post_message(Paste(" of\nlife"))
        await wait_until(pilot, lambda: composer(pilot).text == "my key of\nlife")
        await pilot.press("escape")
        await wait_for_state(pilot, ChatState.READY)
        assert composer(pilot).text == "my key of\nlife"
        assert session.prompts == ["Forget that I bake."]


async def test_control_c_stops_what_asks_and_keeps_everything(profile_dir: Path) -> None:
    session = ScriptedSession([Line(("Done.",), asks=GOING)])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "Forget that I bake.")
        await wait_until(pilot, lambda: screen_is(pilot, ConfirmScreen))
        await pilot.press("ctrl+c")
        await wait_for_state(pilot, ChatState.STOPPED)
        assert not screen_is(pilot, ConfirmScreen)
        assert not [each for each in session.events if each.kind == "deleted"]


@pytest.mark.parametrize("help_above", [False, True])
async def test_an_interrupt_from_outside_is_a_no(help_above: bool, profile_dir: Path) -> None:
    session = ScriptedSession([Line(("Done.",), asks=GOING)])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        chat_of(pilot).obey_signals()
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "Forget that I bake.")
        await wait_until(pilot, lambda: screen_is(pilot, ConfirmScreen))
        if help_above:
            await pilot.press("f1")
            await wait_until(pilot, lambda: screen_is(pilot, HelpScreen))
        os.kill(os.getpid(), signal.SIGINT)
        await wait_for_state(pilot, ChatState.STOPPED)
        await wait_until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        assert not screen_is(pilot, ConfirmScreen)
        assert not [each for each in session.events if each.kind == "deleted"]


async def test_leaving_while_it_is_asked_keeps_everything(profile_dir: Path) -> None:
    session = ScriptedSession([Line(("Done.",), asks=GOING)])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await say(pilot, "Forget that I bake.")
        await wait_until(pilot, lambda: screen_is(pilot, ConfirmScreen))
        await pilot.press("ctrl+q")
        await wait_until(pilot, lambda: session.closed)
    assert not [each for each in session.events if each.kind == "deleted"]
