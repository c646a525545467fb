"""Importing: statements that come into an open memory from outside, and how far that has got."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import islice

from varda_chat.memory import queries, undo
from varda_chat.memory.core import OpenMemory
from varda_chat.memory.records import Imported
from varda_chat.memory.schema import bump_generation
from varda_chat.storage.sqlite import transaction

BATCH = 500
"""Statements of an import that are one transaction."""


class Importing:
    """Imports what another memory exported, and notes how much of a file has been learned. Both may be cut off and
    continued. Raises as the methods of MemoryStore do."""

    def __init__(self, core: OpenMemory) -> None:
        self._core = core

    def add(self, imported: Iterable[Imported], report: Callable[[int, int], None] | None = None) -> tuple[int, int]:
        """Add statements of another memory; returns how many were new and how many are here already.

        One act, which ``MemoryStore.undo_last`` takes back whole, in transactions of BATCH: where it is cut off, what
        was added stays, and adding the rest continues. Vectors are kept; statements without any wait among
        ``reader.foreign_statements``. May pass ``capacity``: the next ``apply`` makes room.

        report: is told both numbers after each transaction.
        """
        added = known = 0
        act: int | None = None
        coming = iter(imported)
        while batch := list(islice(coming, BATCH)):
            with self._core.changing("The import stopped"):
                with transaction(self._core.db):
                    act = undo.next_act(self._core.db) if act is None else act
                    new = queries.take_in(self._core.db, batch, time.time(), act)
                    if new:
                        bump_generation(self._core.db)
                self._core.follow(new, ())
                self._core.write_now_and_then()
            added, known = added + len(new), known + len(batch) - len(new)
            if report is not None:
                report(added, known)
        return added, known

    def passages_learned(self, digest: str) -> int:
        """How many passages of the file whose content has that digest are in memory."""
        with self._core.reading():
            return queries.passages_learned(self._core.db, digest)

    def set_passages_learned(self, digest: str, passages: int) -> None:
        """Note how far a file has been read into memory."""
        with self._core.changing("It was not noted how far the file was read"), transaction(self._core.db):
            queries.set_passages_learned(self._core.db, digest, passages)
