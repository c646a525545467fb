"""KnownReplies: hand-written replies to everyday lines, and which of them, if any, a model may say to a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from varda_chat.errors import CheckpointError
from varda_chat.models.adapters import KNOWN_REPLIES
from varda_chat.models.chat_format import ChatFormat, EncodedMessage

NEAREST, READ = 32, 8
"""Known lines that are looked at, the nearest to a line, and different replies of theirs that are read behind it."""
LONGEST = 32
"""Tokens of a line that may be answered by heart: a longer one says more than such a reply takes up."""


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
    def fitting(self, line: EncodedMessage, but: Sequence[str] = ()) -> Fitting | None:
        """The known reply that most probably fits ``line`` and is none of ``but``; None where none does."""
        if len(line.ids) > LONGEST:
            return None
        selector = self._model.response_selector
        nearest = [self.known[each] for each in selector.nearest(selector.vectors(self._model, [line.ids])[0], NEAREST)]
        by_reply: dict[str, KnownReply] = {}
        for each in nearest:
            by_reply.setdefault(each.reply, each)
        near = [each for each in by_reply.values() if each.reply not in but][:READ]
        if not near:
            return None
        read = [read_together(self._chat, line, each) for each in near]
        probable = selector(self._model, read).sigmoid()
        best = int(probable.argmax())
        found = Fitting(near[best], float(probable[best]))
        return found if found.probability > self._model.config.memory.response_threshold else None


def known_replies_of(model: Any, chat: ChatFormat, directory: Path) -> KnownReplies | None:
    """Those of the checkpoint in ``directory``; None for a model that knows none. Raises CheckpointError."""
    if getattr(model, "response_selector", None) is None:
        return None
    try:
        rows = [json.loads(line) for line in (directory / KNOWN_REPLIES).read_text("utf-8").splitlines()]
        return KnownReplies(model, chat, [KnownReply(str(row["line"]), str(row["reply"])) for row in rows])
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = str(error).splitlines()[0][:300]
        raise CheckpointError(f"The replies in {directory / KNOWN_REPLIES} cannot be used: {why}") from error


def write_known_replies(known: Sequence[KnownReply], directory: Path) -> None:
    """Write them to ``directory`` as ``known_replies_of`` reads them."""
    rows = (json.dumps({"line": each.line, "reply": each.reply}, ensure_ascii=False) for each in known)
    (directory / KNOWN_REPLIES).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
