"""SIGKILL at any moment: what was acknowledged is there, what was purged is nowhere."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.purges import full_of_it, kills_in_purges
from tests.helpers.store_kills import kills_during_changes, kills_while_storing
from tests.hostile.attacks import Attack, Tries


def _purges(work: Path, tries: int) -> Tries:
    yield from kills_in_purges(full_of_it(work / "profile"), work / "copies", tries)


ATTACKS = (
    Attack("SIGKILL while a chat stores and deletes", kills_while_storing, 100),
    Attack("SIGKILL during any change of a memory", kills_during_changes, 100),
    Attack("SIGKILL in the middle of a purge", _purges, 100, "leaked"),
)
