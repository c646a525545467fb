"""A disk that refuses to be written to: the message names the ways out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.hostile import SECONDS, one_line
from varda_chat.errors import StorageError


def test_a_full_disk_names_the_ways_out(tmp_path: Path) -> None:
    from varda_chat.storage.sqlite import disk_errors

    full = OSError(28, "No space left on device")
    for error in (full, OSError(30, "Read-only file system", str(tmp_path))):
        with pytest.raises(StorageError, match=r"--incognito.*--data-dir"), disk_errors("Nothing was stored"):
            raise error


def test_a_read_only_disk_names_the_ways_out(small_profile: Path, tmp_path: Path) -> None:
    """A real one: a tmpfs in a namespace of its own, mounted again without the right to write."""
    disk = tmp_path / "disk"
    disk.mkdir()
    setup = (
        f"mount -t tmpfs none {disk} && cp -r {small_profile.parents[1]} {disk}/home && mount -o remount,ro {disk} && "
        f"export VARDA_CHAT_HOME={disk}/home && {sys.executable} -m varda_chat memory forget rex --yes"
    )
    private = ("unshare", "--map-root-user", "--mount", "sh", "-c")
    try:
        allowed = subprocess.run([*private, f"mount -t tmpfs none {disk}"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if allowed.returncode:
        pytest.skip("this machine lets no test mount a disk")
    done = subprocess.run([*private, setup], capture_output=True, timeout=SECONDS, check=False)
    assert done.returncode == 1
    assert "--data-dir" in one_line(done)
