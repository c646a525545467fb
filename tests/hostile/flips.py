"""Flipped bits and cuts: none changes a text unnoticed, none keeps the chat from starting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.helpers.damage import flips_of_a_backup, flips_of_memory, flips_of_sessions, lived_in, torn_logs
from tests.helpers.harms import HARMED_FILES, cut, flipped, harms
from tests.hostile.attacks import Attack, Tries


def _of(flips: Callable[[Path, int], Iterator[None]]) -> Callable[[Path, int], Tries]:
    return lambda work, tries: flips(lived_in(work / "profile"), tries)


def _harms(work: Path, tries: int) -> Tries:
    kinds = [(name, harm) for harm in (flipped, cut) for name in HARMED_FILES]
    for place, (name, harm) in enumerate(kinds):
        share = len(range(place, tries, len(kinds)))
        if share:
            yield from harms(work / f"{harm.__name__}-{name}", name, harm, share)


def _torn_logs(work: Path, tries: int) -> Tries:
    yield from torn_logs(work / "cut", "cut", tries - tries // 2)
    yield from torn_logs(work / "flip", "flip", tries // 2)


ATTACKS = (
    Attack("one bit of memory.db flipped", _of(flips_of_memory), 100),
    Attack("one bit of sessions.db flipped", _of(flips_of_sessions), 100),
    Attack("one bit of a backup flipped, then restored", _of(flips_of_a_backup), 100),
    Attack("any file of a memory flipped or cut", _harms, 80),
    Attack("the log of a killed chat cut or flipped", _torn_logs, 40),
)
