"""A shipped model as the chat uses it, against the plain base of the same weights: writing, reading, first token and
search, with a memory of many vectors."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from training.benchmarks.index import PER_CENTRE, clustered
from training.benchmarks.ratios import Figure, Row, Speed, in_turns
from training.benchmarks.turns import PER_STATEMENT, fill
from varda_chat.config.defaults import GenerationSettings
from varda_chat.memory import AssociativeMemory, MemoryStore
from varda_chat.memory.index.base import faiss
from varda_chat.models import SearchResults, VardaGPTAssociative
from varda_chat.models.chat_format import ChatFormat
from varda_chat.models.checkpoint import Checkpoint
from varda_chat.models.generation import generate_reply
from varda_chat.models.linear_maps import suit
from varda_chat.models.reply import ReplyWriter
from varda_chat.session.decisions import FoundMemory, decide

MODELS = ("mini", "default")
VECTORS, MILLION = 10_000, 1_000_000
WRITTEN, WRITING_PROMPT, READ, FIRST_PROMPT = 64, 48, 192, 400
"""Tokens that are written and read."""
FILLER = "the sea was calm on that day and we walked along the shore until the sun went down behind the hills "

WRITING = Row("writing", "writing {n} tokens, {vectors} vectors", "`generate` of the plain base", "tokens/s",
              {"mini": 1.2, "default": 1.1}, gpu=True)  # fmt: skip
WRITING_MILLION = Row("writing-million", WRITING.what, WRITING.against, "tokens/s",
                      {"mini": 0.8, "default": 0.9}, gpu=True)  # fmt: skip
WRITING_ALL = Row("writing-searching", "the same, every token searching them all", WRITING.against, "tokens/s",
                  gpu=True)  # fmt: skip
READING = Row("reading", "reading a {n}-token prompt, {vectors} vectors", "plain forward", "tokens/s",
              {"mini": 0.8, "default": 0.95}, gpu=True)  # fmt: skip
FIRST = Row("first-token", "time to first token, {n}-token prompt, {vectors} vectors", "`generate` of the plain base",
            "ms", {"mini": 1.2, "default": 1.1}, at_most=True, gpu=True)  # fmt: skip
SEARCH = Row("search", "one search, {vectors} vectors", "bare FAISS on the same index", "ms",
             {"mini": 1.3, "default": 1.3}, at_most=True)  # fmt: skip
SEARCH_MILLION = Row("search-million", SEARCH.what, SEARCH.against, "ms", SEARCH.goals, at_most=True)


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


def plain_base(model: Any) -> Any:
    """The plain decoder of the same weights, which it shares, as transformers has it."""
    given = model.config
    if isinstance(model, VardaGPTAssociative):
        names = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "activation_function")
        gpt2 = GPT2Config(**{n: getattr(given, n) for n in names}, bos_token_id=None, eos_token_id=None)
        plain: Any = GPT2LMHeadModel(gpt2)
    else:
        if given.model_type != "varda_llama":
            raise ValueError(f"there is no plain base of {given.model_type} to compare with")
        left_out = ("memory", "base", "model_type", "architectures")
        plain = LlamaForCausalLM(LlamaConfig(**{n: v for n, v in given.to_dict().items() if n not in left_out}))
    plain.load_state_dict(model.state_dict(), strict=False, assign=True)
    plain.tie_weights()
    plain.generation_config = GenerationConfig()
    return plain.eval()


class ModelBench:
    """One shipped model, its plain base and, in ``directory``, a store as the chat's own of ``vectors`` vectors.

    The model's work is what the chat does: a model with a MemoryLayer reads the line, decides on what it finds, and
    writes on that; another one searches at every token.
    """

    def __init__(self, name: str, checkpoint: Checkpoint, directory: Path, vectors: int = VECTORS) -> None:
        self.name, self.model, self.vectors = name, checkpoint.model, vectors
        self.plain = plain_base(self.model)
        suit(self.model)  # as the chat does
        self.chat: ChatFormat = copy.copy(checkpoint.chat)
        self.chat.banned = [*self.chat.banned, self.chat.end_id]  # each writes as many tokens as the other
        self.decides = hasattr(self.model, "memory_layer")
        dim = int(self.model.config.memory_dim)
        centres = max(1, vectors // PER_CENTRE)
        rows = clustered(vectors, dim, centres=centres, seed=1)
        fill(directory, rows)
        self.store = MemoryStore.open(directory, embedding_dim=dim, fingerprint="bench", memory_size=10 * vectors)
        self.queries = torch.from_numpy(clustered(200, dim, centres=centres, seed=2))
        self.bare = faiss.IndexFlatL2(dim)
        self.bare.add(rows)

    def close(self) -> None:
        self.store.close()

    def prompt(self, length: int) -> list[int]:
        """A person's line that fills up ``length`` tokens, and the header of a reply."""
        line = self.chat.encode("user", FILLER * (1 + length // 10))
        around = len(self.chat.opening) + line.header + line.footer + len(self.chat.reply_prompt)
        said = line.ids[: line.header + length - around]
        return [*self.chat.opening, *said, *self.chat.footer, *self.chat.reply_prompt]

    def fitting(self, length: int, new: int) -> int:
        """``length``, or as many tokens as the model can read with ``new`` behind them."""
        return min(length, int(self.model.config.n_positions) - new)

    # the plain base

    def plain_write(self, prompt: list[int], new: int) -> Callable[[], object]:
        ids = torch.tensor([prompt])
        settings = GenerationConfig(
            max_new_tokens=new,
            min_new_tokens=new,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            bos_token_id=None,
        )
        return lambda: self.plain.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)

    def plain_read(self, prompt: list[int]) -> Callable[[], object]:
        ids = torch.tensor([prompt])
        return lambda: self.plain(ids, use_cache=True, logits_to_keep=1)

    # ours

    def read(self, prompt: list[int]) -> Callable[[], object]:
        """What the chat does with a line before it writes."""
        if self.decides:
            return lambda: self._decided(prompt)
        ids = torch.tensor([prompt])
        return lambda: self.model(ids, memory=self.store, use_cache=True, logits_to_keep=1)

    def write(self, prompt: list[int], new: int, *, searching: bool = False) -> Callable[[], object]:
        """What the chat does with a line. ``searching``: every token of the reply searches the whole memory."""
        settings = GenerationSettings(temperature=0.0, max_new_tokens=new)

        def decided() -> list[int]:
            reads = self.store if searching else self._found
            return self._decided(prompt).write(0, reads, settings).ids

        def searched() -> list[int]:
            return generate_reply(self.model, self.chat, prompt, self.store, settings)

        return decided if self.decides else searched

    def searches(self, k: int, repeats: int) -> tuple[float, float]:
        """Median seconds of one search for ``k`` results: of the FAISS index in the store, and of the store."""
        numbers, count = self.queries.numpy(), len(self.queries)

        def bare() -> None:
            for at in range(count):
                self.bare.search(numbers[at : at + 1], k)

        def ours() -> None:
            for at in range(count):
                self.store.search(self.queries[at].view(1, 1, -1), k)

        plain, full = in_turns(bare, ours, repeats)
        return plain / count, full / count

    def _decided(self, prompt: list[int]) -> ReplyWriter:
        """A writer that has read all of ``prompt`` but the reply's header, when the line is decided on."""
        writer = ReplyWriter(self.model, self.chat)
        read = prompt[: len(prompt) - len(self.chat.reply_prompt)]
        output, known = writer.read(read, None, [-1] * len(read))
        end = len(read) - len(self.chat.footer) - known
        decide(self.model, output, end, (), (), self.store, self.store.statement_ids, may_write=True)
        return writer

    @cached_property
    def _found(self) -> FoundMemory:
        """The vectors of three statements: as many as a reply reads at most."""
        near = self.store.search(self.queries[:1], 3 * PER_STATEMENT)
        return FoundMemory(near.ids[0], near.vectors[0], near.token_ids[0], self.store)


@torch.inference_mode()
def measure_models(bench: ModelBench, rows: frozenset[str], repeats: int) -> Iterator[Figure]:
    """Those of ``rows`` that are about a model and a memory of ``bench.vectors``."""
    million = bench.vectors >= MILLION

    def figure(row: Row, tokens: int, times: tuple[float, float], length: int) -> Figure:
        plain, ours = ((1000 * each) if row.unit == "ms" else tokens / each for each in times)
        shown = f"{bench.vectors:,}"
        what = row.what.format(n=length, vectors=shown)
        return Figure(Row(**(vars(row) | {"what": what})), bench.name, plain, ours, repeats)

    writing = WRITING_MILLION if million else WRITING
    prompt = bench.prompt(WRITING_PROMPT)
    plain = bench.plain_write(prompt, WRITTEN)
    if writing.name in rows:
        yield figure(writing, WRITTEN, in_turns(plain, bench.write(prompt, WRITTEN), repeats), WRITTEN)
        if bench.decides:
            searching = bench.write(prompt, WRITTEN, searching=True)
            yield figure(WRITING_ALL, WRITTEN, in_turns(plain, searching, repeats), WRITTEN)
    if READING.name in rows and not million:
        prompt = bench.prompt(READ)
        times = in_turns(bench.plain_read(prompt), bench.read(prompt), repeats)
        yield figure(READING, READ, times, READ)
    if FIRST.name in rows and not million:
        length = bench.fitting(FIRST_PROMPT, 1)
        prompt = bench.prompt(length)
        times = in_turns(bench.plain_write(prompt, 1), bench.write(prompt, 1), repeats)
        yield figure(FIRST, 1, times, length)
    search = SEARCH_MILLION if million else SEARCH
    if search.name in rows:
        yield figure(search, 1, bench.searches(int(bench.model.config.num_search_results), repeats), 1)


def measure_speed(checkpoint: Checkpoint, *, memory_size: int = VECTORS, repeats: int = 5) -> list[Speed]:
    """The rows of one checkpoint, as shares of the plain base's tokens/s; for ``varda-eval CHECKPOINT speed``."""
    rows = frozenset((WRITING.name, WRITING_MILLION.name, READING.name))
    with tempfile.TemporaryDirectory(prefix="varda-bench-") as directory:
        bench = ModelBench(checkpoint.name, checkpoint, Path(directory), memory_size)
        try:
            found = list(measure_models(bench, rows, repeats))
        finally:
            bench.close()
    return [Speed(each.row.what, each.plain, each.ours) for each in found]
