"""What it costs to make a turn's changes durable, against one SQLite commit of the same bytes."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np

from training.benchmarks.index import PER_CENTRE, clustered
from training.benchmarks.ratios import Figure, Row, medians, seconds
from training.benchmarks.turns import PER_STATEMENT, fill, turn_seconds
from varda_chat.memory import MemoryStore
from varda_chat.storage.sqlite import connect_writer, transaction

COMMIT = Row("commit", "a turn's durable commit, 10,000 vectors", "one SQLite commit of the same bytes", "ms",
             {"mini": 2.0, "default": 2.0}, at_most=True)  # fmt: skip
STATEMENTS, VECTORS = 2, 10_000
FIRST = 5
"""Commits that the log of a database grows with, before it is written over from its beginning."""
PAGE = 4096 + 24
"""Bytes of a page in SQLite's write-ahead log."""


def measure_commits(dims: Mapping[str, int], repeats: int) -> Iterator[Figure]:
    """For each model, by the ``dims`` of its vectors: turns that each store two statements of ten vectors, delete one
    and recall two, and commits of as many bytes into one table of a database with the same settings."""
    for model, dim in dims.items():
        with tempfile.TemporaryDirectory(prefix="varda-bench-") as place:
            (plain, ours), pages = _commits(Path(place), dim, 20 * repeats)
        detail = f"{pages[1]:.0f} pages written, the plain one {pages[0]:.0f}"
        yield Figure(COMMIT, model, 1000 * plain, 1000 * ours, 20 * repeats, detail)


def _commits(directory: Path, dim: int, runs: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Median seconds of a plain commit and of a turn's, and the pages that each writes."""
    fill(directory, clustered(VECTORS, dim, centres=VECTORS // PER_CENTRE, seed=1))
    rng = np.random.default_rng(5)
    payload = rng.bytes(STATEMENTS * PER_STATEMENT * dim * 4)
    with (
        MemoryStore.open(directory, embedding_dim=dim, fingerprint="bench", memory_size=10**6) as store,
        closing(connect_writer(directory / "plain.db")) as plain,
    ):
        plain.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, bytes BLOB)")

        def commit() -> None:
            with transaction(plain):
                plain.execute("INSERT INTO rows (bytes) VALUES (?)", (payload,))

        def turn() -> float:
            return turn_seconds(store, rng, dim)[0]

        pages = _pages(directory / "plain.db", commit), _pages(directory / "memory.db", turn)
        return medians(lambda: seconds(commit), turn, runs), pages


def _pages(database: Path, commit: Callable[[], object]) -> float:
    """Pages that ``commit`` adds to the write-ahead log of ``database``: the median of the FIRST."""
    log = database.with_name(f"{database.name}-wal")
    sizes = [log.stat().st_size]
    for _ in range(FIRST):
        commit()
        sizes.append(log.stat().st_size)
    return statistics.median((after - before) / PAGE for before, after in pairwise(sizes))
