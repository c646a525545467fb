"""A file of pieces of bytes that says what it is: a magic, a header, the pieces, and a checksum over all of them.

Nothing in it is handed out before the checksum has been compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from varda_chat.errors import IndexFileError
from varda_chat.storage.files import beside, replace_file
from varda_chat.storage.regular import NotRegularError, open_regular

MAGIC = b"VARDAIX3"
CHUNK = 16 * 2**20
"""Bytes written between two looks at whether to stop."""

_EARLIER = (b"VARDAIX1", b"VARDAIX2")
_LENGTH = struct.Struct("<I")  # bytes of the header
_DIGEST = hashlib.sha256().digest_size


class _StoppedError(Exception):
    """The writing was to end."""


@dataclass(frozen=True)
class Container:
    """What a file holds, as it was written."""

    header: dict[str, Any]
    pieces: tuple[memoryview, ...]


def pack(header: Mapping[str, Any], pieces: Sequence[Any]) -> Iterator[Any]:
    """A container in chunks, in file order; ``pieces`` are bytes or arrays of bytes."""
    head = json.dumps({**header, "pieces": [len(piece) for piece in pieces]}, sort_keys=True).encode()
    digest = hashlib.sha256()
    yield MAGIC
    for part in (_LENGTH.pack(len(head)), head, *pieces):
        for start in range(0, len(part), CHUNK):
            chunk = part[start : start + CHUNK]
            digest.update(chunk)
            yield chunk
    yield digest.digest()


def unpack(data: bytes) -> Container:
    """The container in ``data``; raises IndexFileError unless it is as it was written."""
    view = memoryview(data)
    start = bytes(view[: len(MAGIC)])
    if start in _EARLIER:
        raise IndexFileError("The index file is of an earlier varda-chat.")
    if start != MAGIC:
        raise IndexFileError("The index file is not one of varda-chat.")
    body, digest = view[len(MAGIC) : -_DIGEST], view[-_DIGEST:]
    if len(view) < len(MAGIC) + _LENGTH.size + _DIGEST or hashlib.sha256(body).digest() != digest:
        raise IndexFileError("The index file is damaged (its checksum does not match).")
    (head_bytes,) = _LENGTH.unpack_from(body)
    end = _LENGTH.size + head_bytes
    header = json.loads(bytes(body[_LENGTH.size : end]))
    pieces = []
    for length in header["pieces"]:
        pieces.append(body[end : end + length])
        end += length
    return Container(header, tuple(pieces))


def write_container(
    path: Path, header: Mapping[str, Any], pieces: Sequence[Any], stopped: Callable[[], bool] = lambda: False
) -> bool:
    """Write a container as ``path``, all or nothing; False where ``stopped`` ended it. Raises OSError."""

    def chunks() -> Iterator[Any]:
        for chunk in pack(header, pieces):
            if stopped():
                raise _StoppedError
            yield chunk

    try:
        replace_file(path, chunks(), temporary=beside(path, ".new"))
    except _StoppedError:
        return False
    return True


def read_container(path: Path) -> Container:
    """The container at ``path``; raises IndexFileError unless it is there, intact."""
    try:
        with os.fdopen(open_regular(path, follow_links=False), "rb") as file:
            return unpack(file.read())
    except FileNotFoundError:
        raise IndexFileError(f"The index file {path} is missing.") from None
    except OSError as error:
        raise IndexFileError(f"The index file {path} cannot be read ({error.strerror}).") from error
    except NotRegularError as error:
        raise IndexFileError(f"The index file cannot be read: {error}") from error
