"""Statement and token of every vector that can be searched, in RAM, for whole arrays of ids at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


class VectorColumns:
    """Three arrays (n,) in step, sorted by vector id. They are views: copy what must outlive a change."""

    def __init__(self, ids: Ids, statement_ids: Ids, token_ids: Ids) -> None:
        """From arrays (n,) in step, in any order."""
        order = np.argsort(ids, kind="stable")
        self._table: Ids = np.stack([ids, statement_ids, token_ids])[:, order]  # (3, room), room >= n
        self._count = len(ids)

    @classmethod
    def from_rows(cls, rows: list[tuple[int, int, int]]) -> VectorColumns:
        """From (id, statement id, token id) a vector, in any order."""
        return cls(*np.array(rows, dtype=np.int64).reshape(-1, 3).T)

    def __len__(self) -> int:
        return self._count

    @property
    def ids(self) -> Ids:
        """The vectors' ids."""
        return self._table[0, : self._count]

    @property
    def statement_ids(self) -> Ids:
        """Their statements."""
        return self._table[1, : self._count]

    @property
    def token_ids(self) -> Ids:
        """The tokens they were taken at."""
        return self._table[2, : self._count]

    def of_statements(self, statement_ids: Sequence[int]) -> Ids:
        """Ids (n,) of the vectors of ``statement_ids``."""
        ids: Ids = self.ids[np.isin(self.statement_ids, np.array(statement_ids, dtype=np.int64))]
        return ids

    def remove(self, ids: Ids) -> None:
        """Leave out ``ids``."""
        if len(ids):
            self._table = self._table[:, : self._count][:, ~np.isin(self.ids, ids)]
            self._count = self._table.shape[1]

    def append(self, ids: Ids, statement_ids: Ids, token_ids: Ids) -> None:
        """Put vectors at the end; every id is greater than those already here, and they ascend."""
        count = self._count + len(ids)
        if count > self._table.shape[1]:  # room for a quarter more, so that not every append copies all
            grown = np.empty((3, count + count // 4), dtype=np.int64)
            grown[:, : self._count] = self._table[:, : self._count]
            self._table = grown
        self._table[:, self._count : count] = ids, statement_ids, token_ids
        self._count = count

    def look_up(self, column: Ids, ids: Any) -> Ids:
        """The entries of ``column`` at vector ``ids`` of any shape; -1 at ids that are not here."""
        wanted = np.asarray(ids, dtype=np.int64)
        if not self._count:
            return np.full(wanted.shape, -1, dtype=np.int64)
        own = self.ids
        places = np.minimum(np.searchsorted(own, wanted), self._count - 1)
        return np.where(own[places] == wanted, column[places], -1)

    def successors(self, ids: Any) -> Ids:
        """The vector stored next in the statement of each of ``ids``, of any shape; -1 where there is none."""
        wanted = np.asarray(ids, dtype=np.int64)
        if self._count < 2:
            return np.full(wanted.shape, -1, dtype=np.int64)
        own, statements = self.ids, self.statement_ids
        places = np.minimum(np.searchsorted(own, wanted), self._count - 2)
        same = (own[places] == wanted) & (statements[places] == statements[places + 1])
        return np.where(same, own[places + 1], -1)
