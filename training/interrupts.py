"""What cuts a run off: Ctrl+C, or a cluster's SIGTERM, noted so that the step at hand can be finished and saved; and
memory that is used up, told from other errors."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import torch


@contextlib.contextmanager
def interrupts(patient: bool = False) -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether the run was asked to stop. A second Ctrl+C is raised, unless ``patient``: a
    launcher hands one to its processes that the terminal has already sent them."""
    asked = False

    def note(_signal: int, _frame: Any) -> None:
        nonlocal asked
        if asked and not patient:
            raise KeyboardInterrupt
        asked = True

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory is used up, a GPU's or this machine's."""
    words = str(error).lower()
    named = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return named or "out of memory" in words or "allocate memory" in words
