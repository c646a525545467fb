"""One turn's changes made: in one transaction of memory.db, then in the index. The caller holds the store's lock."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from varda_chat.memory import queries, undo
from varda_chat.memory.index_cache import IndexMirror
from varda_chat.memory.records import NEARLY_NOTHING, NewStatement, Statement, TurnApplied, TurnChanges, statement_key
from varda_chat.memory.retention import least_worth
from varda_chat.memory.schema import bump_generation
from varda_chat.storage.sqlite import transaction


def apply_turn(
    db: sqlite3.Connection,
    index: IndexMirror,
    capacity: int,
    changes: TurnChanges,
    *,
    session: str,
    said_at: float | None = None,
    act: int | None = None,
) -> TurnApplied:
    """What ``MemoryStore.apply`` promises; ``changes.stores`` have been checked."""
    now = time.time()
    reread: list[tuple[int, list[int], NewStatement]] = []
    with transaction(db):
        act = undo.next_act(db) if act is None else act
        asked = queries.statements_of(db, changes.delete_statements)
        deleted = [statement for statement in asked if changes.confirmed or not statement.pinned]
        undo.remove(db, deleted, now, act)
        queries.mark_recalled(db, changes.recalled, now)
        fresh, again = _told_again(db, index, changes.stores, {statement.id for statement in deleted})
        for statement_id, told in again:
            queries.refresh(db, statement_id, queries.strength(told.vectors), now)
            if told.vectors and not queries.has_vectors(db, statement_id, index.fingerprint):
                ids = queries.replace_vectors(db, statement_id, told.vectors, index.fingerprint)
                reread.append((statement_id, ids, told))
        fitting, dropped = _make_room(db, index, capacity, fresh, [statement.id for statement in deleted], now)
        undo.remove(db, dropped, now, act)
        deleted += dropped
        stored = [
            queries.insert_statement(
                db, fresh[place], session=session, fingerprint=index.fingerprint, now=now, act=act, said_at=said_at
            )
            for place in fitting
        ]
        refreshed = queries.statements_of(db, [statement_id for statement_id, _ in again])
        there = {statement_key(told.role, told.text): statement_id for statement_id, told in again}
        there |= {statement_key(statement.role, statement.text): statement.id for statement, _ in stored}
        followed = ((statement.id, fresh[place]) for place, (statement, _) in zip(fitting, stored, strict=True))
        keys = ((id_, statement_key(new.role, new.follows)) for id_, new in followed if new.follows is not None)
        queries.set_follows(db, [(id_, there[key]) for id_, key in keys if there.get(key, id_) != id_])
        if stored or deleted or reread:
            bump_generation(db)
    for statement_id, ids, told in reread:
        index.add_statement(statement_id, ids, told.vectors)
    index.remove_statements([statement.id for statement in deleted])
    for place, (statement, ids) in zip(fitting, stored, strict=True):
        index.add_statement(statement.id, ids, fresh[place].vectors)
    return TurnApplied(
        stored=tuple(statement for statement, _ in stored),
        deleted=tuple(deleted),
        size=len(index),
        refused=tuple(fresh[place] for place in range(len(fresh)) if place not in fitting),
        refreshed=refreshed,
        act=act,
    )


def _told_again(
    db: sqlite3.Connection, index: IndexMirror, new: Sequence[NewStatement], deleted: set[int]
) -> tuple[list[NewStatement], list[tuple[int, NewStatement]]]:
    """``new`` parted into what is new, and what is there already with the id of that. What the turn itself says
    twice is new once."""
    fresh: dict[int, NewStatement] = {}
    again = []
    for each in new:
        same = queries.statement_like(db, each.role, each.text)
        if same is None:
            twin = _twin(index, each)
            same = None if twin is None or twin in deleted else queries.statement(db, twin)
        if same is not None and same.role == each.role:
            again.append((same.id, each))
        else:
            fresh.setdefault(statement_key(each.role, each.text), each)
    return list(fresh.values()), again


def _twin(index: IndexMirror, new: NewStatement) -> int | None:
    """The statement that has, vector for vector, the tokens and (nearly) the vectors of ``new``."""
    if not new.vectors or not len(index):
        return None
    first = new.vectors[0].vector
    nearest = index.memory.search(first, 1)
    if not _nearly_same(float(nearest.distances[0]), first):
        return None
    statement_id = int(index.statement_ids(nearest.ids)[0])
    ids = index.columns.of_statements([statement_id])
    if len(ids) != len(new.vectors) or index.token_ids(ids).tolist() != [each.token_id for each in new.vectors]:
        return None
    for id_, each in zip(ids.tolist(), new.vectors, strict=True):
        gap = index.memory[id_] - each.vector
        if not _nearly_same(float(gap @ gap), each.vector):
            return None
    return statement_id


def _nearly_same(squared_distance: float, vector: npt.NDArray[Any]) -> bool:
    return squared_distance <= NEARLY_NOTHING * float(vector @ vector)


def _make_room(
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
    table = queries.retention_table(db, index.fingerprint)
    ids, counts, strengths, recalls, last_used, pinned = table.T
    room = capacity - int(counts[pinned > 0].sum())
    fitting: list[int] = []
    for place in sorted(range(len(new)), key=lambda place: -queries.strength(new[place].vectors)):
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
    return sorted(fitting), list(queries.statements_of(db, ids[chosen].astype(np.int64).tolist()))
