"""Statement and token of every vector that can be searched, in RAM, for whole arrays of ids at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


class VectorColumns:
    """Three arrays (n,) in step, sorted by vector id."""

    def __init__(self, ids: Ids, statement_ids: Ids, token_ids: Ids) -> None:
        self.ids = ids
        self.statement_ids = statement_ids
        self.token_ids = token_ids

    @classmethod
    def from_rows(cls, rows: list[tuple[int, int, int]]) -> VectorColumns:
        """From (id, statement id, token id) a vector, in any order."""
        table = np.array(rows, dtype=np.int64).reshape(-1, 3)
        table = table[np.argsort(table[:, 0])]
        return cls(*(np.ascontiguousarray(table[:, column]) for column in range(3)))

    def __len__(self) -> int:
        return len(self.ids)

    def of_statements(self, statement_ids: Sequence[int]) -> Ids:
        """Ids (n,) of the vectors of ``statement_ids``."""
        ids: Ids = self.ids[np.isin(self.statement_ids, np.array(statement_ids, dtype=np.int64))]
        return ids

    def remove(self, ids: Ids) -> None:
        """Leave out ``ids``."""
        keep = ~np.isin(self.ids, ids)
        self.ids, self.statement_ids, self.token_ids = (
            self.ids[keep],
            self.statement_ids[keep],
            self.token_ids[keep],
        )

    def append(self, ids: Ids, statement_ids: Ids, token_ids: Ids) -> None:
        """Put vectors at the end; every id is greater than those already here, and they ascend."""
        self.ids = np.concatenate([self.ids, ids])
        self.statement_ids = np.concatenate([self.statement_ids, statement_ids])
        self.token_ids = np.concatenate([self.token_ids, token_ids])

    def look_up(self, column: Ids, ids: Any) -> Ids:
        """The entries of ``column`` at vector ``ids`` of any shape; -1 at ids that are not here."""
        wanted = np.asarray(ids, dtype=np.int64)
        if not len(self.ids):
            return np.full(wanted.shape, -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        return np.where(self.ids[places] == wanted, column[places], -1)

    def successors(self, ids: Any) -> Ids:
        """The vector stored next in the statement of each of ``ids``, of any shape; -1 where there is none."""
        wanted = np.asarray(ids, dtype=np.int64)
        if len(self.ids) < 2:
            return np.full(wanted.shape, -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 2)
        same = (self.ids[places] == wanted) & (self.statement_ids[places] == self.statement_ids[places + 1])
        return np.where(same, self.ids[places + 1], -1)
