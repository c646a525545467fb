"""Keeps Python's garbage collector from stopping the screen while a person types or reads what is being written."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_OBJECTS = 5_000
YOUNG_COLLECTIONS = 10
"""After so many more objects the young ones are looked through, and every so many times the middle-aged with them."""
WORTH_IT = 4
"""A full collection is worth its time once the middle-aged were looked through so often, ..."""
OVERDUE = 40
"""... and is made whatever goes on once they were so often."""
QUIET_SECONDS = 1.0
_NEVER = 1 << 30


@contextmanager
def starting() -> Iterator[None]:
    """From the program's start on nothing is collected, until ``loading`` is through: the first paint comes a tenth
    earlier."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def loading() -> Iterator[None]:
    """While torch and the model are loaded for the first time: nothing is collected, and what is there at the end is
    taken to stay.

    Their modules are some hundred thousand objects. A full collection goes through all of them with every thread
    standing still, which takes tenths of a second, again and again.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Collector:
    """From ``start`` to ``stop`` full collections are made when nobody waits for the screen, and else hardly ever."""

    def __init__(self) -> None:
        self._before = gc.get_threshold()
        self._touched_at = 0.0

    def start(self) -> None:
        """Take the full collections over from Python."""
        self._before = gc.get_threshold()
        gc.set_threshold(YOUNG_OBJECTS, YOUNG_COLLECTIONS, _NEVER)

    def stop(self) -> None:
        """Let Python make them again."""
        gc.set_threshold(*self._before)

    def touch(self) -> None:
        """A key was pressed, or the mouse moved."""
        self._touched_at = time.monotonic()

    def look(self, *, busy: bool) -> bool:
        """Collect, if that is due and nobody is there to see it; ``busy``: an answer is being written. Whether it
        was."""
        due = gc.get_count()[2]
        quiet = not busy and time.monotonic() - self._touched_at >= QUIET_SECONDS
        if due < (WORTH_IT if quiet else OVERDUE):
            return False
        gc.collect()
        return True
