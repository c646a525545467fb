"""A file of bytes that says what it is: a magic, a checksum over all that follows, a header, the payload."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from varda_chat.errors import IndexFileError
from varda_chat.memory.files import replace_file

MAGIC = b"VARDAIX1"
_LENGTH = struct.Struct("<I")
_HEADER_AT = len(MAGIC) + hashlib.sha256().digest_size


def pack(header: Mapping[str, Any], *payload: Any) -> tuple[Any, ...]:
    """The pieces of a container, in file order; ``payload`` is one or more bytes-like objects."""
    head = json.dumps(header, sort_keys=True).encode()
    length = _LENGTH.pack(len(head))
    digest = hashlib.sha256(length + head)
    for piece in payload:
        digest.update(piece)
    return (MAGIC, digest.digest(), length, head, *payload)


def unpack(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """Header and payload of a container; raises IndexFileError unless every byte is as it was written."""
    if not data.startswith(MAGIC):
        raise IndexFileError("The index file is not one of varda-chat.")
    rest = memoryview(data)[_HEADER_AT:]
    if hashlib.sha256(rest).digest() != data[len(MAGIC) : _HEADER_AT]:
        raise IndexFileError("The index file is damaged (its checksum does not match).")
    (length,) = _LENGTH.unpack_from(rest)
    header = json.loads(bytes(rest[_LENGTH.size : _LENGTH.size + length]))
    return header, rest[_LENGTH.size + length :]


def write_container(path: Path, header: Mapping[str, Any], *payload: Any) -> None:
    """Write a container as ``path``, all or nothing. Raises OSError."""
    replace_file(path, pack(header, *payload))


def read_container(path: Path) -> tuple[dict[str, Any], memoryview]:
    """Header and payload of the container at ``path``; raises IndexFileError unless it is there, intact."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise IndexFileError(f"The index file {path} is missing.") from None
    except OSError as error:
        raise IndexFileError(f"The index file {path} cannot be read ({error.strerror}).") from error
    return unpack(data)
