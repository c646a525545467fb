"""ReplyWriter: reads a session once, token by token as it grows, and writes replies on what was decided.

The cache holds the session's own past, so that a turn costs its own tokens alone. For models with a MemoryLayer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from varda_chat.config.defaults import GenerationSettings
from varda_chat.models.abstentions import Abstentions
from varda_chat.models.chat_format import ChatFormat, EncodedMessage
from varda_chat.models.claims import Claims
from varda_chat.models.configuration import STATUSES
from varda_chat.models.decoding import decode
from varda_chat.models.generation import NoLoops, TextStreamer
from varda_chat.models.memory_cache import MemoryCache

LOOP_NGRAM = 3
"""A reply says no run of so many tokens twice."""


@dataclass(frozen=True)
class Written:
    """A reply: its token ids without header and end, and for each token the results that it was read with: vector ids
    (n, k) and their shares of the token's probability (n, k); both None where nothing was read."""

    ids: list[int]
    result_ids: Tensor | None
    shares: Tensor | None


class ReplyWriter:
    """Reads and writes for one session; not shared between threads. ids: the tokens that it has read."""

    def __init__(self, model: Any, chat: ChatFormat) -> None:
        self.model, self.chat = model, chat
        self._claims, self._abstentions = Claims(chat), Abstentions(chat)
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next reading starts over."""
        self._cache = MemoryCache(config=self.model.config)
        self.ids: list[int] = []

    def read(self, ids: Sequence[int], memory: Any, statements: Sequence[int]) -> tuple[Any, int]:
        """Read ``ids``, the whole context up to the end of the person's line, with the ``statements`` of its tokens.
        Returns the pass over what had not been read yet, and the position in ``ids`` where that begins."""
        known = len(self.ids)
        # a reply that was broken off by an error has been read further than is known here
        whole = known == self._cache.get_seq_length()
        if not whole or known >= len(ids) or list(ids[:known]) != self.ids:
            self.reset()
            known = 0
        new = torch.tensor([list(ids[known:])], device=self.model.device)
        output = self.model(
            new, memory=memory, past_key_values=self._cache, use_cache=True, logits_to_keep=1,
            statements=torch.tensor([list(statements[known:])], device=self.model.device),
        )  # fmt: skip
        self.ids = list(ids)
        return output, known

    def write(
        self,
        status: int,
        memory: Any,
        settings: GenerationSettings,
        on_text: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
        earlier: Sequence[Sequence[int]] = (),
        note: Sequence[int] = (),
        admits: bool | None = None,
    ) -> Written:
        """Write the reply to what was read last, on ``status`` and ``note``, reading ``memory``. ``on_text`` gets the
        text in pieces; ``stop``, once set, ends the reply after the token at hand; ``earlier``: replies not to
        repeat; ``admits``: whether it has to admit that it does not know, None where it may and need not."""
        prompt = [*self.ids, *note, *self.chat.reply_prompt]
        room = self.model.config.n_positions - len(prompt)
        if room < 1:
            raise ValueError(f"the prompt of {len(prompt)} tokens leaves no room for a reply")
        end, loops, decided = self.chat.end_id, NoLoops(LOOP_NGRAM, earlier), STATUSES[status]
        streamer = TextStreamer(self.chat, on_text) if on_text is not None else None
        with self._watching() as read:
            reply = decode(
                self.model,
                prompt,
                self._cache,
                settings,
                limit=min(settings.max_new_tokens, room),
                end_id=end,
                forbidden=lambda reply, _: self._forbidden(reply, loops, decided, admits),
                on_token=None if streamer is None else streamer.add,
                stop=stop,
                memory=memory,
                status=torch.tensor([status], device=self.model.device),
            )
        if streamer is not None:
            streamer.end()
        self.ids = [*prompt, *reply[:-1]]  # the last token was chosen and not read
        reply = reply[:-1] if reply[-1] == end else reply
        if not read:
            return Written(reply, None, None)
        ids = torch.cat([each for each, _ in read])[: len(reply)]
        shares = torch.cat([each for _, each in read])[: len(reply)]
        return Written(reply, ids, shares)

    def _forbidden(self, reply: Sequence[int], loops: NoLoops, decided: str, admits: bool | None) -> Sequence[int]:
        """The tokens that may not follow ``reply``. What has to be admitted may have been admitted before."""
        abstentions = self._abstentions.banned(reply, admits)
        if admits and abstentions:
            return abstentions
        claims = self._claims.banned(reply, decided)
        return [*self.chat.banned, *loops.banned(reply), *claims, *abstentions]

    @contextmanager
    def _watching(self) -> Iterator[list[tuple[Tensor, Tensor]]]:
        """Collects, of each pass, the results behind the next token and their shares of it, (1, k) each."""
        found: list[tuple[Tensor, Tensor]] = []

        def note(_module: Any, _inputs: Any, output: Any) -> None:
            if output.read_weights is not None and output.search_results is not None:
                copied = torch.sigmoid(output.copy_decision[0, -1:]) * output.read_weights[0, -1:]
                found.append((output.search_results.ids[0, -1:], copied))

        hook = self.model.register_forward_hook(note)
        try:
            yield found
        finally:
            hook.remove()


def message_of_reply(chat: ChatFormat, ids: Sequence[int], note: Sequence[int] = ()) -> tuple[str, EncodedMessage]:
    """The text of a reply's token ids, and the message that it is, of these very tokens (reading the text again might
    cut copied words otherwise), behind ``note``."""
    whole = chat.decode(ids)
    lead = len(whole) - len(whole.lstrip())
    ends = [max(0, len(chat.decode(ids[: i + 1]).rstrip("\N{REPLACEMENT CHARACTER}")) - lead) for i in range(len(ids))]
    offsets = list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []
    header, footer = chat.reply_prompt, chat.footer
    text = whole.strip()
    message = EncodedMessage(
        role="assistant",
        ids=[*header, *ids, *footer],
        sentence=[-1] * (len(header) + len(ids) + len(footer)),
        word=[-1] * (len(header) + len(ids) + len(footer)),
        sentences=[text] if text else [],
        offsets=[*[(0, 0)] * len(header), *offsets, *[(len(text), len(text))] * len(footer)],
        header=len(header),
        footer=len(footer),
    )
    return text, message.led_by(note)
