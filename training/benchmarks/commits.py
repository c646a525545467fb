"""What it costs to make a turn's changes durable, against one SQLite commit of the same bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
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


def measure_commits(dims: Mapping[str, int], repeats: int) -> Iterator[Figure]:
    """For each model, by the ``dims`` of its vectors: turns that each store two statements of ten vectors, delete one
    and recall two, and commits of as many bytes into one table of a database with the same settings."""
    for model, dim in dims.items():
        with tempfile.TemporaryDirectory(prefix="varda-bench-") as place:
            plain, ours = _commits(Path(place), dim, 20 * repeats)
        yield Figure(COMMIT, model, 1000 * plain, 1000 * ours, 20 * repeats)


def _commits(directory: Path, dim: int, runs: int) -> tuple[float, float]:
    """Median seconds of a plain commit and of a turn's."""
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

        return medians(lambda: seconds(commit), lambda: turn_seconds(store, rng, dim)[0], runs)
