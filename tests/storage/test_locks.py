"""The lock of a profile: waited for, shared by many processes in turn, and named where a disk has none."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.helpers.hostile import SECONDS, one_line, program, run
from varda_chat.errors import MemoryLockedError
from varda_chat.session.profiles import check_free
from varda_chat.storage.locks import take_lock
from varda_chat.transcripts import Transcripts

HOLDS = """
import sys
from pathlib import Path
from varda_chat.storage.locks import take_lock
lock = take_lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_command_waits_for_the_lock(small_profile: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(small_profile)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        at_once = run("memory", "pin", 1)
        assert at_once.exit_code == 1
        assert "Another varda-chat" in at_once.stderr
        release = threading.Timer(1.0, holder.stdin.close)
        release.start()
        assert run("--wait", SECONDS, "memory", "pin", 1).exit_code == 0
        release.join()


def test_four_at_once_all_remember(tiny_checkpoint: Path, own_data_directory: Path) -> None:
    line = [sys.executable, "-m", "varda_chat", "--checkpoint", str(tiny_checkpoint), "--max-new-tokens", "4"]
    line += ["--wait", str(2 * SECONDS), "-p"]
    said = [f"Statement number {number} is a statement of its own." for number in range(4)]
    running = [subprocess.Popen([*line, each], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for each in said]
    for process in running:
        with process:
            _, errors = process.communicate(timeout=2 * SECONDS)
            assert process.returncode == 0, errors.decode()
    with Transcripts.open(own_data_directory / "profiles" / "default", read_only=True) as transcripts:
        turns = [turn for session in transcripts.sessions() for turn in transcripts.turns(session.id)]
    assert sorted(turn.prompt for turn in turns) == said
    assert all(turn.details["stored"] for turn in turns), "each of them was remembered"


@pytest.mark.parametrize("number", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_a_disk_that_cannot_lock_is_named(small_profile: Path, number: str) -> None:
    broken = "import errno, fcntl\ndef flock(*_): raise OSError(errno." + number + ", 'no locks')\nfcntl.flock = flock"
    result = program("memory", "pin", "1", preexec=broken)
    assert result.returncode == 1
    assert "cannot lock files" in one_line(result)
    assert "--data-dir" in one_line(result)


def test_a_chat_waits_for_the_lock(small_profile: Path) -> None:
    lock = take_lock(small_profile)
    with pytest.raises(MemoryLockedError):
        check_free(small_profile)
    release = threading.Timer(0.3, lock.release)
    release.start()
    check_free(small_profile, SECONDS)
    release.join()
