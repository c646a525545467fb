"""ResponseSelector: finds which of the lines whose replies are known a line is near, and judges whether a reply fits.

A line's vector is compared with those of the known lines. The few that are nearest are read behind the line, each with
its reply, through low-rank maps of their own beside the reranker's, on the upper half of the layers below the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from varda_chat.models.decision_heads import Decision
from varda_chat.models.low_rank import MapsBeside, features_at_ends, features_width


class ResponseSelector(MapsBeside):
    """Low-rank maps beside the reranker's, the decision on the features at the end of what was read, the map of a
    line's features to its vector, and the vectors of the lines whose replies are known, ``known`` (lines, dim)."""

    def __init__(self, model: Any) -> None:
        memory = model.config.memory
        super().__init__(model, memory.response_rank, memory.memory_layer // 2)
        self.decision = Decision(features_width(model), memory.hidden_dim, 1)
        self.fc_line = nn.Linear(features_width(model), memory.response_dim, bias=False)
        self.known = nn.Parameter(torch.empty(memory.response_lines, memory.response_dim), requires_grad=False)

    @torch.no_grad()
    def init_weights(self) -> None:
        """Initial values: nothing is known."""
        init.zeros_(self.known)

    def forward(self, model: Any, read: Sequence[Sequence[int]]) -> Tensor:
        """Logits (n,) that the reply in each of ``read`` (see ``known_replies.read_together``) fits the line there."""
        with model.reranker.beside(model), self.beside(model):
            logits: Tensor = self.decision(features_at_ends(model, read)).squeeze(-1)
        return logits

    def vectors(self, model: Any, lines: Sequence[Sequence[int]]) -> Tensor:
        """Unit vectors (n, dim) of ``lines``, the token ids of each as a message."""
        return self.vectors_of(features_at_ends(model, lines))

    def vectors_of(self, features: Tensor) -> Tensor:
        """Unit vectors (n, dim) of lines with these ``features`` (n, width) at their ends."""
        return F.normalize(self.fc_line(features.float()), dim=-1)

    def nearest(self, vector: Tensor, count: int) -> list[int]:
        """The numbers of the ``count`` known lines that are nearest to ``vector`` (dim,), the nearest first."""
        likeness = self.known.float() @ vector.float()
        return likeness.topk(min(count, len(self.known))).indices.tolist()
