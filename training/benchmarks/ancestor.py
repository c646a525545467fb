"""The ancestor's design as a reference: how the original VardaGPT reads a sequence, in words of our own.

What is compared is the design, not that project's code: a search of one vector and a Python loop over its results for
every token, before the blocks; the blocks once over the sequence, without a cache; then a store of one vector for every
token, and random forgetting, which copies the whole table of vectors. Its "flat" index is an inverted file trained on
zeros, so that every vector falls into the first of its lists and every search looks at all of them; that is what stands
here, with the zeros put in place instead of found by k-means. The blocks and the output layer are those of the model it
is compared with, so a difference in time is one of the memory's design.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from varda_chat.memory.index.base import faiss
from varda_chat.memory.vector_memory import AssociativeMemory
from varda_chat.models import VardaGPTAssociative

CLUSTERS, FORGOTTEN = 1024, 0.001
STORE_THRESHOLD = 0.5


class AncestorLoop:
    """Reads with a memory of the vectors of ``memory``, as the original does, on the blocks of ``model``."""

    def __init__(self, model: VardaGPTAssociative, memory: AssociativeMemory) -> None:
        config = model.config
        self.model, self.k, self.dim = model, config.num_search_results, config.memory_dim
        quantizer = faiss.IndexFlatL2(self.dim)
        quantizer.add(np.zeros((CLUSTERS, self.dim), dtype=np.float32))
        self.full: Any = faiss.IndexIVFFlat(quantizer, self.dim, CLUSTERS, faiss.METRIC_L2)
        self.full.is_trained = True
        self.full.set_direct_map_type(faiss.DirectMap.Hashtable)
        self.kept = memory.get_all_embeddings()
        self.full.add(self.kept)
        self.fc = nn.Linear(config.n_embd + self.k * self.dim, config.n_embd)
        self.fc_storable_vector = nn.Linear(config.n_embd, self.dim)
        self.fc_store_decision = nn.Linear(config.n_embd, 1)
        self.refresh(0)

    def refresh(self, room: int) -> None:
        """Put the memory back as it was at first, with ``room`` for new vectors."""
        self.index: Any = faiss.clone_index(self.full)
        self.rows = np.concatenate([self.kept, np.zeros((room, self.dim), dtype=np.float32)])

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (T, vocabulary) of ``ids`` (T,); the memory is then another."""
        embedded = self.model.transformer.wte(ids)
        states = self.model.transformer(
            inputs_embeds=self.fc(torch.cat([embedded, self.search(embedded)], dim=-1)).unsqueeze(0), use_cache=False
        ).last_hidden_state[0]
        logits: Tensor = self.model.lm_head(states)
        opened = (self.fc_store_decision(states) > STORE_THRESHOLD).float()
        self.store(self.fc_storable_vector(states) * opened)
        return logits

    def search(self, queries: Tensor) -> Tensor:
        """The results (T, k * dim) of queries (T, dim), found one by one."""
        found = torch.zeros(len(queries), self.k * self.dim)
        for place, query in enumerate(queries):
            _, ids = self.index.search(query.numpy()[None], self.k)
            rows = [torch.from_numpy(self.rows[i]) if i >= 0 else torch.zeros(self.dim) for i in ids[0].tolist()]
            found[place] = torch.cat(rows)
        return found

    def store(self, vectors: Tensor) -> None:
        """Store vectors (T, dim) one by one, then forget some at random."""
        for vector in vectors.numpy():
            self.rows[self.index.ntotal] = vector
            self.index.add(vector[None])
        total = int(self.index.ntotal)
        gone = np.random.default_rng(0).choice(total, size=int(total * FORGOTTEN), replace=False)
        self.index.remove_ids(gone)
        self.rows = np.delete(self.rows, gone, axis=0)
