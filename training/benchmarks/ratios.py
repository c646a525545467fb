"""Two ways of the same work, measured in turns: medians, their ratio, and the goal that it is held against."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import click

Work = Callable[[], object]


@dataclass(frozen=True)
class Speed:
    """tokens/s of the plain way and of ours on the same work, and ours as a share of it."""

    work: str
    plain: float
    ours: float

    @property
    def ratio(self) -> float:
        return self.ours / self.plain


@dataclass(frozen=True)
class Row:
    """What is measured, and against what.

    unit: of both figures. goals: by model, the ratio aimed at; "" for a row without a model. at_most: whether the ratio
    is to be at most the goal, else at least. gpu: whether a GPU would change it.
    """

    name: str
    what: str
    against: str
    unit: str
    goals: Mapping[str, float] = field(default_factory=dict)
    at_most: bool = False
    gpu: bool = False


@dataclass(frozen=True)
class Figure:
    """A row as measured: medians of ``runs`` of the ``plain`` way and of ``ours``; ``detail`` says what bounds it."""

    row: Row
    model: str
    plain: float
    ours: float
    runs: int
    detail: str = ""

    @property
    def ratio(self) -> float:
        return self.ours / self.plain

    @property
    def goal(self) -> float | None:
        """The ratio aimed at; None where none was set."""
        return self.row.goals.get(self.model)

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.ratio <= self.goal if self.row.at_most else self.ratio >= self.goal


def in_turns(plain: Work, ours: Work, repeats: int, before: Work = lambda: None) -> tuple[float, float]:
    """Median seconds of either over ``repeats``, after one of each that does not count. ``before`` each, what is not
    counted."""

    def timed(work: Work) -> float:
        before()
        return seconds(work)

    return medians(lambda: timed(plain), lambda: timed(ours), repeats)


def medians(plain: Callable[[], float], ours: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Medians of what both give in turns, ``repeats`` times, after one of each that does not count."""
    pairs = [(plain(), ours()) for _ in range(repeats + 1)][1:]
    of_plain, of_ours = (statistics.median(each) for each in zip(*pairs, strict=True))
    return of_plain, of_ours


def seconds(work: Work) -> float:
    """Seconds that ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def names(given: str, known: Sequence[str], flag: str) -> list[str]:
    """The names that ``flag`` was given, a list with commas. Raises click.UsageError where one is not ``known``."""
    found = [each.strip() for each in given.split(",") if each.strip()]
    unknown = [each for each in found if each not in known]
    if unknown or not found:
        raise click.UsageError(f"{flag}: {', '.join(unknown) or 'nothing'} is none of {', '.join(known)}.")
    return found
