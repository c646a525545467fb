"""EpisodeArrays: labelled sessions as token arrays, whatever they were made of.

Sessions that a run has saved (``training/adapter/read_sessions.py``) name this class by its module: it stays here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NONE, NULL = -1, -2
"""Target statement of a token that is not supervised; of one that should find nothing."""
ALIVE = 1 << 30
"""The turn that ends a statement that no turn ends."""
STATEMENTS = 20
"""Statements an episode can hold."""
TOPICS = 32
"""Relations an episode can touch."""

Exchange = tuple[str, str]
"""A user's line and its answer."""


@dataclass
class EpisodeArrays:
    """One episode, or a stack of them along a first axis. S sessions, T tokens; padding at the end of each session.

    ids (S, T) int64; valid (S, T) bool; turn (S, T) int32, counted through the episode, -1 for padding.
    sentence (S, T) int32: which sentence or clause of its session a token stands in, -1 for none.
    target_weight (S, T): language-model weight of predicting token t + 1 at t.
    target_statement (S, T): statement whose vector, of token t + 1, a query at t should find; NULL, NONE.
    probe (S, T) bool: any vector of the target statement will do, whatever its token.
    store_label (S, T) int8: 1 store, 0 not, -1 nothing known. store_weight (S, T): weight of that label.
    statement (S, T): statement of a token to be stored, else NONE.
    created_turn (STATEMENTS,) turn in which a statement was made, -1 for none; deleted_turn (STATEMENTS,) turn that
    ended it, or ALIVE; forgotten (STATEMENTS,) bool: what it is about was to be forgotten, not corrected.
    topic (STATEMENTS,): number of the topic a statement is about, -1 where it has none.
    topics (TOPICS,): numbers of all topics that are told or asked for, -1 for none.
    """

    ids: NDArray[np.int64]
    valid: NDArray[np.bool_]
    turn: NDArray[np.int32]
    sentence: NDArray[np.int32]
    target_weight: NDArray[np.float32]
    target_statement: NDArray[np.int32]
    probe: NDArray[np.bool_]
    store_label: NDArray[np.int8]
    store_weight: NDArray[np.float32]
    statement: NDArray[np.int32]
    created_turn: NDArray[np.int32]
    deleted_turn: NDArray[np.int32]
    forgotten: NDArray[np.bool_]
    topic: NDArray[np.int32]
    topics: NDArray[np.int32]

    @classmethod
    def empty(cls, sessions: int, length: int, pad_id: int) -> EpisodeArrays:
        shape = (sessions, length)
        return cls(
            ids=np.full(shape, pad_id, np.int64),
            valid=np.zeros(shape, np.bool_),
            turn=np.full(shape, -1, np.int32),
            sentence=np.full(shape, -1, np.int32),
            target_weight=np.zeros(shape, np.float32),
            target_statement=np.full(shape, NONE, np.int32),
            probe=np.zeros(shape, np.bool_),
            store_label=np.full(shape, -1, np.int8),
            store_weight=np.zeros(shape, np.float32),
            statement=np.full(shape, NONE, np.int32),
            created_turn=np.full(STATEMENTS, -1, np.int32),
            deleted_turn=np.full(STATEMENTS, ALIVE, np.int32),
            forgotten=np.zeros(STATEMENTS, np.bool_),
            topic=np.full(STATEMENTS, -1, np.int32),
            topics=np.full(TOPICS, -1, np.int32),
        )

    @classmethod
    def stack(cls, episodes: Sequence[EpisodeArrays]) -> EpisodeArrays:
        return cls(**{name: np.stack([getattr(e, name) for e in episodes]) for name in cls.__dataclass_fields__})

    def part(self, start: int, end: int) -> EpisodeArrays:
        """Episodes ``start`` to ``end`` of a stack."""
        return EpisodeArrays(**{name: getattr(self, name)[start:end] for name in self.__dataclass_fields__})
