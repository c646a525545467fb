"""What goes into a memory and what comes out of it, as frozen dataclasses; what may enter; and when two statements say
the same. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from varda_chat.errors import VardaError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class SearchResults:
    """The k nearest vectors of each query of shape (..., dim), nearest first; numpy or torch, as the query
    was.

    ids: (..., k) int64, -1 where there are fewer than k.
    distances: (..., k) float32, squared L2, +inf where there is none.
    vectors: (..., k, dim) float32, 0 where there is none.
    token_ids: (..., k) int64, the token each was taken at, -1 where there is none; None where the memory does not
        know tokens, as a bare AssociativeMemory.
    log_gates: None; a memory that is still being learned weighs its results here.
    """

    ids: Any
    distances: Any
    vectors: Any
    token_ids: Any = None
    log_gates: Any = None

    def __iter__(self) -> Iterator[Any]:
        """``ids, distances = memory.search(query)``, as code written for VardaGPT's memory does."""
        return iter((self.ids, self.distances))

    def __getitem__(self, place: int) -> Any:
        """``[0]``: the ids; ``[1]``: the distances."""
        return (self.ids, self.distances)[place]


@dataclass(frozen=True)
class NewVector:
    """A vector (dim,) to store, the token it was taken at, and how sure the store decision was (0..1)."""

    vector: npt.NDArray[np.floating[Any]]
    token_id: int
    token: str
    strength: float

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NewVector):
            return NotImplemented
        same = (self.token_id, self.token, self.strength) == (other.token_id, other.token, other.strength)
        # Python 3.13 compares what a dataclass holds one by one, and an array has no truth value
        return same and self.vector.tobytes() == other.vector.tobytes()

    __hash__ = None  # type: ignore[assignment]  # as an array's


@dataclass(frozen=True)
class NewStatement:
    """An utterance to store. Without vectors, it waits among ``MemoryReader.foreign_statements``. ``follows``: the text
    of the sentence right before it in its message, where that is stored with it."""

    text: str
    role: str
    vectors: tuple[NewVector, ...]
    follows: str | None = None


@dataclass(frozen=True)
class Imported:
    """A statement from another memory, with what that one knew of it. ``fingerprint``: of its vectors' model; ``id``
    and ``follows``: its id there, and that of the statement right before it in its message."""

    new: NewStatement
    session: str
    created_at: float
    recalled_at: float | None
    recall_count: int
    pinned: bool
    fingerprint: str
    id: int | None = None
    follows: int | None = None


@dataclass(frozen=True)
class StoredVector:
    """What the id map keeps of a vector. Times are unix seconds; recalls and pin are its statement's."""

    id: int
    statement_id: int
    text: str
    token: str
    token_id: int
    role: str
    session: str
    created_at: float
    recalled_at: float | None
    recall_count: int
    pinned: bool
    fingerprint: str
    strength: float


@dataclass(frozen=True)
class Statement:
    """An utterance in memory; its vectors are shown, pinned, forgotten and deleted together."""

    id: int
    text: str
    role: str
    session: str
    created_at: float
    pinned: bool
    vector_count: int
    recall_count: int


@dataclass(frozen=True)
class Removed:
    """A deleted statement that can still be brought back. ``removed_at`` is unix seconds."""

    id: int
    text: str
    role: str
    removed_at: float
    vector_count: int


@dataclass(frozen=True)
class Undone:
    """What an undo did: ``restored`` are in memory again, ``removed`` had been stored and are not any more, ``left``
    were stored by the same act as what was restored: the next undo takes them out."""

    restored: tuple[Statement, ...] = ()
    removed: tuple[Statement, ...] = ()
    left: tuple[Statement, ...] = ()


@dataclass(frozen=True)
class MemoryEvent:
    """A past store or delete. ``id`` is the statement's; ``at`` is unix seconds."""

    kind: Literal["stored", "deleted"]
    id: int
    text: str
    at: float


@dataclass(frozen=True)
class TurnChanges:
    """All that one turn does to the memory; ``delete_statements`` and ``recalled`` are statement ids. ``confirmed``: a
    person agreed to the deletes, so that pinned statements go too."""

    stores: tuple[NewStatement, ...] = ()
    delete_statements: frozenset[int] = field(default_factory=frozenset)
    recalled: frozenset[int] = field(default_factory=frozenset)
    confirmed: bool = False


@dataclass(frozen=True)
class TurnApplied:
    """What a turn did to the memory.

    deleted: what the turn deleted, and what went because the memory was full.
    size: vectors in memory now.
    refused: statements that did not fit beside what is pinned.
    refreshed: statements that were told again, which counts as a recall; they are not in ``stored``.
    act: the number of these changes; what is applied with it, too, is undone together with them.
    """

    stored: tuple[Statement, ...]
    deleted: tuple[Statement, ...]
    size: int
    refused: tuple[NewStatement, ...] = ()
    refreshed: tuple[Statement, ...] = ()
    act: int | None = None


def checked(new: NewStatement, dim: int) -> NewStatement:
    """``new`` with float32 vectors, or VardaError."""
    check_text(new.text, new.role)
    return replace(new, vectors=tuple(checked_vector(vector, dim) for vector in new.vectors))


def checked_vector(new: NewVector, dim: int) -> NewVector:
    """``new`` as float32 (dim,), or VardaError."""
    check_text(new.token)
    if not math.isfinite(new.strength):
        raise VardaError("The strength of a vector to store is not a finite number.")
    from varda_chat.memory.index.arrays import as_vectors  # numpy loads here

    vector = as_vectors(new.vector, dim, "vectors to store")
    if vector.ndim != 1:
        raise VardaError(f"A vector to store has shape {vector.shape}; ({dim},) is needed.")
    return NewVector(vector, int(new.token_id), new.token, float(new.strength))


def check_text(*texts: str) -> None:
    """Raise VardaError for half a surrogate pair."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise VardaError("A text to store is not valid Unicode (it holds half a surrogate pair).") from None


NEARLY_NOTHING = 1e-4
"""Share of a vector's squared norm below which another at that squared distance is the same (cosine 0.99995)."""


def normal_form(text: str) -> str:
    """``text`` without what does not change what it says: case, width, spacing, and the stop at its end."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return plain.rstrip(" .!") or plain


def statement_key(role: str, text: str) -> int:
    """A signed 64-bit number, equal for two statements of one role and normal form; to look them up by."""
    said = f"{role}\0{normal_form(text)}".encode(errors="replace")
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little", signed=True)
