"""Files from outside, opened so that a pipe or a device in their place can neither hang the program nor fill memory."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import IO

from varda_chat.errors import VardaError

_HANDED_OVER = re.compile(r"(?:/dev/fd/|/proc/self/fd/)(\d{1,9})")
_LINK_ERRORS = (errno.ELOOP, errno.EMLINK)
BINARY: int = getattr(os, "O_BINARY", 0)
"""Opens a file on Windows so that no byte is translated."""
_NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)


class NotRegularError(VardaError):
    """A device, a pipe, a socket or a directory lies where a file is expected."""


def is_regular(path: Path) -> bool:
    """Whether ``path`` leads to a regular file. Raises OSError where there is none."""
    return stat.S_ISREG(path.stat().st_mode)


def check_regular(path: Path) -> None:
    """Raise NotRegularError where something lies at ``path`` that is no regular file, OSError as ``stat`` does."""
    try:
        if not is_regular(path):
            raise NotRegularError(f"{path} is not a regular file.")
    except FileNotFoundError:
        return


def open_regular(path: Path, flags: int = os.O_RDONLY, *, follow_links: bool = True) -> int:
    """A descriptor of the regular file at ``path``, made as 0600 where ``flags`` say so.

    Raises NotRegularError, OSError.
    """
    is_link = NotRegularError(f"{path} is a link; the file itself is expected there.")
    if not (follow_links or _NO_LINK) and path.is_symlink():
        raise is_link
    # _NO_WAIT: opening a pipe would wait for its other end; on a regular file it changes nothing
    more = BINARY | _NO_WAIT | (0 if follow_links else _NO_LINK)
    try:
        descriptor = os.open(path, flags | more, 0o600)
    except OSError as error:
        if not follow_links and error.errno in _LINK_ERRORS:
            raise is_link from error
        if error.errno == errno.ENXIO:  # a socket, or a pipe that nobody reads
            raise NotRegularError(f"{path} is not a regular file.") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError(f"{path} is not a regular file.")
    return descriptor


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of the regular file at ``path``.

    Raises VardaError where there are more than ``limit``, NotRegularError, OSError.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise VardaError(f"{path} is larger than {limit:,} bytes.")
    return data


def open_input(path: Path) -> IO[bytes]:
    """What a person names to be read: a regular file, or a stream that was handed over (``-``, ``/dev/stdin``,
    ``<(…)``). Raises NotRegularError, OSError."""
    name = str(path)
    if name in ("-", "/dev/stdin"):
        return os.fdopen(os.dup(0), "rb")
    handed_over = _HANDED_OVER.fullmatch(name)
    if handed_over:
        return os.fdopen(os.dup(int(handed_over.group(1))), "rb")
    return os.fdopen(open_regular(path), "rb")


def open_output(path: Path) -> IO[bytes] | None:
    """The stream that a person names to be written to (``-``, ``/dev/stdout``, ``>(…)``); None where ``path`` is a
    file. Raises OSError."""
    name = str(path)
    if name in ("-", "/dev/stdout"):
        return os.fdopen(os.dup(1), "wb")
    handed_over = _HANDED_OVER.fullmatch(name)
    return os.fdopen(os.dup(int(handed_over.group(1))), "wb") if handed_over else None
