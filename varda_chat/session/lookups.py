"""How long the look-ups in a memory take: stands between the model and the store, and holds a watch."""

from __future__ import annotations

import time
from typing import Any


class TimedMemory:
    """A memory that may be searched and followed as ``memory`` may, with the time it took."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        self._seconds = 0.0
        self._searches = 0

    @property
    def size(self) -> int:
        """Vectors that can be searched."""
        return int(self._memory.size)

    @property
    def seconds_a_search(self) -> float:
        """The average so far; 0 before the first."""
        return self._seconds / self._searches if self._searches else 0.0

    def search(self, query: Any, k: int) -> Any:
        """As the memory's own; see SearchResults."""
        started = time.perf_counter()
        found = self._memory.search(query, k)
        self._seconds += time.perf_counter() - started
        self._searches += 1
        return found

    def search_words(self, text: str, k: int) -> Any:
        """As the memory's own."""
        return self._memory.search_words(text, k)

    def successors(self, ids: Any) -> Any:
        """As the memory's own."""
        return self._memory.successors(ids)

    def vectors_of(self, ids: Any) -> Any:
        """As the memory's own."""
        return self._memory.vectors_of(ids)
