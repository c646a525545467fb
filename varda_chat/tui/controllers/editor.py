"""A message written in the person's own editor: the app steps aside, and reads the file when the editor has closed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from textual.app import App, SuspendNotSupported

from varda_chat.errors import VardaError
from varda_chat.text import sanitize

_FALL_BACKS = ("nano", "vim", "vi")


def editor_command(environ: Mapping[str, str] | None = None) -> list[str]:
    """``$VISUAL``, else ``$EDITOR``, else an editor that is there. Raises VardaError where there is none."""
    environ = os.environ if environ is None else environ
    for variable in ("VISUAL", "EDITOR"):
        try:
            command = shlex.split(environ.get(variable, ""))
        except ValueError as error:
            raise VardaError(f"${variable} cannot be understood: {error}.") from error
        if command:
            return command
    for name in _FALL_BACKS:
        if (program := shutil.which(name)) is not None:
            return [program]
    raise VardaError("There is no editor: set $EDITOR to one.")


def edit(app: App[object], text: str) -> str:
    """``text`` as the person leaves it in their editor. Raises VardaError where that cannot be."""
    command = editor_command()
    with tempfile.TemporaryDirectory(prefix="varda-chat-") as directory:  # 0700
        path = Path(directory) / "message.md"
        path.write_text(text, encoding="utf-8")
        try:
            with app.suspend():
                done = subprocess.run([*command, str(path)], check=False)  # noqa: S603 - the person's own editor
        except SuspendNotSupported as error:
            raise VardaError("An editor cannot be opened from here.") from error
        except OSError as error:
            raise VardaError(f"{command[0]} could not be started: {error.strerror or error}.") from error
        finally:
            sys.stdout.flush()
        if done.returncode != 0:
            raise VardaError(f"{command[0]} ended with code {done.returncode}; the message is as it was.")
        try:
            return sanitize(path.read_bytes().decode("utf-8", "replace")).rstrip("\n")
        except OSError as error:
            raise VardaError("The editor left no message; it is as it was.") from error
