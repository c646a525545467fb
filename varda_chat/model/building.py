"""Building a decoder of our own layers without building the architecture's first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_layers(config: Any) -> Iterator[int]:
    """Within it, a model built from ``config`` has no layers; gives how many it shall have."""
    depth: int = config.num_hidden_layers
    config.num_hidden_layers = 0
    try:
        yield depth
    finally:
        config.num_hidden_layers = depth
