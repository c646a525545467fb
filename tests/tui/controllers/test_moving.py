"""Other profiles and other models, in the running app: closed cleanly, opened, and back where that fails."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.helpers.tiny_gpt2 import tiny_model
from tests.helpers.tui.driver import (
    WIDE,
    answers,
    ask,
    chat_of,
    command,
    notices,
    say,
    screen_is,
    status,
    text_of,
    toasts,
    wait_until,
)
from tests.helpers.tui.scripted import Line, ScriptedSession
from varda_chat.config.defaults import GenerationSettings
from varda_chat.models import catalog
from varda_chat.models.chat_format import ChatFormat
from varda_chat.session.request import Request
from varda_chat.session.session import ChatSession
from varda_chat.storage.locks import take_lock
from varda_chat.tui.app import VardaApp
from varda_chat.tui.screens.choose import ChooseScreen
from varda_chat.tui.screens.picking import ModelsScreen, ProfilesScreen
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.welcome import Welcome

DOG = "My dog is called Rimba."


@pytest.fixture
def request_(tmp_path: Path, tiny_checkpoint: Path) -> Request:
    return Request(
        data_dir=tmp_path, checkpoint=str(tiny_checkpoint), generation=GenerationSettings(0.0, max_new_tokens=4)
    )


@pytest.fixture
def other_checkpoint(tiny_checkpoint: Path, chat_format: ChatFormat, tmp_path: Path) -> Path:
    """Another model with the same tokenizer."""
    import torch

    from training.run import export

    directory = tmp_path / "checkpoints" / "other"
    shutil.copytree(tiny_checkpoint, directory)
    model = tiny_model(chat_format)
    with torch.no_grad():
        model.transformer.wte.weight.mul_(1.01)
    export(model, directory)
    return directory


@contextmanager
def app_for(request: Request) -> Iterator[VardaApp]:
    app = VardaApp(request, transcripts=request.transcripts())
    yield app
    if app.chat.transcripts is not None:
        app.chat.transcripts.close()


async def ready(pilot: Pilot[None], profile: str = "default") -> None:
    chat = chat_of(pilot).chat
    await wait_until(pilot, lambda: chat.state is ChatState.READY and chat.details.profile == profile)


def told(request: Request, text: str = DOG) -> None:
    with request.open() as session:
        session.memory.remember(text)


async def test_another_profile_has_its_own_memory_and_history(request_: Request, tmp_path: Path) -> None:
    told(request_)
    with app_for(request_) as app:
        async with app.run_test(size=WIDE, notifications=True) as pilot:
            await ready(pilot)
            await ask(pilot, "Hello!")
            known = app.chat.memory.size
            assert known > 0
            await command(pilot, "/profile work")
            await ready(pilot, "work")
            assert answers(pilot) == []
            assert app.chat.query_one(Welcome).has_class("-first-run")
            assert app.chat.memory.size == 0
            assert "profile work" in status(pilot)
            take_lock(tmp_path / "profiles" / "default").release()  # the other memory is closed
            await ask(pilot, "I live in Lisbon.")
            await pilot.press("up")
            assert app.chat.composer.text == "I live in Lisbon."
            app.chat.composer.clear()
            await command(pilot, "/profile default")
            await ready(pilot)
            assert app.chat.memory.size == known
            assert not app.chat.query_one(Welcome).has_class("-first-run")
    with Request("work", tmp_path).transcripts() as transcripts:
        assert [info.turns for info in transcripts.sessions()] == [1]


async def test_what_failed_and_what_was_forgotten_stay_in_their_profile(request_: Request) -> None:
    told(request_)
    with app_for(request_) as app:
        async with app.run_test(size=WIDE, notifications=True) as pilot:
            await ready(pilot)
            await command(pilot, "/forget rimba")
            await wait_until(pilot, lambda: screen_is(pilot, ChooseScreen))
            await pilot.press("y")
            await wait_until(pilot, lambda: toasts(pilot) and "Forgotten" in toasts(pilot)[-1])
            await say(pilot, "private " * 5000)
            await wait_until(pilot, lambda: any("Ctrl+R tries again" in line for line in notices(pilot)))
            await command(pilot, "/profile work")
            await ready(pilot, "work")
            await pilot.press("ctrl+r")
            await wait_until(pilot, lambda: "There is nothing to try again." in toasts(pilot))
            await pilot.press("alt+p")
            await wait_until(pilot, lambda: "Nothing was forgotten in this session yet." in toasts(pilot))


async def test_a_size_that_was_asked_for_one_memory_shrinks_no_other(request_: Request) -> None:
    told(replace(request_, profile="work"))
    with app_for(replace(request_, memory_size=2)) as app:
        async with app.run_test(size=WIDE) as pilot:
            await ready(pilot)
            assert app.chat.host.look(lambda session: session.memory.capacity) == 2
            await command(pilot, "/profile work")
            await ready(pilot, "work")
            assert app.chat.host.look(lambda session: session.memory.capacity) > 2


async def test_the_list_of_profiles(request_: Request) -> None:
    told(request_)
    with app_for(request_) as app:
        async with app.run_test(size=WIDE, notifications=True) as pilot:
            await ready(pilot)
            await command(pilot, "/profile")
            await wait_until(pilot, lambda: screen_is(pilot, ProfilesScreen))
            await wait_until(pilot, lambda: "● default" in text_of(pilot))
            assert "1 memory " in text_of(pilot)
            written = app.screen.query_one(Input)
            written.value = "../out"
            await pilot.pause()
            assert "New profile ../out" in text_of(pilot)
            await pilot.press("enter")
            await wait_until(pilot, lambda: toasts(pilot))
            assert "not a profile name" in toasts(pilot)[-1]
            written.value = "work"
            await pilot.pause()
            await pilot.press("down", "up", "enter")
            await ready(pilot, "work")


async def test_a_profile_in_use_gets_one_line_and_nothing_is_closed(request_: Request, tmp_path: Path) -> None:
    with ChatSession.open(tmp_path / "profiles" / "busy", request_.checkpoint), app_for(request_) as app:
        async with app.run_test(size=WIDE, notifications=True) as pilot:
            await ready(pilot)
            await ask(pilot, "Hello!")
            await command(pilot, "/profile busy")
            await wait_until(pilot, lambda: toasts(pilot))
            assert "Another varda-chat is using this memory" in toasts(pilot)[-1]
            assert app.chat.details.profile == "default"
            await ask(pilot, "Are you there?")
            assert len(answers(pilot)) == 2


@pytest.mark.parametrize("way", ["flag", "command"])
async def test_incognito_is_kept(way: str, request_: Request, tmp_path: Path) -> None:
    request = Request(request_.profile, tmp_path, request_.checkpoint, way == "flag", request_.generation)
    with app_for(request) as app:
        async with app.run_test(size=WIDE) as pilot:
            await ready(pilot)
            if way == "command":
                await command(pilot, "/incognito")
                await wait_until(pilot, lambda: app.chat.details.incognito)
            await command(pilot, "/profile work")
            await ready(pilot, "work")
            assert app.chat.details.incognito
            await ask(pilot, DOG)
            assert app.chat.memory.size == 0
            if way == "flag":
                assert not (tmp_path / "profiles" / "work").exists()
            if way == "command":
                await command(pilot, "/incognito")
                await wait_until(pilot, lambda: not app.chat.details.incognito)
                assert app.chat.transcripts is not None
                assert app.chat.transcripts.sessions() == ()
                await ask(pilot, DOG)
                assert app.chat.memory.size > 0


async def test_incognito_from_the_start_is_ended(request_: Request, tmp_path: Path) -> None:
    directory = tmp_path / "profiles" / "default"
    told(request_)
    with request_.transcripts() as transcripts:
        transcripts.ask(transcripts.begin("Earlier"), "Earlier")
    with app_for(Request("default", tmp_path, request_.checkpoint, True, request_.generation)) as app:
        async with app.run_test(size=WIDE, notifications=True) as pilot:
            await ready(pilot)
            await ask(pilot, "I live in Quetzaltenango.")
            with take_lock(directory):
                await command(pilot, "/incognito")
                await wait_until(pilot, lambda: toasts(pilot))
                assert "Another varda-chat is using this memory" in toasts(pilot)[-1]
            assert "incognito" in status(pilot)
            assert "I recall, but store nothing" in text_of(pilot)
            await command(pilot, "/incognito")
            await wait_until(pilot, lambda: "incognito" not in status(pilot))
            assert "read-only" not in status(pilot)
            assert "I recall, but store nothing" not in text_of(pilot)
            assert app.chat.session_name == ""
            await ask(pilot, "I'm fine.")
            assert len(answers(pilot)) == 2, "what was said before is still there"
            await command(pilot, "/remember I sing in a choir.")
            await wait_until(pilot, lambda: "I sing in a choir." in toasts(pilot)[-1])
            await command(pilot, "/profile work")
            await ready(pilot, "work")
            assert "incognito" not in status(pilot)
    with request_.transcripts() as transcripts:
        assert [turn.prompt for turn in transcripts.turns(2)] == ["I'm fine."]
        assert [info.turns for info in transcripts.sessions()] == [1, 1]
    assert not any(b"uetzal" in file.read_bytes() for file in directory.iterdir() if file.is_file())
    with request_.open() as session:
        assert "I sing in a choir." in [each.text for each in session.memory.statements()]


async def test_another_model_reads_the_memory_and_goes_on(
    request_: Request, other_checkpoint: Path, tmp_path: Path
) -> None:
    told(request_)
    with app_for(request_) as app:
        async with app.run_test(size=WIDE) as pilot:
            await ready(pilot)
            await ask(pilot, "Hello!")
            before, session_id = app.chat.host.look(lambda s: s.checkpoint.fingerprint), app.chat.host.session_id
            await command(pilot, "/model")
            await wait_until(pilot, lambda: screen_is(pilot, ModelsScreen))
            await wait_until(pilot, lambda: "mini" in text_of(pilot))
            assert "6.5M parameters" in text_of(pilot)
            await wait_until(pilot, lambda: f"fingerprint {before}" in text_of(pilot))
            app.screen.query_one(Input).value = "other"
            other = catalog.fingerprint(catalog.look(str(other_checkpoint)))
            assert other != before
            await wait_until(pilot, lambda: f"fingerprint {other}" in text_of(pilot))
            await pilot.press("enter")
            await wait_until(pilot, lambda: app.chat.details.model_name == "other")
            await ready(pilot)
            assert app.chat.host.look(lambda s: s.checkpoint.fingerprint) == other
            assert app.chat.host.session_id == session_id
            assert app.chat.memory.size > 0
            assert "From here on another model answers: other." in notices(pilot)
            await ask(pilot, "What is my dog called?")
            assert len(answers(pilot)) == 2
    assert catalog.known(tmp_path)[2].source == str(other_checkpoint)
    assert (tmp_path / "models-used.json").exists()


async def test_an_answer_that_was_not_saved_takes_no_saved_one_with_it(
    request_: Request, other_checkpoint: Path
) -> None:
    """The other model resumes the session as it was saved: its last turn is not the last that is shown."""
    with app_for(request_) as app:
        async with app.run_test(size=WIDE) as pilot:
            await ready(pilot)
            told = await ask(pilot, DOG)
            await command(pilot, "/incognito")
            await wait_until(pilot, lambda: app.chat.details.incognito)
            await ask(pilot, "What is a fjord?")
            await command(pilot, "/incognito")
            await wait_until(pilot, lambda: not app.chat.details.incognito)
            await command(pilot, f"/model {other_checkpoint}")
            await wait_until(pilot, lambda: app.chat.details.model_name == "other")
            await ready(pilot)
            await pilot.press("f5")
            transcripts = app.chat.transcripts
            assert transcripts is not None
            await wait_until(pilot, lambda: app.chat.is_idle and transcripts.turns(1)[-1].prompt == "What is a fjord?")
            assert next(turn.id for turn in transcripts.turns(1)) == told.turn_id


@pytest.mark.parametrize("where", ["/nowhere/at/all", "broken"])
async def test_a_model_that_cannot_be_loaded_leaves_all_as_it_was(
    where: str, request_: Request, tmp_path: Path
) -> None:
    if where == "broken":
        where = str(tmp_path / "broken")
        shutil.copytree(request_.checkpoint or "", where)
        (Path(where) / "model.safetensors").write_bytes(b"no weights")
    told(request_)
    with app_for(request_) as app:
        async with app.run_test(size=WIDE) as pilot:
            await ready(pilot)
            await ask(pilot, "Hello!")
            known = app.chat.memory.size
            await command(pilot, f"/model {where}")
            await wait_until(pilot, lambda: any("as it was before" in line for line in notices(pilot)))
            await ready(pilot)
            assert app.chat.request == request_
            assert app.chat.memory.size == known
            await ask(pilot, "Are you there?")
            assert len(answers(pilot)) == 2


async def test_one_does_not_move_while_a_model_loads_or_an_answer_is_written(request_: Request) -> None:
    loading, writing = threading.Event(), threading.Event()

    def open_session(on_progress: Callable[[str, float], None]) -> ChatSession:
        loading.wait(20)
        return cast("ChatSession", ScriptedSession([Line(("So far", "…"), hold=writing)]))

    async with VardaApp(request_, open_session).run_test(size=WIDE, notifications=True) as pilot:
        await command(pilot, "/profile work")
        await wait_until(pilot, lambda: toasts(pilot))
        assert "still loading" in toasts(pilot)[-1]
        loading.set()
        await ready(pilot)
        await say(pilot, "Tell me a story")
        await wait_until(pilot, lambda: "So far" in text_of(pilot))
        await command(pilot, "/model")
        await wait_until(pilot, lambda: screen_is(pilot, ModelsScreen))
        await pilot.press(*"/x", "enter")
        await wait_until(pilot, lambda: len(toasts(pilot)) == 2)
        assert "still answering" in toasts(pilot)[-1]
        writing.set()
