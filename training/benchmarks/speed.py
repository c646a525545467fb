"""Speed as ratios against plain GPT-2 of the same size in the same run: reading, writing, and the memory's look-up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

from varda_chat.memory import AssociativeMemory
from varda_chat.models import SearchResults, VardaGPTAssociative


@dataclass(frozen=True)
class Speed:
    """tokens/s of plain GPT-2 and of ours on the same work, and ours as a share of it."""

    work: str
    plain: float
    ours: float

    @property
    def ratio(self) -> float:
        return self.ours / self.plain


class FullMemory:
    """A real FAISS index of ``size`` random unit vectors, as the model's Memory."""

    def __init__(self, size: int, dim: int, vocab_size: int) -> None:
        rng = np.random.default_rng(0)
        vectors = rng.standard_normal((size, dim), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.index = AssociativeMemory(memory_size=size, embedding_dim=dim)
        self.index.add(vectors)
        self.vocab_size = vocab_size

    def search(self, query: torch.Tensor, k: int) -> SearchResults:
        found = self.index.search(query, k)
        return SearchResults(found.ids, found.distances, found.vectors, token_ids=found.ids % self.vocab_size)


@torch.inference_mode()
def measure_speed(model: VardaGPTAssociative, *, memory_size: int = 10_000, repeats: int = 5) -> list[Speed]:
    """Median of ``repeats``, the two models taking turns."""
    config = model.config
    names = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
    plain_config = GPT2Config(**{n: getattr(config, n) for n in names}, bos_token_id=None, eos_token_id=None)
    plain: Any = GPT2LMHeadModel(plain_config).eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    memory = FullMemory(memory_size, config.memory_dim, config.vocab_size)
    length = config.n_positions // 2
    ids = torch.randint(3, config.vocab_size, (1, length))
    new = min(64, length - 1)
    writing = GenerationConfig(
        max_new_tokens=new, min_new_tokens=new, do_sample=False, eos_token_id=None, pad_token_id=0, bos_token_id=None
    )
    mask = torch.ones_like(ids)

    def read(which: Any, **extra: Any) -> Callable[[], object]:
        return lambda: which(ids, **extra)

    def write(which: Any, **extra: Any) -> Callable[[], object]:
        return lambda: which.generate(ids[:, :16], attention_mask=mask[:, :16], generation_config=writing, **extra)

    cases = (
        (f"reading {length} tokens, no memory", length, read(plain), read(model)),
        (f"reading {length} tokens, {memory_size:,} vectors", length, read(plain), read(model, memory=memory)),
        (f"writing {new} tokens, no memory", new, write(plain), write(model)),
        (f"writing {new} tokens, {memory_size:,} vectors", new, write(plain), write(model, memory=memory)),
    )
    results = []
    for work, tokens, of_plain, of_ours in cases:
        of_plain()
        of_ours()
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(repeats):
            for run, seconds in zip((of_plain, of_ours), times, strict=True):
                started = time.perf_counter()
                run()
                seconds.append(time.perf_counter() - started)
        plain_seconds, our_seconds = (statistics.median(t) for t in times)
        results.append(Speed(work, tokens / plain_seconds, tokens / our_seconds))
    return results
