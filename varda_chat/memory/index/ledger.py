"""IdLedger: which ids a memory holds, the oldest first, how old each is, and which may still come."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from varda_chat.errors import VardaError
from varda_chat.memory.index.arrays import Ids, as_ids, distinct


class IdLedger:
    """The ids of a memory in the order in which they were added or renewed. No id comes back once it was removed.

    clock: steps of ``AssociativeMemory.age_memory`` so far. next_id: the least that may be added.
    """

    def __init__(self) -> None:
        self.clock = 0
        self.next_id = 0
        self._born: dict[int, int] = {}  # id -> clock when added or renewed, in that order

    def __len__(self) -> int:
        return len(self._born)

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._born))

    def __contains__(self, id_: object) -> bool:
        return id_ in self._born

    def ids(self) -> Ids:
        """All ids (n,), the oldest first."""
        return np.fromiter(self._born, dtype=np.int64, count=len(self._born))

    def ages(self) -> npt.NDArray[np.int64]:
        """Steps of the clock (n,) since each of ``ids()`` was added or renewed."""
        return self.clock - np.fromiter(self._born.values(), dtype=np.int64, count=len(self._born))

    def oldest(self, count: int) -> list[int]:
        """The first ``count`` ids."""
        return list(islice(self._born, count))

    def known(self, ids: Any) -> Ids:
        """``ids`` as (n,) int64; raises VardaError unless all are here."""
        wanted = as_ids(ids)
        for id_ in wanted.tolist():
            if id_ not in self._born:
                raise VardaError(f"There is no vector with id {id_} in this memory.")
        return wanted

    def unused(self, ids: Any, count: int) -> Ids:
        """``ids`` as (count,) int64, the next ones where they are None; raises VardaError unless they are distinct and
        greater than every id that was here."""
        if ids is None:
            return np.arange(self.next_id, self.next_id + count, dtype=np.int64)
        new = distinct(as_ids(ids), count)
        if count and new.min() < self.next_id:
            raise VardaError(f"Id {new.min()} may have been used before; ids are never reused.")
        return new

    def add(self, ids: Ids) -> None:
        """Enter ``ids`` (n,), at least one, all ``unused``."""
        self._born.update(dict.fromkeys(ids.tolist(), self.clock))
        self.next_id = int(ids.max()) + 1

    def remove(self, ids: Ids) -> None:
        """Strike out ``ids`` (n,), distinct and ``known``."""
        for id_ in ids.tolist():
            del self._born[id_]

    def renew(self, ids: Ids) -> None:
        """Let the ages of ``ids`` (n,), distinct and ``known``, begin again."""
        for id_ in ids.tolist():
            del self._born[id_]
            self._born[id_] = self.clock

    def clear(self) -> None:
        """Strike out all ids; they stay used."""
        self._born.clear()

    def restore(self, ids: Ids, born: Ids, *, clock: int, next_id: int) -> None:
        """Become the ledger that these were taken from; raises ValueError where there are not as many of both."""
        self._born = dict(zip(ids.tolist(), born.tolist(), strict=True))
        self.clock = clock
        self.next_id = next_id
