"""What a person does to the memory from the chat: remember, forget, pin, undo, look at a record, go incognito."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.helpers.tui.driver import (
    WIDE,
    ask,
    chat_of,
    command,
    make_app,
    notices,
    real_opener,
    screen_is,
    status,
    text_of,
    toasts,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.memories import lived_in, told
from tests.helpers.tui.scripted import NOW, ScriptedSession
from varda_chat.memory import MemoryStore, TurnChanges
from varda_chat.session.session import ChatSession, MemoryEvent
from varda_chat.transcripts import Transcripts
from varda_chat.tui.controllers.history import FILE_NAME
from varda_chat.tui.formatting import duration, spark
from varda_chat.tui.screens.choose import ChooseScreen
from varda_chat.tui.screens.statement import StatementScreen
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.memory_panel import EventRow, History


def texts(directory: Path) -> set[str]:
    """The statements in memory, as another process sees them."""
    with MemoryStore.open_records(directory, read_only=True) as store:
        return {each.text for each in store.statements()}


async def test_remember_forget_undo_and_pin(profile_dir: Path, tiny_checkpoint: Path) -> None:
    app = make_app(real_opener(profile_dir, tiny_checkpoint), profile_dir)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, "/undo")
        await wait_until(pilot, lambda: toasts(pilot) and toasts(pilot)[-1] == "There is nothing to undo.")
        await command(pilot, "/remember My [/x] dog is called Rimba. I live in Lisbon.")
        await wait_until(pilot, lambda: "Stored: “My [/x] dog is called Rimba.” “I live" in toasts(pilot)[-1])
        await wait_until(pilot, lambda: len(chat_of(pilot).chat.query(EventRow)) == 2)
        await command(pilot, "/remember i live in lisbon")
        await wait_until(pilot, lambda: toasts(pilot)[-1] == "That is known already.")

        await command(pilot, "/forget RIMBA")
        await wait_until(pilot, lambda: screen_is(pilot, ChooseScreen) and "Y forget 1" in text_of(pilot))
        assert "dog is called Rimba" in text_of(pilot)
        await pilot.press("escape")
        await wait_until(pilot, lambda: not screen_is(pilot, ChooseScreen))
        assert len(texts(profile_dir)) == 2
        await command(pilot, "/forget RIMBA")
        await wait_until(pilot, lambda: screen_is(pilot, ChooseScreen))
        await pilot.press("enter", "y")  # Enter only takes the mark away
        await wait_until(pilot, lambda: not screen_is(pilot, ChooseScreen))
        assert len(texts(profile_dir)) == 2
        await command(pilot, "/forget RIMBA")
        await wait_until(pilot, lambda: screen_is(pilot, ChooseScreen))
        await pilot.press("y")
        await wait_until(pilot, lambda: "Forgotten: “My [/x] dog" in toasts(pilot)[-1])
        assert texts(profile_dir) == {"I live in Lisbon."}
        await pilot.press("f8")
        await wait_until(pilot, lambda: "Back in memory: “My [/x] dog" in toasts(pilot)[-1])
        assert len(texts(profile_dir)) == 2

        await command(pilot, "/pin lisbon")
        await wait_until(pilot, lambda: screen_is(pilot, ChooseScreen))
        await pilot.press("enter")  # what holds the words is marked
        await wait_until(pilot, lambda: toasts(pilot)[-1] == "Pinned now: 1.")
        with MemoryStore.open_records(profile_dir, read_only=True) as store:
            assert [each.text for each in store.statements() if each.pinned] == ["I live in Lisbon."]


async def test_store_and_delete_of_one_turn_are_undone_one_by_one(profile_dir: Path, tiny_checkpoint: Path) -> None:
    with real_opener(profile_dir, tiny_checkpoint)(lambda *_: None) as session:
        (old,) = session.memory.remember("My dog is called Rimba.").stored
        new = session.memory.would_learn("user", "My dog is called Max.", memory=True)
        session.memory.store.apply(TurnChanges(new, frozenset([old.id])), session="1")  # as a turn that corrects does
    app = make_app(real_opener(profile_dir, tiny_checkpoint), profile_dir)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press("f8")
        await wait_until(
            pilot, lambda: toasts(pilot) and "Back in memory: “My dog is called Rimba.”" in toasts(pilot)[-1]
        )
        assert "Undo once more to delete what the same turn stored: “My dog is called Max.”" in toasts(pilot)[-1]
        assert texts(profile_dir) == {"My dog is called Rimba.", "My dog is called Max."}
        await pilot.press("f8")
        await wait_until(pilot, lambda: "Deleted again: “My dog is called Max.”" in toasts(pilot)[-1])
        assert texts(profile_dir) == {"My dog is called Rimba."}


async def test_a_row_of_the_panel_opens_the_whole_record(profile_dir: Path, tiny_checkpoint: Path) -> None:
    long = "I " + "really " * 60 + "live in Lisbon."
    app = make_app(real_opener(profile_dir, tiny_checkpoint), profile_dir)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, f"/remember {long}")
        await wait_until(pilot, lambda: chat_of(pilot).chat.query(EventRow))
        row = chat_of(pilot).chat.query(EventRow).first()
        assert str(row.tooltip) == long
        await pilot.press("tab")
        assert pilot.app.focused is row
        await pilot.press("enter")
        await wait_until(pilot, lambda: screen_is(pilot, StatementScreen) and "vectors" in text_of(pilot))
        assert long.split("really ")[-1] in text_of(pilot)
        assert "said by   you" in text_of(pilot)
        await pilot.press("p")
        await wait_until(pilot, lambda: "yes: it is never dropped" in text_of(pilot))
        await pilot.press("f")
        await wait_until(pilot, lambda: "U brings it back" in text_of(pilot) and texts(profile_dir) == set())
        await pilot.press("u")
        await wait_until(pilot, lambda: "never dropped" in text_of(pilot) and texts(profile_dir) == {long})
        await pilot.press("escape")
        await wait_until(pilot, lambda: len(chat_of(pilot).chat.query(EventRow)) == 3)
        pilot.app.clear_notifications()  # they lie over the rows for a while
        await wait_until(pilot, lambda: not pilot.app.screen.query("Toast"))
        await pilot.click(chat_of(pilot).chat.query(EventRow).first())
        await wait_until(pilot, lambda: screen_is(pilot, StatementScreen))


async def test_a_record_that_comes_back_is_the_one_told_again_since(
    profile_dir: Path, tiny_checkpoint: Path, fingerprint: str
) -> None:
    lived_in(profile_dir, fingerprint, [told("I live in Lisbon.", 1)])  # pinned
    with MemoryStore.open_records(profile_dir) as store:
        store.forget([1])
    app = make_app(real_opener(profile_dir, tiny_checkpoint), profile_dir)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, "/remember I live in Lisbon.")
        await wait_until(pilot, lambda: toasts(pilot) and "Stored:" in toasts(pilot)[-1])
        chat_of(pilot).chat.memories.open_statement(1, "I live in Lisbon.")
        await wait_until(pilot, lambda: screen_is(pilot, StatementScreen) and "U brings it back" in text_of(pilot))
        await pilot.press("u")
        await wait_until(pilot, lambda: "yes: it is never dropped" in text_of(pilot))
        with MemoryStore.open_records(profile_dir, read_only=True) as store:
            assert [(each.id, each.pinned) for each in store.statements()] == [(2, True)]


async def test_incognito_is_entered_and_left(
    profile_dir: Path, tiny_checkpoint: Path, transcripts: Transcripts
) -> None:
    app = make_app(real_opener(profile_dir, tiny_checkpoint, transcripts), profile_dir, transcripts=transcripts)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, "/incognito")
        await wait_until(pilot, lambda: "incognito" in status(pilot))
        assert "store nothing" in notices(pilot)[-1]
        await ask(pilot, "I live in Quetzaltenango.")
        await command(pilot, "/remember Quetzaltenango is nice.")
        await wait_until(pilot, lambda: toasts(pilot) and "incognito" in toasts(pilot)[-1])
        await command(pilot, "/incognito")
        await wait_until(pilot, lambda: "incognito" not in status(pilot))
        await ask(pilot, "I'm fine.")
        assert [turn.prompt for turn in transcripts.turns(1)] == ["I'm fine."]
        assert "Quetzal" not in (profile_dir / FILE_NAME).read_text("utf-8")
    assert not any(b"uetzal" in file.read_bytes() for file in profile_dir.iterdir() if file.is_file())


async def test_the_memorys_history_is_a_sparkline(profile_dir: Path, transcripts: Transcripts) -> None:
    session = transcripts.begin("x")
    for size in (0, 10, 20, 40):
        transcripts.answer(transcripts.ask(session, "x"), "y", "done", {"memory_size": size})
    scripted = ScriptedSession(memory_size=40, events=[MemoryEvent("stored", 1, "x", NOW)])
    scripted.recording.transcripts = transcripts
    async with make_app(scripted, profile_dir, transcripts=transcripts).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        history = chat_of(pilot).chat.query_one(History)
        await wait_until(pilot, lambda: history.render().plain == "▁▃▅█ 4 turns")


def test_sparks_and_durations() -> None:
    assert spark([1, 1]) == "▁▁"
    assert spark(list(range(8))) == "▁▂▃▄▅▆▇█"
    assert [duration(seconds) for seconds in (0.0004, 0.012, 1.26)] == ["0.4 ms", "12 ms", "1.3 s"]


async def test_commands_wait_in_sight_while_the_model_loads(profile_dir: Path, tiny_checkpoint: Path) -> None:
    gate, opens = threading.Event(), real_opener(profile_dir, tiny_checkpoint)

    def open_slowly(on_progress: Callable[[str, float], None]) -> ChatSession:
        assert gate.wait(20)
        return opens(on_progress)

    async with make_app(open_slowly, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await command(pilot, "/remember My dog is called Rimba.")
        await command(pilot, "/pin Rimba")
        await command(pilot, "/forget Rimba")
        await wait_until(pilot, lambda: text_of(pilot).count("… waits for the model") == 3)
        assert "3 waiting" in status(pilot)
        await pilot.press(*"yes")
        gate.set()
        await wait_until(pilot, lambda: "… waits for what you are writing" in text_of(pilot))
        assert not screen_is(pilot, ChooseScreen)  # "y" would forget
        await wait_until(pilot, lambda: texts(profile_dir) == {"My dog is called Rimba."})
        await pilot.press(*["backspace"] * 3)
        await wait_until(pilot, lambda: screen_is(pilot, ChooseScreen) and "pin 1" in text_of(pilot))
        await pilot.press("escape")  # one dialog after the other
        await wait_until(pilot, lambda: screen_is(pilot, ChooseScreen) and "Y forget 1" in text_of(pilot))
        await pilot.press("y")
        await wait_until(pilot, lambda: texts(profile_dir) == set())
        assert "waits for" not in text_of(pilot)


async def test_all_that_holds_the_words_is_forgotten(
    profile_dir: Path, tiny_checkpoint: Path, fingerprint: str
) -> None:
    said = [told(f"Anna has {number} cousins.", number) for number in range(30)]
    lived_in(profile_dir, fingerprint, [*said, told("I live in Lisbon.", 1)])
    app = make_app(real_opener(profile_dir, tiny_checkpoint), profile_dir)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, "/forget anna")
        await wait_until(pilot, lambda: screen_is(pilot, ChooseScreen) and "Y forget 30" in text_of(pilot))
        assert "Anna has 0 cousins." not in text_of(pilot)
        await pilot.press("end")  # the oldest are further down
        await wait_until(pilot, lambda: "[x] Anna has 0 cousins." in text_of(pilot))
        await pilot.press("y")
        await wait_until(pilot, lambda: toasts(pilot) and "and 27 more." in toasts(pilot)[-1])
        assert texts(profile_dir) == {"I live in Lisbon."}


async def test_all_that_is_pinned_is_shown_and_counted(
    profile_dir: Path, tiny_checkpoint: Path, fingerprint: str
) -> None:
    said = [replace(told(f"I have {number} plants.", number), pinned=number < 3) for number in range(30)]
    lived_in(profile_dir, fingerprint, said)
    app = make_app(real_opener(profile_dir, tiny_checkpoint), profile_dir)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, "/pin")
        await wait_until(pilot, lambda: screen_is(pilot, ChooseScreen) and "pin 3" in text_of(pilot))
        await pilot.press("down", "down", "space", "enter")  # what is pinned comes first
        await wait_until(pilot, lambda: toasts(pilot) == ["Pinned now: 2."])
        await command(pilot, "/pin 29 plants")
        await wait_until(pilot, lambda: screen_is(pilot, ChooseScreen) and "[x] I have 29" in text_of(pilot))
        await pilot.press("enter")
        await wait_until(pilot, lambda: toasts(pilot)[-1] == "Pinned now: 3.")
        with MemoryStore.open_records(profile_dir, read_only=True) as store:
            assert [each.text for each in store.statements() if each.pinned] == [
                f"I have {number} plants." for number in (29, 2, 1)
            ]


async def test_pinning_what_is_in_no_memory_says_so(profile_dir: Path, tiny_checkpoint: Path) -> None:
    app = make_app(real_opener(profile_dir, tiny_checkpoint), profile_dir)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await command(pilot, "/pin")
        await wait_until(pilot, lambda: toasts(pilot) == ["There is nothing in memory to pin."])
        await command(pilot, "/pin [/x] zebras")
        await wait_until(pilot, lambda: toasts(pilot)[-1] == "Nothing in memory is like '[/x] zebras'.")
        assert not screen_is(pilot, ChooseScreen)
