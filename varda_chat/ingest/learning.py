"""Files that a person wants learned, as passages: who said what and when.

What a file is, its content says: a dialogue or a memory in JSON or JSON Lines (``ingest.exports``), a session that
varda-chat exported, or text (``ingest.documents``). The suffix only says which marks a text has.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from varda_chat.errors import VardaError
from varda_chat.ingest.documents import is_session, read_session, read_text, without_markup
from varda_chat.ingest.exports import read_value
from varda_chat.ingest.files import ACCEPTED, decoded, json_value, read_bytes, unpacked
from varda_chat.ingest.passages import Found, Passage, Unread

_JSON = (".json", ".jsonl", ".ndjson", ".af")
_MEMORY_EXPORT = "varda_chat_memory"


@dataclass(frozen=True)
class Reading:
    """A file's passages, and the SHA-256 of its content.

    unread: lines and entries that could not be read. skipped: turns that nobody said, as system prompts.
    notices: what the reader should know of how the file was read.
    """

    digest: str
    passages: tuple[Passage, ...]
    unread: tuple[Unread, ...] = ()
    skipped: int = 0
    notices: tuple[str, ...] = ()


def read_file(path: Path) -> Reading:
    """What was said in a file. Raises VardaError where nothing in it can be read or it is too long, OSError."""
    found, digest = Found(), hashlib.sha256()
    notices: list[str] = []
    for data, where in unpacked(read_bytes(path), path):
        digest.update(data)
        text, notice = decoded(data, path)
        if notice:
            notices.append(notice)
        found.where = where
        _read(text, path, found)
    if found.unread and not found.passages:
        raise VardaError(f"{path}, {found.unread[0]}. {ACCEPTED}")
    return Reading(digest.hexdigest(), tuple(found.passages), tuple(found.unread), found.skipped, tuple(notices))


def _read(text: str, path: Path, found: Found) -> None:
    suffix = next((each.lower() for each in reversed(path.suffixes) if each.lower() not in (".gz", ".xz")), "")
    if text.lstrip()[:1] in ("{", "[") and _read_json(text, path, found, surely=suffix in _JSON):
        return
    if suffix in _JSON and text.strip():
        raise VardaError(f"{path} is not JSON. {ACCEPTED}")
    if is_session(text):
        read_session(text, found)
    else:
        read_text(text, suffix, found)


def _read_json(text: str, path: Path, found: Found, *, surely: bool) -> bool:
    """Read ``text`` as one JSON value or one a line; False where it is neither (and not ``surely`` one of them)."""
    try:
        value = json_value(text)
    except ValueError as error:
        return _read_lines(text, path, found, surely=surely or "nested" in str(error))
    _refuse_memory(value, path)
    if not read_value(value, found) and value != []:
        raise VardaError(f"{path} is JSON of an unknown shape. {ACCEPTED}")
    return True


def _read_lines(text: str, path: Path, found: Found, *, surely: bool) -> bool:
    """Read a JSON value a line; a line that cannot be read is lost alone."""
    outer, read = found.where, 0
    failed: list[Unread] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        found.where = f"{outer}, line {number}" if outer else f"line {number}"
        try:
            value = json_value(line)
        except ValueError as error:
            failed.append(Unread(found.where, str(error)))
            continue
        _refuse_memory(value, path)
        if isinstance(value, dict) and read_value(value, found):
            read += 1
        else:
            failed.append(Unread(found.where, "it is none of the known shapes"))
    found.where = outer
    if not read and not surely:
        return False
    found.unread += failed
    return True


def _refuse_memory(value: Any, path: Path) -> None:
    if isinstance(value, dict) and _MEMORY_EXPORT in value:
        raise VardaError(f"{path} is an export of a memory: varda-chat memory import reads it, vectors included.")


__all__ = ["Passage", "Reading", "read_file", "without_markup"]
