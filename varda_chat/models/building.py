"""Parts that our decoders are built of: layers of our own without the architecture's, decisions that begin as rare."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import initialization as init


@contextmanager
def without_layers(config: Any) -> Iterator[int]:
    """Within it, a model built from ``config`` has no layers; gives how many it shall have."""
    depth: int = config.num_hidden_layers
    config.num_hidden_layers = 0
    try:
        yield depth
    finally:
        config.num_hidden_layers = depth


class BuiltOfLayers:
    """Mixed in before an architecture's model: its layers are of ``layer_class``, and the names of weights stay."""

    layer_class: type[nn.Module]

    def __init__(self, config: Any) -> None:
        with without_layers(config) as depth:
            super().__init__(config)  # type: ignore[call-arg]
        self.layers = nn.ModuleList(self.layer_class(config, index) for index in range(depth))
        self.post_init()  # type: ignore[attr-defined]


class RareDecision(nn.Linear):
    """A linear decision that begins as unlikely, until it has learned when to be made.

    It sets its bias by a class of its own: ``_init_weights`` is not called for modules without parameters of their own,
    such as the one that holds several decisions.
    """

    INITIAL_BIAS = -2.0

    @torch.no_grad()
    def init_weights(self) -> None:
        """Initial value of the bias; the weights are those of any linear map."""
        init.constant_(self.bias, self.INITIAL_BIAS)
