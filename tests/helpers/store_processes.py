"""What the tests of faults share: a child process with a memory, and memories filled and damaged."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from tests.helpers.stores import opened, texts, told, turn

PRELUDE = """
import os, sys
import numpy as np
from pathlib import Path
from varda_chat.errors import *
from varda_chat.memory import *

def told(number, count=3):
    rows = np.random.default_rng(number).standard_normal((count, 8)).astype("f4")
    return NewStatement(f"fact {number}", "user", tuple(NewVector(row, 1, "t", 0.5) for row in rows))

def opened(directory, **changed):
    return MemoryStore.open(directory, **{"embedding_dim": 8, "fingerprint": "model-a", **changed})

def refused(change):
    try:
        change()
    except StorageError as error:
        print("refused:", error)
        return
    raise AssertionError("it was not refused")

directory = Path(sys.argv[1])
"""


def child(code: str, *arguments: object, wrap: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*wrap, sys.executable, "-c", PRELUDE + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def filled(directory: Path, count: int = 5) -> list[str]:
    """A closed memory of ``count`` statements; returns their texts."""
    with opened(directory) as store:
        store.apply(turn(*(told(f"fact {number}", seed=number) for number in range(count))), session="s")
        return texts(store)


def damaged_at(path: Path, start: float, stop: float) -> None:
    """Overwrite a part of the file, given in shares of its length."""
    content = bytearray(path.read_bytes())
    first, last = int(len(content) * start), int(len(content) * stop)
    content[first:last] = random.Random(1).randbytes(last - first)
    path.write_bytes(content)
