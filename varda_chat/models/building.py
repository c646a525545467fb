"""Building a decoder of our own layers without building the architecture's first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


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
