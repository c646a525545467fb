"""Generates one reply: streamed piece by piece, stoppable between tokens, reading a memory as it goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch

from varda_chat.config.defaults import GenerationSettings
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.decoding import decode
from varda_chat.models.gpt2 import VardaGPTAssociative, VardaGPTOutput
from varda_chat.models.memory_cache import MemoryCache
from varda_chat.models.results import Memory

SAID_NGRAM = 6
"""A reply that recalls nothing says no run of so many tokens that stood in one of the last few replies."""
REPEATED_NGRAM = 4
"""A reply says no run of this many tokens twice: small models fall into loops."""


class NoLoops:
    """Forbids a token that would repeat an n-gram of the reply (not of the prompt: answers may repeat that), or a
    longer one of ``earlier`` replies."""

    def __init__(self, n: int = REPEATED_NGRAM, earlier: Sequence[Sequence[int]] = ()) -> None:
        self.n = n
        self.followers: dict[tuple[int, ...], list[int]] = {}
        for reply in earlier:
            for i in range(len(reply) - SAID_NGRAM + 1):
                run = tuple(reply[i : i + SAID_NGRAM])
                self.followers.setdefault(run[:-1], []).append(run[-1])

    def banned(self, reply: Sequence[int]) -> list[int]:
        """The tokens that may not follow ``reply``."""
        banned = list(self.followers.get(tuple(reply[-(SAID_NGRAM - 1) :]), ()))
        if len(reply) >= self.n:
            last = list(reply[-(self.n - 1) :])
            banned += [
                reply[i + self.n - 1] for i in range(len(reply) - self.n + 1) if list(reply[i : i + self.n - 1]) == last
            ]
        return banned


class TextStreamer:
    """Hands each new piece of text to ``on_text``; holds back bytes that are not yet a whole character."""

    def __init__(self, chat: ChatFormat, on_text: Callable[[str], None]) -> None:
        self.chat = chat
        self.on_text = on_text
        self.ids: list[int] = []
        self.shown = ""

    def add(self, token: int) -> None:
        """Take the next token."""
        self.ids.append(token)
        text = self.chat.decode(self.ids).lstrip()
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):
            self._show(text)

    def end(self) -> None:
        """Show what is left."""
        self._show(self.chat.decode(self.ids).strip())

    def _show(self, text: str) -> None:
        if len(text) > len(self.shown) and text.startswith(self.shown):
            piece, self.shown = text[len(self.shown) :], text
            self.on_text(piece)


@torch.inference_mode()
def generate_reply(
    model: VardaGPTAssociative,
    chat: ChatFormat,
    prompt: Sequence[int],
    memory: Memory | None,
    settings: GenerationSettings,
    on_text: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> list[int]:
    """The reply's tokens to ``prompt`` (which ends with the assistant's role token), without ``<|end|>``.

    Reads ``memory`` at every token. ``on_text`` gets the text in pieces; ``stop``, once set, ends the reply after the
    token at hand.
    """
    room = model.config.n_positions - len(prompt)
    if room < 1:
        raise ValueError(f"the prompt of {len(prompt)} tokens leaves no room for a reply")
    loops, config = NoLoops(), model.config
    # an empty memory knows nothing, and a reply that says so needs no second thought
    holds_something = memory is not None and getattr(memory, "size", 1) > 0
    abstention = config.admission_token_id if holds_something else None

    def forbidden(reply: list[int], output: VardaGPTOutput) -> list[int]:
        unsure = (
            [] if reply or abstention is None or _finds_nothing(output, config.admission_threshold) else [abstention]
        )
        return [*chat.banned, *loops.banned(reply), *unsure]

    streamer = TextStreamer(chat, on_text) if on_text is not None else None
    reply = decode(
        model,
        prompt,
        MemoryCache(config=config),
        settings,
        limit=min(settings.max_new_tokens, room),
        end_id=chat.end_id,
        forbidden=forbidden,
        on_token=None if streamer is None else streamer.add,
        stop=stop,
        memory=memory,
    )
    if streamer is not None:
        streamer.end()
    return reply[:-1] if reply[-1] == chat.end_id else reply


def _finds_nothing(output: VardaGPTOutput, threshold: float) -> bool:
    """Whether the search found so little that a reply may begin with an abstention: the no-match slot's share at the
    end of the prompt exceeds ``threshold``."""
    weights = output.read_weights
    return weights is None or float(1.0 - weights[0, -1].sum()) > threshold
