"""Files a person wants learned, as passages to read: text and Markdown by paragraph, dialogue by turn."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from varda_chat.errors import VardaError
from varda_chat.sanitize import sanitize

MAX_FILE = 64 * 1024 * 1024
MAX_PASSAGE = 8000
"""Bounds: bytes a file, characters a passage (a longer one is cut into several)."""

_ROLES = {"user": "user", "human": "user", "assistant": "assistant", "bot": "assistant", "gpt": "assistant"}
_MARKUP = re.compile(
    r"^\s{0,3}(?:#{1,6}\s+|>\s?|[-*+]\s+|\d+[.)]\s+)|^\s{0,3}(?:[-*_=]\s*){3,}$|[*_]{2}|`", re.MULTILINE
)
_LINK = re.compile(r"!?\[([^\]\n]{0,500})\]\([^)\s]{0,2000}\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Reading:
    """A file's passages as (role, text), and the SHA-256 of its content."""

    digest: str
    passages: tuple[tuple[str, str], ...]


def read_file(path: Path) -> Reading:
    """The passages of a .txt, .md or .jsonl file. Raises VardaError where it is none or too long, OSError.

    A line of .jsonl is ``{"role", "content"}`` (or "text"), or holds a list of such under "messages".
    """
    kind = path.suffix.lower()
    if kind not in (".txt", ".md", ".markdown", ".jsonl"):
        raise VardaError(f"{path} is not a file to learn from: .txt, .md and .jsonl can be read.")
    if path.stat().st_size > MAX_FILE:
        raise VardaError(f"{path} is longer than {MAX_FILE // 2**20} MiB.")
    data = path.read_bytes()
    if b"\0" in data:
        raise VardaError(f"{path} is not a text file.")
    text = data.decode("utf-8-sig", "replace")
    if kind == ".jsonl":
        turns = [turn for number, line in enumerate(text.split("\n"), 1) for turn in _turns(path, number, line)]
    else:
        if kind != ".txt":
            text = without_markup(text)
        turns = [("user", " ".join(part.split())) for part in re.split(r"\n\s*\n", sanitize(text))]
    passages = tuple(
        (role, turn[start : start + MAX_PASSAGE])
        for role, turn in ((role, sanitize(turn).strip()) for role, turn in turns)
        for start in range(0, len(turn), MAX_PASSAGE)
    )
    return Reading(hashlib.sha256(data).hexdigest(), passages)


def without_markup(text: str) -> str:
    """Markdown as plain text: without fenced code, marks and the addresses of links."""
    return _LINK.sub(r"\1", _MARKUP.sub("", _FENCE.sub("", text)))


def _turns(path: Path, number: int, line: str) -> list[tuple[str, str]]:
    if not line.strip():
        return []
    try:
        value = json.loads(line)
        return [_turn(each) for each in value.get("messages", [value])]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise VardaError(f"{path}, line {number}: it is not a turn of a dialogue.") from None


def _turn(value: Any) -> tuple[str, str]:
    text = value["content"] if "content" in value else value["text"]
    if not isinstance(text, str):
        raise TypeError
    return _ROLES[str(value.get("role", "user")).lower()], text
