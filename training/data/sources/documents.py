"""A document, the unit that text is split by: its words or turns, when two are the same, and which split one is in."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)
PERSONA_CORPUS = "msc"
"""Multi-Session Chat, whose sessions of the same two people are one document."""

_NOT_WORDS = re.compile(r"[^\w]+")


@dataclass(frozen=True)
class Document:
    """Plain ``text``, or the ``turns`` of a dialogue as (role, text), roles "user" and "assistant" alternating.

    split: the official one, None where the corpus has none. key: what decides about the split otherwise; documents of
    equal keys are never parted.
    """

    id: str
    text: str = ""
    turns: tuple[tuple[str, str], ...] = ()
    split: Split | None = None
    key: str = ""

    @property
    def words(self) -> int:
        """Words separated by white space."""
        return len(self.text.split()) + sum(len(text.split()) for _, text in self.turns)

    @property
    def lines(self) -> int:
        return self.text.count("\n") + len(self.turns)

    def digests(self) -> tuple[bytes, bytes]:
        """Hashes that are equal for equal documents, and for documents that differ in case, accents' encoding,
        punctuation or white space only."""
        exact = "\0".join((self.text, *(f"{role}\1{text}" for role, text in self.turns)))
        same = _NOT_WORDS.sub(" ", unicodedata.normalize("NFKC", exact.replace("\1", " ")).casefold()).strip()
        return _digest(exact), _digest(same or exact)


def _digest(text: str) -> bytes:
    return hashlib.blake2s(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def place(corpus: str, key: str, seed: int = 0) -> float:
    """Where in 0 … 1 a document lies, by a stable hash: below the held-out share it is validation, below twice that
    test. With seed 0 the lowest fiftieth is what ``corpora.is_validation`` keeps for validation."""
    name = f"{corpus}/{key}" if seed == 0 else f"{seed}/{corpus}/{key}"
    number = int.from_bytes(hashlib.blake2s(name.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big")
    return (number % 50 + (number // 50) / (2**32 // 50 + 1)) / 50


@dataclass
class BadLines:
    """Lines that could not be read: how many, and the first few with file, line and reason."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def note(self, path: Path | str, line: int, reason: str) -> None:
        self.count += 1
        if len(self.first) < 10:
            self.first.append(f"{path}, line {line}: {reason}")


@dataclass(frozen=True)
class Source:
    """Documents to prepare. ``open_splits``: those that are to be drawn from the documents without an official one;
    the first is "train". ``stamp``: what names the content where there are no files."""

    name: str
    licence: str
    attribution: str
    files: tuple[Path, ...]
    read: Callable[[BadLines], Iterator[Document]]
    open_splits: tuple[Split, ...] = SPLITS
    weight: float = 1.0
    about_people: bool = True
    stamp: str = ""
