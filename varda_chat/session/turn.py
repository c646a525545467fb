"""One turn as a value: what was said, and what the memory did for it. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from varda_chat.text import one_line, sanitize

if TYPE_CHECKING:
    from varda_chat.transcripts.records import StoredTurn


@dataclass(frozen=True)
class Remembered:
    """A statement that was stored, deleted or read."""

    id: int
    text: str


@dataclass(frozen=True)
class Recalled(Remembered):
    """A statement that an answer came from. ``weight``: 0 to 1, its largest share of any token of the reply (see
    TokenSources)."""

    weight: float


@dataclass(frozen=True)
class Exchange:
    """A prompt and the reply to it, as another program kept them. ``mentions``: the statements that the turn told or
    named, as far as they are known."""

    prompt: str
    reply: str
    mentions: frozenset[int] = frozenset()


@dataclass(frozen=True)
class TokenSources:
    """What one token of the reply was recalled from.

    start, end: its characters in the reply. shares: (statement id, share) of each statement that gave at least
    ``MENTIONED_SHARE``, the largest first. A share is of the token's probability, by copying; where the reply took the
    word from a statement that stood before it, how surely that statement answers, if that is more.
    """

    start: int
    end: int
    shares: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Turn:
    """One user message and the answer to it, with what the memory did.

    memory_size: vectors in memory afterwards. prompt_tokens: of the whole context that was read. seconds: from the
    message to the durable memory. stopped: the reply was stopped and is partial. sources: of the tokens that were
    recalled, in order. lookup_seconds: a search of the memory took so long, on average; 0 where there was none.
    left_window: so many of the oldest turns left the window to make room for this one. turn_id: in the transcript.
    status: what was decided when the message had been read (see models/configuration.py); "" for models that decide
    afterwards. read: the statements that stood before the reply, word for word. by_heart: the known line whose
    hand-written reply this is; "" for a reply that the model wrote. worked_out: whether it is the result of a sum.
    """

    prompt: str
    reply: str
    recalled: tuple[Recalled, ...] = ()
    stored: tuple[Remembered, ...] = ()
    deleted: tuple[Remembered, ...] = ()
    memory_size: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    seconds: float = 0.0
    stopped: bool = False
    sources: tuple[TokenSources, ...] = ()
    lookup_seconds: float = 0.0
    left_window: int = 0
    turn_id: int | None = None
    status: str = ""
    read: tuple[Remembered, ...] = ()
    by_heart: str = ""
    worked_out: bool = False

    def to_json(self) -> dict[str, Any]:
        """The turn as the object that ``--json`` prints."""
        return {
            "prompt": self.prompt,
            "reply": self.reply,
            "recalled": [{"id": r.id, "text": r.text, "weight": round(r.weight, 4)} for r in self.recalled],
            "stored": [{"id": s.id, "text": s.text} for s in self.stored],
            "deleted": [{"id": d.id, "text": d.text} for d in self.deleted],
            "memory_size": self.memory_size,
            "prompt_tokens": self.prompt_tokens,
            "reply_tokens": self.reply_tokens,
            "seconds": round(self.seconds, 4),
        }

    @property
    def owes_nothing(self) -> str:
        """Where it comes from, in words, if nothing was recalled for it."""
        if self.worked_out:
            return "Nothing was recalled for this answer: it was worked out."
        if self.by_heart:
            line = one_line(self.by_heart, 80)
            return f"Nothing was recalled for this answer: it is known by heart, as the reply to “{line}”."
        return "Nothing was recalled for this answer: it is the model's own."

    @property
    def mentions(self) -> frozenset[int]:
        """The statements that the turn told, named or read."""
        return frozenset(each.id for each in (*self.stored, *self.recalled, *self.read))

    def details(self) -> dict[str, Any]:
        """What the transcript keeps of the turn beside its words; ``from_stored`` reads it."""
        kept = self.to_json()
        del kept["prompt"], kept["reply"]
        kept["read"] = [{"id": each.id, "text": each.text} for each in self.read]
        if self.by_heart:
            kept["by_heart"] = self.by_heart
        if self.worked_out:
            kept["worked_out"] = True
        kept["sources"] = [
            [each.start, each.end, [[id_, round(share, 4)] for id_, share in each.shares]] for each in self.sources
        ]
        return kept

    @classmethod
    def from_stored(cls, stored: StoredTurn) -> Turn:
        """The turn as the transcript has it; what is missing there or not as it should be is left out."""
        details = stored.details
        return cls(
            prompt=stored.prompt,
            reply=stored.reply,
            recalled=tuple(
                Recalled(*_words(each), _number(each.get("weight"))) for each in _entries(details, "recalled")
            ),
            stored=tuple(Remembered(*_words(each)) for each in _entries(details, "stored")),
            deleted=tuple(Remembered(*_words(each)) for each in _entries(details, "deleted")),
            memory_size=int(_number(details.get("memory_size"))),
            prompt_tokens=int(_number(details.get("prompt_tokens"))),
            reply_tokens=int(_number(details.get("reply_tokens"))),
            seconds=_number(details.get("seconds")),
            stopped=stored.state == "stopped",
            sources=_sources(details.get("sources")),
            turn_id=stored.id,
            read=tuple(Remembered(*_words(each)) for each in _entries(details, "read")),
            by_heart=sanitize(str(details.get("by_heart") or "")),
            worked_out=details.get("worked_out") is True,
        )


MENTIONED_SHARE = 0.02
"""The least share of a token's probability for which a statement is named as its source."""


def _entries(details: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = details.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _words(entry: Mapping[str, Any]) -> tuple[int, str]:
    return int(_number(entry.get("id"))), sanitize(str(entry.get("text", "")))


def _number(value: object) -> float:
    finite = isinstance(value, (int, float)) and abs(value) < 2**53
    return float(value) if finite else 0.0  # type: ignore[arg-type]


def _sources(value: Any) -> tuple[TokenSources, ...]:
    try:
        return tuple(
            TokenSources(int(start), int(end), tuple((int(id_), float(share)) for id_, share in shares))
            for start, end, shares in value or ()
        )
    except (TypeError, ValueError, OverflowError):
        return ()
