"""A session and its transcript, on a real tiny model: what is written when, resumed, answered again, taken back."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from varda_chat import ChatSession
from varda_chat.config.defaults import GenerationSettings
from varda_chat.errors import MemoryLockedError, StorageError, VardaError
from varda_chat.memory.maintenance import reset
from varda_chat.session.turn import Remembered, Turn
from varda_chat.transcripts import StoredTurn, Transcripts

GREEDY = GenerationSettings(temperature=0.0, max_new_tokens=8)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "profile"


@pytest.fixture
def transcripts(directory: Path) -> Iterator[Transcripts]:
    with Transcripts.open(directory) as transcripts:
        yield transcripts


@pytest.fixture
def session(directory: Path, tiny_checkpoint: Path, transcripts: Transcripts) -> Iterator[ChatSession]:
    with ChatSession.open(directory, tiny_checkpoint, generation=GREEDY, transcripts=transcripts) as session:
        session.checkpoint.model.config.delete_threshold = 1.0  # a model that has learned nothing deletes at random
        yield session


def texts(session: ChatSession) -> set[str]:
    return {each.text for each in session.memory.store.statements()}


def in_window(session: ChatSession) -> int:
    return len(session.messages) // 2


def test_a_turn_is_written_before_and_after(session: ChatSession, transcripts: Transcripts) -> None:
    seen: list[StoredTurn] = []

    def look(_: str) -> None:
        if not seen:
            seen.extend(transcripts.turns(1))

    turn = session.reply("My dog is called Rimba.", on_text=look)
    assert [(each.prompt, each.state) for each in seen] == [("My dog is called Rimba.", "open")]
    (stored,) = transcripts.turns(1)
    assert (stored.id, stored.reply, stored.state) == (turn.turn_id, turn.reply, "done")
    again = Turn.from_stored(stored)
    assert (again.stored, again.reply_tokens) == (turn.stored, turn.reply_tokens)
    assert session.memory.store.statements()[0].session == "1"


def test_a_resumed_session_is_in_the_window_again(
    directory: Path, tiny_checkpoint: Path, session: ChatSession, transcripts: Transcripts
) -> None:
    session.reply("Hello!")
    expected = session.reply("I live in Lisbon.").prompt_tokens
    number = session.recording.session_id
    assert number is not None
    session.new()
    assert session.reply("Hello!").prompt_tokens < expected
    assert session.recording.session_id != number
    assert [each.prompt for each in session.resume(number)] == ["Hello!", "I live in Lisbon."]
    assert session.reply("And now?").prompt_tokens > expected
    assert len(transcripts.turns(number)) == 3
    with pytest.raises(VardaError, match="no session 77"):
        session.resume(77)


def test_what_has_been_forgotten_is_not_in_a_resumed_window(session: ChatSession, transcripts: Transcripts) -> None:
    session.reply("Hello!")
    told = session.reply("I live in Lisbon.")
    number = session.recording.session_id
    assert number is not None and told.stored
    session.memory.forget(each.id for each in told.stored)
    session.resume(number)
    assert [each.sentences for each in session.messages[::2]] == [["Hello!"]]
    branch = transcripts.branch(number, told.turn_id or 0).id
    session.resume(branch)
    assert in_window(session) == 1
    session.memory.bring_back(each.id for each in told.stored)
    session.resume(number)
    assert in_window(session) == 2


def test_of_a_reset_memory_nothing_is_in_a_resumed_window(
    directory: Path, tiny_checkpoint: Path, session: ChatSession, transcripts: Transcripts
) -> None:
    """Its ids begin again, so that those of a turn are another statement's."""
    told = session.reply("I live in Lisbon.")
    number = session.recording.session_id
    assert number is not None
    ids = {each.id for each in told.stored}
    session.close()
    reset(directory)
    with ChatSession.open(directory, tiny_checkpoint, generation=GREEDY, transcripts=transcripts) as other:
        other.memory.remember("I am allergic to penicillin.")
        assert ids & {each.id for each in other.memory.statements()}
        other.resume(number)
        assert other.messages == ()
        other.reply("Hello!", instead=True)
        assert "I am allergic to penicillin." in texts(other)


