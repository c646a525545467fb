"""The session behind the endpoint: clients send their whole conversation each time; this finds what is new in it."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace

from varda_chat.api.asking import Asked
from varda_chat.session.context import RESUMED_TURNS
from varda_chat.session.session import ChatSession
from varda_chat.session.turn import Exchange, Turn
from varda_chat.text import sanitize

_KNOWN_TURNS = 4096
"""So many of the turns that were made here are known with what they told and named, when a client sends them again."""

_Said = tuple[str, str]


class Conversation:
    """Answers requests by ``session``, one at a time.

    A request whose exchanges are those that the session has in mind is its next turn. One that asks the last prompt
    again replaces the last turn, as ``/regenerate`` does. One without exchanges begins a new session. Any other
    conversation is read into the window first.
    """

    def __init__(self, session: ChatSession) -> None:
        self.session = session
        self.defaults = session.generation
        self._said: deque[_Said] = deque(maxlen=RESUMED_TURNS)
        self._mentions: OrderedDict[_Said, frozenset[int]] = OrderedDict()

    def reply(self, asked: Asked, on_text: Callable[[str], None], stop: threading.Event) -> Turn:
        """The turn that ``asked`` is. Raises as ``ChatSession.reply`` does."""
        past = [_said(each.prompt, each.reply) for each in asked.past]
        instead = self._is_last_again(past, asked.prompt)
        if not instead and not self._is_open(past):
            self._open(asked.past, past)
        self.session.generation = asked.generation
        if asked.generation.seed is not None:
            import torch

            torch.manual_seed(asked.generation.seed)
        pieces: list[str] = []

        def hear(piece: str) -> None:
            pieces.append(piece)
            on_text(piece)

        turn = self.session.reply(asked.prompt, on_text=hear, stop=stop, instead=instead)
        if instead:
            self._said.pop()
        said = _said(asked.prompt, "".join(pieces) if asked.stream else turn.reply)
        self._said.append(said)
        self._mentions[said] = turn.mentions
        self._mentions.move_to_end(said)
        while len(self._mentions) > _KNOWN_TURNS:
            self._mentions.popitem(last=False)
        return turn

    def _is_open(self, past: list[_Said]) -> bool:
        """Whether the session continues ``past``; a client may leave the beginning out."""
        return list(self._said)[-len(past) :] == past if past else not self._said

    def _is_last_again(self, past: list[_Said], prompt: str) -> bool:
        if not self._said or self._said[-1][0] != _plain(prompt):
            return False
        before = list(self._said)[:-1]
        return before[-len(past) :] == past if past else not before

    def _open(self, exchanges: tuple[Exchange, ...], past: list[_Said]) -> None:
        self._said.clear()
        self.session.follow(
            [
                replace(each, mentions=self._mentions.get(said, frozenset()))
                for each, said in zip(exchanges, past, strict=True)
            ]
        )
        self._said.extend(past)


def _said(prompt: str, reply: str) -> _Said:
    return _plain(prompt), _plain(reply)


def _plain(text: str) -> str:
    """``text`` without what a client may change of it."""
    return " ".join(sanitize(text).split())
