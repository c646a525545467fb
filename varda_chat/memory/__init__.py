"""The memory: an index to search and a database that lasts. Its names load on first use, FAISS with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from varda_chat.memory.batch_memory import BatchAssociativeMemory, MultiTokenBatchAssociativeMemory
    from varda_chat.memory.indexing import search_recall
    from varda_chat.memory.maintenance import Peek, backup, peek, reset, verify
    from varda_chat.memory.records import (
        MemoryEvent,
        NewStatement,
        NewVector,
        Removed,
        SearchResults,
        Statement,
        StoredVector,
        TurnApplied,
        TurnChanges,
        Undone,
    )
    from varda_chat.memory.store import MemoryStore
    from varda_chat.memory.vector_memory import AssociativeMemory

__all__ = [
    "AssociativeMemory",
    "BatchAssociativeMemory",
    "MemoryEvent",
    "MemoryStore",
    "MultiTokenBatchAssociativeMemory",
    "NewStatement",
    "NewVector",
    "Peek",
    "Removed",
    "SearchResults",
    "Statement",
    "StoredVector",
    "TurnApplied",
    "TurnChanges",
    "Undone",
    "backup",
    "peek",
    "reset",
    "search_recall",
    "verify",
]

_RECORDS = (
    "MemoryEvent",
    "NewStatement",
    "NewVector",
    "StoredVector",
    "Removed",
    "SearchResults",
    "Statement",
    "TurnApplied",
    "TurnChanges",
    "Undone",
)
_HOMES = {
    "AssociativeMemory": "vector_memory",
    "BatchAssociativeMemory": "batch_memory",
    "MultiTokenBatchAssociativeMemory": "batch_memory",
    "search_recall": "indexing",
    "MemoryStore": "store",
    **dict.fromkeys(_RECORDS, "records"),
    **dict.fromkeys(("Peek", "backup", "peek", "reset", "verify"), "maintenance"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
