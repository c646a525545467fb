"""Claims: keeps a reply from saying that it will remember what was not stored, or has deleted what was not."""

from __future__ import annotations

import re
from collections.abc import Sequence

from varda_chat.models.chat_format import ChatFormat

STORES, DELETES = frozenset({"stored", "replaced"}), frozenset({"deleted", "replaced"})
"""The decisions after which a reply may promise to remember, and may say that something has been deleted."""

_WILL = re.compile(r"\b(?:i|we)(?:['’]ll|\s+will|(?:['’]m| am|['’]re| are) going to)\b", re.IGNORECASE)
# "I've ...", "it's ...", or nothing but a word before it: what follows is said of the memory
_DONE = re.compile(
    r"\b(?:i(?:['’]ve| have)?|(?:it|that|they)(?:['’]s|['’]re| is| are)|memory is|consider \w+)(?: now| just)?\s*$"
    r"|^\s*(?:\w+,)?\s*$",
    re.IGNORECASE,
)
_NEVER = re.compile(r"\b(?:won['’]t|not|never)\b", re.IGNORECASE)
# "tell me again, and I'll remember it" promises nothing yet
_ONCE = re.compile(r"\b(?:if|once|when|tell|telling|ask)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?\n:;]")

_PROMISED = (
    "remember", "remembering", "keep", "keeping", "note", "noting", "store", "storing", "save", "saving", "memorize",
)  # fmt: skip
_FORGOT = ("forget",)
_NOTED = ("noted",)
_DELETED = ("forgotten", "deleted", "removed", "erased", "updated")
_CLAIMS = (_PROMISED, _FORGOT, _NOTED, _DELETED)


class Claims:
    """Forbids the last token of a word that would claim what the decision does not say."""

    def __init__(self, chat: ChatFormat) -> None:
        self._decode = chat.decode
        self._runs = [(words, run) for words in _CLAIMS for run in _runs(chat, words)]

    def banned(self, reply: Sequence[int], status: str) -> list[int]:
        """The tokens that may not follow ``reply``, which is written on ``status``, one of STATUSES."""
        claiming: dict[int, list[tuple[str, ...]]] = {}
        banned = []
        for words, run in self._runs:
            start = len(reply) + 1 - len(run)
            if start < 0 or list(reply[start:]) != run[:-1]:
                continue
            if start not in claiming:
                claiming[start] = _claiming(_SENTENCE_END.split(self._decode(reply[:start]))[-1], status)
            if words in claiming[start]:
                banned.append(run[-1])
        return banned


def makes_claims(text: str, status: str) -> bool:
    """Whether ``text`` says what would be forbidden in a reply that is written on ``status``."""
    return any(
        words in _claiming(_SENTENCE_END.split(text[: match.start()])[-1], status)
        for words in _CLAIMS
        for match in re.finditer(rf"\b(?:{'|'.join(words)})\b", text, re.IGNORECASE)
    )


def _claiming(sentence: str, status: str) -> list[tuple[str, ...]]:
    """The words by which ``sentence``, as far as it goes, would claim what ``status`` does not say."""
    words: list[tuple[str, ...]] = []
    if status not in DELETES and _DONE.search(sentence):
        words.append(_DELETED)
    if status not in STORES and not _ONCE.search(sentence):
        if _NEVER.search(sentence):
            words.append(_FORGOT)
        else:
            words += [_NOTED, _PROMISED] if _WILL.search(sentence) else [_NOTED]
    return words


def _runs(chat: ChatFormat, words: Sequence[str]) -> list[list[int]]:
    """The token ids of each of ``words``, with and without a space before it, small and capitalized."""
    spelled = {space + each for word in words for each in (word, word.capitalize()) for space in ("", " ")}
    return [chat.tokenizer.encode(each, add_special_tokens=False).ids for each in sorted(spelled)]
