"""What the person sent before, for the Up key: kept in ``history.jsonl``, private and bounded."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import IO

from varda_chat.storage.files import beside, replace_file
from varda_chat.storage.regular import NotRegularError, open_regular
from varda_chat.text import sanitize

FILE_NAME = "history.jsonl"
MAX_ENTRIES = 1000
MAX_CHARACTERS = 20_000
MAX_BYTES = 16 * 2**20
"""Of a longer file only the end is read."""


class InputHistory:
    """A list of sent texts with a place in it. With ``path`` None nothing is read or written.

    writable: whether what is added is saved.
    """

    def __init__(self, path: Path | None, *, writable: bool = True) -> None:
        self._path = path
        self.writable = writable
        self._entries: list[str] = []
        self._place = 0
        self._draft = ""

    def load(self) -> None:
        """Read the file, skipping lines that are not ours; cut one grown too long to its newest entries."""
        if self._path is None:
            return
        try:
            lines, whole = _lines(self._path)
        except (OSError, NotRegularError):
            return
        self._entries = [text for line in lines[-MAX_ENTRIES:] if (text := _parse(line))]
        self._place = len(self._entries)
        if (len(lines) > 2 * MAX_ENTRIES or not whole) and self.writable:
            self._rewrite(self._path)

    def add(self, text: str) -> None:
        """Remember ``text`` as the newest, a repeat only once. Raises OSError if it cannot be saved."""
        self._draft = ""
        repeated = bool(self._entries) and self._entries[-1] == text
        if not repeated and len(text) <= MAX_CHARACTERS:
            self._entries = [*self._entries[-MAX_ENTRIES + 1 :], text]
            self._place = len(self._entries)
            self._append(text)
        self._place = len(self._entries)

    def older(self, current: str) -> str | None:
        """The entry before this place, or None at the oldest; ``current`` is the draft to come back to."""
        if self._place == 0:
            return None
        if self._place == len(self._entries):
            self._draft = current
        self._place -= 1
        return self._entries[self._place]

    def newer(self) -> str | None:
        """The entry after this place, at last the draft, or None when already there."""
        if self._place >= len(self._entries):
            return None
        self._place += 1
        return self._draft if self._place == len(self._entries) else self._entries[self._place]

    def _append(self, text: str) -> None:
        if self._path is None or not self.writable:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = open_regular(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, follow_links=False)
        except NotRegularError as error:
            raise OSError(str(error)) from error
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            line = json.dumps({"text": text}).encode() + b"\n"
            line = line if _ends_whole(file) else b"\n" + line
            before = file.seek(0, os.SEEK_END)
            if file.write(line) < len(line):  # a disk that is nearly full takes the beginning and raises nothing
                file.truncate(before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def _rewrite(self, path: Path) -> None:
        try:
            replace_file(
                path,
                (json.dumps({"text": text}).encode() + b"\n" for text in self._entries),
                temporary=beside(path, ".new"),
            )
        except OSError:
            return  # the long file stays; it is only long


def _lines(path: Path) -> tuple[list[str], bool]:
    """The lines at the end of the file, and whether they are all that it has."""
    with os.fdopen(open_regular(path, follow_links=False), "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MAX_BYTES))
        lines = file.read(MAX_BYTES).decode("utf-8", "replace").split("\n")
    return [line for line in lines if line], size <= MAX_BYTES


def _ends_whole(file: IO[bytes]) -> bool:
    """Whether the last line of the file is ended; a kill may have cut it off, and the next must not join it."""
    if not file.seek(0, os.SEEK_END):
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _parse(line: str) -> str:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    text = entry.get("text") if isinstance(entry, dict) else None
    return sanitize(text) if isinstance(text, str) else ""
