"""What a reply says of the memory: promises and claimed deletions, with what is denied or depends left out."""

from __future__ import annotations

import pytest

from training.evaluation.replies.claims import claims_deletion, promises


@pytest.mark.parametrize(
    "reply",
    [
        "I'll remember that.",
        "A flick is a good time to catch one. I’ll keep it in mind.",
        "Thanks, your favourite band is noted.",
        "I'll never forget it.",
        "I won't forget that.",
        "I'm going to remember that.",
        "I'll be keeping your boss's name to yourself.",
        "I will be remembering it.",
    ],
)
def test_a_promise_is_seen(reply: str) -> None:
    assert promises(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "Tell me again, and I'll remember it.",
        "This is an incognito session, so I won't remember it.",
        "I'll keep it short.",
        "Do you remember the name?",
        "Quasimoto is a character worth remembering.",
    ],
)
def test_no_promise_is_seen_where_there_is_none(reply: str) -> None:
    assert not promises(reply)


@pytest.mark.parametrize(
    "reply", ["Okay, I've forgotten that.", "It's deleted.", "Consider it forgotten.", "Forgotten, as you wish."]
)
def test_a_claimed_deletion_is_seen(reply: str) -> None:
    assert claims_deletion(reply)


@pytest.mark.parametrize(
    "reply",
    ["There's nothing about that in my memory.", "I haven't forgotten that.", "You had your appendix removed."],
)
def test_no_deletion_is_seen_where_none_is_claimed(reply: str) -> None:
    assert not claims_deletion(reply)
