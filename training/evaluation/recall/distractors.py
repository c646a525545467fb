"""Distractors: vectors that the checkpoint itself makes of unrelated real chat, as records like any other.

Taken are the tokens of user lines that the model would soonest store, which is harder than random ones. The lines come
from the validation parts of corpora whose users do not tell about themselves; where those have too few words, from the
rest of the same corpora.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from training.data.sources.corpora import CORPORA, Dialogue, is_validation, read_dialogues
from training.evaluation.recall.reading import ReadToken, as_statements, read_session
from varda_chat.errors import DataError
from varda_chat.memory import MemoryStore, NewStatement, TurnChanges
from varda_chat.models.checkpoint import Checkpoint

SOURCES = ("topical_chat", "wizard_of_wikipedia", "wizard_of_internet", "self_dialogue", "casino")
_LONGEST = 300
_TOKENS_EACH = 4
"""Tokens read for each vector wanted, of which the likeliest to be stored is taken."""


class Distractors:
    """The first ``n`` distractors, for any ``n`` up to ``count``: a smaller number is the beginning of a larger."""

    def __init__(self, tokens: Sequence[ReadToken]) -> None:
        self._tokens = tuple(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    @classmethod
    def of(cls, checkpoint: Checkpoint, lines: Iterator[str], count: int, seed: int = 0) -> Distractors:
        """The ``count`` tokens likeliest to be stored among those of as many of ``lines`` as are needed, each line read
        alone. Raises DataError where the lines have fewer tokens."""
        tokens: list[ReadToken] = []
        known: set[str] = set()
        for number, line in enumerate(lines):
            if len(tokens) >= count * _TOKENS_EACH:
                break
            # the memory takes what it is told twice for one thing
            read = [t for t in read_session(checkpoint, [(line, None)], first=number) if t.text not in known]
            known.update(token.text for token in read)
            tokens += read
        if len(tokens) < count:
            raise DataError(f"There is too little real chat for {count:,} distractors: {len(tokens):,} tokens.")
        tokens.sort(key=lambda token: -token.vector.strength)
        by_line: dict[int, list[ReadToken]] = {}
        for token in tokens[:count]:
            by_line.setdefault(token.message, []).append(token)
        order = sorted(by_line)
        random.Random(seed).shuffle(order)
        return cls([token for number in order for token in by_line[number]])

    def statements(self, start: int, end: int) -> tuple[NewStatement, ...]:
        """Distractors ``start`` to ``end`` as statements to store. Each bears a number: two lines that share a sentence
        are two."""
        found = as_statements(self._tokens[start:end])
        return tuple(replace(each, text=f"{each.text} ({start + i})") for i, each in enumerate(found))

    def add(self, store: MemoryStore, start: int, end: int) -> None:
        """Store distractors ``start`` to ``end``."""
        store.apply(TurnChanges(stores=self.statements(start, end)), session="distractors")


def unrelated_lines(data_dir: Path, seed: int = 0) -> Iterator[str]:
    """User lines of the SOURCES in ``data_dir``, in random order: the held-out ones, then the others. Raises DataError
    where a corpus is missing."""
    held: list[Dialogue] = []
    others: list[Dialogue] = []
    for corpus in CORPORA:
        if corpus.name in SOURCES:
            for dialogue in read_dialogues(data_dir, corpus):
                (held if is_validation(dialogue) else others).append(dialogue)
    rng = random.Random(seed)
    for dialogues in (held, others):
        lines = [text for d in dialogues for role, text in d.turns if role == "user" and len(text) <= _LONGEST]
        rng.shuffle(lines)
        yield from lines
