"""Systems that rank the turns of a conversation for a question. Each is built from one conversation at a time.

A ranking is turn ids with scores, best first; turns that a system does not find are left out.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from training.evaluation.recall.controls import load_bm25s, search_words
from training.evaluation.recall.telling import open_store
from training.evaluation.retrieval.conversations import Conversation
from training.evaluation.retrieval.minilm import minilm_vectors
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.session.session import ChatSession

Ranking = tuple[tuple[str, float], ...]

DEPTH = 100
"""Turns that a system ranks at most."""
FUSION_CONSTANT = 60
"""k of reciprocal rank fusion: 1 / (k + rank), summed. Cormack, Clarke and Buettcher 2009, SIGIR."""


class Ranker(Protocol):
    """Ranks the turns of the conversation that it was built from. ``bytes``: what it keeps on disk or in RAM for them,
    None where that is not known."""

    bytes: int | None

    def rank(self, question: str) -> Ranking: ...


class Random:
    """Turns in random order: what guessing gives."""

    bytes: int | None = None

    def __init__(self, conversation: Conversation, seed: int) -> None:
        self._ids = [turn.id for turn in conversation.turns]
        self._seed = f"{seed}/{conversation.id}"

    def rank(self, question: str) -> Ranking:
        rng = random.Random(f"{self._seed}/{question}")
        drawn = rng.sample(self._ids, min(DEPTH, len(self._ids)))
        return tuple((each, rng.random()) for each in drawn)


class BM25:
    """bm25s with its defaults and English stop words. Turns that share no word with the question are left out."""

    bytes: int | None

    def __init__(self, conversation: Conversation) -> None:
        self._ids = [turn.id for turn in conversation.turns]
        self._index = load_bm25s().BM25()
        self._index.index(search_words([turn.text for turn in conversation.turns]), show_progress=False)
        arrays = (self._index.scores[name] for name in ("data", "indices", "indptr"))
        self.bytes = _text_bytes(conversation) + sum(int(each.nbytes) for each in arrays)

    def rank(self, question: str) -> Ranking:
        k = min(DEPTH, len(self._ids))
        places, scores = self._index.retrieve(search_words([question]), k=k, show_progress=False)
        found = zip(places[0], scores[0], strict=True)
        return tuple((self._ids[int(place)], float(score)) for place, score in found if score > 0)


class MiniLM:
    """Cosine similarity of all-MiniLM-L6-v2's sentence vectors."""

    bytes: int | None

    def __init__(self, conversation: Conversation) -> None:
        self._ids = [turn.id for turn in conversation.turns]
        self._vectors = minilm_vectors([turn.text for turn in conversation.turns])
        self.bytes = _text_bytes(conversation) + int(self._vectors.nbytes)

    def rank(self, question: str) -> Ranking:
        scores = self._vectors @ minilm_vectors([question])[0]
        return tuple((self._ids[int(i)], float(scores[i])) for i in np.argsort(-scores, kind="stable")[:DEPTH])


class ModelMemory:
    """The model's own memory, searched as in chat. A turn's score is the largest share that one of its statements has
    of what any token of the question reads."""

    bytes: int | None

    def __init__(self, session: ChatSession, conversation: Conversation, *, everything: bool) -> None:
        """``everything``: store every sentence of every turn; else what the model's gates store."""
        self._session = session
        self._turns: dict[int, list[str]] = {}
        for turn in conversation.turns:
            applied = session.memory.remember(turn.text) if everything else session.memory.learn(turn.role, turn.text)
            for statement in (*applied.stored, *applied.refreshed):
                self._turns.setdefault(statement.id, []).append(turn.id)
        self.bytes = None

    def rank(self, question: str) -> Ranking:
        best: dict[str, float] = {}
        for found in self._session.memory.search(question, DEPTH):
            for turn in self._turns.get(found.id, ()):
                best[turn] = max(best.get(turn, 0.0), found.weight)
        return tuple(sorted(best.items(), key=lambda item: -item[1]))


def fuse(rankings: Iterable[Ranking]) -> Ranking:
    """Reciprocal rank fusion."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, (turn, _) in enumerate(ranking, 1):
            scores[turn] = scores.get(turn, 0.0) + 1 / (FUSION_CONSTANT + rank)
    return tuple(sorted(scores.items(), key=lambda item: -item[1])[:DEPTH])


@contextmanager
def model_memory(checkpoint: Checkpoint, conversation: Conversation, *, everything: bool) -> Iterator[ModelMemory]:
    """The memory of a conversation in a temporary profile. Its ``bytes`` are known when the context ends: what it added
    to an empty memory on disk."""
    with tempfile.TemporaryDirectory(prefix="varda-retrieval-") as scratch:
        empty, directory = Path(scratch) / "empty", Path(scratch) / "memory"
        open_store(checkpoint, empty).close()
        with ChatSession(checkpoint, open_store(checkpoint, directory)) as session:
            ranker = ModelMemory(session, conversation, everything=everything)
            yield ranker
        ranker.bytes = _disk(directory) - _disk(empty)


def _disk(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.name in ("memory.db", "memory.faiss"))


def _text_bytes(conversation: Conversation) -> int:
    return sum(len(turn.text.encode()) for turn in conversation.turns)