def test_of_a_long_session_the_end_is_in_the_window(session: ChatSession, transcripts: Transcripts) -> None:
    number = transcripts.begin("long")
    for turn in range(200):
        transcripts.answer(transcripts.ask(number, f"message {turn}, and I live in Lisbon."), "I'm fine, thank you.")
    transcripts.ask(number, "never answered")
    session.resume(number)
    turn_now = session.reply("Hello!")
    assert session.window / 3 < turn_now.prompt_tokens <= session.window - GREEDY.max_new_tokens


def test_another_answer_takes_back_what_the_first_stored(session: ChatSession, transcripts: Transcripts) -> None:
    session.reply("My dog is called Rimba.")
    first = session.reply("I live in Lisbon.")
    size, before = session.memory.size, texts(session)
    again = session.reply("I live in Lisbon.", instead=True)
    assert again.prompt_tokens == first.prompt_tokens
    assert texts(session) == before
    assert session.memory.size == size
    edited = session.reply("I am fine.", instead=True)
    assert edited.prompt_tokens < first.prompt_tokens
    assert "I live in Lisbon." not in texts(session)
    assert [each.prompt for each in transcripts.turns(1)] == ["My dog is called Rimba.", "I am fine."]
    session.memory.undo()
    assert "I am fine." not in texts(session)
    assert "My dog is called Rimba." in texts(session)


def test_an_answer_is_taken_back_also_after_other_acts(session: ChatSession) -> None:
    session.reply("I live in Lisbon.")
    session.memory.remember("My cat is called Tom.")
    session.reply("Hello!", instead=True)
    assert {"My cat is called Tom."} <= texts(session)
    assert "I live in Lisbon." not in texts(session)


def test_what_has_been_pinned_or_edited_since_outlasts_another_answer(session: ChatSession) -> None:
    for change in (lambda id_: session.memory.pin(id_), lambda id_: session.memory.edit(id_, "I live in Porto.")):
        turn = session.reply("I live in Lisbon.")
        ids = [each.id for each in turn.stored]
        assert ids
        for id_ in ids:
            change(id_)
        kept = texts(session)
        session.reply("Hello!", instead=True)
        assert kept <= texts(session)
        session.memory.forget(each.id for each in session.memory.statements())


