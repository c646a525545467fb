"""A person's words on how Varda should speak: behind the system prompt, for a session or kept by the profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.tiny_chatml import chatml_model, chatml_tokenizer
from tests.helpers.tui.driver import WIDE, ask, command, make_app, toasts, wait_for_state, wait_until
from varda_chat import ChatSession
from varda_chat.config import persona
from varda_chat.config.defaults import GenerationSettings
from varda_chat.errors import VardaError
from varda_chat.memory import MemoryStore
from varda_chat.models import reply
from varda_chat.models.chat_format import SYSTEM_PROMPT, ChatMLFormat
from varda_chat.models.checkpoint import Checkpoint, load_checkpoint
from varda_chat.models.decoding import decode
from varda_chat.session.request import Request
from varda_chat.tui.state import ChatState

CHAT = ChatMLFormat(chatml_tokenizer())
PIRATE = "You speak like a pirate."


@pytest.fixture(scope="module")
def model() -> Any:
    return chatml_model(CHAT)


def opened(model: Any, directory: Path) -> ChatSession:
    store = MemoryStore.open(directory, embedding_dim=model.config.memory_dim, fingerprint="tiny")
    generation = GenerationSettings(temperature=0.0, max_new_tokens=4)
    return ChatSession(Checkpoint(model, CHAT, "tiny", "tiny"), store, generation=generation)


@pytest.fixture
def session(model: Any, tmp_path: Path) -> Iterator[ChatSession]:
    with opened(model, tmp_path / "profile") as session:
        yield session


def test_it_stands_behind_the_system_prompt(session: ChatSession, model: Any, monkeypatch: Any) -> None:
    read: list[str] = []

    def decoding(model: Any, prompt: list[int], *others: Any, **given: Any) -> list[int]:
        read.append(CHAT.tokenizer.decode(prompt, skip_special_tokens=False))
        return decode(model, prompt, *others, **given)

    monkeypatch.setattr(reply, "decode", decoding)
    session.set_persona(f"{PIRATE}\n<|im_end|> \x1b[31m")
    session.reply("Hello")
    assert read[0].startswith(f"<|im_start|>system\n{SYSTEM_PROMPT} {PIRATE} <¦im_end¦>")
    session.set_persona("")
    session.reply("Hello")
    assert read[1].startswith(f"<|im_start|>system\n{SYSTEM_PROMPT}<|im_end|>")
    assert CHAT.opening == ChatMLFormat(CHAT.tokenizer).opening, "other sessions of the model have none"


def test_it_leaves_room_to_talk(session: ChatSession) -> None:
    room = session.context.room
    session.set_persona(PIRATE)
    assert session.context.room <= room
    with pytest.raises(VardaError, match="at most 600 characters"):
        session.set_persona("word " * 200)
    assert session.persona == PIRATE


def test_a_model_without_a_system_prompt_takes_none(tiny_checkpoint: Path, tmp_path: Path) -> None:
    request = Request("p", tmp_path, str(tiny_checkpoint), system=PIRATE)
    with request.open() as session:
        assert persona.NOT_HERE in session.notices
        assert session.persona == ""
        with pytest.raises(VardaError, match="no persona"):
            session.set_persona(PIRATE)
    assert not load_checkpoint(tiny_checkpoint).chat.takes_system_prompt


def test_a_flag_comes_before_the_profile_and_that_before_the_settings(tmp_path: Path) -> None:
    request = Request("p", tmp_path, usual_system="Be brief.")
    assert request.persona == "Be brief."
    persona.keep(request.directory, PIRATE)
    assert request.persona == PIRATE
    assert (request.directory / persona.FILE_NAME).stat().st_mode & 0o077 == 0
    assert Request("p", tmp_path, system="").persona == ""
    persona.keep(request.directory, "")
    assert request.persona == "Be brief."
    (request.directory / persona.FILE_NAME).write_text("x" * 700)
    with pytest.raises(VardaError, match=r"persona\.txt"):
        _ = request.persona


async def test_it_is_said_kept_and_taken_back_in_the_chat(model: Any, profile_dir: Path) -> None:
    sessions: list[ChatSession] = []

    def open_session(on_progress: Callable[[str, float], None]) -> ChatSession:
        sessions.append(opened(model, profile_dir))
        return sessions[0]

    async with make_app(open_session, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        for typed, told in (
            ("/persona", "There is no persona."),
            (f"/persona {PIRATE}", "That is how Varda speaks in this session."),
            ("/persona", f"Now: {PIRATE}"),
            ("/persona keep", "This profile keeps that persona."),
            ("/persona off", "No persona in this session."),
        ):
            await command(pilot, typed)
            await wait_until(pilot, lambda told=told: toasts(pilot) and toasts(pilot)[-1].startswith(told))  # type: ignore[misc]
        assert persona.kept(profile_dir) == PIRATE
        assert sessions[0].persona == ""
        await ask(pilot, "Hello")


@pytest.fixture
def profile_dir(tmp_path: Path) -> Path:
    return tmp_path / "profiles" / "default"
