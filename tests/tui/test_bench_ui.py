"""The pseudo-terminal of the screen's benchmark, on programs that are there everywhere; and its arithmetic."""

from __future__ import annotations

import random
import sys

import pytest

from tests.helpers.terminal import Terminal
from tests.tui.bench_ui import Latency, type_letters

ECHO = (
    "import sys, termios, tty; tty.setcbreak(0); print('ready', flush=True)\n"
    "while (c := sys.stdin.read(1)) != 'q': print('<' + c + '>', flush=True)"
)


def test_what_is_typed_is_painted_and_timed() -> None:
    with Terminal([sys.executable, "-c", ECHO], {"PYTHONUTF8": "1"}) as terminal:
        assert terminal.wait_for(b"ready", 30) > terminal.started
        took = type_letters(terminal, ["ᐁ", "ᐂ", "ᐃ"], random.Random(0))
        assert len(took) == 3 and all(0 < each < 30 for each in took)
        terminal.write(b"q")
        with pytest.raises(EOFError, match="the program ended"):
            terminal.rest(30)


def test_what_is_never_painted_is_told() -> None:
    with Terminal([sys.executable, "-c", ECHO], {}) as terminal:
        terminal.wait_for(b"ready", 30)
        with pytest.raises(TimeoutError, match="was not painted"):
            terminal.wait_for(b"something else", 0.1)


def test_the_size_is_the_terminals() -> None:
    with Terminal([sys.executable, "-c", "import os; print(os.get_terminal_size())"], {}, (97, 31)) as terminal:
        terminal.wait_for(b"columns=97, lines=31", 30)


def test_percentiles() -> None:
    found = Latency.of([each / 1000 for each in range(100, 0, -1)])
    assert (found.keys, found.median, found.worst) == (100, 50.5, 100.0)
    assert (found.p95, found.p99) == (96.0, 100.0)