def test_where_nothing_can_be_brought_back_nothing_is_taken_back(
    session: ChatSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.reply("I live in Lisbon.")
    before = texts(session)
    store, brought = session.memory.store, session.memory.store.bring_back
    tries: list[bool] = []

    def full_at_first(ids: Any) -> Any:
        tries.append(True)
        if len(tries) == 1:
            raise StorageError("The disk is full.")
        return brought(ids)

    monkeypatch.setattr(store, "bring_back", full_at_first)
    with pytest.raises(StorageError):
        session.reply("Hello!", instead=True)
    assert texts(session) == before


def test_what_was_told_again_stays_where_another_answer_fails(session: ChatSession) -> None:
    (first,) = session.memory.remember("My cat is called Tom.").stored
    turn = replace(session.reply("Hello!"), stored=(), deleted=(Remembered(first.id, first.text),))
    session.memory.forget([first.id])
    session.memory.remember("My cat is called Tom.")
    before = texts(session)
    session.memory.put_back(session.memory.take_back(turn))
    assert texts(session) == before


def test_what_the_same_turn_told_again_stays_where_another_answer_fails(session: ChatSession) -> None:
    (first,) = session.memory.remember("My cat is called Tom.").stored
    session.memory.forget([first.id])
    (again,) = session.memory.remember("My cat is called Tom.").stored
    turn = replace(
        session.reply("Hello!"),
        stored=(Remembered(again.id, again.text),),
        deleted=(Remembered(first.id, first.text),),
    )
    before = texts(session)
    session.memory.put_back(session.memory.take_back(turn))
    assert texts(session) == before


def test_a_turn_of_another_session_is_not_replaced(session: ChatSession, transcripts: Transcripts) -> None:
    """Turns that were kept in RAM, incognito, have ids of their own there."""
    number = transcripts.begin("another")
    other = transcripts.ask(number, "Hello!")
    transcripts.answer(other, "Hi!")
    this = transcripts.begin("this")
    turn = transcripts.ask(this, "Hello again!")
    transcripts.answer(turn, "Hi!", replaces=other)
    transcripts.answer(turn, "Hi!", replaces=turn)
    assert [each.id for each in transcripts.turns(number)] == [other]
    assert [each.id for each in transcripts.turns(this)] == [turn]


def test_a_failed_second_answer_leaves_the_first(
    session: ChatSession, transcripts: Transcripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.reply("I live in Lisbon.")
    before = texts(session)

    def full(*_: Any, **__: Any) -> None:
        raise StorageError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(session.memory.store, "apply", full)
        with pytest.raises(StorageError):
            session.reply("Hello!", instead=True)
    assert texts(session) == before
    assert [each.state for each in transcripts.turns(1)] == ["done", "failed"]
    session.reply("Hello!", instead=True)
    assert "I live in Lisbon." not in texts(session)


def test_there_must_be_an_answer_to_take_back(session: ChatSession, transcripts: Transcripts) -> None:
    with pytest.raises(VardaError, match="no answer yet"):
        session.reply("Hello!", instead=True)
    assert transcripts.sessions() == ()


def test_a_stopped_answer_is_written_as_far_as_it_went(session: ChatSession, transcripts: Transcripts) -> None:
    stop = threading.Event()
    turn = session.reply("My dog is called Rimba.", on_text=lambda _: stop.set(), stop=stop)
    (stored,) = transcripts.turns(1)
    assert (stored.state, stored.reply) == ("stopped", turn.reply)


def test_incognito_within_a_session(session: ChatSession, transcripts: Transcripts) -> None:
    session.reply("Hello!")
    session.set_incognito(True)
    secret = session.reply("I live in Lisbon.")
    assert secret.stored == ()
    acts: list[Callable[[], object]] = [
        lambda: session.memory.remember("This."), session.memory.undo,
        lambda: session.memory.forget([1]), lambda: session.memory.pin(1),
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(VardaError, match="incognito"):
            act()
    session.set_incognito(False)
    session.reply("I'm fine.")
    assert [each.prompt for each in transcripts.turns(1)] == ["Hello!", "I'm fine."]
    assert "I live in Lisbon." not in texts(session)


def test_incognito_from_the_start_is_ended(directory: Path, tiny_checkpoint: Path) -> None:
    with (
        Transcripts.open(directory, read_only=True) as copy,
        ChatSession.open(directory, tiny_checkpoint, generation=GREEDY, incognito=True, transcripts=copy) as session,
    ):
        session.reply("I live in Lisbon.")
        assert not directory.exists()
        with ChatSession.open(directory, tiny_checkpoint), pytest.raises(MemoryLockedError):
            session.set_incognito(False)
        with pytest.raises(VardaError, match="incognito"):
            session.memory.remember("This.")
        with Transcripts.open(directory) as transcripts:
            session.set_incognito(False, transcripts)
            session.reply("I'm fine.")
            session.memory.remember("My dog is called Rimba.")
            assert [each.prompt for each in transcripts.turns(1)] == ["I'm fine."]
    with ChatSession.open(directory, tiny_checkpoint) as session:
        assert "My dog is called Rimba." in texts(session)
        assert "I live in Lisbon." not in texts(session)


def test_what_another_process_writes_cannot_be_written(directory: Path, tiny_checkpoint: Path) -> None:
    with (
        ChatSession.open(directory, tiny_checkpoint, read_only=True) as session,
        pytest.raises(VardaError, match="read-only"),
    ):
        session.set_incognito(False)


def test_what_must_be_remembered_is(session: ChatSession) -> None:
    session.checkpoint.model.config.store_threshold = 1.0  # the model itself finds nothing worth it
    try:
        assert session.reply("I live in Lisbon.").stored == ()
        applied = session.memory.remember("My dog is called Rimba. I work as a nurse.")
    finally:
        session.checkpoint.model.config.store_threshold = 0.5
    assert {each.text for each in applied.stored} == {"My dog is called Rimba.", "I work as a nurse."}
    for each in applied.stored:  # one word of it
        words = Counter(session.checkpoint.chat.encode("user", each.text).word[1:-1])
        assert each.vector_count in words.values()
    with pytest.raises(VardaError, match="empty"):
        session.memory.remember(" \n")


def test_what_a_person_may_mean(session: ChatSession) -> None:
    for text in ("My dog is called Rimba.", "I live in Lisbon.", "I work as a nurse."):
        session.memory.remember(text)
    exact, near = session.memory.candidates("RIMBA")
    assert [each.text for each in exact] == ["My dog is called Rimba."]
    assert not {each.id for each in near} & {each.id for each in exact}
    newest, none = session.memory.candidates("")
    assert newest[0].text == "I work as a nurse."
    assert none == ()
    gone = session.memory.forget([exact[0].id])
    assert session.memory.pin(newest[0].id).pinned
    assert session.memory.undo().restored == gone
    assert session.memory.candidates("Rimba")[0] == exact


def test_each_token_knows_its_sources(session: ChatSession) -> None:
    session.memory.remember("My dog is called Rimba. I live in Lisbon.")
    turn = session.reply("What is my dog called?")
    assert turn.lookup_seconds > 0
    known = {each.id for each in session.memory.store.statements()}
    assert {id_ for each in turn.sources for id_, _ in each.shares} <= known
    ends = [each.end for each in turn.sources]
    assert ends == sorted(ends)
    assert all(0 <= each.start <= each.end <= len(turn.reply) for each in turn.sources)
    strongest: dict[int, float] = {}
    for each in turn.sources:
        for id_, share in each.shares:
            strongest[id_] = max(strongest.get(id_, 0.0), share)
    for recalled in turn.recalled:  # the same shares, seen from the other side; the last row is of the end token
        assert strongest.get(recalled.id, 0.0) <= recalled.weight + 1e-6


def test_turns_leave_a_full_window_together(session: ChatSession) -> None:
    """What is left has to be read again: its beginning is another."""
    chat, context = session.checkpoint.chat, session.context
    short = [chat.encode("user", "a"), chat.encode("assistant", "b")]
    turn = sum(len(each.ids) for each in short)
    fits = context.room // turn
    history: list[Any] = []
    left = []
    for _ in range(10 * fits):
        kept = context.fitting([*history, *short], 1)
        left.append((len(history) + 2 - len(kept)) // 2)
        history = kept
    assert not any(left[: fits - 1])
    assert max(left) >= fits // 4
    assert sum(count > 0 for count in left) <= len(left) / (fits // 4) + 1
    told = chat.encode("user", "c" * 20), short[1]  # of what another program kept, the same turns leave each time
    assert context.fitting([*short * 10 * fits, *told], 1)[-2:] == list(told)


def test_it_is_told_when_turns_leave_the_window(session: ChatSession) -> None:
    left = [session.reply(f"This is message number {n}, and I live in Lisbon.").left_window for n in range(8)]
    assert left[0] == 0
    assert sum(left) > 0


@pytest.mark.parametrize(
    "details", [{}, {"recalled": 3, "sources": [[1]]}, {"stored": [{"id": "x"}, 1], "seconds": "?"}]
)
def test_strange_details_of_a_transcript_are_survived(details: dict[str, Any]) -> None:
    turn = Turn.from_stored(StoredTurn(1, 1, "p", "r", "done", 0.0, details))
    assert (turn.prompt, turn.reply, turn.recalled, turn.sources, turn.seconds) == ("p", "r", (), (), 0.0)
