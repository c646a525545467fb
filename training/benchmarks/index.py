"""The memory benchmark: every index type at several sizes: times, size on disk, and recall against exact search."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from training.benchmarks.turns import TurnFigures, measure_turns, turn_table
from varda_chat.errors import VardaError
from varda_chat.memory import AssociativeMemory
from varda_chat.memory.index.registry import INDEX_TYPES, check_index_type

SIZES = (1_000, 10_000, 100_000)
LARGEST = 1_000_000
TURN_SIZES = (10_000, LARGEST)
"""Sizes at which turns and starts are measured."""

PER_CENTRE = 50
"""Vectors around one centre on average: about as many as one often repeated topic of a user."""

CLUSTERED = "random unit vectors in clusters of about 50 (centre and spread of equal length)"
UNCLUSTERED = "random unit vectors without clusters, the worst case of every index but flat"
MANNER = "fixed seed; one thread; medians, but build, save and load are done once"

PROCESSOR = "processor time: no waiting for the disk or for other programs"

Vectors = npt.NDArray[np.float32]
Clock = Callable[[], float]


@dataclass(frozen=True)
class MemoryFigures:
    """One row of the table. Times are seconds; ``add`` and ``remove`` are of 16 vectors, as a turn has them.

    recall_at_5: share of the exact 5 nearest that are found, over 200 new queries from the same clusters.
    """

    index_type: str
    size: int
    dim: int
    build: float
    search_1: float
    search_64: float
    add: float
    remove: float
    save: float
    load: float
    bytes_on_disk: int
    recall_at_5: float


def clustered(count: int, dim: int, *, centres: int, seed: int) -> Vectors:
    """``count`` unit vectors (count, dim) around ``centres`` centres, which depend on dim and their number only."""
    middle = np.random.default_rng(7).standard_normal((centres, dim), dtype=np.float32)
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, dim), dtype=np.float32)
    vectors += middle[rng.integers(0, centres, count)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def measure_memory(
    index_type: str,
    vectors: Vectors,
    queries: Vectors,
    truth: npt.NDArray[np.float32],
    directory: Path,
    half: bool,
    clock: Clock = time.perf_counter,
) -> MemoryFigures:
    """Build a memory of ``vectors`` (n, dim), search it, change it, and save it in ``directory``.

    truth: distance (m,) of the fifth nearest of each of ``queries`` (m, dim), m >= 84.
    """
    _seconds = partial(seconds_of, clock=clock)
    count, dim = vectors.shape
    memory = AssociativeMemory(memory_size=2 * count, embedding_dim=dim, index_type=index_type, half_precision=half)
    build = _seconds(lambda: _fill(memory, vectors))
    found = memory.search(queries, 5).distances
    recall = float((found <= truth[:, None] * (1 + (1e-2 if half else 1e-5))).mean())
    singles = [_seconds(partial(memory.search, query, 5)) for query in queries[:20]]
    together = [_seconds(lambda: memory.search(queries[20:84], 5)) for _ in range(3)]
    adds, removes = [], []
    for start in range(0, 80, 16):
        adds.append(_seconds(partial(memory.add, queries[start : start + 16])))
        removes.append(_seconds(partial(memory.remove, memory.ids()[-16:])))
    path = directory / "memory.faiss"
    save = _seconds(lambda: memory.write(path))
    load = _seconds(lambda: AssociativeMemory.read(path))
    on_disk = path.stat().st_size
    path.unlink()
    median = np.median
    return MemoryFigures(
        index_type=f"{index_type}, half" if half else index_type,
        size=count,
        dim=dim,
        build=build,
        search_1=float(median(singles)),
        search_64=float(median(together)),
        add=float(median(adds)),
        remove=float(median(removes)),
        save=save,
        load=load,
        bytes_on_disk=on_disk,
        recall_at_5=recall,
    )


def measure_all(
    sizes: tuple[int, ...],
    kinds: tuple[str, ...],
    dim: int,
    *,
    half: bool = False,
    unclustered: bool = False,
    clock: Clock = time.perf_counter,
) -> Iterator[MemoryFigures]:
    """A row for each size and index type, in that order, as each is measured."""
    for size in sizes:
        centres = 1 if unclustered else max(1, size // PER_CENTRE)
        vectors = clustered(size, dim, centres=centres, seed=1)
        queries = clustered(200, dim, centres=centres, seed=2)
        exact = AssociativeMemory(memory_size=size, embedding_dim=dim)
        exact.add(vectors)
        truth = exact.search(queries, 5).distances[:, -1]
        del exact
        with tempfile.TemporaryDirectory() as directory:
            for kind in kinds:
                yield measure_memory(kind, vectors, queries, truth, Path(directory), half, clock)


def memory_table(rows: list[MemoryFigures], vectors: str) -> Table:
    """The figures as a table; ``vectors`` says what was measured on."""
    title, caption = "The memory, by index type and size", f"Of {vectors}; {MANNER}."
    table = Table("index", title=title, caption=caption, title_justify="left", caption_justify="left")
    for column in ("vectors", "build", "1 query", "64 queries", "add 16", "remove 16", "save", "load", "disk"):
        table.add_column(column, justify="right")
    table.add_column("recall@5", justify="right")
    for row in rows:
        times = (row.build, row.search_1, row.search_64, row.add, row.remove, row.save, row.load)
        disk, recall = f"{row.bytes_on_disk / 1e6:.1f} MB", f"{row.recall_at_5:.3f}"
        table.add_row(row.index_type, f"{row.size:,}", *map(_readable, times), disk, recall)
    return table


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--sizes", default=",".join(map(str, SIZES)), help="Vectors, separated by commas.")
@click.option("--million", is_flag=True, help=f"Measure {LARGEST:,} vectors too (many minutes, several GB).")
@click.option("--index-types", default=",".join(INDEX_TYPES), help="Index types, separated by commas.")
@click.option("--dim", type=click.IntRange(min=1), default=256, help="Floats a vector.")
@click.option("--half-precision", is_flag=True, help="Keep 16 bits a value.")
@click.option("--unclustered", is_flag=True, help="Measure on vectors without clusters, the worst case.")
@click.option("--processor-time", is_flag=True, help="Of the index types, count processor time: on a busy machine.")
@click.option("--turns/--no-turns", default=True, help="Measure turns and starts too, from 10,000 vectors on.")
@click.option("--only-turns", is_flag=True, help="Measure nothing else.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def main(
    sizes: str,
    million: bool,
    index_types: str,
    dim: int,
    half_precision: bool,
    unclustered: bool,
    processor_time: bool,
    turns: bool,
    only_turns: bool,
    as_json: bool,
) -> None:
    """Measure the memory's index types: build, search, add, remove, save, load, size on disk, recall; turns, starts."""
    try:
        counts = (*(int(part.replace("_", "")) for part in sizes.split(",")), *((LARGEST,) if million else ()))
    except ValueError:
        raise click.UsageError(f"--sizes: {sizes!r} are not whole numbers separated by commas.") from None
    if min(counts) < 1:
        raise click.UsageError("--sizes: a memory has at least 1 vector.")
    kinds = tuple(part.strip() for part in index_types.split(","))
    rows: list[MemoryFigures] = []
    turn_rows: list[TurnFigures] = []
    try:
        for kind in kinds:
            check_index_type(kind)
        clock = time.process_time if processor_time else time.perf_counter
        measured = measure_all(counts, kinds, dim, half=half_precision, unclustered=unclustered, clock=clock)
        for row in () if only_turns else measured:
            rows.append(row)
            click.echo(f"{row.index_type}, {row.size:,}: built in {_readable(row.build)}", err=True)
        for size in (size for size in counts if size in TURN_SIZES and turns):
            vectors_of_size = clustered(size, dim, centres=1 if unclustered else size // PER_CENTRE, seed=1)
            with tempfile.TemporaryDirectory() as directory:
                for figures in measure_turns(vectors_of_size, kinds, Path(directory)):
                    turn_rows.append(figures)
                    click.echo(
                        f"{figures.index_type}, {size:,}: a turn in {_readable(figures.commit_median)}", err=True
                    )
    except VardaError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    vectors = (UNCLUSTERED if unclustered else CLUSTERED) + (f"; {PROCESSOR}" if processor_time else "")
    if as_json:
        found = {"rows": [asdict(row) for row in rows], "turns": [asdict(row) for row in turn_rows]}
        click.echo(json.dumps({"vectors": f"{vectors}; {MANNER}", **found}))
        return
    console = Console(width=140)
    if rows:
        console.print(memory_table(rows, vectors))
    if turn_rows:
        console.print(turn_table(turn_rows, _readable))


def _fill(memory: AssociativeMemory, vectors: Vectors) -> None:
    """Add in batches, as the store does when it rebuilds the index."""
    for start in range(0, len(vectors), 4096):
        memory.add(vectors[start : start + 4096])


def seconds_of(work: Callable[[], object], clock: Clock) -> float:
    """Seconds that ``work`` takes by ``clock``."""
    started = clock()
    work()
    return clock() - started


def _readable(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.2f} ms"


if __name__ == "__main__":
    main()
