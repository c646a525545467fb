"""How fast the chat paints: its first screen beside an empty Textual app's, and a typed key at rest and while Varda
writes. Measured on the real program with the bundled checkpoint, in a pseudo-terminal."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tests.helpers.terminal import Terminal
from varda_chat.transcripts.store import FILE_NAME

MOST_FIRST_PAINT_MS = 250
MOST_KEY_MS = 50
EMPTY_APP = "from textual.app import App; App().run()"
BACKGROUND = b"\x1b[48;2;"
"""What an empty app paints."""
LOADING = b"you can already write"
READY = b"Message Varda"
LETTERS = [chr(point) for point in range(0x1401, 0x1401 + 620)]
"""One cell wide, and in no answer: where one is painted first, that is its key's paint."""
BATCH = 30
"""Letters that are typed before the composer is emptied."""
GAP_SECONDS = 0.1
EMPTY_THE_LINE = b"\x15"
MESSAGE = b"\x1b[200~Tell me about the sea.\x1b[201~\r"
LONG_ANSWERS = ("--temperature", "10", "--top-p", "1", "--max-new-tokens", "200")
"""So hot that the answer's end is as likely as any other token: nearly every answer is as long as it may be."""
PATIENCE = 60.0
ENVIRONMENT = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


@dataclass(frozen=True)
class Paints:
    """Milliseconds from the start of the process to the first screen; medians."""

    starts: int
    empty: float
    chat: float

    @property
    def more(self) -> float:
        return self.chat - self.empty


@dataclass(frozen=True)
class Latency:
    """Milliseconds from a key to its paint."""

    keys: int
    median: float
    p95: float
    p99: float
    worst: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        ordered = sorted(1000 * each for each in seconds)
        p95, p99 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.95, 0.99))
        return cls(len(ordered), statistics.median(ordered), p95, p99, ordered[-1])


@contextmanager
def chat(*flags: str) -> Iterator[tuple[Terminal, Path]]:
    """The chat over a new memory, and the directory of its profile."""
    with tempfile.TemporaryDirectory() as home:
        argv = [sys.executable, "-m", "varda_chat", "--data-dir", home, "--seed", "1", *flags]
        with Terminal(argv, ENVIRONMENT) as terminal:
            yield terminal, Path(home) / "profiles" / "default"


@contextmanager
def loaded_chat(*flags: str) -> Iterator[tuple[Terminal, Path]]:
    """The chat once its model is loaded."""
    with chat(*flags) as (terminal, profile):
        terminal.wait_for(READY, PATIENCE)
        terminal.rest(1.0)
        yield terminal, profile


# -- the first screen -----------------------------------------------------------------------------------------


def first_paints(starts: int) -> Paints:
    """Starts of either app in turn, after one of each that brings the files into the machine's memory."""
    pairs = [(_empty_paint(), _chat_paint()) for _ in range(starts + 1)][1:]
    empty, full = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    return Paints(starts, empty, full)


def _chat_paint() -> float:
    with chat() as (terminal, _):
        return terminal.wait_for(LOADING, PATIENCE) - terminal.started


def _empty_paint() -> float:
    with Terminal([sys.executable, "-c", EMPTY_APP], ENVIRONMENT) as terminal:
        return terminal.wait_for(BACKGROUND, PATIENCE) - terminal.started


# -- keys -----------------------------------------------------------------------------------------------------


def type_letters(terminal: Terminal, letters: Sequence[str], chance: random.Random) -> list[float]:
    """Type ``letters``, about ten a second whether or not the last one was painted; seconds from each key to its
    paint."""
    to_come, sent, took = list(letters), dict[str, float](), list[float]()
    due = time.monotonic()
    patience = due + PATIENCE
    while to_come or sent:
        if to_come and time.monotonic() >= due:
            letter = to_come.pop(0)
            sent[letter] = terminal.write(letter.encode())
            due += GAP_SECONDS * chance.uniform(0.7, 1.3)
        now = terminal.read(due if to_come else patience)
        for letter in [each for each in sent if now is not None and terminal.shows(each.encode())]:
            took.append((now or 0.0) - sent.pop(letter))
        if time.monotonic() > patience:
            raise TimeoutError(f"a key was never painted: {terminal.last_words()}")
    return took


