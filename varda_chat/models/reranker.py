"""Reranker: reads a line and a statement together, and says whether the statement answers the line or is ended by it.

A search compares two vectors that were made apart. The few statements that it finds are read once more, each behind the
line as a reply would read it, through low-rank maps of their own on the layers below the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from varda_chat.models.decision_heads import Decision
from varda_chat.models.low_rank import MapsBeside, features_at_ends, features_width

ANSWERS, ENDS = 0, 1
"""Columns of the logits."""


class Reranker(MapsBeside):
    """Low-rank maps beside the lower layers of ``model``, and the decision on the features at a pair's end."""

    def __init__(self, model: Any) -> None:
        memory = model.config.memory
        super().__init__(model, memory.rerank_rank)
        self.decision = Decision(features_width(model), memory.hidden_dim, 2)

    def forward(self, model: Any, pairs: Sequence[Sequence[int]]) -> Tensor:
        """Logits (n, 2), ANSWERS and ENDS, of ``pairs``: token ids of a line with one statement in its note."""
        with self.beside(model):
            logits: Tensor = self.decision(features_at_ends(model, pairs))
        return logits
