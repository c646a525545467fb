"""The machine's own clipboard, beside the terminal's OSC 52, which many terminals refuse."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping

_TIMEOUT_SECONDS = 3


def native_command(
    environ: Mapping[str, str] | None = None,
    which: Callable[[str], str | None] = shutil.which,
    platform: str = sys.platform,
) -> list[str] | None:
    """The command that takes text on stdin into the clipboard here, or None where there is none."""
    environ = os.environ if environ is None else environ
    candidates: list[list[str]] = []
    if platform == "darwin":
        candidates.append(["pbcopy"])
    if environ.get("WAYLAND_DISPLAY"):
        candidates.append(["wl-copy"])
    if environ.get("DISPLAY"):
        candidates += [["xclip", "-selection", "clipboard"], ["xsel", "--clipboard", "--input"]]
    if environ.get("WSL_DISTRO_NAME") or platform == "win32":
        candidates.append(["clip.exe"])
    for command in candidates:
        if (program := which(command[0])) is not None:
            return [program, *command[1:]]
    return None


def copy_natively(text: str, command: list[str]) -> bool:
    """Hand ``text`` to ``command``; whether it took it. Blocks for at most a few seconds."""
    encoding = "utf-16-le" if command[0].endswith("clip.exe") else "utf-8"
    try:
        # The program may stay behind to serve the selection, so it must not hold our pipes open.
        finished = subprocess.run(  # noqa: S603 - a fixed command, found on the person's own PATH
            command,
            input=text.encode(encoding, "replace"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return finished.returncode == 0
