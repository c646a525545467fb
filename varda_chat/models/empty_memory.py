"""BlankMemory: what a chat reads while its memory is empty, a vector that fits nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from varda_chat.models.gpt2 import SearchResults


class BlankMemory:
    """A memory of one vector of zeros.

    Read without results, the model is plain GPT-2. In training there was always something in memory, if only what fits
    nothing, and its words are the better for it: a chat that begins reads this.
    """

    size = 0

    def search(self, query: Tensor, k: int) -> SearchResults:
        """The vector of zeros, without a token, as the only result."""
        shape = (*query.shape[:-1], k)
        ids = torch.full(shape, -1, device=query.device)
        ids[..., 0] = 0
        distances = torch.full(shape, torch.inf, device=query.device)
        distances[..., 0] = query.pow(2).sum(-1)
        return SearchResults(ids, distances, torch.zeros(*shape, query.shape[-1], device=query.device))
