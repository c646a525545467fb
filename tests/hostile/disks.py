"""Full disks: every change is done whole or refused in one sentence, and the files that were there stay whole.

A tmpfs of 4 MB is mounted in a namespace of its own and really filled; where a machine does not let a process do
that, the table says so, and what is left is the limit on the size of files (RLIMIT_FSIZE), which needs no rights.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.helpers.paths import ROOT
from tests.hostile.attacks import Attack, SkippedError, Tries

PRIVATE = ("unshare", "--map-root-user", "--mount")


def mounted(disk: Path) -> tuple[str, ...]:
    """What runs a command with a tmpfs of 4 MB at ``disk``, which no other process sees. Raises SkippedError."""
    mount = f"mount -t tmpfs -o size=4m none {shlex.quote(str(disk))}"
    try:
        allowed = subprocess.run([*PRIVATE, "sh", "-c", mount], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        raise SkippedError("this machine lets no test mount a small tmpfs")
    return (*PRIVATE, "sh", "-c", f'{mount} && exec "$@"', "sh")


def _tries(work: Path, tries: int, how: str) -> Tries:
    disk = work / "disk"
    disk.mkdir()
    wrap = mounted(disk) if how == "full" else ()
    line = [*wrap, sys.executable, "-m", "tests.hostile.small_disk", disk, work / "template", tries, how]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    refused = 0
    with subprocess.Popen(
        [*map(str, line)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            for _ in range(tries):
                said = json.loads(process.stdout.readline() or '{"crashed": "the process ended"}')
                assert "lost" not in said, said["lost"]
                if "crashed" in said:
                    raise RuntimeError(said["crashed"])
                refused += said["refused"]
                yield
        finally:
            process.kill()
    assert refused >= tries // 4, "the disk had room for nearly everything"


def _full(work: Path, tries: int) -> Tries:
    yield from _tries(work, tries, "full")


def _limited(work: Path, tries: int) -> Tries:
    yield from _tries(work, tries, "limit")


ATTACKS = (
    Attack("a change on a full disk of 4 MB (tmpfs)", _full, 84),
    Attack("a change while no file may grow (RLIMIT_FSIZE)", _limited, 84),
)
