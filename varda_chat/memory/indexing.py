"""Indexing: changes how an open memory is searched, never what it says."""

from __future__ import annotations

from collections.abc import Sequence

from varda_chat.errors import VardaError
from varda_chat.memory import queries, schema
from varda_chat.memory.core import OpenMemory
from varda_chat.memory.index.checks import checked_vector
from varda_chat.memory.index_cache import IndexMirror
from varda_chat.memory.records import NewVector
from varda_chat.memory.schema import bump_generation
from varda_chat.storage.sqlite import transaction


class Indexing:
    """The type of the index, the vectors in it and its file. Raises as the methods of MemoryStore do."""

    def __init__(self, core: OpenMemory) -> None:
        self._core = core

    def set_type(self, name: str) -> None:
        """Search this memory with an index of another type from now on; it is rebuilt. Raises VardaError for a type
        that there is not."""
        from varda_chat.memory.index.registry import check_index_type  # FAISS loads here

        check_index_type(name)
        core = self._core
        core.background.wait_for_check()
        with core.changing("The index type was not changed"):
            core.background.stop_writing()
            with transaction(core.db):
                schema.set_index_type(core.db, name)
            if core.mirror is not None:
                dim, fingerprint = core.mirror.memory.embedding_dim, core.mirror.fingerprint
                core.mirror, _ = IndexMirror.rebuilt(core.db, dim, fingerprint, "")

    def replace_vectors(self, statement_id: int, vectors: Sequence[NewVector]) -> None:
        """Put ``vectors``, of this model, in place of all that the statement had; the old stay until then.

        May pass ``capacity``: the next ``apply`` makes room. In a read-only store only the copy in RAM changes.
        """
        core = self._core
        statement_id, dim = int(statement_id), core.index().memory.embedding_dim
        new = tuple(checked_vector(vector, dim) for vector in vectors)
        with core.changing("The memory was not read again", also_in_ram=True):
            index = core.index()
            with transaction(core.db):
                if queries.statement(core.db, statement_id) is None:
                    raise VardaError(f"There is no memory with the id {statement_id}.")
                ids = queries.replace_vectors(core.db, statement_id, new, index.fingerprint)
                bump_generation(core.db)
            index.remove_statements([statement_id])
            index.add_statement(statement_id, ids, new)

    def flush(self) -> None:
        """Write memory.faiss, so that the next start need not rebuild it. Raises StorageError."""
        self._core.background.wait_for_check()
        with self._core.changing("The index was not written"):
            self._core.write_index()
