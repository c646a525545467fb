"""Wordings that go around facts, by what they are for, and words that stand for others: ``wordings.jsonl`` and
``words.jsonl``, which README.md describes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from training.tables import check_keys, read_table, texts

HERE: Final = Path(__file__).parent


def load_wordings(path: Path) -> dict[str, tuple[str, ...]]:
    """The texts by use, in order; a text that stands twice is drawn twice as often."""
    found: dict[str, tuple[str, ...]] = {}

    def add(record: dict[str, Any]) -> None:
        check_keys(record, ("use", "text"))
        use, text = record["use"], record["text"]
        if not isinstance(use, str) or not isinstance(text, str):
            raise ValueError("'use' and 'text' must be texts")
        found[use] = (*found.get(use, ()), text)

    read_table(path, add)
    return found


def load_words(path: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    """By use, the words that can stand for each word."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}

    def add(record: dict[str, Any]) -> None:
        check_keys(record, ("use", "word", "as"))
        others = texts(record, "as")
        if not others or record["word"] in found.setdefault(record["use"], {}):
            raise ValueError(f"{record['word']!r} has no other word or has been given before")
        found[record["use"]][record["word"]] = others

    read_table(path, add)
    return found


WORDINGS: Final = load_wordings(HERE / "wordings.jsonl")
WORDS: Final = load_words(HERE / "words.jsonl")


def one_word(use: str) -> dict[str, str]:
    """For each word of ``use``, the first word that stands for it."""
    return {word: others[0] for word, others in WORDS[use].items()}
