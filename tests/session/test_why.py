"""What an answer would be without the memories it was recalled from: they are not found, and nothing is changed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.helpers.tiny_chatml import NEVER, ask_from_here_on, chatml_tokenizer, obliging_model
from varda_chat import ChatSession
from varda_chat.config.defaults import GenerationSettings
from varda_chat.errors import VardaError
from varda_chat.memory import MemoryStore
from varda_chat.models import reply
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.models.decoding import GREEDY_BELOW, decode
from varda_chat.session.turn import Remembered
from varda_chat.session.why import MaskedStore, compared
from varda_chat.transcripts import Transcripts

CHAT = ChatMLFormat(chatml_tokenizer())
TOLD, ALSO, ASKED = "My dog is called Rimba.", "I live in Lisbon.", "What is my dog called?"


@pytest.fixture(scope="module")
def model() -> Any:
    return obliging_model(CHAT)


@pytest.fixture
def session(model: Any, tmp_path: Path) -> Iterator[ChatSession]:
    """A session that was told two things."""
    ask_from_here_on(model, NEVER)
    store = MemoryStore.open(tmp_path / "profile", embedding_dim=model.config.memory_dim, fingerprint="tiny")
    generation = GenerationSettings(temperature=0.7, max_new_tokens=8)
    with Transcripts.open(tmp_path / "profile") as transcripts:
        checkpoint = Checkpoint(model, CHAT, "tiny", "tiny")
        with ChatSession(checkpoint, store, generation=generation, transcripts=transcripts) as session:
            session.reply(TOLD)
            session.reply(ALSO)
            ask_from_here_on(model)
            yield session


def prompts(model: Any, monkeypatch: Any) -> list[str]:
    """What replies are written after, from here on."""
    read: list[str] = []

    def decoding(model: Any, prompt: list[int], cache: Any, settings: GenerationSettings, **given: Any) -> list[int]:
        assert settings.temperature < GREEDY_BELOW
        read.append(CHAT.decode(prompt))
        return decode(model, prompt, cache, settings, **given)

    monkeypatch.setattr(reply, "decode", decoding)
    return read


def test_what_is_masked_stands_nowhere_and_nothing_is_changed(
    session: ChatSession, model: Any, monkeypatch: Any
) -> None:
    turn = session.reply(ASKED)
    assert session.writer is not None
    before = session.messages, list(session.writer.ids), session.memory.statements(), session.memory.recent(50)
    saved = session.recording.transcripts.turns(1) if session.recording.transcripts else ()
    read = prompts(model, monkeypatch)
    answers = list(session.influence(turn))
    assert [{each.text for each in answer.masked} for answer in answers] == [set(), *answers_masked(answers)]
    assert {TOLD, ALSO} in [{each.text for each in answer.masked} for answer in answers]
    for answer, prompt in zip(answers, read, strict=True):
        for told in (TOLD, ALSO):
            masked = told in {each.text for each in answer.masked}
            assert (told in prompt) is not masked, "neither in the note nor in the window"
    after = session.messages, list(session.writer.ids), session.memory.statements(), session.memory.recent(50)
    assert after == before
    assert session.recording.transcripts is not None and session.recording.transcripts.turns(1) == saved


def answers_masked(answers: Any) -> list[set[str]]:
    """One at a time, in some order, then both."""
    one, other = ({each.text for each in answer.masked} for answer in answers[1:3])
    assert sorted([*one, *other]) == sorted([TOLD, ALSO])
    return [one, other, {TOLD, ALSO}]


def test_it_ends_when_it_is_stopped(session: ChatSession) -> None:
    turn = session.reply(ASKED)
    stop = threading.Event()
    answers = session.influence(turn, stop)
    next(answers)
    stop.set()
    assert list(answers) == []


def test_an_earlier_answer_is_asked_in_its_own_window(session: ChatSession, model: Any, monkeypatch: Any) -> None:
    turn = session.reply(ASKED)
    session.reply("And where do I live?")
    read = prompts(model, monkeypatch)
    next(session.influence(turn))
    assert read[0].count(ASKED) == 1
    assert "And where" not in read[0]
    session.new()
    with pytest.raises(VardaError, match="not known any more"):
        next(session.influence(turn))


def test_a_masked_statement_is_not_found(session: ChatSession, model: Any) -> None:
    import torch

    store = session.memory.store
    told = next(each for each in session.memory.statements() if each.text == TOLD)
    queries = torch.randn(1, 3, model.config.memory_dim)
    masked = MaskedStore(store, [told.id])
    assert masked.size == store.size - len(store.reader.tokens(told.id))
    found = masked.search(queries, store.size)
    kept = found.ids[found.ids >= 0].numpy()
    assert len(kept) == 3 * masked.size
    assert told.id not in store.statement_ids(kept)
    plain = MaskedStore(store).search(queries, 4)
    assert torch.equal(plain.ids, store.search(queries, 4).ids)
    words = f"{TOLD} {ALSO}"
    assert told.id in store.statement_ids(store.search_words(words, 2).ids)
    by_words = masked.search_words(words, 1)
    assert len(by_words.ids) == len(by_words.vectors) == len(by_words.token_ids) > 0
    assert {store.statement(int(each)).text for each in store.statement_ids(by_words.ids)} == {ALSO}


def test_a_masked_statement_is_leant_on_by_none(session: ChatSession, model: Any, monkeypatch: Any) -> None:
    ask_from_here_on(model, NEVER)
    session.reply("My aunt Ida sings in a choir. She is eighty years old. It rains a lot there.")
    store = session.memory.store
    _, _, aunt, age, rain = (each.id for each in sorted(session.memory.statements(), key=lambda each: each.id))

    def before(masked: list[int]) -> list[int]:
        return [each.id for each in MaskedStore(store, masked).antecedents(rain)]

    assert before([]) == [aunt, age]
    assert before([aunt]) == [age] and before([age]) == before([aunt, age]) == []
    ask_from_here_on(model)
    turn = session.reply("Where does it rain?")
    assert {aunt, age, rain} <= {each.id for each in turn.read} <= turn.mentions
    masked = {each.id for answer in session.influence(turn) for each in answer.masked}
    assert {aunt, age, rain} <= masked, "what stands in brackets is tried too"


def test_tokens_that_differ_are_told_by_their_characters() -> None:
    whole, reply = "Your dog is called Rimba.", "Your dog is called Tom, I think."
    answer = compared(CHAT, whole, reply, [Remembered(1, TOLD)])
    assert not answer.same
    assert reply[slice(*answer.changed[0])].startswith("Tom, I")
    assert whole[slice(*answer.lost[0])].startswith("Rimba")
    assert 0 < answer.changed_tokens < answer.tokens
    assert compared(CHAT, whole, whole, []).same


def test_why_on_the_command_line() -> None:
    line = [sys.executable, "-m", "varda_chat", "--checkpoint", "mini", "--temperature", "0"]

    def run(*flags: str, told: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([*line, *flags], input=told, capture_output=True, text=True, timeout=300)

    done = run("--why", "--json", told=f"{TOLD}\n{ASKED}\n")
    assert done.returncode == 0, done.stderr
    asked = cast("dict[str, Any]", json.loads(done.stdout.splitlines()[-1]))
    assert asked["why"][0]["without"] == []
    assert {"reply", "same", "changed", "lost", "tokens", "changed_tokens"} <= asked["why"][0].keys()
    left_out = [{each["text"] for each in answer["without"]} for answer in asked["why"][1:]]
    assert {TOLD} in left_out
    assert "Rimba" in asked["why"][0]["reply"]
    assert "Rimba" not in asked["why"][1]["reply"]
    assert run("--why", "--plain").returncode == 2
