"""A session of a model that decides before it answers: what leaves the window, and what an error leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.helpers.tiny_chatml import chatml_model, chatml_tokenizer
from varda_chat import ChatSession
from varda_chat.config.defaults import GenerationSettings
from varda_chat.memory import MemoryStore
from varda_chat.models import reply
from varda_chat.models.abstentions import BEGINNINGS
from varda_chat.models.chat_format import ChatMLFormat, EncodedMessage
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.models.claims import DELETES
from varda_chat.models.configuration import INTENTS
from varda_chat.models.decoding import decode
from varda_chat.models.known_replies import Fitting, KnownReply
from varda_chat.session.confirming import KEPT
from varda_chat.session.turn import Turn
from varda_chat.transcripts import Transcripts

CHAT = ChatMLFormat(chatml_tokenizer())
GREEDY = GenerationSettings(temperature=0.0, max_new_tokens=8)
NEVER = 1.1
TOLD, ASKED = "My dog is called Rimba.", "What is my dog called?"


@pytest.fixture(scope="module")
def model() -> Any:
    """A model that stores all it is told, and does nothing else."""
    model = chatml_model(CHAT)
    memory = model.config.memory
    memory.store_threshold = 0.0
    memory.change_threshold = memory.ask_threshold = memory.other_threshold = NEVER
    return model


def opened(model: Any, directory: Path) -> ChatSession:
    store = MemoryStore.open(directory, embedding_dim=model.config.memory_dim, fingerprint="tiny")
    return ChatSession(Checkpoint(model, CHAT, "tiny", "tiny"), store, generation=GREEDY)


@pytest.fixture
def session(model: Any, tmp_path: Path) -> Iterator[ChatSession]:
    with opened(model, tmp_path / "profile") as session:
        yield session


@pytest.fixture
def tokens_alone(model: Any, tmp_path: Path) -> int:
    """Tokens of a prompt that only holds the question."""
    with opened(model, tmp_path / "other") as other:
        return other.reply(ASKED).prompt_tokens


def test_a_turn_stays_in_the_window(session: ChatSession, tokens_alone: int) -> None:
    assert session.reply(TOLD).stored
    assert session.reply(ASKED).prompt_tokens > tokens_alone


def test_what_is_forgotten_leaves_the_window(session: ChatSession, tokens_alone: int) -> None:
    session.memory.forget(each.id for each in session.reply(TOLD).stored)
    assert session.reply(ASKED).prompt_tokens == tokens_alone


def test_a_regenerated_answer_does_not_see_what_was_forgotten_since(session: ChatSession, tokens_alone: int) -> None:
    told = session.reply(TOLD).stored
    session.reply(ASKED)
    session.memory.forget(each.id for each in told)
    assert session.reply(ASKED, instead=True).prompt_tokens == tokens_alone


def test_of_a_regenerated_answer_its_own_turn_leaves(session: ChatSession, model: Any, tmp_path: Path) -> None:
    session.reply("I live in Lisbon.")
    session.reply(TOLD)
    again = session.reply(TOLD, instead=True)
    session.memory.forget(each.id for each in again.stored)
    with opened(model, tmp_path / "other") as other:
        other.reply("I live in Lisbon.")
        assert session.reply(ASKED).prompt_tokens == other.reply(ASKED).prompt_tokens


@pytest.fixture
def asking(model: Any) -> Iterator[Any]:
    """The model, taking every line for a question that all it finds answers."""
    memory = model.config.memory
    before = memory.ask_threshold, memory.recall_threshold
    memory.ask_threshold = memory.recall_threshold = -1.0
    yield model
    memory.ask_threshold, memory.recall_threshold = before


def test_what_is_found_is_read_word_for_word(session: ChatSession, asking: Any, monkeypatch: Any) -> None:
    asking.config.memory.ask_threshold = NEVER
    session.reply(TOLD)
    asking.config.memory.ask_threshold = -1.0
    read: list[str] = []

    def decoding(model: Any, prompt: list[int], *others: Any, **given: Any) -> list[int]:
        read.append(CHAT.decode(prompt))
        return decode(model, prompt, *others, **given)

    monkeypatch.setattr(reply, "decode", decoding)
    turn = session.reply(ASKED)
    assert turn.status == "recalled"
    assert read[0].endswith(f"memory\nFound:\n- {TOLD}\nassistant\n")
    session.reply(ASKED)
    assert read[1].startswith(read[0]), "what was read is read once"


def test_what_leans_on_another_is_read_behind_it(session: ChatSession, asking: Any, monkeypatch: Any) -> None:
    memory = asking.config.memory
    monkeypatch.setattr(memory, "ask_threshold", NEVER)
    told, lives = (each.id for each in session.reply(f"{TOLD} He lives in Lisbon.").stored)
    monkeypatch.setattr(memory, "ask_threshold", -1.0)
    read: list[str] = []

    def decoding(model: Any, prompt: list[int], *others: Any, **given: Any) -> list[int]:
        read.append(CHAT.decode(prompt))
        return decode(model, prompt, *others, **given)

    monkeypatch.setattr(reply, "decode", decoding)
    turn = session.reply("Where is his home?")
    assert f"- ({TOLD}) He lives in Lisbon.\n" in read[0]
    assert {told, lives} <= {each.id for each in turn.read} <= session.messages[-1].mentions
    prompt_tokens = turn.prompt_tokens
    session.memory.forget([told])
    assert all("He lives" not in text for text in map(CHAT.decode, (each.ids for each in session.messages)))
    assert session.reply("Where is his home?").prompt_tokens < prompt_tokens
    assert "- He lives in Lisbon.\n" in read[1]


def test_a_line_that_names_what_it_leans_on_asks_for_nothing_of_that(
    session: ChatSession, asking: Any, monkeypatch: Any
) -> None:
    memory = asking.config.memory
    monkeypatch.setattr(memory, "ask_threshold", NEVER)
    _, lives = (each.id for each in session.reply(f"{TOLD} He lives in Lisbon.").stored)
    monkeypatch.setattr(memory, "ask_threshold", -1.0)
    session.new()
    turn = session.reply("Where does my dog live?")
    note = CHAT.decode(session.messages[-1].ids)
    assert "- He lives in Lisbon.\n" in note or note.endswith("- He lives in Lisbon.")
    assert f"({TOLD})" not in note
    assert lives in {each.id for each in turn.read}


def test_what_a_note_has_no_room_for_is_left_out(session: ChatSession) -> None:
    state = session._state
    long = "My aunt " + "with her cat " * 20 + "moved."
    stored = session.memory.remember(f"{long} She is eighty years old. It rains a lot there.").stored
    first, second, third = (next(each for each in stored if each.text.startswith(word)) for word in ("My", "She", "It"))
    assert state.as_read(first.id, long) == (long, ())
    assert state.as_read(second.id, second.text) == (second.text, ())
    assert state.as_read(third.id, third.text) == (f"({second.text}) {third.text}", (second.id,))


def test_what_was_found_is_said_greedily_but_where_another_answer_is_wanted(
    session: ChatSession, asking: Any, monkeypatch: Any
) -> None:
    temperatures: list[float] = []

    def decoding(model: Any, prompt: list[int], cache: Any, settings: GenerationSettings, **given: Any) -> list[int]:
        temperatures.append(settings.temperature)
        return decode(model, prompt, cache, settings, **given)

    monkeypatch.setattr(reply, "decode", decoding)
    session.generation = replace(GREEDY, temperature=0.5)
    asking.config.memory.ask_threshold = NEVER
    session.reply(TOLD)
    asking.config.memory.ask_threshold = -1.0
    asked = session.reply(ASKED), session.reply(ASKED, instead=True), session.reply("And my dog?", instead=True)
    assert [each.status for each in asked] == ["recalled"] * 3
    assert temperatures == [0.5, 0.0, 0.5, 0.0], "what is edited is another question"


def test_a_question_for_what_was_not_told_is_not_answered(session: ChatSession, asking: Any) -> None:
    """Even by a model that has not learned to admit anything, where the question is a sure one."""
    bias = asking.memory_layer.fc_intent.fc_out.bias
    session.generation = replace(GREEDY, max_new_tokens=24)
    before = bias.detach().clone()
    with torch.no_grad():
        bias[INTENTS.index("ask")] = 50.0
    try:
        turn = session.reply(ASKED)
    finally:
        with torch.no_grad():
            bias.copy_(before)
    assert turn.status == "unknown"
    assert turn.reply.startswith(BEGINNINGS)


def test_a_turn_that_found_what_is_forgotten_leaves_the_window(
    session: ChatSession, tokens_alone: int, asking: Any
) -> None:
    asking.config.memory.ask_threshold = NEVER
    told = session.reply(TOLD).stored
    session.new()
    asking.config.memory.ask_threshold = -1.0
    session.reply(ASKED)
    session.memory.forget(each.id for each in told)
    asking.config.memory.ask_threshold = NEVER
    assert session.reply(ASKED).prompt_tokens == tokens_alone


def test_an_error_while_a_reply_is_written_leaves_the_session_as_it_was(
    session: ChatSession, model: Any, tmp_path: Path
) -> None:
    def fail(_piece: str) -> None:
        raise OSError("the screen is gone")

    session.reply(TOLD)
    with pytest.raises(OSError, match="screen is gone"):
        session.reply(ASKED, on_text=fail)
    found = session.reply(ASKED)
    with opened(model, tmp_path / "other") as other:
        other.reply(TOLD)
        expected = other.reply(ASKED)
    assert (found.reply, found.prompt_tokens) == (expected.reply, expected.prompt_tokens)


@pytest.fixture
def forgetting(model: Any) -> Iterator[Any]:
    """The model, taking every line for a wish to forget what is nearest to it."""
    memory = model.config.memory
    before = memory.change_threshold, memory.delete_threshold
    yield model
    memory.change_threshold, memory.delete_threshold = before


def _forgetful(model: Any, monkeypatch: Any) -> None:
    memory = model.config.memory
    memory.change_threshold = memory.delete_threshold = -1.0
    layer = model.memory_layer
    logits = layer.intent_logits

    def forget(address: Any) -> Any:
        found = logits(address)
        found[..., INTENTS.index("forget")] += 1000.0
        return found

    monkeypatch.setattr(layer, "intent_logits", forget)


@pytest.mark.parametrize(
    ("when", "pinned", "asked"),
    [("auto", False, False), ("auto", True, True), ("always", False, True), ("never", True, False)],
)
def test_a_turn_asks_before_it_deletes(
    when: str, pinned: bool, asked: bool, session: ChatSession, forgetting: Any, monkeypatch: Any
) -> None:
    told = session.reply(TOLD).stored[0]
    session.memory.pin(told.id, pinned)
    session.confirm_deletes = when
    _forgetful(forgetting, monkeypatch)
    questions: list[list[str]] = []

    def keep(going: Any) -> list[int]:
        questions.append([each.text for each in going])
        return []

    turn = session.reply("Forget that.", confirm=keep)
    assert questions == ([[TOLD]] if asked else [])
    if asked:
        assert (turn.reply, turn.deleted) == (KEPT, ())
    assert bool(session.memory.statements()) == (asked or pinned)
    assert (turn.status in DELETES) == bool(turn.deleted), "a reply that says so deleted something"
    if asked:
        turn = session.reply("Forget that.", confirm=lambda going: [each.id for each in going])
        assert [each.text for each in turn.deleted] == [TOLD]
        assert session.memory.statements() == ()


def test_what_is_read_outside_a_turn_is_stored_as_in_one(
    model: Any, session: ChatSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert session.memory.would_learn("user", TOLD)
    config = model.config.memory
    monkeypatch.setattr(config, "other_threshold", -1.0)
    assert not session.memory.would_learn("user", TOLD)
    assert session.memory.would_learn("assistant", TOLD)
    assert session.memory.would_learn("user", TOLD, memory=True)


SMALL_TALK, BY_HEART = "Good morning!", "Good morning! Slept well?"
REACTED = "What a nice name for a dog."


@pytest.fixture
def knowing(model: Any, tmp_path: Path) -> Iterator[ChatSession]:
    """A session that knows one reply by heart, for every line, and stores nothing."""
    store = MemoryStore.open(tmp_path / "knowing", embedding_dim=model.config.memory_dim, fingerprint="tiny")
    known: Any = SimpleNamespace(fitting=_fitting)
    checkpoint = Checkpoint(model, CHAT, "tiny", "tiny", known)
    with (
        Transcripts.open(tmp_path / "knowing") as transcripts,
        ChatSession(checkpoint, store, generation=GREEDY, transcripts=transcripts) as session,
    ):
        memory = model.config.memory
        before = memory.store_threshold, memory.ask_threshold
        memory.store_threshold = memory.ask_threshold = NEVER
        yield session
        memory.store_threshold, memory.ask_threshold = before


def _fitting(_line: EncodedMessage, but: list[str], *, told: bool) -> Fitting | None:
    known = KnownReply("We call our dog Rex.", REACTED) if told else KnownReply(SMALL_TALK, BY_HEART)
    return None if known.reply in but else Fitting(known, 0.97)


def test_a_known_reply_that_fits_is_said_word_for_word_and_once(knowing: ChatSession) -> None:
    heard: list[str] = []
    first = knowing.reply("morning", on_text=heard.append)
    assert (first.reply, first.by_heart, heard) == (BY_HEART, SMALL_TALK, [BY_HEART])
    assert "known by heart, as the reply to “Good morning!”" in first.owes_nothing
    second = knowing.reply("morning again")
    assert second.by_heart == "" and second.reply != BY_HEART
    assert "the model's own" in second.owes_nothing
    assert knowing.recording.transcripts is not None
    saved = [Turn.from_stored(each) for each in knowing.recording.transcripts.turns(1)]
    assert [each.by_heart for each in saved] == [SMALL_TALK, ""]


def test_the_window_goes_on_behind_a_known_reply(knowing: ChatSession) -> None:
    knowing.reply("morning")
    assert knowing.writer is not None
    knowing.reply("and now?")
    assert BY_HEART in CHAT.decode(knowing.writer.ids)


def test_what_is_told_may_be_answered_by_heart_and_what_is_asked_may_not(knowing: ChatSession, asking: Any) -> None:
    memory = asking.config.memory
    memory.ask_threshold, memory.store_threshold = NEVER, 0.0
    told = knowing.reply(TOLD)
    assert (told.status, told.by_heart, told.reply) == ("stored", "We call our dog Rex.", REACTED)
    assert [each.text for each in told.stored] == [TOLD]
    told = knowing.reply("My horse is called Max.")
    assert (told.status, told.by_heart) == ("stored", "")
    memory.ask_threshold = -1.0
    asked = knowing.reply(ASKED)
    assert (asked.status, asked.by_heart) == ("recalled", "")
    memory.ask_threshold = NEVER
    knowing.set_incognito(True)
    told = knowing.reply("My cat is called Tom.")
    assert (told.status, told.by_heart) == ("incognito", "")


def test_a_sum_is_worked_out_and_nothing_of_it_is_stored(knowing: ChatSession, asking: Any) -> None:
    heard = list[str]()
    asking.config.memory.ask_threshold, asking.config.memory.store_threshold = NEVER, 0.0
    turn = knowing.reply("What is 14 times 38?", on_text=heard.append)
    assert (turn.reply, heard, turn.worked_out, turn.by_heart) == ("That's 532.", ["That's 532."], True, "")
    assert (turn.status, turn.stored, turn.deleted, turn.memory_size) == ("nothing", (), (), 0)
    assert turn.owes_nothing.endswith("it was worked out.")
    assert knowing.recording.transcripts is not None
    assert [Turn.from_stored(each).worked_out for each in knowing.recording.transcripts.turns(1)] == [True]
    knowing.reply("and now?")
    assert knowing.writer is not None and "That's 532." in CHAT.decode(knowing.writer.ids)


def test_a_persona_and_another_try_are_the_models_own(knowing: ChatSession) -> None:
    assert knowing.reply("morning").by_heart
    assert knowing.reply("morning", instead=True).by_heart == ""
    knowing.new()
    knowing.set_persona("You are a pirate.")
    assert knowing.reply("morning").by_heart == ""
