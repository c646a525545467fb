"""What the person sent before, for the Up key: kept in ``history.jsonl``, private and bounded."""

from __future__ import annotations

import json
import os
from pathlib import Path

from varda_chat.sanitize import sanitize

FILE_NAME = "history.jsonl"
MAX_ENTRIES = 1000
MAX_CHARACTERS = 20_000


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
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return
        self._entries = [text for line in lines[-MAX_ENTRIES:] if (text := _parse(line))]
        self._place = len(self._entries)
        if len(lines) > 2 * MAX_ENTRIES and self.writable:
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
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(json.dumps({"text": text}) + "\n")

    def _rewrite(self, path: Path) -> None:
        beside = path.with_name(path.name + ".new")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.writelines(json.dumps({"text": text}) + "\n" for text in self._entries)
            beside.replace(path)
        except OSError:
            return  # the long file stays; it is only long


def _parse(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    text = entry.get("text") if isinstance(entry, dict) else None
    return sanitize(text) if isinstance(text, str) else ""
