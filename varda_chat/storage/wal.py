"""SQLite's write-ahead log, read without SQLite: what it has committed, and whether acknowledged changes are lost.

The format: https://www.sqlite.org/fileformat2.html#walformat and https://www.sqlite.org/walformat.html
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from pathlib import Path

from varda_chat.storage.files import beside

_HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoints, two salts, two checksums
_FRAME = struct.Struct(">6I")  # page, pages of the database after a commit (else 0), two salts, two checksums
_MAGIC = 0x377F0682  # the last bit: whether checksums are of big-endian words
_SHARED_FRAMES, _SHARED_SALTS = 16, 32  # offsets in the -shm file
_LARGE = 64 * 2**20


@dataclass(frozen=True)
class Log:
    """pages: what the log's whole transactions have put in place of pages of the database, by number.
    page_count: of the database after the last of them, 0 where there is none.
    lost: frames of transactions that were committed and cannot be read.
    """

    pages: dict[int, bytes]
    page_count: int
    lost: int


def read_log(database: Path) -> Log:
    """The log of ``database``; an empty one where there is none, or where it is too large to be read here."""
    log = beside(database, "-wal")
    if not log.is_file() or not _HEADER.size < log.stat().st_size < _LARGE:
        return Log({}, 0, 0)
    data = log.read_bytes()
    shared = beside(database, "-shm")
    return _read(data, shared.read_bytes()[:48] if shared.is_file() else b"")


def lost_frames(database: Path) -> int:
    """Frames that were acknowledged and cannot be read. One that another program is writing just now is not lost."""
    lost = read_log(database).lost
    if lost:
        time.sleep(0.3)
        lost = min(lost, read_log(database).lost)
    return lost


def _read(data: bytes, shared: bytes) -> Log:
    magic, _, page_size, _, *salts, first, second = _HEADER.unpack_from(data)
    words = ">" if magic & 1 else "<"
    checksum = _checksum(data[:24], words, (0, 0))
    intact = magic & ~1 == _MAGIC and checksum == (first, second)
    known = {tuple(salts)}
    expected = 0
    if len(shared) >= _SHARED_SALTS + 8:
        of_shared = struct.unpack_from(">2I", shared, _SHARED_SALTS)
        known.add(of_shared)
        if of_shared == tuple(salts) or not intact:
            (expected,) = struct.unpack_from("=I", shared, _SHARED_FRAMES)
    if not 512 <= page_size <= 65536 or page_size & (page_size - 1):
        page_size, intact = 4096, False
    pages: dict[int, bytes] = {}
    waiting: dict[int, bytes] = {}
    page_count = whole = committed = 0
    size = _FRAME.size + page_size
    for number, start in enumerate(range(_HEADER.size, len(data) - size + 1, size), 1):
        page, commits, one, two, first, second = _FRAME.unpack_from(data, start)
        if (one, two) in known and commits:
            committed = number
        if intact:
            checksum = _checksum(data[start : start + 8], words, checksum)
            checksum = _checksum(data[start + _FRAME.size : start + size], words, checksum)
            intact = (one, two) == tuple(salts) and checksum == (first, second)
        if intact:
            waiting[page] = data[start + _FRAME.size : start + size]
            if commits:
                pages |= waiting
                waiting = {}
                page_count, whole = commits, number
    return Log(pages, page_count, max(0, max(committed, expected) - whole))


def _checksum(data: bytes, words: str, before: tuple[int, int]) -> tuple[int, int]:
    first, second = before
    values = struct.unpack(f"{words}{len(data) // 4}I", data)
    for left, right in zip(values[::2], values[1::2], strict=True):
        first = (first + left + second) & 0xFFFFFFFF
        second = (second + right + first) & 0xFFFFFFFF
    return first, second