def keys_at_rest(keys: int) -> Latency:
    """While the model has nothing to do."""
    chance, took = random.Random(1), list[float]()
    with loaded_chat() as (terminal, _):
        for start in range(0, keys, BATCH):
            took += type_letters(terminal, LETTERS[start : min(start + BATCH, keys)], chance)
            terminal.write(EMPTY_THE_LINE)
            terminal.rest(0.3)
    return Latency.of(took)


def keys_while_writing(keys: int) -> Latency:
    """While one long answer follows another without a pause."""
    chance, took, asked = random.Random(2), list[float](), 0
    with loaded_chat(*LONG_ANSWERS) as (terminal, profile):
        for start in range(0, len(LETTERS), BATCH):
            while asked - (_answered(profile) if asked else 0) < 6:
                terminal.write(MESSAGE)
                terminal.rest(0.1)
                asked += 1
            terminal.rest(0.3)
            batch = type_letters(terminal, LETTERS[start : start + BATCH], chance)
            if _answered(profile) < asked:  # else she was done before the batch was
                took += batch
            if len(took) >= keys:
                return Latency.of(took[:keys])
            terminal.write(EMPTY_THE_LINE)
            terminal.rest(0.3)
    raise RuntimeError("The model was done before the letters were, too often.")


def keys_while_talking(keys: int) -> Latency:
    """While short answers come, one after every five keys: the first of them follows Enter at once."""
    chance, took = random.Random(3), list[float]()
    with loaded_chat() as (terminal, _):
        for start in range(0, keys, 5):
            terminal.write(MESSAGE)
            took += type_letters(terminal, LETTERS[start : min(start + 5, keys)], chance)
            terminal.write(EMPTY_THE_LINE)
    return Latency.of(took)


def _answered(profile: Path) -> int:
    """How many turns the transcripts have whole."""
    with closing(sqlite3.connect(profile / FILE_NAME)) as db:
        return int(db.execute("SELECT count(*) FROM turns WHERE state = 'done'").fetchone()[0])


KINDS: dict[str, Callable[[int], Latency]] = {
    "at rest": keys_at_rest,
    "while long answers are written": keys_while_writing,
    "while short answers come and go": keys_while_talking,
}


@click.command()
@click.option("--starts", type=click.IntRange(1), default=7, show_default=True, help="Starts of each app.")
@click.option("--keys", type=click.IntRange(1, 500), default=300, show_default=True, help="Keys of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(starts: int, keys: int, as_json: bool) -> None:
    """Measure how fast the chat paints, in a pseudo-terminal of 120 columns and 36 rows."""
    paints = first_paints(starts)
    latencies = {kind: measure(keys) for kind, measure in KINDS.items()}
    load = os.getloadavg()[0]
    if as_json:
        found = {"paints": asdict(paints) | {"more": paints.more}, "keys": {k: asdict(v) for k, v in latencies.items()}}
        click.echo(json.dumps(found | {"cores": os.cpu_count(), "load": load}))
        return
    console = Console()
    console.print(
        f"First screen after {paints.chat:.0f} ms, an empty Textual app's after {paints.empty:.0f} ms (medians of "
        f"{starts} starts): {paints.more:.0f} ms more; {MOST_FIRST_PAINT_MS} are allowed."
    )
    table = Table("typing", "keys", "median", "95th percentile", "99th percentile", "worst")
    for kind, found_ms in latencies.items():
        times = (found_ms.median, found_ms.p95, found_ms.p99, found_ms.worst)
        table.add_row(kind, str(found_ms.keys), *(f"{each:.1f} ms" for each in times))
    console.print(table)
    console.print(f"{MOST_KEY_MS} ms are allowed at the 99th percentile. Cores: {os.cpu_count()}, load: {load:.1f}.")


if __name__ == "__main__":
    main()
