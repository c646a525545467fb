"""A file of bytes that says what it is: a magic, a header, a front that is always checked, a bulk that may be large.

Both parts end with a checksum. The bulk of a large file is mapped, not read, so that it can be used at once;
``Container.is_intact`` reads every byte of it, in another thread say.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from varda_chat.errors import IndexFileError
from varda_chat.storage.files import beside, replace_file
from varda_chat.storage.regular import NotRegularError, open_regular

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


MAGIC = b"VARDAIX2"
LARGE = 64 * 2**20
"""Bytes of a file from which on it is mapped, and its bulk not checked before it is used."""

_EARLIER = b"VARDAIX1"
_LENGTHS = struct.Struct("<IQQ")  # bytes of header, front and bulk
_DIGEST = hashlib.sha256().digest_size
_AT_ONCE = 16 * 2**20  # bytes between two looks at whether to stop


@dataclass(frozen=True)
class Container:
    """What a file holds. ``front`` is as it was written; so is ``bulk`` where ``checked``."""

    header: dict[str, Any]
    front: memoryview
    bulk: memoryview
    digest: bytes
    checked: bool

    def is_intact(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Whether every byte of the bulk is as it was written; also True where ``stopped`` ended the reading."""
        digest = hashlib.sha256()
        for start in range(0, len(self.bulk), _AT_ONCE):
            if stopped():
                return True
            digest.update(self.bulk[start : start + _AT_ONCE])
        return digest.digest() == self.digest


def pack(header: Mapping[str, Any], front: Sequence[Any], bulk: Sequence[Parts]) -> Iterator[Any]:
    """A container in chunks, in file order; ``front`` is bytes-like objects."""
    head = json.dumps(header, sort_keys=True).encode()
    lengths = _LENGTHS.pack(len(head), sum(memoryview(each).nbytes for each in front), sum(p.nbytes for p in bulk))
    yield MAGIC
    yield from _with_digest([lengths, head, *front])
    yield from _with_digest(chunk for part in bulk for chunk in part.chunks())


def unpack(data: Any, *, checked: bool = True) -> Container:
    """The container in ``data``, bytes or a map; raises IndexFileError unless it is as it was written, but for a bulk
    that is not to be ``checked``."""
    view = memoryview(data)
    start = bytes(view[: len(MAGIC)])
    if start == _EARLIER:
        raise IndexFileError("The index file is of an earlier varda-chat.")
    if start != MAGIC:
        raise IndexFileError("The index file is not one of varda-chat.")
    damaged = IndexFileError("The index file is damaged (its checksum does not match).")
    if len(view) < len(MAGIC) + _LENGTHS.size:
        raise damaged
    head_bytes, front_bytes, bulk_bytes = _LENGTHS.unpack_from(view, len(MAGIC))
    head_at = len(MAGIC) + _LENGTHS.size
    front_at = head_at + head_bytes
    front_end = front_at + front_bytes
    bulk_at = front_end + _DIGEST
    bulk_end = bulk_at + bulk_bytes
    if bulk_end + _DIGEST != len(view):
        raise damaged
    if hashlib.sha256(view[len(MAGIC) : front_end]).digest() != view[front_end:bulk_at]:
        raise damaged
    header = json.loads(bytes(view[head_at:front_at]))
    digest = bytes(view[bulk_end:])
    container = Container(header, view[front_at:front_end], view[bulk_at:bulk_end], digest, checked)
    if checked and not container.is_intact():
        raise damaged
    return container


def write_container(path: Path, header: Mapping[str, Any], front: Sequence[Any], bulk: Sequence[Parts]) -> None:
    """Write a container as ``path``, all or nothing. Raises OSError."""
    replace_file(path, pack(header, front, bulk), temporary=beside(path, ".new"))


def read_container(path: Path, *, whole: bool = False) -> Container:
    """The container at ``path``; raises IndexFileError unless it is there, intact.

    That of a file of LARGE bytes or more is mapped and its bulk not checked, unless the ``whole`` is to be.
    """
    try:
        with os.fdopen(open_regular(path, follow_links=False), "rb") as file:
            if os.fstat(file.fileno()).st_size < LARGE:
                return unpack(file.read())
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            with suppress(AttributeError, OSError):
                mapped.madvise(mmap.MADV_WILLNEED)
            return unpack(mapped, checked=whole)
    except FileNotFoundError:
        raise IndexFileError(f"The index file {path} is missing.") from None
    except OSError as error:
        raise IndexFileError(f"The index file {path} cannot be read ({error.strerror}).") from error
    except NotRegularError as error:
        raise IndexFileError(f"The index file cannot be read: {error}") from error


def _with_digest(chunks: Iterable[Any]) -> Iterator[Any]:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    yield digest.digest()


Piece: TypeAlias = "npt.NDArray[np.uint8]"


@dataclass(frozen=True)
class Parts:
    """A piece of ``nbytes`` given in parts, so that a large one need not be copied to be written."""

    nbytes: int
    chunks: Callable[[], Iterator[Piece]]

    @classmethod
    def of(cls, piece: Piece) -> Parts:
        """One that is there whole."""
        return cls(piece.nbytes, lambda: iter([piece]))
