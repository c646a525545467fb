"""Plain or xz-compressed files: whole, lines, JSON records. What cannot be read is noted, and reading goes on."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from training.data.sources.documents import BadLines
from varda_chat.errors import DataError

LONGEST_LINE = 16 * 1024 * 1024
"""Bytes of one line; what is longer is no line of text."""
_CHUNK = 1 << 20


def open_bytes(path: Path) -> BinaryIO:
    return cast(BinaryIO, lzma.open(path, "rb")) if path.suffix == ".xz" else path.open("rb")


def lines(path: Path, bad: BadLines) -> Iterator[tuple[int, str]]:
    """(number, text with its line end) of the lines of ``path``. A line that is not UTF-8 is noted in ``bad``; a file
    that breaks off raises DataError."""
    number = 0
    try:
        with open_bytes(path) as file:
            while raw := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(raw) > LONGEST_LINE:
                    bad.note(path, number, "longer than 16 MiB")
                    while raw and not raw.endswith(b"\n"):
                        raw = file.readline(LONGEST_LINE)
                    continue
                try:
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    bad.note(path, number, f"not UTF-8 ({error.reason})")
    except (EOFError, lzma.LZMAError) as error:
        raise DataError(f"{path} is damaged after line {number} ({error}). Fetch it again.") from error


def whole(path: Path, bad: BadLines, largest: int) -> str | None:
    """The text of ``path``; None where it is not UTF-8, which is noted in ``bad``. A file that breaks off or holds more
    than ``largest`` bytes raises DataError."""
    raw = bytearray()
    try:
        with open_bytes(path) as file:
            while chunk := file.read(_CHUNK):
                raw += chunk
                if len(raw) > largest:
                    raise DataError(
                        f"{path} is longer than {largest // 2**20} MiB; bring it into .jsonl, one record a line."
                    )
    except (EOFError, lzma.LZMAError) as error:
        raise DataError(f"{path} is damaged ({error}). Fetch it again.") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad.note(path, error.object.count(b"\n", 0, error.start) + 1, f"not UTF-8 ({error.reason})")
        return None


def records(path: Path, bad: BadLines) -> Iterator[tuple[int, Any]]:
    """(number, value) of the lines of a file with one JSON value a line; empty lines are passed over."""
    for number, line in lines(path, bad):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            bad.note(path, number, f"not JSON ({str(error).splitlines()[0]})")
