"""What of a line of several sentences is stored: what the gates keep, what tells alone, and what that leans on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.helpers.tiny_chatml import ALWAYS, NEVER, chatml_model, chatml_tokenizer
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.configuration import INTENTS
from varda_chat.session import telling
from varda_chat.session.remembering import read_messages
from varda_chat.session.telling import storable

CHAT = ChatMLFormat(chatml_tokenizer())
AUNT, CHEESE, WOW, CAR = "My aunt Ida has a farm.", "She makes cheese there.", "Wow!", "I sold my old car."


@pytest.fixture(scope="module")
def model() -> Any:
    return chatml_model(CHAT)


@pytest.fixture
def kept(model: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[str], list[str]]]:
    """The sentences of a line that are stored, and what is kept where none is; ``gates``: the store threshold,
    ``other``: that of lines that tell nothing, ``tell``, ``ask``: the sentences that do so alone."""
    asked: list[str] = []

    def of(
        line: str, *, gates: float, tell: tuple[str, ...] = (), ask: tuple[str, ...] = (), other: float = NEVER
    ) -> tuple[list[str], list[str]]:
        asked.clear()

        def intents(_model: Any, _chat: Any, sentence: str) -> dict[str, float]:
            asked.append(sentence)
            wants = "tell" if sentence in tell else "ask" if sentence in ask else "other"
            return dict.fromkeys(INTENTS, 0.0) | {wants: 1.0}

        monkeypatch.setattr(telling, "_intents_alone", intents)
        monkeypatch.setattr(model.config.memory, "store_threshold", gates)
        monkeypatch.setattr(model.config.memory, "other_threshold", other)
        message = CHAT.encode("user", line)
        with torch.inference_mode():
            output = read_messages(model, [message], opening=CHAT.opening)
            stores, least = storable(model, CHAT, output, message, 0)
        assert all(each.vectors for each in (*stores, *least))
        return [each.text for each in stores], [each.text for each in least]

    of.asked = asked  # type: ignore[attr-defined]
    return of


def test_sentences_that_tell_alone_are_stored_beside_those_of_the_gates(kept: Any) -> None:
    line = f"{AUNT} {WOW} {CAR}"
    assert kept(line, gates=NEVER, tell=(CAR,)) == ([CAR], [])
    assert kept(line, gates=NEVER, tell=(AUNT, CAR)) == ([AUNT, CAR], [])
    assert kept.asked == [AUNT, WOW, CAR]
    assert kept(line, gates=0.0) == ([AUNT, WOW, CAR], [])
    assert kept.asked == [], "what the gates keep is not asked for"


def test_what_a_stored_sentence_leans_on_is_stored_too(kept: Any) -> None:
    assert kept(f"{CAR} {AUNT} {CHEESE}", gates=NEVER, tell=(CHEESE,)) == ([AUNT, CHEESE], [])
    assert kept(f"{WOW} {CHEESE}", gates=NEVER, tell=(CHEESE,)) == ([CHEESE], []), "a cry says nothing of her"
    assert kept(f"{CHEESE} {CAR}", gates=NEVER, tell=(CHEESE,)) == ([CHEESE], [])
    chain = f"{AUNT} {CHEESE} It is the best one. They sell it too."
    assert kept(chain, gates=NEVER, tell=("They sell it too.",))[0] == [
        CHEESE, "It is the best one.", "They sell it too.",
    ]  # fmt: skip


def test_a_question_is_not_stored_for_the_sake_of_another(kept: Any) -> None:
    line = f"Do you know my aunt Ida? {CHEESE}"
    assert kept(line, gates=NEVER, tell=(CHEESE,)) == (["Do you know my aunt Ida?", CHEESE], [])
    assert kept(line, gates=NEVER, tell=(CHEESE,), ask=("Do you know my aunt Ida?",)) == ([CHEESE], [])


def test_of_a_long_line_the_last_sentences_are_asked(kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "MOST_ASKED", 3)
    many = [f"I sold car number {number}." for number in range(5)]
    assert kept(" ".join(many), gates=NEVER, tell=tuple(many)) == (many[2:], [])
    assert kept.asked == many[2:]


def test_sentences_that_left_the_window_are_not_asked(model: Any, kept: Any) -> None:
    whole = CHAT.encode("user", f"{AUNT} {WOW} {CAR}")
    start = whole.sentence.index(2)
    kept(CAR, gates=NEVER, tell=(AUNT, CAR))
    kept.asked.clear()
    with torch.inference_mode():
        part = whole.part(start, len(whole.ids))
        stores, _ = storable(model, CHAT, read_messages(model, [part], opening=CHAT.opening), part, 0)
    assert [each.text for each in stores] == kept.asked == [CAR]


def test_a_sentence_longer_than_the_window_tells_nothing_alone(model: Any) -> None:
    assert set(telling._intents_alone(model, CHAT, "x " * 400).values()) == {0.0}


def test_a_line_of_one_sentence_or_about_nothing_is_read_once(kept: Any) -> None:
    stores, least = kept(CAR, gates=NEVER, tell=(CAR,))
    assert stores == [] and least == [CAR] and kept.asked == []
    stores, least = kept(f"{AUNT} {CAR}", gates=NEVER, tell=(CAR,), other=ALWAYS)
    assert stores == [] and len(least) == 1 and kept.asked == []


def test_a_sentence_alone_is_judged_by_the_intents_of_it(model: Any) -> None:
    chance = telling._intents_alone(model, CHAT, CAR)
    assert set(chance) == set(INTENTS)
    assert sum(chance.values()) == pytest.approx(1.0, abs=1e-5)
    assert chance != telling._intents_alone(model, CHAT, WOW)


def test_a_request_to_forget_is_read_once(model: Any, kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forget = dict.fromkeys(INTENTS, 0.0) | {"forget": 1.0}
    monkeypatch.setattr(telling, "_intents", lambda *_: forget)
    assert kept(f"{AUNT} {CAR}", gates=NEVER, tell=(AUNT, CAR))[0] == []
    assert kept.asked == []
