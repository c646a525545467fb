"""Abstentions: a reply begins with one where it has to, with none where it may not, and as it likes elsewhere."""

from __future__ import annotations

import pytest

from tests.helpers.tiny_chatml import chatml_tokenizer
from varda_chat.models.abstentions import BEGINNINGS, Abstentions
from varda_chat.models.chat_format import ChatMLFormat

CHAT = ChatMLFormat(chatml_tokenizer())
ABSTENTIONS = Abstentions(CHAT)


def tokens(text: str) -> list[int]:
    message = CHAT.encode("assistant", text)
    return message.ids[message.header : -message.footer]


def may_be_said(text: str, admits: bool | None) -> bool:
    ids = tokens(text)
    return all(ids[place] not in ABSTENTIONS.banned(ids[:place], admits) for place in range(len(ids)))


@pytest.mark.parametrize("text", [*BEGINNINGS, "I don't know your dog's name.", "You haven't told me that yet."])
def test_where_it_has_to_a_reply_admits_not_to_know(text: str) -> None:
    assert may_be_said(text, True)
    assert may_be_said(text, None)
    assert not may_be_said(text, False)


@pytest.mark.parametrize("text", ["Your dog is called Rimba.", "You live in Lisbon.", "I live here.", "Hello there!"])
def test_where_it_may_not_a_reply_says_something_else(text: str) -> None:
    assert not may_be_said(text, True)
    assert may_be_said(text, None)
    assert may_be_said(text, False)


def test_nothing_is_forbidden_once_it_has_admitted() -> None:
    for text in BEGINNINGS:
        assert len(ABSTENTIONS.banned(tokens(text), True)) == 0
    assert len(ABSTENTIONS.banned(tokens("I live"), False)) == 0


def test_an_abstention_has_always_a_next_token() -> None:
    """At each of its places some token is left."""
    for text in BEGINNINGS:
        ids = tokens(text)
        for place in range(len(ids)):
            assert len(ABSTENTIONS.banned(ids[:place], True)) < CHAT.tokenizer.get_vocab_size()
