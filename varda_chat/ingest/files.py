"""Opens what may be learned: bytes of a regular file, unpacked and decoded by their content, bounded in size."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from varda_chat.errors import VardaError

MAX_FILE = 512 * 1024 * 1024
"""Bytes of a file, and of what it unpacks to."""

ACCEPTED = (
    "Accepted are exports of ChatGPT and Claude (conversations.json, or the .zip it comes in), mem0 and Letta; OpenAI "
    "and ShareGPT JSON Lines; sessions exported by varda-chat (.md, .json); dialogue corpora (.jsonl, .gz or .xz too); "
    "and text: plain, Markdown, org or reStructuredText."
)

_CONVERSATIONS = re.compile(r"(?:.*/)?conversations(?:-\d+)?\.json\Z")
_NOT_TEXT = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_NOT_LEARNED = re.compile(r"\s*(?:<!doctype html|<html|<\?xml|\{\\rtf|%PDF-)", re.IGNORECASE)
_BOMS = ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def read_bytes(path: Path) -> bytes:
    """All of a regular file. Raises VardaError where it is another kind of file or too long, OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise VardaError(f"{path} is not a regular file.")
    with path.open("rb") as file:
        return _bounded(file, path)


def unpacked(data: bytes, path: Path) -> list[tuple[bytes, str]]:
    """What is packed in ``data``, each with its name there: the conversations of a .zip, the content of a .gz or .xz;
    or ``data`` itself. Raises VardaError."""
    try:
        if data.startswith(b"PK\x03\x04"):
            return _unzipped(data, path)
        for magic, opened in _PACKED:
            if data.startswith(magic):
                with opened(io.BytesIO(data)) as file:
                    return [(_bounded(file, path), "")]
    except (
        zipfile.BadZipFile,
        lzma.LZMAError,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise VardaError(f"{path} cannot be unpacked: it is damaged, encrypted or packed in another way.") from error
    return [(data, "")]


def decoded(data: bytes, path: Path) -> tuple[str, str]:
    """``data`` as text, and a notice where its encoding was guessed. Raises VardaError where it is no text.

    UTF-8, or UTF-16 or UTF-32 with a byte-order mark or UTF-16 by its zeros; lines that are none of these as cp1252.
    """
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), None) or _utf16_by_zeros(data)
    notice = ""
    try:
        text = data.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError:
        if encoding is not None:
            raise VardaError(f"{path} is damaged: it is not the {encoding} text that it begins as.") from None
        text, notice = _by_line(data, path)
    if _NOT_TEXT.search(text) or _NOT_LEARNED.match(text):
        raise VardaError(f"{path} is not a file to learn from. {ACCEPTED}")
    return text, notice


def json_value(text: str) -> Any:
    """The JSON value that ``text`` is; raises ValueError with the reason."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError:
        raise ValueError("it is not JSON") from None


def _bounded(file: IO[bytes] | io.BufferedIOBase, path: Path) -> bytes:
    data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise VardaError(f"{path} is longer than {MAX_FILE // 2**20} MiB.")
    return data


def _unzipped(data: bytes, path: Path) -> list[tuple[bytes, str]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = sorted(name for name in archive.namelist() if _CONVERSATIONS.match(name))
        if not names:
            raise VardaError(f"{path} holds no conversations.json. {ACCEPTED}")
        if sum(archive.getinfo(name).file_size for name in names) > MAX_FILE:
            raise VardaError(f"The conversations in {path} are longer than {MAX_FILE // 2**20} MiB.")
        parts = []
        for name in names:
            with archive.open(name) as member:
                parts.append((_bounded(member, path), "" if len(names) == 1 else name))
        return parts


def _by_line(data: bytes, path: Path) -> tuple[str, str]:
    """Each line as UTF-8 or else cp1252."""
    lines: list[str] = []
    guessed: list[int] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            lines.append(line.decode())
        except UnicodeDecodeError:
            try:
                lines.append(line.decode("cp1252"))
            except UnicodeDecodeError:
                raise VardaError(f"{path}, line {number}: it is neither UTF-8 nor cp1252 text. {ACCEPTED}") from None
            guessed.append(number)
    of_them = (
        f"line {guessed[0]} is" if len(guessed) == 1 else f"{len(guessed):,} lines, from line {guessed[0]} on, are"
    )
    return "\n".join(lines), f"{path}: {of_them} not UTF-8 and read as cp1252 (Western European)."


def _utf16_by_zeros(data: bytes) -> str | None:
    """UTF-16 without a mark, as of mostly Western text: nearly every second byte of its beginning is 0."""
    start = data[:2000]
    half = len(start) // 2
    if half < 2:
        return None
    for name, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[0::2])):
        if zeros.count(0) > 0.7 * half and start.count(0) < 1.1 * half:
            return name
    return None


_PACKED: tuple[tuple[bytes, Callable[[IO[bytes]], io.BufferedIOBase]], ...] = (
    (b"\xfd7zXZ\0", lambda file: lzma.LZMAFile(file)),  # noqa: SIM115 - the caller closes it
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
)
