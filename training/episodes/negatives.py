"""NegativeQueue: vectors recently written in training, which serve as other memories' content."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from training.episodes.batch import Negatives

QUEUE_SIZE, NEGATIVES_PER_STEP = 4096, 96


class NegativeQueue:
    """A ring of vectors recently written, which serve as negatives. Its content is saved with the checkpoint, so that
    a resumed run equals an uninterrupted one."""

    def __init__(self, dim: int, device: Any) -> None:
        self.vectors = torch.zeros(QUEUE_SIZE, dim, device=device)
        self.tokens = torch.zeros(QUEUE_SIZE, dtype=torch.long, device=device)
        self.topics = torch.full((QUEUE_SIZE,), -1, dtype=torch.int32, device=device)
        self.filled = 0
        self.next = 0

    def add(self, vectors: Tensor, tokens: Tensor, topics: Tensor | None = None) -> None:
        """Put (n, D) vectors, their (n,) tokens and relations (-1, or None, for none) in place of the oldest."""
        place = (torch.arange(len(vectors), device=vectors.device) + self.next) % QUEUE_SIZE
        self.vectors[place] = vectors
        self.tokens[place] = tokens
        self.topics[place] = -1 if topics is None else topics
        self.next = (self.next + len(vectors)) % QUEUE_SIZE
        self.filled = min(self.filled + len(vectors), QUEUE_SIZE)

    def sample(self, count: int, generator: torch.Generator) -> Negatives:
        """``count`` of them at random, or all while there are not that many."""
        chosen = torch.randperm(self.filled, generator=generator)[:count].to(self.vectors.device)
        return Negatives(self.vectors[chosen], self.tokens[chosen], self.topics[chosen])

    def state_dict(self) -> dict[str, Any]:
        return {
            "vectors": self.vectors,
            "tokens": self.tokens,
            "topics": self.topics,
            "filled": self.filled,
            "next": self.next,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.vectors.copy_(state["vectors"])
        self.tokens.copy_(state["tokens"])
        self.topics.copy_(state["topics"])
        self.filled, self.next = state["filled"], state["next"]
