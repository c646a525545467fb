"""MemoryStore killed at any moment: what was acknowledged is there, what was deleted stays deleted, it starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.store_kills import kills_during_changes, kills_while_storing
from tests.helpers.store_processes import child, damaged_at, filled
from tests.helpers.stores import agrees, opened, texts


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_kill_at_any_moment_loses_nothing_acknowledged(tmp_path: Path, kills: int) -> None:
    assert len(list(kills_while_storing(tmp_path, kills))) == kills


KILL_BEFORE_CHANGE = """
left = int(sys.argv[2])
def count(event, arguments):
    global left
    if event in ("os.remove", "os.rename"):
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(count)
"""


def kill_before_each_change(code: str, directory: Path, work: Path) -> list[Path]:
    """Run ``code`` on copies of ``directory``, ended before its 1st, 2nd, ... removal or renaming of a file."""
    copies = []
    for number in range(40):
        copies.append(work / str(number))
        shutil.copytree(directory, copies[-1])
        result = child(KILL_BEFORE_CHANGE + code, copies[-1], number)
        if result.returncode == 0:
            return copies
        assert result.returncode == 9, result.stderr
    raise AssertionError("it does not end")


def test_a_kill_during_reset_leaves_the_old_memory_or_none(tmp_path: Path) -> None:
    before = filled(tmp_path / "memory")
    copies = kill_before_each_change("reset(directory)", tmp_path / "memory", tmp_path / "work")
    assert len(copies) > 3
    seen = []
    for copy in copies:
        with opened(copy) as store:
            seen.append(texts(store))
            agrees(store)
        backups = list((copy / "backups").glob("memory-*.db"))
        assert seen[-1] == before or backups
    assert seen[0] == before
    assert seen[-1] == []
    assert all(each in (before, []) for each in seen)


def test_a_kill_during_a_rescue_loses_nothing_of_it(tmp_path: Path) -> None:
    filled(tmp_path / "memory", 200)
    damaged_at(tmp_path / "memory" / "memory.db", 0.5, 0.55)
    content = (tmp_path / "memory" / "memory.db").read_bytes()
    code = "from varda_chat.memory.recovery import settle\nsettle(directory / 'memory.db')"
    copies = kill_before_each_change(code, tmp_path / "memory", tmp_path / "work")
    assert len(copies) > 3
    saved = []
    for copy in copies:
        with opened(copy) as store:
            saved.append(texts(store))
        asides = [file.read_bytes() for file in copy.glob("memory.db.damaged-*Z*")]
        assert content in asides
    assert saved[-1]
    assert all(each == saved[-1] for each in saved)


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_a_kill_during_any_change_leaves_it_done_or_not(tmp_path: Path, kills: int) -> None:
    assert len(list(kills_during_changes(tmp_path, kills))) == kills
