"""Abstentions: a reply admits not to know where memory holds nothing, and does not where it holds the answer."""

from __future__ import annotations

from collections.abc import Sequence

from varda_chat.models.chat_format import ChatFormat

BEGINNINGS = ("I don't know", "You haven't told me", "I don't think you've told me")
"""How a reply admits it."""


class Abstentions:
    """Forbids the tokens by which a reply would begin otherwise than it has to."""

    def __init__(self, chat: ChatFormat) -> None:
        messages = [chat.encode("assistant", each) for each in BEGINNINGS]
        self._runs = [each.ids[each.header : -each.footer] for each in messages]
        self._vocabulary = range(chat.tokenizer.get_vocab_size())

    def banned(self, reply: Sequence[int], admits: bool | None) -> Sequence[int]:
        """The tokens that may not follow ``reply``. admits: whether it has to; None where it may and need not."""
        begun = [run for run in self._runs if len(run) > len(reply) and run[: len(reply)] == list(reply)]
        if admits is None or not begun:
            return ()
        if admits:
            allowed = {run[len(reply)] for run in begun}
            return [token for token in self._vocabulary if token not in allowed]
        # by its second word it is one
        return [run[1] for run in begun] if len(reply) == 1 else ()
