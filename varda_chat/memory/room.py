"""Which new statements fit into a memory of limited size, and which old ones go for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np

from varda_chat.memory import rows
from varda_chat.memory.mirror import IndexMirror
from varda_chat.memory.records import NewStatement, Statement
from varda_chat.memory.retention import least_worth


def make_room(
    db: sqlite3.Connection,
    index: IndexMirror,
    capacity: int,
    new: Sequence[NewStatement],
    deleted: Sequence[int],
    now: float,
) -> tuple[list[int], list[Statement]]:
    """Which of ``new`` fit (places, ascending), and which statements must go for them."""
    wanted = [len(each.vectors) for each in new]
    size = len(index) - len(index.columns.of_statements(deleted))
    if size + sum(wanted) <= capacity:
        return list(range(len(new))), []
    table = rows.retention_table(db, index.fingerprint)
    ids, counts, strengths, recalls, last_used, pinned = table.T
    room = capacity - int(counts[pinned > 0].sum())
    fitting: list[int] = []
    for place in sorted(range(len(new)), key=lambda place: -rows.strength(new[place].vectors)):
        if wanted[place] <= room:
            room -= wanted[place]
            fitting.append(place)
    chosen = least_worth(
        vector_counts=counts.astype(np.int64),
        strengths=strengths,
        recall_counts=recalls.astype(np.int64),
        last_used=last_used,
        pinned=pinned > 0,
        now=now,
        excess=size + sum(wanted[place] for place in fitting) - capacity,
    )
    return sorted(fitting), list(rows.statements_of(db, ids[chosen].astype(np.int64).tolist()))
