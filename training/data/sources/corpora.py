"""The dialogue corpora: names, licences, attributions, and reading them from a directory of ``NAME.jsonl.xz`` files."""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.sources.catalogue import NAMED
from varda_chat.errors import DataError


@dataclass(frozen=True)
class Corpus:
    """A corpus of dialogues. ``weight``: how often it is read, relative to its size. ``about_people``: users in it
    tell facts about themselves, so nothing is said about which of their words deserve storing."""

    name: str
    files: tuple[str, ...]
    licence: str
    attribution: str
    weight: float = 1.0
    about_people: bool = False

    def paths(self, directory: Path) -> list[Path]:
        return [directory / f"{name}.jsonl.xz" for name in self.files]


CORPORA: tuple[Corpus, ...] = tuple(
    Corpus(
        named.name, tuple(stem for stem, split in named.files if split is None), named.licence, named.attribution,
        named.weight, named.about_people,
    )
    for named in NAMED.values()
    if named.bundled
)  # fmt: skip
"""What the bundled model reads, in this order: modern small talk."""

PERSONALITY_STYLE = "friendly"


@dataclass(frozen=True)
class Dialogue:
    """Turns of (role, text), roles "user" and "assistant" alternating."""

    corpus: str
    id: str
    turns: tuple[tuple[str, str], ...]


# names that say who the other answerer thinks it is; ours is Varda, and a program
_PLACEHOLDER = re.compile(r"\[[^\]]*name\]|\(User [12]\)|\bUser [12]\b", re.IGNORECASE)


# what the personality set's bot says of itself and of the user, which is not true of Varda: she has a name, and whether
# she knows where a user was born depends on her memory. None: not to be used
_NOT_HERS: dict[str, str | None] = {
    "Oh, I don't have a name.": "I'm Varda, a small language model with a memory.",
    "I'm a bot who was created by humans.": "I'm Varda, a small language model with a memory. I'm not a person.",
    "I come from a long line of code.": "I'm a program, so I come from a long line of code.",
    "I don't know you, but I enjoy chatting with you!": None,
    "Pretty much this.": "I chat, and I remember what you tell me.",
}


def read_dialogues(directory: Path, corpus: Corpus) -> Iterator[Dialogue]:
    """The dialogues of ``corpus`` found in ``directory``; raises DataError naming the file that is missing or, with its
    line, malformed."""
    for path in corpus.paths(directory):
        if not path.exists():
            raise DataError(
                f"Corpus {corpus.name}: {path} is missing. Give the directory that holds it with --data-dir."
            )
        number = 0
        try:
            with lzma.open(path, "rt", encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):  # noqa: B007 - the handlers below name it
                    dialogue = dialogue_of(corpus.name, json.loads(line))
                    if dialogue is not None:
                        yield dialogue
        except (EOFError, lzma.LZMAError) as error:
            raise DataError(f"{path} is damaged after line {number} ({error}). Fetch it again.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}, line {number}: not a dialogue record ({error}).") from error


def dialogue_of(corpus: str, record: Any) -> Dialogue | None:
    """The record's dialogue, None for one that is not to be used."""
    turns = [(turn["speaker"], turn["text"].strip()) for turn in record["turns"]]
    identity = str(record["id"])
    if record.get("style", PERSONALITY_STYLE) != PERSONALITY_STYLE:
        return None
    kept = _clean(turns)
    if any(text in _NOT_HERS for _, text in kept):
        hers = [(role, _NOT_HERS.get(text, text)) for role, text in kept]
        kept = [(role, text) for role, text in hers if text is not None]
        kept = kept if len(kept) == len(hers) else []
    return Dialogue(corpus, identity, tuple(kept)) if len(kept) >= 2 else None


def _clean(turns: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Alternating turns from a user's one on, without empty ones; nothing of a dialogue with placeholders."""
    if any(_PLACEHOLDER.search(text) for _, text in turns):
        return []
    kept: list[tuple[str, str]] = []
    for role, text in turns:
        if not text or (not kept and role != "user"):
            continue
        if kept and kept[-1][0] == role:
            kept[-1] = (role, f"{kept[-1][1]} {text}")
        else:
            kept.append((role, text))
    return kept


def is_validation(dialogue: Dialogue) -> bool:
    """Whether ``dialogue`` is kept for validation (about 2 %): by a stable hash; in msc by that of the pair of people,
    whose sessions must not be split."""
    import hashlib

    key = dialogue.id.rsplit("_", 1)[-1] if dialogue.corpus == "msc" else dialogue.id
    digest = hashlib.blake2s(f"{dialogue.corpus}/{key}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 50 == 0
