"""The order in which the system is told to write: what a power cut may lose is never what was acknowledged.

Read off a trace of the system calls of a real process.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.store_processes import PRELUDE

WORK = """
from varda_chat.memory import index_cache
index_cache.REWRITE = 8
(directory / "memory").mkdir()
store = opened(directory / "memory")
for number in range(3):
    store.apply(TurnChanges((told(number),)), session="s")
    os.write(1, b"acknowledged\\n")
store.core.background.wait()
store.forget([1])
os.write(1, b"acknowledged\\n")
store.close()
backup(directory / "memory")
"""
_CALL = re.compile(r"^\d+ +(\w+)\((.*)$")  # not where an interrupted call goes on
_WRITES = ("write", "pwrite64", "writev")
_SYNCS = ("fsync", "fdatasync")


def traced(directory: Path) -> list[tuple[str, str]]:
    """(call, arguments) of everything the work wrote, synced or renamed, in order of beginning; skips where no trace
    can be had."""
    if sys.platform != "linux" or shutil.which("strace") is None:
        pytest.skip("no strace here")
    log = directory / "trace"
    calls = ",".join((*_WRITES, *_SYNCS, "rename", "renameat", "renameat2", "ftruncate"))
    strace = ["strace", "-f", "-y", "-s", "64", "-e", f"trace={calls}", "-o", str(log)]
    done = subprocess.run(
        [*strace, sys.executable, "-c", PRELUDE + WORK, str(directory)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    if "ptrace" in done.stderr or not log.exists():
        pytest.skip("this machine does not let a test trace a process")
    assert done.returncode == 0, done.stderr
    found = (_CALL.match(line) for line in log.read_text(errors="replace").splitlines())
    return [(call[1], call[2]) for call in found if call is not None]


def last(calls: list[tuple[str, str]], kinds: tuple[str, ...], name: str, before: int) -> int:
    """Place of the last call of ``kinds`` on the open file whose path ends with ``name``, -1 where there is none."""
    places = [at for at, (call, what) in enumerate(calls[:before]) if call in kinds and f"{name}>" in what]
    return max(places, default=-1)


def test_what_is_acknowledged_and_what_is_renamed_has_been_synced(tmp_path: Path) -> None:
    calls = traced(tmp_path)
    acknowledged = [at for at, (call, what) in enumerate(calls) if call == "write" and ', "acknowledged' in what]
    assert len(acknowledged) == 4
    for at in acknowledged:  # a turn: the log is written, then synced, then the turn is told
        written, synced = last(calls, _WRITES, "/memory.db-wal", at), last(calls, _SYNCS, "/memory.db-wal", at)
        assert 0 <= written < synced < at
    renamed = {
        "memory.faiss": ("/memory.faiss.new", "/memory"),
        "memory-": (".db.part", "/backups"),
    }
    seen = dict.fromkeys(renamed, 0)
    for at, (call, what) in enumerate(calls):
        if not call.startswith("rename"):
            continue
        for target, (temporary, directory) in renamed.items():
            if f'{temporary}"' in what and f"/{target}" in what:
                seen[target] += 1
                written, synced = last(calls, _WRITES, temporary, at), last(calls, _SYNCS, temporary, at)
                assert 0 <= written < synced < at, (written, synced, at)
                assert any(c in _SYNCS and f"{directory}>" in w for c, w in calls[at + 1 :]), (
                    "the directory is not synced"
                )
    assert seen["memory.faiss"] >= 2  # in the background, and at the end
    assert seen["memory-"] == 1
    made = next(at for at, (call, what) in enumerate(calls) if call in _WRITES and "/memory.db>" in what)
    assert last(calls, _SYNCS, "/memory", made) >= 0  # the new file's name is on disk before what is in it
