"""The proof of forgetting: answers with and without a memory's ever having been told have the same logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.tiny_chatml import NEVER, ask_from_here_on, chatml_tokenizer, obliging_model
from tests.helpers.tui.driver import (
    WIDE,
    ask,
    command,
    make_app,
    screen_is,
    text_of,
    toasts,
    wait_for_state,
    wait_until,
)
from varda_chat import ChatSession
from varda_chat.config import persona
from varda_chat.config.defaults import GenerationSettings
from varda_chat.memory import MemoryStore
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.session import purging
from varda_chat.session.proof import files_that_hold, lines_of, prove
from varda_chat.tui.screens.choose import ChooseScreen
from varda_chat.tui.screens.proof import ProofScreen
from varda_chat.tui.state import ChatState

CHAT = ChatMLFormat(chatml_tokenizer())
TOLD, ALSO, ASKED = "My dog is called Rimba.", "I live in Lisbon.", "What is my dog called?"


@pytest.fixture(scope="module")
def model() -> Any:
    return obliging_model(CHAT)


@pytest.fixture
def profile_dir(tmp_path: Path) -> Path:
    return tmp_path / "profiles" / "default"


def told(model: Any, directory: Path) -> ChatSession:
    """A session that was told two things and asked for them."""
    ask_from_here_on(model, NEVER)
    store = MemoryStore.open(directory, embedding_dim=model.config.memory_dim, fingerprint="tiny")
    generation = GenerationSettings(temperature=0.0, max_new_tokens=8)
    session = ChatSession(Checkpoint(model, CHAT, "tiny", "tiny"), store, generation=generation)
    session.reply(TOLD)
    session.reply(ALSO)
    ask_from_here_on(model)
    session.reply(ASKED)
    return session


@pytest.fixture
def session(model: Any, profile_dir: Path) -> Iterator[ChatSession]:
    with told(model, profile_dir) as session:
        yield session


def id_of(session: ChatSession, text: str) -> int:
    return next(each.id for each in session.memory.statements() if each.text == text)


def test_what_was_forgotten_has_no_part_in_the_answer(session: ChatSession, profile_dir: Path) -> None:
    session.memory.forget([id_of(session, TOLD)])
    before = session.messages, session.memory.statements(), session.memory.recent(50)
    proof = prove(session, ASKED, [TOLD])
    assert proof.holds
    assert proof.tokens > 1
    assert proof.difference < 1e-4
    assert (session.messages, session.memory.statements(), session.memory.recent(50)) == before
    assert not list(profile_dir.glob(".proof-*"))
    assert session.reply(ASKED).reply == proof.now, "and the session goes on"


def test_a_model_that_decides_after_its_answer_forgets_as_well(profile_dir: Path) -> None:
    with ChatSession.open(profile_dir, "mini", generation=GenerationSettings(temperature=0.0)) as session:
        session.reply("My dog is called Rimba.")
        turn = session.reply("What is my dog called?")
        assert "Rimba" in turn.reply
        gone = session.memory.forget([each.id for each in session.memory.statements()])
        assert session.messages == ()
        proof = prove(session, turn.prompt, [each.text for each in gone])
        assert proof.holds
        assert (proof.difference < 1e-3, proof.left) == (True, 0)


def test_what_is_still_in_memory_is_found_out(session: ChatSession) -> None:
    undone = session.memory.forget([id_of(session, TOLD)])
    session.memory.bring_back(each.id for each in undone)
    session.memory.store.forget([id_of(session, ALSO)])  # behind the session's back: its window still says it
    proof = prove(session, ASKED, [ALSO])
    assert proof.left > 0
    assert not proof.holds
    assert "/new leaves them behind" in lines_of(proof, ())[0]


def test_files_are_searched_by_another_process(session: ChatSession, profile_dir: Path) -> None:
    session.memory.forget([id_of(session, TOLD)])
    assert [each.name for each in files_that_hold(profile_dir, [TOLD]) if each.holds]
    assert not [each.name for each in files_that_hold(profile_dir, ["Never said by anybody."]) if each.holds]


def test_a_purge_takes_the_persona_and_what_a_killed_proof_left(session: ChatSession, profile_dir: Path) -> None:
    persona.keep(profile_dir, "You are as kind as my dog Rimba.")
    left = profile_dir / ".proof-killed"
    left.mkdir()
    (left / "memory.db").write_text(TOLD)
    purging.purge(session.memory.store, [id_of(session, TOLD)], [TOLD, "Rimba"])
    assert not left.exists()
    assert persona.kept(profile_dir) == ""
    assert not [each.name for each in files_that_hold(profile_dir, ["Rimba"]) if each.holds]


async def test_a_key_shows_the_proof(model: Any, profile_dir: Path) -> None:
    def open_session(on_progress: Callable[[str, float], None]) -> ChatSession:
        return told(model, profile_dir)

    async with make_app(open_session, profile_dir).run_test(size=WIDE, notifications=True) as pilot:
        await wait_for_state(pilot, ChatState.READY)
        await pilot.press("alt+p")
        await wait_until(pilot, lambda: toasts(pilot) and "Nothing was forgotten" in toasts(pilot)[-1])
        await ask(pilot, ASKED)
        await command(pilot, "/forget rimba")
        await wait_until(pilot, lambda: screen_is(pilot, ChooseScreen))
        await pilot.press("y")
        await wait_until(pilot, lambda: "shows the proof" in toasts(pilot)[-1])
        await pilot.press("alt+p")
        await wait_until(pilot, lambda: screen_is(pilot, ProofScreen))
        await wait_until(pilot, lambda: "✓ The answer is what it would be" in text_of(pilot))
        assert "logits were compared" in text_of(pilot)
        assert "can still bring it back" in text_of(pilot)


def test_the_search_for_what_was_forgotten_runs_nothing_of_the_directory_it_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mmap.py").write_text("raise SystemExit('taken from the directory')")
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "memory.db").write_text("My PIN is 4711.")
    monkeypatch.chdir(tmp_path)
    assert [(each.name, each.holds) for each in files_that_hold(tmp_path / "profile", ["4711"])] == [
        ("memory.db", True)
    ]
