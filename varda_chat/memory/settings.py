"""MemorySettings: how large a memory is, how it is searched and what it forgets; a memory keeps its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from varda_chat.config import DEFAULT_MEMORY_SIZE, MAX_MEMORY_SIZE
from varda_chat.errors import VardaError
from varda_chat.memory import schema
from varda_chat.storage.sqlite import transaction


@dataclass(frozen=True)
class MemorySettings:
    """What a new memory begins with. Raises VardaError for numbers that cannot be.

    size: capacity in vectors. index_type, num_clusters: as AssociativeMemory has them. forgetfulness: share (0..1) of
    the unpinned statements that are forgotten at random when a session ends.
    """

    size: int = DEFAULT_MEMORY_SIZE
    index_type: str = "flat"
    num_clusters: int = 1024
    forgetfulness: float = 0.0

    def __post_init__(self) -> None:
        for name, number in (("memory_size", self.size), ("num_clusters", self.num_clusters)):
            if type(number) is not int or not 1 <= number <= MAX_MEMORY_SIZE:
                raise VardaError(f"{name} is {number!r}; it is a whole number from 1 to {MAX_MEMORY_SIZE}.")
        share = self.forgetfulness
        if type(share) not in (int, float) or not 0.0 <= share <= 1.0:
            raise VardaError(f"forgetfulness_factor is {share!r}; it is a share from 0 to 1.")
        if not isinstance(self.index_type, str):
            raise VardaError(f"index_type is {self.index_type!r}; it is the name of a type of index.")

    @classmethod
    def of_model(cls, config: Mapping[str, Any]) -> MemorySettings:
        """What a model's configuration asks for, by the names of VardaGPTConfig, or nested under ``memory``."""
        nested = config.get("memory")
        config = nested if isinstance(nested, Mapping) else config
        new = cls()
        return cls(
            size=config.get("memory_size", new.size),
            index_type=config.get("index_type", new.index_type),
            num_clusters=config.get("num_clusters", new.num_clusters),
            forgetfulness=config.get("forgetfulness_factor", new.forgetfulness),
        )


@dataclass(frozen=True)
class Wanted:
    """What an opening asks for in place of the memory's own settings, None for nothing: ``size`` from now on,
    ``forgetfulness`` for this time."""

    size: int | None = None
    forgetfulness: float | None = None


def settle(db: sqlite3.Connection, begin_with: MemorySettings | None, wanted: Wanted) -> MemorySettings:
    """The settings of the memory in ``db`` as it is opened now. It keeps its own; a new one keeps ``begin_with`` (None:
    it stays new). Raises VardaError for numbers that cannot be."""
    found = schema.memory_settings(db)
    own = begin_with or MemorySettings() if found is None else MemorySettings(*found)
    kept = own if wanted.size is None else replace(own, size=wanted.size)
    opened = kept if wanted.forgetfulness is None else replace(kept, forgetfulness=wanted.forgetfulness)
    if (found is None and begin_with is not None) or (found is not None and kept != own):
        with transaction(db):
            schema.set_memory_settings(db, kept.size, kept.index_type, kept.num_clusters, kept.forgetfulness)
    return opened
