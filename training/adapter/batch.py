"""SessionBatch: labelled sessions as tensors, and the memory that their tokens see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from training.adapter.labels import Session
from training.data.episodes import ALIVE, STATEMENTS, EpisodeArrays
from training.episodes.memory import EpisodeMemory
from varda_chat.models.results import MASKED_SCORE


@dataclass(frozen=True)
class SessionBatch:
    """E people with S sessions of T tokens; model rows: E*S.

    Arrays as of EpisodeArrays, with E in front. status (E, S, T). Of the U turns of all people, in a row: person, row
    (of the model), end (place of the user message's end), turn, intent, target (U,), real (U,) bool.
    """

    ids: Tensor
    valid: Tensor
    turn: Tensor
    sentence: Tensor
    target_weight: Tensor
    target_statement: Tensor
    store_label: Tensor
    store_weight: Tensor
    statement: Tensor
    created_turn: Tensor
    deleted_turn: Tensor
    topic: Tensor
    topics: Tensor
    status: Tensor
    person: Tensor
    row: Tensor
    end: Tensor
    turn_number: Tensor
    intent: Tensor
    target: Tensor
    real: Tensor

    @classmethod
    def of(cls, sessions: Sequence[Session]) -> SessionBatch:
        arrays = EpisodeArrays.stack([each.arrays for each in sessions])
        count = arrays.ids.shape[1]
        labels = [(person, label) for person, session in enumerate(sessions) for label in session.turns]

        def column(name: str) -> Tensor:
            return torch.tensor([getattr(label, name) for _, label in labels])

        person = torch.tensor([person for person, _ in labels])
        fields = ("ids", "valid", "turn", "sentence", "target_weight", "target_statement", "store_label",
                  "store_weight", "statement", "created_turn", "deleted_turn", "topic", "topics")  # fmt: skip
        return cls(
            **{name: torch.from_numpy(getattr(arrays, name)) for name in fields},
            status=torch.from_numpy(np.stack([each.status for each in sessions])).long(),
            person=person, row=person * count + column("session"), end=column("end"), turn_number=column("turn"),
            intent=column("intent"), target=column("target"), real=column("real"),
        )  # fmt: skip

    @property
    def rows(self) -> Tensor:
        """(E*S, T) ids."""
        return self.ids.flatten(0, 1)

    def statements(self) -> Tensor:
        """(E*S, T): statement of its row that each token belongs to, -1 for none."""
        return self.sentence.flatten(0, 1).long()

    def statement_vectors(self, vectors: Tensor) -> Tensor:
        """Of each statement of each turn's person one vector, that of its first token: vectors (E*S, T, D) or (E, N, D)
        -> (U, STATEMENTS, D); any for statements that there are not (``lifetimes`` tells)."""
        people, total = self.ids.shape[0], self.ids[0].numel()
        statement = self.statement.flatten(1)
        place = torch.arange(total).expand(people, -1)
        firsts = torch.full((people, STATEMENTS + 1), total - 1)
        firsts = firsts.scatter_reduce(1, statement.masked_fill(statement < 0, STATEMENTS).long(), place, "amin")
        index = firsts[:, :STATEMENTS].unsqueeze(-1).expand(-1, -1, vectors.shape[-1])
        return vectors.reshape(people, total, -1).gather(1, index)[self.person]

    def lifetimes(self) -> tuple[Tensor, Tensor]:
        """(U, STATEMENTS) bool each: in memory when the turn is read; ended by the turn."""
        created, deleted = self.created_turn[self.person], self.deleted_turn[self.person]
        now = self.turn_number.unsqueeze(1)
        alive = (created >= 0) & (created < now) & (deleted >= now)
        return alive, alive & (deleted == now)

    def topic_of_token(self) -> Tensor:
        """(E, N): topic of the statement that each token is stored for, -1 for none."""
        statement = self.statement.flatten(1)
        return self.topic.gather(1, statement.clamp_min(0).long()).masked_fill(statement < 0, -1)

    def memory(self, threshold: float, negatives: Vectors | None) -> SessionMemory:
        """What the tokens see: vectors of earlier turns that have not been deleted, and the negatives."""
        turn = self.turn.flatten(1)
        reader, vector = turn.unsqueeze(2), turn.unsqueeze(1)
        statement = self.statement.flatten(1)
        deleted_turn = self.deleted_turn.gather(1, statement.clamp_min(0).long()).masked_fill(statement < 0, ALIVE)
        visible = (vector < reader) & (vector >= 0) & ~(deleted_turn.unsqueeze(1) < reader)
        sessions = torch.arange(self.sentence.shape[1]).view(1, -1, 1)
        numbers = self.sentence.long() + sessions * self.sentence.shape[2]
        hidden = None
        if negatives is not None:
            about = (negatives.topics.view(1, -1, 1) == self.topics.unsqueeze(1)).any(-1)
            hidden = about & (negatives.topics >= 0)
        return SessionMemory(
            tokens=self.ids.flatten(1),
            visible=visible,
            sessions=self.ids.shape[1],
            negatives=None if negatives is None else negatives.vectors,
            negative_tokens=None if negatives is None else negatives.tokens,
            hidden_negatives=hidden,
            store_threshold=threshold,
            statements=numbers.masked_fill(self.sentence < 0, -1).flatten(1),
            labelled=statement >= 0,
            unlabelled=self.store_label.flatten(1) == 0,
        )


@dataclass(frozen=True)
class Vectors:
    """Vectors (M, D) of other memories, their tokens (M,), what they are about (M,), -1 for unknown."""

    vectors: Tensor
    tokens: Tensor
    topics: Tensor


@dataclass(frozen=True)
class SessionMemory(EpisodeMemory):
    """An episode's memory that holds what its labels say, and what the gates would store beside it.

    labelled (E, N) bool: is stored; unlabelled (E, N) bool: is stored where its decision exceeds the threshold.
    """

    labelled: Tensor | None = None
    unlabelled: Tensor | None = None

    def over(self, vectors: Tensor, store_logits: Tensor) -> SessionMemory:
        assert self.labelled is not None and self.unlabelled is not None
        people, length = self.tokens.shape
        chance = torch.sigmoid(store_logits.float()).reshape(people, length)
        stored = self.labelled | (self.unlabelled & (chance > self.store_threshold))
        gates = torch.zeros_like(chance).masked_fill(~stored, MASKED_SCORE).detach()
        return replace(self, vectors=vectors.reshape(people, length, -1), log_gates=gates, soft_gates=gates)


class VectorRing:
    """Vectors recently written in training: what other people's memories hold."""

    def __init__(self, size: int, dim: int) -> None:
        self.vectors = torch.zeros(size, dim)
        self.tokens = torch.zeros(size, dtype=torch.long)
        self.topics = torch.full((size,), -1, dtype=torch.long)
        self.filled = self.next = 0

    @torch.no_grad()
    def add(self, vectors: Tensor, tokens: Tensor, topics: Tensor) -> None:
        size = len(self.vectors)
        place = (torch.arange(len(vectors)) + self.next) % size
        self.vectors[place], self.tokens[place], self.topics[place] = vectors.detach(), tokens, topics.long()
        self.next = (self.next + len(vectors)) % size
        self.filled = min(size, self.filled + len(vectors))

    def sample(self, count: int, generator: torch.Generator) -> Vectors | None:
        if not self.filled or not count:
            return None
        chosen = torch.randperm(self.filled, generator=generator)[:count]
        return Vectors(self.vectors[chosen], self.tokens[chosen], self.topics[chosen])
