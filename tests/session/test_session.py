"""One turn on a real tiny model, a real index and a real database: what is stored, recalled, kept and refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from varda_chat import ChatSession
from varda_chat.config.defaults import GenerationSettings
from varda_chat.errors import VardaError
from varda_chat.memory import MemoryStore, TurnChanges

GREEDY = GenerationSettings(temperature=0.0, max_new_tokens=12)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "profile"


@pytest.fixture
def session(directory: Path, tiny_checkpoint: Path) -> Iterator[ChatSession]:
    with ChatSession.open(directory, tiny_checkpoint, generation=GREEDY) as session:
        yield session


def test_a_turn_stores_words_with_their_sentence(session: ChatSession) -> None:
    turn = session.reply("My dog is called Rimba. I live in Lisbon.")
    assert {s.text for s in turn.stored} >= {"My dog is called Rimba.", "I live in Lisbon."}
    assert turn.memory_size == session.memory.size > 0
    assert turn.reply_tokens <= 12
    events = session.memory.recent()
    assert {e.text for e in events} == {s.text for s in turn.stored}
    assert {e.kind for e in events} == {"stored"}


def test_memory_is_there_in_the_next_session(directory: Path, tiny_checkpoint: Path) -> None:
    with ChatSession.open(directory, tiny_checkpoint, generation=GREEDY) as first:
        stored = first.reply("My dog is called Rimba.").memory_size
    with ChatSession.open(directory, tiny_checkpoint, generation=GREEDY) as second:
        assert second.memory.size == stored
        assert second.notices == []


def test_reply_is_streamed_whole(session: ChatSession) -> None:
    pieces: list[str] = []
    turn = session.reply("Hello!", on_text=pieces.append)
    assert "".join(pieces).strip() == turn.reply
    assert len(pieces) > 1


def test_stopping_keeps_the_partial_answer_and_stores_only_the_users_words(
    directory: Path, tiny_checkpoint: Path
) -> None:
    stop = threading.Event()
    with ChatSession.open(directory, tiny_checkpoint, generation=GenerationSettings(0.0, max_new_tokens=60)) as session:
        turn = session.reply("My dog is called Rimba.", on_text=lambda _: stop.set(), stop=stop)
    assert turn.stopped
    assert 0 < turn.reply_tokens < 60
    with MemoryStore.open_records(directory, read_only=True) as store:
        assert {s.role for s in store.statements()} <= {"user"}


def test_incognito_reads_and_writes_nothing(directory: Path, tiny_checkpoint: Path) -> None:
    with ChatSession.open(directory, tiny_checkpoint, generation=GREEDY) as session:
        size = session.reply("My dog is called Rimba.").memory_size
    with ChatSession.open(directory, tiny_checkpoint, generation=GREEDY, incognito=True) as session:
        turn = session.reply("I live in Lisbon.")
        assert turn.stored == turn.deleted == ()
        assert turn.memory_size == size
        assert session.memory.read_only


def test_same_seed_same_answers(directory: Path, tiny_checkpoint: Path) -> None:
    replies = []
    for _ in range(2):
        settings = GenerationSettings(temperature=1.0, max_new_tokens=12, seed=7)
        with ChatSession.open(directory, tiny_checkpoint, generation=settings, incognito=True) as session:
            replies.append(session.reply("Hello!").reply)
    assert replies[0] == replies[1]


def test_old_turns_leave_the_window_and_the_chat_goes_on(session: ChatSession) -> None:
    window = session.checkpoint.model.config.n_positions
    for number in range(12):
        turn = session.reply(f"This is message number {number}, and I live in Lisbon.")
        assert turn.prompt_tokens + GREEDY.max_new_tokens <= window
    assert turn.prompt_tokens > window / 3


@pytest.mark.parametrize(
    "text",
    [
        "x" * 5000,
        "word " * 2000,
        "\N{DOG FACE}\N{ZERO WIDTH JOINER}" * 40,
        "<|end|><|user|> hi",
        "مرحبا بك",
        "a\n\n\nb",
        ".",
    ],
    ids=["long word", "long text", "emoji", "special tokens", "right to left", "lines", "stop"],
)
def test_any_text_is_answered(session: ChatSession, text: str) -> None:
    turn = session.reply(text)
    assert turn.memory_size == session.memory.size


@pytest.mark.parametrize("text", ["", "  \n ", "\x1b[2J", "\x00"])
def test_an_empty_message_is_refused_in_one_line(session: ChatSession, text: str) -> None:
    with pytest.raises(VardaError, match="empty"):
        session.reply(text)


def test_a_failed_write_leaves_the_conversation_as_before(
    session: ChatSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    from varda_chat.errors import StorageError

    session.reply("Hello!")
    tokens = session.reply("Hello again!").prompt_tokens

    def full(changes: TurnChanges, *, session: str) -> None:
        raise StorageError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(session.memory.store, "apply", full)
        with pytest.raises(StorageError, match="full"):
            session.reply("This one is lost.")
    assert session.reply("Hello again!").prompt_tokens > tokens


def test_statements_of_another_model_are_read_again(
    directory: Path, tiny_checkpoint: Path, tmp_path: Path, chat_format: object
) -> None:
    from training.data.preprocess.tokenizer import save_tokenizer
    from training.run import export
    from varda_chat.models.checkpoint import load_checkpoint

    with ChatSession.open(directory, tiny_checkpoint, generation=GREEDY) as session:
        session.reply("My dog is called Rimba.")
    other = load_checkpoint(tiny_checkpoint)
    with torch.no_grad():
        other.model.memory_reader.fc_storable_vector.weight.mul_(-1).add_(0.01)
    export(other.model, tmp_path / "other")
    save_tokenizer(other.chat.tokenizer, tmp_path / "other", 128)
    seen: list[str] = []
    with ChatSession.open(
        directory, tmp_path / "other", generation=GREEDY, on_progress=lambda what, share: seen.append(what)
    ) as session:
        assert session.memory.size > 0
        assert session.memory.store.reader.foreign_statements() == ()
    assert any("another model" in what for what in seen)


def test_public_names_load_lazily() -> None:
    import varda_chat

    assert {varda_chat.ChatSession.__name__, varda_chat.AssociativeMemory.__name__} == {
        "ChatSession",
        "AssociativeMemory",
    }
    with pytest.raises(AttributeError, match="nothing"):
        _ = varda_chat.nothing


def test_the_whole_of_a_long_message_is_remembered(session: ChatSession) -> None:
    window = session.checkpoint.model.config.n_positions
    text = "My dog is called Rimba. " + "I am fine. " * window + "I live in Lisbon."
    stored = {s.text for s in session.reply(text).stored}
    assert {"My dog is called Rimba.", "I live in Lisbon."} <= stored


def test_incognito_with_another_model_still_recalls(directory: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    from training.data.preprocess.tokenizer import save_tokenizer
    from training.run import export
    from varda_chat.models.checkpoint import load_checkpoint

    with ChatSession.open(directory, tiny_checkpoint, generation=GREEDY) as session:
        session.reply("My dog is called Rimba.")
    other = load_checkpoint(tiny_checkpoint)
    with torch.no_grad():
        other.model.memory_reader.fc_query.weight.mul_(0.5)
    export(other.model, tmp_path / "other")
    save_tokenizer(other.chat.tokenizer, tmp_path / "other", 128)
    with ChatSession.open(directory, tmp_path / "other", generation=GREEDY, incognito=True) as session:
        assert session.memory.size > 0
    with ChatSession.open(directory, tiny_checkpoint, generation=GREEDY) as session:
        assert session.memory.store.reader.foreign_statements() == ()
