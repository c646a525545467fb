"""Unpacks and decodes what may be learned, by its content and bounded in size."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from varda_chat import text as decoding
from varda_chat.errors import VardaError
from varda_chat.storage.regular import read_regular

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
    """All of a regular file. Raises VardaError where it is another kind of file or too large, OSError."""
    return read_regular(path, MAX_FILE)


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

    UTF-8, or UTF-16 or UTF-32 with a byte-order mark or UTF-16 by its zeros; else lines as Windows-1252.
    """
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), None) or _utf16_by_zeros(data)
    if encoding is None:
        try:
            text, notice = decoding.decoded(data, str(path))
        except VardaError as error:
            raise VardaError(f"{error} {ACCEPTED}") from None
    else:
        try:
            text, notice = data.decode(encoding), ""
        except UnicodeDecodeError:
            raise VardaError(f"{path} is damaged: it is not the {encoding} text that it begins as.") from None
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
        raise VardaError(f"{path} is larger than {MAX_FILE:,} bytes when it is unpacked.")
    return data


def _unzipped(data: bytes, path: Path) -> list[tuple[bytes, str]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = sorted(name for name in archive.namelist() if _CONVERSATIONS.match(name))
        if not names:
            raise VardaError(f"{path} holds no conversations.json. {ACCEPTED}")
        if sum(archive.getinfo(name).file_size for name in names) > MAX_FILE:
            raise VardaError(f"The conversations in {path} are larger than {MAX_FILE:,} bytes.")
        parts = []
        for name in names:
            with archive.open(name) as member:
                parts.append((_bounded(member, path), "" if len(names) == 1 else name))
        return parts


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
