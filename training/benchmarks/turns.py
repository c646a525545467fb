"""What a turn and a start cost a person whose memory has grown: commit time and time to the first search, by size."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.table import Table

from varda_chat.memory import MemoryStore, NewStatement, NewVector, TurnChanges
from varda_chat.memory.records import Imported

PER_STATEMENT = 10
"""Vectors of a statement."""

TURNS = 300
MANNER = (
    f"{TURNS} turns, each with two new statements of {PER_STATEMENT} vectors, one deleted and two recalled, durable "
    "when it ends. Start: a new process with the files in the page cache, from opening the memory to the answer of "
    "the first search; in brackets, importing numpy, FAISS and the store before that"
)
_START = """
import sys, time
began = time.perf_counter()
import numpy as np
from varda_chat.memory import MemoryStore
import varda_chat.memory.vector_memory
imported, processor = time.perf_counter(), time.thread_time()
with MemoryStore.open(sys.argv[1], embedding_dim=int(sys.argv[2]), fingerprint="bench", memory_size=10**7) as store:
    assert (store.search(np.ones(int(sys.argv[2])), 5).ids >= 0).all() and not store.notices, store.notices
    print(imported - began, time.perf_counter() - imported, time.thread_time() - processor)
"""

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TurnFigures:
    """One row of the table. Times are seconds; ``build`` rebuilds the index from memory.db. ``*_cpu`` is processor
    time: what a busy machine makes longer is not in it, nor is waiting for the disk."""

    index_type: str
    size: int
    dim: int
    commit_median: float
    commit_p99: float
    commit_cpu: float
    start: float
    start_cpu: float
    imports: float
    build: float


def measure_turns(vectors: Vectors, kinds: tuple[str, ...], directory: Path) -> Iterator[TurnFigures]:
    """Fill a store in ``directory`` with ``vectors`` (n, dim), then measure turns and a start with each index type."""
    count, dim = vectors.shape
    fill(directory, vectors)
    rng = np.random.default_rng(5)
    for kind in kinds:
        with MemoryStore.open(
            directory, embedding_dim=dim, fingerprint="bench", memory_size=10 * count + 10**6
        ) as store:
            began = time.perf_counter()
            store.indexing.set_type(kind)
            build = time.perf_counter() - began
            seconds, processor = np.array([turn_seconds(store, rng, dim) for _ in range(TURNS)]).T
        line = [sys.executable, "-c", _START, str(directory), str(dim)]
        done = [subprocess.run(line, capture_output=True, text=True, check=True) for _ in range(3)]  # noqa: S603
        imports, start, start_cpu = np.median([[float(each) for each in one.stdout.split()] for one in done], axis=0)
        yield TurnFigures(
            index_type=kind,
            size=count,
            dim=dim,
            commit_median=float(np.median(seconds)),
            commit_p99=float(np.quantile(seconds, 0.99)),
            commit_cpu=float(np.median(processor)),
            start=float(start),
            start_cpu=float(start_cpu),
            imports=float(imports),
            build=build,
        )


def fill(directory: Path, vectors: Vectors) -> None:
    """Take ``vectors`` (n, dim) into a store in ``directory``, as statements of PER_STATEMENT."""
    starts = range(0, len(vectors), PER_STATEMENT)
    new = (_statement(f"fact {at}", vectors[at : at + PER_STATEMENT]) for at in starts)
    with MemoryStore.open_records(directory) as store:
        store.importing.add(Imported(each, "s", 1.0, None, 0, False, "bench") for each in new)


def turn_table(rows: list[TurnFigures], readable: Callable[[float], str]) -> Table:
    """The figures as a table; ``readable`` writes seconds."""
    table = Table("index", title="A turn and a start, by index type and size", title_justify="left")
    table.caption, table.caption_justify = f"{MANNER}.", "left"
    for column in ("vectors", "commit, median", "commit, p99", "processor", "start", "processor", "index rebuilt"):
        table.add_column(column, justify="right")
    for row in rows:
        times = (row.commit_median, row.commit_p99, row.commit_cpu)
        start = f"{readable(row.start)} ({readable(row.imports)})"
        table.add_row(
            row.index_type, f"{row.size:,}", *map(readable, times), start, *map(readable, (row.start_cpu, row.build))
        )
    return table


def _statement(text: str, vectors: Vectors) -> NewStatement:
    return NewStatement(text, "user", tuple(NewVector(row, 7, "t", 0.5) for row in vectors))


def turn_seconds(store: MemoryStore, rng: np.random.Generator, dim: int) -> tuple[float, float]:
    """Seconds that a turn takes, and of them in this thread's processor time."""
    number = time.time_ns()  # another text in every run: what is told again costs less
    rows = rng.standard_normal((2, PER_STATEMENT, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    new = tuple(_statement(f"turn {number} {place}", each) for place, each in enumerate(rows))
    some = [each.id for each in store.statements(3, newest_first=False)]
    changes = TurnChanges(new, frozenset(some[:1]), frozenset(some[1:]))
    began, processor = time.perf_counter(), time.thread_time()
    store.apply(changes, session="bench")
    return time.perf_counter() - began, time.thread_time() - processor
