"""What a reply says of the memory: whether it promises to remember, or says that something has been deleted.

Read off the words alone, by other patterns than the chat's own rule (``varda_chat.models.claims``), so that either
shows what the other misses.
"""

from __future__ import annotations

import re

_PROMISE = re.compile(
    r"\b(?:i|we)(?:['’]ll| will| am going to|['’]m going to)\b[^.!?]*\b(?:remember(?:ing)?|memori[sz](?:e|ing)"
    r"|in mind|note of|keeping (?:that|this|it|your|the))\b"
    r"|\b(?:won['’]t|will not|never) forget\b|\bnoted\b|\bi['’]ve (?:stored|saved)\b",
    re.IGNORECASE,
)
_DELETION = re.compile(
    r"\b(?:i['’]ve|i have|(?:it|that)['’]?s?(?: is)?|memory is|consider \w+)(?: now| just)? "
    r"(?:forgotten|deleted|removed|erased)\b|^(?:\w+, )?(?:forgotten|deleted|removed|erased)\b"
    r"|\b(?:out of|from) my memory\b",
    re.IGNORECASE,
)
_DENIED = re.compile(r"n['’]t|\b(?:not|never|nothing|no|if|once|tell)\b", re.IGNORECASE)
_SENTENCES = re.compile(r"(?<=[.!?])\s+")


def promises(reply: str) -> bool:
    """Whether ``reply`` says that something will be remembered."""
    return any(_said(_PROMISE, each) for each in _SENTENCES.split(reply))


def claims_deletion(reply: str) -> bool:
    """Whether ``reply`` says that something has been deleted."""
    return any(_said(_DELETION, each) for each in _SENTENCES.split(reply))


def _said(pattern: re.Pattern[str], sentence: str) -> bool:
    """Whether ``sentence`` says it; what is denied ("I won't remember that") or depends ("tell me, and I'll remember
    it") is not said, but for what is promised by a denial ("I won't forget")."""
    found = pattern.search(sentence)
    if found is None:
        return False
    return "forget" in found[0].lower().split() or not _DENIED.search(sentence[: found.end()])
