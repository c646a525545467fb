"""Claims: which words may not follow, by what was decided and what the reply has said so far."""

from __future__ import annotations

import pytest

from tests.helpers.tiny_chatml import chatml_tokenizer
from varda_chat.models.chat_format import ChatMLFormat
from varda_chat.models.claims import DELETES, STORES, Claims
from varda_chat.models.configuration import STATUSES

CHAT = ChatMLFormat(chatml_tokenizer())


def may_follow(status: str, reply: str, word: str) -> bool:
    """Whether a reply on ``status`` that has said ``reply`` may continue with ``word``."""
    encode = CHAT.tokenizer.encode
    said = encode(reply, add_special_tokens=False).ids
    more = encode(word, add_special_tokens=False).ids
    claims = Claims(CHAT)
    return not any(more[place] in claims.banned([*said, *more[:place]], status) for place in range(len(more)))


PROMISES = [
    ("I'll", " remember"), ("Water is good. I will", " keep"), ("Nice, we'll", " remember"), ("I’ll gladly", " note"),
    ("I'm going to", " remember"), ("I'll never", " forget"), ("I won't", " forget"), ("", "Noted"),
    ("Thanks, your band is", " noted"), ("I'll be", " keeping"), ("I will be", " remembering"),
]  # fmt: skip
CLAIMS = [
    ("Okay, I've", " forgotten"), ("", "Forgotten"), ("Done,", " deleted"), ("Consider it", " forgotten"),
    ("It's", " deleted"), ("Okay, that memory is", " deleted"), ("I have", " removed"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "word"), PROMISES)
@pytest.mark.parametrize("status", sorted(set(STATUSES) - STORES))
def test_nothing_is_promised_where_nothing_was_stored(status: str, said: str, word: str) -> None:
    assert not may_follow(status, said, word)


@pytest.mark.parametrize(("said", "word"), PROMISES)
@pytest.mark.parametrize("status", sorted(STORES))
def test_what_was_stored_may_be_promised(status: str, said: str, word: str) -> None:
    assert may_follow(status, said, word)


@pytest.mark.parametrize(("said", "word"), CLAIMS)
@pytest.mark.parametrize("status", sorted(set(STATUSES) - DELETES))
def test_nothing_was_forgotten_where_nothing_was_deleted(status: str, said: str, word: str) -> None:
    assert not may_follow(status, said, word)


@pytest.mark.parametrize(("said", "word"), CLAIMS)
@pytest.mark.parametrize("status", sorted(DELETES))
def test_what_was_deleted_may_be_called_so(status: str, said: str, word: str) -> None:
    assert may_follow(status, said, word)


@pytest.mark.parametrize(
    ("status", "said", "word"),
    [
        ("unknown", "Tell me, and I'll", " remember"),
        ("nothing", "I'll be quick. Do you", " remember"),
        ("incognito", "This is an incognito session, so I won't", " keep"),
        ("nothing", "I", " remember"),
        ("recalled", "You had your appendix", " removed"),
        ("nothing_to_delete", "There's nothing to", " forget"),
        ("nothing", "Pluto was", " removed"),
    ],
)
def test_other_uses_of_the_words_are_free(status: str, said: str, word: str) -> None:
    assert may_follow(status, said, word)
