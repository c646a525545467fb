"""What an attack is, how its tries are counted, and the table that they end in."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Literal

import pytest

Tries = Iterator[None]
"""Makes one try each time it goes on, and raises where one fails."""

PATIENCE = 120
"""Seconds after which a try hangs."""


class SkippedError(Exception):
    """The machine does not allow this attack; the message says why."""


@dataclass(frozen=True)
class Attack:
    """``tries``: given an empty directory and how many. ``full``: how many the full form makes. ``broken``: what a
    failed assertion means; a timeout is a hang and any other exception a crash."""

    name: str
    tries: Callable[[Path, int], Tries]
    full: int
    broken: Literal["lost", "leaked"] = "lost"

    def size(self, share: float) -> int:
        """How many tries that share of the full form has: at least one."""
        return max(1, round(self.full * share))


@dataclass
class Outcome:
    """Counts of one attack; ``failures``: the first line of each. ``skipped``: why it was not made, if so."""

    attack: Attack
    tries: int = 0
    lost: int = 0
    leaked: int = 0
    crashed: int = 0
    hung: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def held(self) -> bool:
        return not self.failures

    def note(self, error: BaseException) -> None:
        """Count a try that failed."""
        if isinstance(error, TimeoutError | subprocess.TimeoutExpired):
            self.hung += 1
        elif not isinstance(error, AssertionError | pytest.fail.Exception):
            self.crashed += 1
        elif self.attack.broken == "lost":
            self.lost += 1
        else:
            self.leaked += 1
        self.failures.append(f"{self.attack.name}: {type(error).__name__}: {str(error).strip()[:400]}")


def make(attack: Attack, work: Path, tries: int) -> Outcome:
    """Make so many tries of ``attack`` in ``work``; after one that fails, the next ones start over."""
    outcome, begun = Outcome(attack), time.monotonic()
    for series in count():
        directory = work / f"{attack.name.replace(' ', '-').replace('/', '-')}-{series}"
        directory.mkdir(parents=True)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("VARDA_CHAT_HOME", str(directory / "home"))
            environment.setenv("VARDA_CHAT_MODEL", "mini")
            environment.chdir(directory)
            try:
                _make_series(attack, directory, tries - outcome.tries, outcome)
            except SkippedError as error:
                outcome.skipped = str(error)
                break
        if outcome.tries >= tries:
            break
    outcome.seconds = time.monotonic() - begun
    return outcome


def _make_series(attack: Attack, directory: Path, tries: int, outcome: Outcome) -> None:
    going = attack.tries(directory, tries)
    for made in range(tries + 1):
        outcome.tries += made < tries
        try:
            with _patience():
                next(going)
        except StopIteration:
            if made < tries:
                raise RuntimeError(f"{attack.name} makes fewer tries than it was asked for") from None
        except SkippedError:
            raise
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever it is, it is counted
            outcome.note(error)
            return


@contextmanager
def _patience() -> Iterator[None]:
    """Raise TimeoutError where it takes too long, and again where that is not obeyed; the caller's alarm stays."""

    def too_long(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it took more than {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, too_long)
    left, interval = signal.setitimer(signal.ITIMER_REAL, PATIENCE, 10)
    begun = time.monotonic()
    try:
        yield
    finally:
        rest = max(0.001, left - (time.monotonic() - begun)) if left else 0.0
        signal.setitimer(signal.ITIMER_REAL, rest, interval)
        signal.signal(signal.SIGALRM, before)


COLUMNS = ("tries", "lost", "leaked", "crashed", "hung")


def table(outcomes: Sequence[Outcome]) -> str:
    """A Markdown table, with a line for all together and one below for each attack that was skipped."""
    made = [each for each in outcomes if not each.skipped]
    rows = [(each.attack.name, *(getattr(each, column) for column in COLUMNS)) for each in made]
    rows.append(("all", *(sum(getattr(each, column) for each in made) for column in COLUMNS)))
    width = max(len(row[0]) for row in rows)
    lines = [f"| {'attack':{width}} | {' | '.join(COLUMNS)} |", f"| {'-' * width} | {' | '.join(['---:'] * 5)} |"]
    for name, *numbers in rows:
        cells = (f"{number:>{len(column)},}" for column, number in zip(COLUMNS, numbers, strict=True))
        lines.append(f"| {name:{width}} | {' | '.join(cells)} |")
    lines += [f"not tried: {each.attack.name} ({each.skipped})" for each in outcomes if each.skipped]
    return "\n".join(lines)
