"""AssociativeMemory: vectors found again by nearness, under ids that never change and never come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from varda_chat.errors import VardaError
from varda_chat.memory.index.arrays import (
    Ids,
    Piece,
    Vectors,
    as_ids,
    as_vectors,
    distinct,
    rounded_to_half,
    same_kind,
    share_of,
)
from varda_chat.memory.index.base import IndexSettings, VectorIndex
from varda_chat.memory.index.exact import nearest_padded
from varda_chat.memory.index.gpu import check_gpu
from varda_chat.memory.index.ledger import IdLedger
from varda_chat.memory.index.registry import check_index_type, make_index
from varda_chat.memory.index.serialization import packed, unpacked
from varda_chat.memory.records import SearchResults
from varda_chat.storage.container import pack, read_container, unpack, write_container


class AssociativeMemory:
    """At most ``memory_size`` vectors of ``embedding_dim`` floats, searched by squared L2 distance.

    Takes numpy arrays and torch tensors of any floating dtype and answers in the same kind (float32, int64,
    on the tensor's device). An age is kept for every id, never in the vector, whose distances it would
    corrupt. Not thread-safe. Every method raises VardaError for arguments that it cannot accept, and has then
    changed nothing.

    Every index type removes, updates and gives back exact vectors. ``flat`` finds the true nearest; the others
    find most of them, faster (``search_recall`` says how many), and never an id that was removed.
    """

    def __init__(
        self,
        memory_size: int = 10_000,
        embedding_dim: int = 768,
        index_type: str = "flat",
        num_clusters: int = 1024,
        m: int = 8,
        ef_construction: int = 100,
        ef_search: int = 64,
        use_gpu: bool = False,
        gpu_device: int = 0,
        forgetfulness_factor: float = 0.0,
        *,
        half_precision: bool = False,
    ) -> None:
        """An empty memory.

        Args:
            memory_size: capacity in vectors; beyond it, ``add`` drops the oldest.
            embedding_dim: floats a vector.
            index_type: a name in ``indexes.INDEX_TYPES``: flat, ivf, compressed or graph.
            num_clusters, m, ef_construction, ef_search: see ``IndexSettings``.
            use_gpu, gpu_device: search a copy on that GPU; raises VardaError where FAISS has none, or not for
                this type.
            forgetfulness_factor: share (0..1) that ``forget_randomly`` drops.
            half_precision: keep vectors in 16 bits a value, rounded; values beyond 65504 are then refused.
        """
        if memory_size < 1:
            raise VardaError(f"memory_size is {memory_size}; it must be at least 1.")
        if not 0.0 <= forgetfulness_factor <= 1.0:
            raise VardaError(f"forgetfulness_factor is {forgetfulness_factor}; it is a share from 0 to 1.")
        check_index_type(index_type)
        if use_gpu:
            check_gpu(gpu_device, index_type, half_precision)
        self.memory_size = memory_size
        self.embedding_dim = embedding_dim
        self.index_type = index_type
        self.use_gpu = use_gpu
        self.gpu_device = gpu_device
        self.forgetfulness_factor = forgetfulness_factor
        self._settings = IndexSettings(
            embedding_dim,
            num_clusters,
            m,
            ef_construction,
            ef_search,
            half_precision,
            gpu_device if use_gpu else None,
        )
        self.index: VectorIndex = make_index(index_type, self._settings)
        self.ledger = IdLedger()

    # What is in it

    def size(self) -> int:
        """Vectors in the memory."""
        return len(self.ledger)

    def __len__(self) -> int:
        return len(self.ledger)

    def __iter__(self) -> Iterator[int]:
        return iter(self.ledger)

    def __contains__(self, id_: object) -> bool:
        return id_ in self.ledger

    def __getitem__(self, id_: int) -> Vectors:
        """The vector (dim,) of ``id_``; raises KeyError where there is none."""
        if id_ not in self.ledger:
            raise KeyError(id_)
        vector: Vectors = self.index.vectors(np.array([id_], dtype=np.int64))[0]
        return vector

    def vectors_of(self, ids: Any) -> Vectors:
        """The vectors (n, dim) of ``ids`` (n,); an unknown id is refused."""
        return self.index.vectors(self.ledger.known(ids))

    def ids(self) -> Ids:
        """All ids (n,), the oldest first."""
        return self.ledger.ids()

    def ages(self) -> npt.NDArray[np.int64]:
        """Steps of ``age_memory`` (n,) since each of ``ids()`` was added or last updated."""
        return self.ledger.ages()

    def get_all_embeddings(self) -> Vectors:
        """All vectors (n, dim), in the order of ``ids()``."""
        if not self.ledger:
            return np.zeros((0, self.embedding_dim), dtype=np.float32)
        return self.index.vectors(self.ids())

    # Changing it

    def add(self, vectors: Any, ids: Any = None) -> Any:
        """Store ``vectors`` (n, dim) or (dim,) and return their ids (n,), of the same kind.

        ``ids`` (n,), where given, must be distinct and greater than every id this memory has held; so no
        removed id comes back. When the memory is full, the oldest vectors are dropped to make room.
        """
        new_ids, new = self.check_add(vectors, ids)
        if len(new_ids):
            excess = len(self.ledger) + len(new_ids) - self.memory_size
            if excess > 0:
                self.remove(self.ledger.oldest(excess))
            self.index.add(new_ids, new)
            self.ledger.add(new_ids)
        return same_kind(new_ids, vectors)

    def remove(self, ids: Any) -> None:
        """Remove ``ids`` (n,) for good; other ids stay as they are. An unknown id is refused."""
        removed = np.unique(self.ledger.known(ids))
        if len(removed):
            self.index.remove(removed)
            self.ledger.remove(removed)

    def update(self, ids: Any, vectors: Any) -> None:
        """Put ``vectors`` (n, dim) in place of those of ``ids`` (n,), whose ages begin again."""
        known, new = self.check_update(ids, vectors)
        if len(known):
            self.index.remove(known)
            self.index.add(known, new)
            self.ledger.renew(known)

    def age_memory(self, decay_factor: float = 1.0, *, steps: int = 1) -> None:
        """Make every vector ``steps`` older.

        decay_factor: from 0 to 1; below 1 every vector is multiplied by it too, as VardaGPT's memory does, which
            changes all distances. Ids and ages stay.
        """
        if steps < 0:
            raise VardaError("steps must not be negative.")
        if not 0.0 <= decay_factor <= 1.0:
            raise VardaError(f"decay_factor is {decay_factor}; it goes from 0 to 1.")
        if decay_factor < 1.0 and self.ledger:
            index = make_index(self.index_type, self._settings)
            index.add(self.ids(), self._storable(self.get_all_embeddings() * np.float32(decay_factor)))
            self.index = index
        self.ledger.clock += steps

    def forget_randomly(self, seed: int | np.random.Generator | None = None) -> Ids:
        """Remove a random ``forgetfulness_factor`` of the vectors; returns the ids (n,) that went.

        A part of a vector counts as its chance of going, so the share holds on average for small memories
        too.
        """
        chosen = share_of(len(self.ledger), self.forgetfulness_factor, np.random.default_rng(seed))
        removed: Ids = self.ids()[chosen]
        self.remove(removed)
        return removed

    def garbage_collect(self, threshold: float = 1e-6) -> Ids:
        """Remove vectors with an L2 norm below ``threshold`` and free unused room; returns their ids (n,)."""
        norms = np.linalg.norm(self.get_all_embeddings(), axis=1)
        removed: Ids = self.ids()[norms < threshold]
        self.remove(removed)
        self.index.compact()
        return removed

    def refresh(self) -> None:
        """Empty the memory. Ids already used stay used."""
        self.index = make_index(self.index_type, self._settings)
        self.ledger.clear()

    # Searching it

    def search(self, query: Any, k: int = 10) -> SearchResults:
        """The ``k`` (>= 1) nearest vectors of each query of shape (..., dim); see SearchResults for what
        comes back, which unpacks as ``ids, distances``.

        Distances are computed from the vectors themselves, so they do not depend on how many queries came at
        once.
        """
        queries = as_vectors(query, self.embedding_dim, "query")
        if k < 1:
            raise VardaError(f"k is {k}; at least one result must be asked for.")
        rows = queries.reshape(-1, self.embedding_dim)  # (n, dim)
        ids, distances, vectors = nearest_padded(self.index, len(self.ledger), rows, k)
        leading = queries.shape[:-1]
        return SearchResults(
            ids=same_kind(ids.reshape(*leading, k), query),
            distances=same_kind(distances.reshape(*leading, k), query),
            vectors=same_kind(vectors.reshape(*leading, k, self.embedding_dim), query),
        )

    # Keeping it

    def write(self, path: str | Path, label: Mapping[str, str | int] | None = None) -> None:
        """Write the memory as one file, all or nothing. ``read`` can ask for ``label``. Raises OSError."""
        write_container(Path(path), *packed(self, label))

    @classmethod
    def read(cls, path: str | Path, label: Mapping[str, str | int] | None = None) -> AssociativeMemory:
        """The memory that ``write`` wrote, equal in every answer; it searches on the CPU.

        Raises IndexFileError where the file is missing or not intact, or does not bear every entry of
        ``label``.
        """
        return unpacked(cls, read_container(Path(path)), label)[0]

    def to_bytes(self, label: Mapping[str, str | int] | None = None) -> bytes:
        """What ``write`` would write."""
        return b"".join(pack(*packed(self, label)))

    @classmethod
    def from_bytes(cls, data: bytes, label: Mapping[str, str | int] | None = None) -> AssociativeMemory:
        """The memory that ``to_bytes`` gave; raises IndexFileError as ``read`` does."""
        return unpacked(cls, unpack(data), label)[0]

    # For its neighbours: index_file, nearest and batch

    def settings(self) -> dict[str, Any]:
        """The arguments to make such a memory, but for the GPU, which belongs to the machine."""
        return {
            "memory_size": self.memory_size,
            "index_type": self.index_type,
            "forgetfulness_factor": self.forgetfulness_factor,
            **{name: value for name, value in asdict(self._settings).items() if name != "gpu_device"},
        }

    def restore(self, pieces: Sequence[Piece], ids: Ids, born: Ids, *, clock: int, next_id: int) -> None:
        """Become what these were taken from; raises RuntimeError or ValueError where they do not fit."""
        self.index = make_index(self.index_type, self._settings, pieces)
        if not np.array_equal(np.sort(self.index.ids()), np.sort(ids)):
            raise ValueError("its index holds other ids")
        self.ledger.restore(ids, born, clock=clock, next_id=next_id)

    def check_add(self, vectors: Any, ids: Any) -> tuple[Ids, Vectors]:
        """Ids (n,) and vectors (n, dim) as ``add`` can take them now; raises VardaError otherwise."""
        new = self._storable(vectors)
        count = len(new)
        if count > self.memory_size:
            raise VardaError(f"{count} vectors at once are more than this memory holds ({self.memory_size}).")
        return self.ledger.unused(ids, count), new

    def check_update(self, ids: Any, vectors: Any) -> tuple[Ids, Vectors]:
        """Ids (n,) and vectors (n, dim) as ``update`` can take them now; raises VardaError otherwise."""
        new = self._storable(vectors)
        return self.ledger.known(distinct(as_ids(ids), len(new))), new

    def _storable(self, vectors: Any) -> Vectors:
        new = np.atleast_2d(as_vectors(vectors, self.embedding_dim))
        if new.ndim != 2:
            raise VardaError(f"The vectors have shape {new.shape}; one row a vector is needed.")
        return rounded_to_half(new) if self._settings.half_precision else new
