"""KnownReplies: hand-written replies to everyday lines, and which of them, if any, a model may say to a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from varda_chat.errors import CheckpointError, VardaError
from varda_chat.models.adapters import KNOWN_REPLIES
from varda_chat.models.chat_format import ChatFormat, EncodedMessage
from varda_chat.storage.regular import read_regular
from varda_chat.text import sanitize

NEAREST, READ = 32, 8
"""Known lines that are looked at, the nearest to a line, and different replies of theirs that are read behind it."""
LONGEST = 40
"""Tokens of a line that may be answered by heart: a longer one says more than such a reply takes up."""
MAX_FILE = 1 << 25
"""Bytes of the known replies."""


@dataclass(frozen=True)
class KnownReply:
    """A line and the reply that was written for it."""

    line: str
    reply: str


@dataclass(frozen=True)
class Fitting:
    """A known reply, and how probable it is that it fits."""

    known: KnownReply
    probability: float


def read_together(chat: ChatFormat, line: EncodedMessage, known: KnownReply) -> list[int]:
    """The tokens in which a model reads ``line`` with a known line and its reply behind it."""
    return [*line.ids, *chat.note("recalled", (known.line, known.reply)), *chat.reply_prompt]


class KnownReplies:
    """The known replies of a checkpoint. Raises ValueError where there are not as many as the model has vectors."""

    def __init__(self, model: Any, chat: ChatFormat, known: Sequence[KnownReply]) -> None:
        vectors = len(model.response_selector.known)
        if len(known) != vectors:
            raise ValueError(f"{KNOWN_REPLIES} has {len(known)} replies, the model has {vectors}")
        self.known = tuple(known)
        self._model, self._chat = model, chat

    @torch.inference_mode()
    def fitting(self, line: EncodedMessage, but: Sequence[str] = (), *, told: bool = False) -> Fitting | None:
        """The known reply that most probably fits ``line`` and is none of ``but``; None where none does. ``told``:
        whether the line tells what is worth storing, which most replies do not take up."""
        memory = self._model.config.memory
        least = memory.response_told_threshold if told else memory.response_threshold
        if len(line.ids) > LONGEST or least >= 1:
            return None
        near = self._near(line, but)
        if not near:
            return None
        read = [read_together(self._chat, line, each) for each in near]
        probable = self._model.response_selector(self._model, read).sigmoid()
        best = int(probable.argmax())
        found = Fitting(near[best], float(probable[best]))
        return found if found.probability > least else None

    def _near(self, line: EncodedMessage, but: Sequence[str]) -> list[KnownReply]:
        """The known replies to try, each once, as of the nearest line that it was written for."""
        selector = self._model.response_selector
        vector = selector.vectors(self._model, [line.ids])[0]
        found: dict[str, KnownReply] = {}
        for each in (self.known[number] for number in selector.nearest(vector, NEAREST)):
            if each.reply not in but:
                found.setdefault(each.reply, each)
        return list(found.values())[:READ]


def known_replies_of(model: Any, chat: ChatFormat, directory: Path) -> KnownReplies | None:
    """Those of the checkpoint in ``directory``; None for a model that knows none. Raises CheckpointError."""
    if getattr(model, "response_selector", None) is None:
        return None
    try:
        lines = read_regular(directory / KNOWN_REPLIES, MAX_FILE).decode().splitlines()
        return KnownReplies(model, chat, [_known_reply(json.loads(line)) for line in lines])
    except (OSError, VardaError, ValueError, KeyError, TypeError) as error:
        why = str(error).splitlines()[0][:300]
        raise CheckpointError(f"The replies in {directory / KNOWN_REPLIES} cannot be used: {why}") from error


def _known_reply(row: dict[str, Any]) -> KnownReply:
    return KnownReply(sanitize(str(row["line"])), sanitize(str(row["reply"])))


def write_known_replies(known: Sequence[KnownReply], directory: Path) -> None:
    """Write them to ``directory`` as ``known_replies_of`` reads them."""
    rows = ({"line": each.line, "reply": each.reply} for each in known)
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    (directory / KNOWN_REPLIES).write_text(text, encoding="utf-8")
