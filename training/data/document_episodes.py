"""Episodes of real text: consecutive segments of one document, of which each reads what the earlier ones stored. A rare
word that an earlier segment had, and the one at hand not yet, is what the memory should find."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.dialogue_rows import TokenisedDialogue
from training.data.episodes import EpisodeArrays
from training.data.recurring import STORE_RECURRING, Places, label_recurring
from varda_chat.models.chat_format import ChatFormat

STORE_OTHER = 0.05
"""Weight of "do not store" on words that do not come up again: what does not soon may do so later."""
RARE = 3e-4
"""A word is rare when one of its tokens is a smaller share of all tokens than this, or it has several."""
SHORTEST_WORD = 4
_WORD_MARK = "\u0120"
"""What byte-level BPE writes for the blank in front of a word."""


class TextEpisodes:
    """Draws episodes from documents of at least two segments.

    Args:
        counts: (vocabulary,) occurrences of each token in training.
    """

    def __init__(self, documents: Sequence[TokenisedDialogue], chat: ChatFormat, counts: NDArray[np.int64]) -> None:
        self.documents = documents
        self.pad_id = chat.end_id
        lengths: Sequence[int] = getattr(documents, "lengths", None) or [len(d.ids) for d in documents]
        self.lengths = np.array(lengths)
        words = [chat.tokenizer.id_to_token(token) or "" for token in range(len(counts))]
        self.begins = np.array([word[:1] == _WORD_MARK and word[1:].isalpha() for word in words])
        self.goes_on = np.array([word.isalpha() for word in words]) & ~self.begins
        self.letters = np.array([len(word) - (word[:1] == _WORD_MARK) for word in words])
        self.share = counts / max(1, counts.sum())

    def usable(self, length: int) -> bool:
        """Whether there is a document with two segments of ``length`` tokens."""
        return bool((self.lengths >= 2 * length).any())

    def build(self, rng: random.Random, sessions: int, length: int) -> EpisodeArrays:
        """One episode of ``sessions`` segments of ``length`` tokens, fewer where the document is shorter."""
        arrays = EpisodeArrays.empty(sessions, length, self.pad_id)
        long = np.flatnonzero(self.lengths >= 2 * length)
        weight = np.cumsum(self.lengths[long])
        document = self.documents[int(long[np.searchsorted(weight, rng.random() * weight[-1], side="right")])]
        start = rng.randint(0, max(0, len(document.ids) - sessions * length))
        first, talk = int(document.turn[start]), bool(document.turn[-1] > 0)
        for session in range(sessions):
            here = slice(start + session * length, min(start + (session + 1) * length, len(document.ids)))
            n = here.stop - here.start
            if n <= 1:
                break
            arrays.ids[session, :n] = document.ids[here]
            arrays.valid[session, :n] = True
            # text has no turns: a segment is stored when it ends
            arrays.turn[session, :n] = document.turn[here] - first if talk else session
            sentence = document.sentence[here]
            inside = sentence[sentence >= 0]
            begin = int(inside[0]) if len(inside) else 0
            arrays.sentence[session, :n] = np.where(sentence >= 0, sentence - begin, -1)
            arrays.target_weight[session, : n - 1] = 1.0
            arrays.store_label[session, :n] = 0
            arrays.store_weight[session, :n] = STORE_OTHER
        self._label(arrays, rng)
        return arrays

    def _label(self, arrays: EpisodeArrays, rng: random.Random) -> None:
        places = self._words(arrays)
        recurring = [word for word, here in places.items() if len({segment for segment, _, _ in here}) > 1]
        for word in recurring:  # worth storing, with or without room for a statement
            for segment, at, n in places[word]:
                arrays.store_label[segment, at : at + n] = 1
                arrays.store_weight[segment, at : at + n] = STORE_RECURRING
        # the rarer, the likelier to be among those that have room (weighted sampling by Efraimidis and Spirakis, 2006)
        key = {word: rng.random() ** (1 / self._rarity(word)) for word in sorted(recurring)}
        label_recurring(arrays, places, sorted(recurring, key=lambda word: -key[word]))

    def _rarity(self, word: tuple[int, ...]) -> float:
        return max(0.1, -math.log(max(1e-9, float(self.share[list(word)].min()))))

    def _words(self, arrays: EpisodeArrays) -> dict[Any, Places]:
        """Where each rare word stands; one that a segment's border cuts is left out."""
        places: dict[Any, Places] = {}
        for segment in range(len(arrays.ids)):
            end = int(arrays.valid[segment].sum())
            ids = arrays.ids[segment, :end]
            begins, goes_on = self.begins[ids], self.goes_on[ids]
            for at in np.flatnonzero(begins).tolist():
                stop = at + 1
                while stop < end and goes_on[stop]:
                    stop += 1
                word = tuple(ids[at:stop].tolist())
                rare = len(word) > 1 or self.share[word[0]] < RARE
                if rare and stop < end and self.letters[list(word)].sum() >= SHORTEST_WORD:
                    places.setdefault(word, []).append((segment, at, stop - at))
        return places
