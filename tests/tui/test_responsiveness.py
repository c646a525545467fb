"""What keeps the chat quick to type in while an answer is written: nothing is painted, made or collected needlessly."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual import events
from textual.app import App, ComposeResult

from tests.helpers.tui.driver import (
    WIDE,
    answers,
    ask,
    chat_of,
    composer,
    make_app,
    text_of,
    wait_for_state,
    wait_until,
)
from tests.helpers.tui.scripted import NOW, Line, ScriptedSession
from varda_chat.session.session import MemoryEvent, Remembered
from varda_chat.tui.controllers.collecting import OVERDUE, WORTH_IT, Collector, loading, starting
from varda_chat.tui.controllers.session_host import DeltaStream
from varda_chat.tui.state import ChatState, Vitals
from varda_chat.tui.widgets.markdown import AnswerMarkdown
from varda_chat.tui.widgets.memory_panel import EventRow

TEXTS = (
    "One line, and a word more.",
    "A paragraph that is long enough to be wrapped at least once at this width, and then at least once again, I hope.",
    "First **bold** and `code`.\n\nThen a second one\nwith two lines.\n\n- a\n- b\n\nAnd an end.",
    "Title\n---\n\n> quoted\n\n```python\nx = 1\n```\nafter\n\n1. one\n2. two",
    "a [link](https://example.org) and <b>no html</b> and [/x]\n\n# Head",
)


async def test_keys_right_after_enter_begin_the_next_message(profile_dir: Path) -> None:
    session = ScriptedSession()
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        composer(pilot).put("hello")
        for key, character in (("enter", "\r"), ("n", "n"), ("o", "o")):
            composer(pilot).post_message(events.Key(key, character))  # as they come over a slow line, all at once
        await wait_until(pilot, lambda: session.prompts)
        assert session.prompts == ["hello"]
        assert composer(pilot).text == "no"


async def test_a_key_is_painted_without_waiting_for_a_frame(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        chat = chat_of(pilot).chat
        chat._update_timer.stop()  # from here on there is no frame
        composer(pilot).post_message(events.Key("z", "z"))
        await wait_until(pilot, lambda: composer(pilot).text == "z" and composer(pilot) not in chat._dirty_widgets)
        assert "│ z" in text_of(pilot)


async def test_a_new_speed_does_not_repaint_the_whole_screen(profile_dir: Path) -> None:
    async with make_app(ScriptedSession(), profile_dir).run_test(size=WIDE) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        chat = chat_of(pilot).chat
        chat.vitals = Vitals(speed=17)
        assert not chat._repaint_required
        await pilot.pause()
        assert "17 tokens/s" in text_of(pilot)


def test_the_speed_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("varda_chat.tui.controllers.session_host.time.monotonic", lambda: now[0])
    posted: list[float] = []
    stream = DeltaStream(lambda delta: posted.append(delta.speed), seconds=0.0)  # type: ignore[attr-defined]
    for _ in range(17):
        stream.write("word ")
        now[0] += 0.125
    assert [speed for speed in posted if speed] == [pytest.approx(8.0)] * 4


class Shown(App[None]):
    """An answer."""

    def compose(self) -> ComposeResult:
        yield AnswerMarkdown()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [1, 7])
async def test_an_answer_in_pieces_looks_as_the_whole_does(text: str, size: int) -> None:
    async def shown(pieces: list[str]) -> str:
        async with Shown().run_test(size=(50, 30)) as pilot:
            answer = pilot.app.query_one(AnswerMarkdown)
            for piece in pieces:
                await answer.append(piece)
                await pilot.pause()
            assert answer.source == text
            return text_of(pilot)

    whole = await shown([text])
    assert await shown([text[i : i + size] for i in range(0, len(text), size)]) == whole


async def test_a_paragraph_that_grows_makes_no_widgets() -> None:
    async with Shown().run_test(size=(50, 30)) as pilot:
        answer = pilot.app.query_one(AnswerMarkdown)
        await answer.append("It began")
        paragraph = answer.children[0]
        for word in (" and", " went", " *on*", " and on" * 20):
            await answer.append(word)
        assert list(answer.children) == [paragraph]
        await pilot.pause()
        assert paragraph.outer_size.height == 4


async def test_rows_of_the_panel_stay_when_new_ones_come(profile_dir: Path) -> None:
    session = ScriptedSession(events=[MemoryEvent("stored", n, f"fact {n}", NOW) for n in (3, 2, 1)])
    async with make_app(session, profile_dir).run_test(size=WIDE) as pilot:
        await wait_until(pilot, lambda: len(chat_of(pilot).chat.query(EventRow)) == 3)
        before = list(chat_of(pilot).chat.query(EventRow))
        session.script = [Line(stored=(Remembered(4, "fact 4"),)), Line(stored=(Remembered(5, "fact 5"),)), Line()]
        await ask(pilot, "one")
        await ask(pilot, "two")
        rows = list(chat_of(pilot).chat.query(EventRow))
        assert [row.event.id for row in rows] == [5, 4, 3, 2, 1]
        assert rows[2:] == before
        assert [row.has_class("-fresh") for row in rows] == [True, False, False, False, False]
        session.events = session.events[1:]  # an undo took the newest back
        await chat_of(pilot).chat.refresh_memory()
        assert [row.event.id for row in chat_of(pilot).chat.query(EventRow)] == [4, 3, 2, 1]
        assert len(answers(pilot)) == 2


@pytest.fixture
def thresholds() -> Iterator[None]:
    """Python's own settings, whatever a test does to them."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("thresholds")
def test_full_collections_wait_for_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, collected = [0], []
    monkeypatch.setattr("varda_chat.tui.controllers.collecting.gc.get_count", lambda: (0, 0, counted[0]))
    monkeypatch.setattr("varda_chat.tui.controllers.collecting.gc.collect", lambda: collected.append(counted[0]))
    collector = Collector()
    before = gc.get_threshold()
    collector.start()
    assert gc.get_threshold() != before
    for counted[0] in range(OVERDUE + 1):
        collector.look(busy=True)
    assert collected == [OVERDUE]
    counted[0] = WORTH_IT
    collector.touch()
    assert not collector.look(busy=False)
    assert Collector().look(busy=False)
    collector.stop()
    assert gc.get_threshold() == before


def test_what_was_loaded_is_set_apart_once() -> None:
    gc.unfreeze()
    with starting():
        assert not gc.isenabled()
        with loading():
            assert not gc.isenabled()
        assert gc.isenabled()
    frozen = gc.get_freeze_count()
    kept = [[n] for n in range(1000)]
    with loading():
        assert gc.isenabled()
    assert 0 < gc.get_freeze_count() <= frozen
    assert gc.isenabled() and kept
