"""Batch: a stack of episodes as tensors, and the negatives that its memories hold beside their own vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.data.episodes import ALIVE, EpisodeArrays

KEEP_DELETED = 0.3
"""Chance that a correction's delete fails in an episode."""


@dataclass(frozen=True)
class Batch:
    """A stack of episodes as tensors; shapes as in EpisodeArrays with E in front, sessions in rows of the model.

    position_offset: (E*S, 1), where each session starts. respect_deletes: (E,) bool, whether what a correction ended
    is deleted for later turns (in chat a delete may fail, so not always); what is to be forgotten always is.
    """

    ids: Tensor
    valid: Tensor
    turn: Tensor
    sentence: Tensor
    target_weight: Tensor
    target_statement: Tensor
    probe: Tensor
    store_label: Tensor
    store_weight: Tensor
    statement: Tensor
    created_turn: Tensor
    deleted_turn: Tensor
    forgotten: Tensor
    topic: Tensor
    topics: Tensor
    position_offset: Tensor
    respect_deletes: Tensor

    @classmethod
    def of(
        cls,
        arrays: EpisodeArrays,
        n_positions: int,
        generator: torch.Generator,
        device: Any,
        *,
        place: slice | None = None,
        total: int | None = None,
        keep_deleted: float = KEEP_DELETED,
    ) -> Batch:
        """Tensors of stacked ``arrays`` on ``device``; offsets and delete coins are drawn from ``generator``: for all
        ``total`` episodes of the step, of which these are those at ``place`` (None: they are all)."""
        count, sessions, length = arrays.ids.shape
        total, place = (count, slice(0, count)) if place is None or total is None else (total, place)
        offset = torch.randint(0, n_positions - length + 1, (total * sessions, 1), generator=generator)
        offset = offset.view(total, sessions)[place].reshape(-1, 1)
        respect = (torch.rand(total, generator=generator) >= keep_deleted)[place]
        tensors = {name: torch.from_numpy(getattr(arrays, name)).to(device) for name in arrays.__dataclass_fields__}
        return cls(**tensors, position_offset=offset.to(device), respect_deletes=respect.to(device))

    def statement_numbers(self) -> Tensor:
        """(E, N): which sentence or clause of the episode each token stands in, -1 for none."""
        sessions = torch.arange(self.sentence.shape[1], device=self.sentence.device).view(1, -1, 1)
        numbers = self.sentence.long() + sessions * self.sentence.shape[2]
        return numbers.masked_fill(self.sentence < 0, -1).flatten(1)

    def visible(self) -> Tensor:
        """(E, N, N): whether reader n sees the vector of token m: a token of an earlier turn, not yet deleted."""
        turn = self.turn.flatten(1)
        reader, vector = turn.unsqueeze(2), turn.unsqueeze(1)
        visible = (vector < reader) & (vector >= 0)
        statement = self.statement.flatten(1)
        owner = statement.clamp_min(0).long()
        deleted_turn = self.deleted_turn.gather(1, owner).masked_fill(statement < 0, ALIVE)
        sure = self.forgotten.gather(1, owner) | self.respect_deletes.unsqueeze(1)
        deleted = (deleted_turn.unsqueeze(1) < reader) & sure.unsqueeze(1)
        return visible & ~deleted


@dataclass(frozen=True)
class Negatives:
    """Vectors (M, D) from elsewhere with their tokens (M,) and the relations they are about (M,), -1 for none."""

    vectors: Tensor
    tokens: Tensor
    topics: Tensor

    def hidden_from(self, batch: Batch) -> Tensor:
        """(E, M) bool: those about a relation that the episode touches; two people's dogs cannot be told apart."""
        about = (self.topics.view(1, -1, 1) == batch.topics.unsqueeze(1)).any(-1)
        return about & (self.topics >= 0)
